//! A difference for programs.
//!
//! | field | what it has |
//! |---|---|
//! | `version` | 1; another where a field changes its meaning |
//! | `changed` | whether anything changes its meaning: `changes` or `isolation` has an entry, or a policy is `effective` |
//! | `changes[]` | `effect` (`allowed`, `denied`), `from` and `to` (names of classes and ranges), `family` (`IPv4`, `IPv6`, or `null`: each that both have), `ports` as `reach` has them, `podPairs` and `outsidePairs`, `egress` and `ingress` (`null`: has no part in it), `perhapsOthers`: not everything was asked about, `witness` |
//! | `changes[].egress` | `isolating`: in the state that denies, the policies that isolate the pod; `grants[]`: in the state that allows, what does: `open: true`, or `policy` and `rule` (counted from 0) |
//! | `isolation[]` | `direction`, `becomes` (`isolated`, `open`), `pods`, `count`, `policies` |
//! | `policies[]` | `name`, `edit` (`added`, `removed`, `changed`), `effective`: whether it may change anything, `meaning` (`none`, `changes`, `newOrGone`: only for pods that one of the states has, `unknown`: not everything was asked about) |
//! | `namespaces[]`, `pods[]` | `name` and `labels` that are others now, as `kubectl label` writes them; of pods also `ports` and `addresses` |
//! | `renamed[]` | pods that have another `name` now, and what they were called (`was`) |
//! | `new[]`, `gone[]` | pods that only one of the states has; of new ones the directions in which they are `isolated` |

use std::io::{self, Write};

use palisade_policy::model::Direction;
use palisade_policy::reach::End;
use serde::Serialize;
use serde::ser::{SerializeSeq, Serializer};

use super::word;
use crate::diff::{Becomes, Change, Diff, Grant, Isolation, Meaning, Side};
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
    pods: Vec<PodEntry<'a>>,
    renamed: Vec<RenamedEntry<'a>>,
    new: Vec<NewEntry<'a>>,
    gone: Vec<&'a str>,
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
    #[serde(rename = "perhapsOthers")]
    perhaps_others: bool,
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
    meaning: &'static str,
}

#[derive(Serialize)]
struct LabelsEntry<'a> {
    name: String,
    labels: &'a [String],
}

#[derive(Serialize)]
struct PodEntry<'a> {
    name: &'a str,
    labels: &'a [String],
    ports: &'a [String],
    addresses: Vec<String>,
}

#[derive(Serialize)]
struct RenamedEntry<'a> {
    name: &'a str,
    was: Vec<&'a str>,
}

#[derive(Serialize)]
struct NewEntry<'a> {
    name: &'a str,
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
            .map(|(key, (edit, meaning))| PolicyEntry {
                name: key.to_string(),
                edit: word(*edit),
                effective: *meaning != Meaning::None,
                meaning: meaning.as_str(),
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
            .map(|(name, edit)| PodEntry {
                name,
                labels: &edit.labels,
                ports: &edit.ports,
                addresses: edit.addresses.iter().map(ToString::to_string).collect(),
            })
            .collect(),
        renamed: edits
            .renamed
            .iter()
            .map(|(name, was)| RenamedEntry {
                name,
                was: was.iter().map(String::as_str).collect(),
            })
            .collect(),
        new: diff
            .new
            .iter()
            .map(|(name, directions)| NewEntry {
                name,
                isolated: directions.iter().map(Direction::to_string).collect(),
            })
            .collect(),
        gone: diff.gone.iter().map(String::as_str).collect(),
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
        perhaps_others: change.cause.perhaps_others,
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
