//! Ends that two states have in common: what no policy of either tells apart.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::net::IpAddr;

use palisade_policy::model::{Labels, Pod, PodKey};
use palisade_policy::reach::{Class, End, Family, Member, Outside, Reach};

use crate::inventory::Inventory;
use crate::relation::{Addresses, families, members, overlay};

/// The index of a pod's class and what the pod is called.
type Placed<'a> = BTreeMap<&'a PodKey, (usize, &'a Member, &'a Pod)>;

/// The ends of both states.
#[derive(Debug)]
pub(super) struct Joint {
    /// Classes of pods that both states have, as they are after: by namespace and first pod.
    pub(super) classes: Vec<Class>,
    /// The class of each before and after.
    pub(super) sides: Vec<[usize; 2]>,
    /// Of each class the pods, as they are before and after.
    pub(super) pods: Vec<Vec<[Member; 2]>>,
    /// Ranges of addresses outside that have an address that no pod has.
    pub(super) outside: Vec<Outside>,
    /// The range of each before and after.
    pub(super) outside_sides: Vec<[usize; 2]>,
    /// Of each range some addresses that no pod has in either state: first such that no node has either.
    pub(super) strangers: Vec<Vec<IpAddr>>,
    /// The families that each class has before and after.
    pub(super) families: Vec<Vec<Family>>,
    /// The pods that only one of the states has, with their class there.
    pub(super) only: [BTreeMap<PodKey, usize>; 2],
}

impl Joint {
    pub(super) fn of(inventories: [&Inventory; 2], reaches: &[Reach; 2]) -> Self {
        let [inventory_before, inventory_after] = inventories;
        let [before, after] = reaches;
        let placed = [placed(inventory_before, before), placed(inventory_after, after)];
        let only = [(0, 1), (1, 0)].map(|(own, other): (usize, usize)| {
            let (own, other) = (&placed[own], &placed[other]);
            own.iter()
                .filter(|(key, _)| !other.contains_key(*key))
                .map(|(key, (class, _, _))| ((*key).clone(), *class))
                .collect()
        });
        let mut joint = Self {
            classes: Vec::new(),
            sides: Vec::new(),
            pods: Vec::new(),
            outside: Vec::new(),
            outside_sides: Vec::new(),
            strangers: Vec::new(),
            families: Vec::new(),
            only,
        };
        joint.add_classes(&placed, after);
        joint.add_outside(inventories, reaches);
        joint
    }

