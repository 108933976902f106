//! Tables of others: byte for byte the same, handles included, whatever we do beside them.

use std::net::SocketAddr;

use palisade_policy::model::Protocol;
use palisade_tests::bed::{ExternalTraffic, SERVICE_TABLE, Service, Topology};

use super::town::{Town, shop_policies};
use super::{PORT, beside_others};

/// Somebody's tables: at our hooks and priorities, with our name in other families, with everything that counts.
const SOMEBODY: &str = r#"
    table inet somebody {
        counter seen { comment "kept"; }
        set friends { type ipv4_addr; flags interval; elements = { 10.244.0.0/16, 203.0.113.0/24 }; }
        set recent { type ipv4_addr; size 1000; flags dynamic,timeout; timeout 1h; }
        map verdicts { type ipv4_addr : verdict; elements = { 10.244.1.10 : accept }; }
        chain forwarded { type filter hook forward priority -5; policy accept; counter name seen; ip saddr vmap @verdicts; }
        chain early { type filter hook forward priority -10; ip saddr @friends counter accept; }
    }
    table ip palisade { chain forward { type filter hook forward priority -5; counter accept; }; }
    table ip6 palisade { set s { type ipv6_addr; elements = { fd00::1 }; }; }
    table inet palisade-too { chain c { counter drop; }; }
    table netdev somebody { chain c { type filter hook ingress device eth0 priority -500; counter; }; }"#;

const TABLES: [[&str; 2]; 6] = [
    ["inet", "somebody"],
    ["ip", "palisade"],
    ["ip6", "palisade"],
    ["inet", "palisade-too"],
    ["netdev", "somebody"],
    ["inet", SERVICE_TABLE],
];

async fn listing(town: &Town, node: usize) -> Vec<String> {
    let mut listing = Vec::new();
    for [family, name] in TABLES {
        listing.push(town.nft(node, &["-a", "-s", "list", "table", family, name]).await);
    }
    listing
}

async fn tables_of_others_stay_as_they_are(topology: Topology) {
    let _machine = beside_others().await;
    let mut town = Town::start(topology, 2, 4).await;
    town.settle_shop();
    for node in town.stage.bed().nodes() {
        node.nft(SOMEBODY).await.unwrap();
    }
    let backends = town
        .end("shop/web")
        .addresses
        .map(|address| SocketAddr::new(address, PORT));
    let service = Service {
        addresses: vec!["10.96.0.1".parse().unwrap(), "fd00:96::1".parse().unwrap()],
        port: PORT,
        node_port: Some(30_080),
        external: ExternalTraffic::Cluster,
        protocol: Protocol::Tcp,
        backends: backends.to_vec(),
    };
    town.stage.bed_mut().service(service).await.unwrap();
    let before = [listing(&town, 0).await, listing(&town, 1).await];
    let everybody = ["shop/web", "shop/front", "bank/far-outsider", "client1"];
    let probes = town.between(&everybody, &everybody);

    for policy in shop_policies() {
        town.apply(policy);
    }
    town.enact().await;
    town.assert_agrees(&probes, "an accept of somebody else opens nothing")
        .await;
    assert_eq!(
        [listing(&town, 0).await, listing(&town, 1).await],
        before,
        "with rules"
    );
    town.relabel("bank/far-outsider", "front");
    town.withdraw("shop/front");
    town.enact().await;
    town.assert_agrees(&probes, "changed").await;
    town.node(0)
        .nft("add counter inet palisade intruder; delete table netdev palisade")
        .await
        .unwrap();
    town.until(0, "of a repair", |status| {
        status["edits"]["count"].as_u64() > Some(0)
    })
    .await;
    town.until(0, "of a repair", |status| {
        status["applied"]["last"]["tables_created"].as_u64() > Some(0)
    })
    .await;
    assert_eq!(
        [listing(&town, 0).await, listing(&town, 1).await],
        before,
        "changed and repaired"
    );
    town.kill().await;
    town.restart();
    town.enact().await;
    assert_eq!(
        [listing(&town, 0).await, listing(&town, 1).await],
        before,
        "restarted"
    );
    town.terminate().await;
    for node in 0..2 {
        town.enforcer(node, &["cleanup"]).await;
    }
    assert_eq!(
        [listing(&town, 0).await, listing(&town, 1).await],
        before,
        "cleaned up"
    );
    town.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_of_others_stay_as_they_are_where_pods_are_routed() {
    tables_of_others_stay_as_they_are(Topology::Routed).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_of_others_stay_as_they_are_where_pods_are_bridged() {
    tables_of_others_stay_as_they_are(Topology::Bridge).await;
}
