//! What a bridge floods has no address that a policy could name: an isolated pod neither hears it nor is heard by it.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6, UdpSocket};
use std::time::Instant;

use palisade_policy::model::Verdict;
use palisade_policy::testing::builders::policy;
use palisade_tests::bed::{Slot, Topology};
use rustix::net::{AddressFamily, SocketType};

use super::ends;
use super::town::Town;
use super::{PATIENCE, beside_others};

const PORT: u16 = 5_350;
const GROUP4: Ipv4Addr = Ipv4Addr::new(239, 1, 2, 3);
const GROUP6: Ipv6Addr = Ipv6Addr::new(0xff05, 0, 0, 0, 0, 0, 0x1, 0x3);
const LINK_GROUP6: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0x1, 0x3);

/// Pods on node 1, and one on node 2.
const PODS: [(&str, usize, usize, &str); 5] = [
    ("shop/deaf", 0, 0, "deaf"),
    ("shop/mute", 0, 1, "mute"),
    ("bank/one", 0, 2, "free"),
    ("bank/two", 0, 3, "free"),
    ("bank/far", 1, 0, "free"),
];

/// A pod that shouts and listens.
struct Crier {
    name: &'static str,
    slot: Slot,
    interface: u32,
    ears: [UdpSocket; 2],
    /// From its own address of each family, and from its link-local one.
    mouths: [UdpSocket; 3],
}

fn socket(slot: &Slot, at: SocketAddr) -> UdpSocket {
    let family = if at.is_ipv4() {
        AddressFamily::INET
    } else {
        AddressFamily::INET6
    };
    let kind = i32::try_from(SocketType::DGRAM.as_raw()).unwrap();
    let socket = slot.netns().socket(family.as_raw().into(), kind, 0).unwrap();
    rustix::net::sockopt::set_socket_reuseaddr(&socket, true).unwrap();
    if at.is_ipv6() {
        rustix::net::sockopt::set_ipv6_v6only(&socket, true).unwrap();
    }
    rustix::net::bind(&socket, &at).unwrap();
    let socket = UdpSocket::from(socket);
    socket.set_nonblocking(true).unwrap();
    socket
}

impl Crier {
    async fn new(name: &'static str, slot: Slot) -> Self {
        let interface = ends::interface(slot.netns()).await;
        let [IpAddr::V4(v4), IpAddr::V6(v6)] = slot.addresses() else {
            panic!("one of each family")
        };
        let ears = [
            (Ipv4Addr::UNSPECIFIED, PORT).into(),
            (Ipv6Addr::UNSPECIFIED, PORT).into(),
        ]
        .map(|at| socket(&slot, at));
        ears[0].join_multicast_v4(&GROUP4, &v4).unwrap();
        for group in [GROUP6, LINK_GROUP6] {
            ears[1].join_multicast_v6(&group, interface).unwrap();
        }
        let local = SocketAddrV6::new(ends::link_local(&slot), 0, 0, interface).into();
        let mouths = [(v4, 0).into(), (v6, 0).into(), local].map(|at| socket(&slot, at));
        mouths[0].set_broadcast(true).unwrap();
        Self {
            name,
            slot,
            interface,
            ears,
            mouths,
        }
    }

    /// Shouts by every way there is. The text tells who it was and how.
    fn shout(&self, others: &[Self], town: &Town) {
        let to6 = |address: Ipv6Addr| SocketAddr::V6(SocketAddrV6::new(address, PORT, 0, self.interface));
        let [v4, v6, local] = &self.mouths;
        let mut ways = vec![
            ("multicast IPv4", v4, SocketAddr::from((GROUP4, PORT))),
            ("multicast IPv6", v6, to6(GROUP6)),
            ("multicast IPv6 of the link", v6, to6(LINK_GROUP6)),
            (
                "multicast IPv6 from a link-local address",
                local,
                to6(LINK_GROUP6),
            ),
            ("broadcast", v4, (Ipv4Addr::BROADCAST, PORT).into()),
            ("broadcast of the network", v4, (broadcast(town), PORT).into()),
        ];
        ways.extend(
            others
                .iter()
                .map(|other| ("link-local address", local, to6(ends::link_local(&other.slot)))),
        );
        for (way, socket, to) in ways {
            let text = format!("{}|{way}", self.name);
            // That it does not leave is as good as that it does not arrive.
            drop(socket.send_to(text.as_bytes(), to));
        }
    }

