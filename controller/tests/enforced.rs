//! What nodes enforce of each policy, from what is published and what they report.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "helpers of tests may fail like tests"
)]

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
    AcceptedPods, AcceptedPolicies, AcceptedRules, AddressGroup, NodeRuleSet, NodeRuleSetStatus, PodSlice,
    PolicySlice,
};
use palisade_policy::cluster::{ClusterState, Event};
use palisade_policy::compile;
use palisade_policy::model::{NodeName, Pod, PolicyKey, Protocol};
use palisade_policy::rules::NodeId;
use palisade_policy::testing::builders::{everybody, namespace, node, pod, pods, policy, rule};
use serde_json::{Value, json};

/// Two nodes with a pod each in `shop`, under one policy.
fn inventory() -> Inventory {
    with(vec![
        Event::PodApplied(pod("shop/one").on("a").at("10.0.0.1")),
        Event::PodApplied(pod("shop/two").on("b").at("10.0.1.1")),
        Event::PolicyApplied(policy("shop/web").allowing_from([everybody()])),
    ])
}

/// Two nodes, and what is on them.
fn with(more: Vec<Event>) -> Inventory {
    let mut events = vec![
        Event::NamespaceApplied(namespace("shop", &[])),
        Event::NodeApplied(node("a", &["192.0.2.1"])),
        Event::NodeApplied(node("b", &["192.0.2.2"])),
    ];
    events.extend(more);
    Inventory {
        state: ClusterState::from_events(events),
        ..Inventory::default()
    }
}

/// What is published of an inventory, with the reports of nodes that enforce all of it.
fn published(inventory: &Inventory) -> Published {
    let compiled = compile::compile(&inventory.state);
    let mut published = Published::default();
    for residents in compiled.nodes.values() {
        let (head, pods) = residents.cut();
        published.rule_sets.push(NodeRuleSet::publish(&head, 7));
        published
            .pods
            .extend(pods.values().map(|slice| PodSlice::publish(slice, 7)));
    }
    let policies = compiled.policies.values().flat_map(BTreeMap::values);
    published.policies = policies.map(|slice| PolicySlice::publish(slice, 1)).collect();
    let groups = compiled.slices();
    let scope = |group| &compiled.groups[group].spec.scope;
    let groups = groups
        .iter()
        .map(|((group, _), slice)| AddressGroup::publish(slice, scope(group), 1));
    published.groups = groups.collect();
    for index in 0..published.rule_sets.len() {
        published.rule_sets[index].status = Some(report(&published.rule_sets[index], &published));
    }
    published
}

fn named<T: kube::Resource + Clone>(documents: &[T], name: &str) -> T {
    let mut documents = documents.iter();
    let found = documents.find(|document| document.meta().name.as_deref() == Some(name));
    found.unwrap().clone()
}

fn report(rule_set: &NodeRuleSet, published: &Published) -> NodeRuleSetStatus {
    let node = NodeId::of(&NodeName::from(rule_set.spec.node.as_str()));
    let residents = AcceptedRules::try_from(rule_set)
        .unwrap()
        .unite(|id| AcceptedPods::try_from(&named(&published.pods, &PodSlice::name_of(&node, id))))
        .unwrap();
    let selected = residents.select(|namespace, id| {
        AcceptedPolicies::try_from(&named(&published.policies, &PolicySlice::name_of(namespace, id)))
    });
    NodeRuleSetStatus {
        observed_revision: Some(rule_set.spec.revision),
        pods: Some(residents.residents.pods.len() as u64),
        hash: Some(residents.hash),
        policies: Some(selected.unwrap().policies),
        lag_milliseconds: Some(12),
        conditions: vec![
            condition("Programmed", "True", "Enforced", ""),
            condition("Degraded", "False", "AsExpected", ""),
        ],
    }
}

/// Nothing is wrong.
const NONE: [&str; 0] = [];

/// What is wrong with node `a`, in words.
fn differences(inventory: &Inventory, published: &Published) -> Vec<String> {
    let enforcement = Enforcement::of(inventory, published);
    let state = &enforcement.nodes[&NodeName::from("a")];
    assert_eq!(state.differences.is_empty(), enforcement.is_complete());
    state.differences.iter().map(ToString::to_string).collect()
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
    let published = published(&inventory);
    let enforcement = Enforcement::of(&inventory, &published);
    let state = &enforcement.policies[&web()];
    assert_eq!(state.publication, Publication::Current);
    assert_eq!((state.pods, state.nodes.len(), state.enforced.len()), (2, 2, 2));
    assert_eq!(state.lag_milliseconds, Some(12));
    assert!(enforcement.is_complete());
}

