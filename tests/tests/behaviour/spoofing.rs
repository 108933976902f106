//! A pod that sends from an address that is not its own is not heard.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV6};
use std::os::fd::OwnedFd;
use std::process::Command;

use nlink::netlink::{Connection, Route};
use palisade_policy::model::{Protocol, Transport, Verdict};
use palisade_policy::testing::builders::{block, policy, rule};
use palisade_tests::bed::{Slot, Topology};
use palisade_tests::probe::Probe;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketType};

use super::ends;
use super::town::{Town, shop_policies};
use super::{PORT, beside_others};

/// An outside address that `shop/web` pods accept from.
const OUTSIDE: [&str; 2] = ["203.0.113.7", "2001:db8:5::7"];

/// What can be forged: nobody waits for an answer.
const FORGEABLE: [Transport; 2] = [Transport::Port(Protocol::Sctp, PORT), Transport::Other(253)];

/// `bank/outsider` with the address of somebody who may to everybody who would let that one in.
fn forgeries(town: &Town) -> Vec<Probe> {
    let mut probes = Vec::new();
    let liar = town.end("bank/outsider");
    for (family, outside) in OUTSIDE.into_iter().enumerate() {
        let sources = ["shop/front", "shop/far-front"].map(|name| town.end(name).addresses[family]);
        for source in sources.into_iter().chain([outside.parse().unwrap()]) {
            for to in ["shop/web", "shop/far-web"] {
                let to = town.end(to).addresses[family];
                probes.extend(FORGEABLE.map(|transport| Probe {
                    from: liar.endpoint(to).from(source),
                    to,
                    transport,
                }));
            }
        }
    }
    probes
}

