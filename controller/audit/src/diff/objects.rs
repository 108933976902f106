//! What was edited between two states.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use palisade_policy::cluster::ClusterState;
use palisade_policy::model::{Labels, NamespaceName, Pod, PodKey, PolicyKey};

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

/// The objects that differ.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Edits {
    /// Policies, and whether any change is for their sake.
    pub policies: BTreeMap<PolicyKey, (Edit, bool)>,
    /// Namespaces with other labels, as `kubectl label` would write it: `team=ops`, `team-`.
    pub namespaces: BTreeMap<NamespaceName, Vec<String>>,
    /// Pods with other labels.
    pub pods: BTreeMap<PodKey, Vec<String>>,
}

impl Edits {
    /// What differs between two states. The policies that changes are for the sake of are `effective`.
    pub(super) fn of(before: &ClusterState, after: &ClusterState, effective: &BTreeSet<PolicyKey>) -> Self {
        let keys: BTreeSet<&PolicyKey> = before.policies().keys().chain(after.policies().keys()).collect();
        let policies = keys.into_iter().filter_map(|key| {
            let edit = match (before.policies().get(key), after.policies().get(key)) {
                (None, Some(_)) => Edit::Added,
                (Some(_), None) => Edit::Removed,
                (Some(one), Some(other)) if one != other => Edit::Changed,
                (Some(_), Some(_)) | (None, None) => return None,
            };
            Some((key.clone(), (edit, effective.contains(key))))
        });
        let namespaces = after.namespaces().iter().filter_map(|(name, namespace)| {
            let labels = relabelled(&before.namespaces().get(name)?.labels, &namespace.labels);
            (!labels.is_empty()).then(|| (name.clone(), labels))
        });
        let old: BTreeMap<&PodKey, &Pod> = workloads(before).collect();
        let pods = workloads(after).filter_map(|(key, pod)| {
            let labels = relabelled(&old.get(key)?.labels, &pod.labels);
            (!labels.is_empty()).then(|| (key.clone(), labels))
        });
        Self {
            policies: policies.collect(),
            namespaces: namespaces.collect(),
            pods: pods.collect(),
        }
    }

    /// Whether nothing differs.
    pub fn is_empty(&self) -> bool {
        self.policies.is_empty() && self.namespaces.is_empty() && self.pods.is_empty()
    }

    /// What became of a policy, if anything.
    pub fn policy(&self, key: &PolicyKey) -> Option<Edit> {
        self.policies.get(key).map(|(edit, _)| *edit)
    }
}

fn workloads(state: &ClusterState) -> impl Iterator<Item = (&PodKey, &Pod)> {
    let pods = state.pods().values();
    pods.filter(|pod| pod.is_workload()).map(|pod| (&pod.key, pod))
}

fn relabelled(before: &Labels, after: &Labels) -> Vec<String> {
    let set = after
        .iter()
        .filter(|(key, value)| before.get(key) != Some(value.as_ref()))
        .map(|(key, value)| format!("{}={}", plain(key), plain(value)));
    let removed = before
        .iter()
        .filter(|(key, _)| after.get(key).is_none())
        .map(|(key, _)| format!("{}-", plain(key)));
    set.chain(removed).collect()
}

/// A part of a label, with letters escaped that no label may have.
fn plain(text: &str) -> String {
    if is_plain(text) {
        text.to_owned()
    } else {
        format!("{text:?}")
    }
}
