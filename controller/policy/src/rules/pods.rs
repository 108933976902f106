//! The pods of a node as they are published: in one object while they fit, in slices where there are more.
//!
//! An API server writes an object as a whole, and etcd takes none above 1.5 MB. What a pod brings, above all its labels, is for
//! its owner to choose; so without slices a node's object would grow with every pod, and a tenant could stop the updates of a
//! node. In slices a pod that comes or goes is one write of a bounded size, however many pods the node has.
//!
//! **Each slice stands for itself**: it names the namespaces of its own pods that have policies. So no slice ever shows a pod
//! without saying that there are policies to be asked about it, whichever other slices have been written or seen.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;

use super::tree::{SliceId, hash, spread};
use super::{Resident, Residents};
use crate::model::{NamespaceName, NodeName, PodUid, labels_weight, named_port_weight};

/// What the pods of one object may weigh together, in bytes of JSON. A hundred ordinary pods weigh less, so that most nodes
/// need no slices; an API server takes about a millisecond for each KB of an object that it writes.
pub const POD_CAPACITY: usize = 32 * 1024;

/// What is published under a node's own name: what is said of the node, and the first slice of its pods.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeHead {
    /// Where its pods' addresses come from.
    pub pod_networks: Vec<IpNet>,
    /// The first slice.
    pub pods: PodSlice,
}

/// A part of the pods of a node as it is published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodSlice {
    /// The node.
    pub node: NodeName,
    /// Which part of its pods.
    pub id: SliceId,
    /// Whether the pods are in its halves.
    pub split: bool,
    /// The pods; none if it is split.
    pub pods: BTreeMap<PodUid, Arc<Resident>>,
    /// The namespaces of these pods that have policies; none if it is split.
    pub namespaces: BTreeSet<NamespaceName>,
}

impl Residents {
    /// The objects that they are published in: the head, and the slices below it where it is split.
    pub fn cut(&self) -> (NodeHead, BTreeMap<SliceId, PodSlice>) {
        let pods = self
            .pods
            .iter()
            .map(|(uid, pod)| (hash(uid.as_str()), pod_weight(uid, pod), (uid, pod)));
        let mut slices: BTreeMap<SliceId, PodSlice> = spread(pods, POD_CAPACITY)
            .into_iter()
            .map(|(id, pods)| {
                let split = pods.is_none();
                let pods = pods.into_iter().flatten();
                let pods: BTreeMap<_, _> = pods.map(|(uid, pod)| (uid.clone(), pod.clone())).collect();
                let used = pods.values().map(|pod| &pod.key.namespace);
                let used = used.filter(|name| self.namespaces.contains(*name)).cloned();
                let slice = PodSlice {
                    node: self.node.clone(),
                    id,
                    split,
                    namespaces: used.collect(),
                    pods,
                };
                (id, slice)
            })
            .collect();
        let first = slices.remove(&SliceId::WHOLE).map(|mut first| {
            if !first.split {
                first.namespaces.clone_from(&self.namespaces);
            }
            first
        });
        let head = NodeHead {
            pod_networks: self.pod_networks.clone(),
            pods: first.unwrap_or_else(|| PodSlice::empty(&self.node)),
        };
        (head, slices)
    }

    /// What a head and the slices below it say together.
    pub fn unite<'a>(head: &NodeHead, slices: impl IntoIterator<Item = &'a PodSlice>) -> Self {
        let mut whole = Self {
            node: head.pods.node.clone(),
            pod_networks: head.pod_networks.clone(),
            pods: head.pods.pods.clone(),
            namespaces: head.pods.namespaces.clone(),
        };
        for slice in slices {
            let pods = slice.pods.iter().map(|(uid, pod)| (uid.clone(), pod.clone()));
            whole.pods.extend(pods);
            whole.namespaces.extend(slice.namespaces.iter().cloned());
        }
        whole
    }
}

impl PodSlice {
    /// The first slice of a node without pods.
    fn empty(node: &NodeName) -> Self {
        Self {
            node: node.clone(),
            id: SliceId::WHOLE,
            split: false,
            pods: BTreeMap::new(),
            namespaces: BTreeSet::new(),
        }
    }
}

/// Bytes of a pod when it is written as JSON, with its namespace, which may have to be named for it alone. A little more than
/// they are.
pub(crate) fn pod_weight(uid: &PodUid, pod: &Resident) -> usize {
    const NAMES_OF_FIELDS: usize = 40;
    let address = |address: &IpAddr| match address {
        IpAddr::V4(_) => "\"255.255.255.255\",".len(),
        IpAddr::V6(_) => "\"2001:0db8:1234:5678:9abc:def0:1234:5678\",".len(),
    };
    let key = 2 * pod.key.namespace.as_str().len() + pod.key.name.len() + 8;
    let own = uid.as_str().len() + key + pod.addresses.iter().map(address).sum::<usize>();
    let ports = pod.ports.iter();
    let ports = ports.map(|(name, numbers)| named_port_weight(&name.name, numbers.len()));
    NAMES_OF_FIELDS + own + labels_weight(&pod.labels) + ports.sum::<usize>()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Labels, PodKey};
    use crate::rules::NamedPorts;

    /// A node whose pods weigh more than `weight` each.
    fn heavy(count: usize, weight: usize) -> Residents {
        let pods = (0..count).map(|number| {
            let mut labels = Labels::default();
            for label in 0..=weight / 60 {
                labels.insert(format!("label-{label:05}"), "x".repeat(60));
            }
            let pod = Resident {
                key: PodKey::new(format!("ns-{}", number % 3), format!("web-{number}")),
                addresses: ["10.0.0.1".parse().unwrap()].into(),
                labels,
                ports: NamedPorts::default(),
            };
            (PodUid::from(format!("uid-{number}")), Arc::new(pod))
        });
        Residents {
            node: "a".into(),
            pod_networks: vec!["10.0.0.0/24".parse().unwrap()],
            pods: pods.collect(),
            namespaces: ["ns-0".into(), "ns-2".into()].into(),
        }
    }

    #[test]
    fn pods_that_fit_are_in_the_head_alone() {
        let residents = heavy(10, 1_000);
        let (head, slices) = residents.cut();
        assert!(!head.pods.split && slices.is_empty());
        assert_eq!(Residents::unite(&head, []), residents);
    }

    #[test]
    fn pods_that_do_not_fit_are_in_slices_that_each_name_their_namespaces() {
        let residents = heavy(40, 10_000);
        let (head, slices) = residents.cut();
        assert!(head.pods.split && head.pods.pods.is_empty() && head.pods.namespaces.is_empty());
        for slice in slices.values() {
            let weight: usize = slice.pods.iter().map(|(uid, pod)| pod_weight(uid, pod)).sum();
            assert!(weight <= POD_CAPACITY, "{weight}");
            for pod in slice.pods.values() {
                let name = &pod.key.namespace;
                assert_eq!(
                    slice.namespaces.contains(name),
                    residents.namespaces.contains(name)
                );
            }
        }
        assert_eq!(Residents::unite(&head, slices.values()), residents);
    }
}
