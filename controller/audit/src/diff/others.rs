//! What edits of policies mean to pods that only one of the states has.
//!
//! Such pods are compared with themselves: their state with the policies of the other.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use palisade_policy::cluster::{ClusterState, Event};
use palisade_policy::model::{PodUid, PolicyKey};
use palisade_policy::reach::{Difference, End};

use super::causes::Causes;
use super::joint::Joint;
use super::pairing::Pairing;
use super::pairs::{self, Changed};
use super::{Edit, isolation};
use crate::inventory::Inventory;

/// The policies among the edited ones that say something else of pods that are alone in their state than without the edit.
/// `None`: not everything could be asked about.
pub(super) fn effective(
    inventories: [&Inventory; 2],
    pairing: &Pairing<'_>,
    edited: &BTreeMap<PolicyKey, Edit>,
) -> Option<BTreeSet<PolicyKey>> {
    let [before, after] = inventories;
    let mut effective = BTreeSet::new();
    if !pairing.alone(0).is_empty() {
        let edited = with_policies(before, &after.state, edited);
        effective.extend(between([before, &edited], pairing.alone(0))?);
    }
    if !pairing.alone(1).is_empty() {
        let without = with_policies(after, &before.state, edited);
        effective.extend(between([&without, after], pairing.alone(1))?);
    }
    Some(effective)
}

/// An inventory with the edited policies as they are in another state.
fn with_policies(
    inventory: &Inventory,
    other: &ClusterState,
    edited: &BTreeMap<PolicyKey, Edit>,
) -> Inventory {
    let mut inventory = inventory.clone();
    for key in edited.keys() {
        inventory.state.apply(match other.policies().get(key) {
            Some(policy) => Event::PolicyApplied(policy.clone()),
            None => Event::PolicyDeleted(key.clone()),
        });
    }
    inventory
}

/// The policies for the sake of which anything changes for some pods, between two states with the same pods.
fn between(inventories: [&Inventory; 2], pods: &HashSet<PodUid>) -> Option<BTreeSet<PolicyKey>> {
    let pairing = Pairing::of(inventories);
    let [before, after] = inventories.map(|inventory| &inventory.state);
    let difference = Difference::paired(before, after, &pairing.pairs);
    let joint = Joint::of(&difference, inventories);
    let concerns = |end: &End| joint.pods(*end).iter().any(|twin| pods.contains(&twin.after.uid));
    let mut causes = Causes::of(inventories, &joint);
    for (to, changes) in pairs::changed(&joint, &difference) {
        for change in changes.iter() {
            let from = change.from.iter().filter(|from| concerns(&to) || concerns(from));
            let concerned = Changed {
                from: from.copied().collect(),
                ..change.clone()
            };
            if !concerned.from.is_empty() {
                causes.each(&concerned, to);
            }
        }
    }
    let mut effective = std::mem::take(&mut causes.effective);
    let isolation = isolation(&joint);
    let concerned = isolation.iter().filter(|change| change.pods.iter().any(concerns));
    effective.extend(concerned.flat_map(|change| change.policies.iter().cloned()));
    causes.complete.then_some(effective)
}
