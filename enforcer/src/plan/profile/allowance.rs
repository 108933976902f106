//! What the policies of a profile allow, united and sorted by shape.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use palisade_policy::model::{IpBlock, PortRange, Protocol, Sorted};
use palisade_policy::rules::{
    CompiledPeers, CompiledPort, CompiledPorts, CompiledRule, GroupId, Member, NodeRules, Profile,
};

use super::super::Members;
use super::super::address::{ALL_PORTS, PortSpan};
use crate::nft::model::Match;

/// Ports of a protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Ports {
    pub(super) protocol: u8,
    pub(super) span: PortSpan,
}

impl Ports {
    fn all(protocol: Protocol) -> Self {
        Self {
            protocol: protocol.number(),
            span: ALL_PORTS,
        }
    }

    fn range(protocol: Protocol, range: PortRange) -> Self {
        Self {
            protocol: protocol.number(),
            span: (range.first(), range.last()),
        }
    }

    fn single(protocol: Protocol, port: u16) -> Self {
        Self {
            protocol: protocol.number(),
            span: (port, port),
        }
    }

    /// The conditions on a packet in a rule of its own.
    pub(super) fn matches(self) -> Vec<Match> {
        let protocol = Match::Protocol(self.protocol);
        let (first, last) = self.span;
        match PortRange::new(first, last) {
            Ok(range) => vec![protocol, Match::DestinationPorts(range)],
            // Every port, 0 included: the protocol alone.
            Err(_) => vec![protocol],
        }
    }
}

/// Which shapes occur in the policies, whoever is in their groups just now: the rules of a chain follow from this, so
/// that a pod that comes or goes moves elements only.
#[derive(Default)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each tells of one set and one rule, independently"
)]
pub(super) struct Shapes {
    pub(super) peers: bool,
    pub(super) peer_protocols: bool,
    pub(super) peer_ports: bool,
    pub(super) blocks: bool,
    pub(super) block_ports: bool,
}

/// The union of the rules of a profile's policies.
#[derive(Default)]
pub(super) struct Allowance<'a> {
    /// Everybody on all ports: nothing else matters.
    pub(super) everything: bool,
    pub(super) shapes: Shapes,
    /// Ports for everybody.
    pub(super) everybody: BTreeSet<Ports>,
    /// Pods on all ports.
    pub(super) peers: BTreeSet<IpAddr>,
    /// Pods on all ports of a protocol.
    pub(super) peer_protocols: BTreeSet<(IpAddr, u8)>,
    /// Pods on single ports.
    pub(super) peer_ports: BTreeSet<(IpAddr, u8, u16)>,
    /// Pods on ranges of ports.
    pub(super) peer_ranges: BTreeMap<Ports, BTreeSet<IpAddr>>,
    /// Large groups, on all ports or on some.
    pub(super) large: BTreeSet<(&'a GroupId, Option<Ports>)>,
    /// Blocks on all ports.
    pub(super) blocks: BTreeSet<&'a IpBlock>,
    /// Blocks on some ports.
    pub(super) block_ports: BTreeSet<(&'a IpBlock, Ports)>,
}

impl<'a> Allowance<'a> {
    pub(super) fn of(profile: &'a Profile, rules: &'a NodeRules, members: &Members<'a>) -> Self {
        let mut allowance = Self::default();
        let policies = profile.policies.iter().filter_map(|key| rules.policies.get(key));
        for rule in policies
            .filter_map(|policy| policy.rules(profile.direction))
            .flatten()
        {
            allowance.add(rule, profile, members);
        }
        allowance
    }

    fn add(&mut self, rule: &'a CompiledRule, profile: &Profile, members: &Members<'a>) {
        match (&rule.peers, &rule.ports) {
            (CompiledPeers::All, CompiledPorts::All) => self.everything = true,
            (CompiledPeers::All, CompiledPorts::AnyOf(ports)) => {
                self.everybody.extend(numbers(ports, profile));
            }
            // A rule of members' ports has groups as peers; for everybody it would have no members to ask.
            (CompiledPeers::All, CompiledPorts::OfMembers(_)) => {}
            (CompiledPeers::AnyOf { groups, blocks }, CompiledPorts::All) => {
                self.shapes.blocks |= !blocks.is_empty();
                self.blocks.extend(blocks);
                for (group, members) in groups.iter().filter_map(|id| members.get_key_value(id)) {
                    if super::is_large(members) {
                        self.large.insert((group, None));
                    } else {
                        self.shapes.peers = true;
                        self.peers.extend(addresses(members));
                    }
                }
            }
            (CompiledPeers::AnyOf { groups, blocks }, CompiledPorts::AnyOf(ports)) => {
                let ports: Vec<Ports> = numbers(ports, profile).collect();
                self.shapes.block_ports |= !blocks.is_empty();
                self.block_ports.extend(
                    blocks
                        .iter()
                        .flat_map(|block| ports.iter().map(move |ports| (block, *ports))),
                );
                for (group, members) in groups.iter().filter_map(|id| members.get_key_value(id)) {
                    if super::is_large(members) {
                        self.large
                            .extend(ports.iter().map(|ports| (*group, Some(*ports))));
                    } else {
                        for ports in &ports {
                            self.add_peers(members, *ports);
                        }
                    }
                }
            }
            (CompiledPeers::AnyOf { groups, .. }, CompiledPorts::OfMembers(protocol)) => {
                self.shapes.peer_ports = true;
                for member in groups.iter().filter_map(|id| members.get(id)).flatten() {
                    let of_member = |address: &IpAddr| {
                        let address = *address;
                        member
                            .ports
                            .iter()
                            .map(move |port| (address, protocol.number(), *port))
                    };
                    self.peer_ports
                        .extend(member.addresses.iter().flat_map(of_member));
                }
            }
        }
    }

    fn add_peers(&mut self, members: &[&Member], ports: Ports) {
        let addresses = addresses(members);
        match ports.span {
            ALL_PORTS => {
                self.shapes.peer_protocols = true;
                self.peer_protocols
                    .extend(addresses.map(|address| (address, ports.protocol)));
            }
            (first, last) if first == last => {
                self.shapes.peer_ports = true;
                self.peer_ports
                    .extend(addresses.map(|address| (address, ports.protocol, first)));
            }
            _ => self.peer_ranges.entry(ports).or_default().extend(addresses),
        }
    }
}

fn addresses<'m>(members: &'m [&Member]) -> impl Iterator<Item = IpAddr> + 'm {
    members.iter().flat_map(|member| &member.addresses).copied()
}

/// Port entries as numbers, names resolved as the profile says.
fn numbers<'a>(ports: &'a Sorted<CompiledPort>, profile: &'a Profile) -> impl Iterator<Item = Ports> + 'a {
    ports.iter().flat_map(|port| match port {
        CompiledPort::Protocol(protocol) => vec![Ports::all(*protocol)],
        CompiledPort::Range(protocol, range) => vec![Ports::range(*protocol, *range)],
        CompiledPort::Named(name) => {
            let numbers = profile.named_ports.get(name).into_iter().flatten();
            numbers
                .map(|number| Ports::single(name.protocol, *number))
                .collect()
        }
    })
}
