//! What changes for each destination, by what that is.
//!
//! The reachability tells it by what was and what is allowed; here sources are together for which the same becomes allowed or
//! denied.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use palisade_policy::reach::{self, Difference, End, Families, Family, PortSet};

use super::Effect;
use super::joint::Joint;

/// What changes for connections from some ends to one end.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Changed {
    /// Whether it becomes allowed or denied.
    pub(super) effect: Effect,
    /// On which ports.
    pub(super) ports: PortSet,
    /// In which family alone; `None`: in each that both ends have.
    pub(super) family: Option<Family>,
    /// From where, in order.
    pub(super) from: Arc<[End]>,
}

/// Changes told apart by the lists that they share.
type Identity = Vec<(*const End, usize, Families, PortSet, PortSet)>;

/// For each destination what changes, if anything does. Destinations that are alike share the answer.
pub(super) fn changed(joint: &Joint<'_>, difference: &Difference) -> Vec<(End, Arc<[Changed]>)> {
    let mut known: HashMap<(bool, Identity), Arc<[Changed]>> = HashMap::new();
    let mut all = Vec::new();
    for changes in difference.changes.chunk_by(|one, other| one.to == other.to) {
        let Some(to) = changes.first().and_then(|change| joint.end(change.to)) else {
            continue;
        };
        let identity = changes.iter().map(|change| {
            let from = &change.from;
            (
                from.as_ptr(),
                from.len(),
                change.families,
                change.before.clone(),
                change.after.clone(),
            )
        });
        let dual = joint.is_dual(to);
        let changed = known
            .entry((dual, identity.collect()))
            .or_insert_with(|| regrouped(joint, dual, changes).into());
        if !changed.is_empty() {
            all.push((to, changed.clone()));
        }
    }
    all
}

fn regrouped(joint: &Joint<'_>, dual: bool, changes: &[reach::Change]) -> Vec<Changed> {
    let mut grouped: BTreeMap<(Effect, PortSet, Option<Family>), Vec<End>> = BTreeMap::new();
    for change in changes {
        let effects = [
            (Effect::Allowed, change.opened()),
            (Effect::Denied, change.closed()),
        ];
        for (effect, ports) in effects.into_iter().filter(|(_, ports)| !ports.is_empty()) {
            for from in change.from.iter().filter_map(|from| joint.end(*from)) {
                let family = match change.families {
                    // Where the ends have but one family in common, it goes without saying.
                    Families::One(family) if dual && joint.is_dual(from) => Some(family),
                    Families::One(_) | Families::Both => None,
                };
                grouped
                    .entry((effect, ports.clone(), family))
                    .or_default()
                    .push(from);
            }
        }
    }
    let regrouped = grouped.into_iter().map(|((effect, ports, family), mut from)| {
        from.sort_unstable();
        Changed {
            effect,
            ports,
            family,
            from: from.into(),
        }
    });
    regrouped.collect()
}
