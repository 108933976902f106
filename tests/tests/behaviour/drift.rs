//! What somebody does to our tables is undone and reported, and the verdicts hold again.

use std::time::Instant;

use palisade_enforcer::nft::model::{Element, Name, Part, Table, TableKey};
use palisade_tests::bed::Topology;

use super::town::Town;
use super::{PATIENCE, beside_others};

/// The set that lets `shop/front` in, and the chain that asks it.
fn set_and_chain(table: &Table, front: std::net::IpAddr) -> (&Name, &Name) {
    let element = Element::new(&[Part::address(front)]);
    let (set, _) = table
        .sets
        .iter()
        .find(|(_, set)| set.elements.contains(&element))
        .unwrap();
    let chain = table
        .chains
        .keys()
        .find(|chain| set.as_str().starts_with(chain.as_str()))
        .unwrap();
    (set, chain)
}

/// The handle of the first rule of a chain.
async fn handle(town: &Town, chain: &Name) -> u64 {
    let listing = town
        .nft(
            0,
            &["-a", "-j", "list", "chain", "inet", "palisade", chain.as_str()],
        )
        .await;
    let listing: serde_json::Value = serde_json::from_str(&listing).unwrap();
    let objects = listing["nftables"].as_array().unwrap();
    objects
        .iter()
        .find_map(|object| object["rule"]["handle"].as_u64())
        .unwrap()
}

async fn what_others_do_to_our_tables_is_undone(topology: Topology) {
    let _machine = beside_others().await;
    let mut town = Town::shop(topology).await;
    let some = [
        "shop/web",
        "shop/front",
        "bank/outsider",
        "shop/far-front",
        "bank/far-outsider",
        "client1",
    ];
    let probes = town.between(&some, &some);
    town.assert_agrees(&probes, "before").await;
    let before = town.loaded(0).await.ruleset;
    let front = town.end("shop/front").addresses[0];
    let (set, chain) = set_and_chain(&before.tables[&TableKey::Inet], front);
    let mut edits = vec![
        "insert rule inet palisade forwarded accept".to_owned(),
        "flush chain inet palisade to_pods".to_owned(),
        "flush map inet palisade ingress4; flush map inet palisade ingress6".to_owned(),
        format!("delete element inet palisade {set} {{ {front} }}"),
        format!("delete rule inet palisade {chain} handle"),
        format!("insert rule inet palisade {chain} accept"),
        "flush chain netdev palisade own_source; flush set netdev palisade sources4".to_owned(),
        "add chain inet palisade last { type filter hook forward priority 10; policy drop; }".to_owned(),
        "delete table inet palisade".to_owned(),
        "flush ruleset".to_owned(),
    ];
    if topology != Topology::Routed {
        edits.push("delete table bridge palisade".to_owned());
        edits.push("insert rule bridge palisade to_port accept".to_owned());
    }
    for (edit, count) in edits.iter().zip(1..) {
        let mut edit = edit.clone();
        if edit.ends_with("handle") {
            edit = format!("{edit} {}", handle(&town, chain).await);
        }
        town.node(0).nft(&edit).await.unwrap();
        let status = town
            .until(0, "of an edit", |status| status["edits"]["count"] == count)
            .await;
        assert_eq!(status["edits"]["last"]["process"], "nft", "{edit}");
        let deadline = Instant::now() + PATIENCE;
        loop {
            let loaded = town.loaded(0).await;
            if loaded.ruleset == before && loaded.foreign.is_empty() {
                break;
            }
            assert!(Instant::now() < deadline, "{edit} is not undone: {loaded:?}");
        }
        town.assert_agrees(&probes, &edit).await;
    }
    let status = town
        .until(0, "of a node that is ready", |status| status["ready"] == true)
        .await;
    assert_eq!(
        status["edits"]["count"],
        edits.len(),
        "no repair is taken for an edit: {status:#}"
    );
    town.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_others_do_to_our_tables_is_undone_where_pods_are_routed() {
    what_others_do_to_our_tables_is_undone(Topology::Routed).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_others_do_to_our_tables_is_undone_where_pods_are_bridged() {
    what_others_do_to_our_tables_is_undone(Topology::Bridge).await;
}
