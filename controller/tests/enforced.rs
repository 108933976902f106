//! What nodes enforce of each policy, from what is published and what they report.
#![allow(clippy::unwrap_used, reason = "helpers of tests may fail like tests")]

mod common;

use std::collections::BTreeMap;

use common::{Workshop, palisade};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use k8s_openapi::jiff::Timestamp;
use palisade_audit::inventory::Inventory;
use palisade_controller::cli::Exit;
use palisade_controller::enforced::{Difference, Enforcement, Publication};
use palisade_controller::inventory::Published;
use palisade_crds::{
    AcceptedPods, AcceptedPolicies, AcceptedRules, NodeRuleSet, NodeRuleSetStatus, PodSlice, PolicySlice,
};
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
        .map(|residents| NodeRuleSet::publish(&residents.cut().0, 7))
        .collect();
    for rule_set in &mut rule_sets {
        rule_set.status = Some(report(rule_set, &slices));
    }
    (rule_sets, slices)
}

fn report(rule_set: &NodeRuleSet, slices: &[PolicySlice]) -> NodeRuleSetStatus {
    let selected = AcceptedRules::try_from(rule_set)
        .unwrap()
        .unite(|_| Err(()))
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

fn enforcement(inventory: &Inventory, rule_sets: &[NodeRuleSet], slices: &[PolicySlice]) -> Enforcement {
    let published = Published {
        rule_sets: rule_sets.to_vec(),
        policies: slices.to_vec(),
        ..Published::default()
    };
    Enforcement::of(inventory, &published)
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
    let enforcement = enforcement(&inventory, &rule_sets, &slices);
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
    let enforcement = enforcement(&inventory, &rule_sets, &slices);
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
    let enforcement = enforcement(&inventory, &rule_sets, &slices);
    let publication = |key: &PolicyKey| enforcement.policies[key].publication;
    assert_eq!(publication(&web()), Publication::Superfluous);
    assert_eq!(publication(&PolicyKey::new("shop", "new")), Publication::Missing);
}

/// Something that may become of a rule set.
type Edit = fn(&mut NodeRuleSet);

#[test]
fn a_node_that_reports_something_else_does_not_count() {
    let inventory = inventory();
    let (whole, slices) = published(&inventory);
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
        let enforcement = enforcement(&inventory, &rule_sets, &slices);
        assert_eq!(
            enforcement.nodes[&NodeName::from("a")].differences,
            std::slice::from_ref(&difference),
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
    let enforcement = enforcement(&inventory, &rule_sets, &slices);
    let differences = &enforcement.nodes[&NodeName::from("a")].differences;
    assert_eq!(differences, &[Difference::NoRuleSet]);
}

#[test]
fn pods_in_slices_count_and_a_slice_that_is_missing_is_named() {
    let mut inventory = inventory();
    let name = |number: usize| format!("shop/{number}-{}", "x".repeat(50));
    for number in 0..200 {
        let pod = pod(&name(number)).on("a").at(&format!("10.0.1.{number}"));
        inventory.state.apply(Event::PodApplied(pod));
    }
    let published = compile::compile(&inventory.state);
    let (head, pods) = published.nodes[&NodeName::from("a")].cut();
    let policies = published.policies.values().flat_map(BTreeMap::values);
    let mut published = Published {
        rule_sets: vec![NodeRuleSet::publish(&head, 1)],
        pods: pods.values().map(|slice| PodSlice::publish(slice, 1)).collect(),
        policies: policies.map(|slice| PolicySlice::publish(slice, 1)).collect(),
        groups: Vec::new(),
    };
    let residents = AcceptedRules::try_from(&published.rule_sets[0]).unwrap();
    let residents = residents.unite(|id| AcceptedPods::try_from(&PodSlice::publish(&pods[&id], 1)));
    let residents = residents.unwrap();
    let selected = residents.select(|_, _| AcceptedPolicies::try_from(&published.policies[0]));
    published.rule_sets[0].status = Some(NodeRuleSetStatus {
        hash: Some(residents.hash),
        policies: Some(selected.unwrap().policies),
        ..NodeRuleSetStatus::default()
    });
    let differences = |published: &Published| {
        let enforcement = Enforcement::of(&inventory, published);
        enforcement.nodes[&NodeName::from("a")].differences.clone()
    };
    assert_eq!(differences(&published), []);
    let last = published.pods.pop().unwrap().metadata.name.unwrap();
    assert_eq!(
        differences(&published),
        [Difference::MissingSlice(format!("PodSlice {last}"))]
    );
}

#[test]
fn a_missing_slice_is_named() {
    let inventory = inventory();
    let (rule_sets, _) = published(&inventory);
    let enforcement = enforcement(&inventory, &rule_sets, &[]);
    let differences = &enforcement.nodes[&NodeName::from("a")].differences;
    assert_eq!(
        differences,
        &[Difference::MissingSlice("PolicySlice shop-s".to_owned())]
    );
}

/// The objects of [`inventory`], as users write them.
const MANIFESTS: &str = "
{apiVersion: v1, kind: Namespace, metadata: {name: shop}}
---
{apiVersion: v1, kind: Node, metadata: {name: a}, status: {addresses: [{type: InternalIP, address: 192.0.2.1}]}}
---
{apiVersion: v1, kind: Node, metadata: {name: b}, status: {addresses: [{type: InternalIP, address: 192.0.2.2}]}}
---
{apiVersion: v1, kind: Pod, metadata: {name: one, namespace: shop}, spec: {nodeName: a, containers: []}, status: {podIP: 10.0.0.1}}
---
{apiVersion: v1, kind: Pod, metadata: {name: two, namespace: shop}, spec: {nodeName: b, containers: []}, status: {podIP: 10.0.1.1}}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: web, namespace: shop}
spec: {podSelector: {}, policyTypes: [Ingress], ingress: [{}]}
";

/// The command's answer about these manifests beside what is published and reported.
fn status(rule_sets: &[NodeRuleSet], slices: &[PolicySlice], more: &[&str]) -> (Exit, String, String) {
    let workshop = Workshop::new();
    workshop.write("objects.yaml", MANIFESTS);
    let documents = rule_sets
        .iter()
        .map(|rule_set| serde_json::to_value(rule_set).unwrap());
    let documents = documents.chain(slices.iter().map(|slice| serde_json::to_value(slice).unwrap()));
    let list =
        serde_json::json!({"apiVersion": "v1", "kind": "List", "items": documents.collect::<Vec<_>>()});
    workshop.write("published.json", list.to_string());
    let [objects, published] = ["objects.yaml", "published.json"].map(|name| workshop.path(name));
    let files = [objects.to_str().unwrap(), "-f", published.to_str().unwrap()];
    let arguments = [&["policy-audit", "status", "-f"], &files[..], more].concat();
    let run = palisade(&arguments);
    (run.exit, run.output, run.errors)
}

#[test]
fn the_answer_is_yes_where_everything_is_enforced() {
    let (rule_sets, slices) = published(&inventory());
    let (exit, output, errors) = status(&rule_sets, &slices, &[]);
    assert_eq!(exit, Exit::Success, "{errors}");
    insta::assert_snapshot!("status_enforced", output + &errors);
}

#[test]
fn the_answer_is_no_and_says_where_and_why() {
    let (mut rule_sets, slices) = published(&inventory());
    let status_of_a = rule_sets[0].status.as_mut().unwrap();
    status_of_a.observed_revision = Some(6);
    status_of_a.hash = Some("older".to_owned());
    status_of_a.conditions.push(condition(
        "Degraded",
        "True",
        "ApiUnreachable",
        "no answer for 12 s",
    ));
    let (exit, output, errors) = status(&rule_sets, &slices, &["-o", "wide"]);
    assert_eq!(exit, Exit::Negative, "{errors}");
    insta::assert_snapshot!("status_wide", output + &errors);
}

#[test]
fn all_of_it_is_there_for_programs() {
    let (rule_sets, slices) = published(&inventory());
    let (_, output, _) = status(&rule_sets, &slices, &["-o", "json"]);
    insta::assert_snapshot!("status_json", output);
}

#[test]
fn where_nothing_is_published_the_answer_says_so() {
    let (exit, _, errors) = status(&[], &[], &[]);
    assert_eq!(exit, Exit::Negative);
    assert!(errors.contains("is Palisade installed"), "{errors}");
}
