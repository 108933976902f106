//! Cleaning up: nothing is left that blocks, and nothing of others' is gone.

use palisade_policy::model::Verdict;
use palisade_tests::bed::Topology;

use super::beside_others;
use super::town::{Town, shop_policies};

const OTHERS: &str = "
    table inet somebody { chain c { type filter hook forward priority -5; counter; }; }
    table ip palisade { set s { type ipv4_addr; }; }";

async fn everybody_is_reached_again(topology: Topology) {
    let _machine = beside_others().await;
    let mut town = Town::start(topology, 2, 4).await;
    for node in town.stage.bed().nodes() {
        node.nft(OTHERS).await.unwrap();
    }
    let list = ["-a", "-s", "list", "ruleset"];
    let before = [town.nft(0, &list).await, town.nft(1, &list).await];
    town.settle_shop();
    for policy in shop_policies() {
        town.apply(policy);
    }
    town.enact().await;
    let everybody = town.everybody();
    let probes = town.between(&everybody, &everybody);
    town.assert_agrees(&probes, "before").await;

    town.terminate().await;
    for (node, before) in before.iter().enumerate() {
        let said = town.enforcer(node, &["cleanup"]).await;
        assert!(said.contains("removed table inet palisade"), "{said}");
        assert_eq!(town.nft(node, &list).await, *before);
        assert_eq!(
            town.enforcer(node, &["cleanup"]).await,
            "",
            "a second time there is nothing to do"
        );
        assert_eq!(town.nft(node, &list).await, *before);
    }
    town.assert_all(&probes, Verdict::Allow, "cleaned up").await;
    town.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn everybody_is_reached_again_where_pods_are_routed() {
    everybody_is_reached_again(Topology::Routed).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn everybody_is_reached_again_where_pods_are_bridged() {
    everybody_is_reached_again(Topology::Bridge).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn everybody_is_reached_again_on_one_segment() {
    everybody_is_reached_again(Topology::Segment).await;
}
