//! What a change means: pairs and ports that become allowed or denied.
//!
//! ```text
//!   before ─┐                               ┌─► changes     who may what, and may not any more, and why
//!           ├─► Difference ─► pairs ─► why ─┼─► isolation   pods that become isolated, or open
//!   after ──┘                               └─► objects     what was edited, and whether that says anything
//! ```
//!
//! Which pods are the same is told by their names, and then by what made them (`pairing`). A pod that only one of the states
//! has is told by itself: it is no change that others can do more or less. What edited policies mean to it is found out all the
//! same (`others`).

mod cause;
mod causes;
mod change;
mod joint;
mod objects;
mod others;
pub mod output;
mod pairing;
mod pairs;
mod points;
mod spots;

use std::collections::{BTreeMap, BTreeSet};

use palisade_policy::model::{Direction, Pod, PolicyKey};
use palisade_policy::reach::{Class, Difference, End, Outside, Unpaired};

use crate::inventory::Inventory;
use crate::relation::{Ends, Names};

pub use cause::{Cause, Grant, Side};
pub use change::{Change, Effect};
pub use objects::{Edit, Edits, Meaning, PodEdit};

use causes::Causes;
use joint::Joint;
use pairing::Pairing;

/// The difference of what two inventories mean.
#[derive(Clone, Debug)]
pub struct Diff<'a> {
    /// Connections that become allowed or denied: allowed first, then by their ends.
    pub changes: Vec<Change>,
    /// Pods that become isolated or open.
    pub isolation: Vec<Isolation>,
    /// Pods that only the state after has, with the directions in which they are isolated.
    pub new: BTreeMap<String, BTreeSet<Direction>>,
    /// Pods that only the state before has.
    pub gone: BTreeSet<String>,
    /// What was edited.
    pub edits: Edits,
    after: &'a Inventory,
    classes: Vec<Class>,
    outside: Vec<Outside>,
    names: Names,
}

/// Pods that become isolated, or are so no longer, in one direction.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Isolation {
    /// In which direction.
    pub direction: Direction,
    /// Whether they become isolated.
    pub becomes: Becomes,
    /// The policies that isolate them in the state where they are isolated.
    pub policies: BTreeSet<PolicyKey>,
    /// The pods.
    pub pods: Vec<End>,
}

/// What becomes of pods in one direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Becomes {
    /// A policy isolates them.
    Isolated,
    /// No policy isolates them any more: everything is allowed.
    Open,
}

impl<'a> Diff<'a> {
    /// Compares what two inventories mean.
    pub fn of(before: &'a Inventory, after: &'a Inventory) -> Self {
        let inventories = [before, after];
        let pairing = Pairing::of(inventories);
        let difference = Difference::paired(&before.state, &after.state, &pairing.pairs);
        let joint = Joint::of(&difference, inventories);
        let names = joint.names(&pairing, inventories);
        let pairs = pairs::changed(&joint, &difference);
        let mut causes = Causes::of(inventories, &joint);
        let changes = change::grouped(&joint, &names, &pairs, &mut causes);
        let isolation = isolation(&joint);
        let isolating = isolation.iter().flat_map(|change| &change.policies);
        causes.effective.extend(isolating.cloned());
        let policies = meanings(inventories, &pairing, &joint, &causes);
        let edits = Edits::of(inventories, &pairing, policies);
        let mut new: BTreeMap<String, BTreeSet<Direction>> = BTreeMap::new();
        for unpaired in &difference.new {
            let directions = directions(difference.after.classes().get(unpaired.class));
            for pod in alone(after, unpaired, &pairing, 1) {
                new.entry(pairing.name(1, pod)).or_default().extend(&directions);
            }
        }
        let gone = difference
            .gone
            .iter()
            .flat_map(|unpaired| alone(before, unpaired, &pairing, 0));
        let gone = gone.map(|pod| pairing.name(0, pod)).collect();
        Self {
            changes,
            isolation,
            new,
            gone,
            edits,
            after,
            classes: joint.classes,
            outside: joint.outside,
            names,
        }
    }

    /// Whether nobody can do more or less than before, nobody becomes isolated or open, and no policy was edited for pods that
    /// only one of the states has.
    pub fn is_empty(&self) -> bool {
        let mut policies = self.edits.policies.values();
        self.changes.is_empty()
            && self.isolation.is_empty()
            && policies.all(|(_, meaning)| *meaning == Meaning::None)
    }

