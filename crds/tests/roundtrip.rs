//! Nothing is lost between the core and the documents, and the documents are small.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests may fail like tests"
)]

mod common;

use std::net::{IpAddr, Ipv6Addr};

use palisade_crds::{AddressGroup, NodeRuleSet};
use palisade_policy::cluster::ClusterState;
use palisade_policy::compile::compile;
use palisade_policy::model::Selector;
use palisade_policy::rules::{NodeRules, SLICE_CAPACITY, Scope, Slice, SliceId, slices};
use palisade_policy::testing::config;
use palisade_policy::testing::strategies::history;
use proptest::prelude::*;

use common::{frontends, full_node, group_spec, node_rules, slice};

proptest! {
    #![proptest_config(config(256))]

    #[test]
    fn node_rules_survive_the_journey_through_json(rules in node_rules(), revision in 0..=i64::MAX.unsigned_abs()) {
        let document = NodeRuleSet::publish(&rules, revision);
        let text = serde_json::to_string(&document).unwrap();
        let read: NodeRuleSet = serde_json::from_str(&text).unwrap();
        prop_assert_eq!(&read, &document);
        prop_assert_eq!(read.spec.revision, revision);
        prop_assert_eq!(NodeRules::try_from(&read).unwrap(), rules);
    }

    #[test]
    fn slices_survive_the_journey_through_json(slice in slice()) {
        let document = AddressGroup::publish(&slice, &group_spec("shop", "web").scope);
        let text = serde_json::to_string(&document).unwrap();
        let read: AddressGroup = serde_json::from_str(&text).unwrap();
        prop_assert_eq!(Slice::try_from(&read).unwrap(), slice);
    }

    #[test]
    fn whatever_is_compiled_can_be_published(history in history(20)) {
        let published = compile(&ClusterState::from_events(history));
        for rules in published.nodes.values() {
            prop_assert_eq!(&NodeRules::try_from(&NodeRuleSet::publish(rules, 1)).unwrap(), rules.as_ref());
        }
        for (id, group) in &published.groups {
            for slice in slices(id, group).values() {
                let document = AddressGroup::publish(slice, &group.spec.scope);
                prop_assert_eq!(&Slice::try_from(&document).unwrap(), slice);
            }
        }
    }

    #[test]
    fn different_rules_have_different_hashes(one in node_rules(), other in node_rules()) {
        let hash = |rules| NodeRuleSet::publish(rules, 7).spec.hash;
        prop_assert_eq!(hash(&one) == hash(&other), one == other);
    }
}

#[test]
fn the_hash_does_not_depend_on_the_revision() {
    let rules = full_node();
    assert_eq!(
        NodeRuleSet::publish(&rules, 1).spec.hash,
        NodeRuleSet::publish(&rules, 2).spec.hash
    );
}

#[test]
fn a_slice_is_labelled_with_its_group_and_scope() {
    let (id, group) = frontends(1);
    let slice = &slices(&id, &group)[&SliceId::WHOLE];
    let labels = |scope: &Scope| AddressGroup::publish(slice, scope).metadata.labels.unwrap();
    assert_eq!(labels(&group.spec.scope)["palisade.dev/scope"], "shop");
    assert_eq!(
        labels(&Scope::Cluster(Selector::everything()))["palisade.dev/scope"],
        "cluster"
    );
    assert_eq!(labels(&group.spec.scope)["palisade.dev/group"], id.as_str());
    assert_eq!(
        AddressGroup::publish(slice, &group.spec.scope)
            .metadata
            .name
            .unwrap(),
        format!("{id}-s")
    );
}

#[test]
fn a_full_slice_of_both_families_stays_below_ten_kilobytes() {
    let (id, mut group) = frontends(u32::try_from(SLICE_CAPACITY).unwrap());
    for (number, member) in group.members.values_mut().enumerate() {
        let host = u16::try_from(number).unwrap();
        member
            .addresses
            .insert(IpAddr::from(Ipv6Addr::new(0xfd00, 0x10, 0x244, 7, 0, 0, 0, host)));
    }
    let document = AddressGroup::publish(&slices(&id, &group)[&SliceId::WHOLE], &group.spec.scope);
    let size = serde_json::to_vec(&document).unwrap().len();
    assert!(size < 10_000, "{size} bytes");
}