async fn a_forged_source_never_arrives(topology: Topology) {
    let _machine = beside_others().await;
    let mut town = Town::start(topology, 2, 4).await;
    town.settle_shop();
    let forgeries = forgeries(&town);
    town.assert_all(&forgeries, Verdict::Allow, "as long as nobody looks")
        .await;

    for policy in shop_policies() {
        town.apply(policy);
    }
    let outside =
        OUTSIDE.map(|address| format!("{address}/{}", if address.contains(':') { 128 } else { 32 }));
    let outside = outside.map(|net| rule([block(&net, &[])]));
    town.apply(
        policy("shop/outside")
            .selecting(&[("role", "web")])
            .allowing_from(outside),
    );
    town.enact().await;
    town.assert_all(&forgeries, Verdict::Deny, "with rules").await;
    let honest = town.between(
        &["shop/front", "shop/far-front", "bank/outsider"],
        &["shop/web", "shop/far-web"],
    );
    town.assert_agrees(&honest, "who does not lie").await;

    // Without any policy a pod is still who it is.
    for policy in ["shop/web", "shop/front", "shop/outside"] {
        town.withdraw(policy);
    }
    town.enact().await;
    town.assert_all(&forgeries, Verdict::Deny, "without policies")
        .await;
    town.assert_all(&honest, Verdict::Allow, "without policies").await;
    town.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forged_source_never_arrives_where_pods_are_routed() {
    a_forged_source_never_arrives(Topology::Routed).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forged_source_never_arrives_where_pods_are_bridged() {
    a_forged_source_never_arrives(Topology::Bridge).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forged_source_never_arrives_on_one_segment() {
    a_forged_source_never_arrives(Topology::Segment).await;
}

/// The hardware address that `who` believes to go with an address.
async fn believed(town: &Town, who: &str, address: IpAddr) -> Option<Vec<u8>> {
    let connection = Connection::<Route>::new_in(&**town.end(who).host.netns()).unwrap();
    let neighbours = connection.get_neighbors().await.unwrap();
    let entry = neighbours
        .iter()
        .find(|entry| entry.destination() == Some(&address));
    entry.and_then(|entry| entry.lladdr().map(<[u8]>::to_vec))
}

/// Whether `who` has found out the hardware address that goes with an address.
async fn has_resolved(town: &Town, who: &str, address: IpAddr) -> bool {
    believed(town, who, address).await.is_some()
}

async fn a_pod_does_not_answer_for_an_address_that_is_not_its_own(topology: Topology) {
    let _machine = beside_others().await;
    let mut town = Town::start(topology, 2, 4).await;
    town.settle_shop();
    let (liar, asker) = (town.slot(0, 2), "bank/bystander");
    let nobodys: [IpAddr; 2] = [
        Ipv4Addr::new(10, 244, 1, 201).into(),
        "fd00:244:0:1::201".parse().unwrap(),
    ];
    for address in nobodys {
        let mut command = Command::new("ip");
        let length = if address.is_ipv4() { "/32" } else { "/128" };
        command.args(["address", "add", &format!("{address}{length}"), "dev", "eth0"]);
        if address.is_ipv6() {
            command.arg("nodad");
        }
        let mut added = town.node(0).spawn_in(&liar, command).unwrap();
        assert!(
            added.ended(super::PATIENCE).await.unwrap().success(),
            "{}",
            added.log()
        );
    }
    let ask = |town: &Town, address: IpAddr| {
        let transport = Transport::Other(if address.is_ipv4() { 1 } else { 58 });
        vec![Probe {
            from: town.end(asker).endpoint(address),
            to: address,
            transport,
        }]
    };
    town.enact().await;
    for address in nobodys {
        town.assert_all(&ask(&town, address), Verdict::Deny, "an address that is nobody's")
            .await;
        assert!(
            !has_resolved(&town, asker, address).await,
            "{address} was answered for"
        );
    }
    // The proof that the question was a good one.
    town.terminate().await;
    town.enforcer(0, &["cleanup"]).await;
    for address in nobodys {
        town.assert_all(&ask(&town, address), Verdict::Allow, "as long as nobody looks")
            .await;
        assert!(has_resolved(&town, asker, address).await);
    }
    town.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_does_not_answer_for_an_address_that_is_not_its_own_where_pods_are_bridged() {
    a_pod_does_not_answer_for_an_address_that_is_not_its_own(Topology::Bridge).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_does_not_answer_for_an_address_that_is_not_its_own_on_one_segment() {
    a_pod_does_not_answer_for_an_address_that_is_not_its_own(Topology::Segment).await;
}

/// Who sends this is a router, for half an hour (RFC 4861, 4.2).
const ROUTER_ADVERTISEMENT: [u8; 16] = [134, 0, 0, 0, 64, 0, 0x07, 0x08, 0, 0, 0, 0, 0, 0, 0, 0];

/// A raw socket of `ICMPv6`.
fn icmp(slot: &Slot) -> OwnedFd {
    let kind = i32::try_from(SocketType::RAW.as_raw()).unwrap();
    let socket = slot
        .netns()
        .socket(AddressFamily::INET6.as_raw().into(), kind, 58)
        .unwrap();
    rustix::io::ioctl_fionbio(&socket, true).unwrap();
    socket
}

/// Sends from the link-local address of a slot, as neighbour discovery does (RFC 4861, 7.1: hop limit 255).
async fn send_from_link_local(slot: &Slot, message: &[u8], to: IpAddr) {
    let IpAddr::V6(to) = to else {
        panic!("{to} is no IPv6 address")
    };
    let socket = icmp(slot);
    rustix::net::sockopt::set_ipv6_unicast_hops(&socket, Some(255)).unwrap();
    let own = SocketAddrV6::new(ends::link_local(slot), 0, 0, ends::interface(slot.netns()).await);
    rustix::net::bind(&socket, &SocketAddr::V6(own)).unwrap();
    let to = SocketAddr::V6(SocketAddrV6::new(to, 0, 0, 0));
    rustix::net::sendto(&socket, message, SendFlags::empty(), &to).unwrap();
}

/// The types of the messages that have arrived at a raw socket.
fn arrived(socket: &OwnedFd) -> BTreeSet<u8> {
    let mut buffer = [0; 256];
    let mut types = BTreeSet::new();
    while let Ok((length, _)) = rustix::net::recv(socket, &mut buffer[..], RecvFlags::empty()) {
        types.extend(buffer[..length].first());
    }
    types
}

async fn a_pod_is_no_router(topology: Topology) {
    let _machine = beside_others().await;
    let mut town = Town::start(topology, 2, 4).await;
    town.settle_shop();
    let (liar, asker) = (town.slot(0, 2), "bank/bystander");
    let ear = icmp(&town.slot(0, 3));
    let to = town.end(asker).addresses[1];
    // What is sent after the lie arrives after it.
    let later = vec![
        town.end("bank/outsider")
            .asks(&town.end(asker), 1, Transport::Other(58)),
    ];
    let is_heard = async |town: &Town| {
        arrived(&ear);
        send_from_link_local(&liar, &ROUTER_ADVERTISEMENT, to).await;
        town.assert_all(&later, Verdict::Allow, "after the lie").await;
        arrived(&ear).contains(&ROUTER_ADVERTISEMENT[0])
    };
    town.enact().await;
    assert!(!is_heard(&town).await, "with rules");
    town.terminate().await;
    town.enforcer(0, &["cleanup"]).await;
    assert!(is_heard(&town).await, "as long as nobody looks");
    town.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_is_no_router_where_pods_are_bridged() {
    a_pod_is_no_router(Topology::Bridge).await;
}
