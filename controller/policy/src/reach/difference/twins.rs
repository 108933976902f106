//! The pods of one state in the other.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::{Difference, JointClass, Twin, Unpaired};
use crate::cluster::ClusterState;
use crate::model::{Pod, PodKey};
use crate::reach::{Family, Member, Reach};

/// Finds each pod in the other state, and puts together those that nothing tells apart in either.
pub(super) fn pair(difference: &mut Difference, before: &ClusterState, after: &ClusterState) {
    let was = bodies(&difference.before, before);
    let mut is = bodies(&difference.after, after);
    let mut joint: BTreeMap<(usize, usize), Vec<Twin>> = BTreeMap::new();
    let mut gone: BTreeMap<usize, Vec<PodKey>> = BTreeMap::new();
    for (key, bodies) in was {
        let Some(others) = is.remove(key) else {
            unpair(&mut gone, key, &bodies);
            continue;
        };
        for ((was, before), (is, after)) in bodies.into_iter().zip(others) {
            joint.entry((was, is)).or_default().push(Twin {
                key: key.clone(),
                before: before.clone(),
                after: after.clone(),
            });
        }
    }
    let mut new: BTreeMap<usize, Vec<PodKey>> = BTreeMap::new();
    for (key, bodies) in is {
        unpair(&mut new, key, &bodies);
    }

    let joint = joint.into_iter().filter_map(|((before, after), pods)| {
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
    let unpaired = |(class, pods)| Unpaired { class, pods };
    let (gone, new) = (
        gone.into_iter().map(unpaired).collect(),
        new.into_iter().map(unpaired).collect(),
    );
    (difference.classes, difference.gone, difference.new) = (classes, gone, new);
}

/// The classes that a pod is in, each with its addresses there.
type Bodies<'a> = Vec<(usize, &'a Member)>;

/// The pods of a state by name, each with its classes in the order of its addresses. Of two pods with one name it is the newer.
fn bodies<'a>(reach: &'a Reach, state: &'a ClusterState) -> BTreeMap<&'a PodKey, Bodies<'a>> {
    let mut found: BTreeMap<&PodKey, (&Pod, Bodies<'a>)> = BTreeMap::new();
    for (class, members) in reach.classes.iter().enumerate() {
        for member in &members.members {
            let Some(pod) = state.pods().get(&member.uid) else {
                continue;
            };
            let (newest, bodies) = found.entry(&pod.key).or_insert((pod, Vec::new()));
            let age = |pod: &'a Pod| (pod.created, &pod.uid);
            if age(newest) < age(pod) {
                (*newest, *bodies) = (pod, Vec::new());
            }
            if newest.uid == pod.uid {
                bodies.push((class, member));
            }
        }
    }
    let in_order = found.into_iter().map(|(key, (pod, mut bodies))| {
        if bodies.len() > 1 {
            bodies.sort_by_key(|(_, member)| position(pod, member));
        }
        (key, bodies)
    });
    in_order.collect()
}

/// Which of a pod's addresses a member has.
fn position(pod: &Pod, member: &Member) -> Option<usize> {
    let is_its = |address: &IpAddr| member.address(Family::of(*address)) == Some(*address);
    pod.addresses.iter().position(is_its)
}

fn unpair(unpaired: &mut BTreeMap<usize, Vec<PodKey>>, key: &PodKey, bodies: &Bodies<'_>) {
    if let Some((class, _)) = bodies.first() {
        unpaired.entry(*class).or_default().push(key.clone());
    }
}
