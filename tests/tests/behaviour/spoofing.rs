//! A pod that sends from an address that is not its own is not heard.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::process::Command;

use nlink::netlink::{Connection, Route};
use palisade_policy::model::{Protocol, Transport, Verdict};
use palisade_policy::testing::builders::{block, policy, rule};
use palisade_tests::bed::{Slot, Topology};
use palisade_tests::probe::Probe;
use rustix::net::{AddressFamily, SocketType};

use super::town::{self, Town, shop_policies};
use super::{PORT, beside_others};

/// An outside address that `shop/web` pods accept from.
const OUTSIDE: [&str; 2] = ["203.0.113.7", "2001:db8:5::7"];

/// What can be forged: nobody waits for an answer.
const FORGEABLE: [Transport; 2] = [Transport::Port(Protocol::Sctp, PORT), Transport::Other(253)];

/// `bank/outsider` with the address of somebody who may to everybody who would let that one in.
fn forgeries(town: &Town) -> Vec<Probe> {
    let mut probes = Vec::new();
    let liar = town.end("bank/outsider");
    for family in 0..2 {
        let sources = ["shop/front", "shop/far-front"].map(|name| town.end(name).addresses[family]);
        for source in sources.into_iter().chain([OUTSIDE[family].parse().unwrap()]) {
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

    shop_policies().into_iter().for_each(|policy| town.apply(policy));
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
    ["shop/web", "shop/front", "shop/outside"]
        .into_iter()
        .for_each(|policy| town.withdraw(policy));
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

/// Says, from a link-local address of its own, that somebody else's address is to be found here (RFC 4861, 4.4).
fn advertise(liar: &Slot, interface: u32, victim: IpAddr, to: IpAddr) {
    let (IpAddr::V6(victim), IpAddr::V6(to)) = (victim, to) else {
        panic!("IPv6 addresses")
    };
    let mac: Vec<u8> = liar
        .mac()
        .split(':')
        .map(|byte| u8::from_str_radix(byte, 16).unwrap())
        .collect();
    let mut message = vec![136, 0, 0, 0, 0x20, 0, 0, 0];
    message.extend(victim.octets());
    message.extend([2, 1]);
    message.extend(&mac);
    let family = i32::from(AddressFamily::INET6.as_raw());
    let kind = i32::try_from(SocketType::RAW.as_raw()).unwrap();
    let socket = liar.netns().socket(family, kind, 58).unwrap();
    rustix::net::sockopt::set_ipv6_unicast_hops(&socket, Some(255)).unwrap();
    let [.., a, b, c] = mac[..] else {
        panic!("six bytes")
    };
    let low = |high: u8, low: u8| u16::from_be_bytes([high, low]);
    let own = Ipv6Addr::new(
        0xfe80,
        0,
        0,
        0,
        low(mac[0] ^ 2, mac[1]),
        low(mac[2], 0xff),
        low(0xfe, a),
        low(b, c),
    );
    rustix::net::bind(&socket, &SocketAddr::V6(SocketAddrV6::new(own, 0, 0, interface))).unwrap();
    let to = SocketAddr::V6(SocketAddrV6::new(to, 0, 0, 0));
    rustix::net::sendto(&socket, &message, rustix::net::SendFlags::empty(), &to).unwrap();
}

async fn a_forged_neighbour_advertisement_is_not_believed(topology: Topology) {
    let _machine = beside_others().await;
    let mut town = Town::start(topology, 2, 4).await;
    town.settle_shop();
    let (liar, asker) = (town.slot(0, 2), "bank/bystander");
    let interface = town::interface(liar.netns()).await;
    let victim = town.end("shop/web").addresses[1];
    let to = town.end(asker).addresses[1];
    let question = vec![
        town.end(asker)
            .asks(&town.end("shop/web"), 1, Transport::Other(58)),
    ];
    let turns = async |town: &Town| {
        town.assert_all(&question, Verdict::Allow, "before the lie").await;
        let before = believed(town, asker, victim).await.unwrap();
        advertise(&liar, interface, victim, to);
        // What is sent after it arrives after it.
        let later = vec![
            town.end("bank/outsider")
                .asks(&town.end(asker), 1, Transport::Other(58)),
        ];
        town.assert_all(&later, Verdict::Allow, "after the lie").await;
        believed(town, asker, victim).await.unwrap() != before
    };
    town.enact().await;
    assert!(!turns(&town).await, "with rules");
    town.terminate().await;
    town.enforcer(0, &["cleanup"]).await;
    assert!(turns(&town).await, "as long as nobody looks");
    town.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forged_neighbour_advertisement_is_not_believed_where_pods_are_bridged() {
    a_forged_neighbour_advertisement_is_not_believed(Topology::Bridge).await;
}
