//! Who reaches whom where nothing is forbidden.

use std::time::Instant;

use palisade_policy::model::{Protocol, Transport, Verdict};
use palisade_tests::bed::{Bed, Slot, Topology};
use palisade_tests::probe::Probe;

use super::{PORT, assert_all_pass, assert_verdict, hosts, start, transports};

/// Every host to every address of every host, each transport, both families; with the name of whom each should reach.
fn everything(bed: &Bed) -> (Vec<Probe>, Vec<String>) {
    let mut probes = Vec::new();
    let mut names = Vec::new();
    for source in hosts(bed) {
        // The clients share a namespace, so that only the source address tells which one it is.
        let sources = if source.name().starts_with("client") {
            source.addresses()
        } else {
            &[]
        };
        for target in hosts(bed) {
            for &to in target.addresses() {
                for transport in transports(to) {
                    probes.push(Probe {
                        from: source.endpoint().from_one_of(sources, to),
                        to,
                        transport,
                    });
                    names.push(target.name().to_owned());
                }
            }
        }
    }
    (probes, names)
}

async fn everything_reaches_everything(topology: Topology) {
    let (bed, prober) = start(topology, 3, 4).await;
    let (probes, names) = everything(&bed);
    let begin = Instant::now();
    assert_all_pass(&prober, &probes, &names).await;
    println!("{topology}: {} probes in {:?}", probes.len(), begin.elapsed());
    bed.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_reaches_everything_where_pods_are_routed() {
    everything_reaches_everything(Topology::Routed).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_reaches_everything_where_pods_are_bridged() {
    everything_reaches_everything(Topology::Bridge).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_reaches_everything_on_one_segment() {
    everything_reaches_everything(Topology::Segment).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn forged_addresses_leave_a_pod() {
    let (bed, prober) = start(Topology::Routed, 1, 3).await;
    let slots: Vec<Slot> = bed.slots().cloned().collect();
    let mut probes = Vec::new();
    for (to, forged) in slots[1].addresses().into_iter().zip(slots[2].addresses()) {
        for transport in [Transport::Other(253), Transport::Port(Protocol::Sctp, PORT)] {
            probes.push(Probe {
                from: slots[0].host().endpoint().from(forged),
                to,
                transport,
            });
        }
    }
    assert_verdict(&prober, &probes, Verdict::Allow).await;
    bed.stop().await.unwrap();
}