    fn add_classes(&mut self, [before, after]: &[Placed<'_>; 2], reach: &Reach) {
        let mut order: Vec<([usize; 2], Vec<(&Member, &Member, &Pod)>)> = Vec::new();
        let mut places: HashMap<[usize; 2], usize> = HashMap::new();
        for (key, (class_after, member_after, pod)) in after {
            let Some((class_before, member_before, _)) = before.get(key) else {
                continue;
            };
            let sides = [*class_before, *class_after];
            let place = *places.entry(sides).or_insert(order.len());
            if place == order.len() {
                order.push((sides, Vec::new()));
            }
            if let Some((_, pods)) = order.get_mut(place) {
                pods.push((*member_before, *member_after, *pod));
            }
        }
        for (sides, pods) in order {
            let Some(own) = reach.classes().get(sides[1]) else {
                continue;
            };
            let mut members: Vec<Member> = pods.iter().map(|(_, after, _)| (*after).clone()).collect();
            members.sort_unstable();
            let class = Class {
                namespace: own.namespace.clone(),
                labels: common(pods.iter().map(|(_, _, pod)| &pod.labels)),
                members,
                ingress: own.ingress.clone(),
                egress: own.egress.clone(),
            };
            let both = |family| {
                pods.iter()
                    .all(|(before, after, _)| has(before, family) && has(after, family))
            };
            self.families
                .push(families(&class).filter(|family| both(*family)).collect());
            self.classes.push(class);
            self.sides.push(sides);
            let pods = pods
                .into_iter()
                .map(|(before, after, _)| [before.clone(), after.clone()]);
            self.pods.push(pods.collect());
        }
    }

    fn add_outside(&mut self, inventories: [&Inventory; 2], [before, after]: &[Reach; 2]) {
        let mut owned: HashSet<IpAddr> = HashSet::new();
        let mut nodes: HashSet<IpAddr> = HashSet::new();
        for inventory in inventories {
            let pods = inventory.state.pods().values();
            owned.extend(
                pods.filter(|pod| pod.is_workload())
                    .flat_map(|pod| &pod.addresses),
            );
            let known = inventory.state.nodes().values();
            nodes.extend(known.flat_map(|node| &node.addresses));
        }
        for family in Family::ALL {
            let sets = |reach: &Reach| -> Vec<(usize, Addresses)> {
                let ranges = reach.outside().iter().enumerate();
                ranges
                    .filter(|(_, range)| range.family == family)
                    .map(|(index, range)| (index, Addresses::of(family, &range.blocks)))
                    .collect()
            };
            for (sides, shared) in overlay(family, &sets(before), &sets(after)) {
                let strangers = strangers(&shared, &owned, &nodes);
                if strangers.is_empty() {
                    continue;
                }
                self.outside.push(Outside {
                    family,
                    blocks: shared.blocks(),
                });
                self.outside_sides.push(sides);
                self.strangers.push(strangers);
            }
        }
    }

    /// All ends: classes, then ranges.
    pub(super) fn ends(&self) -> impl Iterator<Item = End> + use<> {
        let outside = (0..self.outside.len()).map(End::Outside);
        (0..self.classes.len()).map(End::Pods).chain(outside)
    }

    /// What an end is before (0) and after (1).
    pub(super) fn side(&self, end: End, state: usize) -> Option<End> {
        match end {
            End::Pods(class) => self.sides.get(class)?.get(state).copied().map(End::Pods),
            End::Outside(range) => self
                .outside_sides
                .get(range)?
                .get(state)
                .copied()
                .map(End::Outside),
        }
    }

    /// The pods of an end; none of a range.
    pub(super) fn pods_of(&self, end: End) -> &[[Member; 2]] {
        let pods = match end {
            End::Pods(class) => self.pods.get(class),
            End::Outside(_) => None,
        };
        pods.map(Vec::as_slice).unwrap_or_default()
    }

    /// Addresses of a range that no pod has; none of a class.
    pub(super) fn strangers_of(&self, end: End) -> &[IpAddr] {
        let strangers = match end {
            End::Outside(range) => self.strangers.get(range),
            End::Pods(_) => None,
        };
        strangers.map(Vec::as_slice).unwrap_or_default()
    }

    /// Whether an end has addresses of a family in both states.
    pub(super) fn has(&self, end: End, family: Family) -> bool {
        match end {
            End::Pods(class) => self
                .families
                .get(class)
                .is_some_and(|families| families.contains(&family)),
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

fn placed<'a>(inventory: &'a Inventory, reach: &'a Reach) -> Placed<'a> {
    let mut placed = Placed::new();
    for (index, class) in reach.classes().iter().enumerate() {
        let by_uid: HashMap<_, &Member> = class.members.iter().map(|member| (&member.uid, member)).collect();
        for pod in members(inventory, class) {
            let Some(member) = by_uid.get(&pod.uid) else {
                continue;
            };
            let here = (index, *member, pod);
            // Two pods have one name while one of them goes: the newer is meant.
            let known = placed.entry(&pod.key).or_insert(here);
            if (known.2.created, &known.2.uid) < (pod.created, &pod.uid) {
                *known = here;
            }
        }
    }
    placed
}

fn has(member: &Member, family: Family) -> bool {
    match family {
        Family::V4 => member.v4.is_some(),
        Family::V6 => member.v6.is_some(),
    }
}

/// The labels that all have.
fn common<'a>(mut all: impl Iterator<Item = &'a Labels>) -> Labels {
    let first = all.next().cloned().unwrap_or_default();
    all.fold(first, |common, labels| {
        let shared = common
            .iter()
            .filter(|(key, value)| labels.get(key) == Some(value.as_ref()));
        shared.map(|(key, value)| (key.clone(), value.clone())).collect()
    })
}

/// Addresses of a range that no pod has: one, if there is one, that no node has either, and those of nodes.
fn strangers(range: &Addresses, owned: &HashSet<IpAddr>, nodes: &HashSet<IpAddr>) -> Vec<IpAddr> {
    let free = || range.iter().filter(|address| !owned.contains(address));
    // What a pod's own node may, no policy says: another address may be needed.
    let known: BTreeSet<IpAddr> = nodes
        .iter()
        .copied()
        .filter(|address| range.contains(*address) && !owned.contains(address))
        .collect();
    let mut found: Vec<IpAddr> = free()
        .filter(|address| !nodes.contains(address) && !address.is_unspecified())
        .take(1)
        .collect();
    found.extend(known);
    found.extend(free().take(usize::from(found.is_empty())));
    found
}
