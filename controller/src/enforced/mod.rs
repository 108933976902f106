//! What nodes enforce of each policy.
//!
//! A policy is enforced on a node when three things hold: what is published of it is what it means now, the node's rule set
//! knows the pods there that it selects, and the node reports that its kernel has exactly that rule set and exactly
//! those policies. Each is compared here, and where one does not hold, it is said which.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use palisade_audit::inventory::Inventory;
use palisade_crds::{
    AcceptedPods, AcceptedPolicies, AcceptedResidents, AcceptedRules, DocumentError, NodeRuleSet, PodSlice,
    PolicySlice,
};
use palisade_policy::compile;
use palisade_policy::model::{NodeName, PodUid, Policy, PolicyKey};
use palisade_policy::rules::{CompiledPolicy, NodeId};
use serde::{Serialize, Serializer};

use crate::inventory::Published;

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
    /// Whether what is published of it is what it means.
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

/// What a node says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct NodeState {
    /// The revision that is published for it.
    pub revision: Option<u64>,
    /// The newest revision that it has seen.
    pub observed: Option<u64>,
    /// How many pods it enforces.
    pub pods: Option<u64>,
    /// Milliseconds from the publication of that revision until the kernel had it.
    pub lag_milliseconds: Option<u64>,
    /// Why its kernel is not known to enforce what is published. Empty: it does.
    #[serde(serialize_with = "texts")]
    pub differences: Vec<Difference>,
    /// What else is wrong there.
    pub degraded: Option<String>,
}

/// Why a node's kernel is not known to enforce what is published.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Difference {
    /// It has pods, and nothing is published for it.
    NoRuleSet,
    /// No enforcer has ever reported.
    NoStatus,
    /// Its kernel has another rule set than the one that is published.
    OtherRules,
    /// Its kernel has other policies than those that are published.
    OtherPolicies,
    /// It says itself that it does not enforce the newest rules.
    NotProgrammed {
        /// Its word for it.
        reason: String,
        /// Its sentence for it.
        message: String,
    },
    /// A document that it needs is missing: its kind and name.
    MissingSlice(String),
    /// A document that it needs cannot be read.
    Unreadable(String),
    /// Pods of the node are not in its rule set.
    UnknownPods(usize),
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoRuleSet => f.write_str("no rule set is published for it"),
            Self::NoStatus => f.write_str("no enforcer has reported yet"),
            Self::OtherRules => f.write_str("the kernel has another rule set than the one that is published"),
            Self::OtherPolicies => f.write_str("the kernel has other policies than those that are published"),
            Self::NotProgrammed { reason, message } => write!(f, "{reason}: {message}"),
            Self::MissingSlice(name) => write!(f, "{name} is missing"),
            Self::Unreadable(error) => write!(f, "a document cannot be read: {error}"),
            Self::UnknownPods(count) => write!(f, "{count} of its pods are not in its rule set"),
        }
    }
}

impl Enforcement {
    /// Compares the objects with what is published of them and with what nodes report.
    pub fn of(inventory: &Inventory, published: &Published) -> Self {
        let stored = Stored::new(published);
        let pods = pods_by_node(inventory);
        let known: BTreeMap<NodeName, Told<'_>> = published
            .rule_sets
            .iter()
            .map(|rule_set| (NodeName::from(rule_set.spec.node.as_str()), stored.told(rule_set)))
            .collect();
        let names: BTreeSet<&NodeName> = known.keys().chain(pods.keys()).collect();
        let nodes = names.into_iter().map(|name| {
            let own = pods.get(name).into_iter().flatten().copied();
            (name.clone(), NodeState::of(known.get(name), own, &stored))
        });
        let nodes: BTreeMap<NodeName, NodeState> = nodes.collect();
        let policies = policies(inventory, &stored, &nodes, &known);
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

/// The slices that are stored, by their names.
struct Stored {
    pods: BTreeMap<String, Result<AcceptedPods, DocumentError>>,
    policies: BTreeMap<String, Result<AcceptedPolicies, DocumentError>>,
}

/// What a node is told of its pods.
struct Told<'a> {
    rule_set: &'a NodeRuleSet,
    residents: Result<AcceptedResidents, Difference>,
}

impl Told<'_> {
    /// Whether a pod is among them.
    fn lists(&self, uid: &PodUid) -> bool {
        let residents = self.residents.iter().next();
        residents.is_some_and(|accepted| accepted.residents.pods.contains_key(uid))
    }
}

