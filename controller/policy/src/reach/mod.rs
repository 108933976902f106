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
//! What tells pods apart is found from the outside in: who is there (`population`), which selectors select them (`terms`),
//! which blocks their addresses lie in (`ground`), what the policies that isolate them allow together (`profile`). `build`
//! makes classes of those that are equal in all of it; `flows` lists connections; `difference` compares two states.
//!
//! Two connections are no matter of policies and of no pair: between a pod and its own node, and from a pod to itself. Both
//! are always allowed; [`Reach::verdict`] knows them.

mod build;
mod difference;
mod family;
mod flows;
mod ground;
mod numbering;
mod population;
mod ports;
mod profile;
mod sets;
mod terms;
mod witness;

use std::collections::{BTreeSet, HashMap};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use ipnet::IpNet;

use crate::cluster::ClusterState;
use crate::model::{Labels, NamespaceName, Packet, PodUid, PolicyKey, Verdict};

use family::ByFamily;
use ground::Ground;
use profile::{Numbers, Other, Profile};

pub use difference::{Change, Difference, Families, JointClass, Twin, Unpaired};
pub use family::Family;
pub use ports::PortSet;

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
    /// What tells ends apart: of the classes, then of the ranges outside.
    traits: Vec<Traits>,
    ground: Ground,
    /// Who lives at each address that a pod owns.
    residents: HashMap<IpAddr, Resident>,
    /// The addresses of nodes that pods run on.
    nodes: Vec<Vec<IpAddr>>,
    /// Of each range outside an address that is neither a pod's nor a node's, where it has one.
    strangers: Vec<Option<IpAddr>>,
}

/// What tells one end from another.
#[derive(Clone, Debug, Default)]
struct Traits {
    /// What is allowed to it; everything, if nothing isolates it.
    ingress: Option<Arc<Profile>>,
    /// What is allowed from it.
    egress: Option<Arc<Profile>>,
    /// The terms that select it, in order.
    terms: Arc<[usize]>,
    /// What it declares under names that matter.
    numbers: Numbers,
    /// The range that its address of each family lies in.
    ranges: ByFamily<Option<usize>>,
}

/// The pod that owns an address.
#[derive(Clone, Debug)]
struct Resident {
    class: usize,
    pod: PodUid,
    /// Its node, where it has one.
    node: Option<usize>,
}

impl Reach {
    /// Works out who reaches whom.
    pub fn of(state: &ClusterState) -> Self {
        build::reach(state)
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
    pub fn end(&self, address: IpAddr) -> Option<End> {
        match self.residents.get(&address) {
            Some(resident) => Some(End::Pods(resident.class)),
            None => self.ground.range(address).map(End::Outside),
        }
    }

    /// The range that an address lies in, whoever has it: an index into [`Reach::outside`].
    pub fn range(&self, address: IpAddr) -> Option<usize> {
        self.ground.range(address)
    }

    /// On which ports connections pass from one end to another, in one family. Of two pods of the same class: from one to
    /// the other; a class of one pod is answered as if it had a second. Nothing where an end has no address of the family;
    /// from outside to outside everything.
    pub fn ports(&self, from: End, to: End, family: Family) -> PortSet {
        let (Some(source), Some(destination)) = (self.traits(from), self.traits(to)) else {
            return PortSet::none();
        };
        let (Some(leaves), Some(enters)) = (source.seen(family), destination.seen(family)) else {
            return PortSet::none();
        };
        self.between((source, leaves), (destination, enters))
    }

    /// What both sides allow. Where a rule asks for a port by name, the destination's own numbers count on either side.
    fn between(&self, from: (&Traits, Other<'_>), to: (&Traits, Other<'_>)) -> PortSet {
        let numbers = &to.0.numbers;
        let egress = from.0.egress.as_ref();
        let egress = egress.map(|profile| profile.towards(to.1, numbers, &self.ground));
        let ingress = to.0.ingress.as_ref();
        let ingress = ingress.map(|profile| profile.towards(from.1, numbers, &self.ground));
        match (egress, ingress) {
            (Some(egress), Some(ingress)) => egress.intersection(&ingress),
            (Some(side), None) | (None, Some(side)) => side.into_owned(),
            (None, None) => PortSet::all(),
        }
    }

    fn traits(&self, end: End) -> Option<&Traits> {
        match end {
            End::Pods(class) => self.traits.get(class).filter(|_| class < self.classes.len()),
            End::Outside(range) => self.traits.get(self.classes.len().checked_add(range)?),
        }
    }

    /// All ends, in order.
    fn ends(&self) -> impl Iterator<Item = (End, &Traits)> + Clone {
        let pods = (0..self.classes.len()).map(End::Pods);
        let outside = (0..self.outside.len()).map(End::Outside);
        pods.chain(outside).zip(&self.traits)
    }

    /// All connections of a family that are allowed to or from pods: every pair with any port is in exactly one flow. In
    /// order of the destination, and of the same cost as their number.
    pub fn flows(&self, family: Family) -> impl Iterator<Item = Flow> {
        flows::flows(self, family)
    }

    /// What becomes of a packet: what the oracle says of it.
    pub fn verdict(&self, packet: &Packet) -> Verdict {
        let source = self.residents.get(&packet.source);
        let destination = self.residents.get(&packet.destination);
        let is_own_node = |pod: &Resident, address| {
            let node = pod.node.and_then(|node| self.nodes.get(node));
            node.is_some_and(|addresses| addresses.contains(&address))
        };
        let always = match (source, destination) {
            (Some(source), Some(destination)) => source.pod == destination.pod,
            (Some(pod), None) => is_own_node(pod, packet.destination),
            (None, Some(pod)) => is_own_node(pod, packet.source),
            (None, None) => true,
        };
        if always
            || self
                .judge(packet)
                .is_some_and(|ports| ports.contains(packet.transport))
        {
            Verdict::Allow
        } else {
            Verdict::Deny
        }
    }

    /// The ports that are open between the addresses of a packet.
    fn judge(&self, packet: &Packet) -> Option<PortSet> {
        let from = self.traits(self.end(packet.source)?)?;
        let to = self.traits(self.end(packet.destination)?)?;
        let leaves = from.seen(Family::of(packet.source))?;
        let enters = to.seen(Family::of(packet.destination))?;
        Some(self.between((from, leaves), (to, enters)))
    }

    /// A packet from one end to another on one of some ports, between two pods if both ends are the same class; `None` where
    /// there is none, as in a class of one pod. In ranges outside it avoids addresses of pods.
    pub fn witness(&self, from: End, to: End, family: Family, ports: &PortSet) -> Option<Packet> {
        witness::witness(self, from, to, family, ports)
    }
}

impl Traits {
    /// The end as a rule for the other end sees it; `None` without an address of the family.
    fn seen(&self, family: Family) -> Option<Other<'_>> {
        let range = (*self.ranges.get(family))?;
        Some(Other {
            terms: &self.terms,
            range,
        })
    }
}
