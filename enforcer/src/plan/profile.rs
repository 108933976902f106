//! A profile as a chain: a handful of lookups, however many policies it stands for.
//!
//! What the policies allow is united and sorted by shape: addresses on all ports, on all ports of a protocol, on
//! single ports; address blocks alone and with ports; ports for everybody. Each shape that occurs is one set and one
//! rule a family. A further policy adds elements, not rules. Two shapes need a rule each: a range of ports for
//! pods (their addresses never go into an interval set, where a change would cost as much as the set is large), and
//! groups so large that copying them into profiles would cost more than a rule does.

mod allowance;

use std::collections::BTreeMap;
use std::net::IpAddr;

use palisade_policy::model::Direction;
use palisade_policy::rules::{CompiledPeers, CompiledPorts, GroupId, NodeRules, Profile, ProfileId};

use super::address::{self, Span};
use super::family::Family;
use super::forward::{in_set, itself, to_pods};
use super::{Members, name};
use crate::nft::model::{
    Chain, Comment, Element, Field, InvalidName, KeyType, Match, Name, Part, Rule, Ruleset, Set, Table,
    TableKey, Verdict,
};
use allowance::{Allowance, Ports};

/// Addresses in a group above which it is a set of its own, shared by all profiles that use it. A copy of a group costs
/// an element in each profile's set for every address, and again for every change; a shared set costs each profile a
/// rule, 60–85 ns for every packet that comes so far.
pub(super) const LARGE_GROUP: usize = 2_000;

/// Plans the chain of one profile and its sets.
pub(super) fn plan(
    ruleset: &mut Ruleset,
    id: &ProfileId,
    profile: &Profile,
    rules: &NodeRules,
    members: &Members<'_>,
) -> Result<(), InvalidName> {
    let table = ruleset.tables.entry(TableKey::Inet).or_default();
    let allowance = Allowance::of(profile, rules, members);
    let accept = match profile.direction {
        Direction::Egress => Verdict::Goto(to_pods()?),
        Direction::Ingress => Verdict::Accept,
    };
    let mut chain = Builder {
        table,
        name: name::profile(id, profile)?,
        accept,
        rules: Vec::new(),
    };
    if allowance.everything {
        chain.allow([]);
    } else {
        for family in Family::both() {
            chain.peers(&allowance, &family, profile.direction)?;
        }
        chain.ports_for_everybody(&allowance)?;
    }
    let description = name::describe(profile);
    let Builder { name, mut rules, .. } = chain;
    rules.push(Rule::new([], Verdict::Jump(itself()?)));
    rules.push(
        Rule::new([], Verdict::Drop)
            .counted()
            .commented(Comment::fit("no rule of these policies allows it")),
    );
    let comment = Some(description);
    ruleset.tables.entry(TableKey::Inet).or_default().chains.insert(
        name,
        Chain {
            hook: None,
            comment,
            rules,
        },
    );
    Ok(())
}

/// Plans the sets of the large groups that the node's rules use.
pub(super) fn plan_large_groups(
    ruleset: &mut Ruleset,
    rules: &NodeRules,
    members: &Members<'_>,
) -> Result<(), InvalidName> {
    let table = ruleset.tables.entry(TableKey::Inet).or_default();
    for (id, members) in members.iter().filter(|(_, members)| is_large(members)) {
        // A group of a named port has another number for each member and is never shared.
        if !is_plain(rules, id) {
            continue;
        }
        for family in Family::both() {
            let mut set = Set::hash([family.key]);
            let addresses = members
                .iter()
                .flat_map(|member| &member.addresses)
                .filter(|address| family.has(**address));
            set.elements = addresses
                .map(|address| Element::new(&[Part::address(*address)]))
                .collect();
            set.comment = Some(Comment::fit("a large group of pods, shared by profiles"));
            table.sets.insert(name::group(id, family.digit)?, set);
        }
    }
    Ok(())
}

