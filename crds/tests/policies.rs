//! Each way in which a policy can be wrong is refused with the field and the reason.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests may fail like tests"
)]

mod common;

use serde_json::json;

use common::edited::{group_refused, node_refused, policies_with, policy_refused};
use common::full_policies;

#[test]
fn selectors_that_are_none_are_refused() {
    let field = "podSelector.matchExpressions[0]";
    for (expression, place, reason) in [
        (
            json!({"key": "app", "operator": "in", "values": ["x"]}),
            "operator",
            "UnknownOperator",
        ),
        (
            json!({"key": "app", "operator": ""}),
            "operator",
            "UnknownOperator",
        ),
        (
            json!({"key": "app", "operator": "Gt", "values": ["1"]}),
            "operator",
            "UnknownOperator",
        ),
        (json!({"key": "app", "operator": "In"}), "values", "Empty"),
        (
            json!({"key": "app", "operator": "In", "values": []}),
            "values",
            "Empty",
        ),
        (json!({"key": "app", "operator": "NotIn"}), "values", "Empty"),
        (
            json!({"key": "app", "operator": "NotIn", "values": []}),
            "values",
            "Empty",
        ),
        (
            json!({"key": "app", "operator": "Exists", "values": ["x"]}),
            "operator",
            "Contradiction",
        ),
        (
            json!({"key": "app", "operator": "DoesNotExist", "values": ["x"]}),
            "operator",
            "Contradiction",
        ),
        (json!({"key": "", "operator": "Exists"}), "key", "Missing"),
        (json!({"operator": "Exists"}), "key", "Missing"),
        (json!({"key": "app"}), "operator", "UnknownOperator"),
    ] {
        policy_refused(
            "/podSelector/matchExpressions",
            json!([expression]),
            &format!("{field}.{place}"),
            reason,
        );
    }
    policy_refused(
        "/podSelector/matchExpressions/2/operator",
        json!("Exist"),
        "podSelector.matchExpressions[2].operator",
        "UnknownOperator",
    );
}

#[test]
fn a_selector_that_says_nothing_selects_every_pod() {
    let policies = policies_with("/spec/policies/0/podSelector", json!({})).unwrap();
    assert!(
        policies
            .policies
            .values()
            .all(|policy| policy.subject.is_everything())
    );
}

#[test]
fn what_belongs_to_the_other_direction_is_refused() {
    policy_refused(
        "/ingress/0",
        json!({"index": 0, "memberPorts": "TCP"}),
        "ingress[0].memberPorts",
        "DirectionMismatch",
    );
    policy_refused(
        "/egress/0",
        json!({"index": 0, "ports": [{"protocol": "TCP", "name": "http"}]}),
        "egress[0].ports[0].name",
        "DirectionMismatch",
    );
}

#[test]
fn protocols_and_ports_that_are_none_are_refused() {
    let field = "ingress[0].ports[0]";
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
        (
            json!({"protocol": "TCP", "name": "http", "endPort": 80}),
            "name",
            "Contradiction",
        ),
    ] {
        policy_refused(
            "/ingress/0/ports",
            json!([port]),
            &format!("{field}.{place}"),
            reason,
        );
    }
    policy_refused(
        "/egress/0/memberPorts",
        json!("ICMP"),
        "egress[0].memberPorts",
        "UnknownProtocol",
    );
    let named = "/spec/pods/0/namedPorts/0";
    let field = "spec.pods[0].namedPorts[0]";
    for (place, value, field, reason) in [
        ("name", json!(""), format!("{field}.name"), "Missing"),
        (
            "protocol",
            json!("ICMP"),
            format!("{field}.protocol"),
            "UnknownProtocol",
        ),
        (
            "numbers",
            json!([80, 0]),
            format!("{field}.numbers[1]"),
            "InvalidPort",
        ),
    ] {
        node_refused(&format!("{named}/{place}"), value, &field, reason);
    }
    group_refused(
        "/spec/members/0/ports",
        json!([65536]),
        "spec.members[0].ports[0]",
        "InvalidPort",
    );
}

#[test]
fn rules_that_contradict_themselves_are_refused() {
    let group = *full_policies()
        .policies
        .values()
        .next()
        .unwrap()
        .rules
        .groups()
        .next()
        .unwrap();
    let group = group.as_str();
    for (rule, field) in [
        (json!({"index": 0, "anyPeer": true, "groups": [group]}), "anyPeer"),
        (
            json!({"index": 0, "anyPeer": true, "blocks": [{"cidr": "10.0.0.0/8"}]}),
            "anyPeer",
        ),
        (
            json!({"index": 0, "anyPort": true, "ports": [{"protocol": "TCP"}]}),
            "anyPort",
        ),
        (
            json!({"index": 0, "anyPort": true, "memberPorts": "UDP"}),
            "anyPort",
        ),
        (
            json!({"index": 0, "memberPorts": "UDP", "ports": [{"protocol": "TCP"}]}),
            "memberPorts",
        ),
        (
            json!({"index": 0, "memberPorts": "UDP", "blocks": [{"cidr": "10.0.0.0/8"}]}),
            "memberPorts",
        ),
        (
            json!({"index": 0, "memberPorts": "UDP", "anyPeer": true}),
            "memberPorts",
        ),
    ] {
        policy_refused("/egress/0", rule, &format!("egress[0].{field}"), "Contradiction");
    }
    policy_refused(
        "/ingress/0/anyPeer",
        json!(true),
        "ingress[0].anyPeer",
        "Contradiction",
    );
    policy_refused(
        "/ingress/0/anyPort",
        json!(true),
        "ingress[0].anyPort",
        "Contradiction",
    );
}

#[test]
fn a_rule_of_which_nothing_is_left_allows_nothing() {
    let slice = policies_with("/spec/policies/0/ingress/0", json!({"index": 0})).unwrap();
    let policy = slice.policies.values().next().unwrap();
    let rule = &policy.rules.ingress.as_ref().unwrap()[0];
    assert_eq!(
        format!("{:?}", rule.peers),
        "AnyOf { groups: Sorted([]), blocks: Sorted([]) }"
    );
    assert_eq!(format!("{:?}", rule.ports), "AnyOf(Sorted([]))");
}
