//! One pod's place: its node, its profiles, its memberships.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::class::{Class, Classes};
use super::group::Groups;
use super::index::{link, unlink};
use super::policy::Policies;
use crate::cluster::ClusterState;
use crate::model::{Direction, NodeName, Pod, PodUid, PolicyKey};
use crate::rules::{GroupId, LocalPod, Member, NamedPort, Profile, ProfileId};

/// What is known of a pod that takes part in policy.
#[derive(Clone, Debug)]
pub(super) struct PodRecord {
    pub(super) node: Option<NodeName>,
    pub(super) local: LocalPod,
    pub(super) memberships: BTreeMap<GroupId, Member>,
}

impl PodRecord {
    /// What the pod's node is told of it.
    pub(super) fn place(&self) -> (Option<&NodeName>, &LocalPod) {
        (self.node.as_ref(), &self.local)
    }

    pub(super) fn profiles(&self) -> impl Iterator<Item = &ProfileId> {
        self.local.ingress.iter().chain(&self.local.egress)
    }
}

/// The place of a pod as things are now, with the profiles that it uses; `None` where it takes no part.
pub(super) fn place(
    uid: &PodUid,
    state: &ClusterState,
    classes: &Classes,
    policies: &Policies,
    groups: &Groups,
) -> Option<(PodRecord, Vec<(ProfileId, Profile)>)> {
    let pod = state.pods().get(uid).filter(|pod| pod.is_workload())?;
    let class = classes.of_pod(uid)?;
    let owned = |address: &IpAddr| state.owner(*address).is_some_and(|owner| owner.uid == *uid);
    let addresses: BTreeSet<IpAddr> = pod.addresses.iter().copied().filter(owned).collect();
    let [ingress, egress] = [Direction::Ingress, Direction::Egress]
        .map(|direction| profile(pod, class, policies, direction).map(|profile| (profile.id(), profile)));
    let id = |profile: &Option<(ProfileId, Profile)>| profile.as_ref().map(|(id, _)| id.clone());
    let local = LocalPod {
        key: pod.key.clone(),
        ingress: id(&ingress),
        egress: id(&egress),
        addresses,
    };
    let memberships = class
        .groups
        .iter()
        .filter_map(|id| Some((id.clone(), member(pod, &local.addresses, id, groups)?)));
    let profiles = [ingress, egress].into_iter().flatten().collect();
    let memberships = memberships.collect();
    Some((
        PodRecord {
            node: pod.node.clone(),
            memberships,
            local,
        },
        profiles,
    ))
}

/// The profile of a pod in one direction; `None` where no policy isolates it.
fn profile(pod: &Pod, class: &Class, policies: &Policies, direction: Direction) -> Option<Profile> {
    let isolates = |key: &&PolicyKey| {
        policies
            .rules(key)
            .is_some_and(|rules| rules.rules(direction).is_some())
    };
    let isolating: BTreeSet<PolicyKey> = class.policies.iter().filter(isolates).cloned().collect();
    if isolating.is_empty() {
        return None;
    }
    let names = match direction {
        Direction::Ingress => isolating
            .iter()
            .flat_map(|key| policies.port_names(key))
            .collect(),
        Direction::Egress => BTreeSet::new(),
    };
    let named_ports = names.into_iter().filter_map(|name| {
        let numbers = numbers(pod, name);
        (!numbers.is_empty()).then(|| (name.clone(), numbers))
    });
    Some(Profile {
        direction,
        named_ports: named_ports.collect(),
        policies: isolating,
    })
}

/// The numbers that a pod declares for a port name, over all its containers.
fn numbers(pod: &Pod, port: &NamedPort) -> BTreeSet<u16> {
    let declared = pod
        .ports
        .iter()
        .filter(|declared| declared.name == port.name && declared.protocol == port.protocol);
    declared.map(|declared| declared.number).collect()
}

/// A pod as a member of a group whose selectors match it; `None` where none of its addresses, or no port, belongs.
fn member(pod: &Pod, addresses: &BTreeSet<IpAddr>, id: &GroupId, groups: &Groups) -> Option<Member> {
    let spec = &groups.get(id)?.spec;
    let within = |address: &&IpAddr| spec.within.as_ref().is_none_or(|block| block.contains(**address));
    let addresses: BTreeSet<IpAddr> = addresses.iter().filter(within).copied().collect();
    let ports = spec.port.as_ref().map(|port| numbers(pod, port));
    let declares = ports.as_ref().is_none_or(|ports| !ports.is_empty());
    (declares && !addresses.is_empty()).then(|| Member {
        pod: pod.key.clone(),
        addresses,
        ports: ports.unwrap_or_default(),
    })
}

/// The profiles that pods use, and where.
#[derive(Clone, Debug, Default)]
pub(super) struct Profiles {
    profiles: BTreeMap<ProfileId, Used>,
    by_policy: BTreeMap<PolicyKey, BTreeSet<ProfileId>>,
}

#[derive(Clone, Debug)]
struct Used {
    profile: Profile,
    /// How many pods use it on each node.
    nodes: BTreeMap<Option<NodeName>, usize>,
}

impl Profiles {
    pub(super) fn get(&self, id: &ProfileId) -> Option<&Profile> {
        self.profiles.get(id).map(|used| &used.profile)
    }

    /// The nodes with pods that a policy isolates.
    pub(super) fn nodes_of_policy(&self, key: &PolicyKey) -> BTreeSet<NodeName> {
        let profiles = self
            .by_policy
            .get(key)
            .into_iter()
            .flatten()
            .filter_map(|id| self.profiles.get(id));
        profiles
            .flat_map(|used| used.nodes.keys().flatten().cloned())
            .collect()
    }

    pub(super) fn hold(&mut self, record: &PodRecord, profiles: Vec<(ProfileId, Profile)>) {
        for (id, profile) in profiles {
            let used = self.profiles.entry(id.clone()).or_insert_with(|| Used {
                profile,
                nodes: BTreeMap::new(),
            });
            if used.nodes.is_empty() {
                for key in &used.profile.policies {
                    link(&mut self.by_policy, key.clone(), id.clone());
                }
            }
            *used.nodes.entry(record.node.clone()).or_default() += 1;
        }
    }

    pub(super) fn release(&mut self, record: &PodRecord) {
        for id in record.profiles() {
            let Some(used) = self.profiles.get_mut(id) else {
                continue;
            };
            if let Some(count) = used.nodes.get_mut(&record.node) {
                *count -= 1;
                if *count == 0 {
                    used.nodes.remove(&record.node);
                }
            }
            if used.nodes.is_empty()
                && let Some(used) = self.profiles.remove(id)
            {
                for key in &used.profile.policies {
                    unlink(&mut self.by_policy, key, id);
                }
            }
        }
    }
}
