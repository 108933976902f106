//! Pods, namespaces and nodes as they are read.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "helpers of tests may fail like tests"
)]

use k8s_openapi::api::core::v1 as core;
use palisade_controller::decode;
use serde_json::{Value, json};

#[test]
fn a_pod_has_the_addresses_and_the_named_ports_of_all_its_parts() {
    let object: core::Pod = serde_json::from_value(json!({
        "metadata": {
            "namespace": "shop", "name": "web-0", "uid": "u-1", "labels": {"role": "web"},
            "creationTimestamp": "1970-01-01T00:01:40Z",
        },
        "spec": {
            "nodeName": "node-1",
            "containers": [{"name": "a", "ports": [
                {"name": "http", "containerPort": 8080},
                {"containerPort": 9090},
            ]}],
            "initContainers": [{"name": "b", "ports": [{"name": "dns", "containerPort": 53, "protocol": "UDP"}]}],
        },
        "status": {
            "phase": "Running", "podIP": "10.0.0.5",
            "podIPs": [{"ip": "10.0.0.5"}, {"ip": "fd00::5"}, {"ip": "::ffff:10.0.0.6"}],
        },
    }))
    .unwrap();
    let pod = decode::pod(&object).strict().unwrap();
    assert_eq!(pod.uid.as_str(), "u-1");
    assert_eq!(pod.key.to_string(), "shop/web-0");
    assert_eq!(pod.node.as_ref().unwrap().as_str(), "node-1");
    assert_eq!(pod.created, 100);
    assert_eq!(
        pod.addresses.iter().map(ToString::to_string).collect::<Vec<_>>(),
        ["10.0.0.5", "fd00::5", "10.0.0.6"]
    );
    let ports = pod
        .ports
        .iter()
        .map(|port| format!("{}={}/{}", port.name, port.number, port.protocol));
    assert_eq!(ports.collect::<Vec<_>>(), ["dns=53/UDP", "http=8080/TCP"]);
    assert!(pod.is_workload());
}

#[test]
fn a_pod_from_a_file_may_leave_out_nearly_everything() {
    let pod = |object: Value| {
        decode::pod(&serde_json::from_value(object).unwrap())
            .strict()
            .unwrap()
    };
    let bare = pod(json!({"metadata": {"name": "web"}}));
    assert_eq!(bare.key.to_string(), "default/web");
    assert_eq!(bare.uid.as_str(), "default/web");
    assert!(bare.node.is_none() && bare.addresses.is_empty() && bare.created == 0);
    assert!(!pod(json!({"metadata": {"name": "job"}, "status": {"phase": "Succeeded"}})).is_workload());
    assert!(!pod(json!({"metadata": {"name": "job"}, "status": {"phase": "Failed"}})).is_workload());
    let host = json!({"metadata": {"name": "host"}, "spec": {"containers": [], "hostNetwork": true}});
    assert!(!pod(host).is_workload());
}

#[test]
fn what_is_wrong_in_a_pod_is_left_out_and_told() {
    let object = json!({
        "metadata": {"name": "web"},
        "spec": {"containers": [{"name": "a", "ports": [
            {"name": "http", "containerPort": 0},
            {"name": "dns", "containerPort": 53, "protocol": "udp"},
            {"name": "ok", "containerPort": 1},
        ]}]},
        "status": {"podIPs": [{"ip": "10.0.0.300"}, {"ip": "fd00::5"}]},
    });
    let decoded = decode::pod(&serde_json::from_value(object).unwrap());
    let fields: Vec<&str> = decoded
        .defects
        .iter()
        .map(|defect| defect.field.as_str())
        .collect();
    assert_eq!(
        fields,
        [
            "status.podIPs[0].ip",
            "spec.containers[0].ports[0].containerPort",
            "spec.containers[0].ports[1].protocol"
        ]
    );
    assert_eq!(decoded.object.addresses.len(), 1);
    assert_eq!(decoded.object.ports.len(), 1);
}

#[test]
fn a_namespace_always_has_the_label_of_its_name() {
    let object = json!({"metadata": {"name": "shop", "labels": {"team": "a"}}});
    let namespace = decode::namespace(&serde_json::from_value(object).unwrap())
        .strict()
        .unwrap();
    assert_eq!(namespace.labels.get("kubernetes.io/metadata.name"), Some("shop"));
    assert_eq!(namespace.labels.get("team"), Some("a"));
}

#[test]
fn a_node_has_its_addresses_and_the_networks_of_its_pods() {
    let node = |object: Value| decode::node(&serde_json::from_value(object).unwrap());
    let object = json!({
        "metadata": {"name": "node-1"},
        "spec": {"podCIDR": "10.1.0.0/24", "podCIDRs": ["10.1.0.0/24", "fd00:1::/64"]},
        "status": {"addresses": [
            {"type": "InternalIP", "address": "192.168.0.1"},
            {"type": "InternalIP", "address": "fd01::1"},
            {"type": "ExternalIP", "address": "203.0.113.1"},
            {"type": "Hostname", "address": "node-1"},
        ]},
    });
    let decoded = node(object).strict().unwrap();
    let texts = |values: Vec<String>| values.join(" ");
    assert_eq!(
        texts(decoded.addresses.iter().map(ToString::to_string).collect()),
        "192.168.0.1 fd01::1 203.0.113.1"
    );
    assert_eq!(
        texts(decoded.pod_networks.iter().map(ToString::to_string).collect()),
        "10.1.0.0/24 fd00:1::/64"
    );
    let old = node(json!({"metadata": {"name": "n"}, "spec": {"podCIDR": "10.1.0.0/24"}}))
        .strict()
        .unwrap();
    assert_eq!(old.pod_networks.len(), 1);
    let bad = node(json!({
        "metadata": {"name": "n"},
        "spec": {"podCIDRs": ["10.1.0.0"]},
        "status": {"addresses": [{"type": "InternalIP", "address": "?"}]},
    }));
    let fields: Vec<&str> = bad.defects.iter().map(|defect| defect.field.as_str()).collect();
    assert_eq!(fields, ["status.addresses[0].address", "spec.podCIDRs[0]"]);
}