#[test]
fn a_policy_that_was_edited_counts_as_outdated_until_it_is_published_again() {
    let mut inventory = inventory();
    let published = published(&inventory);
    let edited = policy("shop/web").allowing_from([]);
    inventory.state.apply(Event::PolicyApplied(edited));
    let enforcement = Enforcement::of(&inventory, &published);
    let state = &enforcement.policies[&web()];
    assert_eq!(state.publication, Publication::Outdated);
    assert!(state.enforced.is_empty());
    assert!(!enforcement.is_complete());
}

#[test]
fn what_is_new_is_missing_and_what_is_gone_is_superfluous() {
    let mut inventory = inventory();
    let published = published(&inventory);
    inventory.state.apply(Event::PolicyDeleted(web()));
    inventory
        .state
        .apply(Event::PolicyApplied(policy("shop/new").allowing_from([])));
    let enforcement = Enforcement::of(&inventory, &published);
    let publication = |key: &PolicyKey| enforcement.policies[key].publication;
    assert_eq!(publication(&web()), Publication::Superfluous);
    assert_eq!(publication(&PolicyKey::new("shop", "new")), Publication::Missing);
}

/// Something that may become of a rule set.
type Edit = fn(&mut NodeRuleSet);

#[test]
fn a_node_that_reports_something_else_does_not_count() {
    let inventory = inventory();
    let whole = published(&inventory);
    let edits: [(Edit, &str); 11] = [
        (|rule_set| rule_set.status = None, "no enforcer has reported yet"),
        (
            |rule_set| status_of(rule_set).hash = Some("older".to_owned()),
            "the kernel has another rule set than the one that is published",
        ),
        (
            |rule_set| status_of(rule_set).policies = Some("older".to_owned()),
            "the kernel has other policies than those that are published",
        ),
        (
            |rule_set| {
                status_of(rule_set).conditions =
                    vec![condition("Programmed", "False", "SliceMissing", "waits")];
            },
            "SliceMissing: waits",
        ),
        (
            |rule_set| status_of(rule_set).conditions[0].status = "Unknown".to_owned(),
            "the kernel is not said to enforce the newest rules (Enforced)",
        ),
        (
            |rule_set| status_of(rule_set).conditions.clear(),
            "it does not say whether the kernel enforces what it has seen",
        ),
        (
            |rule_set| status_of(rule_set).observed_revision = Some(0),
            "revision 7 is published, and the newest that it has seen is 0",
        ),
        (
            |rule_set| status_of(rule_set).observed_revision = None,
            "revision 7 is published, and the newest that it has seen is none",
        ),
        (
            |rule_set| status_of(rule_set).pods = Some(0),
            "it enforces 0 of the 1 pods of its rule set",
        ),
        (
            |rule_set| status_of(rule_set).pods = None,
            "it enforces 0 of the 1 pods of its rule set",
        ),
        (
            |rule_set| rule_set.spec.hash = "cut".to_owned(),
            "a document cannot be read: spec.hash: ",
        ),
    ];
    for (edit, words) in edits {
        let mut published = whole.clone();
        edit(&mut published.rule_sets[0]);
        let told = differences(&inventory, &published);
        assert!(told.len() == 1 && told[0].starts_with(words), "{words}: {told:?}");
        let state = &Enforcement::of(&inventory, &published).policies[&web()];
        assert_eq!(state.enforced, [NodeName::from("b")].into(), "{words}");
    }
}

fn status_of(rule_set: &mut NodeRuleSet) -> &mut NodeRuleSetStatus {
    rule_set.status.as_mut().unwrap()
}

/// Two pods on node `a`, of which a policy lets one ask the other.
fn town(web: Pod, front: Pod) -> Inventory {
    let from_front = policy("shop/web")
        .selecting(&[("app", "web")])
        .allowing_from([rule([pods(&[("app", "front")])])]);
    with(vec![
        Event::PodApplied(web.on("a")),
        Event::PodApplied(front.on("b")),
        Event::PolicyApplied(from_front),
    ])
}

fn web_pod() -> Pod {
    pod("shop/web-1").labelled(&[("app", "web")]).at("10.0.0.1")
}

fn front_pod() -> Pod {
    pod("shop/front-1").labelled(&[("app", "front")]).at("10.0.1.1")
}

