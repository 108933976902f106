//! The objects that are known, as they are now.
//!
//! [`ClusterState`] is input and nothing else: it remembers the newest form of each object and who owns an address.
//! The oracle reads it as it stands; the compiler keeps indexes of its own beside it.

use std::collections::BTreeMap;
use std::net::IpAddr;

use crate::map::Map;
use crate::model::{
    Labels, Namespace, NamespaceName, Node, NodeName, Pod, PodUid, Policy, PolicyKey, PortName,
};
use crate::shared::Shared;

/// A change of one object. An event may be repeated, or name an object that was never there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A pod was added or changed.
    PodApplied(Pod),
    /// A pod is gone.
    PodDeleted(PodUid),
    /// A namespace was added or changed.
    NamespaceApplied(Namespace),
    /// A namespace is gone.
    NamespaceDeleted(NamespaceName),
    /// A policy was added or changed.
    PolicyApplied(Policy),
    /// A policy is gone.
    PolicyDeleted(PolicyKey),
    /// A node was added or changed.
    NodeApplied(Node),
    /// A node is gone.
    NodeDeleted(NodeName),
}

/// All objects by their identity.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClusterState {
    pods: BTreeMap<PodUid, Pod>,
    namespaces: BTreeMap<NamespaceName, Namespace>,
    policies: BTreeMap<PolicyKey, Policy>,
    nodes: BTreeMap<NodeName, Node>,
    /// The workloads that report each address, in the order in which they were created: the last one owns it. Nearly always
    /// it is one.
    claims: Map<IpAddr, Vec<(i64, PodUid)>>,
    texts: Texts,
}

/// The texts that many objects have in common.
#[derive(Clone, Debug, Default)]
struct Texts {
    labels: Shared<Labels>,
    namespaces: Shared<NamespaceName>,
    nodes: Shared<NodeName>,
    ports: Shared<PortName>,
}

/// Which memory texts are in is nothing that a state says.
impl PartialEq for Texts {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Texts {}

impl Texts {
    /// Gives an event's object the texts that others have.
    fn share(&mut self, event: &mut Event) {
        match event {
            Event::PodApplied(pod) => {
                self.namespaces.share(&mut pod.key.namespace);
                self.labels.share(&mut pod.labels);
                if let Some(node) = &mut pod.node {
                    self.nodes.share(node);
                }
                for port in &mut pod.ports {
                    self.ports.share(&mut port.name);
                }
            }
            Event::NamespaceApplied(namespace) => self.namespaces.share(&mut namespace.name),
            Event::PolicyApplied(policy) => self.namespaces.share(&mut policy.key.namespace),
            Event::NodeApplied(_)
            | Event::PodDeleted(_)
            | Event::NamespaceDeleted(_)
            | Event::PolicyDeleted(_)
            | Event::NodeDeleted(_) => {}
        }
    }
}

impl ClusterState {
    /// A state with the outcome of `events`.
    pub fn from_events(events: impl IntoIterator<Item = Event>) -> Self {
        let mut state = Self::default();
        let mut applied = Applied::default();
        for mut event in events {
            state.texts.share(&mut event);
            match event {
                Event::PodApplied(pod) => applied.pods.push((pod.uid.clone(), pod)),
                Event::NamespaceApplied(namespace) => {
                    applied.namespaces.push((namespace.name.clone(), namespace));
                }
                Event::PolicyApplied(policy) => applied.policies.push((policy.key.clone(), policy)),
                Event::NodeApplied(node) => applied.nodes.push((node.name.clone(), node)),
                Event::PodDeleted(_)
                | Event::NamespaceDeleted(_)
                | Event::PolicyDeleted(_)
                | Event::NodeDeleted(_) => {
                    state.take_in(std::mem::take(&mut applied));
                    state.apply(event);
                }
            }
        }
        state.take_in(applied);
        state
    }

    /// Takes in many objects, the last of those with the same identity. A map that is built at once takes a fraction of the
    /// time of one that grows.
    fn take_in(&mut self, applied: Applied) {
        if self.pods.is_empty() {
            self.pods = applied.pods.into_iter().collect();
            self.claims.reserve(self.pods.len());
            for pod in self.pods.values() {
                claim(pod, &mut self.claims);
            }
        } else {
            applied
                .pods
                .into_iter()
                .for_each(|(_, pod)| self.apply(Event::PodApplied(pod)));
        }
        self.namespaces
            .append(&mut applied.namespaces.into_iter().collect());
        self.policies.append(&mut applied.policies.into_iter().collect());
        self.nodes.append(&mut applied.nodes.into_iter().collect());
    }

