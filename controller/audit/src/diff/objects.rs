//! What was edited between two states.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;

use palisade_policy::cluster::ClusterState;
use palisade_policy::model::{ContainerPort, Labels, NamespaceName, PolicyKey};

use super::pairing::{Pairing, is_own};
use crate::inventory::Inventory;
use crate::relation::is_plain;

/// What became of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Edit {
    /// It is new.
    Added,
    /// It is not there any more.
    Removed,
    /// It is not what it was.
    Changed,
}

impl fmt::Display for Edit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Added => "added",
            Self::Removed => "removed",
            Self::Changed => "changed",
        })
    }
}

/// What comes of the edit of a policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Meaning {
    /// Nothing: it says the same of every connection.
    None,
    /// A change is for its sake, or the isolation of a pod.
    Changes,
    /// Something for pods that only one of the states has, and nothing for others.
    ForOthers,
    /// Not everything was asked about: it may have a part in a change.
    Unknown,
}

impl Meaning {
    /// As it is called for programs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Changes => "changes",
            Self::ForOthers => "newOrGone",
            Self::Unknown => "unknown",
        }
    }
}

/// What is not as it was of a pod.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PodEdit {
    /// Labels, as `kubectl label` would write it: `team=ops`, `team-`.
    pub labels: Vec<String>,
    /// Ports with a name: `http 8080/TCP`, and of one that it has no more `http-`.
    pub ports: Vec<String>,
    /// Its addresses, where they are known and others than before.
    pub addresses: Vec<IpAddr>,
}

/// The objects that differ.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Edits {
    /// Policies, and what comes of it.
    pub policies: BTreeMap<PolicyKey, (Edit, Meaning)>,
    /// Namespaces with other labels, as `kubectl label` would write it.
    pub namespaces: BTreeMap<NamespaceName, Vec<String>>,
    /// Pods with other labels, ports or addresses, by what they are called.
    pub pods: BTreeMap<String, PodEdit>,
    /// Pods that have another name: what each was called.
    pub renamed: BTreeMap<String, BTreeSet<String>>,
}

/// The policies that differ.
pub(super) fn policies(before: &ClusterState, after: &ClusterState) -> BTreeMap<PolicyKey, Edit> {
    let keys: BTreeSet<&PolicyKey> = before.policies().keys().chain(after.policies().keys()).collect();
    let policies = keys.into_iter().filter_map(|key| {
        let edit = match (before.policies().get(key), after.policies().get(key)) {
            (None, Some(_)) => Edit::Added,
            (Some(_), None) => Edit::Removed,
            (Some(one), Some(other)) if one != other => Edit::Changed,
            (Some(_), Some(_)) | (None, None) => return None,
        };
        Some((key.clone(), edit))
    });
    policies.collect()
}

impl Edits {
    /// What differs between two states, where the policies that differ mean this.
    pub(super) fn of(
        inventories: [&Inventory; 2],
        pairing: &Pairing<'_>,
        policies: BTreeMap<PolicyKey, (Edit, Meaning)>,
    ) -> Self {
        let [before, after] = inventories;
        let known = before.state.namespaces();
        let namespaces = after.state.namespaces().iter().filter_map(|(name, namespace)| {
            let labels = relabelled(&known.get(name)?.labels, &namespace.labels, |_| true);
            (!labels.is_empty()).then(|| (name.clone(), labels))
        });
        let mut edits = Self {
            policies,
            namespaces: namespaces.collect(),
            ..Self::default()
        };
        for [was, is] in pairing.pods() {
            let name = pairing.name(1, is);
            let old = pairing.name(0, was);
            let same = old == name;
            // What a controller makes up is other for every pod, and says nothing.
            let labels = relabelled(&was.labels, &is.labels, |key| same || !is_own(key));
            let ports = redeclared(&was.ports, &is.ports);
            let made_up = before.placeholders.contains(&was.uid) || after.placeholders.contains(&is.uid);
            let moved = same && !made_up && was.addresses != is.addresses;
            let edit = PodEdit {
                labels,
                ports,
                addresses: if moved { is.addresses.clone() } else { Vec::new() },
            };
            if !same {
                edits.renamed.entry(name.clone()).or_default().insert(old);
            }
            if edit != PodEdit::default() {
                edits.pods.insert(name, edit);
            }
        }
        edits
    }

    /// Whether nothing differs.
    pub fn is_empty(&self) -> bool {
        self.policies.is_empty()
            && self.namespaces.is_empty()
            && self.pods.is_empty()
            && self.renamed.is_empty()
    }

    /// What became of a policy, if anything.
    pub fn policy(&self, key: &PolicyKey) -> Option<Edit> {
        self.policies.get(key).map(|(edit, _)| *edit)
    }
}

fn relabelled(before: &Labels, after: &Labels, counts: impl Fn(&str) -> bool) -> Vec<String> {
    let set = after
        .iter()
        .filter(|(key, value)| before.get(key) != Some(value.as_ref()) && counts(key))
        .map(|(key, value)| format!("{}={}", plain(key), plain(value)));
    let removed = before
        .iter()
        .filter(|(key, _)| after.get(key).is_none() && counts(key))
        .map(|(key, _)| format!("{}-", plain(key)));
    set.chain(removed).collect()
}

/// What was declared under names and is not any more, or with another number.
fn redeclared(before: &[ContainerPort], after: &[ContainerPort]) -> Vec<String> {
    let set = after
        .iter()
        .filter(|port| !before.contains(port))
        .map(|port| format!("{} {}/{}", port.name, port.number, port.protocol));
    let is_gone = |port: &&ContainerPort| {
        !after
            .iter()
            .any(|other| (&other.name, other.protocol) == (&port.name, port.protocol))
    };
    let gone = before.iter().filter(is_gone);
    set.chain(gone.map(|port| format!("{}-", port.name))).collect()
}

/// A part of a label, with letters escaped that no label may have.
fn plain(text: &str) -> String {
    if is_plain(text) {
        text.to_owned()
    } else {
        format!("{text:?}")
    }
}
