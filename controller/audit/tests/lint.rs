//! What lint calls superfluous is: without it the oracle says the same of every packet, in random clusters.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests may fail like tests"
)]

use std::collections::BTreeSet;
use std::net::IpAddr;

use palisade_audit::inventory::{Inventory, ObjectRef};
use palisade_audit::lint::{Code, Finding, lint};
use palisade_policy::cluster::{ClusterState, Event};
use palisade_policy::evaluate::evaluate;
use palisade_policy::model::{Direction, Packet, Peers, Policy, Ports, Protocol, Transport, Verdict};
use palisade_policy::testing::builders::{namespace, pod, pods_in, policy, rule};
use palisade_policy::testing::strategies::{self, history};
use proptest::collection::vec;
use proptest::prelude::*;

/// Clusters with more policies than a history makes by chance.
fn clusters() -> impl Strategy<Value = ClusterState> {
    (history(60), vec(strategies::policy(), 0..8)).prop_map(|(events, policies)| {
        let policies = policies.into_iter().map(Event::PolicyApplied);
        ClusterState::from_events(events.into_iter().chain(policies))
    })
}

/// The verdicts on packets between all addresses that pods and nodes have.
fn verdicts(state: &ClusterState) -> Vec<Verdict> {
    let pods = state.pods().values().flat_map(|pod| &pod.addresses);
    let nodes = state.nodes().values().flat_map(|node| &node.addresses);
    let addresses: BTreeSet<IpAddr> = pods.chain(nodes).copied().collect();
    let ports = [53, 79, 80, 81, 8080, 65535];
    let ports = Protocol::ALL
        .into_iter()
        .flat_map(|protocol| ports.map(|port| Transport::Port(protocol, port)));
    let transports: Vec<Transport> = ports.chain([Transport::Other(1)]).collect();
    let pairs = addresses
        .iter()
        .flat_map(|source| addresses.iter().map(move |destination| (*source, *destination)));
    let pairs = pairs.filter(|(source, destination)| source.is_ipv4() == destination.is_ipv4());
    let packets = pairs.flat_map(|(source, destination)| {
        transports.iter().map(move |transport| Packet {
            source,
            destination,
            transport: *transport,
        })
    });
    packets.map(|packet| evaluate(state, &packet).verdict).collect()
}

/// Whether a code says that what it is about could as well not be there.
fn is_superfluous(code: Code) -> bool {
    matches!(
        code,
        Code::PeerSelectsNothing
            | Code::NamespaceSelectsNothing
            | Code::PeersJoined
            | Code::SelectorContradiction
            | Code::BlockEmpty
            | Code::NamedPortUndeclared
            | Code::RuleShadowed
            | Code::RuleShadowedElsewhere
            | Code::PeerShadowed
            | Code::DuplicatePolicy
            | Code::OtherEnd
    )
}

/// The number in brackets after a name: `spec.ingress[0].from[1]` has 1 after `from`.
fn index(field: &str, name: &str) -> Option<usize> {
    let (_, rest) = field.split_once(&format!("{name}["))?;
    rest.split_once(']')?.0.parse().ok()
}

/// The state without what a finding is about; `None` where that is no rule, peer or port.
fn without(state: &ClusterState, finding: &Finding) -> Option<ClusterState> {
    let ObjectRef::Policy(key) = &finding.object else {
        return None;
    };
    let event = match &finding.field {
        None => Event::PolicyDeleted(key.clone()),
        Some(field) => {
            let mut policy = state.policies()[key].clone();
            cut(&mut policy, field)?;
            Event::PolicyApplied(policy)
        }
    };
    let mut state = state.clone();
    state.apply(event);
    Some(state)
}

fn cut(policy: &mut Policy, field: &str) -> Option<()> {
    let direction = if field.starts_with("spec.ingress") {
        Direction::Ingress
    } else {
        Direction::Egress
    };
    let rule = index(field, &format!("spec.{direction}"))?;
    let rules = match direction {
        Direction::Ingress => policy.ingress.as_mut()?,
        Direction::Egress => policy.egress.as_mut()?,
    };
    let peer = index(field, ".from").or_else(|| index(field, ".to"));
    match (peer, index(field, ".ports")) {
        (Some(peer), _) => match &mut rules[rule].peers {
            Peers::AnyOf(peers) => drop(peers.remove(peer)),
            Peers::All => panic!("{field}: no such peer"),
        },
        (None, Some(port)) => match &mut rules[rule].ports {
            Ports::AnyOf(ports) => drop(ports.remove(port)),
            Ports::All => panic!("{field}: no such port"),
        },
        (None, None) => drop(rules.remove(rule)),
    }
    Some(())
}

proptest! {
    #![proptest_config(palisade_policy::testing::config(96))]

    #[test]
    fn what_is_superfluous_can_go(state in clusters()) {
        let inventory = Inventory { state, ..Inventory::default() };
        let findings = lint(&inventory);
        prop_assert_eq!(&lint(&inventory), &findings, "the same twice");
        let before = verdicts(&inventory.state);
        for finding in findings.iter().filter(|finding| is_superfluous(finding.code)) {
            let Some(after) = without(&inventory.state, finding) else { continue };
            prop_assert!(
                verdicts(&after) == before,
                "{finding:?} of {:#?}",
                inventory.state.policies()
            );
        }
    }
}

#[test]
fn everything_superfluous_is_among_what_random_clusters_have() {
    use proptest::strategy::ValueTree;
    use proptest::test_runner::TestRunner;

    let mut runner = TestRunner::new(palisade_policy::testing::config(1));
    let mut met: BTreeSet<Code> = BTreeSet::new();
    for _ in 0..300 {
        let state = clusters().new_tree(&mut runner).unwrap().current();
        let inventory = Inventory {
            state,
            ..Inventory::default()
        };
        met.extend(lint(&inventory).iter().map(|finding| finding.code));
    }
    let all = Code::ALL.iter().copied().filter(|code| is_superfluous(*code));
    // Namespaces of random clusters are never all known, and duplicates are too rare.
    let rare = [Code::NamespaceSelectsNothing, Code::DuplicatePolicy];
    let missed: Vec<Code> = all
        .filter(|code| !met.contains(code) && !rare.contains(code))
        .collect();
    assert!(missed.is_empty(), "never met: {missed:?}");
}

#[test]
fn what_a_cluster_lists_itself_is_all_there_is() {
    let events = [
        Event::NamespaceApplied(namespace("shop", &[])),
        Event::PodApplied(pod("shop/web").at("10.0.0.1")),
        Event::PolicyApplied(policy("shop/p").allowing_from([rule([pods_in(&[("team", "ops")], &[])])])),
    ];
    let mut inventory = Inventory {
        state: ClusterState::from_events(events),
        ..Inventory::default()
    };
    let codes = |inventory: &Inventory| -> Vec<Code> {
        let codes = lint(inventory).into_iter().map(|finding| finding.code);
        codes.filter(|code| *code != Code::OpenEgress).collect()
    };
    assert_eq!(codes(&inventory), [Code::NamespaceUnknown]);
    inventory.whole = true;
    assert_eq!(codes(&inventory), [Code::NamespaceSelectsNothing]);
}
