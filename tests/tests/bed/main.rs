//! The bed and the prober themselves: without an enforcer everything reaches everything, in every topology.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::indexing_slicing,
    reason = "all of this file is tests"
)]
#![expect(clippy::similar_names, reason = "a prober sends probes")]

mod processes;
mod reach;
mod rules;
mod services;
mod slots;

use std::net::IpAddr;
use std::time::{Duration, Instant};

use palisade_policy::model::{Protocol, Transport, Verdict};
use palisade_tests::bed::{Bed, BedSpec, Client, NodeBed, Slot, Topology};
use palisade_tests::probe::{Endpoint, Host, Listen, Probe, Prober};

const PORT: u16 = 80;
const PATIENCE: Duration = Duration::from_secs(5);
const MILLISECOND: Duration = Duration::from_millis(1);

async fn start(topology: Topology, nodes: usize, slots_per_node: usize) -> (Bed, Prober) {
    let begin = Instant::now();
    let bed = Bed::start(BedSpec {
        topology,
        nodes,
        slots_per_node,
    })
    .await
    .unwrap();
    println!(
        "{topology}: {nodes} nodes with {slots_per_node} slots each in {:?}",
        begin.elapsed()
    );
    let prober = Prober::start(hosts(&bed), &Listen::on([PORT])).unwrap();
    (bed, prober)
}

fn hosts(bed: &Bed) -> Vec<Host> {
    let nodes = bed.nodes().iter().map(NodeBed::host);
    let clients = bed.clients().iter().map(Client::host);
    bed.slots().map(Slot::host).chain(nodes).chain(clients).collect()
}

fn transports(to: IpAddr) -> [Transport; 5] {
    [
        Transport::Port(Protocol::Tcp, PORT),
        Transport::Port(Protocol::Udp, PORT),
        Transport::Port(Protocol::Sctp, PORT),
        Transport::Other(if to.is_ipv4() { 1 } else { 58 }),
        Transport::Other(253),
    ]
}

fn tcp(from: Endpoint, to: IpAddr, port: u16) -> Probe {
    Probe {
        from,
        to,
        transport: Transport::Port(Protocol::Tcp, port),
    }
}

fn udp(from: Endpoint, to: IpAddr) -> Probe {
    Probe {
        from,
        to,
        transport: Transport::Port(Protocol::Udp, PORT),
    }
}

/// Asserts that every probe passes, and reaches the host of that name.
async fn assert_all_pass(prober: &Prober, probes: &[Probe], names: &[String]) {
    let observations = prober
        .observe(probes, &vec![Verdict::Allow; probes.len()])
        .await
        .unwrap();
    let wrong: Vec<String> = probes
        .iter()
        .zip(names)
        .zip(&observations)
        .filter(|((_, name), seen)| !seen.passed() || seen.who() != Some(name))
        .map(|((probe, name), seen)| format!("{probe}, which is {name}: {seen}"))
        .collect();
    assert!(
        wrong.is_empty(),
        "{} of {}:\n{}",
        wrong.len(),
        probes.len(),
        wrong.join("\n")
    );
}

/// Asserts one verdict for all probes.
async fn assert_verdict(prober: &Prober, probes: &[Probe], verdict: Verdict) {
    let observations = prober
        .observe(probes, &vec![verdict; probes.len()])
        .await
        .unwrap();
    for (probe, seen) in probes.iter().zip(&observations) {
        assert!(seen.agrees(verdict), "{probe}: expected {verdict}, {seen}");
    }
}
