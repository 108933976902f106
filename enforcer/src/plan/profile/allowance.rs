//! What the policies of a profile allow, united and sorted by shape.

use std::collections::{BTreeMap, BTreeSet};

use palisade_policy::model::{IpBlock, PortRange, Protocol, Sorted};
use palisade_policy::rules::{
    CompiledPeers, CompiledPort, CompiledPorts, CompiledRule, GroupId, Profile, ProfileRules,
};

use super::super::address::{ALL_PORTS, PortSpan};
use super::super::group::Groups;
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

/// How a rule uses the members of a group. The rules of a chain follow from the uses and not from who is in the groups just now, so
/// that a pod that comes or goes moves elements only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Use {
    /// All ports.
    All,
    /// Some ports.
    On(Ports),
    /// In a protocol, the ports that each member declares.
    OfMembers(u8),
}

/// The union of the rules of a profile's policies.
#[derive(Default)]
pub(super) struct Allowance<'a> {
    /// Everybody on all ports: nothing else matters.
    pub(super) everything: bool,
    /// Ports for everybody.
    pub(super) everybody: BTreeSet<Ports>,
    /// Groups whose members are copied.
    pub(super) uses: BTreeMap<GroupId, BTreeSet<Use>>,
    /// Large groups, on all ports or on some.
    pub(super) large: BTreeSet<(GroupId, Option<Ports>)>,
    /// Blocks on all ports.
    pub(super) blocks: BTreeSet<&'a IpBlock>,
    /// Blocks on some ports.
    pub(super) block_ports: BTreeSet<(&'a IpBlock, Ports)>,
}

impl<'a> Allowance<'a> {
    pub(super) fn of(rules: &'a ProfileRules, groups: &Groups) -> Self {
        let mut allowance = Self::default();
        for rule in rules.rules() {
            allowance.add(rule, &rules.profile, groups);
        }
        if allowance.everything {
            return Self {
                everything: true,
                ..Self::default()
            };
        }
        allowance
    }

    fn add(&mut self, rule: &'a CompiledRule, profile: &Profile, groups: &Groups) {
        match (&rule.peers, &rule.ports) {
            (CompiledPeers::All, CompiledPorts::All) => self.everything = true,
            (CompiledPeers::All, CompiledPorts::AnyOf(ports)) => {
                self.everybody.extend(numbers(ports, profile));
            }
            // A rule of members' ports has groups as peers; for everybody it would have no members to ask.
            (CompiledPeers::All, CompiledPorts::OfMembers(_)) => {}
            (CompiledPeers::AnyOf { groups: ids, blocks }, CompiledPorts::All) => {
                self.blocks.extend(blocks);
                for group in ids {
                    self.add_peers(*group, groups, None);
                }
            }
            (CompiledPeers::AnyOf { groups: ids, blocks }, CompiledPorts::AnyOf(ports)) => {
                for ports in numbers(ports, profile) {
                    self.block_ports.extend(blocks.iter().map(|block| (block, ports)));
                    for group in ids {
                        self.add_peers(*group, groups, Some(ports));
                    }
                }
            }
            (CompiledPeers::AnyOf { groups: ids, .. }, CompiledPorts::OfMembers(protocol)) => {
                for group in ids {
                    let uses = self.uses.entry(*group).or_default();
                    uses.insert(Use::OfMembers(protocol.number()));
                }
            }
        }
    }

    fn add_peers(&mut self, group: GroupId, groups: &Groups, ports: Option<Ports>) {
        if groups.is_large(&group) {
            self.large.insert((group, ports));
        } else {
            let uses = self.uses.entry(group).or_default();
            uses.insert(ports.map_or(Use::All, Use::On));
        }
    }
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