/// Whether a group's members are too many to copy.
fn is_large(members: &[&palisade_policy::rules::Member]) -> bool {
    members.iter().map(|member| member.addresses.len()).sum::<usize>() > LARGE_GROUP
}

/// Whether some rule uses a group by its addresses alone.
fn is_plain(rules: &NodeRules, id: &GroupId) -> bool {
    let sections = rules
        .policies
        .values()
        .flat_map(|policy| policy.ingress.iter().chain(&policy.egress));
    sections.flatten().any(|rule| {
        let uses = matches!(&rule.peers, CompiledPeers::AnyOf { groups, .. } if groups.contains(id));
        uses && !matches!(rule.ports, CompiledPorts::OfMembers(_))
    })
}

struct Builder<'a> {
    table: &'a mut Table,
    name: Name,
    accept: Verdict,
    rules: Vec<Rule>,
}

impl Builder<'_> {
    fn allow(&mut self, matches: impl IntoIterator<Item = Match>) {
        self.rules.push(Rule::new(matches, self.accept.clone()).counted());
    }

    /// Adds a set of this chain and a rule that accepts what it holds.
    fn allow_set(
        &mut self,
        suffix: &str,
        set: Set,
        key: Vec<Field>,
        comment: &str,
    ) -> Result<(), InvalidName> {
        let name = name::of_chain(&self.name, suffix)?;
        self.allow([in_set(key, &name)]);
        self.table.sets.insert(
            name,
            Set {
                comment: Some(Comment::fit(comment)),
                ..set
            },
        );
        Ok(())
    }

    fn ports_for_everybody(&mut self, allowance: &Allowance<'_>) -> Result<(), InvalidName> {
        if allowance.everybody.is_empty() {
            return Ok(());
        }
        let mut set = Set::interval([KeyType::Protocol, KeyType::Port]);
        // Ports as spans: one row of addresses, so that ranges that overlap become one.
        for (protocol, ranges) in by_protocol(allowance.everybody.iter().map(|ports| ((0, 0), *ports))) {
            for (_, ports) in address::rectangles(&ranges) {
                set.elements
                    .insert(Element::new(&[Part::protocol(protocol), port_part(ports)]));
            }
        }
        self.allow_set(
            "everybody",
            set,
            vec![Field::L4Protocol, Field::DestinationPort],
            "ports that are open to everybody",
        )
    }

    fn peers(
        &mut self,
        allowance: &Allowance<'_>,
        family: &Family,
        direction: Direction,
    ) -> Result<(), InvalidName> {
        let peer = match direction {
            Direction::Ingress => family.source,
            Direction::Egress => family.destination,
        };
        let digit = family.digit;
        let of_family = |address: &IpAddr| family.has(*address);
        if allowance.shapes.peers {
            let mut set = Set::hash([family.key]);
            let peers = allowance.peers.iter().copied().filter(of_family);
            set.elements = peers
                .map(|address| Element::new(&[Part::address(address)]))
                .collect();
            self.allow_set(
                &format!("peers{digit}"),
                set,
                vec![peer],
                "pods that are allowed on all ports",
            )?;
        }
        if allowance.shapes.peer_protocols {
            let mut set = Set::hash([family.key, KeyType::Protocol]);
            let peers = allowance
                .peer_protocols
                .iter()
                .filter(|(address, _)| of_family(address));
            set.elements = peers
                .map(|(address, protocol)| {
                    Element::new(&[Part::address(*address), Part::protocol(*protocol)])
                })
                .collect();
            let key = vec![peer, Field::L4Protocol];
            self.allow_set(
                &format!("protocols{digit}"),
                set,
                key,
                "pods that are allowed on all ports of a protocol",
            )?;
        }
        if allowance.shapes.peer_ports {
            let mut set = Set::hash([family.key, KeyType::Protocol, KeyType::Port]);
            let peers = allowance
                .peer_ports
                .iter()
                .filter(|(address, _, _)| of_family(address));
            set.elements = peers
                .map(|(address, protocol, port)| {
                    Element::new(&[
                        Part::address(*address),
                        Part::protocol(*protocol),
                        Part::port(*port),
                    ])
                })
                .collect();
            let key = vec![peer, Field::L4Protocol, Field::DestinationPort];
            self.allow_set(
                &format!("ports{digit}"),
                set,
                key,
                "pods that are allowed on single ports",
            )?;
        }
        for (ports, peers) in &allowance.peer_ranges {
            let mut set = Set::hash([family.key]);
            set.elements = peers
                .iter()
                .filter(|address| of_family(address))
                .map(|address| Element::new(&[Part::address(*address)]))
                .collect();
            let (first, last) = ports.span;
            let name = name::of_chain(
                &self.name,
                &format!("range{digit}_{}_{first}_{last}", ports.protocol),
            )?;
            let mut matches = ports.matches();
            matches.push(in_set(vec![peer], &name));
            self.allow(matches);
            set.comment = Some(Comment::fit("pods that are allowed on a range of ports"));
            self.table.sets.insert(name, set);
        }
        for (group, ports) in &allowance.large {
            let mut matches: Vec<Match> = ports.iter().flat_map(|ports| ports.matches()).collect();
            matches.push(in_set(vec![peer], &name::group(group, digit)?));
            self.allow(matches);
        }
        self.blocks(allowance, family, peer)
    }

    fn blocks(&mut self, allowance: &Allowance<'_>, family: &Family, peer: Field) -> Result<(), InvalidName> {
        let digit = family.digit;
        let spans = |block: &&palisade_policy::model::IpBlock| {
            let is_ours = family.has(block.cidr().addr());
            if is_ours {
                address::spans(block)
            } else {
                Vec::new()
            }
        };
        if allowance.shapes.blocks {
            let mut set = Set::interval([family.key]);
            let merged = address::merge(allowance.blocks.iter().flat_map(spans).collect());
            set.elements = merged
                .into_iter()
                .map(|span| Element::new(&[address_part(span, family.v4)]))
                .collect();
            self.allow_set(
                &format!("blocks{digit}"),
                set,
                vec![peer],
                "blocks that are allowed on all ports",
            )?;
        }
        if allowance.shapes.block_ports {
            let mut set = Set::interval([family.key, KeyType::Protocol, KeyType::Port]);
            let covered = allowance
                .block_ports
                .iter()
                .flat_map(|(block, ports)| spans(block).into_iter().map(|span| (span, *ports)));
            for (protocol, covered) in by_protocol(covered) {
                for (span, ports) in address::rectangles(&covered) {
                    let parts = [
                        address_part(span, family.v4),
                        Part::protocol(protocol),
                        port_part(ports),
                    ];
                    set.elements.insert(Element::new(&parts));
                }
            }
            let key = vec![peer, Field::L4Protocol, Field::DestinationPort];
            self.allow_set(
                &format!("block_ports{digit}"),
                set,
                key,
                "blocks that are allowed on some ports",
            )?;
        }
        Ok(())
    }
}

fn by_protocol(covered: impl Iterator<Item = (Span, Ports)>) -> BTreeMap<u8, Vec<(Span, address::PortSpan)>> {
    let mut by_protocol: BTreeMap<u8, Vec<_>> = BTreeMap::new();
    for (span, ports) in covered {
        by_protocol
            .entry(ports.protocol)
            .or_default()
            .push((span, ports.span));
    }
    by_protocol
}

fn address_part((first, last): Span, v4: bool) -> Part {
    match (address::address(first, v4), address::address(last, v4)) {
        (IpAddr::V4(first), IpAddr::V4(last)) => Part::addresses_v4(first..=last),
        (IpAddr::V6(first), IpAddr::V6(last)) => Part::addresses_v6(first..=last),
        // Both ends were made by the same call.
        (first, _) => Part::address(first),
    }
}

fn port_part((first, last): address::PortSpan) -> Part {
    Part::port_span(first..=last)
}
