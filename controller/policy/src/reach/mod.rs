//! Who reaches whom on which ports, for everybody at once.
//!
//! The oracle ([`crate::evaluate`]) answers for one packet. [`Reach`] answers for all of them: it puts pods that no policy
//! tells apart into *classes*, addresses outside likewise into *ranges*, and says of each pair of these on which ports a
//! connection passes. A class has as many pods as it has; the answer is the same for each of them.
//!
//! ```text
//!   ClusterState ─► classes of pods ──┐
//!                └► ranges outside ───┴─► ports(from, to, family)      exact: equal to asking the oracle
//!                                     └─► flows(family)                all pairs that have any, without listing the others
//! ```
//!
//! Two connections are no matter of policies and of no pair: between a pod and its own node, and from a pod to itself. Both
//! are always allowed; [`Reach::verdict`] knows them.

mod ports;

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use ipnet::IpNet;

use crate::cluster::ClusterState;
use crate::model::{Labels, NamespaceName, Packet, PodUid, PolicyKey, Verdict};

pub use ports::PortSet;

/// An address family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Family {
    /// IPv4
    V4,
    /// IPv6
    V6,
}

/// One end of connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum End {
    /// Any pod of a class: an index into [`Reach::classes`].
    Pods(usize),
    /// Any address of a range outside: an index into [`Reach::outside`].
    Outside(usize),
}

/// Pods of one namespace that no policy tells apart, whether as subjects or as peers, in either family.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Class {
    /// Their namespace.
    pub namespace: NamespaceName,
    /// The labels that all of them have.
    pub labels: Labels,
    /// The pods, by UID. Never empty.
    pub members: Vec<Member>,
    /// The policies that isolate them for ingress; none: everything is allowed to them.
    pub ingress: BTreeSet<PolicyKey>,
    /// The policies that isolate them for egress; none: everything is allowed from them.
    pub egress: BTreeSet<PolicyKey>,
}

/// A pod of a class.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Member {
    /// The pod.
    pub uid: PodUid,
    /// Its IPv4 address. Of a class, all members have one or none has.
    pub v4: Option<Ipv4Addr>,
    /// Its IPv6 address, likewise.
    pub v6: Option<Ipv6Addr>,
}

/// Addresses of one family that no policy tells apart. It stands for those that no pod has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outside {
    /// Their family.
    pub family: Family,
    /// The addresses, as few and as large blocks as possible, in order. Pods' addresses may lie in them.
    pub blocks: Vec<IpNet>,
}

/// Connections that are allowed: from any of some ends to one end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flow {
    /// From where, in order. Flows share these lists.
    pub from: Arc<[End]>,
    /// To where.
    pub to: End,
    /// On which ports. Never empty.
    pub ports: PortSet,
}

/// The whole reachability of a state.
#[derive(Clone, Debug, Default)]
pub struct Reach {
    classes: Vec<Class>,
    outside: Vec<Outside>,
}

impl Reach {
    /// Works out who reaches whom.
    pub fn of(_state: &ClusterState) -> Self {
        Self::default()
    }

    /// The classes of pods, by namespace and then by their first member's name.
    pub fn classes(&self) -> &[Class] {
        &self.classes
    }

    /// The ranges outside, IPv4 first, by their first address. Together those of a family are all of its addresses.
    pub fn outside(&self) -> &[Outside] {
        &self.outside
    }

    /// Where an address belongs: the class of the pod that owns it, or else the range that it lies in.
    pub fn end(&self, _address: IpAddr) -> Option<End> {
        None
    }

    /// On which ports connections pass from one end to another, in one family. Of two pods of the same class: from one to
    /// the other. Nothing where an end has no address of the family; from outside to outside everything.
    pub fn ports(&self, _from: End, _to: End, _family: Family) -> PortSet {
        PortSet::none()
    }

    /// All connections of a family that are allowed to or from pods: every pair with any port is in exactly one flow. In
    /// order of the destination, and of the same cost as their number.
    pub fn flows(&self, _family: Family) -> impl Iterator<Item = Flow> {
        std::iter::empty()
    }

    /// What becomes of a packet: what the oracle says of it.
    pub fn verdict(&self, _packet: &Packet) -> Verdict {
        Verdict::Deny
    }

    /// A packet from one end to another on one of some ports, between two pods if both ends are the same class; `None` where
    /// there is none, as in a class of one pod. In ranges outside it avoids addresses of pods.
    pub fn witness(&self, _from: End, _to: End, _family: Family, _ports: &PortSet) -> Option<Packet> {
        None
    }
}
