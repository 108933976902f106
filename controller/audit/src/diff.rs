//! What a change means: pairs and ports that become allowed or denied.
//!
//! ```text
//!   before ─► reach ─┐                                        ┌─► changes     who may what, and may not any more, and why
//!                    ├─► ends that both have ─► pairs ─► why ─┼─► isolation   pods that become isolated, or open
//!   after ──► reach ─┘                                        └─► objects     what was edited, and whether that says anything
//! ```
//!
//! Pods are the same if they have the same name, whatever their UID. A pod that only one of the states has is told by
//! itself: it is no change that others can do more or less.

mod cause;
mod change;
mod joint;
mod objects;
pub mod output;
mod pairs;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use palisade_policy::model::{Direction, PodKey, PolicyKey};
use palisade_policy::reach::{Class, End, Outside, Reach};

use crate::inventory::Inventory;
use crate::relation::{Ends, Names};

pub use cause::{Cause, Grant, Side};
pub use change::{Change, Effect};
pub use objects::{Edit, Edits};

use cause::Causes;
use joint::Joint;

/// The difference of what two inventories mean.
#[derive(Clone, Debug)]
pub struct Diff<'a> {
    /// Connections that become allowed or denied: allowed first, then by their ends.
    pub changes: Vec<Change>,
    /// Pods that become isolated or open.
    pub isolation: Vec<Isolation>,
    /// Pods that only the state after has, with the directions in which they are isolated.
    pub new: BTreeMap<PodKey, BTreeSet<Direction>>,
    /// Pods that only the state before has.
    pub gone: BTreeSet<PodKey>,
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
        let reaches = [Reach::of(&before.state), Reach::of(&after.state)];
        let joint = Joint::of([before, after], &reaches);
        let pairs = pairs::changed(&joint, &reaches);
        let mut causes = Causes::of([before, after], &reaches, &joint);
        let changes = change::grouped(&joint, &pairs, &mut causes);
        let isolation = isolation(&joint, &reaches);
        let policies = changes.iter().flat_map(|change| change.cause.policies());
        let isolating = isolation.iter().flat_map(|change| &change.policies);
        let effective: BTreeSet<PolicyKey> = policies.chain(isolating).cloned().collect();
        let edits = Edits::of(&before.state, &after.state, &effective);
        let new = joint.only[1]
            .iter()
            .map(|(key, class)| (key.clone(), directions(reaches[1].classes().get(*class))))
            .collect();
        let gone = joint.only[0].keys().cloned().collect();
        let names = Names::of(after, &joint.classes, &joint.outside);
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

    /// Whether nobody can do more or less than before, and nobody becomes isolated or open.
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty() && self.isolation.is_empty()
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

fn isolation(joint: &Joint, reaches: &[Reach; 2]) -> Vec<Isolation> {
    let mut found: BTreeMap<(Direction, Becomes, Arc<BTreeSet<PolicyKey>>), Vec<End>> = BTreeMap::new();
    for (index, sides) in joint.sides.iter().enumerate() {
        let [Some(before), Some(after)] = [0, 1].map(|state: usize| {
            let class = sides.get(state)?;
            reaches.get(state)?.classes().get(*class)
        }) else {
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
                .entry((direction, becomes, Arc::new(policies.clone())))
                .or_default()
                .push(End::Pods(index));
        }
    }
    let isolation = found
        .into_iter()
        .map(|((direction, becomes, policies), pods)| Isolation {
            direction,
            becomes,
            policies: policies.as_ref().clone(),
            pods,
        });
    isolation.collect()
}
