//! Explanations are what the oracle says: of every packet that was asked about, on random clusters.

use std::net::IpAddr;

use palisade_audit::explain::{Case, Finding, Overall, Party, Why, explain};
use palisade_audit::inventory::Inventory;
use palisade_audit::question::{End, Port, Question, Resolved, resolve};
use palisade_policy::cluster::{ClusterState, Event};
use palisade_policy::evaluate::{Outcome, Reason, evaluate};
use palisade_policy::model::{Direction, Packet, PortRange, Protocol, Transport, Verdict};
use palisade_policy::testing::{config, strategies};
use proptest::prelude::*;

fn inventory(state: ClusterState) -> Inventory {
    Inventory {
        state,
        ..Inventory::default()
    }
}

fn resolved(inventory: &Inventory, from: End, to: End, port: Port) -> Option<Resolved> {
    resolve(inventory, &"shop".into(), &Question { from, to, port }).ok()
}

/// Whether an address is among some ends.
fn has(state: &ClusterState, party: &Party, address: IpAddr) -> bool {
    match state.owner(address) {
        Some(pod) => party.pods.iter().any(|member| member.uid == pod.uid),
        None => {
            party.addresses.contains(&address) || party.blocks.iter().any(|block| block.contains(&address))
        }
    }
}

fn is_about(state: &ClusterState, case: &Case, packet: &Packet) -> bool {
    let mut families = case.families.iter();
    let family = match packet.source {
        IpAddr::V4(_) => palisade_policy::reach::Family::V4,
        IpAddr::V6(_) => palisade_policy::reach::Family::V6,
    };
    families.any(|one| *one == family)
        && has(state, &case.from, packet.source)
        && has(state, &case.to, packet.destination)
}

fn port_of(transport: Transport) -> Port {
    match transport {
        Transport::Port(protocol, number) => match PortRange::single(number) {
            Ok(range) => Port::Numbers(protocol, range),
            Err(_) => Port::Every,
        },
        Transport::Other(_) => Port::Icmp,
    }
}

proptest! {
    #![proptest_config(config(96))]

    #[test]
    fn an_explanation_of_two_addresses_is_the_verdict_of_the_oracle(
        events in strategies::history(60),
        packets in proptest::collection::vec(strategies::packet(), 12),
    ) {
        let inventory = inventory(ClusterState::from_events(events));
        for packet in packets {
            let expected = evaluate(&inventory.state, &packet).verdict;
            let (from, to) = (End::Address(packet.source), End::Address(packet.destination));
            let question = resolved(&inventory, from, to, port_of(packet.transport));
            let answer = explain(&inventory, &question.expect("addresses of one family")).expect("few");
            let found = match answer.verdict {
                Overall::Allowed => Verdict::Allow,
                Overall::Denied | Overall::Partly => Verdict::Deny,
            };
            prop_assert_eq!(found, expected, "{}", packet);
        }
    }

    #[test]
    fn of_everybody_every_packet_is_in_one_case_with_its_verdict(
        events in strategies::history(60),
        packets in proptest::collection::vec(strategies::packet(), 40),
    ) {
        let inventory = inventory(ClusterState::from_events(events));
        let state = &inventory.state;
        let question = resolved(&inventory, End::Anybody, End::Anybody, Port::Every).expect("there is an outside");
        let answer = explain(&inventory, &question).expect("few");
        for case in &answer.cases {
            for witness in &case.witnesses {
                let mut beside = state.clone();
                match &witness.twin {
                    None => prop_assert!(is_about(state, case, &witness.packet), "{}", witness.packet),
                    Some(twin) => {
                        prop_assert!(state.owner(witness.packet.destination).is_none());
                        beside.apply(Event::PodApplied(twin.clone()));
                    }
                }
                prop_assert_eq!(evaluate(&beside, &witness.packet).verdict, witness.verdict);
                let allowed = case.allowed.contains(witness.packet.transport);
                prop_assert_eq!(allowed, witness.verdict == Verdict::Allow, "{}", witness.packet);
            }
        }
        for packet in packets {
            let evaluation = evaluate(state, &packet);
            // Within many ends these two are told in a remark.
            if matches!(evaluation.reason, Reason::Itself { .. } | Reason::OwnNode { .. }) {
                continue;
            }
            let cases: Vec<&Case> = answer.cases.iter().filter(|case| is_about(state, case, &packet)).collect();
            prop_assert_eq!(cases.len(), 1, "{}: {:#?}", packet, cases);
            let allowed = cases.iter().all(|case| case.allowed.contains(packet.transport));
            prop_assert_eq!(allowed, evaluation.verdict == Verdict::Allow, "{}", packet);
        }
    }

    #[test]
    fn every_remedy_lets_the_packet_pass_at_its_end(
        events in strategies::history(60),
        packets in proptest::collection::vec(strategies::packet(), 12),
    ) {
        let inventory = inventory(ClusterState::from_events(events));
        for packet in packets {
            let (from, to) = (End::Address(packet.source), End::Address(packet.destination));
            let port = Port::Numbers(Protocol::Tcp, PortRange::single(80).expect("a port"));
            let Some(question) = resolved(&inventory, from, to, port) else { continue };
            let answer = explain(&inventory, &question).expect("few");
            for witness in answer.cases.iter().flat_map(|case| &case.witnesses) {
                let Why::Judged(accounts) = &witness.why else { continue };
                for account in accounts {
                    let Finding::Denied { remedies, .. } = &account.finding else { continue };
                    for remedy in remedies {
                        let mut changed = inventory.state.clone();
                        remedy.apply(&mut changed);
                        let reason = evaluate(&changed, &witness.packet).reason;
                        prop_assert!(passes(&reason, account.direction), "{}: {}", witness.packet, remedy);
                    }
                }
            }
        }
    }
}

fn passes(reason: &Reason, direction: Direction) -> bool {
    let Reason::Judged { egress, ingress } = reason else {
        return true;
    };
    let mut sides = egress
        .iter()
        .chain(ingress)
        .filter(|side| side.direction == direction);
    sides.all(|side| !matches!(side.outcome, Outcome::Denied { .. }))
}
