//! [`Reach`] answers for everybody at once what the oracle answers for one packet.
#![expect(
    clippy::indexing_slicing,
    reason = "a test that is written wrong should stop at once"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use palisade_policy::cluster::{ClusterState, Event};
use palisade_policy::evaluate::evaluate;
use palisade_policy::model::{Packet, Pod, PodUid, Policy, PortMatch, Ports, Protocol, Transport, Verdict};
use palisade_policy::reach::{End, Family, PortSet, Reach};
use palisade_policy::testing::builders::{
    block, everybody, namespace, node, pod, pods, pods_in, policy, port, rule, selector,
};
use palisade_policy::testing::config;
use palisade_policy::testing::strategies::{history, packet};
use proptest::collection::vec;
use proptest::prelude::*;

/// A history after which some pods have the addresses of two, which the strategies give no pod.
fn crowded_history() -> impl Strategy<Value = Vec<Event>> {
    (history(120), vec((0_usize..24, 0_usize..24), 0..4)).prop_map(|(mut events, twins)| {
        let pods: Vec<Pod> = events
            .iter()
            .filter_map(|event| match event {
                Event::PodApplied(pod) => Some(pod.clone()),
                _ => None,
            })
            .collect();
        for (one, other) in twins {
            if let (Some(one), Some(other)) = (pods.get(one), pods.get(other)) {
                let mut pod = one.clone();
                pod.addresses.extend(&other.addresses);
                events.push(Event::PodApplied(pod));
            }
        }
        events
    })
}

/// An address and the pod that owns it, if one does.
type Address = (IpAddr, Option<PodUid>);

/// All ends of a family, each with some of its addresses: of pods with the pod, outside with none.
fn ends(state: &ClusterState, reach: &Reach, family: Family) -> Vec<(End, Vec<Address>)> {
    let nodes: BTreeSet<IpAddr> = state
        .nodes()
        .values()
        .flat_map(|node| node.addresses.clone())
        .collect();
    let classes = reach.classes().iter().enumerate().map(|(class, members)| {
        let members = members.members.iter();
        let addresses =
            members.filter_map(|member| Some((member.address(family)?, Some(member.uid.clone()))));
        (End::Pods(class), addresses.collect())
    });
    let outside = reach
        .outside()
        .iter()
        .enumerate()
        .filter(|(_, outside)| outside.family == family);
    let outside = outside.map(|(range, outside)| {
        let borders = outside
            .blocks
            .iter()
            .flat_map(|block| [block.network(), block.broadcast()]);
        let free = borders.filter(|address| state.owner(*address).is_none() && !nodes.contains(address));
        (
            End::Outside(range),
            free.take(6).map(|address| (address, None)).collect(),
        )
    });
    classes.chain(outside).collect()
}

/// Transports at which verdicts may change: the borders of all ports in policies, and what pods declare.
fn interesting(state: &ClusterState, family: Family) -> BTreeSet<Transport> {
    let rules = |policy: &Policy| {
        [policy.ingress.clone(), policy.egress.clone()]
            .into_iter()
            .flatten()
            .flatten()
            .collect::<Vec<_>>()
    };
    let ports = state
        .policies()
        .values()
        .flat_map(rules)
        .flat_map(|rule| match rule.ports {
            Ports::All => Vec::new(),
            Ports::AnyOf(ports) => ports,
        });
    let borders = ports.flat_map(|port| match port.port {
        PortMatch::Range(range) => vec![range.first(), range.last()],
        PortMatch::Any | PortMatch::Named(_) => Vec::new(),
    });
    let declared = state
        .pods()
        .values()
        .flat_map(|pod| pod.ports.iter().map(|port| port.number));
    let numbers: BTreeSet<u16> = borders
        .chain(declared)
        .flat_map(|number| [number.saturating_sub(1), number, number.saturating_add(1)])
        .chain([0])
        .collect();
    let with_ports = Protocol::ALL.into_iter().flat_map(|protocol| {
        numbers
            .iter()
            .map(move |number| Transport::Port(protocol, *number))
    });
    let icmp = if family == Family::V4 { 1 } else { 58 };
    with_ports
        .chain([Transport::Other(icmp), Transport::Other(253)])
        .collect()
}

