//! Services: addresses, node ports, and what a pod sees of its callers.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::process::Command;

use palisade_policy::model::{Protocol, Transport, Verdict};
use palisade_tests::bed::{ExternalTraffic, NodeBed, SERVICE_TABLE, Service, Slot, Topology};
use palisade_tests::probe::{Observation, Probe};

use super::{PORT, assert_all_pass, assert_verdict, start, tcp};

const SERVICE_PORT: u16 = 8080;
const NODE_PORT: u16 = 30080;
const LOCAL_PORT: u16 = 30081;

async fn services_reach_their_backends(topology: Topology) {
    let (mut bed, prober) = start(topology, 2, 2).await;
    for node in bed.nodes() {
        node.filter_bridged(true).unwrap();
    }
    let slots: Vec<Slot> = bed.slots().cloned().collect();
    let backend = &slots[0];
    let addresses: [IpAddr; 2] = [
        Ipv4Addr::new(10, 96, 0, 10).into(),
        Ipv6Addr::new(0xfd00, 0x96, 0, 0, 0, 0, 0, 10).into(),
    ];
    let mut probes = Vec::new();
    for protocol in Protocol::ALL {
        bed.service(Service {
            addresses: addresses.to_vec(),
            port: SERVICE_PORT,
            node_port: Some(NODE_PORT),
            external: ExternalTraffic::Cluster,
            protocol,
            backends: backend
                .addresses()
                .map(|address| SocketAddr::new(address, PORT))
                .to_vec(),
        })
        .await
        .unwrap();
        let inside = slots
            .iter()
            .map(Slot::host)
            .chain(bed.nodes().iter().map(NodeBed::host));
        for host in inside {
            let transport = Transport::Port(protocol, SERVICE_PORT);
            probes.extend(addresses.map(|to| Probe {
                from: host.endpoint(),
                to,
                transport,
            }));
        }
        for client in bed.clients() {
            for &to in bed
                .nodes()
                .iter()
                .flat_map(|node| node.addresses().iter().take(2))
            {
                let transport = Transport::Port(protocol, NODE_PORT);
                probes.push(Probe {
                    from: client.toward(to),
                    to,
                    transport,
                });
            }
        }
    }
    let names = vec![backend.name().to_owned(); probes.len()];
    assert_all_pass(&prober, &probes, &names).await;

    let balanced = Service {
        addresses: addresses.to_vec(),
        port: SERVICE_PORT + 1,
        node_port: None,
        external: ExternalTraffic::Cluster,
        protocol: Protocol::Tcp,
        backends: slots
            .iter()
            .flat_map(Slot::addresses)
            .map(|address| SocketAddr::new(address, PORT))
            .collect(),
    };
    bed.service(balanced).await.unwrap();
    let probes = vec![tcp(slots[0].host().endpoint(), addresses[0], SERVICE_PORT + 1); 100];
    let observations = prober.observe(&probes, &[Verdict::Allow; 100]).await.unwrap();
    let reached: BTreeSet<_> = observations.iter().filter_map(Observation::who).collect();
    assert_eq!(
        reached,
        slots.iter().map(Slot::name).collect(),
        "every backend has its turn"
    );

    bed.clear_services().await.unwrap();
    let gone = [tcp(slots[1].host().endpoint(), addresses[0], SERVICE_PORT)];
    assert_verdict(&prober, &gone, Verdict::Deny).await;
    let mut list = Command::new("nft");
    list.args(["list", "tables"]);
    assert!(
        !bed.nodes()[0]
            .run(list, "")
            .await
            .unwrap()
            .contains(SERVICE_TABLE)
    );
    bed.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn services_reach_their_backends_where_pods_are_routed() {
    services_reach_their_backends(Topology::Routed).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn services_reach_their_backends_where_pods_are_bridged() {
    services_reach_their_backends(Topology::Bridge).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn services_reach_their_backends_on_one_segment() {
    services_reach_their_backends(Topology::Segment).await;
}

/// What a pod sees of callers: a rule on its node lets only the source through that is asked for.
async fn a_pod_sees_the_node_or_the_client(topology: Topology) {
    let (mut bed, prober) = start(topology, 2, 1).await;
    for node in bed.nodes() {
        node.filter_bridged(true).unwrap();
    }
    let backend = bed.nodes()[0].slots()[0].clone();
    for (node_port, external) in [
        (NODE_PORT, ExternalTraffic::Cluster),
        (LOCAL_PORT, ExternalTraffic::Local),
    ] {
        bed.service(Service {
            addresses: Vec::new(),
            port: SERVICE_PORT,
            node_port: Some(node_port),
            external,
            protocol: Protocol::Tcp,
            backends: backend
                .addresses()
                .map(|address| SocketAddr::new(address, PORT))
                .to_vec(),
        })
        .await
        .unwrap();
    }
    let [own, other] = [&bed.nodes()[0], &bed.nodes()[1]];
    let client = &bed.clients()[0];
    for family in 0..2 {
        let (keyword, pod, stranger) = (
            ["ip", "ip6"][family],
            backend.addresses()[family],
            other.addresses()[family],
        );
        let at = |node: &NodeBed, port: u16| {
            let to = node.addresses()[family];
            tcp(client.toward(to), to, port)
        };
        let direct = tcp(other.host().endpoint(), pod, PORT);
        let probes = [
            at(own, NODE_PORT),
            at(other, NODE_PORT),
            direct,
            at(own, LOCAL_PORT),
            at(other, LOCAL_PORT),
        ];
        let (yes, no) = (Verdict::Allow, Verdict::Deny);
        for (source, expected) in [
            (stranger, [no, yes, yes, no, no]),
            (client.addresses()[family], [yes, no, no, yes, no]),
        ] {
            own.nft(&format!(
                "table inet ours {{ chain forward {{ type filter hook forward priority 0;
                   {keyword} daddr {pod} tcp dport {PORT} {keyword} saddr != {source} drop
                 }}
                 }}"
            ))
            .await
            .unwrap();
            let observations = prober.observe(&probes, &expected).await.unwrap();
            for ((probe, seen), expected) in probes.iter().zip(&observations).zip(expected) {
                assert!(
                    seen.agrees(expected),
                    "{probe} with only {source}: expected {expected}, {seen}"
                );
            }
            own.nft("delete table inet ours").await.unwrap();
        }
    }
    bed.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_sees_the_node_or_the_client_where_pods_are_routed() {
    a_pod_sees_the_node_or_the_client(Topology::Routed).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_sees_the_node_or_the_client_where_pods_are_bridged() {
    a_pod_sees_the_node_or_the_client(Topology::Bridge).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_sees_the_node_or_the_client_on_one_segment() {
    a_pod_sees_the_node_or_the_client(Topology::Segment).await;
}
