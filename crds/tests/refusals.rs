//! Each way in which a document can be wrong is refused with the field and the reason.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests may fail like tests"
)]

mod common;

use palisade_crds::{AddressGroup, DocumentError, NodeRuleSet, Problem};
use palisade_policy::rules::{NodeRules, Slice, SliceId, slices};
use serde_json::{Value, json};

use common::{frontends, full_node};

/// The full node's document with one field replaced (or, by null, removed) and the hash made right again.
fn node_with(pointer: &str, value: Value) -> Result<NodeRules, DocumentError> {
    let document = serde_json::to_value(NodeRuleSet::publish(&full_node(), 1)).unwrap();
    let mut document: NodeRuleSet = serde_json::from_value(replaced(document, pointer, value)).unwrap();
    document.spec.hash = document.spec.content_hash();
    NodeRules::try_from(&document)
}

fn group_with(pointer: &str, value: Value) -> Result<Slice, DocumentError> {
    let (id, group) = frontends(2);
    let document = AddressGroup::publish(&slices(&id, &group)[&SliceId::WHOLE], &group.spec.scope);
    let document = serde_json::to_value(document).unwrap();
    let mut document: AddressGroup = serde_json::from_value(replaced(document, pointer, value)).unwrap();
    document.spec.hash = document.spec.content_hash();
    Slice::try_from(&document)
}

fn replaced(mut document: Value, pointer: &str, value: Value) -> Value {
    let (parent, field) = pointer.rsplit_once('/').unwrap();
    match document.pointer_mut(parent).unwrap() {
        Value::Object(object) => {
            object.insert(field.to_owned(), value);
            object.retain(|_, value| !value.is_null());
        }
        Value::Array(array) => array[field.parse::<usize>().unwrap()] = value,
        other => panic!("no place for {field} in {other}"),
    }
    document
}

fn refusal<T: std::fmt::Debug>(result: Result<T, DocumentError>) -> (String, &'static str, String) {
    let error = result.unwrap_err();
    (error.field, error.problem.reason(), error.problem.to_string())
}

#[track_caller]
fn node_refused(pointer: &str, value: Value, field: &str, reason: &str) {
    let (found_field, found_reason, message) = refusal(node_with(pointer, value));
    assert_eq!((found_field.as_str(), found_reason), (field, reason), "{message}");
}

#[test]
fn the_unchanged_document_is_accepted() {
    assert_eq!(node_with("/spec/revision", json!(9)).unwrap(), full_node());
}

#[test]
fn names_that_do_not_fit_are_refused() {
    node_refused("/metadata/name", json!("node-2"), "metadata.name", "WrongName");
    node_refused("/spec/node", json!("node-2"), "metadata.name", "WrongName");
    assert_eq!(
        refusal(group_with("/metadata/name", json!("other"))).1,
        "WrongName"
    );
    assert_eq!(refusal(group_with("/spec/slice", json!("s0"))).1, "WrongName");
}

#[test]
fn identifiers_that_are_none_are_refused() {
    node_refused(
        "/spec/profiles/0/id",
        json!("short"),
        "spec.profiles[0].id",
        "InvalidId",
    );
    node_refused(
        "/spec/pods/0/ingress",
        json!("short"),
        "spec.pods[0].ingress",
        "InvalidId",
    );
    node_refused(
        "/spec/pods/0/egress",
        json!(""),
        "spec.pods[0].egress",
        "InvalidId",
    );
    node_refused("/spec/pods/0/uid", json!(""), "spec.pods[0].uid", "Missing");
    node_refused("/spec/pods/0/pod", json!("web"), "spec.pods[0].pod", "InvalidKey");
    node_refused(
        "/spec/policies/0/policy",
        json!("a/b/c"),
        "spec.policies[0].policy",
        "InvalidKey",
    );
    node_refused("/spec/groups", json!({"x": ["s"]}), "spec.groups.x", "InvalidId");
    assert_eq!(refusal(group_with("/spec/group", json!("x"))).0, "spec.group");
}

#[test]
fn slices_that_are_none_are_refused() {
    let group = full_node().groups.keys().next().unwrap().to_string();
    node_refused(
        &format!("/spec/groups/{group}/0"),
        json!("t1"),
        &format!("spec.groups.{group}[0]"),
        "InvalidSlice",
    );
    node_refused(
        &format!("/spec/groups/{group}"),
        json!([]),
        &format!("spec.groups.{group}"),
        "Empty",
    );
    assert_eq!(refusal(group_with("/spec/slice", json!("s2"))).1, "InvalidSlice");
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
    let rule = "/spec/policies/0/ingress/0";
    let field = "spec.policies[0].ingress[0].blocks[0]";
    node_refused(
        &format!("{rule}/blocks/0/cidr"),
        json!("10.0.0.0/40"),
        &format!("{field}.cidr"),
        "InvalidCidr",
    );
    node_refused(
        &format!("{rule}/blocks/0/except/0"),
        json!("x"),
        &format!("{field}.except[0]"),
        "InvalidCidr",
    );
    node_refused(
        &format!("{rule}/blocks/0/except/0"),
        json!("11.0.0.0/16"),
        &format!("{field}.except"),
        "ExceptOutsideCidr",
    );
    assert_eq!(
        refusal(group_with("/spec/members/1/ips", json!(["::g"]))).0,
        "spec.members[1].ips[0]"
    );
    assert_eq!(refusal(group_with("/spec/members/0/ips", json!([]))).1, "Empty");
}

