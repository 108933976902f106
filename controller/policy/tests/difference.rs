//! [`Difference`] says exactly where the oracle says something else after than before.
#![expect(
    clippy::indexing_slicing,
    reason = "a test that is written wrong should stop at once"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use palisade_policy::cluster::{ClusterState, Event};
use palisade_policy::evaluate::evaluate;
use palisade_policy::model::{
    Packet, PodKey, PodUid, Policy, PortMatch, Ports, Protocol, Transport, Verdict,
};
use palisade_policy::reach::{Difference, End, Families, Family, PortSet};
use palisade_policy::testing::builders::{block, everybody, pod, pods, policy, port, rule};
use palisade_policy::testing::config;
use palisade_policy::testing::strategies::history;
use proptest::prelude::*;

/// A state and what becomes of it.
fn states() -> impl Strategy<Value = (ClusterState, ClusterState)> {
    (history(120), 0_usize..40).prop_map(|(events, last)| {
        let cut = events.len().saturating_sub(last);
        let before = ClusterState::from_events(events[..cut].iter().cloned());
        let after = ClusterState::from_events(events);
        (before, after)
    })
}

/// Another UID for every pod, as if the two states came from different places.
fn elsewhere(state: &ClusterState) -> ClusterState {
    let mut events: Vec<Event> = state
        .namespaces()
        .values()
        .cloned()
        .map(Event::NamespaceApplied)
        .collect();
    events.extend(state.policies().values().cloned().map(Event::PolicyApplied));
    events.extend(state.nodes().values().cloned().map(Event::NodeApplied));
    events.extend(state.pods().values().cloned().map(|mut pod| {
        pod.uid = PodUid::from(format!("other-{}", pod.uid));
        Event::PodApplied(pod)
    }));
    ClusterState::from_events(events)
}

/// Transports at which verdicts may change.
fn interesting(states: [&ClusterState; 2], family: Family) -> BTreeSet<Transport> {
    let sections = |policy: &Policy| {
        [policy.ingress.clone(), policy.egress.clone()]
            .into_iter()
            .flatten()
    };
    let policies = states.into_iter().flat_map(|state| state.policies().values());
    let rules = policies.flat_map(sections).flatten();
    let ports = rules.flat_map(|rule| match rule.ports {
        Ports::All => Vec::new(),
        Ports::AnyOf(ports) => ports,
    });
    let borders = ports.flat_map(|port| match port.port {
        PortMatch::Range(range) => vec![range.first(), range.last()],
        PortMatch::Any | PortMatch::Named(_) => Vec::new(),
    });
    let pods = states.into_iter().flat_map(|state| state.pods().values());
    let declared = pods.flat_map(|pod| pod.ports.iter().map(|port| port.number));
    let numbers: BTreeSet<u16> = borders
        .chain(declared)
        .flat_map(|number| [number.saturating_sub(1), number, number.saturating_add(1)])
        .collect();
    let with_ports = Protocol::ALL.into_iter().flat_map(|protocol| {
        numbers
            .iter()
            .map(move |number| Transport::Port(protocol, *number))
    });
    let icmp = if family == Family::V4 { 1 } else { 58 };
    with_ports.chain([Transport::Other(icmp)]).collect()
}

/// An address before and after, and the pod that has both; none outside.
type Twin = (IpAddr, IpAddr, Option<PodKey>);

/// All ends of a family with their addresses, outside with some that are nobody's.
fn ends(difference: &Difference, states: [&ClusterState; 2], family: Family) -> Vec<(End, Vec<Twin>)> {
    let nodes = states.into_iter().flat_map(|state| state.nodes().values());
    let nodes: BTreeSet<IpAddr> = nodes.flat_map(|node| node.addresses.clone()).collect();
    let classes = difference.classes.iter().enumerate().map(|(class, joint)| {
        let twins = joint.pods.iter().filter_map(|twin| {
            Some((
                twin.before.address(family)?,
                twin.after.address(family)?,
                Some(twin.key.clone()),
            ))
        });
        (End::Pods(class), twins.collect())
    });
    let outside = difference
        .outside
        .iter()
        .enumerate()
        .filter(|(_, outside)| outside.family == family);
    let outside = outside.map(|(range, outside)| {
        let borders = outside
            .blocks
            .iter()
            .flat_map(|block| [block.network(), block.broadcast()]);
        let is_free = |address: &IpAddr| {
            !nodes.contains(address) && states.into_iter().all(|state| state.owner(*address).is_none())
        };
        let free = borders.filter(is_free).take(4);
        (
            End::Outside(range),
            free.map(|address| (address, address, None)).collect(),
        )
    });
    classes.chain(outside).collect()
}

