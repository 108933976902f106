//! One change of a ruleset that changes what it means is found, and its witness shows it.
//!
//! What a ruleset means is asked of [`walk`], which reads the enforcer's own model and shares no code with verification.

use std::net::IpAddr;
use std::sync::Arc;

use palisade_audit::kernel::{Finding, Kernel, Lost, LostPackets, Verifier, Witness, text};
use palisade_enforcer::nft::model::{
    Element, Interface, KeyType, Match, Part, Rule, Ruleset, Set, Table, TableKey, Value, Verdict,
};
use palisade_enforcer::walk::{Forwarded, walk};
use palisade_policy::cluster::{ClusterState, Event};
use palisade_policy::model::{NodeName, Packet, PortRange, Protocol, Transport};
use palisade_policy::testing::config;
use palisade_policy::testing::strategies::history;
use proptest::prelude::*;
use proptest::sample::Index;

use super::world::{ATTACHMENTS, Attachment, interface, nodes, parse, veth};

/// What carries the packets by which two rulesets are compared.
fn transports() -> Vec<Transport> {
    let ports = [53, 79, 80, 81, 82, 8080, 8081, 65535];
    let of = |protocol| ports.map(|port| Transport::Port(protocol, port));
    let mut transports: Vec<Transport> = Protocol::ALL.into_iter().flat_map(of).collect();
    transports.extend([1, 253].map(Transport::Other));
    transports
}

/// The addresses that packets come from and go to: all pods' and some of nobody's.
fn addresses(state: &ClusterState) -> Vec<IpAddr> {
    let pods = state
        .pods()
        .values()
        .flat_map(|pod| pod.addresses.iter().copied());
    let mut addresses: Vec<IpAddr> = pods.collect();
    let nobodys = [
        "10.0.0.200",
        "10.1.0.0",
        "192.168.0.1",
        "8.8.8.8",
        "fd00::200",
        "fd00::1:0",
        "2001:db8::1",
    ];
    addresses.extend(nobodys.map(|text| text.parse::<IpAddr>().unwrap()));
    addresses.sort_unstable();
    addresses.dedup();
    addresses
}

struct Judge<'a> {
    state: &'a ClusterState,
    node: &'a NodeName,
    attachment: Attachment,
}

impl Judge<'_> {
    /// The interface by which the node has an address, and whether it is one of its pods'.
    fn at(&self, address: IpAddr) -> (Interface, bool) {
        let owner = self.state.owner(address);
        match (owner, self.attachment) {
            (Some(pod), Attachment::Routed) if pod.node.as_ref() == Some(self.node) => (veth(pod), true),
            (Some(pod), _) if pod.node.as_ref() == Some(self.node) => (interface("bridge0"), true),
            (Some(_), Attachment::Shared) => (interface("bridge0"), false),
            _ => (interface("eth0"), false),
        }
    }

    fn is_own(&self, address: IpAddr) -> bool {
        self.state
            .nodes()
            .get(self.node)
            .is_some_and(|node| node.addresses.contains(&address))
    }

    /// A packet on which two rulesets differ.
    fn differ(&self, a: &Ruleset, b: &Ruleset) -> Option<Packet> {
        let addresses = addresses(self.state);
        let transports = transports();
        for source in &addresses {
            for destination in &addresses {
                let ((input, from_pod), (output, to_pod)) = (self.at(*source), self.at(*destination));
                let one_family = source.is_ipv4() == destination.is_ipv4();
                if !one_family || !(from_pod || to_pod) || self.is_own(*source) || self.is_own(*destination) {
                    continue;
                }
                for transport in &transports {
                    let packet = Packet {
                        source: *source,
                        destination: *destination,
                        transport: *transport,
                    };
                    if passes(a, packet, &input, &output) != passes(b, packet, &input, &output) {
                        return Some(packet);
                    }
                }
            }
        }
        None
    }

    /// Whether a ruleset drops a packet of a connection that is there: one that follows the first, or one that comes back to a
    /// port that no rule names.
    fn loses(&self, lost: &Lost, ruleset: &Ruleset) -> bool {
        const CLIENT: u16 = 50_123;
        let Witness {
            source,
            destination,
            carried,
        } = lost.witness;
        let packet = match (lost.packets, carried.transport()) {
            (LostPackets::Later, transport) => Packet {
                source,
                destination,
                transport,
            },
            (LostPackets::Replies, transport) => Packet {
                source: destination,
                destination: source,
                transport: match transport {
                    Transport::Port(protocol, _) => Transport::Port(protocol, CLIENT),
                    other @ Transport::Other(_) => other,
                },
            },
        };
        let ways = |address| match self.at(address) {
            (own, true) => vec![own],
            (_, false) => ["eth0", "bridge0"]
                .map(interface)
                .into_iter()
                .chain(named(ruleset))
                .collect(),
        };
        let outputs = ways(packet.destination);
        ways(packet.source).iter().any(|input| {
            outputs
                .iter()
                .any(|output| !passes_as(ruleset, packet, input, output, true))
        })
    }

    /// Whether a packet shows that two rulesets differ, by whatever interface its other end is.
    fn shows(&self, witness: &Witness, a: &Ruleset, b: &Ruleset) -> bool {
        let packet = Packet {
            source: witness.source,
            destination: witness.destination,
            transport: witness.carried.transport(),
        };
        let ways = |address| match self.at(address) {
            (own, true) => vec![own],
            (_, false) => ["eth0", "bridge0"]
                .iter()
                .map(|name| interface(name))
                .chain(named(b))
                .collect(),
        };
        let outputs = ways(packet.destination);
        ways(packet.source).iter().any(|input| {
            let differs =
                |output: &Interface| passes(a, packet, input, output) != passes(b, packet, input, output);
            outputs.iter().any(differs)
        })
    }
}

