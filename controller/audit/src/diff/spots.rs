//! Whom to ask about: a pod or an address of an end, in both states, and a state with nothing else in it.

use std::borrow::Cow;
use std::net::IpAddr;

use palisade_policy::cluster::{ClusterState, Event};
use palisade_policy::model::{Pod, PodUid, Policy};
use palisade_policy::reach::{End, Family, Twin};

use super::joint::Joint;
use crate::explain::another;
use crate::inventory::Inventory;

/// A pod or an address, in both states.
#[derive(Clone, Debug)]
pub(super) struct Spot<'a> {
    pub(super) address: [IpAddr; 2],
    pub(super) pod: Option<[Cow<'a, Pod>; 2]>,
}

/// A source and a destination that policies decide about, and a family that they meet in.
pub(super) type Meeting<'a> = (Spot<'a>, Spot<'a>, Family);

/// Finds somebody to ask about.
#[derive(Clone, Copy, Debug)]
pub(super) struct Spots<'a> {
    pub(super) inventories: [&'a Inventory; 2],
    pub(super) joint: &'a Joint<'a>,
}

impl<'a> Spots<'a> {
    /// A pod or address of each end, such that policies decide about connections between them, in one family if only that is
    /// wanted.
    pub(super) fn meeting(self, from: End, to: End, wanted: Option<Family>) -> Option<Meeting<'a>> {
        let families = Family::ALL.into_iter();
        let families = families.filter(|family| wanted.is_none_or(|wanted| wanted == *family));
        let mut met = families.filter(|family| self.joint.has(from, *family) && self.joint.has(to, *family));
        met.find_map(|family| {
            let mut destinations = self.candidates(to, family);
            destinations.find_map(|destination| {
                let mut sources = self.candidates(from, family).chain(self.more(from, family));
                let source = sources.find(|source| self.is_decided(source, &destination))?;
                Some((source, destination, family))
            })
        })
    }

    fn candidates(self, end: End, family: Family) -> impl Iterator<Item = Spot<'a>> {
        let pods = self.joint.pods(end).iter();
        let pods = pods.filter_map(move |twin| self.spot(twin, family));
        let strangers = self.joint.strangers(end).iter().map(|address| Spot {
            address: [*address; 2],
            pod: None,
        });
        pods.chain(strangers)
    }

    fn spot(self, twin: &Twin, family: Family) -> Option<Spot<'a>> {
        let (before, after) = (&twin.before, &twin.after);
        Some(Spot {
            address: [before.address(family)?, after.address(family)?],
            pod: Some([
                Cow::Borrowed(self.pod(0, &before.uid)?),
                Cow::Borrowed(self.pod(1, &after.uid)?),
            ]),
        })
    }

    /// More pods of a class in which one stands for others: one that is like it, at another address.
    fn more(self, end: End, family: Family) -> impl Iterator<Item = Spot<'a>> {
        let first = self
            .joint
            .pods(end)
            .iter()
            .filter(move |_| self.joint.is_plural(end))
            .take(1);
        first.filter_map(move |twin| {
            let Spot { address, pod } = self.spot(twin, family)?;
            let [before, after] = address;
            let address = [self.joint.beside(before)?, self.joint.beside(after)?];
            let pod = pod?;
            let [one, other] = pod;
            let [was, is] = address;
            Some(Spot {
                address,
                pod: Some([(one, was), (other, is)].map(|(pod, address)| Cow::Owned(another(&pod, address)))),
            })
        })
    }

    fn pod(self, state: usize, uid: &PodUid) -> Option<&'a Pod> {
        self.inventories.get(state)?.state.pods().get(uid)
    }

    /// Whether policies have a say: not between a pod and itself or its own node.
    fn is_decided(self, source: &Spot<'_>, destination: &Spot<'_>) -> bool {
        match (&source.pod, &destination.pod) {
            (Some(source), Some(destination)) => source
                .iter()
                .zip(destination)
                .all(|(source, destination)| source.uid != destination.uid),
            (Some(pod), None) => !self.is_own_node(pod, destination.address),
            (None, Some(pod)) => !self.is_own_node(pod, source.address),
            (None, None) => false,
        }
    }

    fn is_own_node(self, pods: &[Cow<'_, Pod>; 2], addresses: [IpAddr; 2]) -> bool {
        let mut states = self.inventories.iter().zip(pods).zip(addresses);
        states.any(|((inventory, pod), address)| {
            let node = pod
                .node
                .as_ref()
                .and_then(|node| inventory.state.nodes().get(node));
            node.is_some_and(|node| node.addresses.contains(&address))
        })
    }

    /// A state with nothing in it but what decides about one pair.
    pub(super) fn scene(
        self,
        state: usize,
        source: &Spot<'_>,
        destination: &Spot<'_>,
        policies: &[&Policy],
    ) -> ClusterState {
        let pods = [&source.pod, &destination.pod].into_iter().flatten();
        let pods: Vec<&Pod> = pods
            .filter_map(|pods| pods.get(state).map(AsRef::as_ref))
            .collect();
        let namespaces = self
            .inventories
            .get(state)
            .map(|inventory| inventory.state.namespaces());
        let namespaces = pods
            .iter()
            .filter_map(|pod| namespaces?.get(&pod.key.namespace))
            .map(|namespace| Event::NamespaceApplied(namespace.clone()));
        let policies = policies
            .iter()
            .map(|policy| Event::PolicyApplied((*policy).clone()));
        let applied = pods.iter().map(|pod| Event::PodApplied((*pod).clone()));
        ClusterState::from_events(namespaces.chain(policies).chain(applied))
    }
}
