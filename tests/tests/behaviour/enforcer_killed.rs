//! The enforcer is gone: the rules go on, and a pod that comes meanwhile stays closed.

use palisade_policy::model::Verdict;
use palisade_tests::bed::Topology;

use super::beside_others;
use super::town::Town;

async fn the_rules_go_on(topology: Topology) {
    let _machine = beside_others().await;
    let mut town = Town::shop(topology).await;
    town.kill().await;
    let everybody = town.everybody();
    town.assert_agrees(&town.between(&everybody, &everybody), "killed")
        .await;

    let late = town.stage.bed_mut().add_slot(0, None).await.unwrap();
    town.listen(&late);
    town.settle(&late, "shop/late", "front");
    town.publish();
    let others = [
        "shop/web",
        "shop/far-web",
        "bank/outsider",
        "bank/far-outsider",
        "client1",
        "node2",
    ];
    let probes = town.between(&["shop/late"], &others);
    town.assert_all(&probes, Verdict::Deny, "with nobody to let it in")
        .await;

    town.restart();
    town.enact().await;
    town.assert_agrees(&probes, "with an enforcer again").await;
    town.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_rules_go_on_where_pods_are_routed() {
    the_rules_go_on(Topology::Routed).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_rules_go_on_where_pods_are_bridged() {
    the_rules_go_on(Topology::Bridge).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_rules_go_on_on_one_segment() {
    the_rules_go_on(Topology::Segment).await;
}
