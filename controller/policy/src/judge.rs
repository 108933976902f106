//! The rules of the nodes read back as verdicts, as an enforcer would apply them.
//!
//! This is what a node does in the kernel, done in plain code: for tests that hold the published form to the oracle
//! without a kernel, and for an enforcer that must judge a connection again.

use std::collections::BTreeMap;
use std::net::IpAddr;

use crate::compile::Published;
use crate::model::{Direction, Node, NodeName, Packet, Transport, Verdict};
use crate::rules::{
    CompiledPeers, CompiledPort, CompiledPorts, CompiledRule, Group, GroupId, LocalPod, NodeRules, Profile,
};

/// What all nodes together enforce.
#[derive(Clone, Debug)]
pub struct Enforced {
    /// The rules of each node.
    pub nodes: BTreeMap<NodeName, NodeRules>,
    /// All groups.
    pub groups: BTreeMap<GroupId, Group>,
}

impl From<&Published> for Enforced {
    fn from(published: &Published) -> Self {
        let rules = |node: &NodeName| Some((node.clone(), published.rules(node)?));
        Self {
            nodes: published.nodes.keys().filter_map(rules).collect(),
            groups: published.groups.clone(),
        }
    }
}

/// Judges a packet by what is enforced: on the node of each side that is a pod.
///
/// `nodes` tells which addresses are a node's own; traffic with them never reaches the forward hook.
pub fn judge(enforced: &Enforced, packet: &Packet, nodes: &BTreeMap<NodeName, Node>) -> Verdict {
    let source = resident(enforced, packet.source);
    let destination = resident(enforced, packet.destination);
    let is_own_node = |rules: &NodeRules, address| {
        nodes
            .get(&rules.node)
            .is_some_and(|node| node.addresses.contains(&address))
    };
    match (source, destination) {
        (Some((rules, _)), None) if is_own_node(rules, packet.destination) => return Verdict::Allow,
        (None, Some((rules, _))) if is_own_node(rules, packet.source) => return Verdict::Allow,
        (Some((_, source)), Some((_, destination))) if std::ptr::eq(source, destination) => {
            return Verdict::Allow;
        }
        _ => {}
    }
    let sides = [
        (source, Direction::Egress, packet.destination),
        (destination, Direction::Ingress, packet.source),
    ];
    let allowed = sides.into_iter().all(|(side, direction, other)| {
        side.is_none_or(|(rules, pod)| {
            allows(rules, &enforced.groups, pod, direction, other, packet.transport)
        })
    });
    if allowed { Verdict::Allow } else { Verdict::Deny }
}

/// The pod that has an address, and its node's rules.
fn resident(enforced: &Enforced, address: IpAddr) -> Option<(&NodeRules, &LocalPod)> {
    enforced.nodes.values().find_map(|rules| {
        let pod = rules.pods.values().find(|pod| pod.addresses.contains(&address))?;
        Some((rules, pod))
    })
}

/// Whether a pod's own node lets a connection pass in one direction.
pub fn allows(
    rules: &NodeRules,
    groups: &BTreeMap<GroupId, Group>,
    pod: &LocalPod,
    direction: Direction,
    other: IpAddr,
    transport: Transport,
) -> bool {
    let Some(id) = pod.profile(direction) else {
        return true;
    };
    // A reference that leads nowhere denies.
    let Some(profile) = rules.profiles.get(id) else {
        return false;
    };
    profile
        .rules()
        .any(|rule| rule_allows(rule, &profile.profile, groups, other, transport))
}

fn rule_allows(
    rule: &CompiledRule,
    profile: &Profile,
    groups: &BTreeMap<GroupId, Group>,
    other: IpAddr,
    transport: Transport,
) -> bool {
    match &rule.ports {
        CompiledPorts::All => peer_matches(&rule.peers, groups, other),
        CompiledPorts::AnyOf(ports) => {
            ports.iter().any(|port| port_matches(port, profile, transport))
                && peer_matches(&rule.peers, groups, other)
        }
        CompiledPorts::OfMembers(wanted) => {
            let (Transport::Port(protocol, number), CompiledPeers::AnyOf { groups: ids, .. }) =
                (transport, &rule.peers)
            else {
                return false;
            };
            let members = ids
                .iter()
                .filter_map(|id| groups.get(id))
                .flat_map(|group| group.members.values());
            protocol == *wanted
                && members
                    .into_iter()
                    .any(|member| member.addresses.contains(&other) && member.ports.contains(&number))
        }
    }
}

fn peer_matches(peers: &CompiledPeers, groups: &BTreeMap<GroupId, Group>, other: IpAddr) -> bool {
    match peers {
        CompiledPeers::All => true,
        CompiledPeers::AnyOf { groups: ids, blocks } => {
            let mut members = ids
                .iter()
                .filter_map(|id| groups.get(id))
                .flat_map(|group| group.members.values());
            members.any(|member| member.addresses.contains(&other))
                || blocks.iter().any(|block| block.contains(other))
        }
    }
}

fn port_matches(port: &CompiledPort, profile: &Profile, transport: Transport) -> bool {
    let Transport::Port(protocol, number) = transport else {
        return false;
    };
    match port {
        CompiledPort::Protocol(wanted) => protocol == *wanted,
        CompiledPort::Range(wanted, range) => protocol == *wanted && range.contains(number),
        CompiledPort::Named(name) => {
            protocol == name.protocol
                && profile
                    .named_ports
                    .get(name)
                    .is_some_and(|numbers| numbers.contains(&number))
        }
    }
}
