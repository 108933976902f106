//! One pod's place: its node, what that is told of it, what it is as a member of groups.

use std::sync::Arc;

use super::class::{ClassKey, ClassNumber};
use super::group::Candidate;
use super::slots::Slots;
use crate::cluster::ClusterState;
use crate::map::Map;
use crate::model::{NodeName, Pod, PodUid, Sorted};
use crate::rules::{Member, NamedPort, NamedPorts, Resident, hash};
use crate::shared::Shared;

/// Stands for a pod.
pub(super) type PodNumber = u32;

/// What is known of a pod that takes part in policy.
#[derive(Clone, Debug)]
pub(super) struct PodRecord {
    pub(super) uid: PodUid,
    /// The hash of its UID, which tells into which slices it goes.
    pub(super) hash: u32,
    pub(super) class: ClassNumber,
    /// Its position among the pods of its class.
    pub(super) position: u32,
    pub(super) node: Option<NodeName>,
    pub(super) resident: Arc<Resident>,
    /// What it is in most groups; `None` where it has no address.
    plain: Option<Arc<Member>>,
}

impl PodRecord {
    /// The pod, as groups see it.
    pub(super) fn candidate(&self, number: PodNumber) -> Candidate<'_> {
        Candidate {
            number,
            hash: self.hash,
            resident: &self.resident,
            plain: self.plain.as_ref(),
        }
    }
}

/// All pods that take part in policy.
#[derive(Clone, Debug, Default)]
pub(super) struct Pods {
    pub(super) all: Slots<PodRecord>,
    pub(super) by_uid: Map<PodUid, PodNumber>,
    ports: Shared<NamedPorts>,
}

/// The place of a pod as things are now, but for its class's number.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) class: ClassKey,
    pub(super) node: Option<NodeName>,
    pub(super) resident: Arc<Resident>,
    plain: Option<Arc<Member>>,
}

impl Pods {
    /// Makes room for as many pods as are to come.
    pub(super) fn reserve(&mut self, pods: usize) {
        self.all.reserve(pods);
        self.by_uid.reserve(pods);
    }

    /// Where a pod belongs; `None` where it takes no part. What is as it was is the same memory.
    pub(super) fn place(&mut self, pod: &Pod, state: &ClusterState, old: Option<PodNumber>) -> Option<Place> {
        if !pod.is_workload() {
            return None;
        }
        let addresses = pod.addresses.iter().copied();
        let mut resident = Resident {
            key: pod.key.clone(),
            addresses: addresses.filter(|address| state.owns(pod, *address)).collect(),
            labels: pod.labels.clone(),
            ports: ports(pod),
        };
        self.ports.share(&mut resident.ports);
        let class = ClassKey {
            namespace: pod.key.namespace.clone(),
            labels: pod.labels.clone(),
        };
        let old = old.and_then(|number| self.all.get(number));
        if let Some(old) = old.filter(|old| *old.resident == resident) {
            return Some(Place {
                class,
                node: pod.node.clone(),
                resident: old.resident.clone(),
                plain: old.plain.clone(),
            });
        }
        let plain = (!resident.addresses.is_empty()).then(|| Member {
            pod: pod.key.clone(),
            addresses: resident.addresses.clone(),
            ports: Sorted::default(),
        });
        Some(Place {
            class,
            node: pod.node.clone(),
            resident: Arc::new(resident),
            plain: plain.map(Arc::new),
        })
    }

    /// Records a pod that was not there; its position is still to be set.
    pub(super) fn insert(&mut self, uid: &PodUid, class: ClassNumber, place: Place) -> PodNumber {
        let number = self.all.insert(PodRecord {
            uid: uid.clone(),
            hash: hash(uid.as_str()),
            class,
            position: 0,
            node: place.node,
            resident: place.resident,
            plain: place.plain,
        });
        self.by_uid.insert(uid.clone(), number);
        number
    }

    /// Records another place of a pod; returns what it was.
    pub(super) fn replace(
        &mut self,
        number: PodNumber,
        class: ClassNumber,
        place: Place,
    ) -> Option<PodRecord> {
        let record = self.all.get_mut(number)?;
        let new = PodRecord {
            uid: record.uid.clone(),
            hash: record.hash,
            class,
            position: record.position,
            node: place.node,
            resident: place.resident,
            plain: place.plain,
        };
        Some(std::mem::replace(record, new))
    }

    /// Forgets a pod.
    pub(super) fn remove(&mut self, number: PodNumber) -> Option<PodRecord> {
        let record = self.all.remove(number)?;
        self.by_uid.remove(&record.uid);
        Some(record)
    }
}

/// The numbers that a pod declares for names of ports, over all its containers.
fn ports(pod: &Pod) -> NamedPorts {
    let named = pod.ports.iter().map(|declared| {
        let name = NamedPort {
            name: declared.name.clone(),
            protocol: declared.protocol,
        };
        (name, declared.number)
    });
    named.collect()
}
