//! Nothing is lost between the core and the documents.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests may fail like tests"
)]

mod common;

use palisade_crds::{AddressGroup, NodeRuleSet, PodSlice, PolicySlice};
use palisade_policy::cluster::ClusterState;
use palisade_policy::compile::compile;
use palisade_policy::model::Selector;
use palisade_policy::rules::{
    NodeHead, PodSlice as Pods, PolicySlice as Policies, Residents, Scope, Slice, SliceId, slices,
};
use palisade_policy::testing::config;
use palisade_policy::testing::strategies::history;
use proptest::prelude::*;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;

use common::strategies::{node_head, pod_slice, policy_slice, slice};
use common::{frontends, full_node, full_policies, group_spec};

fn through_json<T: Serialize + DeserializeOwned>(document: &T) -> T {
    serde_json::from_str(&serde_json::to_string(document).unwrap()).unwrap()
}

proptest! {
    #![proptest_config(config(256))]

    #[test]
    fn nodes_survive_the_journey_through_json(
        head in node_head(),
        revision in 0..=i64::MAX.unsigned_abs(),
    ) {
        let document = NodeRuleSet::publish(&head, revision);
        let read = through_json(&document);
        prop_assert_eq!(&read, &document);
        prop_assert_eq!(read.spec.revision, revision);
        prop_assert_eq!(NodeHead::try_from(&read).unwrap(), head);
    }

    #[test]
    fn slices_of_pods_survive_the_journey_through_json(
        slice in pod_slice(),
        revision in 0..=i64::MAX.unsigned_abs(),
    ) {
        let document = PodSlice::publish(&slice, revision);
        let read = through_json(&document);
        prop_assert_eq!(&read, &document);
        prop_assert_eq!(read.spec.revision, revision);
        prop_assert_eq!(Pods::try_from(&read).unwrap(), slice);
    }

    #[test]
    fn slices_of_policies_survive_the_journey_through_json(
        slice in policy_slice(),
        revision in 0..=i64::MAX.unsigned_abs(),
    ) {
        let document = PolicySlice::publish(&slice, revision);
        let read = through_json(&document);
        prop_assert_eq!(&read, &document);
        prop_assert_eq!(read.spec.revision, revision);
        prop_assert_eq!(Policies::try_from(&read).unwrap(), slice);
    }

    #[test]
    fn slices_of_groups_survive_the_journey_through_json(
        slice in slice(),
        revision in 0..=i64::MAX.unsigned_abs(),
    ) {
        let document = AddressGroup::publish(&slice, &group_spec("shop", "web").scope, revision);
        let read = through_json(&document);
        prop_assert_eq!(&read, &document);
        prop_assert_eq!(read.spec.revision, revision);
        prop_assert_eq!(Slice::try_from(&read).unwrap(), slice);
    }

    #[test]
    fn whatever_is_compiled_can_be_published(history in history(20)) {
        let published = compile(&ClusterState::from_events(history));
        for residents in published.nodes.values() {
            let (head, slices) = residents.cut();
            let head = NodeHead::try_from(&through_json(&NodeRuleSet::publish(&head, 1))).unwrap();
            let read = |slice| Pods::try_from(&through_json(&PodSlice::publish(slice, 1))).unwrap();
            let slices: Vec<Pods> = slices.values().map(read).collect();
            prop_assert_eq!(&Residents::unite(&head, &slices), residents.as_ref());
        }
        for slice in published.policies.values().flat_map(|slices| slices.values()) {
            let document = through_json(&PolicySlice::publish(slice, 1));
            prop_assert_eq!(&Policies::try_from(&document).unwrap(), slice);
        }
        for (id, group) in &published.groups {
            for slice in slices(id, group).values() {
                let document = through_json(&AddressGroup::publish(slice, &group.spec.scope, 1));
                prop_assert_eq!(&Slice::try_from(&document).unwrap(), slice);
            }
        }
    }

    #[test]
    fn different_nodes_have_different_hashes(one in node_head(), other in node_head()) {
        let hash = |head| NodeRuleSet::publish(head, 7).spec.hash;
        prop_assert_eq!(hash(&one) == hash(&other), one == other);
    }

    #[test]
    fn different_slices_of_pods_have_different_hashes(one in pod_slice(), other in pod_slice()) {
        let hash = |slice| PodSlice::publish(slice, 7).spec.hash;
        prop_assert_eq!(hash(&one) == hash(&other), one == other);
    }

    #[test]
    fn different_slices_of_policies_have_different_hashes(one in policy_slice(), other in policy_slice()) {
        let hash = |slice| PolicySlice::publish(slice, 7).spec.hash;
        prop_assert_eq!(hash(&one) == hash(&other), one == other);
    }

    #[test]
    fn different_slices_of_groups_have_different_hashes(one in slice(), other in slice()) {
        let scope = group_spec("shop", "web").scope;
        let hash = |slice| AddressGroup::publish(slice, &scope, 7).spec.hash;
        prop_assert_eq!(hash(&one) == hash(&other), one == other);
    }
}

#[test]
fn the_hash_does_not_depend_on_the_revision() {
    let (id, group) = frontends(1);
    let hashes = |revision| {
        let slice = &slices(&id, &group)[&SliceId::WHOLE];
        [
            NodeRuleSet::publish(&full_node(), revision).spec.hash,
            PolicySlice::publish(&full_policies(), revision).spec.hash,
            AddressGroup::publish(slice, &group.spec.scope, revision)
                .spec
                .hash,
        ]
    };
    assert_eq!(hashes(1), hashes(2));
}

#[test]
fn a_selector_is_published_as_people_write_it() {
    let document = PolicySlice::publish(&full_policies(), 1);
    let values = ["a", "b"];
    assert_eq!(
        serde_json::to_value(&document.spec.policies[0].pod_selector).unwrap(),
        json!({
            "matchLabels": { "app": "web" },
            "matchExpressions": [
                { "key": "env", "operator": "In", "values": values },
                { "key": "old", "operator": "DoesNotExist" },
                { "key": "tier", "operator": "NotIn", "values": values },
                { "key": "track", "operator": "Exists" },
            ],
        })
    );
}

#[test]
fn a_slice_of_a_group_is_labelled_with_its_group_and_scope() {
    let (id, group) = frontends(1);
    let slice = &slices(&id, &group)[&SliceId::WHOLE];
    let metadata = |scope: &Scope| AddressGroup::publish(slice, scope, 1).metadata;
    let labels = |scope: &Scope| metadata(scope).labels.unwrap();
    assert_eq!(labels(&group.spec.scope)["palisade.dev/scope"], "shop");
    assert_eq!(
        labels(&Scope::Cluster(Selector::everything()))["palisade.dev/scope"],
        "cluster"
    );
    assert_eq!(labels(&group.spec.scope)["palisade.dev/group"], id.as_str());
    assert_eq!(metadata(&group.spec.scope).name.unwrap(), format!("{id}-s"));
}

#[test]
fn a_slice_of_policies_is_labelled_with_its_namespace() {
    let mut slice = full_policies();
    slice.id = SliceId::parse("s01").unwrap();
    let metadata = PolicySlice::publish(&slice, 1).metadata;
    assert_eq!(metadata.labels.unwrap()["palisade.dev/namespace"], "shop");
    assert_eq!(metadata.name.unwrap(), "shop-s01");
}