/// The interfaces that a ruleset names in its forward hook.
fn named(ruleset: &Ruleset) -> Vec<Interface> {
    let mut names = Vec::new();
    for (key, elements) in ruleset.tables.get(&TableKey::Inet).into_iter().flat_map(|table| {
        let sets = table
            .sets
            .values()
            .map(|set| (&set.key, set.elements.iter().collect::<Vec<_>>()));
        let maps = table
            .maps
            .values()
            .map(|map| (&map.key, map.elements.keys().collect()));
        sets.chain(maps).collect::<Vec<_>>()
    }) {
        for element in elements {
            names.extend(
                element
                    .parts(key)
                    .unwrap()
                    .into_iter()
                    .filter_map(|part| match part.first {
                        Value::Interface(name) => Some(interface(&name)),
                        _ => None,
                    }),
            );
        }
    }
    names
}

fn passes(ruleset: &Ruleset, packet: Packet, input: &Interface, output: &Interface) -> bool {
    passes_as(ruleset, packet, input, output, false)
}

fn passes_as(
    ruleset: &Ruleset,
    packet: Packet,
    input: &Interface,
    output: &Interface,
    established: bool,
) -> bool {
    let forwarded = Forwarded {
        input: input.clone(),
        output: output.clone(),
        packet,
        established,
    };
    walk(ruleset, &forwarded).accepted
}

/// A way to change a ruleset, and where to.
#[derive(Clone, Copy, Debug)]
enum Mutation {
    DeleteRule,
    SwapRules,
    AcceptAtTop,
    DropAtTop,
    OtherVerdict,
    DeleteCondition,
    DeleteElement,
    CopyElement,
    WidenElement,
    OtherPort,
    DeleteEntry,
    SwapEntries,
    MoveEntry,
    EmptyChain,
}

const MUTATIONS: [Mutation; 14] = [
    Mutation::DeleteRule,
    Mutation::SwapRules,
    Mutation::AcceptAtTop,
    Mutation::DropAtTop,
    Mutation::OtherVerdict,
    Mutation::DeleteCondition,
    Mutation::DeleteElement,
    Mutation::CopyElement,
    Mutation::WidenElement,
    Mutation::OtherPort,
    Mutation::DeleteEntry,
    Mutation::SwapEntries,
    Mutation::MoveEntry,
    Mutation::EmptyChain,
];