    /// Who has been heard and how.
    fn hear(&self, heard: &mut BTreeSet<(String, String, String)>) {
        let mut buffer = [0; 200];
        for ear in &self.ears {
            while let Ok((length, _)) = ear.recv_from(&mut buffer) {
                let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
                let (who, way) = text.split_once('|').unwrap();
                if who != self.name {
                    heard.insert((who.to_owned(), way.to_owned(), self.name.to_owned()));
                }
            }
        }
    }
}

/// The broadcast address of the pods' network.
fn broadcast(town: &Town) -> Ipv4Addr {
    let networks = match town.stage.bed().topology() {
        Topology::Segment => town.stage.bed().pod_network().to_vec(),
        _ => town.node(0).pod_networks(),
    };
    let IpAddr::V4(address) = networks[0].broadcast() else {
        panic!("IPv4 comes first")
    };
    address
}

/// Everybody shouts until what must be heard has been heard, and a few times at least.
async fn rounds(
    town: &Town,
    criers: &[Crier],
    must: &[(&str, &str, &str)],
) -> BTreeSet<(String, String, String)> {
    let mut heard = BTreeSet::new();
    let deadline = Instant::now() + PATIENCE;
    for round in 0.. {
        for crier in criers {
            crier.shout(criers, town);
        }
        // Packets that pass are sent after those that may not, by the same wires.
        let after = town.questions("bank/one", "bank/two");
        town.assert_all(&after[1..2], Verdict::Allow, "a packet that passes")
            .await;
        for crier in criers {
            crier.hear(&mut heard);
        }
        let missing: Vec<_> = must
            .iter()
            .filter(|(from, way, to)| {
                !heard.contains(&((*from).to_owned(), (*way).to_owned(), (*to).to_owned()))
            })
            .collect();
        if round >= 5 && missing.is_empty() {
            break;
        }
        assert!(Instant::now() < deadline, "not heard: {missing:?}");
    }
    heard
}

async fn what_is_flooded_passes_isolated_pods_by(topology: Topology) {
    let _machine = beside_others().await;
    let mut town = Town::start(topology, 2, 4).await;
    let mut criers = Vec::new();
    for (key, node, index, role) in PODS {
        let slot = town.slot(node, index);
        town.settle(&slot, key, role);
        if node == 0 || topology == Topology::Segment {
            criers.push(Crier::new(key, slot).await);
        }
    }
    let names: Vec<&str> = criers.iter().map(|crier| crier.name).collect();
    let pairs = || {
        names
            .iter()
            .flat_map(|from| names.iter().map(move |to| (*from, *to)))
            .filter(|(from, to)| from != to)
    };
    let ways = [
        "multicast IPv4",
        "multicast IPv6",
        "multicast IPv6 of the link",
        "multicast IPv6 from a link-local address",
        "broadcast",
        "broadcast of the network",
        "link-local address",
    ];
    let all: Vec<_> = pairs()
        .flat_map(|(from, to)| ways.map(|way| (from, way, to)))
        .collect();
    rounds(&town, &criers, &all).await;

    town.apply(
        policy("shop/deaf")
            .selecting(&[("role", "deaf")])
            .allowing_from([]),
    );
    town.apply(policy("shop/mute").selecting(&[("role", "mute")]).allowing_to([]));
    town.enact().await;
    // What was on its way.
    for crier in &criers {
        crier.hear(&mut BTreeSet::new());
    }
    let free: Vec<_> = all
        .iter()
        .copied()
        .filter(|(from, way, to)| ways[..3].contains(way) && *from != "shop/mute" && *to != "shop/deaf")
        .collect();
    let heard = rounds(&town, &criers, &free).await;
    let wrong: Vec<_> = heard
        .iter()
        .filter(|(from, _, to)| from == "shop/mute" || to == "shop/deaf")
        .collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
    town.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_flooded_passes_isolated_pods_by_where_pods_are_bridged() {
    what_is_flooded_passes_isolated_pods_by(Topology::Bridge).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_flooded_passes_isolated_pods_by_on_one_segment() {
    what_is_flooded_passes_isolated_pods_by(Topology::Segment).await;
}
