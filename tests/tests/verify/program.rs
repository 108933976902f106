//! `palisade policy-audit verify --local`: the program itself, run on the node, with the node's own `nft`.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::Result;
use palisade_controller::manifest::{self, Source, Strictness};
use palisade_policy::cluster::ClusterState;
use palisade_policy::model::{PodKey, PodUid};
use palisade_tests::bed::{BedSpec, NodeBed, Slot, Topology};
use palisade_tests::stage::{Stage, built};
use serde_json::{Value, json};
use tempfile::TempDir;

/// What the API has: one pod that another may ask, on one node.
fn objects(node: &NodeBed) -> Value {
    let described = node.described();
    let addresses = described.addresses.iter();
    let addresses: Vec<Value> = addresses
        .map(|address| json!({"type": "InternalIP", "address": address}))
        .collect();
    let networks = described.pod_networks.iter();
    let networks: Vec<String> = networks.map(ToString::to_string).collect();
    let pod = |name: &str, slot: &Slot| {
        let addresses: Vec<Value> = slot.addresses().iter().map(|ip| json!({"ip": ip})).collect();
        json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": name, "namespace": "shop", "uid": name, "labels": {"app": name}},
            "spec": {"nodeName": node.name(), "containers": [{"name": "c", "image": "i"}]},
            "status": {"phase": "Running", "podIP": addresses[0]["ip"], "podIPs": addresses},
        })
    };
    let policy = json!({
        "podSelector": {"matchLabels": {"app": "web"}},
        "ingress": [{"from": [{"podSelector": {"matchLabels": {"app": "front"}}}], "ports": [{"port": 80}]}],
    });
    json!({"apiVersion": "v1", "kind": "List", "items": [
        {
            "apiVersion": "v1", "kind": "Node", "metadata": {"name": node.name()},
            "spec": {"podCIDRs": networks}, "status": {"addresses": addresses},
        },
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}},
        pod("web", &node.slots()[0]),
        pod("front", &node.slots()[1]),
        {
            "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
            "metadata": {"name": "web", "namespace": "shop"}, "spec": policy,
        },
    ]})
}

async fn verify(node: &NodeBed, objects: &Path) -> Result<String> {
    let mut command = Command::new(built("palisade").unwrap());
    command
        .args(["policy-audit", "verify", "--local", "--node", node.name(), "-f"])
        .arg(objects);
    node.run(command, "").await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_is_asked_where_it_is() {
    let spec = BedSpec {
        topology: Topology::Routed,
        nodes: 1,
        slots_per_node: 2,
    };
    let mut stage = Stage::start(spec, [80]).await.unwrap();
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("objects.json");
    let node = &stage.bed().nodes()[0];
    fs::write(&path, objects(node).to_string()).unwrap();
    let source = Source::Path(path.clone());
    let manifests = manifest::read(&[source], &mut std::io::empty(), Strictness::Strict).unwrap();
    let mut cluster = ClusterState::default();
    for event in manifests.events {
        cluster.apply(event);
    }
    let occupied = ["web", "front"].into_iter().zip(node.slots().to_vec());
    let occupied: Vec<_> = occupied
        .map(|(name, slot)| {
            (
                slot,
                PodKey::parse(&format!("shop/{name}")).unwrap(),
                PodUid::from(name),
            )
        })
        .collect();
    stage.occupy(occupied).unwrap();
    stage.enact(&cluster).await.unwrap();
    stage.node(0).unwrap().1.kill().await.unwrap();

    let node = &stage.bed().nodes()[0];
    let told = verify(node, &path).await.unwrap();
    assert!(
        told.contains("the kernel does what the API says, for 2 pods"),
        "{told}"
    );

    // A dormant table has all of its rules, and filters nothing.
    node.nft("add table inet palisade { flags dormant; }")
        .await
        .unwrap();
    let found = verify(node, &path).await.unwrap_err().to_string();
    assert!(
        found.contains("exit status: 1") && found.contains(": 1 finding"),
        "{found}"
    );
    node.nft("add table inet palisade").await.unwrap();
    verify(node, &path).await.unwrap();

    node.nft("insert rule inet palisade forwarded accept")
        .await
        .unwrap();
    let found = verify(node, &path).await.unwrap_err().to_string();
    assert!(
        found.contains("exit status: 1") && !found.contains(": 0 finding"),
        "{found}"
    );
    stage.stop().await.unwrap();
}