/// Changes one thing; `None` where there is nothing of the kind.
#[expect(
    clippy::too_many_lines,
    reason = "one change after another, each in a few lines"
)]
fn mutate(table: &mut Table, mutation: Mutation, at: [Index; 3]) -> Option<()> {
    fn pick<T>(items: impl Iterator<Item = T>, at: Index) -> Option<T> {
        let mut items: Vec<T> = items.collect();
        (!items.is_empty()).then(|| items.swap_remove(at.index(items.len())))
    }
    let [first, second, third] = at;
    match mutation {
        Mutation::DeleteRule
        | Mutation::SwapRules
        | Mutation::AcceptAtTop
        | Mutation::DropAtTop
        | Mutation::OtherVerdict
        | Mutation::DeleteCondition
        | Mutation::EmptyChain => {
            let chain = pick(
                table.chains.values_mut().filter(|chain| !chain.rules.is_empty()),
                first,
            )?;
            let place = second.index(chain.rules.len());
            match mutation {
                Mutation::DeleteRule => drop(chain.rules.remove(place)),
                Mutation::SwapRules => {
                    let other = third.index(chain.rules.len());
                    chain.rules.swap(place, other);
                }
                Mutation::AcceptAtTop => chain.rules.insert(0, Rule::new([], Verdict::Accept)),
                Mutation::DropAtTop => {
                    let ports = Match::DestinationPorts(PortRange::single(80).unwrap());
                    chain
                        .rules
                        .insert(0, Rule::new([Match::Protocol(6), ports], Verdict::Drop));
                }
                Mutation::OtherVerdict => {
                    let rule = &mut chain.rules[place];
                    rule.verdict = match rule.verdict {
                        Verdict::Drop => Verdict::Accept,
                        _ => Verdict::Drop,
                    };
                }
                Mutation::DeleteCondition => {
                    let rule = pick(
                        chain.rules.iter_mut().filter(|rule| !rule.matches.is_empty()),
                        second,
                    )?;
                    rule.matches.remove(third.index(rule.matches.len()));
                }
                _ => chain.rules.clear(),
            }
        }
        Mutation::DeleteElement | Mutation::WidenElement | Mutation::OtherPort => {
            let fits = |set: &&mut Set| match mutation {
                Mutation::OtherPort => set.key.last() == Some(&KeyType::Port) && !set.interval,
                Mutation::WidenElement => set.interval,
                _ => true,
            };
            let sets = table.sets.values_mut().map(Arc::make_mut);
            let filled = sets.filter(|set| !set.elements.is_empty());
            let set = pick(filled.filter(fits), first)?;
            let element = set.elements.iter().nth(second.index(set.elements.len()))?.clone();
            let key = set.key.clone();
            let parts = element.parts(&key).unwrap();
            let changed = match mutation {
                Mutation::DeleteElement => None,
                Mutation::WidenElement => {
                    let widened = parts
                        .iter()
                        .zip(&key)
                        .map(|(part, kind)| match (kind, &part.first) {
                            (KeyType::Ipv4Address, _) => Part::network("0.0.0.0/0".parse().unwrap()),
                            (KeyType::Ipv6Address, _) => Part::network("::/0".parse().unwrap()),
                            (KeyType::Port, _) => Part::any_port(),
                            (_, Value::Protocol(protocol)) => Part::protocol(*protocol),
                            _ => Part::port(1),
                        });
                    // Of a set whose elements must not overlap nothing else is left.
                    let widened = Element::new(&widened.collect::<Vec<_>>());
                    set.elements.clear();
                    Some(widened)
                }
                _ => {
                    let other = parts.iter().map(|part| match &part.first {
                        Value::Interface(name) => Part::interface(&interface(name)),
                        Value::Address(address) => Part::address(*address),
                        Value::Protocol(protocol) => Part::protocol(*protocol),
                        Value::Port(port) => Part::port(port.wrapping_add(1)),
                    });
                    Some(Element::new(&other.collect::<Vec<_>>()))
                }
            };
            set.elements.remove(&element);
            set.elements.extend(changed);
        }
        Mutation::CopyElement => {
            let from = pick(
                table
                    .sets
                    .values()
                    .filter(|set| !set.elements.is_empty() && !set.interval),
                first,
            )?;
            let (key, element) = (
                from.key.clone(),
                from.elements
                    .iter()
                    .nth(second.index(from.elements.len()))?
                    .clone(),
            );
            let to = pick(
                table
                    .sets
                    .values_mut()
                    .map(Arc::make_mut)
                    .filter(|set| set.key == key && !set.interval),
                third,
            )?;
            to.elements.insert(element);
        }
        Mutation::DeleteEntry | Mutation::SwapEntries | Mutation::MoveEntry => {
            let map = pick(
                table.maps.values_mut().filter(|map| !map.elements.is_empty()),
                first,
            )?;
            let keys: Vec<Element> = map.elements.keys().cloned().collect();
            let (one, other) = (&keys[second.index(keys.len())], &keys[third.index(keys.len())]);
            match mutation {
                Mutation::DeleteEntry => drop(map.elements.remove(one)),
                Mutation::SwapEntries => {
                    let (a, b) = (map.elements[one].clone(), map.elements[other].clone());
                    map.elements.insert(one.clone(), b);
                    map.elements.insert(other.clone(), a);
                }
                _ => {
                    let entry = map.elements.remove(one)?;
                    let parts = one.parts(&map.key).unwrap();
                    let Value::Address(address) = parts[1].first else {
                        return None;
                    };
                    let elsewhere = [Part::interface(&interface("veth-other")), Part::address(address)];
                    map.elements.insert(Element::new(&elsewhere), entry);
                }
            }
        }
    }
    Some(())
}