/// One of the slices that are stored.
fn find<T: Clone>(
    slices: &BTreeMap<String, Result<T, DocumentError>>,
    kind: &str,
    name: &str,
) -> Result<T, Difference> {
    match slices.get(name) {
        Some(Ok(accepted)) => Ok(accepted.clone()),
        Some(Err(error)) => Err(Difference::Unreadable(error.to_string())),
        None => Err(Difference::MissingSlice(format!("{kind} {name}"))),
    }
}

impl Stored {
    fn new(published: &Published) -> Self {
        let pods = published.pods.iter().map(|document| {
            let name = document.metadata.name.clone().unwrap_or_default();
            (name, AcceptedPods::try_from(document))
        });
        let policies = published.policies.iter().map(|document| {
            let name = document.metadata.name.clone().unwrap_or_default();
            (name, AcceptedPolicies::try_from(document))
        });
        Self {
            pods: pods.collect(),
            policies: policies.collect(),
        }
    }

    fn told<'a>(&self, rule_set: &'a NodeRuleSet) -> Told<'a> {
        let node = NodeId::of(&NodeName::from(rule_set.spec.node.as_str()));
        let accepted =
            AcceptedRules::try_from(rule_set).map_err(|error| Difference::Unreadable(error.to_string()));
        let residents = accepted
            .and_then(|rules| rules.unite(|id| find(&self.pods, "PodSlice", &PodSlice::name_of(&node, id))));
        Told { rule_set, residents }
    }

    fn policies(&self) -> BTreeMap<&PolicyKey, &CompiledPolicy> {
        let readable = self.policies.values().filter_map(|slice| slice.as_ref().ok());
        let policies = readable.flat_map(|accepted| &accepted.slice.policies);
        policies.map(|(key, policy)| (key, policy.as_ref())).collect()
    }

    /// One hash over the policies that a rule set needs, as its node reports it.
    fn hash(&self, residents: &AcceptedResidents) -> Result<String, Difference> {
        let selected = residents.select(|namespace, slice| {
            let name = PolicySlice::name_of(namespace, slice);
            find(&self.policies, "PolicySlice", &name)
        });
        selected.map(|selected| selected.policies)
    }
}

impl NodeState {
    fn of<'a>(told: Option<&Told<'_>>, pods: impl Iterator<Item = &'a PodUid>, stored: &Stored) -> Self {
        let Some(told) = told else {
            return Self {
                differences: vec![Difference::NoRuleSet],
                ..Self::default()
            };
        };
        let Told { rule_set, residents } = told;
        let mut differences = Vec::new();
        match residents {
            Ok(_) => {
                let unknown = pods.filter(|uid| !told.lists(uid)).count();
                differences.extend((unknown > 0).then_some(Difference::UnknownPods(unknown)));
            }
            Err(difference) => differences.push(difference.clone()),
        }
        let mut state = Self {
            revision: Some(rule_set.spec.revision),
            ..Self::default()
        };
        match &rule_set.status {
            None => differences.push(Difference::NoStatus),
            Some(status) => {
                state.observed = status.observed_revision;
                state.pods = status.pods;
                state.lag_milliseconds = status.lag_milliseconds;
                let condition = |kind: &str| status.conditions.iter().find(|found| found.type_ == kind);
                if let Some(programmed) = condition("Programmed").filter(|found| found.status != "True") {
                    differences.push(Difference::NotProgrammed {
                        reason: programmed.reason.clone(),
                        message: programmed.message.clone(),
                    });
                }
                let degraded = condition("Degraded").filter(|found| found.status == "True");
                state.degraded = degraded.map(|found| found.message.clone());
                if let Ok(residents) = residents {
                    if status.hash.as_ref() != Some(&residents.hash) {
                        differences.push(Difference::OtherRules);
                    }
                    match stored.hash(residents) {
                        Ok(hash) if status.policies.as_ref() == Some(&hash) => {}
                        Ok(_) => differences.push(Difference::OtherPolicies),
                        Err(difference) => differences.push(difference),
                    }
                }
            }
        }
        state.differences = differences;
        state
    }
}

