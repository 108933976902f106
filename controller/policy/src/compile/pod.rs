//! One pod's place: its node, what that is told of it, its memberships.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::class::Classes;
use super::group::Groups;
use crate::cluster::ClusterState;
use crate::model::{NodeName, Pod, PodUid};
use crate::rules::{GroupId, Member, NamedPort, Resident};

/// What is known of a pod that takes part in policy.
#[derive(Clone, Debug)]
pub(super) struct PodRecord {
    pub(super) node: Option<NodeName>,
    pub(super) local: Resident,
    pub(super) memberships: BTreeMap<GroupId, Member>,
}

impl PodRecord {
    /// What the pod's node is told of it.
    pub(super) fn place(&self) -> (Option<&NodeName>, &Resident) {
        (self.node.as_ref(), &self.local)
    }
}

/// The place of a pod as things are now; `None` where it takes no part.
pub(super) fn place(
    uid: &PodUid,
    state: &ClusterState,
    classes: &Classes,
    groups: &Groups,
) -> Option<PodRecord> {
    let pod = state.pods().get(uid).filter(|pod| pod.is_workload())?;
    let class = classes.of_pod(uid)?;
    let owned = |address: &IpAddr| state.owner(*address).is_some_and(|owner| owner.uid == *uid);
    let local = Resident {
        key: pod.key.clone(),
        addresses: pod.addresses.iter().copied().filter(owned).collect(),
        labels: pod.labels.clone(),
        ports: ports(pod),
    };
    let memberships = class
        .groups
        .iter()
        .filter_map(|id| Some((id.clone(), member(&local, id, groups)?)));
    Some(PodRecord {
        node: pod.node.clone(),
        memberships: memberships.collect(),
        local,
    })
}

/// The numbers that a pod declares for names of ports, over all its containers.
fn ports(pod: &Pod) -> BTreeMap<NamedPort, BTreeSet<u16>> {
    let mut ports: BTreeMap<NamedPort, BTreeSet<u16>> = BTreeMap::new();
    for declared in &pod.ports {
        let name = NamedPort {
            name: declared.name.clone(),
            protocol: declared.protocol,
        };
        ports.entry(name).or_default().insert(declared.number);
    }
    ports
}

/// A pod as a member of a group whose selectors match it; `None` where none of its addresses, or no port, belongs.
fn member(pod: &Resident, id: &GroupId, groups: &Groups) -> Option<Member> {
    let spec = &groups.get(id)?.spec;
    let within = |address: &&IpAddr| spec.within.as_ref().is_none_or(|block| block.contains(**address));
    let addresses: BTreeSet<IpAddr> = pod.addresses.iter().filter(within).copied().collect();
    let ports = match &spec.port {
        Some(port) => pod.ports.get(port).cloned()?,
        None => BTreeSet::new(),
    };
    (!addresses.is_empty()).then(|| Member {
        pod: pod.key.clone(),
        addresses,
        ports,
    })
}
