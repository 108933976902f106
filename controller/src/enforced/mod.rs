//! What nodes enforce of each policy.
//!
//! A policy is enforced on a node when three things hold: what is published of it and of the node's pods is what they mean now,
//! the node's kernel has exactly that rule set, and exactly those policies. The first is found out by compiling the objects
//! anew, as the controller does; the others are what the node reports. Each is compared here, and where one does not hold, it is
//! said which. Who is in a group in a kernel, no node reports: `verify` reads that.

mod difference;
mod groups;
mod node;
mod stored;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use palisade_audit::inventory::Inventory;
use palisade_policy::cluster::ClusterState;
use palisade_policy::compile::{self, Published as Compiled};
use palisade_policy::model::{NodeName, Policy, PolicyKey};
use palisade_policy::rules::CompiledPolicy;
use serde::{Serialize, Serializer};

use crate::inventory::Published;
use groups::Groups;
use node::Yardstick;
use stored::{Stored, Told};

pub use difference::{Aspect, Difference, Pods};
pub use node::NodeState;

/// The state of all policies and nodes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Enforcement {
    /// Every policy, and every one that is still published.
    #[serde(serialize_with = "named")]
    pub policies: BTreeMap<PolicyKey, PolicyState>,
    /// Every node that has a rule set or pods.
    #[serde(serialize_with = "named")]
    pub nodes: BTreeMap<NodeName, NodeState>,
}

/// How far a policy has come.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PolicyState {
    /// Whether what is published of it, and of the pods that it lets in and out, is what it means.
    pub publication: Publication,
    /// How many pods it selects.
    pub pods: usize,
    /// Parts of it that could not be understood and allow nothing.
    pub defects: usize,
    /// The nodes of these pods.
    #[serde(serialize_with = "texts")]
    pub nodes: BTreeSet<NodeName>,
    /// Those of them whose kernel enforces it.
    #[serde(serialize_with = "texts")]
    pub enforced: BTreeSet<NodeName>,
    /// The longest time that one of its nodes took for its newest rule set, in milliseconds.
    pub lag_milliseconds: Option<u64>,
}

/// Whether what is published of a policy is what it means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Publication {
    /// It is.
    Current,
    /// It is what the policy meant before.
    Outdated,
    /// Nothing is published.
    Missing,
    /// The policy is gone, and still published.
    Superfluous,
}

impl Enforcement {
    /// Compares the objects with what is published of them and with what nodes report.
    pub fn of(inventory: &Inventory, published: &Published) -> Self {
        let state = inventory.without_placeholders();
        let compiled = compile::compile(&state);
        let stored = Stored::new(published);
        let groups = Groups::of(&compiled, &stored);
        let known: BTreeMap<NodeName, Told<'_>> = published
            .rule_sets
            .iter()
            .map(|rule_set| {
                let name = rule_set.metadata.name.as_deref().unwrap_or_default();
                (NodeName::from(name), stored.told(rule_set))
            })
            .collect();
        let yardstick = Yardstick {
            stored: &stored,
            groups: &groups,
            nodes_known: !state.nodes().is_empty(),
        };
        let wanted = |name: &NodeName| compiled.nodes.get(name).map(Arc::as_ref);
        let with_pods = compiled
            .nodes
            .iter()
            .filter(|(_, wanted)| !wanted.pods.is_empty());
        let names: BTreeSet<&NodeName> = known.keys().chain(with_pods.map(|(name, _)| name)).collect();
        let nodes = names
            .into_iter()
            .map(|name| (name.clone(), yardstick.measure(known.get(name), wanted(name))));
        let nodes: BTreeMap<NodeName, NodeState> = nodes.collect();
        let policies = policies(&state, &compiled, &stored, &groups, &nodes);
        Self { policies, nodes }
    }

    /// Whether every policy is enforced on every node of its pods, and no node has anything to complain of.
    pub fn is_complete(&self) -> bool {
        self.policies.values().all(PolicyState::is_complete)
            && self
                .nodes
                .values()
                .all(|node| node.differences.is_empty() && node.degraded.is_none())
    }
}

