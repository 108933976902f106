//! What nodes enforce of each policy, from what is published and what they report.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use k8s_openapi::jiff::Timestamp;
use palisade_audit::inventory::Inventory;
use palisade_controller::enforced::{Difference, Enforcement, Publication};
use palisade_crds::{AcceptedPolicies, AcceptedRules, NodeRuleSet, NodeRuleSetStatus, PolicySlice};
use palisade_policy::cluster::{ClusterState, Event};
use palisade_policy::compile;
use palisade_policy::model::{NodeName, PolicyKey};
use palisade_policy::testing::builders::{everybody, namespace, node, pod, policy};

/// Two nodes with a pod each in `shop`, under one policy.
fn inventory() -> Inventory {
    let events = vec![
        Event::NamespaceApplied(namespace("shop", &[])),
        Event::NodeApplied(node("a", &["192.0.2.1"])),
        Event::NodeApplied(node("b", &["192.0.2.2"])),
        Event::PodApplied(pod("shop/one").on("a").at("10.0.0.1")),
        Event::PodApplied(pod("shop/two").on("b").at("10.0.1.1")),
        Event::PolicyApplied(policy("shop/web").allowing_from([everybody()])),
    ];
    Inventory {
        state: ClusterState::from_events(events),
        ..Inventory::default()
    }
}

/// What is published of an inventory, with the reports of nodes that enforce all of it.
fn published(inventory: &Inventory) -> (Vec<NodeRuleSet>, Vec<PolicySlice>) {
    let published = compile::compile(&inventory.state);
    let slices = published.policies.values().flat_map(BTreeMap::values);
    let slices: Vec<PolicySlice> = slices.map(|slice| PolicySlice::publish(slice, 1)).collect();
    let mut rule_sets: Vec<NodeRuleSet> = published
        .nodes
        .values()
        .map(|residents| NodeRuleSet::publish(residents, 7))
        .collect();
    for rule_set in &mut rule_sets {
        rule_set.status = Some(report(rule_set, &slices));
    }
    (rule_sets, slices)
}

fn report(rule_set: &NodeRuleSet, slices: &[PolicySlice]) -> NodeRuleSetStatus {
    let selected = AcceptedRules::try_from(rule_set)
        .unwrap()
        .select(|namespace, id| {
            let name = PolicySlice::name_of(namespace, id);
            let slice = slices
                .iter()
                .find(|slice| slice.metadata.name.as_ref() == Some(&name));
            AcceptedPolicies::try_from(slice.unwrap())
        });
    NodeRuleSetStatus {
        observed_revision: Some(rule_set.spec.revision),
        hash: Some(rule_set.spec.hash.clone()),
        policies: Some(selected.unwrap().policies),
        pods: Some(1),
        lag_milliseconds: Some(12),
        conditions: vec![condition("Programmed", "True", "Enforced", "")],
    }
}

fn condition(kind: &str, status: &str, reason: &str, message: &str) -> Condition {
    Condition {
        type_: kind.to_owned(),
        status: status.to_owned(),
        reason: reason.to_owned(),
        message: message.to_owned(),
        observed_generation: None,
        last_transition_time: Time(Timestamp::UNIX_EPOCH),
    }
}

fn web() -> PolicyKey {
    PolicyKey::new("shop", "web")
}

#[test]
fn a_policy_is_enforced_where_every_node_reports_what_is_published() {
    let inventory = inventory();
    let (rule_sets, slices) = published(&inventory);
    let enforcement = Enforcement::of(&inventory, &rule_sets, &slices);
    let state = &enforcement.policies[&web()];
    assert_eq!(state.publication, Publication::Current);
    assert_eq!((state.pods, state.nodes.len(), state.enforced.len()), (2, 2, 2));
    assert_eq!(state.lag_milliseconds, Some(12));
    assert!(enforcement.is_complete());
}

#[test]
fn a_policy_that_was_edited_counts_as_outdated_until_it_is_published_again() {
    let mut inventory = inventory();
    let (rule_sets, slices) = published(&inventory);
    let edited = policy("shop/web").allowing_from([]);
    inventory.state.apply(Event::PolicyApplied(edited));
    let enforcement = Enforcement::of(&inventory, &rule_sets, &slices);
    let state = &enforcement.policies[&web()];
    assert_eq!(state.publication, Publication::Outdated);
    assert!(state.enforced.is_empty());
    assert!(!enforcement.is_complete());
}

#[test]
fn what_is_new_is_missing_and_what_is_gone_is_superfluous() {
    let mut inventory = inventory();
    let (rule_sets, slices) = published(&inventory);
    inventory.state.apply(Event::PolicyDeleted(web()));
    inventory
        .state
        .apply(Event::PolicyApplied(policy("shop/new").allowing_from([])));
    let enforcement = Enforcement::of(&inventory, &rule_sets, &slices);
    let publication = |key: &PolicyKey| enforcement.policies[key].publication;
    assert_eq!(publication(&web()), Publication::Superfluous);
    assert_eq!(publication(&PolicyKey::new("shop", "new")), Publication::Missing);
}

#[test]
fn a_node_that_reports_something_else_does_not_count() {
    let inventory = inventory();
    let (whole, slices) = published(&inventory);
    type Edit = fn(&mut NodeRuleSet);
    let edits: [(Edit, Difference); 5] = [
        (|rule_set| rule_set.status = None, Difference::NoStatus),
        (
            |rule_set| rule_set.status.as_mut().unwrap().hash = Some("older".to_owned()),
            Difference::OtherRules,
        ),
        (
            |rule_set| rule_set.status.as_mut().unwrap().policies = Some("older".to_owned()),
            Difference::OtherPolicies,
        ),
        (
            |rule_set| {
                let conditions = &mut rule_set.status.as_mut().unwrap().conditions;
                *conditions = vec![condition("Programmed", "False", "SliceMissing", "waits")];
            },
            Difference::NotProgrammed {
                reason: "SliceMissing".to_owned(),
                message: "waits".to_owned(),
            },
        ),
        (
            |rule_set| {
                rule_set.spec.pods.clear();
                rule_set.spec.hash = rule_set.spec.content_hash();
                rule_set.status.as_mut().unwrap().hash = Some(rule_set.spec.hash.clone());
            },
            Difference::UnknownPods(1),
        ),
    ];
    for (edit, difference) in edits {
        let mut rule_sets = whole.clone();
        edit(&mut rule_sets[0]);
        let enforcement = Enforcement::of(&inventory, &rule_sets, &slices);
        assert_eq!(
            enforcement.nodes[&NodeName::from("a")].differences,
            [difference.clone()],
            "{difference}"
        );
        let state = &enforcement.policies[&web()];
        assert_eq!(state.enforced, [NodeName::from("b")].into(), "{difference}");
    }
}

#[test]
fn a_node_with_pods_and_without_a_rule_set_is_told() {
    let inventory = inventory();
    let (mut rule_sets, slices) = published(&inventory);
    rule_sets.remove(0);
    let enforcement = Enforcement::of(&inventory, &rule_sets, &slices);
    let differences = &enforcement.nodes[&NodeName::from("a")].differences;
    assert_eq!(differences, &[Difference::NoRuleSet]);
}

#[test]
fn a_missing_slice_is_named() {
    let inventory = inventory();
    let (rule_sets, _) = published(&inventory);
    let enforcement = Enforcement::of(&inventory, &rule_sets, &[]);
    let differences = &enforcement.nodes[&NodeName::from("a")].differences;
    assert_eq!(differences, &[Difference::MissingSlice("shop-s".to_owned())]);
}
