//! What verification finds.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use palisade_policy::model::{Direction, NodeName, PodKey, PolicyKey};

use super::document::Foreign;
use super::ruleset::Family;
use super::spans::Spans;
use super::transport::{Carried, Transports};
use super::walk::Step;

/// What was found on one node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeReport {
    /// The node.
    pub node: NodeName,
    /// The state of the kernel's tables that was read, where it was told.
    pub generation: Option<u32>,
    /// What is not as it should be.
    pub findings: Vec<Finding>,
    /// Differences that were found and not followed up, because there are so many.
    pub untold: usize,
    /// What is worth knowing and no difference.
    pub notes: Vec<String>,
    /// How much was compared.
    pub compared: Compared,
    /// All nodes that the API has pods on, this one or others.
    pub with_pods: Arc<BTreeSet<NodeName>>,
}

/// The nodes that the API has pods on and no report is of: nothing is known of them.
pub(super) fn unreported(reports: &[NodeReport]) -> Vec<&NodeName> {
    let known: BTreeSet<&NodeName> = reports.iter().map(|report| &report.node).collect();
    let all = reports.first().into_iter().flat_map(|report| &*report.with_pods);
    all.filter(|node| !known.contains(node)).collect()
}

impl NodeReport {
    /// Whether the kernel does what the API says.
    pub fn agrees(&self) -> bool {
        self.findings.is_empty()
    }
}

/// How much was compared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Compared {
    /// Pods of the node that have an address and a place.
    pub pods: usize,
    /// Pairs of addresses of pods of the node.
    pub pairs: usize,
    /// Stretches of addresses at the other end, for each address of a pod and direction: within each both sides are the same.
    pub stretches: usize,
}

/// One thing that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    /// The kernel lets pass what the API denies, or the other way round, or it cannot be said.
    Difference(Difference),
    /// Connections that may be begun, and are, cannot go on.
    Lost(Lost),
    /// The API names a pod, and neither the node nor its tables know where it is.
    Unplaced {
        /// The pod.
        pod: PodKey,
        /// Its addresses.
        addresses: Vec<IpAddr>,
        /// A packet that reaches it, or may, although all should be closed until the node knows it.
        open: Option<Witness>,
    },
    /// A chain of which the tables do not say which interfaces it is on.
    Unbound {
        /// The table's family.
        family: Family,
        /// The chain.
        chain: String,
        /// Its hook.
        hook: &'static str,
    },
    /// The tables name something that no pod of the node has.
    Stale(Stale),
    /// A pod can send in another's name, or cannot in its own.
    Source(SourceCheck),
    /// A bridge floods packets from an isolated pod, or to one.
    Flood {
        /// The pod.
        pod: PodKey,
        /// Which side is isolated.
        direction: Direction,
        /// What is flooded.
        carried: Transports,
        /// A packet of it, in words.
        witness: String,
        /// The rules that it meets.
        steps: Vec<Step>,
    },
    /// There is something in the tables that their owner cannot have put there.
    Foreign(Foreign),
}

/// What the kernel does with packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kernel {
    /// It lets them pass.
    Allows,
    /// It drops them.
    Denies,
    /// They come to a rule that could not be understood.
    Unknown,
}

/// Which sides of a connection a node judges.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Judged {
    /// The egress of a pod of the node; the other end is elsewhere.
    Egress,
    /// The ingress of a pod of the node; the other end is elsewhere.
    Ingress,
    /// Both: both ends are pods of the node.
    Both,
}

impl Judged {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Egress => "egress",
            Self::Ingress => "ingress",
            Self::Both => "both",
        }
    }
}

/// Packets of which the kernel and the API say different things.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// Pods of the node that they are from or, where its ingress is judged, to. All of them for the same reason.
    pub pods: Vec<PodKey>,
    /// Which sides are judged.
    pub judged: Judged,
    /// The other end.
    pub others: Others,
    /// What they carry.
    pub carried: Transports,
    /// What the kernel does; the API says the opposite.
    pub kernel: Kernel,
    /// One of them.
    pub witness: Witness,
    /// The rules that led it, the last of which decided; empty where no chain looked at it.
    pub steps: Vec<Step>,
    /// What the API says of it.
    pub reason: String,
    /// The policies that say so.
    pub policies: Vec<PolicyKey>,
}

/// Which packets of a connection do not pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LostPackets {
    /// Those that come back.
    Replies,
    /// Those that follow the first.
    Later,
}

/// Connections of which the first packet passes, as the API says, and others do not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lost {
    /// Pods of the node that they are from or, where its ingress is judged, to.
    pub pods: Vec<PodKey>,
    /// Which sides are judged.
    pub judged: Judged,
    /// The other end.
    pub others: Others,
    /// What the first packets carry.
    pub carried: Transports,
    /// Which packets are concerned.
    pub packets: LostPackets,
    /// What the kernel does with them.
    pub kernel: Kernel,
    /// The first packet of one such connection.
    pub witness: Witness,
    /// The rules that a packet meets that does not pass.
    pub steps: Vec<Step>,
}

/// The other end of connections.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Others {
    /// The addresses, as numbers of the witness's family.
    pub addresses: Spans<u128>,
    /// The pods among those that stand for themselves.
    pub pods: Vec<PodKey>,
}

/// A packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Witness {
    /// Its source.
    pub source: IpAddr,
    /// Its destination.
    pub destination: IpAddr,
    /// What it carries.
    pub carried: Carried,
}

/// Something in the tables that is nobody's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stale {
    /// The table's family.
    pub family: Family,
    /// The set or map, or the chain.
    pub object: String,
    /// The element, in words; `None` where it is the object itself.
    pub element: Option<String>,
    /// Its comment.
    pub comment: Option<String>,
    /// Why it is nobody's.
    pub why: String,
    /// A packet that meets it, and what becomes of it.
    pub witness: Option<(Witness, Kernel)>,
}

/// A difference in what a pod can send as its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceCheck {
    /// The pod.
    pub pod: PodKey,
    /// Its interface.
    pub interface: String,
    /// Whether it is ARP, which has no transports.
    pub arp: bool,
    /// Source addresses, as numbers of the witness's family.
    pub sources: Spans<u128>,
    /// What they carry.
    pub carried: Transports,
    /// What the kernel does.
    pub kernel: Kernel,
    /// One of the addresses.
    pub witness: IpAddr,
    /// The rules that it meets.
    pub steps: Vec<Step>,
}
