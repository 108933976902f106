//! A profile as a chain: a handful of lookups, however many policies it stands for.
//!
//! What the policies allow is united and sorted by shape: addresses on all ports, on all ports of a protocol, on
//! single ports; address blocks alone and with ports; ports for everybody. Each shape that occurs is one set and one
//! rule a family. A further policy adds elements, not rules. Two shapes need a rule each: a range of ports for
//! pods (their addresses never go into an interval set, where a change would cost as much as the set is large), and
//! groups so large that copying them into profiles would cost more than a rule does.
//!
//! A profile is planned as a whole when its policies change. When members of groups come or go, the elements that they bring are
//! added and removed: an element stays for as long as anybody brings it.

mod allowance;
mod elements;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use palisade_policy::model::Direction;
use palisade_policy::rules::{GroupId, ProfileRules};

use super::address::{self, Span};
use super::family::Family;
use super::forward::{in_set, itself, to_pods};
use super::group::{Groups, Turn};
use super::name;
use crate::nft::Draft;
use crate::nft::model::{
    Chain, Comment, Element, Field, InvalidName, KeyType, Match, Name, Part, Rule, Set, TableKey, Verdict,
};
use allowance::{Allowance, Ports};
pub(super) use elements::Copies;
use elements::Shape;

/// A profile that was planned: a chain and its sets.
#[derive(Debug)]
pub(super) struct Planned {
    pub(super) rules: Arc<ProfileRules>,
    chain: Name,
    copies: Copies,
    /// All sets of the chain.
    sets: Vec<Name>,
    /// Large groups that it refers to.
    pub(super) large: Vec<GroupId>,
}

impl Planned {
    /// Plans the chain of a profile and its sets, in the place of what was planned of the profile `before`.
    pub(super) fn plan(
        rules: &Arc<ProfileRules>,
        chain: Name,
        groups: &Groups,
        before: Option<Self>,
        draft: &mut Draft,
    ) -> Result<Self, InvalidName> {
        let mut allowance = Allowance::of(rules, groups);
        let direction = rules.profile.direction;
        let mut copies = Copies::new(&chain, std::mem::take(&mut allowance.uses))?;
        let mut builder = Builder {
            name: &chain,
            accept: match direction {
                Direction::Egress => Verdict::Goto(to_pods()?),
                Direction::Ingress => Verdict::Accept,
            },
            rules: Vec::new(),
            sets: BTreeMap::new(),
        };
        if allowance.everything {
            builder.allow([]);
        } else {
            for family in Family::both() {
                builder.peers(&copies, &allowance, &family, direction)?;
            }
            builder.ports_for_everybody(&allowance)?;
        }
        builder.rules.push(Rule::new([], Verdict::Jump(itself()?)));
        builder.rules.push(
            Rule::new([], Verdict::Drop)
                .counted()
                .commented(Comment::fit("no rule of these policies allows it")),
        );
        let Builder {
            rules: in_order,
            mut sets,
            ..
        } = builder;
        copies.fill(&mut sets, groups);
        for old in before.into_iter().flat_map(|before| before.sets) {
            if !sets.contains_key(&old) {
                draft.set(TableKey::Inet, &old, None);
            }
        }
        let names = sets.keys().cloned().collect();
        for (name, set) in sets {
            draft.set(TableKey::Inet, &name, Some(Arc::new(set)));
        }
        let described = Chain {
            hook: None,
            comment: Some(name::describe(&rules.profile)),
            rules: in_order,
        };
        draft.chain(TableKey::Inet, &chain, Some(described));
        Ok(Self {
            rules: rules.clone(),
            chain,
            copies,
            sets: names,
            large: allowance.large.into_iter().map(|(group, _)| group).collect(),
        })
    }

    /// Members of a group have come or gone.
    pub(super) fn turn(&mut self, group: &GroupId, turn: &Turn, draft: &mut Draft) {
        self.copies.turn(group, turn, draft);
    }

    /// The groups that it uses.
    pub(super) fn groups(&self) -> impl Iterator<Item = &GroupId> {
        self.copies.groups().chain(&self.large)
    }

    /// Takes it out of the ruleset.
    pub(super) fn remove(self, draft: &mut Draft) {
        draft.chain(TableKey::Inet, &self.chain, None);
        for set in &self.sets {
            draft.set(TableKey::Inet, set, None);
        }
    }
}

struct Builder<'a> {
    name: &'a Name,
    accept: Verdict,
    rules: Vec<Rule>,
    sets: BTreeMap<Name, Set>,
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
        let name = name::of_chain(self.name, suffix)?;
        self.allow([in_set(key, &name)]);
        self.sets.insert(
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
        copies: &Copies,
        allowance: &Allowance<'_>,
        family: &Family,
        direction: Direction,
    ) -> Result<(), InvalidName> {
        let peer = match direction {
            Direction::Ingress => family.source,
            Direction::Egress => family.destination,
        };
        for (shape, name) in copies.sets(family) {
            let (fields, types) = shape.key(peer, family);
            let mut matches = match shape {
                Shape::Range(ports) => ports.matches(),
                Shape::Peers | Shape::Protocols | Shape::Ports => Vec::new(),
            };
            matches.push(in_set(fields, name));
            self.allow(matches);
            let set = Set {
                comment: Some(Comment::fit(shape.describe())),
                ..Set::hash(types)
            };
            self.sets.insert(name.clone(), set);
        }
        for (group, ports) in &allowance.large {
            let mut matches: Vec<Match> = ports.iter().flat_map(|ports| ports.matches()).collect();
            matches.push(in_set(vec![peer], &name::group(group, family.digit)?));
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
        if !allowance.blocks.is_empty() {
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
        if !allowance.block_ports.is_empty() {
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
