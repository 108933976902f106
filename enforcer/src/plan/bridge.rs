//! The bridge table: what the forward hook cannot tell about a bridge's ports.
//!
//! For packets that cross a bridge, the forward hook sees the bridge on both sides, not the ports. Two things need the
//! ports: a pod that is not known yet must be closed although its address could be another node's pod's; and what a bridge
//! floods to all ports, which no address names, must neither leave nor reach an isolated pod.
//!
//! Every packet of every bridged pod comes through both chains, so each begins with the one look-up that lets nearly all of
//! them pass: a known port that sends to one receiver, an address of the pod behind the port.

use palisade_policy::model::Direction;

use super::family::{Family, open_discovery};
use super::forward::{closed, in_set};
use super::{Facts, Settings, Subject};
use crate::nft::model::{
    Chain, Comment, Element, EtherType, Field, Hook, InterfacePattern, InvalidName, KeyType, Match, Name,
    PacketType, Part, Rule, Ruleset, Set, Table, TableKey, Verdict,
};

/// The network protocols that policies are about.
const IP: [EtherType; 2] = [EtherType::Ipv4, EtherType::Ipv6];

/// Frames for no single receiver.
const FLOODED: [PacketType; 2] = [PacketType::Multicast, PacketType::Broadcast];

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
    let ports = bridged(subjects).map(|subject| &subject.place.interface);
    let uplinks = facts.uplinks.values().flatten();
    known_set.elements = ports
        .chain(uplinks)
        .map(|port| Element::new(&[Part::interface(port)]))
        .collect();
    table.sets.insert(known.clone(), known_set.into());
    let isolated = |direction| isolated(subjects, direction);
    let (egress_name, egress) = isolated(Direction::Egress)?;
    let (ingress_name, ingress) = isolated(Direction::Ingress)?;
    let from = Port {
        field: Field::InputInterface,
        interface: Match::InputInterface,
        hook: Hook::Prerouting { priority: PRIORITY },
        usual: vec![to_one_receiver(&known)],
        isolated: from_isolated(&egress_name),
    };
    let to = Port {
        field: Field::OutputInterface,
        interface: Match::OutputInterface,
        hook: Hook::Postrouting { priority: PRIORITY },
        usual: to_own_address(table, subjects)?,
        isolated: to_isolated(&ingress_name),
    };
    table
        .sets
        .extend([(egress_name, egress.into()), (ingress_name, ingress.into())]);
    table
        .chains
        .insert(Name::new("from_port")?, from.chain(&known, settings));
    table
        .chains
        .insert(Name::new("to_port")?, to.chain(&known, settings));
    Ok(())
}

/// The ports of the pods that are isolated in one direction.
fn isolated(subjects: &[Subject<'_>], direction: Direction) -> Result<(Name, Set), InvalidName> {
    let isolated = bridged(subjects).filter(|subject| subject.pod.profile(direction).is_some());
    let ports = isolated.map(|subject| Element::new(&[Part::interface(&subject.place.interface)]));
    let set = Set {
        elements: ports.collect(),
        comment: Some(Comment::fit(format!(
            "ports of pods that are isolated for {direction}"
        ))),
        ..Set::hash([KeyType::InterfaceName])
    };
    Ok((Name::new(format!("isolated_{direction}"))?, set))
}

fn bridged<'s, 'a>(subjects: &'s [Subject<'a>]) -> impl Iterator<Item = &'s Subject<'a>> {
    subjects.iter().filter(|subject| subject.place.bridge.is_some())
}

/// What has one receiver the forward hook judges.
fn to_one_receiver(known: &Name) -> Rule {
    let [multicast, broadcast] = FLOODED.map(|kind| Match::PacketType { kind, negated: true });
    let port = in_set(vec![Field::InputInterface], known);
    Rule::new([multicast, broadcast, port], Verdict::Accept)
}

/// From an isolated pod nothing is flooded.
fn from_isolated(isolated: &Name) -> Vec<Rule> {
    let close = |(ether_type, kind)| {
        let matches = [
            Match::PacketType { kind, negated: false },
            Match::EtherType(ether_type),
            in_set(vec![Field::InputInterface], isolated),
        ];
        closed(
            matches,
            Comment::fit("multicast and broadcast match no rule of a policy"),
        )
    };
    let flooded = IP
        .into_iter()
        .flat_map(|ether_type| FLOODED.map(|kind| (ether_type, kind)));
    flooded.map(close).collect()
}

/// To a pod goes what is for one of its addresses, however the frame that carries it is addressed.
fn to_own_address(table: &mut Table, subjects: &[Subject<'_>]) -> Result<Vec<Rule>, InvalidName> {
    let mut rules = Vec::new();
    for family in Family::both() {
        let name = Name::new(format!("addresses{}", family.digit))?;
        let mut set = Set::hash([KeyType::InterfaceName, family.key]);
        set.comment = Some(Comment::fit("the addresses of the pod behind each port"));
        for subject in bridged(subjects) {
            let addresses = subject.addresses_of(&family);
            let part = Part::interface(&subject.place.interface);
            set.elements
                .extend(addresses.map(|address| Element::new(&[part, Part::address(address)])));
        }
        let own = in_set(vec![Field::OutputInterface, family.destination], &name);
        rules.push(Rule::new([own], Verdict::Accept));
        table.sets.insert(name, set.into());
    }
    Ok(rules)
}

/// To an isolated pod goes nothing else. Of link-local addresses those of its node are left: the forward hook closes the others.
fn to_isolated(isolated: &Name) -> Vec<Rule> {
    let port = || in_set(vec![Field::OutputInterface], isolated);
    let [_, v6] = Family::both();
    let link_local = Rule::new([Match::DestinationIn(v6.link_local), port()], Verdict::Accept);
    let foreign = IP.map(|ether_type| {
        closed(
            [Match::EtherType(ether_type), port()],
            Comment::fit("not for an address of the pod: no policy could name it"),
        )
    });
    std::iter::once(link_local).chain(foreign).collect()
}

/// A side of a bridge's ports.
struct Port {
    field: Field,
    /// The condition on the port's name.
    interface: fn(InterfacePattern) -> Match,
    hook: Hook,
    /// What nearly every packet passes by.
    usual: Vec<Rule>,
    /// The rules for ports of isolated pods.
    isolated: Vec<Rule>,
}

impl Port {
    fn chain(self, known: &Name, settings: &Settings) -> Chain {
        let mut rules = self.usual;
        rules.extend(open_discovery());
        rules.extend(self.isolated);
        rules.push(Rule::new([in_set(vec![self.field], known)], Verdict::Accept));
        for pattern in &settings.pod_interfaces {
            for ether_type in IP {
                let interface = (self.interface)(pattern.clone());
                let comment = Comment::fit("a port of a pod that is not known yet");
                rules.push(closed([interface, Match::EtherType(ether_type)], comment));
            }
        }
        Chain {
            hook: Some(self.hook),
            comment: None,
            rules,
        }
    }
}
