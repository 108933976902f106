//! The objects that are known, as they are now.
//!
//! [`ClusterState`] is input and nothing else: it remembers the newest form of each object and who owns an address.
//! The oracle reads it as it stands; the compiler keeps indexes of its own beside it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;

use crate::model::{Namespace, NamespaceName, Node, NodeName, Pod, PodUid, Policy, PolicyKey};

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
    /// The workloads that report each address, in the order in which they were created: the last one owns it.
    claims: HashMap<IpAddr, BTreeSet<(i64, PodUid)>>,
}

impl ClusterState {
    /// A state with the outcome of `events`.
    pub fn from_events(events: impl IntoIterator<Item = Event>) -> Self {
        let mut state = Self::default();
        for event in events {
            state.apply(event);
        }
        state
    }

    /// Takes in one event.
    pub fn apply(&mut self, event: Event) {
        match event {
            Event::PodApplied(pod) => {
                self.remove_pod(&pod.uid.clone());
                for address in addresses(&pod) {
                    self.claims
                        .entry(address)
                        .or_default()
                        .insert((pod.created, pod.uid.clone()));
                }
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
            claims.remove(&(pod.created, uid.clone()));
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
        let newest = self.claims.get(&address).and_then(BTreeSet::last);
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

/// The addresses that a pod claims: none where it takes no part in policy.
fn addresses(pod: &Pod) -> impl Iterator<Item = IpAddr> {
    let claimed: &[IpAddr] = if pod.is_workload() { &pod.addresses } else { &[] };
    claimed.iter().copied()
}