proptest! {
    #![proptest_config(config(300))]

    #[test]
    fn the_verdict_on_any_packet_is_the_oracles(events in crowded_history(), packets in vec(packet(), 200)) {
        let state = ClusterState::from_events(events);
        let reach = Reach::of(&state);
        for packet in packets {
            let expected = evaluate(&state, &packet);
            prop_assert_eq!(reach.verdict(&packet), expected.verdict, "{}", expected);
        }
    }

    #[test]
    fn classes_are_the_pods_that_own_an_address(events in crowded_history()) {
        let state = ClusterState::from_events(events);
        let reach = Reach::of(&state);
        let mut housed = BTreeMap::new();
        for (number, class) in reach.classes().iter().enumerate() {
            prop_assert!(!class.members.is_empty());
            prop_assert!(class.members.is_sorted_by_key(|member| &member.uid));
            for member in &class.members {
                let pod = &state.pods()[&member.uid];
                prop_assert_eq!(&pod.key.namespace, &class.namespace);
                prop_assert!(class.labels.iter().all(|(key, value)| pod.labels.get(key) == Some(&**value)));
                let first = &class.members[0];
                prop_assert_eq!((member.v4.is_some(), member.v6.is_some()), (first.v4.is_some(), first.v6.is_some()));
                for address in Family::ALL.into_iter().filter_map(|family| member.address(family)) {
                    prop_assert_eq!(housed.insert(address, member.uid.clone()), None);
                    prop_assert_eq!(reach.end(address), Some(End::Pods(number)));
                }
            }
        }
        let addresses = state.pods().values().flat_map(|pod| pod.addresses.iter().copied());
        let owned = addresses.filter_map(|address| Some((address, state.owner(address)?.uid.clone())));
        prop_assert_eq!(housed, owned.collect());
    }

    #[test]
    fn ranges_outside_are_all_addresses_each_once(events in history(120)) {
        let state = ClusterState::from_events(events);
        let reach = Reach::of(&state);
        for (family, last) in [(Family::V4, u128::from(u32::MAX)), (Family::V6, u128::MAX)] {
            let own = reach.outside().iter().enumerate().filter(|(_, outside)| outside.family == family);
            let mut spans = Vec::new();
            for (range, outside) in own {
                prop_assert!(outside.blocks.is_sorted());
                for block in &outside.blocks {
                    let ends = [block.network(), block.broadcast()];
                    for end in ends.into_iter().filter(|end| state.owner(*end).is_none()) {
                        prop_assert_eq!(reach.end(end), Some(End::Outside(range)));
                    }
                    spans.push(ends.map(|end| match end {
                        IpAddr::V4(end) => u128::from(u32::from(end)),
                        IpAddr::V6(end) => u128::from(end),
                    }));
                }
            }
            let firsts: Vec<IpAddr> = reach.outside().iter().filter(|outside| outside.family == family)
                .map(|outside| outside.blocks[0].network()).collect();
            prop_assert!(firsts.is_sorted());
            spans.sort_unstable();
            prop_assert_eq!(spans[0][0], 0);
            prop_assert_eq!(spans[spans.len() - 1][1], last);
            prop_assert!(spans.windows(2).all(|pair| pair[0][1] + 1 == pair[1][0]));
        }
    }
}

