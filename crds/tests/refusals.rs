//! Each way in which a document can be wrong is refused with the field and the reason. For what policies say, see
//! `policies.rs`.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests may fail like tests"
)]

mod common;

use palisade_crds::{AddressGroup, NodeRuleSet, PodSlice, PolicySlice, Problem};
use palisade_policy::rules::{NodeHead, PodSlice as Pods, PolicySlice as Policies, Slice, SliceId, slices};
use serde_json::json;

use common::edited::{
    group, group_refused, group_with, node_refused, node_with, pods_with, policies_with, policy_refused,
    refused, replaced,
};
use common::{frontends, full_node, full_pods, full_policies};

#[test]
fn the_unchanged_documents_are_accepted() {
    assert_eq!(node_with("/spec/revision", json!(9)).unwrap(), full_node());
    assert_eq!(pods_with("/spec/revision", json!(9)).unwrap(), full_pods());
    assert_eq!(
        policies_with("/spec/revision", json!(9)).unwrap(),
        full_policies()
    );
    let (id, group) = frontends(2);
    assert_eq!(
        group_with("/spec/revision", json!(9)).unwrap(),
        slices(&id, &group)[&SliceId::WHOLE]
    );
}

#[test]
fn names_that_do_not_fit_are_refused() {
    for (pointer, value) in [
        ("/metadata/name", json!("node-2")),
        ("/metadata/name", json!(null)),
        ("/spec/node", json!("node-2")),
    ] {
        node_refused(pointer, value, "metadata.name", "WrongName");
    }
    for (pointer, value) in [
        ("/metadata/name", json!("node-1-s1")),
        ("/metadata/name", json!(null)),
        ("/spec/slice", json!("s0")),
        ("/spec/node", json!("node-2")),
    ] {
        refused(pods_with(pointer, value), "metadata.name", "WrongName");
    }
    for (pointer, value) in [
        ("/metadata/name", json!("shop")),
        ("/metadata/name", json!("shop-s0")),
        ("/metadata/name", json!(null)),
        ("/spec/slice", json!("s0")),
    ] {
        refused(policies_with(pointer, value), "metadata.name", "WrongName");
    }
    for (pointer, value) in [
        ("/metadata/name", json!("other")),
        ("/metadata/name", json!(null)),
        ("/spec/slice", json!("s0")),
        ("/spec/group", json!("0".repeat(20))),
    ] {
        group_refused(pointer, value, "metadata.name", "WrongName");
    }
}

#[test]
fn identifiers_that_are_none_are_refused() {
    node_refused("/spec/node", json!(""), "metadata.name", "WrongName");
    node_refused("/spec/pods/0/uid", json!(""), "spec.pods[0].uid", "Missing");
    node_refused("/spec/pods/0/pod", json!("web"), "spec.pods[0].pod", "InvalidKey");
    node_refused("/spec/namespaces/0", json!(""), "spec.namespaces[0]", "Missing");
    refused(
        policies_with("/spec/namespace", json!("")),
        "spec.namespace",
        "Missing",
    );
    policy_refused("/policy", json!("a/b/c"), "policy", "InvalidKey");
    policy_refused(
        "/ingress/0/groups/0",
        json!("short"),
        "ingress[0].groups[0]",
        "InvalidId",
    );
    policy_refused(
        "/egress/0/groups",
        json!([""]),
        "egress[0].groups[0]",
        "InvalidId",
    );
    group_refused("/spec/group", json!("x"), "spec.group", "InvalidId");
    group_refused(
        "/spec/members/1/pod",
        json!("/web"),
        "spec.members[1].pod",
        "InvalidKey",
    );
}

#[test]
fn a_node_without_a_name_is_refused() {
    let mut document = NodeRuleSet::publish(&full_node(), 1);
    document.metadata.name = Some(String::new());
    document.spec.node.clear();
    document.spec.hash = document.spec.content_hash();
    refused(NodeHead::try_from(&document), "spec.node", "Missing");
}

#[test]
fn slices_that_are_none_are_refused() {
    let too_long = format!("s{}", "0".repeat(33));
    for text in ["t1", "", "s2", too_long.as_str()] {
        let policies = policies_with("/spec/slice", json!(text));
        refused(policies, "spec.slice", "InvalidSlice");
        refused(
            pods_with("/spec/slice", json!(text)),
            "spec.slice",
            "InvalidSlice",
        );
        group_refused("/spec/slice", json!(text), "spec.slice", "InvalidSlice");
    }
}

#[test]
fn a_slice_that_is_split_and_has_content_is_refused() {
    let policies = policies_with("/spec/split", json!(true));
    assert_eq!(policies.unwrap_err().to_string(), "spec.split: excludes policies");
    for error in [
        node_with("/spec/split", json!(true)).unwrap_err(),
        pods_with("/spec/split", json!(true)).unwrap_err(),
    ] {
        assert_eq!(error.to_string(), "spec.split: excludes pods");
    }
    let group = group_with("/spec/split", json!(true));
    assert_eq!(group.unwrap_err().to_string(), "spec.split: excludes members");
}

#[test]
fn a_slice_that_is_split_and_has_no_halves_is_refused() {
    let longest = SliceId::parse(&format!("s{}", "1".repeat(32))).unwrap();
    let mut slice = full_policies();
    (slice.id, slice.split) = (longest, true);
    slice.policies.clear();
    let document = PolicySlice::publish(&slice, 1);
    refused(Policies::try_from(&document), "spec.split", "Contradiction");

    let mut slice = full_pods();
    (slice.id, slice.split) = (longest, true);
    slice.pods.clear();
    slice.namespaces.clear();
    refused(
        Pods::try_from(&PodSlice::publish(&slice, 1)),
        "spec.split",
        "Contradiction",
    );

    let (id, group) = frontends(0);
    let mut slice = slices(&id, &group)[&SliceId::WHOLE].clone();
    (slice.id, slice.split) = (longest, true);
    let document = AddressGroup::publish(&slice, &group.spec.scope, 1);
    refused(Slice::try_from(&document), "spec.split", "Contradiction");
}

