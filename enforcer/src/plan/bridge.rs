//! The bridge table: what the forward hook cannot tell about a bridge's ports.
//!
//! For packets that cross a bridge, the forward hook sees the bridge on both sides, not the ports. Two things need the
//! ports: a pod that is not known yet must be closed although its address could be another node's pod's; and what a bridge
//! floods to all ports, which no address names, must neither leave nor reach an isolated pod.

use palisade_policy::model::Direction;

use super::family::neighbour_discovery;
use super::forward::{closed, in_set};
use super::{Facts, Settings, Subject};
use crate::nft::model::{
    Chain, Comment, Element, EtherType, Field, Hook, InterfacePattern, InvalidName, KeyType, Match, Name,
    PacketType, Part, Rule, Ruleset, Set, TableKey, Verdict,
};

/// Before `br_netfilter`, which shows the packet to the other tables at priority 0.
const PRIORITY: i32 = -200;

pub(super) fn plan(
    ruleset: &mut Ruleset,
    subjects: &[Subject<'_>],
    facts: &Facts,
    settings: &Settings,
) -> Result<(), InvalidName> {
    if facts.uplinks.is_empty() {
        return Ok(());
    }
    let table = ruleset.tables.entry(TableKey::Bridge).or_default();
    table.comment = Some(Comment::fit("bridge ports of pods, kept by palisade-enforcer"));
    let known = Name::new("known_ports")?;
    let mut known_set = Set::hash([KeyType::InterfaceName]);
    known_set.comment = Some(Comment::fit(
        "ports of known pods, and ports that lead to other nodes",
    ));
    let ports = subjects
        .iter()
        .filter(|subject| subject.place.bridge.is_some())
        .map(|subject| &subject.place.interface);
    let uplinks = facts.uplinks.values().flatten();
    known_set.elements = ports
        .chain(uplinks)
        .map(|port| Element::new(&[Part::interface(port)]))
        .collect();
    table.sets.insert(known.clone(), known_set);
    for direction in [Direction::Egress, Direction::Ingress] {
        let isolated = Name::new(format!("isolated_{direction}"))?;
        let mut set = Set::hash([KeyType::InterfaceName]);
        set.comment = Some(Comment::fit(format!(
            "ports of pods that are isolated for {direction}"
        )));
        let subjects = subjects
            .iter()
            .filter(|subject| subject.place.bridge.is_some() && subject.pod.profile(direction).is_some());
        set.elements = subjects
            .map(|subject| Element::new(&[Part::interface(&subject.place.interface)]))
            .collect();
        table.sets.insert(isolated.clone(), set);
        let (name, hook, field) = match direction {
            Direction::Egress => (
                "from_port",
                Hook::Prerouting { priority: PRIORITY },
                Field::InputInterface,
            ),
            Direction::Ingress => (
                "to_port",
                Hook::Postrouting { priority: PRIORITY },
                Field::OutputInterface,
            ),
        };
        let mut rules: Vec<Rule> = neighbour_discovery()
            .map(|kind| Rule::new([kind], Verdict::Accept))
            .into();
        for (ether_type, kind) in flooded() {
            let matches = [in_set(vec![field], &isolated), Match::EtherType(ether_type), kind];
            rules.push(closed(
                matches,
                Comment::fit("multicast and broadcast match no rule of a policy"),
            ));
        }
        rules.push(Rule::new([in_set(vec![field], &known)], Verdict::Accept));
        for pattern in &settings.pod_interfaces {
            for ether_type in [EtherType::Ipv4, EtherType::Ipv6] {
                let matches = [interface(direction, pattern), Match::EtherType(ether_type)];
                rules.push(closed(
                    matches,
                    Comment::fit("a port of a pod that is not known yet"),
                ));
            }
        }
        table.chains.insert(
            Name::new(name)?,
            Chain {
                hook: Some(hook),
                comment: None,
                rules,
            },
        );
    }
    Ok(())
}

/// Packets for no single receiver.
fn flooded() -> impl Iterator<Item = (EtherType, Match)> {
    [EtherType::Ipv4, EtherType::Ipv6]
        .into_iter()
        .flat_map(|ether_type| {
            [PacketType::Multicast, PacketType::Broadcast]
                .map(|kind| (ether_type, Match::PacketType { kind, negated: false }))
        })
}

fn interface(direction: Direction, pattern: &InterfacePattern) -> Match {
    match direction {
        Direction::Egress => Match::InputInterface(pattern.clone()),
        Direction::Ingress => Match::OutputInterface(pattern.clone()),
    }
}