proptest! {
    #![proptest_config(config(60))]

    #[test]
    fn the_ports_of_every_pair_are_those_that_the_oracle_allows(events in crowded_history()) {
        let state = ClusterState::from_events(events);
        let reach = Reach::of(&state);
        for family in Family::ALL {
            let (ends, transports) = (ends(&state, &reach, family), interesting(&state, family));
            for (from, sources) in &ends {
                for (to, destinations) in &ends {
                    let ports = reach.ports(*from, *to, family);
                    let pairs = sources.iter().flat_map(|source| destinations.iter().map(move |other| (source, other)));
                    let pairs: Vec<_> = pairs.filter(|(from, to)| from.1.is_none() || from.1 != to.1).collect();
                    if sources.is_empty() || destinations.is_empty() {
                        prop_assert!(ports.is_empty() || !matches!((from, to), (End::Pods(_), End::Pods(_))));
                    }
                    for transport in &transports {
                        for ((source, _), (destination, _)) in &pairs {
                            let packet = Packet { source: *source, destination: *destination, transport: *transport };
                            let expected = evaluate(&state, &packet);
                            let allowed = ports.contains(*transport);
                            prop_assert_eq!(allowed, expected.verdict == Verdict::Allow, "{} has {}", expected, ports);
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn flows_are_the_pairs_with_ports_each_once(events in crowded_history()) {
        let state = ClusterState::from_events(events);
        let reach = Reach::of(&state);
        for family in Family::ALL {
            let mut listed = BTreeMap::new();
            let flows: Vec<_> = reach.flows(family).collect();
            prop_assert!(flows.is_sorted_by_key(|flow| (flow.to, flow.from[0])));
            for flow in flows {
                prop_assert!(flow.from.is_sorted_by(|one, other| one < other));
                for from in flow.from.iter() {
                    prop_assert_eq!(listed.insert((*from, flow.to), flow.ports.clone()), None);
                }
            }
            let ends = ends(&state, &reach, family);
            let pairs = ends.iter().flat_map(|(from, _)| ends.iter().map(move |(to, _)| (*from, *to)));
            let expected = pairs
                .filter(|pair| !matches!(pair, (End::Outside(_), End::Outside(_))))
                .map(|(from, to)| ((from, to), reach.ports(from, to, family)))
                .filter(|(_, ports)| !ports.is_empty());
            prop_assert_eq!(listed, expected.collect());
        }
    }

    #[test]
    fn a_witness_shows_what_is_allowed_and_what_is_not(events in crowded_history()) {
        let state = ClusterState::from_events(events);
        let reach = Reach::of(&state);
        for family in Family::ALL {
            let ends = ends(&state, &reach, family);
            for (from, sources) in &ends {
                for (to, destinations) in &ends {
                    let allowed = reach.ports(*from, *to, family);
                    let denied = PortSet::all().difference(&allowed);
                    for (ports, verdict) in [(&allowed, Verdict::Allow), (&denied, Verdict::Deny)] {
                        let Some(packet) = reach.witness(*from, *to, family, ports) else {
                            let outside = matches!((from, to), (End::Outside(_), _) | (_, End::Outside(_)));
                            let pods: BTreeSet<_> = sources.iter().chain(destinations).map(|(_, pod)| pod).collect();
                            prop_assert!(ports.is_empty() || outside || pods.len() < 2 || sources.is_empty() || destinations.is_empty());
                            continue;
                        };
                        prop_assert_eq!(reach.end(packet.source), Some(*from));
                        prop_assert_eq!(reach.end(packet.destination), Some(*to));
                        prop_assert!(ports.contains(packet.transport));
                        let expected = evaluate(&state, &packet);
                        prop_assert_eq!(expected.verdict, verdict, "{}", expected);
                    }
                }
            }
        }
    }
}

/// What a state's connections of IPv4 are, a line for each: by the names of the classes' first members and of the ranges.
fn lines(state: &ClusterState) -> Vec<String> {
    let reach = Reach::of(state);
    let name = |end: End| match end {
        End::Pods(class) => reach.classes()[class].members[0].uid.to_string(),
        End::Outside(range) => reach.outside()[range].blocks[0].to_string(),
    };
    let line = |flow: palisade_policy::reach::Flow| {
        let from: Vec<String> = flow.from.iter().map(|end| name(*end)).collect();
        format!("{} → {}: {}", from.join(" "), name(flow.to), flow.ports)
    };
    reach.flows(Family::V4).map(line).collect()
}

fn shop(policies: impl IntoIterator<Item = Policy>) -> ClusterState {
    let pods = [
        pod("shop/cart").labelled(&[("app", "cart")]).at("10.0.0.1"),
        pod("shop/cart-2").labelled(&[("app", "cart")]).at("10.0.0.2"),
        pod("shop/db")
            .labelled(&[("app", "db")])
            .at("10.0.0.3")
            .declaring("sql", Protocol::Tcp, 5432),
        pod("bank/teller").labelled(&[("app", "teller")]).at("10.0.0.4"),
    ];
    let namespaces = [namespace("shop", &[]), namespace("bank", &[("team", "money")])];
    let events = pods.into_iter().map(Event::PodApplied);
    let events = events.chain(namespaces.into_iter().map(Event::NamespaceApplied));
    let events = events.chain([Event::NodeApplied(node("a", &["192.168.0.1"]))]);
    ClusterState::from_events(events.chain(policies.into_iter().map(Event::PolicyApplied)))
}

#[test]
fn without_policies_everybody_in_a_namespace_is_one_class() {
    assert_eq!(
        lines(&shop([])),
        [
            "bank/teller shop/cart 0.0.0.0/0 → bank/teller: all",
            "bank/teller shop/cart 0.0.0.0/0 → shop/cart: all",
            "bank/teller shop/cart → 0.0.0.0/0: all",
        ]
    );
}

#[test]
fn a_policy_tells_its_subject_and_its_peers_apart() {
    let sql = palisade_policy::testing::builders::named_port(Protocol::Tcp, "sql");
    let guard = policy("shop/guard")
        .selecting(&[("app", "db")])
        .allowing_from([rule([pods(&[("app", "cart")])]).on_ports([sql])]);
    assert_eq!(
        lines(&shop([guard])),
        [
            "bank/teller shop/cart shop/db 0.0.0.0/0 → bank/teller: all",
            "bank/teller shop/cart shop/db 0.0.0.0/0 → shop/cart: all",
            "shop/cart → shop/db: 5432/TCP",
            "bank/teller shop/cart shop/db → 0.0.0.0/0: all",
        ]
    );
}

#[test]
fn a_block_cuts_a_range_out_of_the_outside() {
    let guard = policy("shop/guard")
        .selecting(&[("app", "db")])
        .allowing_from([rule([
            block("192.168.0.0/16", &["192.168.1.0/24"]),
            pods_in(&[("team", "money")], &[]),
        ])])
        .allowing_to([everybody().on_ports([port(Protocol::Udp, 53)])]);
    assert_eq!(
        lines(&shop([guard])),
        [
            "bank/teller shop/cart 0.0.0.0/1 192.168.0.0/24 → bank/teller: all",
            "shop/db → bank/teller: 53/UDP",
            "bank/teller shop/cart 0.0.0.0/1 192.168.0.0/24 → shop/cart: all",
            "shop/db → shop/cart: 53/UDP",
            "bank/teller 192.168.0.0/24 → shop/db: all",
            "bank/teller shop/cart → 0.0.0.0/1: all",
            "shop/db → 0.0.0.0/1: 53/UDP",
            "bank/teller shop/cart → 192.168.0.0/24: all",
            "shop/db → 192.168.0.0/24: 53/UDP",
        ]
    );
}

#[test]
fn a_pod_reaches_itself_and_its_node_whatever_the_policies() {
    let state = shop([policy("shop/deny").allowing_from([]).allowing_to([])]);
    let reach = Reach::of(&state);
    let verdict = |source: &str, destination: &str| {
        reach.verdict(&Packet {
            source: source.parse().unwrap(),
            destination: destination.parse().unwrap(),
            transport: Transport::Port(Protocol::Tcp, 80),
        })
    };
    assert_eq!(verdict("10.0.0.1", "10.0.0.1"), Verdict::Allow);
    assert_eq!(verdict("10.0.0.1", "192.168.0.1"), Verdict::Allow);
    assert_eq!(verdict("192.168.0.1", "10.0.0.1"), Verdict::Allow);
    assert_eq!(verdict("10.0.0.1", "10.0.0.2"), Verdict::Deny);
    assert_eq!(verdict("192.168.0.2", "10.0.0.1"), Verdict::Deny);
    assert_eq!(verdict("192.168.0.2", "192.0.2.1"), Verdict::Allow);
}

#[test]
fn a_policy_that_selects_nobody_tells_nobody_apart() {
    let mut idle =
        policy("shop/idle").allowing_from([rule([pods(&[("app", "cart")]), block("10.0.0.0/8", &[])])]);
    idle.subject = selector(&[("app", "nothing")]);
    assert_eq!(lines(&shop([idle])), lines(&shop([])));
}

#[test]
fn sources_that_a_fully_open_cluster_has_are_listed_once() {
    let pods = (0..200_u8).map(|number| {
        Event::PodApplied(pod(&format!("tenant-{number}/web")).at(&format!("10.0.0.{number}")))
    });
    let reach = Reach::of(&ClusterState::from_events(pods));
    let flows: Vec<_> = reach.flows(Family::V4).collect();
    let lists: BTreeSet<_> = flows.iter().map(|flow| flow.from.as_ptr()).collect();
    assert_eq!((flows.len(), lists.len()), (201, 2));
}
