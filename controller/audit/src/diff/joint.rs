//! The ends of a difference, as they are told and asked about.
//!
//! Ranges outside whose every address is a pod's are nobody: they are left out, so "all" can be said of the others.

use std::collections::{BTreeSet, HashSet};
use std::net::IpAddr;

use palisade_policy::model::{Labels, PodUid};
use palisade_policy::reach::{Class, Difference, End, Family, Outside, Reach, Twin};

use crate::inventory::Inventory;
use crate::relation::Addresses;

/// The ends of both states.
#[derive(Debug)]
pub(super) struct Joint<'a> {
    difference: &'a Difference,
    /// The pods that both states have, as they are after: the classes of the difference.
    pub(super) classes: Vec<Class>,
    /// Ranges of the difference with an address that no pod has in either state.
    pub(super) outside: Vec<Outside>,
    /// Of each of `outside` addresses that no pod has: one, if there is one, that no node has either, and those of nodes.
    strangers: Vec<Vec<IpAddr>>,
    /// The place in `outside` of each range of the difference.
    places: Vec<Option<usize>>,
}

impl<'a> Joint<'a> {
    pub(super) fn of(difference: &'a Difference, inventories: [&Inventory; 2]) -> Self {
        let [_, after] = inventories;
        let mut joint = Self {
            difference,
            classes: classes(difference, after),
            outside: Vec::new(),
            strangers: Vec::new(),
            places: Vec::new(),
        };
        let mut owned: HashSet<IpAddr> = HashSet::new();
        let mut nodes: BTreeSet<IpAddr> = BTreeSet::new();
        for Inventory { state, .. } in inventories {
            let pods = state.pods().values().filter(|pod| pod.is_workload());
            owned.extend(pods.flat_map(|pod| &pod.addresses));
            nodes.extend(state.nodes().values().flat_map(|node| &node.addresses));
        }
        for range in &difference.outside {
            let addresses = Addresses::of(range.family, &range.blocks);
            let strangers = strangers(&addresses, &owned, &nodes);
            let place = (!strangers.is_empty()).then_some(joint.outside.len());
            joint.places.push(place);
            if place.is_some() {
                joint.outside.push(range.clone());
                joint.strangers.push(strangers);
            }
        }
        joint
    }

    /// An end of the difference as one of these; `None` of a range that is nobody.
    pub(super) fn end(&self, end: End) -> Option<End> {
        match end {
            End::Pods(class) => Some(End::Pods(class)),
            End::Outside(range) => self.places.get(range).copied().flatten().map(End::Outside),
        }
    }

    /// The class of pods before (0) and after (1); `None` of what is outside.
    pub(super) fn side(&self, end: End, state: usize) -> Option<&'a Class> {
        let End::Pods(class) = end else { return None };
        let class = self.difference.classes.get(class)?;
        let of = |reach: &'a Reach, class: usize| reach.classes().get(class);
        match state {
            0 => of(&self.difference.before, class.before),
            _ => of(&self.difference.after, class.after),
        }
    }

    /// The pods of an end; none of a range.
    pub(super) fn pods(&self, end: End) -> &'a [Twin] {
        let class = match end {
            End::Pods(class) => self.difference.classes.get(class),
            End::Outside(_) => None,
        };
        class.map(|class| class.pods.as_slice()).unwrap_or_default()
    }

    /// Addresses of a range that no pod has; none of a class.
    pub(super) fn strangers(&self, end: End) -> &[IpAddr] {
        let strangers = match end {
            End::Outside(range) => self.strangers.get(range),
            End::Pods(_) => None,
        };
        strangers.map(Vec::as_slice).unwrap_or_default()
    }

    /// Whether an end has addresses of a family in both states.
    pub(super) fn has(&self, end: End, family: Family) -> bool {
        match end {
            End::Pods(_) => self.pods(end).iter().any(|twin| {
                [&twin.before, &twin.after]
                    .into_iter()
                    .all(|member| member.address(family).is_some())
            }),
            End::Outside(range) => self
                .outside
                .get(range)
                .is_some_and(|range| range.family == family),
        }
    }

    /// Whether an end has addresses of both families in both states.
    pub(super) fn is_dual(&self, end: End) -> bool {
        Family::ALL.into_iter().all(|family| self.has(end, family))
    }
}

fn classes(difference: &Difference, inventory: &Inventory) -> Vec<Class> {
    let joint = difference.classes.iter().map(|class| {
        let own = difference.after.classes().get(class.after);
        let policies = |of: fn(&Class) -> &BTreeSet<_>| own.map(of).cloned().unwrap_or_default();
        let mut members: Vec<_> = class.pods.iter().map(|twin| twin.after.clone()).collect();
        members.sort_unstable();
        Class {
            namespace: class.namespace.clone(),
            labels: common(class.pods.iter().map(|twin| labels(inventory, &twin.after.uid))),
            members,
            ingress: policies(|class| &class.ingress),
            egress: policies(|class| &class.egress),
        }
    });
    joint.collect()
}

fn labels(inventory: &Inventory, uid: &PodUid) -> Labels {
    let pod = inventory.state.pods().get(uid);
    pod.map(|pod| pod.labels.clone()).unwrap_or_default()
}

/// The labels that all have.
fn common(mut all: impl Iterator<Item = Labels>) -> Labels {
    let first = all.next().unwrap_or_default();
    all.fold(first, |common, labels| {
        let shared = common
            .iter()
            .filter(|(key, value)| labels.get(key) == Some(value.as_ref()));
        shared.map(|(key, value)| (key.clone(), value.clone())).collect()
    })
}

fn strangers(range: &Addresses, owned: &HashSet<IpAddr>, nodes: &BTreeSet<IpAddr>) -> Vec<IpAddr> {
    let is_free = |address: &IpAddr| !owned.contains(address);
    let mut found: Vec<IpAddr> = range
        .iter()
        .filter(is_free)
        .filter(|address| !nodes.contains(address) && !address.is_unspecified())
        .take(1)
        .collect();
    // What a pod's own node may, no policy says: the address of another node may be needed.
    let of_nodes = nodes.iter().copied().filter(is_free);
    found.extend(of_nodes.filter(|address| range.contains(*address)));
    if found.is_empty() {
        found.extend(range.iter().find(is_free));
    }
    found
}