#[test]
fn what_was_published_of_pods_before_they_changed_is_told() {
    let now = town(web_pod(), front_pod());
    assert_eq!(differences(&now, &published(&now)), NONE);
    let other = |web: Pod, front: Pod| differences(&now, &published(&town(web, front)));
    let labels = other(
        pod("shop/web-1").labelled(&[("app", "other")]).at("10.0.0.1"),
        front_pod(),
    );
    assert_eq!(labels, ["its rule set has other labels of shop/web-1"]);
    let address = other(
        pod("shop/web-1").labelled(&[("app", "web")]).at("10.0.0.9"),
        front_pod(),
    );
    assert_eq!(address, ["its rule set has other addresses of shop/web-1"]);
    let port = other(web_pod().declaring("http", Protocol::Tcp, 80), front_pod());
    assert_eq!(port, ["its rule set has other named ports of shop/web-1"]);
    let unknown = other(
        pod("shop/web-2").labelled(&[("app", "web")]).at("10.0.0.1"),
        front_pod(),
    );
    assert_eq!(
        unknown,
        [
            "its rule set lacks shop/web-1",
            "its rule set still has shop/web-2"
        ]
    );
}

#[test]
fn groups_with_other_members_than_they_have_now_are_told() {
    let now = town(web_pod(), front_pod());
    let group = "the group of pods app=front of namespace shop";
    let others = [
        (
            pod("shop/front-1").labelled(&[("app", "front")]).at("10.0.1.9"),
            format!("{group} has other addresses or ports of shop/front-1"),
        ),
        (
            pod("shop/front-1").labelled(&[("app", "back")]).at("10.0.1.1"),
            format!("{group} lacks shop/front-1"),
        ),
    ];
    for (front, words) in others {
        let published = published(&town(web_pod(), front));
        assert_eq!(differences(&now, &published), [words]);
        let state = &Enforcement::of(&now, &published).policies[&web()];
        assert_eq!(state.publication, Publication::Outdated);
        assert!(state.enforced.is_empty());
    }
    let left = town(
        web_pod(),
        pod("shop/front-1").labelled(&[("app", "back")]).at("10.0.1.1"),
    );
    assert_eq!(
        differences(&left, &published(&now)),
        [format!("{group} still has shop/front-1")]
    );
}

#[test]
fn a_group_that_is_not_published_is_told() {
    let now = town(web_pod(), front_pod());
    let mut published = published(&now);
    let name = published.groups[0].metadata.name.clone().unwrap();
    published.groups.clear();
    assert_eq!(
        differences(&now, &published),
        [format!("AddressGroup {name} is missing")]
    );
}

#[test]
fn a_group_in_slices_is_compared_as_a_whole() {
    let town = |fronts: u32| {
        let mut inventory = town(web_pod(), front_pod());
        for number in 0..fronts {
            let front = pod(&format!("shop/front-{number}-{}", "x".repeat(50)));
            let address = format!("10.1.{}.{}", number / 250, number % 250);
            let front = front.labelled(&[("app", "front")]).on("b").at(&address);
            inventory.state.apply(Event::PodApplied(front));
        }
        inventory
    };
    let (now, before) = (town(600), town(599));
    let whole = published(&now);
    assert!(whole.groups.len() > 2, "{}", whole.groups.len());
    assert_eq!(differences(&now, &whole), NONE);
    let told = differences(
        &now,
        &Published {
            groups: published(&before).groups,
            ..whole
        },
    );
    assert!(
        told.len() == 1 && told[0].contains(" lacks shop/front-599-"),
        "{told:?}"
    );
}

#[test]
fn a_policy_whose_groups_are_right_counts_beside_one_whose_are_not() {
    let event = || {
        Event::PolicyApplied(
            policy("shop/open")
                .selecting(&[("app", "web")])
                .allowing_from([everybody()]),
        )
    };
    let mut now = town(web_pod(), front_pod());
    let mut before = town(
        web_pod(),
        pod("shop/front-1").labelled(&[("app", "back")]).at("10.0.1.1"),
    );
    now.state.apply(event());
    before.state.apply(event());
    let stale = Published {
        groups: published(&before).groups,
        ..published(&now)
    };
    let enforcement = Enforcement::of(&now, &stale);
    assert!(enforcement.policies[&PolicyKey::new("shop", "open")].is_complete());
    assert!(!enforcement.policies[&web()].is_complete());
}

