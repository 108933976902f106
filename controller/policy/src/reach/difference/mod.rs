//! What changes between two states: between which pods, or pods and addresses outside, on which ports.
//!
//! Pods are the same by namespace and name, since two files, or a file and a cluster, agree on nothing else; or whoever asks
//! says which are ([`Difference::paired`]). Pods that are in one class before and in one class after are one *joint* class;
//! addresses outside that are in one range before and in one after are one joint range. For every joint destination the lists of those who reach it are compared, before and after. Lists are shared
//! by many destinations, so they are translated and compared once for all of these.
//!
//! [`twins`] finds the joint classes, [`lists`] translates, [`turns`] compares.
//!
//! Connections of pods that are there on one side only are no change of what policies mean: such pods are listed apart.

mod lists;
mod turns;
mod twins;

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use super::ground::refine;
use super::witness::{different, example, strangers};
use super::{End, Family, Member, Outside, PortSet, Reach};
use crate::cluster::ClusterState;
use crate::model::{NamespaceName, Packet, PodKey, PodUid};

/// The difference of two states. Its ends are of its own: [`End::Pods`] is one of [`Difference::classes`], [`End::Outside`] one
/// of [`Difference::outside`].
#[derive(Clone, Debug, Default)]
pub struct Difference {
    /// Who reaches whom before.
    pub before: Reach,
    /// Who reaches whom after.
    pub after: Reach,
    /// The pods that are there before and after, by namespace and then by their first name.
    pub classes: Vec<JointClass>,
    /// The addresses outside, IPv4 first, by their first address.
    pub outside: Vec<Outside>,
    /// What changes, by destination. None: the two states mean the same for all pods that are in both.
    pub changes: Vec<Change>,
    /// The pods that are there before only.
    pub gone: Vec<Unpaired>,
    /// The pods that are there after only.
    pub new: Vec<Unpaired>,
    strangers: Vec<Option<IpAddr>>,
}

/// Pods that no policy tells apart, neither before nor after.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JointClass {
    /// Their namespace.
    pub namespace: NamespaceName,
    /// Their class before: an index into the classes of [`Difference::before`].
    pub before: usize,
    /// Their class after: an index into the classes of [`Difference::after`].
    pub after: usize,
    /// The pods, by name. Never empty.
    pub pods: Vec<Twin>,
}

/// A pod that is there before and after.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Twin {
    /// Its name after.
    pub key: PodKey,
    /// As it is before.
    pub before: Member,
    /// As it is after.
    pub after: Member,
}

/// Pods of one class of one state that the other state does not have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unpaired {
    /// The class: an index into the classes of the state that has it.
    pub class: usize,
    /// The pods, by UID. Never empty.
    pub pods: Vec<PodUid>,
}

/// A change: on which ports any of some ends reach one end. As in [`Reach::ports`], a class of one pod is answered as if it had
/// a second.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// From where, in order. Changes share these lists.
    pub from: Arc<[End]>,
    /// To where.
    pub to: End,
    /// In which family, of those in which both ends have an address before and after.
    pub families: Families,
    /// The ports that are allowed before.
    pub before: PortSet,
    /// The ports that are allowed after. Others than before.
    pub after: PortSet,
}

/// A joint end, and what it is in each state.
#[derive(Clone, Copy, Debug)]
struct Link {
    joint: End,
    before: End,
    after: End,
}

impl Change {
    /// The ports that become allowed.
    pub fn opened(&self) -> PortSet {
        self.after.difference(&self.before)
    }

    /// The ports that become denied.
    pub fn closed(&self) -> PortSet {
        self.before.difference(&self.after)
    }
}

/// One family or both.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Families {
    /// In one only.
    One(Family),
    /// In both alike.
    Both,
}

impl Families {
    /// One of them, IPv4 if it is among them.
    pub fn first(self) -> Family {
        match self {
            Self::One(family) => family,
            Self::Both => Family::V4,
        }
    }
}

impl fmt::Display for Families {
    /// `IPv4`, `IPv6`, `both families`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::One(family) => family.fmt(f),
            Self::Both => f.write_str("both families"),
        }
    }
}

impl Difference {
    /// What changes from one state to another, where pods are the same if they have the same name. Of two pods with one name
    /// only the newer counts.
    pub fn of(before: &ClusterState, after: &ClusterState) -> Self {
        let difference = Self::between(before, after);
        let (pairs, hidden) = twins::by_name(&difference, before, after);
        let mut difference = difference.compared(before, after, &pairs);
        for unpaired in [&mut difference.gone, &mut difference.new] {
            for class in &mut *unpaired {
                class.pods.retain(|uid| !hidden.contains(uid));
            }
            unpaired.retain(|class| !class.pods.is_empty());
        }
        difference
    }

