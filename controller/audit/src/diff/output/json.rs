//! A difference for programs.
//!
//! | field | what it has |
//! |---|---|
//! | `version` | 1; another where a field changes its meaning |
//! | `changed` | whether anything changes its meaning: `changes` or `isolation` has an entry |
//! | `changes[]` | `effect` (`allowed`, `denied`), `from` and `to` (names of classes and ranges), `family` (`IPv4`, `IPv6`, or `null`: each that both have), `ports` as `reach` has them, `podPairs` and `outsidePairs`, `egress` and `ingress` (`null`: has no part in it), `witness` |
//! | `changes[].egress` | `isolating`: in the state that denies, the policies that isolate the pod; `grants[]`: in the state that allows, what does: `open: true`, or `policy` and `rule` (counted from 0) |
//! | `isolation[]` | `direction`, `becomes` (`isolated`, `open`), `pods`, `count`, `policies` |
//! | `policies[]` | `name`, `edit` (`added`, `removed`, `changed`), `effective`: whether any change is for its sake |
//! | `namespaces[]`, `pods[]` | `name` and `labels` that are others now, as `kubectl label` writes them |
//! | `new[]`, `gone[]` | pods that only one of the states has; of new ones the directions in which they are `isolated` |

use std::io::{self, Write};

use palisade_policy::model::Direction;
use palisade_policy::reach::End;
use serde::Serialize;
use serde::ser::{SerializeSeq, Serializer};

use super::word;
use crate::diff::{Becomes, Change, Diff, Grant, Isolation, Side};
use crate::relation::output::Transports;

#[derive(Serialize)]
struct Document<'a> {
    version: u32,
    changed: bool,
    #[serde(serialize_with = "changes")]
    changes: &'a Diff<'a>,
    isolation: Vec<IsolationEntry<'a>>,
    policies: Vec<PolicyEntry>,
    namespaces: Vec<LabelsEntry<'a>>,
    pods: Vec<LabelsEntry<'a>>,
    new: Vec<NewEntry>,
    gone: Vec<String>,
}

#[derive(Serialize)]
struct ChangeEntry<'a> {
    effect: String,
    from: Vec<&'a str>,
    to: Vec<&'a str>,
    family: Option<String>,
    ports: Transports,
    #[serde(rename = "podPairs")]
    pod_pairs: u64,
    #[serde(rename = "outsidePairs")]
    outside_pairs: u64,
    egress: Option<SideEntry>,
    ingress: Option<SideEntry>,
    witness: WitnessEntry,
}

#[derive(Serialize)]
struct SideEntry {
    isolating: Vec<String>,
    grants: Vec<GrantEntry>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum GrantEntry {
    Open { open: bool },
    Rule { policy: String, rule: usize },
}

#[derive(Serialize)]
struct WitnessEntry {
    source: String,
    destination: String,
    transport: String,
}

#[derive(Serialize)]
struct IsolationEntry<'a> {
    direction: String,
    becomes: &'static str,
    pods: Vec<&'a str>,
    count: u64,
    policies: Vec<String>,
}

#[derive(Serialize)]
struct PolicyEntry {
    name: String,
    edit: &'static str,
    effective: bool,
}

#[derive(Serialize)]
struct LabelsEntry<'a> {
    name: String,
    labels: &'a [String],
}

#[derive(Serialize)]
struct NewEntry {
    name: String,
    isolated: Vec<String>,
}

pub(super) fn write(diff: &Diff<'_>, to: &mut dyn Write) -> io::Result<()> {
    let edits = &diff.edits;
    let document = Document {
        version: 1,
        changed: !diff.is_empty(),
        changes: diff,
        isolation: diff
            .isolation
            .iter()
            .map(|isolation| entry(diff, isolation))
            .collect(),
        policies: edits
            .policies
            .iter()
            .map(|(key, (edit, effective))| PolicyEntry {
                name: key.to_string(),
                edit: word(*edit),
                effective: *effective,
            })
            .collect(),
        namespaces: edits
            .namespaces
            .iter()
            .map(|(name, labels)| LabelsEntry {
                name: name.to_string(),
                labels,
            })
            .collect(),
        pods: edits
            .pods
            .iter()
            .map(|(key, labels)| LabelsEntry {
                name: key.to_string(),
                labels,
            })
            .collect(),
        new: diff
            .new
            .iter()
            .map(|(key, directions)| NewEntry {
                name: key.to_string(),
                isolated: directions.iter().map(Direction::to_string).collect(),
            })
            .collect(),
        gone: diff.gone.iter().map(ToString::to_string).collect(),
    };
    serde_json::to_writer(&mut *to, &document)?;
    writeln!(to)
}

/// Changes one by one: their lists of names may be long.
fn changes<S: Serializer>(diff: &Diff<'_>, serializer: S) -> Result<S::Ok, S::Error> {
    let mut list = serializer.serialize_seq(Some(diff.changes.len()))?;
    for change in &diff.changes {
        list.serialize_element(&change_entry(diff, change))?;
    }
    list.end()
}

fn change_entry<'a>(diff: &'a Diff<'a>, change: &'a Change) -> ChangeEntry<'a> {
    ChangeEntry {
        effect: change.effect.to_string(),
        from: names(diff, &change.from),
        to: names(diff, &change.to),
        family: change.family.map(|family| family.to_string()),
        ports: Transports::of(&change.ports),
        pod_pairs: change.pairs,
        outside_pairs: change.outside,
        egress: change.cause.egress.as_ref().map(side),
        ingress: change.cause.ingress.as_ref().map(side),
        witness: WitnessEntry {
            source: change.witness.source.to_string(),
            destination: change.witness.destination.to_string(),
            transport: change.witness.transport.to_string(),
        },
    }
}

fn names<'a>(diff: &'a Diff<'a>, ends: &[End]) -> Vec<&'a str> {
    let names = diff.ends().names;
    ends.iter().map(|end| names.end(*end)).collect()
}

fn side(side: &Side) -> SideEntry {
    let grants = side.grants.iter().map(|grant| match grant {
        Grant::Open => GrantEntry::Open { open: true },
        Grant::Rule(policy, rule) => GrantEntry::Rule {
            policy: policy.to_string(),
            rule: *rule,
        },
    });
    SideEntry {
        isolating: side.isolating.iter().map(ToString::to_string).collect(),
        grants: grants.collect(),
    }
}

fn entry<'a>(diff: &'a Diff<'a>, isolation: &'a Isolation) -> IsolationEntry<'a> {
    IsolationEntry {
        direction: isolation.direction.to_string(),
        becomes: match isolation.becomes {
            Becomes::Isolated => "isolated",
            Becomes::Open => "open",
        },
        pods: names(diff, &isolation.pods),
        count: diff.count(isolation.pods.iter().copied()),
        policies: isolation.policies.iter().map(ToString::to_string).collect(),
    }
}
