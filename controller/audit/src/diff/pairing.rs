//! Which pod of one state is which of the other.
//!
//! A state is files, or a cluster, and another has other names for the same pods after every roll-out. In this order:
//!
//! | pods are the same | |
//! |---|---|
//! | by name | a pod that is there; one that is made from a template, by the workload that it stands for |
//! | by workload | of those that are left, in the order of their names |
//! | by labels | of those that are left, where all labels are the same but those that controllers make up |
//!
//! A pod that stands for all of a workload is the same as each of them, if they are there in the other state.

use std::collections::{BTreeMap, HashMap, HashSet};

use palisade_policy::model::{Labels, NamespaceName, Pod, PodKey, PodUid};

use crate::inventory::{Inventory, Workload, WorkloadKey};
use crate::relation::is_noise;

/// Labels by which pods of one workload are told apart: no two pods have the same.
const OWN: [&str; 4] = [
    "apps.kubernetes.io/pod-index",
    "batch.kubernetes.io/controller-uid",
    "batch.kubernetes.io/job-completion-index",
    "statefulset.kubernetes.io/pod-name",
];

/// Whether a label is a pod's own, or one that a controller made up: others like it have another value.
pub(super) fn is_own(key: &str) -> bool {
    is_noise(key) || OWN.contains(&key)
}

/// The pods of two states that are the same.
#[derive(Debug)]
pub(super) struct Pairing<'a> {
    /// Before and after. Of a pod that stands for others there may be several.
    pub(super) pairs: Vec<(PodUid, PodUid)>,
    sides: [Side<'a>; 2],
    /// The pods of each state that are in no pair.
    alone: [HashSet<PodUid>; 2],
}

/// What a pod is known by in one state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Known<'a> {
    Name(&'a PodKey),
    Workload(&'a WorkloadKey),
}

/// The pods of one state that policies are about.
#[derive(Debug)]
struct Side<'a> {
    inventory: &'a Inventory,
    workloads: HashMap<&'a PodUid, &'a Workload>,
    pods: BTreeMap<Known<'a>, &'a Pod>,
}