#[test]
fn policies_of_another_namespace_are_refused() {
    let error = policies_with("/spec/policies/0/policy", json!("bank/web")).unwrap_err();
    assert_eq!(error.problem.reason(), "WrongNamespace");
    assert_eq!(
        error.to_string(),
        "spec.policies[0].policy: policy bank/web is not in namespace shop"
    );
}

#[test]
fn a_document_without_a_field_that_it_must_have_does_not_decode() {
    let document = serde_json::to_value(PolicySlice::publish(&full_policies(), 1)).unwrap();
    assert!(serde_json::from_value::<PolicySlice>(document.clone()).is_ok());
    for pointer in [
        "/spec/hash",
        "/spec/namespace",
        "/spec/slice",
        "/spec/policies/0/policy",
        "/spec/policies/0/podSelector",
        "/spec/policies/0/ingress/0/index",
        "/spec/policies/0/ingress/0/blocks/0/cidr",
        "/spec/policies/0/ingress/0/ports/0/protocol",
    ] {
        let document = replaced(document.clone(), pointer, json!(null));
        assert!(
            serde_json::from_value::<PolicySlice>(document).is_err(),
            "{pointer}"
        );
    }
    let mut absent = document;
    absent["spec"]["policies"][0]["podSelector"] = json!(null);
    assert!(serde_json::from_value::<PolicySlice>(absent).is_err());

    let document = serde_json::to_value(NodeRuleSet::publish(&full_node(), 1)).unwrap();
    for pointer in ["/spec/hash", "/spec/node", "/spec/pods/0/uid", "/spec/pods/0/pod"] {
        let document = replaced(document.clone(), pointer, json!(null));
        assert!(
            serde_json::from_value::<NodeRuleSet>(document).is_err(),
            "{pointer}"
        );
    }
    let document = serde_json::to_value(group()).unwrap();
    for pointer in [
        "/spec/hash",
        "/spec/group",
        "/spec/slice",
        "/spec/members/0/pod",
        "/spec/members/0/ips",
    ] {
        let document = replaced(document.clone(), pointer, json!(null));
        assert!(
            serde_json::from_value::<AddressGroup>(document).is_err(),
            "{pointer}"
        );
    }
}

#[test]
fn addresses_and_blocks_that_are_none_are_refused() {
    node_refused(
        "/spec/pods/0/ips/1",
        json!("10.0.0.256"),
        "spec.pods[0].ips[1]",
        "InvalidAddress",
    );
    node_refused(
        "/spec/podNetworks/0",
        json!("10.0.0.0"),
        "spec.podNetworks[0]",
        "InvalidCidr",
    );
    let block = "/ingress/0/blocks/0";
    let field = "ingress[0].blocks[0]";
    for (place, value, field, reason) in [
        (
            "cidr",
            json!("10.0.0.0/40"),
            format!("{field}.cidr"),
            "InvalidCidr",
        ),
        (
            "except/0",
            json!("x"),
            format!("{field}.except[0]"),
            "InvalidCidr",
        ),
        (
            "except/0",
            json!("11.0.0.0/16"),
            format!("{field}.except"),
            "ExceptOutsideCidr",
        ),
    ] {
        policy_refused(&format!("{block}/{place}"), value, &field, reason);
    }
    group_refused(
        "/spec/members/1/ips",
        json!(["::g"]),
        "spec.members[1].ips[0]",
        "InvalidAddress",
    );
    group_refused("/spec/members/0/ips", json!([]), "spec.members[0].ips", "Empty");
}

#[test]
fn keys_that_repeat_are_refused() {
    let node = serde_json::to_value(NodeRuleSet::publish(&full_node(), 1)).unwrap();
    let pod = &node["spec"]["pods"][0];
    node_refused("/spec/pods", json!([pod, pod]), "spec.pods[1]", "Duplicate");
    let named = &pod["namedPorts"][0];
    node_refused(
        "/spec/pods/0/namedPorts",
        json!([named, named]),
        "spec.pods[0].namedPorts[1]",
        "Duplicate",
    );
    let policies = serde_json::to_value(PolicySlice::publish(&full_policies(), 1)).unwrap();
    let policy = &policies["spec"]["policies"][0];
    refused(
        policies_with("/spec/policies", json!([policy, policy])),
        "spec.policies[1]",
        "Duplicate",
    );
}

#[test]
fn content_that_was_changed_is_refused_by_its_hash() {
    let mut document = NodeRuleSet::publish(&full_node(), 1);
    document.spec.pods[0].labels.clear();
    let error = NodeHead::try_from(&document).unwrap_err();
    assert_eq!(error.field, "spec.hash");
    assert!(matches!(error.problem, Problem::Hash { .. }), "{error}");

    let mut document = PodSlice::publish(&full_pods(), 1);
    document.spec.pods[0].labels.clear();
    refused(Pods::try_from(&document), "spec.hash", "HashMismatch");

    let mut document = PolicySlice::publish(&full_policies(), 1);
    document.spec.policies[0].ingress = None;
    refused(Policies::try_from(&document), "spec.hash", "HashMismatch");
    let mut document = PolicySlice::publish(&full_policies(), 1);
    document.spec.policies[0].pod_selector.match_labels = None;
    refused(Policies::try_from(&document), "spec.hash", "HashMismatch");

    let mut document = group();
    document.spec.members.pop();
    refused(Slice::try_from(&document), "spec.hash", "HashMismatch");
}
