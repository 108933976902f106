//! What there is on a node: tables, flows, and what the enforcer takes.

use std::collections::BTreeSet;
use std::process::Command;
use std::time::{Duration, Instant};
use std::{fs, thread};

use anyhow::{Context, Result};
use palisade_tests::bed::NodeBed;
use serde_json::Value;

use super::yard::Yard;
use crate::machine;

/// How long it may take until what the last probes opened is forgotten: by conntrack after ten seconds, by the set of flows that were
/// cut after thirty.
const FORGOTTEN: Duration = Duration::from_mins(1);

/// What there is.
#[derive(Clone, Debug)]
pub(super) struct Remains {
    /// The objects of our tables, as `nft -j` lists them, in order.
    pub(super) tables: BTreeSet<String>,
    /// Flows that conntrack knows.
    pub(super) flows: usize,
    /// Bytes that the enforcer has in memory.
    pub(super) memory: f64,
    /// Files that it has open.
    pub(super) files: usize,
    /// Bytes in slabs of the whole kernel that cannot be reclaimed.
    pub(super) slabs: f64,
}

impl Remains {
    /// What there is now on the node of a yard.
    pub(super) async fn of(yard: &mut Yard) -> Result<Self> {
        let (node, enforcer) = yard.node()?;
        let id = enforcer.id().context("no enforcer")?;
        let deadline = Instant::now() + FORGOTTEN;
        let (mut flows, mut tables) = (flows(node).await?, tables(node).await?);
        while (flows > 0 || tables.iter().any(|object| is_of_cut(object))) && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(500));
            (flows, tables) = (self::flows(node).await?, self::tables(node).await?);
        }
        Ok(Self {
            tables,
            flows,
            memory: machine::field(&format!("/proc/{id}/status"), "VmRSS"),
            files: fs::read_dir(format!("/proc/{id}/fd"))?.count(),
            slabs: machine::field("/proc/meminfo", "SUnreclaim"),
        })
    }

    /// The objects that only one of the two has.
    pub(super) fn difference(&self, other: &Self) -> Vec<String> {
        let differing = self.tables.symmetric_difference(&other.tables);
        differing.cloned().collect()
    }
}

/// Flows that conntrack knows on a node. They are listed and not only counted: the counter has flows that are over, until the kernel
/// comes by, which may take it minutes.
async fn flows(node: &NodeBed) -> Result<usize> {
    let mut command = Command::new("cat");
    command.arg("/proc/net/nf_conntrack");
    Ok(node.run(command, "").await?.lines().count())
}

/// What `nft` lists of the enforcer's tables, without what must differ: handles are never given twice, counters count.
async fn tables(node: &NodeBed) -> Result<BTreeSet<String>> {
    let mut objects = BTreeSet::new();
    for family in ["inet", "netdev"] {
        let mut command = Command::new("nft");
        command.args(["-j", "list", "table", family, "palisade"]);
        let listing: Value = serde_json::from_str(&node.run(command, "").await?)?;
        let listed = listing.get("nftables").and_then(Value::as_array);
        for object in listed.context("a listing without objects")? {
            let mut object = object.clone();
            settle(&mut object);
            objects.insert(object.to_string());
        }
    }
    Ok(objects)
}

/// Whether an object is there for flows that were cut: the set while it holds some, and the rule that asks it.
fn is_of_cut(object: &str) -> bool {
    object.contains("\"@cut") || (object.contains("\"name\":\"cut") && object.contains("\"elem\""))
}

/// Takes out of an object what must differ, and puts the elements of sets in order: the kernel keeps them in that of a hash.
fn settle(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.remove("handle");
            for (name, field) in fields.iter_mut() {
                match (name.as_str(), &mut *field) {
                    ("packets" | "bytes", Value::Number(_)) => *field = 0.into(),
                    ("elem", Value::Array(elements)) => {
                        elements.iter_mut().for_each(settle);
                        elements.sort_by_cached_key(Value::to_string);
                    }
                    (_, field) => settle(field),
                }
            }
        }
        Value::Array(values) => values.iter_mut().for_each(settle),
        _ => {}
    }
}
