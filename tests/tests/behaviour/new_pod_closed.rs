//! A new pod: nothing passes in either direction from the moment its veth exists until the API and the node both know
//! it; then exactly what the policies say. An address that comes back has none of the rights that it had.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use palisade_policy::cluster::Event;
use palisade_policy::model::{Transport, Verdict};
use palisade_tests::bed::{Slot, Topology};
use palisade_tests::probe::{Flow, Probe, Stream};
use serde_json::{Value, json};

use super::beside_others;
use super::town::{Town, shop_policies};

/// Of another node, of the new pod's own, isolated and not, and from outside. Its own node is not among them.
const OTHERS: [&str; 7] = [
    "shop/web",
    "shop/front",
    "bank/outsider",
    "shop/far-front",
    "bank/far-outsider",
    "client1",
    "node2",
];

/// Addresses that no slot has had.
const FRESH: [[&str; 2]; 3] = [
    ["10.244.1.101", "fd00:244:0:1::101"],
    ["10.244.1.102", "fd00:244:0:1::102"],
    ["10.244.1.103", "fd00:244:0:1::103"],
];

fn fresh(number: usize) -> [IpAddr; 2] {
    FRESH[number].map(|address| address.parse().unwrap())
}

/// Streams to an address from before it is there, so that not even its first moment is missed.
struct Vigil(Vec<Stream>);

impl Vigil {
    fn start(town: &Town, addresses: [IpAddr; 2]) -> Self {
        let streams = ["shop/front", "bank/outsider", "bank/far-outsider", "client1"]
            .into_iter()
            .zip([0, 1, 0, 1]);
        let start = |(from, family): (&str, usize)| {
            let to = addresses[family];
            let from = town.end(from).endpoint(to);
            let transport = Transport::Port(palisade_policy::model::Protocol::Udp, super::PORT);
            let probe = Probe { from, to, transport };
            town.stage
                .prober()
                .stream(&probe, Duration::from_millis(2), Flow::Fixed)
                .unwrap()
        };
        Self(streams.map(start).collect())
    }

    async fn end(self) {
        let reports = tokio::task::spawn_blocking(move || {
            self.0
                .into_iter()
                .map(|stream| stream.stop().unwrap())
                .collect::<Vec<_>>()
        });
        for report in reports.await.unwrap() {
            assert!(report.sent > 0);
            assert_eq!(report.answered, 0, "{report:?}");
        }
    }
}

/// A slot with nobody in it whom anybody knows, but somebody who listens.
async fn appear(town: &mut Town, addresses: [IpAddr; 2]) -> Slot {
    let slot = town.stage.bed_mut().add_slot(0, Some(addresses)).await.unwrap();
    town.listen(&slot);
    slot
}

/// The pod sends from addresses that no policy and no pod network names.
fn forgeries(town: &Town, pod: &str) -> Vec<Probe> {
    let pod = town.end(pod);
    let mut probes = Vec::new();
    for to in ["bank/outsider", "bank/far-outsider", "client1"] {
        for (family, source) in ["203.0.113.9", "2001:db8:5::9"].into_iter().enumerate() {
            let to = town.end(to).addresses[family];
            let from = pod.endpoint(to).from(source.parse().unwrap());
            probes.push(Probe {
                from,
                to,
                transport: Transport::Other(253),
            });
        }
    }
    probes
}

/// Nothing passes between the pod and others; its own node may reach it, where the node can tell its pods by their
/// addresses. On a shared segment the port of an unknown pod is closed to everybody.
async fn assert_closed(town: &Town, pod: &str, when: &str) {
    town.assert_all(&town.between(&[pod], &OTHERS), Verdict::Deny, when)
        .await;
    if town.stage.bed().topology() != Topology::Segment {
        town.assert_all(&town.questions("node1", pod), Verdict::Allow, when)
            .await;
    }
}

async fn assert_exact(town: &Town, pod: &str, when: &str) {
    town.assert_agrees(&town.between(&[pod], &OTHERS), when).await;
    town.assert_agrees(&town.between(&[pod], &["node1"]), when).await;
}