    /// The ends that changes are about: what no policy of either state tells apart.
    pub fn ends(&self) -> Ends<'_> {
        Ends {
            inventory: self.after,
            classes: &self.classes,
            outside: &self.outside,
            names: &self.names,
        }
    }

    /// How many pods some ends stand for: of templates all replicas count.
    pub fn count(&self, ends: impl IntoIterator<Item = End>) -> u64 {
        ends.into_iter().filter_map(|end| self.names.pods(end)).sum()
    }
}

/// The pods of a class that are in their state alone.
fn alone<'b>(
    inventory: &'b Inventory,
    unpaired: &'b Unpaired,
    pairing: &'b Pairing<'_>,
    state: usize,
) -> impl Iterator<Item = &'b Pod> {
    let pods = unpaired
        .pods
        .iter()
        .filter(move |uid| pairing.is_alone(state, uid));
    pods.filter_map(|uid| inventory.state.pods().get(uid))
}

/// The policies that differ, and what comes of it.
fn meanings(
    inventories: [&Inventory; 2],
    pairing: &Pairing<'_>,
    joint: &Joint<'_>,
    causes: &Causes<'_>,
) -> BTreeMap<PolicyKey, (Edit, Meaning)> {
    let [before, after] = inventories;
    let edited = objects::policies(&before.state, &after.state);
    let known = edited.keys().all(|key| causes.effective.contains(key));
    let for_others = if known {
        Some(BTreeSet::new())
    } else {
        others::effective(inventories, pairing, &edited)
    };
    // One that isolates no pod says nothing of any connection.
    let mut isolating: BTreeSet<&PolicyKey> = BTreeSet::new();
    if !causes.complete {
        for class in 0..joint.classes.len() {
            let sides = (0..2).filter_map(|state| joint.side(End::Pods(class), state));
            isolating.extend(sides.flat_map(|class| class.ingress.iter().chain(&class.egress)));
        }
    }
    let meaning = |key: &PolicyKey| match &for_others {
        _ if causes.effective.contains(key) => Meaning::Changes,
        _ if isolating.contains(key) => Meaning::Unknown,
        None => Meaning::Unknown,
        Some(others) if others.contains(key) => Meaning::ForOthers,
        Some(_) => Meaning::None,
    };
    let meanings = edited.into_iter().map(|(key, edit)| {
        let meaning = meaning(&key);
        (key, (edit, meaning))
    });
    meanings.collect()
}

fn directions(class: Option<&Class>) -> BTreeSet<Direction> {
    let own = class.into_iter().flat_map(|class| {
        [Direction::Ingress, Direction::Egress].map(|direction| (direction, isolating(class, direction)))
    });
    own.filter(|(_, policies)| !policies.is_empty())
        .map(|(direction, _)| direction)
        .collect()
}

/// The policies that isolate a class in a direction.
fn isolating(class: &Class, direction: Direction) -> &BTreeSet<PolicyKey> {
    match direction {
        Direction::Ingress => &class.ingress,
        Direction::Egress => &class.egress,
    }
}

/// What tells isolations apart.
type Kind = (Direction, Becomes, BTreeSet<PolicyKey>);

fn isolation(joint: &Joint<'_>) -> Vec<Isolation> {
    let mut found: BTreeMap<Kind, Vec<End>> = BTreeMap::new();
    for pods in (0..joint.classes.len()).map(End::Pods) {
        let (Some(before), Some(after)) = (joint.side(pods, 0), joint.side(pods, 1)) else {
            continue;
        };
        for direction in [Direction::Ingress, Direction::Egress] {
            let (before, after) = (isolating(before, direction), isolating(after, direction));
            let (becomes, policies) = match (before.is_empty(), after.is_empty()) {
                (true, false) => (Becomes::Isolated, after),
                (false, true) => (Becomes::Open, before),
                (true, true) | (false, false) => continue,
            };
            found
                .entry((direction, becomes, policies.clone()))
                .or_default()
                .push(pods);
        }
    }
    let isolation = found
        .into_iter()
        .map(|((direction, becomes, policies), pods)| Isolation {
            direction,
            becomes,
            policies,
            pods,
        });
    isolation.collect()
}
