//! The ends of a difference, as they are told and asked about.
//!
//! Ranges outside whose every address is a pod's are nobody: they are left out, so "all" can be said of the others.

use std::collections::{BTreeSet, HashSet};
use std::net::IpAddr;

use palisade_policy::model::{Labels, PodUid};
use palisade_policy::reach::{Class, Difference, End, Family, Outside, Reach, Twin};

use super::pairing::Pairing;
use crate::inventory::Inventory;
use crate::relation::{Addresses, Names};

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
    /// Whether each class has a pod that stands for others.
    plural: Vec<bool>,
    /// The addresses that somebody has in either state: a pod or a node.
    taken: HashSet<IpAddr>,
}

impl<'a> Joint<'a> {
    pub(super) fn of(difference: &'a Difference, inventories: [&Inventory; 2]) -> Self {
        let [_, after] = inventories;
        let [old, new] = inventories.map(Inventory::representatives);
        let stands_for_others =
            |twin: &Twin| old.contains_key(&twin.before.uid) || new.contains_key(&twin.after.uid);
        let classes_of = difference.classes.iter();
        let mut joint = Self {
            difference,
            classes: classes(difference, after),
            outside: Vec::new(),
            strangers: Vec::new(),
            places: Vec::new(),
            plural: classes_of
                .map(|class| class.pods.iter().any(stands_for_others))
                .collect(),
            taken: HashSet::new(),
        };
        let mut owned: HashSet<IpAddr> = HashSet::new();
        let mut nodes: BTreeSet<IpAddr> = BTreeSet::new();
        for Inventory { state, .. } in inventories {
            let pods = state.pods().values().filter(|pod| pod.is_workload());
            owned.extend(pods.flat_map(|pod| &pod.addresses));
            nodes.extend(state.nodes().values().flat_map(|node| &node.addresses));
        }
        for (index, range) in difference.outside.iter().enumerate() {
            let addresses = Addresses::of(range.family, &range.blocks);
            let strangers = strangers(&addresses, difference.stranger(index), &owned, &nodes);
            let place = (!strangers.is_empty()).then_some(joint.outside.len());
            joint.places.push(place);
            if place.is_some() {
                joint.outside.push(range.clone());
                joint.strangers.push(strangers);
            }
        }
        joint.taken = owned;
        joint.taken.extend(nodes);
        joint
    }

    /// Names for its ends. Classes that are one pod after may be several before: they are told with what they were.
    pub(super) fn names(&self, pairing: &Pairing<'_>, inventories: [&Inventory; 2]) -> Names {
        let [before, after] = inventories;
        let mut names = Names::of(after, &self.classes, &self.outside);
        names.tell_apart_by(|class| {
            let pods = self.pods(End::Pods(class)).iter();
            let was: BTreeSet<String> = pods
                .filter_map(|twin| before.state.pods().get(&twin.before.uid))
                .map(|pod| pairing.name(0, pod))
                .collect();
            format!("was {}", was.into_iter().collect::<Vec<_>>().join(", "))
        });
        names
    }

    /// Whether an end is more than one pod: of one that stands for others there is a second.
    pub(super) fn is_plural(&self, end: End) -> bool {
        match end {
            End::Pods(class) => {
                self.plural.get(class).copied().unwrap_or_default() || self.pods(end).len() > 1
            }
            End::Outside(_) => false,
        }
    }

    /// An address that nobody has and that no policy of either state tells from this one.
    pub(super) fn beside(&self, address: IpAddr) -> Option<IpAddr> {
        let range = self.difference.outside.get(self.difference.range(address)?)?;
        let own = range.blocks.iter().filter(|block| block.contains(&address));
        let others = range.blocks.iter().filter(|block| !block.contains(&address));
        let mut blocks = own.chain(others);
        blocks.find_map(|block| {
            let addresses = Addresses::of(range.family, [block]);
            // The address that names a block comes last.
            let free = |candidate: &IpAddr| *candidate != block.network() && !self.taken.contains(candidate);
            let found = addresses.iter().find(free);
            found.or_else(|| Some(block.network()).filter(|candidate| !self.taken.contains(candidate)))
        })
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
        // One pod may stand for several of the state before.
        members.dedup();
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

fn strangers(
    range: &Addresses,
    stranger: Option<IpAddr>,
    owned: &HashSet<IpAddr>,
    nodes: &BTreeSet<IpAddr>,
) -> Vec<IpAddr> {
    let is_free = |address: &IpAddr| !owned.contains(address);
    let mut found: Vec<IpAddr> = stranger
        .filter(|address| is_free(address) && !nodes.contains(address))
        .into_iter()
        .collect();
    // What a pod's own node may, no policy says: the address of another node may be needed.
    let of_nodes = nodes.iter().copied().filter(is_free);
    found.extend(of_nodes.filter(|address| range.contains(*address)));
    if found.is_empty() {
        found.extend(range.iter().find(is_free));
    }
    found
}
