//! What `policy-audit verify` costs for a node of 250 pods in a cluster of 2,500 policies: 100 policies on each pod, with 20
//! peers each, no two pods with the same policies. Prints its times.
#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a bench prints, and stops where something is wrong"
)]

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use palisade_audit::kernel::{NodeTables, Verifier, text};
use palisade_enforcer::facts::Observed;
use palisade_enforcer::nft::Loaded;
use palisade_enforcer::nft::model::Interface;
use palisade_enforcer::plan::{Facts, Place, Settings, plan};
use palisade_enforcer::tables::Tables;
use palisade_policy::cluster::{ClusterState, Event};
use palisade_policy::compile::compile;
use palisade_policy::model::{
    NamespaceScope, NodeName, Operator, Peer, PodPeer, Protocol, Requirement, Selector,
};
use palisade_policy::testing::builders::{labels, namespace, node, pod, policy, port, rule};

const PODS: usize = 250;
const POLICIES: usize = 2_500;
/// Pods that one policy selects: each pod has 100 policies.
const SUBJECTS: usize = PODS * 100 / POLICIES;
const PEERS: usize = 20;
const OTHERS: usize = 5_000;

fn ids(numbers: impl Iterator<Item = usize>) -> Selector {
    let values = numbers.map(|number| number.to_string().into()).collect();
    [Requirement {
        key: "id".into(),
        operator: Operator::In(values),
    }]
    .into_iter()
    .collect()
}

fn state() -> ClusterState {
    let mut state = ClusterState::default();
    state.apply(Event::NamespaceApplied(namespace("shop", &[])));
    for name in ["a", "b"] {
        state.apply(Event::NodeApplied(node(name, &[])));
    }
    for number in 0..PODS + OTHERS {
        let (node, network) = if number < PODS { ("a", 0) } else { ("b", 1) };
        let mut pod = pod(&format!("shop/pod-{number}")).on(node);
        pod.labels = labels(&[("id", &number.to_string())]);
        pod.addresses = vec![
            format!("10.{network}.{}.{}", number / 250, number % 250 + 1)
                .parse()
                .unwrap(),
            format!("fd00:{network}::{number:x}").parse().unwrap(),
        ];
        state.apply(Event::PodApplied(pod));
    }
    for number in 0..POLICIES {
        let peers = ids((0..PEERS).map(|peer| PODS + (number * 37 + peer * 211) % OTHERS));
        let peer = Peer::Pods(PodPeer {
            namespaces: NamespaceScope::Own,
            pods: peers,
        });
        let allowed =
            rule([peer]).on_ports([port(Protocol::Tcp, 8000 + u16::try_from(number % 50).unwrap())]);
        let mut policy = policy(&format!("shop/policy-{number}"))
            .allowing_from([allowed.clone()])
            .allowing_to([allowed]);
        policy.subject = ids((0..SUBJECTS).map(|pod| (number * 7 + pod * (number % 11 + 13)) % PODS));
        state.apply(Event::PolicyApplied(policy));
    }
    state
}

fn document(state: &ClusterState, name: &NodeName) -> Vec<u8> {
    let published = compile(state);
    let slices = published.slices();
    let rules = published.rules(name).unwrap();
    let places = rules.pods.iter().zip(1..).map(|((uid, pod), index)| {
        let place = Place {
            interface: Interface::new(format!("veth{index}")).unwrap(),
            index,
            bridge: None,
            addresses: pod.addresses.iter().copied().collect(),
        };
        (uid.clone(), place)
    });
    let facts = Facts {
        places: places.collect(),
        uplinks: BTreeMap::new(),
    };
    let ruleset = plan(&rules, &slices, &facts, &Settings::default())
        .unwrap()
        .ruleset;
    let loaded = Loaded {
        ruleset,
        ..Loaded::default()
    };
    let observed = Observed {
        places: facts.places,
        ..Observed::default()
    };
    serde_json::to_vec(&Tables::new(name, &loaded, &observed).unwrap()).unwrap()
}

fn timed<T>(what: &str, run: impl FnOnce() -> T) -> (T, Duration) {
    let begin = Instant::now();
    let outcome = run();
    let took = begin.elapsed();
    println!("{what:<28} {:>8.0} ms", took.as_secs_f64() * 1000.0);
    (outcome, took)
}

fn main() {
    let name = NodeName::from("a");
    let state = state();
    let json = document(&state, &name);
    println!(
        "{PODS} pods, {POLICIES} policies, {} MB of tables",
        json.len() >> 20
    );
    let (tables, reading) = timed("reading the tables", || NodeTables::parse(&json).unwrap());
    let (mut verifier, preparing) = timed("sorting the objects", || Verifier::new(&state));
    let (report, comparing) = timed("comparing", || verifier.verify(&name, &tables));
    println!(
        "{:<28} {:>8.0} ms",
        "verify",
        (reading + preparing + comparing).as_secs_f64() * 1000.0
    );
    println!("{:?}", report.compared);
    assert!(report.agrees(), "{}", text(&[report]));
}
