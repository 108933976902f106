//! A restart with nothing to change writes nothing to the kernel.

use palisade_tests::bed::Topology;
use serde_json::json;

use super::beside_others;
use super::town::Town;

async fn a_restart_writes_nothing(topology: Topology) {
    let _machine = beside_others().await;
    let mut town = Town::shop(topology).await;
    let list = ["-a", "-s", "list", "ruleset"];
    let before = (
        town.generations().await,
        town.nft(0, &list).await,
        town.nft(1, &list).await,
    );
    for killed in [true, false] {
        if killed {
            town.kill().await;
        } else {
            town.terminate().await;
        }
        town.restart();
        town.enact().await;
        let after = (
            town.generations().await,
            town.nft(0, &list).await,
            town.nft(1, &list).await,
        );
        assert_eq!(after, before, "killed: {killed}");
        for (node, generation) in before.0.iter().enumerate() {
            let status = town.status(node);
            assert_eq!(
                (&status["applied"]["count"], &status["generation"]),
                (&json!(0), &json!(generation))
            );
        }
    }
    town.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_writes_nothing_where_pods_are_routed() {
    a_restart_writes_nothing(Topology::Routed).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_writes_nothing_where_pods_are_bridged() {
    a_restart_writes_nothing(Topology::Bridge).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_writes_nothing_on_one_segment() {
    a_restart_writes_nothing(Topology::Segment).await;
}
