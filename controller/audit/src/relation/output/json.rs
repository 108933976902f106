//! A document for programs.
//!
//! | field | what it has |
//! |---|---|
//! | `version` | 1; another where a field changes its meaning |
//! | `classes[]` | `name`, `namespace`, `labels` that all its pods have, `pods` (`name`, `addresses`, `placeholder` where these are made up), `count` of pods that it stands for, `isolated` (`ingress` and `egress`: the policies that isolate it; none: not isolated) |
//! | `outside[]` | ranges of addresses that no pod has: `name`, `family`, `blocks`, `nodes` with an address in it |
//! | `flows[]` | what is allowed: `from` (an index into `sources`), `to` (a name), `family` (`IPv4`, `IPv6`, or `null`: each that both ends have), `ports` |
//! | `sources[]` | lists of names that flows share |
//!
//! `ports` is `{"all": true}`, or has `TCP`, `UDP` and `SCTP` as lists of first and last port, and `withoutPorts: true` where
//! protocols without ports are allowed. A class of one pod may be among its own sources: that says what a second pod like it
//! could do, as a pod reaches itself in any case. Pods and their own node reach each other in any case too.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::io::{self, Write};
use std::net::IpAddr;
use std::sync::Arc;

use palisade_policy::model::{Labels, NodeName};
use palisade_policy::reach::{Class, End, Outside};
use serde::ser::{SerializeMap, SerializeSeq};
use serde::{Serialize, Serializer};

use super::family;
use super::transports::Transports;
use crate::relation::{Relation, Row, Selection, members};

pub(super) fn write(relation: &Relation<'_>, selection: &Selection, to: &mut dyn Write) -> io::Result<()> {
    let document = Document {
        relation,
        selection,
        sources: RefCell::default(),
    };
    serde_json::to_writer(&mut *to, &document)?;
    writeln!(to)
}

struct Document<'a> {
    relation: &'a Relation<'a>,
    selection: &'a Selection,
    /// The lists of sources in the order in which flows came upon them: these are written after the flows.
    sources: RefCell<Sources>,
}

impl Serialize for Document<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let reach = &self.relation.reach;
        let mut map = serializer.serialize_map(Some(5))?;
        map.serialize_entry("version", &1)?;
        map.serialize_entry(
            "classes",
            &Streamed(|| {
                reach
                    .classes()
                    .iter()
                    .enumerate()
                    .map(|(index, class)| self.class(index, class))
            }),
        )?;
        map.serialize_entry(
            "outside",
            &Streamed(|| {
                reach
                    .outside()
                    .iter()
                    .enumerate()
                    .map(|(index, range)| self.outside(index, range))
            }),
        )?;
        map.serialize_entry(
            "flows",
            &Streamed(|| self.relation.rows(self.selection).map(|row| self.flow(row))),
        )?;
        let lists = self.sources.borrow();
        map.serialize_entry(
            "sources",
            &Streamed(|| {
                lists.lists.iter().map(|list| {
                    let list = list.clone();
                    Streamed(move || {
                        let list = list.clone();
                        (0..list.len())
                            .filter_map(move |at| list.get(at).copied())
                            .map(|end| self.relation.names.end(end))
                    })
                })
            }),
        )?;
        map.end()
    }
}

/// Lists of sources, each once.
#[derive(Debug, Default)]
struct Sources {
    lists: Vec<Arc<[End]>>,
    places: HashMap<(*const End, usize), usize>,
}

impl Sources {
    /// The place of a list. Lists are held, so that no other can have the address of one.
    fn place(&mut self, list: Arc<[End]>) -> usize {
        let next = self.lists.len();
        let place = *self.places.entry((list.as_ptr(), list.len())).or_insert(next);
        if place == next {
            self.lists.push(list);
        }
        place
    }
}

/// A list that is made while it is written.
struct Streamed<F>(F);

impl<F, I> Serialize for Streamed<F>
where
    F: Fn() -> I,
    I: Iterator,
    I::Item: Serialize,
{
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut list = serializer.serialize_seq(None)?;
        for item in (self.0)() {
            list.serialize_element(&item)?;
        }
        list.end()
    }
}

#[derive(Serialize)]
struct ClassEntry<'a> {
    name: &'a str,
    namespace: &'a str,
    labels: BTreeMap<&'a str, &'a str>,
    count: u64,
    pods: Vec<PodEntry<'a>>,
    isolated: Isolated,
}

#[derive(Serialize, PartialEq, Eq, PartialOrd, Ord)]
struct PodEntry<'a> {
    name: &'a str,
    addresses: Vec<IpAddr>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    placeholder: bool,
}

#[derive(Serialize)]
struct Isolated {
    ingress: Vec<String>,
    egress: Vec<String>,
}

#[derive(Serialize)]
struct OutsideEntry<'a> {
    name: &'a str,
    family: String,
    blocks: Vec<String>,
    nodes: Vec<&'a str>,
}

#[derive(Serialize)]
struct FlowEntry<'a> {
    from: usize,
    to: &'a str,
    family: Option<&'static str>,
    ports: Transports,
}

impl<'a> Document<'a> {
    fn class(&self, index: usize, class: &'a Class) -> ClassEntry<'a> {
        let inventory = self.relation.inventory;
        let addresses = class.members.iter().map(|member| {
            let both = member
                .v4
                .map(IpAddr::from)
                .into_iter()
                .chain(member.v6.map(IpAddr::from));
            (&member.uid, both.collect::<Vec<_>>())
        });
        let addresses: HashMap<_, _> = addresses.collect();
        let pods = members(inventory, class).map(|pod| PodEntry {
            name: &pod.key.name,
            addresses: addresses.get(&pod.uid).cloned().unwrap_or_default(),
            placeholder: inventory.placeholders.contains(&pod.uid),
        });
        let mut pods: Vec<PodEntry<'_>> = pods.collect();
        pods.sort_unstable();
        let end = End::Pods(index);
        ClassEntry {
            name: self.relation.names.end(end),
            namespace: class.namespace.as_str(),
            labels: labels(&class.labels),
            count: self.relation.names.pods(end).unwrap_or_default(),
            pods,
            isolated: Isolated {
                ingress: class.ingress.iter().map(ToString::to_string).collect(),
                egress: class.egress.iter().map(ToString::to_string).collect(),
            },
        }
    }

    fn outside(&self, index: usize, range: &Outside) -> OutsideEntry<'a> {
        let nodes = self.relation.names.nodes(index);
        OutsideEntry {
            name: self.relation.names.end(End::Outside(index)),
            family: range.family.to_string(),
            blocks: range.blocks.iter().map(ToString::to_string).collect(),
            nodes: nodes.map(NodeName::as_str).collect(),
        }
    }

    fn flow(&self, row: Row) -> FlowEntry<'a> {
        FlowEntry {
            from: self.sources.borrow_mut().place(row.from),
            to: self.relation.names.end(row.to),
            family: row.family.map(|own| family(Some(own))),
            ports: Transports::of(&row.ports),
        }
    }
}

fn labels(labels: &Labels) -> BTreeMap<&str, &str> {
    labels.iter().map(|(key, value)| (&**key, &**value)).collect()
}
