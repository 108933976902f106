//! The documents are small: an API server takes about a millisecond for each KB of an object that it writes.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests may fail like tests"
)]

mod common;

use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;

use palisade_crds::{AddressGroup, NodeRuleSet, PodSlice, PolicySlice};
use palisade_policy::cluster::{ClusterState, Event};
use palisade_policy::compile::{Published, compile};
use palisade_policy::model::{Pod, Protocol};
use palisade_policy::rules::{POD_CAPACITY, SLICE_CAPACITY, SliceId, slices};
use palisade_policy::testing::builders::{node, pod, pods, policy, port, rule};
use serde::Serialize;

use common::frontends;

fn size(document: &impl Serialize) -> usize {
    serde_json::to_vec(document).unwrap().len()
}

/// A node with `count` pods and a namespace with as many policies, each for one pod, one peer and one port.
fn ordinary(count: usize) -> Published {
    let pods_of_node = (0..count).map(|number| {
        let pod = pod(&format!("shop/checkout-{number}-6b7f9d5c8d-x2k4v"));
        let app = format!("checkout-{number}");
        let address = format!("10.244.17.{}", number + 10);
        Event::PodApplied(Pod {
            uid: format!("8f1f7a2e-52f5-4c56-9f0a-0123456789{number:02}").into(),
            ..pod
                .on("worker-17.example.net")
                .at(&address)
                .labelled(&[("app", &app), ("pod-template-hash", "6b7f9d5c8d")])
                .declaring("http", Protocol::Tcp, 8080)
        })
    });
    let policies = (0..count).map(|number| {
        let app = format!("checkout-{number}");
        let peer = rule([pods(&[("role", "frontend")])]).on_ports([port(Protocol::Tcp, 8080)]);
        let policy = policy(&format!("shop/allow-frontend-to-checkout-{number}"));
        Event::PolicyApplied(policy.selecting(&[("app", &app)]).allowing_from([peer]))
    });
    let node = Event::NodeApplied(node("worker-17.example.net", &[]));
    compile(&ClusterState::from_events(
        pods_of_node.chain(policies).chain([node]),
    ))
}

#[test]
fn a_full_slice_of_a_group_in_both_families_stays_below_ten_kilobytes() {
    let (id, mut group) = frontends(u32::try_from(SLICE_CAPACITY).unwrap());
    for (number, member) in group.members.values_mut().enumerate() {
        let host = u16::try_from(number).unwrap();
        let second = IpAddr::from(Ipv6Addr::new(0xfd00, 0x10, 0x244, 7, 0, 0, 0, host));
        let addresses = member.addresses.iter().copied().chain([second]).collect();
        Arc::make_mut(member).addresses = addresses;
    }
    let slices = slices(&id, &group);
    assert_eq!(slices.len(), 1, "one more member would split it");
    let size = size(&AddressGroup::publish(
        &slices[&SliceId::WHOLE],
        &group.spec.scope,
        1,
    ));
    assert!(size < 10_000, "{size} bytes");
}

#[test]
fn a_full_slice_of_ordinary_policies_stays_below_four_kilobytes() {
    // The most policies that one slice takes.
    let full = (1..100)
        .map(ordinary)
        .take_while(|published| published.policies[&"shop".into()].len() == 1)
        .last()
        .unwrap();
    let slice = &full.policies[&"shop".into()][&SliceId::WHOLE];
    assert!(slice.policies.len() >= 8, "{} policies", slice.policies.len());
    let size = size(&PolicySlice::publish(slice, 1));
    assert!(size < 4_000, "{size} bytes, {} policies", slice.policies.len());
}

#[test]
fn a_node_with_thirty_ordinary_pods_stays_below_ten_kilobytes() {
    let published = ordinary(30);
    let residents = &published.nodes[&"worker-17.example.net".into()];
    assert_eq!(residents.pods.len(), 30);
    let (head, slices) = residents.cut();
    assert!(slices.is_empty());
    let size = size(&NodeRuleSet::publish(&head, 1));
    assert!(size < 10_000, "{size} bytes");
}

#[test]
fn a_node_with_as_many_ordinary_pods_as_most_may_have_needs_no_slices() {
    let published = ordinary(110);
    let (head, slices) = published.nodes[&"worker-17.example.net".into()].cut();
    assert!(!head.pods.split && slices.is_empty());
}

/// Pods that say as much of themselves as they may, each with other labels, or as many ports.
fn heavy(count: usize) -> Published {
    let pods = (0..count).map(|number| {
        let mut pod = pod(&format!("shop/{number}"))
            .on("worker-17.example.net")
            .at(&format!("10.244.17.{}", number % 250));
        let mut said = 0;
        while pod.said() + 100 < Pod::MOST_SAID {
            said += 1;
            if number % 2 == 0 {
                pod.labels.insert(format!("{number}-{said}"), "x".repeat(63));
            } else {
                pod = pod.declaring(&format!("port-{said}"), Protocol::Tcp, said);
            }
        }
        Event::PodApplied(pod)
    });
    compile(&ClusterState::from_events(pods))
}

#[test]
fn what_is_published_of_the_heaviest_pods_stays_below_its_bound() {
    for count in [1, 2, 40] {
        let (head, slices) = heavy(count).nodes[&"worker-17.example.net".into()].cut();
        assert_eq!(head.pods.split, count > 1, "{count} pods");
        let sizes = slices.values().map(|slice| size(&PodSlice::publish(slice, 1)));
        let largest = sizes.chain([size(&NodeRuleSet::publish(&head, 1))]).max();
        assert!(
            largest < Some(POD_CAPACITY + 1_000),
            "{largest:?} bytes with {count} pods"
        );
    }
}
