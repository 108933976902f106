//! The part of a cluster that has a say in an answer.

use std::collections::BTreeSet;

use std::net::IpAddr;

use palisade_policy::cluster::{ClusterState, Event};
use palisade_policy::model::{NamespaceName, Pod};

/// The pods that have some addresses, with their namespaces, the policies there and the nodes that they run on.
///
/// The verdict on a packet depends on nothing else: on who owns its two addresses, on the policies of these pods'
/// namespaces, and on their own nodes. Everything that is done for an answer is so of the size of the question.
pub(super) fn scene(state: &ClusterState, addresses: impl Iterator<Item = IpAddr>) -> ClusterState {
    let mut known = BTreeSet::new();
    let owners = addresses.filter_map(|address| state.owner(address));
    let pods: Vec<&Pod> = owners.filter(|pod| known.insert(&pod.uid)).collect();
    let spaces: BTreeSet<&NamespaceName> = pods.iter().map(|pod| &pod.key.namespace).collect();
    let nodes: BTreeSet<_> = pods.iter().filter_map(|pod| pod.node.as_ref()).collect();
    let namespaces = spaces.iter().filter_map(|name| state.namespaces().get(*name));
    let nodes = nodes.into_iter().filter_map(|name| state.nodes().get(name));
    let policies = state.policies().values();
    let policies = policies.filter(|policy| spaces.contains(&policy.key.namespace));
    let events = namespaces
        .cloned()
        .map(Event::NamespaceApplied)
        .chain(nodes.cloned().map(Event::NodeApplied))
        .chain(policies.cloned().map(Event::PolicyApplied));
    ClusterState::from_events(events.chain(pods.into_iter().cloned().map(Event::PodApplied)))
}