/// The pods that take part in policies, by the node that they run on.
fn pods_by_node(inventory: &Inventory) -> BTreeMap<NodeName, BTreeSet<&PodUid>> {
    let mut nodes: BTreeMap<NodeName, BTreeSet<&PodUid>> = BTreeMap::new();
    for pod in inventory.state.pods().values().filter(|pod| pod.is_workload()) {
        if let Some(node) = &pod.node {
            nodes.entry(node.clone()).or_default().insert(&pod.uid);
        }
    }
    nodes
}

fn policies(
    inventory: &Inventory,
    stored: &Stored,
    nodes: &BTreeMap<NodeName, NodeState>,
    told: &BTreeMap<NodeName, Told<'_>>,
) -> BTreeMap<PolicyKey, PolicyState> {
    let compiled = compile::compile(&inventory.state);
    let slices = compiled.policies.values().flat_map(BTreeMap::values);
    let wanted: BTreeMap<&PolicyKey, &CompiledPolicy> = slices
        .flat_map(|slice| &slice.policies)
        .map(|(key, policy)| (key, policy.as_ref()))
        .collect();
    let published = stored.policies();
    let subjects = subjects(inventory);
    let mut states = BTreeMap::new();
    for (key, policy) in inventory.state.policies() {
        let publication = match published.get(key) {
            None => Publication::Missing,
            Some(found) if wanted.get(key) == Some(found) => Publication::Current,
            Some(_) => Publication::Outdated,
        };
        let selected = subjects.get(key).map(Vec::as_slice).unwrap_or_default();
        let mut state = PolicyState {
            publication,
            pods: selected.len(),
            defects: policy.defects.len(),
            nodes: selected.iter().filter_map(|(_, node)| (*node).cloned()).collect(),
            enforced: BTreeSet::new(),
            lag_milliseconds: None,
        };
        let confirmed = |node: &&NodeName| {
            let same = nodes.get(*node).is_some_and(|state| state.differences.is_empty());
            let told = told.get(*node);
            let residents = told.and_then(|told| told.residents.as_ref().ok());
            let reached =
                residents.is_some_and(|accepted| accepted.residents.namespaces.contains(&key.namespace));
            let mut here = selected.iter().filter(|(_, at)| *at == Some(*node));
            same && reached && here.all(|(uid, _)| told.is_some_and(|told| told.lists(uid)))
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
        states.insert((*key).clone(), PolicyState::superfluous());
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

/// The pods that each policy selects, with their nodes.
fn subjects(inventory: &Inventory) -> BTreeMap<&PolicyKey, Vec<(&PodUid, Option<&NodeName>)>> {
    let state = &inventory.state;
    let mut policies: BTreeMap<_, Vec<&Policy>> = BTreeMap::new();
    for policy in state.policies().values() {
        policies.entry(&policy.key.namespace).or_default().push(policy);
    }
    let mut subjects: BTreeMap<&PolicyKey, Vec<_>> = BTreeMap::new();
    for pod in state.pods().values().filter(|pod| pod.is_workload()) {
        for policy in policies.get(&pod.key.namespace).into_iter().flatten() {
            if policy.subject.matches(&pod.labels) {
                let selected = subjects.entry(&policy.key).or_default();
                selected.push((&pod.uid, pod.node.as_ref()));
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