/// What changes for each pair in a family; each pair at most once.
fn listed(difference: &Difference, family: Family) -> BTreeMap<(End, End), (PortSet, PortSet)> {
    let mut listed = BTreeMap::new();
    for change in &difference.changes {
        assert_ne!(change.before, change.after);
        assert!(change.from.is_sorted_by(|one, other| one < other));
        if [Families::Both, Families::One(family)].contains(&change.families) {
            for from in change.from.iter() {
                let ports = (change.before.clone(), change.after.clone());
                assert_eq!(listed.insert((*from, change.to), ports), None);
            }
        }
    }
    listed
}

proptest! {
    #![proptest_config(config(60))]

    #[test]
    fn changes_are_where_the_oracle_says_something_else((before, after) in states(), move_away in any::<bool>()) {
        let after = if move_away { elsewhere(&after) } else { after };
        let difference = Difference::of(&before, &after);
        let states = [&before, &after];
        for family in Family::ALL {
            let (ends, listed) = (ends(&difference, states, family), listed(&difference, family));
            let transports = interesting(states, family);
            let none = (PortSet::none(), PortSet::none());
            for (from, sources) in &ends {
                for (to, destinations) in &ends {
                    let (was, is) = listed.get(&(*from, *to)).unwrap_or(&none);
                    let pairs = sources.iter().flat_map(|source| destinations.iter().map(move |other| (source, other)));
                    for (source, destination) in pairs.filter(|(from, to)| from.2.is_none() || from.2 != to.2) {
                        for transport in &transports {
                            let packet = |source, destination| Packet { source, destination, transport: *transport };
                            let old = evaluate(&before, &packet(source.0, destination.0));
                            let new = evaluate(&after, &packet(source.1, destination.1));
                            let changes = was.contains(*transport) != is.contains(*transport);
                            prop_assert_eq!(old.verdict != new.verdict, changes, "{}\n{}\n{} {}", old, new, was, is);
                            if changes {
                                prop_assert_eq!(old.verdict == Verdict::Allow, was.contains(*transport));
                            }
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn every_pod_with_an_address_is_in_both_or_listed_apart((before, after) in states()) {
        let difference = Difference::of(&before, &after);
        let names = |state: &ClusterState| -> BTreeSet<PodKey> {
            let owns = |uid: &PodUid, address: &IpAddr| state.owner(*address).is_some_and(|owner| owner.uid == *uid);
            let pods = state.pods().values().filter(|pod| pod.addresses.iter().any(|address| owns(&pod.uid, address)));
            pods.map(|pod| pod.key.clone()).collect()
        };
        let (was, is) = (names(&before), names(&after));
        let twins: BTreeSet<PodKey> = difference.classes.iter().flat_map(|class| &class.pods).map(|twin| twin.key.clone()).collect();
        let key = |state: &ClusterState, uid: &PodUid| state.pods()[uid].key.clone();
        let gone: BTreeSet<PodKey> = difference.gone.iter().flat_map(|gone| &gone.pods).map(|uid| key(&before, uid)).collect();
        let new: BTreeSet<PodKey> = difference.new.iter().flat_map(|new| &new.pods).map(|uid| key(&after, uid)).collect();
        prop_assert_eq!(twins, &was & &is);
        prop_assert_eq!(gone, &was - &is);
        prop_assert_eq!(new, &is - &was);
    }

    #[test]
    fn a_witness_of_a_change_is_judged_otherwise_after((before, after) in states()) {
        let difference = Difference::of(&before, &after);
        for change in &difference.changes {
            let family = change.families.first();
            for from in change.from.iter() {
                for (ports, was, is) in [
                    (change.opened(), Verdict::Deny, Verdict::Allow),
                    (change.closed(), Verdict::Allow, Verdict::Deny),
                ] {
                    if let Some((old, new)) = difference.witness(*from, change.to, family, &ports) {
                        prop_assert_eq!(evaluate(&before, &old).verdict, was);
                        prop_assert_eq!(evaluate(&after, &new).verdict, is);
                    }
                }
            }
        }
    }

    #[test]
    fn a_state_does_not_differ_from_itself((state, _) in states()) {
        let difference = Difference::of(&state, &elsewhere(&state));
        prop_assert_eq!(&difference.changes, &[]);
        prop_assert_eq!(&difference.gone, &[]);
        prop_assert_eq!(&difference.new, &[]);
    }
}

/// One pod may stand for several of the other state: each of these is compared with it.
#[test]
fn pods_are_the_same_that_are_said_to_be() {
    let deny = policy("shop/deny").selecting(&[("app", "web")]).allowing_from([]);
    let state = |pods: &[(&str, &str, &str)], policies: &[Policy]| {
        let pods = pods.iter().map(|(uid, name, address)| {
            let mut pod = pod(name).labelled(&[("app", "web")]).at(address);
            pod.uid = PodUid::from(*uid);
            Event::PodApplied(pod)
        });
        ClusterState::from_events(pods.chain(policies.iter().cloned().map(Event::PolicyApplied)))
    };
    let before = state(
        &[
            ("a", "shop/web-1", "10.0.0.1"),
            ("b", "shop/web-2", "10.0.0.2"),
            ("c", "shop/old", "10.0.0.3"),
        ],
        &[],
    );
    let after = state(
        &[("t", "shop/web", "10.1.0.1"), ("n", "shop/old", "10.1.0.2")],
        &[deny],
    );
    let pair = |one: &str, other: &str| (PodUid::from(one), PodUid::from(other));
    let difference = Difference::paired(&before, &after, &[pair("a", "t"), pair("b", "t")]);
    assert_eq!(difference.classes.len(), 1);
    let twins: Vec<(&str, &str)> = difference.classes[0]
        .pods
        .iter()
        .map(|twin| (twin.before.uid.as_str(), twin.after.uid.as_str()))
        .collect();
    assert_eq!(twins, [("a", "t"), ("b", "t")]);
    assert!(!difference.changes.is_empty());
    assert_eq!(difference.gone[0].pods, [PodUid::from("c")]);
    assert_eq!(difference.new[0].pods, [PodUid::from("n")]);
}

fn shop(policies: impl IntoIterator<Item = Policy>) -> ClusterState {
    let pods = [
        pod("shop/cart")
            .labelled(&[("app", "cart")])
            .at("10.0.0.1")
            .at("fd00::1"),
        pod("shop/db")
            .labelled(&[("app", "db")])
            .at("10.0.0.3")
            .at("fd00::3"),
        pod("shop/mail")
            .labelled(&[("app", "mail")])
            .at("10.0.0.4")
            .at("fd00::4"),
    ];
    let events = pods.into_iter().map(Event::PodApplied);
    ClusterState::from_events(events.chain(policies.into_iter().map(Event::PolicyApplied)))
}

/// A line for each change, by the names of first pods and first blocks.
fn lines(before: &ClusterState, after: &ClusterState) -> Vec<String> {
    let difference = Difference::of(before, after);
    let name = |end: End| match end {
        End::Pods(class) => difference.classes[class].pods[0].key.name.to_string(),
        End::Outside(range) => difference.outside[range].blocks[0].to_string(),
    };
    let line = |change: &palisade_policy::reach::Change| {
        let from: Vec<String> = change.from.iter().map(|end| name(*end)).collect();
        let (from, to, families) = (from.join(" "), name(change.to), change.families);
        format!("{from} → {to}: {} → {} ({families})", change.before, change.after)
    };
    difference.changes.iter().map(line).collect()
}

#[test]
fn a_policy_that_repeats_another_changes_nothing() {
    let guard = |name: &str| {
        policy(name)
            .selecting(&[("app", "db")])
            .allowing_from([rule([pods(&[("app", "cart")])])])
    };
    assert_eq!(
        lines(
            &shop([guard("shop/one")]),
            &shop([guard("shop/one"), guard("shop/two")])
        ),
        [] as [&str; 0]
    );
}

#[test]
fn a_change_names_who_loses_what_and_in_which_family() {
    let guard = policy("shop/guard").selecting(&[("app", "db")]).allowing_from([
        rule([pods(&[("app", "cart")])]).on_ports([port(Protocol::Tcp, 5432)]),
        rule([block("10.0.0.0/29", &[])]),
    ]);
    assert_eq!(
        lines(&shop([]), &shop([guard])),
        [
            "cart → db: all → 5432/TCP (IPv6)",
            "db mail ::/0 → db: all → none (IPv6)",
            "0.0.0.0/5 → db: all → none (IPv4)",
        ]
    );
}

#[test]
fn what_changes_alike_in_both_families_is_told_once() {
    let before = policy("shop/deny").selecting(&[("app", "db")]).allowing_from([]);
    let after = policy("shop/deny")
        .selecting(&[("app", "db")])
        .allowing_from([everybody().on_ports([port(Protocol::Tcp, 5432)])]);
    assert_eq!(
        lines(&shop([before]), &shop([after])),
        [
            "cart db → db: none → 5432/TCP (both families)",
            "0.0.0.0/0 → db: none → 5432/TCP (IPv4)",
            "::/0 → db: none → 5432/TCP (IPv6)",
        ]
    );
}
