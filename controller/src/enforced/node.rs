//! What a node says of itself, beside what it should be told.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use palisade_crds::{AcceptedResidents, NodeRuleSetStatus};
use palisade_policy::model::{PodKey, PodUid};
use palisade_policy::rules::{Resident, Residents};
use serde::Serialize;

use super::difference::{Aspect, Difference, Pods};
use super::groups::Groups;
use super::stored::{Stored, Told};
use super::texts;

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
    /// Why its kernel is not known to enforce what the policies mean now. Empty: it does.
    #[serde(serialize_with = "texts")]
    pub differences: Vec<Difference>,
    /// What else is wrong there.
    pub degraded: Option<String>,
}

/// What all nodes are held against.
pub(super) struct Yardstick<'a> {
    pub(super) stored: &'a Stored,
    pub(super) groups: &'a Groups,
    /// Whether the nodes of the cluster are known: who may not list them knows none.
    pub(super) nodes_known: bool,
}

impl Yardstick<'_> {
    /// The state of one node: what it is told, and what it should be.
    pub(super) fn measure(&self, told: Option<&Told<'_>>, wanted: Option<&Residents>) -> NodeState {
        let Some(Told { rule_set, residents }) = told else {
            return NodeState {
                differences: vec![Difference::NoRuleSet],
                ..NodeState::default()
            };
        };
        let mut state = NodeState {
            revision: Some(rule_set.spec.revision),
            ..NodeState::default()
        };
        match residents {
            Ok(accepted) => state
                .differences
                .extend(self.outdated(&accepted.residents, wanted)),
            Err(difference) => state.differences.push(difference.clone()),
        }
        let Some(status) = &rule_set.status else {
            state.differences.push(Difference::NoStatus);
            return state;
        };
        state.observed = status.observed_revision;
        state.pods = status.pods;
        state.lag_milliseconds = status.lag_milliseconds;
        let degraded = of_type(status, "Degraded").find(|found| found.status != "False");
        state.degraded = degraded.map(|found| match found.message.as_str() {
            "" => found.reason.clone(),
            message => message.to_owned(),
        });
        state.differences.extend(unprogrammed(status));
        if let Ok(residents) = residents {
            let reported = self.reported(status, residents, rule_set.spec.revision);
            state.differences.extend(reported);
        }
        state
    }

    /// Where what is published for a node is not what it should be.
    fn outdated(&self, published: &Residents, wanted: Option<&Residents>) -> Vec<Difference> {
        let nothing = Residents {
            node: published.node.clone(),
            pod_networks: Vec::new(),
            pods: BTreeMap::new(),
            namespaces: [].into(),
        };
        if wanted.is_none() && self.nodes_known {
            return vec![Difference::NoNode];
        }
        let wanted = wanted.unwrap_or(&nothing);
        let mut differences = pods(&published.pods, &wanted.pods);
        if self.nodes_known && published.pod_networks != wanted.pod_networks {
            differences.push(Difference::OtherNetworks);
        }
        let namespace = published
            .namespaces
            .symmetric_difference(&wanted.namespaces)
            .next();
        differences.extend(namespace.map(|name| Difference::OtherNamespaces(name.to_string())));
        differences
    }

    /// Where the node reports something else than what is published, or what cannot be.
    fn reported(
        &self,
        status: &NodeRuleSetStatus,
        residents: &AcceptedResidents,
        revision: u64,
    ) -> Vec<Difference> {
        let mut differences = Vec::new();
        if status.hash.as_ref() == Some(&residents.hash) {
            differences.extend((status.observed_revision != Some(revision)).then_some(
                Difference::OtherRevision {
                    observed: status.observed_revision,
                    revision,
                },
            ));
            differences.extend(miscounted(status.pods, &residents.residents.pods));
        } else {
            differences.push(Difference::OtherRules);
        }
        match self.stored.select(residents) {
            Ok(selected) => {
                if status.policies.as_ref() != Some(&selected.policies) {
                    differences.push(Difference::OtherPolicies);
                }
                differences.extend(self.groups.differences(selected.rules.groups.iter()));
            }
            Err(difference) => differences.push(difference),
        }
        differences
    }
}

/// The conditions of a type. There should be one.
fn of_type<'s>(status: &'s NodeRuleSetStatus, kind: &'s str) -> impl Iterator<Item = &'s Condition> {
    status.conditions.iter().filter(move |found| found.type_ == kind)
}

/// Whether the node does not say that it enforces the newest rules.
fn unprogrammed(status: &NodeRuleSetStatus) -> Option<Difference> {
    let mut programmed = of_type(status, "Programmed").peekable();
    if programmed.peek().is_none() {
        return Some(Difference::Unsaid);
    }
    let found = programmed.find(|found| found.status != "True")?;
    Some(Difference::NotProgrammed {
        reason: found.reason.clone(),
        message: found.message.clone(),
    })
}

/// Whether a number of pods cannot be that of these. A pod that has no address yet may count or not.
fn miscounted(enforced: Option<u64>, pods: &BTreeMap<PodUid, Arc<Resident>>) -> Option<Difference> {
    let connected = pods.values().filter(|pod| !pod.addresses.is_empty()).count();
    let number = enforced.and_then(|number| usize::try_from(number).ok());
    let fits = number.is_some_and(|number| (connected..=pods.len()).contains(&number));
    (!fits).then_some(Difference::OtherNumber {
        enforced,
        pods: pods.len(),
    })
}

/// Where the pods that are published are not those that there are.
fn pods(
    published: &BTreeMap<PodUid, Arc<Resident>>,
    wanted: &BTreeMap<PodUid, Arc<Resident>>,
) -> Vec<Difference> {
    let without = |these: &BTreeMap<PodUid, Arc<Resident>>, uid: &PodUid, pod: &Resident| {
        these.get(uid).is_none_or(|other| other.key != pod.key)
    };
    let unknown = wanted.iter().filter(|(uid, pod)| without(published, uid, pod));
    let gone = published.iter().filter(|(uid, pod)| without(wanted, uid, pod));
    let changed = |differ: fn(&Resident, &Resident) -> bool| {
        let both = wanted
            .iter()
            .filter_map(|(uid, pod)| Some((pod, published.get(uid)?)));
        let differing = both.filter(move |(one, other)| one.key == other.key && differ(one, other));
        Pods::of(differing.map(|(pod, _)| &pod.key))
    };
    let labels = changed(|one, other| one.labels != other.labels);
    let addresses = changed(|one, other| one.addresses != other.addresses);
    let ports = changed(|one, other| one.ports != other.ports);
    let differences = [
        Pods::of(unknown.map(key)).map(Difference::UnknownPods),
        Pods::of(gone.map(key)).map(Difference::GonePods),
        labels.map(|pods| Difference::ChangedPods(Aspect::Labels, pods)),
        addresses.map(|pods| Difference::ChangedPods(Aspect::Addresses, pods)),
        ports.map(|pods| Difference::ChangedPods(Aspect::Ports, pods)),
    ];
    differences.into_iter().flatten().collect()
}

fn key<'a>((_, pod): (&'a PodUid, &'a Arc<Resident>)) -> &'a PodKey {
    &pod.key
}
