//! Changes as people read them: equal ones together.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use palisade_policy::model::Packet;
use palisade_policy::reach::{End, Family, PortSet};

use super::cause::Cause;
use super::causes::{Causes, Found};
use super::joint::Joint;
use super::pairs::Changed;
use crate::relation::Names;

/// What becomes of connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Effect {
    /// They were denied and are allowed.
    Allowed,
    /// They were allowed and are denied.
    Denied,
}

impl fmt::Display for Effect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Allowed => "allowed",
            Self::Denied => "denied",
        })
    }
}

/// Connections from any of some ends to any of some ends that become allowed or denied for the same reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Whether they become allowed or denied.
    pub effect: Effect,
    /// From where: indexes into the ends of the difference, in order.
    pub from: Arc<[End]>,
    /// To where, in order.
    pub to: Vec<End>,
    /// On which ports.
    pub ports: PortSet,
    /// In which family alone; `None`: in each that both ends have.
    pub family: Option<Family>,
    /// Why.
    pub cause: Cause,
    /// One of them, in the state where it is denied. Where a pod's address changes, that state's.
    pub witness: Packet,
    /// How many pairs of a pod and another pod that is: of templates all replicas count.
    pub pairs: u64,
    /// How many pairs of a pod and a range outside.
    pub outside: u64,
}

/// What makes changes one.
type Kind = (Effect, PortSet, Option<Family>, Cause, Arc<[End]>);

pub(super) fn grouped(
    joint: &Joint<'_>,
    names: &Names,
    pairs: &[(End, Arc<[Changed]>)],
    causes: &mut Causes<'_>,
) -> Vec<Change> {
    let mut groups: BTreeMap<Kind, (Vec<End>, Packet)> = BTreeMap::new();
    for (to, changed) in pairs {
        for change in changed.iter() {
            for found in causes.each(change, *to) {
                let Found {
                    from,
                    ports,
                    cause,
                    witness,
                } = found;
                let kind = (change.effect, ports, change.family, cause, from.into());
                groups
                    .entry(kind)
                    .or_insert_with(|| (Vec::new(), witness))
                    .0
                    .push(*to);
            }
        }
    }
    let changes = groups
        .into_iter()
        .map(|((effect, ports, family, cause, from), (to, witness))| {
            let (pairs, outside) = count(joint, names, &from, &to, family);
            Change {
                effect,
                from,
                to,
                ports,
                family,
                cause,
                witness,
                pairs,
                outside,
            }
        });
    let mut changes: Vec<Change> = changes.collect();
    changes.sort_by(|one, other| {
        let key = |change: &Change| (change.effect, change.to.clone(), change.from.clone());
        key(one).cmp(&key(other))
    });
    changes
}

/// How many pairs of pods, and of pods and ranges, that meet in a family. A pod that stands for others, nobody knows how
/// many, counts once, and once beside itself.
fn count(joint: &Joint<'_>, names: &Names, from: &[End], to: &[End], family: Option<Family>) -> (u64, u64) {
    let size = |end: &End| names.pods(*end).unwrap_or(1).max(1);
    let (mut pods, mut outside) = (0, 0);
    for to in to {
        for from in from {
            let meet = Family::ALL
                .into_iter()
                .filter(|own| family.is_none_or(|family| family == *own))
                .any(|family| joint.has(*from, family) && joint.has(*to, family));
            let pairs = if from == to {
                (size(from) * (size(to) - 1)).max(joint.is_plural(*to).into())
            } else {
                size(from) * size(to)
            };
            match (from, to) {
                (End::Pods(_), End::Pods(_)) if meet => pods += pairs,
                (End::Pods(_), End::Outside(_)) | (End::Outside(_), End::Pods(_)) if meet => outside += pairs,
                _ => {}
            }
        }
    }
    (pods, outside)
}
