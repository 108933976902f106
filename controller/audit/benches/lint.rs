//! How long lint takes: 10,000 pods in 100 namespaces under 1,000 policies, as a large cluster has them; the same in one
//! namespace, where every policy has to do with every other; and 100,000 pods under 75,000 policies.
#![allow(clippy::print_stdout, reason = "a bench prints its figures")]

use std::collections::BTreeMap;
use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use palisade_audit::inventory::{Inventory, Service, ServiceKey, ServiceKind, ServicePort, TargetPort};
use palisade_audit::lint::lint;
use palisade_audit::lint::output::Summary;
use palisade_policy::cluster::{ClusterState, Event};
use palisade_policy::model::{Protocol, Selector};
use palisade_policy::testing::builders::{
    block, named_port, namespace, node, pod, pods, pods_in, policy, port, rule, selector,
};

const APPS: usize = 20;
const RUNS: usize = 5;

/// Namespaces, pods and policies.
const CLUSTERS: [(usize, usize, usize); 3] =
    [(100, 10_000, 1_000), (1, 10_000, 1_000), (1_000, 100_000, 75_000)];

fn main() {
    // `cargo test --benches` runs it too, where its time says nothing.
    let measured = std::env::args().any(|argument| argument == "--bench");
    let (runs, clusters) = if measured { (RUNS, CLUSTERS.len()) } else { (1, 1) };
    for (namespaces, pods, policies) in CLUSTERS.into_iter().take(clusters) {
        let inventory = inventory(namespaces, pods, policies);
        let runs = if pods > 10_000 { 1 } else { runs };
        let mut best = Duration::MAX;
        let mut summary = Summary::default();
        for _ in 0..runs {
            let start = Instant::now();
            let findings = black_box(lint(black_box(&inventory)));
            best = best.min(start.elapsed());
            summary = Summary::of(&findings);
        }
        println!("lint, {namespaces} namespaces, {pods} pods, {policies} policies: {best:.1?} ({summary})");
    }
}

fn inventory(namespaces: usize, pods: usize, policies: usize) -> Inventory {
    let name = |number: usize| format!("ns-{}", number % namespaces);
    let app = |number: usize| format!("app-{}", number / namespaces % APPS);
    let address = |number: usize| format!("10.{}.{}.{}", number / 65_536, number / 256 % 256, number % 256);
    let spaces = (0..namespaces).map(|number| {
        let team = format!("team-{}", number % 10);
        Event::NamespaceApplied(namespace(&name(number), &[("team", &team)]))
    });
    let nodes = (0..100)
        .map(|number| Event::NodeApplied(node(&format!("node-{number}"), &[&format!("192.168.0.{number}")])));
    let workloads = (0..pods).map(|number| {
        // Every pod has a label of its own, as those of a StatefulSet: no two are of one class.
        let own = format!("pod-{number}");
        let labels = [("app", app(number)), ("pod", own.clone())];
        let labels: Vec<(&str, &str)> = labels.iter().map(|(key, value)| (*key, value.as_str())).collect();
        let pod = pod(&format!("{}/{own}", name(number))).at(&address(number));
        Event::PodApplied(pod.labelled(&labels).declaring("http", Protocol::Tcp, 8080))
    });
    let policies = (0..policies).map(|number| Event::PolicyApplied(one(number, &name(number), &app(number))));
    let services: BTreeMap<ServiceKey, Service> = (0..namespaces * APPS)
        .map(|number| {
            let key = ServiceKey {
                namespace: name(number).into(),
                name: Arc::from(app(number)),
            };
            (key.clone(), service(key, selector(&[("app", &app(number))])))
        })
        .collect();
    Inventory {
        state: ClusterState::from_events(spaces.chain(nodes).chain(workloads).chain(policies)),
        services,
        ..Inventory::default()
    }
}

/// A policy of ten peers: pods beside it, pods elsewhere, blocks; and some that select nothing.
fn one(number: usize, namespace: &str, app: &str) -> palisade_policy::model::Policy {
    let other = format!("app-{}", number % (APPS + 1));
    let team = format!("team-{}", number % 11);
    let policy = policy(&format!("{namespace}/policy-{number}"));
    if number.is_multiple_of(10) {
        return policy.allowing_from([]).allowing_to([]);
    }
    let cidr = format!("172.{}.{}.0/24", 16 + number % 16, number / 16 % 256);
    policy
        .selecting(&[("app", app)])
        .allowing_from([
            rule([
                pods(&[("app", &other)]),
                pods_in(&[("team", &team)], &[("app", &other)]),
            ])
            .on_ports([named_port(Protocol::Tcp, "http")]),
            rule([pods_in(&[], &[("app", &other)]), block(&cidr, &[])]).on_ports([port(Protocol::Tcp, 8080)]),
            rule([pods_in(&[("team", &team)], &[])]),
        ])
        .allowing_to([
            rule([pods_in(&[], &[])]).on_ports([port(Protocol::Tcp, 80), port(Protocol::Udp, 53)]),
            rule([block("0.0.0.0/0", &["10.0.0.0/8"]), pods(&[])]),
        ])
}

fn service(key: ServiceKey, selector: Selector) -> Service {
    Service {
        key,
        kind: ServiceKind::ClusterIp,
        addresses: Vec::new(),
        outside: Vec::new(),
        selector: Some(selector),
        ports: vec![ServicePort {
            name: None,
            protocol: Protocol::Tcp,
            port: 80,
            target: TargetPort::Number(8080),
            node_port: None,
        }],
        keeps_source: false,
        headless: false,
        endpoints: None,
    }
}
