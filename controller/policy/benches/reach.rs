//! How long it takes to work out who reaches whom, everybody to everybody.
//!
//! `cargo bench -p palisade-policy --bench reach [NAME…]`. Every answer is held to the oracle in the same run: packets between
//! random addresses, and one of every so many connections that were listed.
#![expect(clippy::print_stdout, reason = "a bench tells what it measured")]
#![expect(
    clippy::indexing_slicing,
    reason = "a bench that is written wrong should stop at once"
)]

use std::net::IpAddr;
use std::time::{Duration, Instant};

use palisade_policy::cluster::{ClusterState, Event};
use palisade_policy::evaluate::evaluate;
use palisade_policy::model::{Packet, Policy, Protocol, Transport, Verdict};
use palisade_policy::reach::{Difference, Family, Flow, PortSet, Reach};
use palisade_policy::testing::workloads;

/// How often each workload is worked out.
const REPEATS: usize = 5;

/// How many packets of each kind the oracle is asked about.
const CHECKS: usize = 300;

fn main() {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let cpu = read("/proc/cpuinfo");
    let model = cpu
        .lines()
        .find(|line| line.starts_with("model name"))
        .unwrap_or_default();
    println!(
        "{model}, kernel {}, load {}",
        read("/proc/sys/kernel/osrelease").trim(),
        read("/proc/loadavg").trim()
    );
    for workload in workloads::chosen(std::env::args()) {
        println!("\n{}: {}", workload.name, workload.about);
        measure(&workload.state());
    }
}

fn measure(state: &ClusterState) {
    let (mut building, mut listing) = (Vec::new(), Vec::new());
    for _ in 0..REPEATS {
        let start = Start::now();
        let reach = Reach::of(state);
        building.push(start.took());
        let start = Start::now();
        let (mut flows, mut pairs) = (0_usize, 0_usize);
        for flow in Family::ALL.into_iter().flat_map(|family| reach.flows(family)) {
            flows += 1;
            pairs += flow.from.len();
        }
        listing.push(start.took());
        if building.len() == REPEATS {
            let (classes, ranges) = (reach.classes().len(), reach.outside().len());
            println!("  {classes} classes, {ranges} ranges outside, {flows} flows of {pairs} pairs");
            check(state, &reach, flows);
        }
    }
    show("classes and what tells them apart", &mut building);
    show("all flows of both families", &mut listing);
    differ(state);
}

/// Takes the ingress rules out of a policy and tells what that changes.
fn differ(state: &ClusterState) {
    let mut after = state.clone();
    let allows = |policy: &&Policy| policy.ingress.as_ref().is_some_and(|rules| !rules.is_empty());
    let Some(mut policy) = state.policies().values().find(allows).cloned() else {
        return;
    };
    policy.ingress = policy.ingress.map(|_| Vec::new());
    after.apply(Event::PolicyApplied(policy));
    let mut times = Vec::new();
    for _ in 0..REPEATS {
        let start = Start::now();
        let changes = Difference::of(state, &after).changes.len();
        times.push(start.took());
        if times.len() == REPEATS {
            println!("  {changes} changes where one policy loses its ingress rules");
        }
    }
    show("the difference that one policy makes", &mut times);
}

/// How long something took: on the clock, and on a processor, which matters where others use it too.
type Took = (Duration, Duration);

/// A start to measure from.
struct Start(Instant, Duration);

impl Start {
    fn now() -> Self {
        Self(Instant::now(), processor())
    }

    fn took(&self) -> Took {
        (self.0.elapsed(), processor().saturating_sub(self.1))
    }
}

/// How long this process has had a processor (proc(5), `schedstat`).
fn processor() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/schedstat").unwrap_or_default();
    let nanoseconds = stat.split(' ').next().and_then(|word| word.parse().ok());
    Duration::from_nanos(nanoseconds.unwrap_or_default())
}

fn show(what: &str, times: &mut [Took]) {
    let mut spread = |part: fn(&Took) -> Duration| {
        times.sort_unstable_by_key(part);
        let at = |share: usize| part(&times[(times.len() - 1) * share / 100]);
        format!("min {:.1?}, p50 {:.1?}, max {:.1?}", at(0), at(50), at(100))
    };
    let (clock, processor) = (spread(|took| took.0), spread(|took| took.1));
    println!("  {what}: {clock}; of a processor {processor}");
}

/// Holds random packets and listed connections to the oracle.
fn check(state: &ClusterState, reach: &Reach, flows: usize) {
    let addresses: Vec<IpAddr> = state
        .pods()
        .values()
        .flat_map(|pod| pod.addresses.clone())
        .collect();
    let mut seed = 1_usize;
    let mut roll = |limit: usize| {
        seed = seed
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) % limit
    };
    let mut disagreements = 0;
    let mut hold = |packet: Packet, answer: Verdict| {
        let expected = evaluate(state, &packet);
        if expected.verdict != answer || reach.verdict(&packet) != answer {
            disagreements += 1;
            println!("  WRONG, not {answer}: {expected}");
        }
    };
    for _ in 0..CHECKS {
        let source = addresses[roll(addresses.len())];
        // Near each other, so that not all is denied.
        let offset = roll(40);
        let position = addresses
            .iter()
            .position(|address| *address == source)
            .unwrap_or_default();
        let destination = addresses[(position + offset) % addresses.len()];
        if source.is_ipv4() == destination.is_ipv4() {
            let number = [53, 80, 443, 5432, 8080, 9090][roll(6)];
            let packet = Packet {
                source,
                destination,
                transport: Transport::Port(Protocol::Tcp, number),
            };
            hold(packet, reach.verdict(&packet));
        }
    }
    let mut listed = 0;
    for family in Family::ALL {
        let mut sample = |flow: Flow| {
            let from = flow.from[roll(flow.from.len())];
            let denied = PortSet::all().difference(&flow.ports);
            for (ports, answer) in [(&flow.ports, Verdict::Allow), (&denied, Verdict::Deny)] {
                if let Some(packet) = reach.witness(from, flow.to, family, ports) {
                    listed += 1;
                    hold(packet, answer);
                }
            }
        };
        reach
            .flows(family)
            .step_by((flows / CHECKS).max(1))
            .for_each(&mut sample);
    }
    println!("  held to the oracle: {CHECKS} random packets, {listed} of listed connections");
    assert_eq!(disagreements, 0, "a fast wrong answer is void");
}
