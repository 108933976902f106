//! What a node makes of what is published: which policies isolate each of its pods.
//!
//! A policy is published once, for all nodes that have pods in its namespace, and not with the pods that it selects: so a
//! policy that changes is one write, however many nodes and pods it concerns. Selecting is done here, by each node for its own
//! pods. What comes out follows from the published objects alone.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::index::SelectorIndex;
use crate::model::{Direction, Labels, NamespaceName, PolicyKey};
use crate::rules::{
    CompiledPolicy, CompiledPort, CompiledPorts, LocalPod, NamedPort, NodeRules, PolicyRules, PolicySlice,
    Profile, Resident, Residents,
};

/// What a node has to enforce, from its pods and all slices of the policies of their namespaces.
pub fn assemble<'a>(residents: &Residents, slices: impl IntoIterator<Item = &'a PolicySlice>) -> NodeRules {
    let policies = Policies::new(slices);
    let mut selected: BTreeMap<(&NamespaceName, &Labels), Vec<(&PolicyKey, &PolicyRules)>> = BTreeMap::new();
    let mut rules = NodeRules {
        node: residents.node.clone(),
        pod_networks: residents.pod_networks.clone(),
        pods: BTreeMap::new(),
        profiles: BTreeMap::new(),
        policies: BTreeMap::new(),
        groups: BTreeSet::new(),
    };
    for (uid, pod) in &residents.pods {
        let class = (&pod.key.namespace, &pod.labels);
        let selecting = selected
            .entry(class)
            .or_insert_with(|| policies.selecting(class.0, class.1));
        let [ingress, egress] = [Direction::Ingress, Direction::Egress].map(|direction| {
            let profile = profile(pod, selecting, direction)?;
            let id = profile.id();
            rules.profiles.entry(id).or_insert(profile);
            Some(id)
        });
        let local = LocalPod {
            key: pod.key.clone(),
            addresses: pod.addresses.clone(),
            ingress,
            egress,
        };
        rules.pods.insert(uid.clone(), local);
    }
    let used: BTreeSet<&PolicyKey> = rules
        .profiles
        .values()
        .flat_map(|profile| &profile.policies)
        .collect();
    for key in used {
        if let Some(policy) = policies.known.get(key) {
            rules.groups.extend(policy.rules.groups().copied());
            rules.policies.insert(key.clone(), policy.rules.clone());
        }
    }
    rules
}

/// The policies of the node's namespaces, by what they select.
#[derive(Default)]
struct Policies<'a> {
    known: BTreeMap<&'a PolicyKey, &'a Arc<CompiledPolicy>>,
    by_subject: BTreeMap<&'a NamespaceName, SelectorIndex<&'a PolicyKey>>,
}

impl<'a> Policies<'a> {
    fn new(slices: impl IntoIterator<Item = &'a PolicySlice>) -> Self {
        let mut policies = Self::default();
        for slice in slices {
            let index = policies.by_subject.entry(&slice.namespace).or_default();
            for (key, policy) in &slice.policies {
                index.insert(&policy.subject, &key);
                policies.known.insert(key, policy);
            }
        }
        policies
    }

    /// The policies that select pods with these labels, in order.
    fn selecting(&self, namespace: &NamespaceName, labels: &Labels) -> Vec<(&'a PolicyKey, &'a PolicyRules)> {
        let index = self.by_subject.get(namespace).into_iter();
        let candidates: BTreeSet<&'a PolicyKey> = index
            .flat_map(|index| index.candidates(labels))
            .copied()
            .collect();
        let known = candidates
            .into_iter()
            .filter_map(|key| Some((key, *self.known.get(key)?)));
        let selecting = known.filter(|(_, policy)| policy.subject.matches(labels));
        selecting.map(|(key, policy)| (key, &policy.rules)).collect()
    }
}

/// The profile of a pod in one direction; `None` where none of the policies that select it isolates it.
fn profile(
    pod: &Resident,
    selecting: &[(&PolicyKey, &PolicyRules)],
    direction: Direction,
) -> Option<Profile> {
    let mut policies = BTreeSet::new();
    let mut named_ports = BTreeMap::new();
    for (key, rules) in selecting {
        let Some(rules) = rules.rules(direction) else {
            continue;
        };
        policies.insert((*key).clone());
        // Names of ports in egress rules are resolved on the peers.
        if direction == Direction::Egress {
            continue;
        }
        for name in rules.iter().flat_map(|rule| port_names(&rule.ports)) {
            if let Some(numbers) = pod.ports.get(name) {
                named_ports.insert(name.clone(), numbers.iter().copied().collect());
            }
        }
    }
    (!policies.is_empty()).then_some(Profile {
        direction,
        policies,
        named_ports,
    })
}

/// The port names of a rule that are resolved on the pods that its policy selects.
fn port_names(ports: &CompiledPorts) -> impl Iterator<Item = &NamedPort> {
    let ports = match ports {
        CompiledPorts::AnyOf(ports) => Some(ports),
        CompiledPorts::All | CompiledPorts::OfMembers(_) => None,
    };
    ports.into_iter().flatten().filter_map(|port| match port {
        CompiledPort::Named(name) => Some(name),
        CompiledPort::Protocol(_) | CompiledPort::Range(..) => None,
    })
}