impl<'a> Pairing<'a> {
    pub(super) fn of(inventories: [&'a Inventory; 2]) -> Self {
        let sides = inventories.map(Side::of);
        let mut pairing = Self {
            pairs: Vec::new(),
            alone: [HashSet::new(), HashSet::new()],
            sides,
        };
        let [before, after] = &pairing.sides;
        let mut left: [Vec<&Pod>; 2] = Default::default();
        for (known, pod) in &before.pods {
            match after.pods.get(known) {
                Some(other) => pairing.pairs.push((pod.uid.clone(), other.uid.clone())),
                None => left[0].push(pod),
            }
        }
        let others = after.pods.iter();
        left[1].extend(
            others
                .filter(|(known, _)| !before.pods.contains_key(known))
                .map(|(_, pod)| *pod),
        );
        let owner = |side: &Side<'a>, pod: &Pod| side.workload(&pod.uid).map(|workload| &workload.key);
        left = pairing.pair(left, owner);
        left = pairing.pair(left, |_, pod| labels(pod));
        pairing.alone = left.map(|pods| pods.into_iter().map(|pod| pod.uid.clone()).collect());
        pairing
    }

    /// Pairs pods that have the same in common. What is left over is returned.
    fn pair<K: Ord>(
        &mut self,
        left: [Vec<&'a Pod>; 2],
        common: impl Fn(&Side<'a>, &'a Pod) -> Option<K>,
    ) -> [Vec<&'a Pod>; 2] {
        let mut groups: BTreeMap<K, [Vec<&Pod>; 2]> = BTreeMap::new();
        let [of_before, of_after] = &self.sides;
        let [mut rest_before, mut rest_after] = left;
        rest_before.retain(|pod| {
            let key = common(of_before, pod);
            let known = key.map(|key| groups.entry(key).or_default());
            known.map(|[before, _]| before.push(pod)).is_none()
        });
        rest_after.retain(|pod| {
            let key = common(of_after, pod);
            let known = key.map(|key| groups.entry(key).or_default());
            known.map(|[_, after]| after.push(pod)).is_none()
        });
        for [before, after] in groups.into_values() {
            let stands_for_all = |state: usize, pods: &[&Pod]| match pods {
                [pod] => self.stands_for_others(state, &pod.uid),
                _ => false,
            };
            let length = if before.is_empty() || after.is_empty() {
                0
            } else if stands_for_all(0, &before) || stands_for_all(1, &after) {
                before.len().max(after.len())
            } else {
                before.len().min(after.len())
            };
            // The one that stands for all is repeated as often as it takes.
            let (ones, others) = (before.iter().cycle(), after.iter().cycle());
            let pairs = ones.zip(others).take(length);
            self.pairs
                .extend(pairs.map(|(one, other)| (one.uid.clone(), other.uid.clone())));
            rest_before.extend(before.into_iter().skip(length));
            rest_after.extend(after.into_iter().skip(length));
        }
        [rest_before, rest_after]
    }

    /// Whether a pod of a state (0: before) is in no pair.
    pub(super) fn is_alone(&self, state: usize, uid: &PodUid) -> bool {
        self.alone.get(state).is_some_and(|alone| alone.contains(uid))
    }

    /// The pods of a state that are in no pair.
    pub(super) fn alone(&self, state: usize) -> &HashSet<PodUid> {
        let [before, after] = &self.alone;
        if state == 0 { before } else { after }
    }

    /// Whether a pod of a state is made from a template and stands for others.
    pub(super) fn stands_for_others(&self, state: usize, uid: &PodUid) -> bool {
        let workload = self.sides.get(state).and_then(|side| side.workload(uid));
        workload.is_some_and(|workload| workload.representative)
    }

    /// What a pod of a state is called: by its name, or by the workload that it stands for.
    pub(super) fn name(&self, state: usize, pod: &Pod) -> String {
        let side = self.sides.get(state);
        match side.map_or(Known::Name(&pod.key), |side| side.known(pod)) {
            Known::Name(key) => key.to_string(),
            Known::Workload(key) => format!("{}/{}", key.namespace, key.word()),
        }
    }

    /// The pairs with the pods.
    pub(super) fn pods(&self) -> impl Iterator<Item = [&'a Pod; 2]> {
        let find = |state: usize, uid| self.sides.get(state)?.inventory.state.pods().get(uid);
        let pairs = self.pairs.iter();
        pairs.filter_map(move |(one, other)| Some([find(0, one)?, find(1, other)?]))
    }
}

impl<'a> Side<'a> {
    fn of(inventory: &'a Inventory) -> Self {
        let workloads = inventory.workloads.values();
        let mut side = Self {
            inventory,
            workloads: workloads
                .flat_map(|workload| workload.pods.iter().map(move |uid| (uid, workload)))
                .collect(),
            pods: BTreeMap::new(),
        };
        let state = &inventory.state;
        let is_met = |pod: &Pod| {
            let mut owners = pod.addresses.iter().filter_map(|address| state.owner(*address));
            pod.is_workload() && owners.any(|owner| owner.uid == pod.uid)
        };
        for pod in state.pods().values().filter(|pod| is_met(pod)) {
            let known = side.known(pod);
            let newest = side.pods.entry(known).or_insert(pod);
            // Of two pods with one name the newer counts.
            if (newest.created, &newest.uid) < (pod.created, &pod.uid) {
                *newest = pod;
            }
        }
        side
    }

    fn workload(&self, uid: &PodUid) -> Option<&'a Workload> {
        self.workloads.get(uid).copied()
    }

    fn known<'b>(&self, pod: &'b Pod) -> Known<'b>
    where
        'a: 'b,
    {
        match self.workload(&pod.uid) {
            Some(workload) if workload.representative => Known::Workload(&workload.key),
            Some(_) | None => Known::Name(&pod.key),
        }
    }
}

/// The labels that a pod has in common with others like it; `None` where it has none.
fn labels(pod: &Pod) -> Option<(&NamespaceName, Labels)> {
    let labels = pod.labels.iter();
    let labels = labels.filter(|(key, _)| !is_own(key));
    let labels: Labels = labels.map(|(key, value)| (key.clone(), value.clone())).collect();
    (labels != Labels::default()).then_some((&pod.key.namespace, labels))
}
