//! Changes as people read them: equal ones together.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use palisade_policy::model::Packet;
use palisade_policy::reach::{End, Family, PortSet};

use super::cause::{Cause, Causes};
use super::joint::Joint;
use super::pairs::Changed;

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
    /// How many pairs of a pod and another pod that is.
    pub pairs: u64,
    /// How many pairs of a pod and a range outside.
    pub outside: u64,
}

/// What makes changes one.
type Kind = (Effect, PortSet, Option<Family>, Cause, Arc<[End]>);

pub(super) fn grouped(
    joint: &Joint<'_>,
    pairs: &[(End, Arc<[Changed]>)],
    causes: &mut Causes<'_>,
) -> Vec<Change> {
    let mut found: BTreeMap<Kind, (Vec<End>, Packet)> = BTreeMap::new();
    for (to, changed) in pairs {
        for change in changed.iter() {
            let mut by_cause: BTreeMap<Cause, (Vec<End>, Packet)> = BTreeMap::new();
            for (from, cause, witness) in causes.each(change, *to) {
                let (ends, _) = by_cause.entry(cause).or_insert_with(|| (Vec::new(), witness));
                ends.extend(from);
            }
            for (cause, (mut from, witness)) in by_cause {
                from.sort_unstable();
                let kind = (
                    change.effect,
                    change.ports.clone(),
                    change.family,
                    cause,
                    from.into(),
                );
                found
                    .entry(kind)
                    .or_insert_with(|| (Vec::new(), witness))
                    .0
                    .push(*to);
            }
        }
    }
    let changes = found
        .into_iter()
        .map(|((effect, ports, family, cause, from), (to, witness))| {
            let (pairs, outside) = count(joint, &from, &to, family);
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

/// How many pairs of pods, and of pods and ranges, that meet in a family. Of templates each pod counts once.
fn count(joint: &Joint<'_>, from: &[End], to: &[End], family: Option<Family>) -> (u64, u64) {
    let size = |end: &End| match end {
        End::Pods(_) => joint.pods(*end).len() as u64,
        End::Outside(_) => 1,
    };
    let (mut pods, mut outside) = (0, 0);
    for to in to {
        for from in from {
            let meet = Family::ALL
                .into_iter()
                .filter(|own| family.is_none_or(|family| family == *own))
                .any(|family| joint.has(*from, family) && joint.has(*to, family));
            let pairs = size(from) * (size(to) - u64::from(from == to));
            match (from, to) {
                (End::Pods(_), End::Pods(_)) if meet => pods += pairs,
                (End::Pods(_), End::Outside(_)) | (End::Outside(_), End::Pods(_)) if meet => outside += pairs,
                _ => {}
            }
        }
    }
    (pods, outside)
}