impl PolicyState {
    /// Whether the policy is enforced wherever it selects a pod.
    pub fn is_complete(&self) -> bool {
        self.publication == Publication::Current && self.enforced == self.nodes && self.defects == 0
    }
}

impl Publication {
    /// A word for tables.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Current => "current",
            Self::Outdated => "outdated",
            Self::Missing => "missing",
            Self::Superfluous => "superfluous",
        }
    }
}

fn policies(
    state: &ClusterState,
    compiled: &Compiled,
    stored: &Stored,
    groups: &Groups,
    nodes: &BTreeMap<NodeName, NodeState>,
) -> BTreeMap<PolicyKey, PolicyState> {
    let slices = compiled.policies.values().flat_map(BTreeMap::values);
    let wanted: BTreeMap<&PolicyKey, &Arc<CompiledPolicy>> =
        slices.flat_map(|slice| &slice.policies).collect();
    let published = stored.policies();
    let subjects = subjects(state);
    let mut states = BTreeMap::new();
    for (key, policy) in state.policies() {
        let publication = match (published.get(key), wanted.get(key)) {
            (None, _) => Publication::Missing,
            (Some(found), Some(wanted)) if found == *wanted && groups.are_current(wanted.rules.groups()) => {
                Publication::Current
            }
            (Some(_), _) => Publication::Outdated,
        };
        let selected = subjects.get(key).map(Vec::as_slice).unwrap_or_default();
        let mut state = PolicyState {
            publication,
            pods: selected.len(),
            defects: policy.defects.len(),
            nodes: selected.iter().copied().flatten().cloned().collect(),
            enforced: BTreeSet::new(),
            lag_milliseconds: None,
        };
        let confirmed = |node: &&NodeName| {
            let state = nodes.get(*node);
            state.is_some_and(|state| !state.differences.iter().any(Difference::concerns_every_policy))
        };
        if publication == Publication::Current {
            state.enforced = state.nodes.iter().filter(confirmed).cloned().collect();
        }
        let lags = state
            .enforced
            .iter()
            .filter_map(|node| nodes.get(node)?.lag_milliseconds);
        state.lag_milliseconds = lags.max();
        states.insert(key.clone(), state);
    }
    for key in published.keys().filter(|key| !wanted.contains_key(*key)) {
        states.insert(key.clone(), PolicyState::superfluous());
    }
    states
}

impl PolicyState {
    fn superfluous() -> Self {
        Self {
            publication: Publication::Superfluous,
            pods: 0,
            defects: 0,
            nodes: BTreeSet::new(),
            enforced: BTreeSet::new(),
            lag_milliseconds: None,
        }
    }
}

/// The pods that each policy selects: the node of each.
fn subjects(state: &ClusterState) -> BTreeMap<&PolicyKey, Vec<Option<&NodeName>>> {
    let mut policies: BTreeMap<_, Vec<&Policy>> = BTreeMap::new();
    for policy in state.policies().values() {
        policies.entry(&policy.key.namespace).or_default().push(policy);
    }
    let mut subjects: BTreeMap<&PolicyKey, Vec<_>> = BTreeMap::new();
    for pod in state.pods().values().filter(|pod| pod.is_workload()) {
        for policy in policies.get(&pod.key.namespace).into_iter().flatten() {
            if policy.subject.matches(&pod.labels) {
                subjects.entry(&policy.key).or_default().push(pod.node.as_ref());
            }
        }
    }
    subjects
}

fn texts<'a, T: fmt::Display + 'a, S: Serializer>(
    values: impl IntoIterator<Item = &'a T>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(values.into_iter().map(ToString::to_string))
}

fn named<K: fmt::Display, V: Serialize, S: Serializer>(
    values: &BTreeMap<K, V>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_map(values.iter().map(|(key, value)| (key.to_string(), value)))
}