#[test]
fn references_that_find_nothing_are_refused() {
    node_refused(
        "/spec/profiles",
        json!(null),
        "spec.pods[0].ingress",
        "DanglingProfile",
    );
    node_refused(
        "/spec/policies",
        json!(null),
        "spec.profiles[0].policies",
        "DanglingPolicy",
    );
    let (field, reason, _) = refusal(node_with("/spec/policies/0/egress", json!(null)));
    assert!(field.starts_with("spec.profiles["), "{field}");
    assert_eq!(reason, "DanglingPolicy");
    node_refused(
        "/spec/groups",
        json!(null),
        "spec.policies[0].ingress[0].groups",
        "DanglingGroup",
    );
}

#[test]
fn what_belongs_to_the_other_direction_is_refused() {
    let rules = full_node();
    let pod = rules.pods.values().next().unwrap();
    let egress = pod.egress.as_ref().unwrap().to_string();
    node_refused(
        "/spec/pods/0/ingress",
        json!(egress),
        "spec.pods[0].ingress",
        "DirectionMismatch",
    );
    node_refused(
        "/spec/policies/0/ingress/0",
        json!({"index": 0, "memberPorts": "TCP"}),
        "spec.policies[0].ingress[0].memberPorts",
        "DirectionMismatch",
    );
    node_refused(
        "/spec/policies/0/egress/0",
        json!({"index": 0, "ports": [{"protocol": "TCP", "name": "http"}]}),
        "spec.policies[0].egress[0].ports[0].name",
        "DirectionMismatch",
    );
    let outward = rules
        .profiles
        .keys()
        .position(|id| id.as_str() == egress)
        .unwrap();
    node_refused(
        &format!("/spec/profiles/{outward}/namedPorts"),
        json!([{"name": "http", "protocol": "TCP", "numbers": [80]}]),
        &format!("spec.profiles[{outward}].namedPorts"),
        "DirectionMismatch",
    );
    node_refused(
        "/spec/profiles/0/direction",
        json!("Both"),
        "spec.profiles[0].direction",
        "UnknownDirection",
    );
    node_refused(
        "/spec/profiles/0/policies",
        json!([]),
        "spec.profiles[0].policies",
        "Empty",
    );
}

#[test]
fn protocols_and_ports_that_are_none_are_refused() {
    let ports = "/spec/policies/0/ingress/0/ports";
    let field = "spec.policies[0].ingress[0].ports[0]";
    for (port, place, reason) in [
        (json!({"protocol": "tcp"}), "protocol", "UnknownProtocol"),
        (json!({"protocol": "TCP", "port": 0}), "port", "InvalidPort"),
        (json!({"protocol": "TCP", "port": 65536}), "port", "InvalidPort"),
        (
            json!({"protocol": "TCP", "port": 80, "endPort": 65536}),
            "endPort",
            "InvalidPort",
        ),
        (
            json!({"protocol": "TCP", "port": 80, "endPort": 79}),
            "endPort",
            "InvalidPortRange",
        ),
        (json!({"protocol": "TCP", "endPort": 79}), "port", "Missing"),
        (json!({"protocol": "TCP", "name": ""}), "name", "Missing"),
        (
            json!({"protocol": "TCP", "name": "http", "port": 80}),
            "name",
            "Contradiction",
        ),
    ] {
        node_refused(ports, json!([port]), &format!("{field}.{place}"), reason);
    }
    node_refused(
        "/spec/policies/0/egress/0/memberPorts",
        json!("ICMP"),
        "spec.policies[0].egress[0].memberPorts",
        "UnknownProtocol",
    );
}

#[test]
fn rules_that_contradict_themselves_are_refused() {
    let field = "spec.policies[0].ingress[0]";
    node_refused(
        "/spec/policies/0/ingress/0/anyPeer",
        json!(true),
        &format!("{field}.anyPeer"),
        "Contradiction",
    );
    node_refused(
        "/spec/policies/0/ingress/0/anyPort",
        json!(true),
        &format!("{field}.anyPort"),
        "Contradiction",
    );
    node_refused(
        "/spec/policies/0/egress/0/blocks",
        json!([{"cidr": "10.0.0.0/8"}]),
        "spec.policies[0].egress[0].memberPorts",
        "Contradiction",
    );
    node_refused(
        "/spec/policies/0/egress/0",
        json!({"index": 0, "anyPeer": true, "memberPorts": "UDP"}),
        "spec.policies[0].egress[0].memberPorts",
        "Contradiction",
    );
}

#[test]
fn a_rule_of_which_nothing_is_left_allows_nothing() {
    let rules = node_with("/spec/policies/0/ingress/0", json!({"index": 0})).unwrap();
    let rule = &rules.policies.values().next().unwrap().ingress.as_ref().unwrap()[0];
    assert_eq!(format!("{:?}", rule.peers), "AnyOf { groups: {}, blocks: {} }");
    assert_eq!(format!("{:?}", rule.ports), "AnyOf({})");
}

#[test]
fn keys_that_repeat_are_refused() {
    let document = serde_json::to_value(NodeRuleSet::publish(&full_node(), 1)).unwrap();
    for list in ["pods", "profiles", "policies"] {
        let entry = &document["spec"][list][0];
        node_refused(
            &format!("/spec/{list}"),
            json!([entry, entry]),
            &format!("spec.{list}[1]"),
            "Duplicate",
        );
    }
}

#[test]
fn content_that_was_changed_is_refused_by_its_hash() {
    let mut document = NodeRuleSet::publish(&full_node(), 1);
    document.spec.pods[0].ingress = None;
    let error = NodeRules::try_from(&document).unwrap_err();
    assert_eq!(error.field, "spec.hash");
    assert!(matches!(error.problem, Problem::Hash { .. }), "{error}");

    let (id, group) = frontends(2);
    let mut document = AddressGroup::publish(&slices(&id, &group)[&SliceId::WHOLE], &group.spec.scope);
    document.spec.members.pop();
    assert_eq!(refusal(Slice::try_from(&document)).1, "HashMismatch");
}