#[test]
fn a_rule_set_of_a_node_that_is_gone_is_told() {
    let before = inventory();
    let published = published(&before);
    let mut now = before;
    now.state.apply(Event::PodDeleted("shop/one".into()));
    now.state.apply(Event::NodeDeleted("a".into()));
    assert_eq!(
        differences(&now, &published),
        ["there is no such node, and a rule set is published for it"]
    );
}

#[test]
fn a_placeholder_is_no_address() {
    let mut now = inventory();
    let published = published(&with(vec![
        Event::PodApplied(pod("shop/one").on("a")),
        Event::PodApplied(pod("shop/two").on("b").at("10.0.1.1")),
        Event::PolicyApplied(policy("shop/web").allowing_from([everybody()])),
    ]));
    now.placeholders.insert("shop/one".into());
    assert_eq!(differences(&now, &published), NONE);
}

#[test]
fn a_node_with_pods_and_without_a_rule_set_is_told() {
    let inventory = inventory();
    let mut published = published(&inventory);
    published.rule_sets.remove(0);
    let enforcement = Enforcement::of(&inventory, &published);
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
    let mut published = published(&inventory);
    assert_eq!(differences(&inventory, &published), NONE);
    let last = published.pods.pop().unwrap().metadata.name.unwrap();
    assert_eq!(
        differences(&inventory, &published),
        [format!("PodSlice {last} is missing")]
    );
}

#[test]
fn a_missing_slice_is_named() {
    let inventory = inventory();
    let mut published = published(&inventory);
    published.policies.clear();
    assert_eq!(
        differences(&inventory, &published),
        ["PolicySlice shop-s is missing"]
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
fn status(published: &Published, more: &[&str]) -> (Exit, String, String) {
    let workshop = Workshop::new();
    workshop.write("objects.yaml", MANIFESTS);
    let Published {
        rule_sets,
        pods,
        policies,
        groups,
    } = published;
    let lists = [json!(rule_sets), json!(pods), json!(policies), json!(groups)];
    let documents: Vec<&Value> = lists.iter().flat_map(|list| list.as_array().unwrap()).collect();
    let list = json!({"apiVersion": "v1", "kind": "List", "items": documents});
    workshop.write("published.json", list.to_string());
    let [objects, published] = ["objects.yaml", "published.json"].map(|name| workshop.path(name));
    let files = [objects.to_str().unwrap(), "-f", published.to_str().unwrap()];
    let arguments = [&["policy-audit", "status", "-f"], &files[..], more].concat();
    let run = palisade(&arguments);
    (run.exit, run.output, run.errors)
}

#[test]
fn the_answer_is_yes_where_everything_is_enforced() {
    let (exit, output, errors) = status(&published(&inventory()), &[]);
    assert_eq!(exit, Exit::Success, "{errors}");
    insta::assert_snapshot!("status_enforced", output + &errors);
}

#[test]
fn the_answer_is_no_and_says_where_and_why() {
    let mut published = published(&inventory());
    let status_of_a = status_of(&mut published.rule_sets[0]);
    status_of_a.observed_revision = Some(6);
    status_of_a.hash = Some("older".to_owned());
    status_of_a.conditions[1] = condition("Degraded", "True", "ApiUnreachable", "no answer for 12 s");
    let (exit, output, errors) = status(&published, &["-o", "wide"]);
    assert_eq!(exit, Exit::Negative, "{errors}");
    insta::assert_snapshot!("status_wide", output + &errors);
}

#[test]
fn what_a_node_says_stays_in_its_line() {
    let mut published = published(&inventory());
    let status_of_a = status_of(&mut published.rule_sets[0]);
    status_of_a.conditions[1] = condition("Degraded", "True", "Odd", "\u{1b}[31mred\nb   enforced");
    let (_, output, _) = status(&published, &["--color", "always"]);
    assert!(
        output.contains("degraded: \\u{1b}[31mred\\nb   enforced\n"),
        "{output}"
    );
}

#[test]
fn all_of_it_is_there_for_programs() {
    let (_, output, _) = status(&published(&inventory()), &["-o", "json"]);
    insta::assert_snapshot!("status_json", output);
}

#[test]
fn where_nothing_is_published_the_answer_says_so() {
    let (exit, _, errors) = status(&Published::default(), &[]);
    assert_eq!(exit, Exit::Negative);
    assert!(errors.contains("is Palisade installed"), "{errors}");
}
