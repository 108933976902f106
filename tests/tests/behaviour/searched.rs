//! Pods that no CNI result tells: closed at first, then found by the addresses that the API has for them.

use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::symlink;

use palisade_policy::model::Verdict;
use palisade_tests::bed::Topology;
use serde_json::json;

use super::beside_others;
use super::town::{Town, shop_policies};

const EVERYBODY: [&str; 7] = [
    "shop/web",
    "shop/front",
    "bank/outsider",
    "shop/far-web",
    "shop/far-front",
    "client1",
    "node2",
];

/// On node 1 `shop/web` and `shop/front` have no result, `bank/outsider` has one.
async fn town_without_results(topology: Topology) -> Town {
    let mut town = Town::start(topology, 2, 3).await;
    for (index, key, role) in [(0, "shop/web", "web"), (1, "shop/front", "front")] {
        let (near, far) = (town.slot(0, index), town.slot(1, index));
        town.announce(&near, key, role);
        town.settle(&far, &key.replace('/', "/far-"), role);
    }
    let outsider = town.slot(0, 2);
    town.settle(&outsider, "bank/outsider", "outsider");
    for policy in shop_policies() {
        town.apply(policy);
    }
    town
}

/// All pods of node 1 are enforced, two of them found, and everybody may do what the policies say.
async fn assert_found(mut town: Town) {
    let status = town.until(0, "of found pods", |status| status["pods"] == 3).await;
    assert_eq!(
        (&status["searched"], &status["unplaced"]),
        (&json!(2), &json!([]))
    );
    town.assert_agrees(&town.between(&EVERYBODY, &EVERYBODY), "when they are found")
        .await;
    town.stop().await;
}

async fn pods_without_results_are_found(topology: Topology, search: &[&str]) {
    let _machine = beside_others().await;
    let mut town = town_without_results(topology).await;
    town.publish_and_wait().await;
    let lost = ["shop/web", "shop/front"];
    let others: Vec<&str> = EVERYBODY
        .into_iter()
        .filter(|name| !lost.contains(name))
        .collect();
    let probes = town.between(&lost, &others);
    town.assert_all(&probes, Verdict::Deny, "before anybody looks")
        .await;
    if topology == Topology::Bridge {
        // A node talks to its pods; so the bridge and the node learn where they are.
        let probes: Vec<_> = lost.iter().flat_map(|pod| town.questions("node1", pod)).collect();
        town.assert_all(&probes, Verdict::Allow, "from their node").await;
    }

    town.name_pod_interfaces(search).await;
    assert_found(town).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pods_without_results_are_found_by_host_routes() {
    pods_without_results_are_found(Topology::Routed, &["--search", "routes"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pods_without_results_are_found_by_what_a_bridge_learned() {
    pods_without_results_are_found(Topology::Bridge, &["--search", "any"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pods_without_results_are_found_by_what_is_in_their_namespaces() {
    let namespaces = tempfile::tempdir().unwrap();
    let path = namespaces.path().to_str().unwrap().to_owned();
    let _machine = beside_others().await;
    let mut town = town_without_results(Topology::Segment).await;
    for index in 0..3 {
        let slot = town.slot(0, index);
        let descriptor = slot.netns().as_fd().as_raw_fd();
        let inside = format!("/proc/{}/fd/{descriptor}", std::process::id());
        symlink(inside, namespaces.path().join(format!("cni-{index}"))).unwrap();
    }
    // What is no namespace does no harm.
    std::fs::write(namespaces.path().join("other"), "").unwrap();
    town.name_pod_interfaces(&["--search", "routes", "--pod-namespaces", &path])
        .await;
    town.publish();
    assert_found(town).await;
}
