//! What a change means: pairs and ports that become allowed or denied.
//!
//! ```text
//!   before ─┐                               ┌─► changes     who may what, and may not any more, and why
//!           ├─► Difference ─► pairs ─► why ─┼─► isolation   pods that become isolated, or open
//!   after ──┘                               └─► objects     what was edited, and whether that says anything
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

use palisade_policy::model::{Direction, PodKey, PolicyKey};
use palisade_policy::reach::{Class, Difference, End, Outside};

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
        let difference = Difference::of(&before.state, &after.state);
        let joint = Joint::of(&difference, [before, after]);
        let pairs = pairs::changed(&joint, &difference);
        let mut causes = Causes::of([before, after], &joint);
        let changes = change::grouped(&joint, &pairs, &mut causes);
        let isolation = isolation(&joint);
        let policies = changes.iter().flat_map(|change| change.cause.policies());
        let isolating = isolation.iter().flat_map(|change| &change.policies);
        let effective: BTreeSet<PolicyKey> = policies.chain(isolating).cloned().collect();
        let edits = Edits::of(&before.state, &after.state, &effective);
        let mut new: BTreeMap<PodKey, BTreeSet<Direction>> = BTreeMap::new();
        for unpaired in &difference.new {
            let directions = directions(difference.after.classes().get(unpaired.class));
            for key in &unpaired.pods {
                new.entry(key.clone()).or_default().extend(&directions);
            }
        }
        let gone = difference.gone.iter().flat_map(|unpaired| &unpaired.pods);
        let gone = gone.cloned().collect();
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