    /// What changes from one state to another, where these pods are the same: one before, and what it is after. A pod may be
    /// in several pairs, if one stands for several of the other state. Those in none are new or gone.
    pub fn paired(before: &ClusterState, after: &ClusterState, pairs: &[(PodUid, PodUid)]) -> Self {
        Self::between(before, after).compared(before, after, pairs)
    }

    /// Two states, not compared yet.
    fn between(before: &ClusterState, after: &ClusterState) -> Self {
        Self {
            before: Reach::of(before),
            after: Reach::of(after),
            ..Self::default()
        }
    }

    fn compared(mut self, before: &ClusterState, after: &ClusterState, pairs: &[(PodUid, PodUid)]) -> Self {
        let difference = &mut self;
        twins::pair(difference, before, after, pairs);
        let classes = difference.classes.iter().enumerate();
        let mut links: Vec<Link> = classes
            .map(|(number, class)| Link {
                joint: End::Pods(number),
                before: End::Pods(class.before),
                after: End::Pods(class.after),
            })
            .collect();
        let ranges = refine(&difference.before.ground, &difference.after.ground);
        for (number, (outside, before, after)) in ranges.into_iter().enumerate() {
            links.push(Link {
                joint: End::Outside(number),
                before: End::Outside(before),
                after: End::Outside(after),
            });
            difference.outside.push(outside);
        }
        let known = [(&difference.before, before), (&difference.after, after)];
        difference.strangers = strangers(&difference.outside, &known);
        difference.changes = turns::changes(difference, &links);
        self
    }

    /// The range of addresses that an address lies in, whoever has it: an index into [`Difference::outside`].
    pub fn range(&self, address: IpAddr) -> Option<usize> {
        let mut ranges = self.outside.iter();
        ranges.position(|range| range.blocks.iter().any(|block| block.contains(&address)))
    }

    /// An address of a range outside that is neither a pod's nor a node's in either state, if it has one: one that people know
    /// as nobody's where there is a choice.
    pub fn stranger(&self, range: usize) -> Option<IpAddr> {
        self.strangers.get(range).copied().flatten()
    }

    /// A packet from one end to another on one of some ports, as it would be before and after, where there is one: the pod may
    /// have another address in each state.
    pub fn witness(&self, from: End, to: End, family: Family, ports: &PortSet) -> Option<(Packet, Packet)> {
        let (source, destination) = match (from, to) {
            (End::Pods(from), End::Pods(to)) => {
                let (from, to) = (self.classes.get(from)?, self.classes.get(to)?);
                let (from, to) = different(&from.pods, &to.pods, Twin::differs)?;
                (from.addresses(family)?, to.addresses(family)?)
            }
            (from, to) => (self.someone(from, family)?, self.someone(to, family)?),
        };
        let transport = example(ports, family)?;
        let packet = |source, destination| Packet {
            source,
            destination,
            transport,
        };
        Some((packet(source.0, destination.0), packet(source.1, destination.1)))
    }

    fn someone(&self, end: End, family: Family) -> Option<(IpAddr, IpAddr)> {
        match end {
            End::Pods(class) => self.classes.get(class)?.pods.first()?.addresses(family),
            End::Outside(range) => {
                let address = (*self.strangers.get(range)?)?;
                (Family::of(address) == family).then_some((address, address))
            }
        }
    }

    /// Whether an end has an address of a family, before and after.
    fn has_address(&self, end: End, family: Family) -> bool {
        match end {
            End::Pods(class) => {
                let first = self.classes.get(class).and_then(|class| class.pods.first());
                first.is_some_and(|twin| twin.addresses(family).is_some())
            }
            End::Outside(range) => self
                .outside
                .get(range)
                .is_some_and(|outside| outside.family == family),
        }
    }
}

impl Twin {
    /// Whether it is another pod than the other in both states.
    fn differs(&self, other: &Self) -> bool {
        self.before.uid != other.before.uid && self.after.uid != other.after.uid
    }

    /// Its address of a family before and after, if it has one in both.
    fn addresses(&self, family: Family) -> Option<(IpAddr, IpAddr)> {
        Some((self.before.address(family)?, self.after.address(family)?))
    }
}