    /// Takes in one event.
    pub fn apply(&mut self, mut event: Event) {
        self.texts.share(&mut event);
        match event {
            Event::PodApplied(pod) => {
                self.remove_pod(&pod.uid);
                claim(&pod, &mut self.claims);
                self.pods.insert(pod.uid.clone(), pod);
            }
            Event::PodDeleted(uid) => self.remove_pod(&uid),
            Event::NamespaceApplied(namespace) => {
                self.namespaces.insert(namespace.name.clone(), namespace);
            }
            Event::NamespaceDeleted(name) => {
                self.namespaces.remove(&name);
            }
            Event::PolicyApplied(policy) => {
                self.policies.insert(policy.key.clone(), policy);
            }
            Event::PolicyDeleted(key) => {
                self.policies.remove(&key);
            }
            Event::NodeApplied(node) => {
                self.nodes.insert(node.name.clone(), node);
            }
            Event::NodeDeleted(name) => {
                self.nodes.remove(&name);
            }
        }
    }

    fn remove_pod(&mut self, uid: &PodUid) {
        let Some(pod) = self.pods.remove(uid) else { return };
        for address in addresses(&pod) {
            let Some(claims) = self.claims.get_mut(&address) else {
                continue;
            };
            claims.retain(|(_, claimant)| claimant != uid);
            if claims.is_empty() {
                self.claims.remove(&address);
            }
        }
    }

    /// All pods, those that take no part in policy included.
    pub fn pods(&self) -> &BTreeMap<PodUid, Pod> {
        &self.pods
    }

    /// All namespaces.
    pub fn namespaces(&self) -> &BTreeMap<NamespaceName, Namespace> {
        &self.namespaces
    }

    /// All policies.
    pub fn policies(&self) -> &BTreeMap<PolicyKey, Policy> {
        &self.policies
    }

    /// All nodes.
    pub fn nodes(&self) -> &BTreeMap<NodeName, Node> {
        &self.nodes
    }

    /// The workload that an address belongs to. Where several report it, as during the hand-over from a pod that
    /// is going to one that has come, it is the newest.
    pub fn owner(&self, address: IpAddr) -> Option<&Pod> {
        let (_, uid) = self.claims.get(&address)?.last()?;
        self.pods.get(uid)
    }

    /// Whether an address belongs to a pod.
    pub(crate) fn owns(&self, pod: &Pod, address: IpAddr) -> bool {
        let newest = self.claims.get(&address).and_then(|claims| claims.last());
        newest.is_some_and(|(_, uid)| *uid == pod.uid)
    }

    /// The workloads that report an address, whoever owns it.
    pub(crate) fn claimants(&self, address: IpAddr) -> impl Iterator<Item = &PodUid> {
        self.claims
            .get(&address)
            .into_iter()
            .flatten()
            .map(|(_, uid)| uid)
    }
}

/// Objects that are to be taken in, by their identity.
#[derive(Default)]
struct Applied {
    pods: Vec<(PodUid, Pod)>,
    namespaces: Vec<(NamespaceName, Namespace)>,
    policies: Vec<(PolicyKey, Policy)>,
    nodes: Vec<(NodeName, Node)>,
}

/// Puts a pod to those that report its addresses. It is not there yet.
fn claim(pod: &Pod, claims: &mut Map<IpAddr, Vec<(i64, PodUid)>>) {
    for address in addresses(pod) {
        let claims = claims.entry(address).or_default();
        let claimant = (pod.created, pod.uid.clone());
        // A pod that reports an address twice claims it once.
        if let Err(position) = claims.binary_search(&claimant) {
            claims.reserve_exact(1);
            claims.insert(position, claimant);
        }
    }
}

/// The addresses that a pod claims: none where it takes no part in policy.
fn addresses(pod: &Pod) -> impl Iterator<Item = IpAddr> {
    let claimed: &[IpAddr] = if pod.is_workload() { &pod.addresses } else { &[] };
    claimed.iter().copied()
}
