//! Slots: they come and go, and get identities.

use palisade_policy::model::{PodKey, PodUid, Verdict};
use palisade_tests::bed::{Bed, BedSpec, Topology};
use palisade_tests::probe::{Listen, Probe};

use super::{PORT, assert_all_pass, assert_verdict, start, udp};

async fn slots_come_and_go(topology: Topology) {
    let (mut bed, prober) = start(topology, 2, 1).await;
    let source = bed.nodes()[1].slots()[0].host();
    let first = bed.add_slot(0, None).await.unwrap();
    prober.add(&first.host(), &Listen::on([PORT])).unwrap();
    let probes: Vec<Probe> = first.addresses().map(|to| udp(source.endpoint(), to)).to_vec();
    assert_all_pass(&prober, &probes, &vec![first.name().to_owned(); 2]).await;

    prober.remove(&first.host()).await;
    bed.remove_slot(&first).await.unwrap();
    assert_verdict(&prober, &probes, Verdict::Deny).await;

    let second = bed.add_slot(0, Some(first.addresses())).await.unwrap();
    prober.add(&second.host(), &Listen::on([PORT])).unwrap();
    assert_all_pass(&prober, &probes, &vec![second.name().to_owned(); 2]).await;
    bed.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn slots_come_and_go_where_pods_are_routed() {
    slots_come_and_go(Topology::Routed).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn slots_come_and_go_where_pods_are_bridged() {
    slots_come_and_go(Topology::Bridge).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn slots_come_and_go_on_one_segment() {
    slots_come_and_go(Topology::Segment).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_identity_is_a_cni_result_in_the_directory_of_the_node() {
    let mut bed = Bed::start(BedSpec {
        topology: Topology::Bridge,
        nodes: 2,
        slots_per_node: 1,
    })
    .await
    .unwrap();
    let slot = bed.nodes()[1].slots()[0].clone();
    let results = |bed: &Bed, node: usize| -> Vec<_> {
        let entries = std::fs::read_dir(bed.nodes()[node].cni_results()).unwrap();
        entries.map(|entry| entry.unwrap().path()).collect()
    };
    bed.assign(&slot, &PodKey::new("shop", "web"), &PodUid::from("u-1"))
        .unwrap();
    assert!(
        bed.assign(&slot, &PodKey::new("shop", "other"), &PodUid::from("u-2"))
            .is_err()
    );
    assert!(results(&bed, 0).is_empty());
    let [path] = <[_; 1]>::try_from(results(&bed, 1)).unwrap();
    let result: serde_json::Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    let container = result["containerId"].as_str().unwrap();
    assert_eq!(
        path.file_name().unwrap().to_str().unwrap(),
        format!("palisade-bed-{container}-eth0")
    );
    assert_eq!(result["kind"], "cniCacheV1");
    assert_eq!(
        result["cniArgs"][1],
        serde_json::json!(["K8S_POD_NAMESPACE", "shop"])
    );
    assert_eq!(result["cniArgs"][4], serde_json::json!(["K8S_POD_UID", "u-1"]));
    let interfaces = result["result"]["interfaces"].as_array().unwrap();
    let names: Vec<_> = interfaces
        .iter()
        .map(|interface| interface["name"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["cni0", slot.host_interface(), "eth0"]);
    assert_eq!(result["result"]["ips"][0]["interface"], 2);
    assert_eq!(result["result"]["ips"][0]["address"], format!("{}/24", slot.v4()));

    bed.release(&slot).unwrap();
    assert!(results(&bed, 1).is_empty());
    bed.stop().await.unwrap();
}