/// Without pod networks: what is closed in them whatever policies say may also be open, as far as policies let it.
fn without_networks(events: Vec<Event>) -> ClusterState {
    ClusterState::from_events(events.into_iter().map(|event| match event {
        Event::NodeApplied(mut node) => {
            node.pod_networks.clear();
            Event::NodeApplied(node)
        }
        other => other,
    }))
}

proptest! {
    #![proptest_config(config(15))]

    #[test]
    fn replies_are_missed_where_a_profile_would_drop_them(events in history(150)) {
        let state = without_networks(events);
        let mut verifier = Verifier::new(&state);
        for attachment in ATTACHMENTS {
            for (name, node) in nodes(&state, attachment) {
                let judge = Judge { state: &state, node: &name, attachment };
                let mut changed = node.ruleset.clone();
                let table = changed.tables.get_mut(&TableKey::Inet).unwrap();
                for chain in table.chains.values_mut() {
                    chain.rules.retain(|rule| !rule.matches.contains(&Match::CtEstablishedOrRelated));
                }
                let report = verifier.verify(&name, &parse(&name, &changed, &node.observed));
                let lost = report.findings.iter().filter_map(|finding| match finding {
                    Finding::Lost(lost) => Some(lost),
                    _ => None,
                });
                for lost in lost.filter(|lost| lost.kernel == Kernel::Denies) {
                    prop_assert!(judge.loses(lost, &changed), "{attachment:?} {}", text(std::slice::from_ref(&report)));
                }
                let differences = report.findings.iter().filter(|finding| matches!(finding, Finding::Difference(_)));
                prop_assert_eq!(differences.count(), 0, "{}", text(std::slice::from_ref(&report)));
            }
        }
    }

    #[test]
    fn a_change_of_meaning_is_found_and_shown(
        events in history(150),
        mutations in prop::collection::vec((prop::sample::select(&MUTATIONS[..]), any::<[Index; 3]>()), 6),
    ) {
        let state = without_networks(events);
        let mut verifier = Verifier::new(&state);
        for attachment in ATTACHMENTS {
            for (name, node) in nodes(&state, attachment) {
                let judge = Judge { state: &state, node: &name, attachment };
                for (mutation, at) in &mutations {
                    let mut changed = node.ruleset.clone();
                    let table = changed.tables.get_mut(&TableKey::Inet).unwrap();
                    if mutate(table, *mutation, *at).is_none() {
                        continue;
                    }
                    let report = verifier.verify(&name, &parse(&name, &changed, &node.observed));
                    let differ = judge.differ(&node.ruleset, &changed);
                    prop_assert!(
                        differ.is_none() || !report.agrees(),
                        "{:?} {:?} is not found: {}", attachment, mutation, differ.unwrap()
                    );
                    for finding in &report.findings {
                        if let Finding::Lost(lost) = finding && lost.kernel == Kernel::Denies {
                            prop_assert!(
                                judge.loses(lost, &changed),
                                "{:?} {:?}: {} is not lost\n{}", attachment, mutation, lost.witness, text(std::slice::from_ref(&report))
                            );
                        }
                        if let Finding::Difference(difference) = finding {
                            let witness = &difference.witness;
                            prop_assert!(
                                witness.carried.is_discovery() || judge.shows(witness, &node.ruleset, &changed),
                                "{:?} {:?}: {} shows nothing\n{}", attachment, mutation, witness, text(std::slice::from_ref(&report))
                            );
                        }
                    }
                }
            }
        }
    }
}
