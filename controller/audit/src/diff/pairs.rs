//! Pairs of ends whose ports differ between two states.
//!
//! Flows of both states say it destination by destination. Destinations that are alike in both have the same flows in
//! both, as flows share their lists: the work is done once for all of them.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use palisade_policy::reach::{End, Family, Flow, PortSet, Reach};

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

/// The flows of a state and family by destination.
type Flows = HashMap<End, Vec<Flow>>;

/// Flows told apart by the lists that they share.
type Identity = Vec<(PortSet, *const End, usize)>;

/// What of two states can change for a destination: the flows of both families before and after.
type Key = (Vec<Family>, Vec<Identity>);

/// For each destination what changes, if anything does.
pub(super) fn changed(joint: &Joint, reaches: &[Reach; 2]) -> Vec<(End, Arc<[Changed]>)> {
    let flows = reaches
        .each_ref()
        .map(|reach| Family::ALL.map(|family| by_destination(reach, family)));
    let mut known: HashMap<Key, Arc<[Changed]>> = HashMap::new();
    let mut all = Vec::new();
    for to in joint.ends() {
        let families: Vec<Family> = Family::ALL
            .into_iter()
            .filter(|family| joint.has(to, *family))
            .collect();
        let own: Vec<(Family, [&[Flow]; 2])> = families
            .iter()
            .filter_map(|family| Some((*family, [0, 1].map(|state| of(&flows, joint, to, state, *family)))))
            .collect();
        let identities = own
            .iter()
            .flat_map(|(_, flows)| flows.iter().map(|flows| identity(flows)));
        let key = (families, identities.collect());
        let changed = known
            .entry(key)
            .or_insert_with(|| compare(joint, to, &own).into());
        if !changed.is_empty() {
            all.push((to, changed.clone()));
        }
    }
    all
}

fn by_destination(reach: &Reach, family: Family) -> Flows {
    let mut flows = Flows::new();
    for flow in reach.flows(family) {
        flows.entry(flow.to).or_default().push(flow);
    }
    flows
}

fn of<'a>(flows: &'a [[Flows; 2]; 2], joint: &Joint, to: End, state: usize, family: Family) -> &'a [Flow] {
    let side = joint.side(to, state);
    let family = usize::from(family == Family::V6);
    let flows = flows.get(state).and_then(|families| families.get(family));
    let found = side.and_then(|side| flows?.get(&side));
    found.map(Vec::as_slice).unwrap_or_default()
}

fn identity(flows: &[Flow]) -> Identity {
    let identity = flows
        .iter()
        .map(|flow| (flow.ports.clone(), flow.from.as_ptr(), flow.from.len()));
    identity.collect()
}

/// What changes for each source, by what that is.
fn compare(joint: &Joint, to: End, flows: &[(Family, [&[Flow]; 2])]) -> Vec<Changed> {
    let mut by_source: BTreeMap<End, Vec<(Family, PortSet, PortSet)>> = BTreeMap::new();
    for (family, states) in flows {
        let [before, after] = states.map(by_source_of);
        for from in joint.ends() {
            if !joint.has(from, *family) {
                continue;
            }
            let ports = |known: &HashMap<End, &PortSet>, state| {
                let side = joint.side(from, state);
                side.and_then(|side| known.get(&side).copied().cloned())
                    .unwrap_or_default()
            };
            let (before, after) = (ports(&before, 0), ports(&after, 1));
            if before != after {
                let changes = by_source.entry(from).or_default();
                changes.push((*family, after.difference(&before), before.difference(&after)));
            }
        }
    }
    let mut grouped: BTreeMap<(Effect, PortSet, Option<Family>), Vec<End>> = BTreeMap::new();
    for (from, changes) in by_source {
        let dual = joint.is_dual(from) && joint.is_dual(to);
        let agree = match changes.as_slice() {
            [(_, allowed, denied), (_, other_allowed, other_denied)] => {
                allowed == other_allowed && denied == other_denied
            }
            _ => !dual,
        };
        let told = if agree { 1 } else { changes.len() };
        for (family, allowed, denied) in changes.into_iter().take(told) {
            let family = (!agree).then_some(family);
            for (effect, ports) in [(Effect::Allowed, allowed), (Effect::Denied, denied)] {
                if !ports.is_empty() {
                    grouped.entry((effect, ports, family)).or_default().push(from);
                }
            }
        }
    }
    let changed = grouped
        .into_iter()
        .map(|((effect, ports, family), from)| Changed {
            effect,
            ports,
            family,
            from: from.into(),
        });
    changed.collect()
}

fn by_source_of(flows: &[Flow]) -> HashMap<End, &PortSet> {
    let pairs = flows
        .iter()
        .flat_map(|flow| flow.from.iter().map(move |from| (*from, &flow.ports)));
    pairs.collect()
}
