//! The pods of one state in the other.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::IpAddr;

use super::{Difference, JointClass, Twin, Unpaired};
use crate::cluster::ClusterState;
use crate::model::{Pod, PodKey, PodUid};
use crate::reach::{Family, Member, Reach};

/// Which pods are the same: of the state before, and of the state after.
pub(super) type Pairs = Vec<(PodUid, PodUid)>;

/// The pods of both states that have the same name, and the pods that are hidden by a newer one with their name.
pub(super) fn by_name(
    difference: &Difference,
    before: &ClusterState,
    after: &ClusterState,
) -> (Pairs, HashSet<PodUid>) {
    let mut hidden = HashSet::new();
    let was = newest(&difference.before, before, &mut hidden);
    let is = newest(&difference.after, after, &mut hidden);
    let pairs = was
        .into_iter()
        .filter_map(|(key, pod)| Some((pod.uid.clone(), is.get(key)?.uid.clone())));
    (pairs.collect(), hidden)
}

/// The pods of a state by name. Of two pods with one name it is the newer; the other is hidden.
fn newest<'a>(
    reach: &Reach,
    state: &'a ClusterState,
    hidden: &mut HashSet<PodUid>,
) -> BTreeMap<&'a PodKey, &'a Pod> {
    let mut found: BTreeMap<&PodKey, &Pod> = BTreeMap::new();
    let members = reach.classes.iter().flat_map(|class| &class.members);
    for pod in members.filter_map(|member| state.pods().get(&member.uid)) {
        let newest = found.entry(&pod.key).or_insert(pod);
        if newest.uid == pod.uid {
            continue;
        }
        let age = |pod: &'a Pod| (pod.created, &pod.uid);
        let older = if age(newest) < age(pod) {
            std::mem::replace(newest, pod)
        } else {
            pod
        };
        hidden.insert(older.uid.clone());
    }
    found
}

/// Puts together the pods that nothing tells apart in either state.
pub(super) fn pair(
    difference: &mut Difference,
    before: &ClusterState,
    after: &ClusterState,
    pairs: &[(PodUid, PodUid)],
) {
    let was = bodies(&difference.before, before);
    let is = bodies(&difference.after, after);
    let mut known: [HashSet<&PodUid>; 2] = Default::default();
    let mut joint: BTreeMap<(usize, usize), Vec<Twin>> = BTreeMap::new();
    for (one, other) in pairs {
        let (Some(bodies), Some(others), Some(pod)) = (was.get(one), is.get(other), after.pods().get(other))
        else {
            continue;
        };
        known[0].insert(one);
        known[1].insert(other);
        for ((was, before), (is, after)) in bodies.iter().zip(others) {
            joint.entry((*was, *is)).or_default().push(Twin {
                key: pod.key.clone(),
                before: (*before).clone(),
                after: (*after).clone(),
            });
        }
    }
    let [was_known, is_known] = known;
    let (gone, new) = (unpaired(&was, &was_known), unpaired(&is, &is_known));
    let joint = joint.into_iter().filter_map(|((before, after), mut pods)| {
        pods.sort_unstable();
        let namespace = pods.first()?.key.namespace.clone();
        Some(JointClass {
            namespace,
            before,
            after,
            pods,
        })
    });
    let mut classes: Vec<JointClass> = joint.collect();
    classes.sort_by(|one, other| one.pods.first().cmp(&other.pods.first()));
    (difference.classes, difference.gone, difference.new) = (classes, gone, new);
}

/// The classes that a pod is in, each with its addresses there.
type Bodies<'a> = Vec<(usize, &'a Member)>;

/// The pods of a state, each with its classes in the order of its addresses.
fn bodies<'a>(reach: &'a Reach, state: &ClusterState) -> HashMap<&'a PodUid, Bodies<'a>> {
    let mut found: HashMap<&PodUid, Bodies<'a>> = HashMap::new();
    for (class, members) in reach.classes.iter().enumerate() {
        for member in &members.members {
            found.entry(&member.uid).or_default().push((class, member));
        }
    }
    for (uid, bodies) in found.iter_mut().filter(|(_, bodies)| bodies.len() > 1) {
        if let Some(pod) = state.pods().get(*uid) {
            bodies.sort_by_key(|(_, member)| position(pod, member));
        }
    }
    found
}

/// Which of a pod's addresses a member has.
fn position(pod: &Pod, member: &Member) -> Option<usize> {
    let is_its = |address: &IpAddr| member.address(Family::of(*address)) == Some(*address);
    pod.addresses.iter().position(is_its)
}

fn unpaired(bodies: &HashMap<&PodUid, Bodies<'_>>, known: &HashSet<&PodUid>) -> Vec<Unpaired> {
    let mut found: BTreeMap<usize, Vec<PodUid>> = BTreeMap::new();
    for (uid, bodies) in bodies.iter().filter(|(uid, _)| !known.contains(*uid)) {
        if let Some((class, _)) = bodies.first() {
            found.entry(*class).or_default().push((*uid).clone());
        }
    }
    let unpaired = found.into_iter().map(|(class, mut pods)| {
        pods.sort_unstable();
        Unpaired { class, pods }
    });
    unpaired.collect()
}