async fn a_new_pod_is_closed_until_both_know_it(topology: Topology) {
    let _machine = beside_others().await;
    let mut town = Town::shop(topology).await;

    let vigil = Vigil::start(&town, fresh(0));
    let slot = appear(&mut town, fresh(0)).await;
    town.know(&slot, "shop/first");
    assert_closed(&town, "shop/first", "known to nobody").await;
    town.announce(&slot, "shop/first", "front");
    town.publish_and_wait().await;
    assert_eq!(town.status(0)["unplaced"], json!(["shop/first"]));
    assert_closed(&town, "shop/first", "known to the API only").await;
    vigil.end().await;
    town.attach(&slot, "shop/first");
    town.enact().await;
    assert_exact(&town, "shop/first", "known to the API, then to the node").await;

    let vigil = Vigil::start(&town, fresh(1));
    let slot = appear(&mut town, fresh(1)).await;
    town.attach(&slot, "shop/second");
    // What comes later is seen later: once this is known, the pod's own result is.
    let path = town.node(0).cni_results().join("palisade-bed-later-eth0");
    std::fs::write(&path, "{").unwrap();
    town.until(0, "of a broken result", |status| {
        status["ignored_results"]["unusable"] == 1
    })
    .await;
    assert_closed(&town, "shop/second", "known to the node only").await;
    vigil.end().await;
    std::fs::remove_file(path).unwrap();
    town.announce(&slot, "shop/second", "web");
    town.enact().await;
    assert_exact(&town, "shop/second", "known to the node, then to the API").await;
    town.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_pod_is_closed_until_both_know_it_where_pods_are_routed() {
    a_new_pod_is_closed_until_both_know_it(Topology::Routed).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_pod_is_closed_until_both_know_it_where_pods_are_bridged() {
    a_new_pod_is_closed_until_both_know_it(Topology::Bridge).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_pod_is_closed_until_both_know_it_on_one_segment() {
    a_new_pod_is_closed_until_both_know_it(Topology::Segment).await;
}

async fn an_address_that_comes_back_has_no_old_rights(topology: Topology) {
    let _machine = beside_others().await;
    let mut town = Town::shop(topology).await;
    let old = appear(&mut town, fresh(0)).await;
    town.settle(&old, "shop/old", "front");
    town.enact().await;
    assert_exact(&town, "shop/old", "the old pod").await;

    // The API is slow to tell: for it the address is the old pod's all along.
    town.stage.prober().remove(&old.host()).await;
    town.stage.bed_mut().remove_slot(&old).await.unwrap();
    let new = appear(&mut town, fresh(0)).await;
    town.attach(&new, "bank/new");
    town.until(0, "of a pod that is gone", |status| {
        status["unplaced"] == json!(["shop/old"]) && status["flows"]["pending"] == false
    })
    .await;
    assert_closed(&town, "bank/new", "the API names the old pod").await;

    // For a while it names both; the newer one has the address.
    let mut pod = town.describe(&new, "bank/new", "front");
    pod.created = 1;
    town.state.apply(Event::PodApplied(pod));
    town.publish_and_wait().await;
    assert_exact(&town, "bank/new", "the API names both pods").await;
    town.state.apply(Event::PodDeleted("shop/old".into()));
    town.forget("shop/old");
    town.enact().await;
    assert_exact(&town, "bank/new", "the API names the new pod").await;
    town.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_comes_back_has_no_old_rights_where_pods_are_routed() {
    an_address_that_comes_back_has_no_old_rights(Topology::Routed).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_comes_back_has_no_old_rights_where_pods_are_bridged() {
    an_address_that_comes_back_has_no_old_rights(Topology::Bridge).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_comes_back_has_no_old_rights_on_one_segment() {
    an_address_that_comes_back_has_no_old_rights(Topology::Segment).await;
}

/// A result of the CNI for a slot, right but for what `spoil` does to it.
fn spoiled(town: &Town, slot: &Slot, name: &str, spoil: impl FnOnce(&mut Value)) -> PathBuf {
    let [v4, v6] = slot.addresses().map(|address| address.to_string());
    let mut result = json!({
        "kind": "cniCacheV1", "containerId": name, "ifName": "eth0", "networkName": "palisade-bed",
        "cniArgs": [["K8S_POD_NAMESPACE", "shop"], ["K8S_POD_NAME", "late"], ["K8S_POD_UID", "shop/late"]],
        "result": {
            "cniVersion": "1.0.0",
            "interfaces": [{ "name": slot.host_interface() }, { "name": "eth0", "sandbox": "/proc/1/ns/net" }],
            "ips": [{ "interface": 1, "address": v4 }, { "interface": 1, "address": v6 }],
        },
    });
    spoil(&mut result);
    let path = town
        .node(0)
        .cni_results()
        .join(format!("palisade-bed-{name}-eth0"));
    std::fs::write(&path, result.to_string()).unwrap();
    path
}

async fn a_pod_with_a_spoiled_cni_result_stays_closed(topology: Topology) {
    let _machine = beside_others().await;
    let mut town = Town::shop(topology).await;
    let slot = appear(&mut town, fresh(2)).await;
    town.announce(&slot, "shop/late", "front");
    town.publish_and_wait().await;
    let spoiled = [
        spoiled(&town, &slot, "kind", |result| result["kind"] = "other".into()),
        spoiled(&town, &slot, "address", |result| {
            result["result"]["ips"][1]["address"] = "fd00::zz/64".into();
        }),
        spoiled(&town, &slot, "nobody", |result| result["cniArgs"] = json!([])),
        spoiled(&town, &slot, "interfaces", |result| {
            result["result"]["interfaces"] = json!([]);
        }),
        spoiled(&town, &slot, "result", |result| result["result"] = Value::Null),
    ];
    let status = town
        .until(0, "of broken results", |status| {
            status["ignored_results"]["unusable"] == 5
        })
        .await;
    assert_eq!(status["degraded"][0]["reason"], "UnusableResults", "{status:#}");
    assert_eq!(status["unplaced"], json!(["shop/late"]));
    assert_closed(&town, "shop/late", "without a good result").await;

    for path in spoiled {
        std::fs::remove_file(path).unwrap();
    }
    town.attach(&slot, "shop/late");
    town.enact().await;
    town.until(0, "without complaint", |status| status["degraded"] == json!([]))
        .await;
    assert_exact(&town, "shop/late", "with a good result").await;
    town.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_with_a_spoiled_cni_result_stays_closed_where_pods_are_routed() {
    a_pod_with_a_spoiled_cni_result_stays_closed(Topology::Routed).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_with_a_spoiled_cni_result_stays_closed_where_pods_are_bridged() {
    a_pod_with_a_spoiled_cni_result_stays_closed(Topology::Bridge).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_with_a_spoiled_cni_result_stays_closed_on_one_segment() {
    a_pod_with_a_spoiled_cni_result_stays_closed(Topology::Segment).await;
}

/// Where the names of pods' interfaces are known, a pod is told by its interface: whatever address it sends from, and
/// even if the node has never seen a pod.
async fn the_first_pods_of_a_node_are_closed_where_interfaces_are_named(topology: Topology) {
    let _machine = beside_others().await;
    let mut town = Town::start(topology, 2, 4).await;
    town.name_pod_interfaces(&["--search", "none"]).await;
    the_first_pods_of_a_node_are_closed(town).await;
}

async fn the_first_pods_of_a_node_are_closed(mut town: Town) {
    let slots = [0, 1].map(|index| town.slot(0, index));
    for (slot, key) in slots.iter().zip(["shop/web", "bank/outsider"]) {
        town.announce(slot, key, "web");
    }
    let far = town.slot(1, 0);
    town.settle(&far, "bank/far-outsider", "outsider");
    for policy in shop_policies() {
        town.apply(policy);
    }
    town.publish_and_wait().await;
    let others = [
        "shop/web",
        "bank/outsider",
        "bank/far-outsider",
        "client1",
        "node2",
    ];
    let probes = town.between(&["shop/web", "bank/outsider"], &others);
    let when = "before the node knows any of its pods";
    town.assert_all(&probes, Verdict::Deny, when).await;
    town.assert_all(&forgeries(&town, "shop/web"), Verdict::Deny, when)
        .await;
    for (slot, key) in slots.iter().zip(["shop/web", "bank/outsider"]) {
        town.attach(slot, key);
    }
    town.enact().await;
    town.assert_agrees(&probes, "known").await;
    town.assert_all(&forgeries(&town, "shop/web"), Verdict::Deny, "known")
        .await;
    town.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_pods_of_a_node_are_closed_where_interfaces_are_named_and_pods_routed() {
    the_first_pods_of_a_node_are_closed_where_interfaces_are_named(Topology::Routed).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_pods_of_a_node_are_closed_where_interfaces_are_named_and_pods_bridged() {
    the_first_pods_of_a_node_are_closed_where_interfaces_are_named(Topology::Bridge).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_pods_of_a_node_are_closed_where_interfaces_are_named_on_one_segment() {
    the_first_pods_of_a_node_are_closed_where_interfaces_are_named(Topology::Segment).await;
}

/// The bridge is known by its address, the gateway of the node's pod network.
#[tokio::test(flavor = "multi_thread")]
async fn the_first_pods_of_a_node_are_closed_where_pods_are_bridged() {
    let _machine = beside_others().await;
    the_first_pods_of_a_node_are_closed(Town::start(Topology::Bridge, 2, 4).await).await;
}
