//! Pods, namespaces and nodes, slimmed to what decides about packets.

use std::net::IpAddr;

use ipnet::IpNet;

use super::{Labels, NamespaceName, NodeName, PodKey, PodUid, PortName, Protocol};

/// A pod. Whether it takes part in policy at all is [`Pod::is_workload`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pod {
    /// Its identity.
    pub uid: PodUid,
    /// Its place.
    pub key: PodKey,
    /// Its labels.
    pub labels: Labels,
    /// The node that it was scheduled to, if any.
    pub node: Option<NodeName>,
    /// Its addresses in both families; empty until the network has given it any.
    pub addresses: Vec<IpAddr>,
    /// The named ports that its containers declare, init containers included.
    pub ports: Vec<ContainerPort>,
    /// Whether it lives in the node's own network.
    pub host_network: bool,
    /// Whether its phase is Succeeded or Failed: its addresses may already be another pod's.
    pub finished: bool,
    /// `metadata.creationTimestamp`, seconds since 1970. Decides who owns an address during a hand-over.
    pub created: i64,
}

impl Pod {
    /// Bytes of what a pod says of itself ([`Pod::said`]), at the most. Its owner chooses how much that is, and its node is told
    /// all of it: of pods without a bound one alone could make an object that etcd does not take (1.5 MB), and the node would get
    /// no further rules. With this one every pod fits into an object of [`crate::rules::POD_CAPACITY`]. Ordinary pods say some
    /// hundred bytes.
    pub const MOST_SAID: usize = 16 * 1024;

    /// Bytes of what it says of itself for policies, its labels and names of ports, when they are written as JSON.
    pub fn said(&self) -> usize {
        let ports = self.ports.iter().map(|port| named_port_weight(&port.name, 1));
        labels_weight(&self.labels) + ports.sum::<usize>()
    }

    /// Whether the pod is a subject and a peer of policies: it has a network of its own and has not finished.
    ///
    /// A pod on the host's network has the node's address, and nothing tells its packets from the node's
    /// (API documentation: behaviour of hostNetwork pods is undefined; Palisade leaves them to ipBlock). A pod
    /// that is being deleted takes part until its containers are gone.
    pub fn is_workload(&self) -> bool {
        !self.host_network && !self.finished
    }
}

/// Bytes of labels when they are written as JSON.
pub(crate) fn labels_weight(labels: &Labels) -> usize {
    const AROUND: usize = "\"\":\"\",".len();
    let labels = labels.iter().map(|(key, value)| key.len() + value.len() + AROUND);
    labels.sum()
}

/// Bytes of a name with its numbers.
pub(crate) fn named_port_weight(name: &PortName, numbers: usize) -> usize {
    const AROUND: usize = "{\"name\":\"\",\"protocol\":\"SCTP\",\"numbers\":[]},".len();
    const NUMBER: usize = "65535,".len();
    name.as_str().len() + AROUND + numbers * NUMBER
}

/// A container port that has a name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ContainerPort {
    /// Its name.
    pub name: PortName,
    /// Its protocol. The same name may stand for one port of each.
    pub protocol: Protocol,
    /// Its number.
    pub number: u16,
}

/// A namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Namespace {
    /// Its name.
    pub name: NamespaceName,
    /// Its labels. `kubernetes.io/metadata.name` is one like any other; the API server sets it.
    pub labels: Labels,
}

/// A node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Its name.
    pub name: NodeName,
    /// Its own addresses: traffic between them and the pods that run on it is always allowed.
    pub addresses: Vec<IpAddr>,
    /// The networks that its pods get their addresses from (`spec.podCIDRs`), empty where the CNI gives none.
    pub pod_networks: Vec<IpNet>,
}
