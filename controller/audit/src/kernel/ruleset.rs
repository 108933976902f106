//! Tables as they were read: what a rule asks of a packet, and what it then does.
//!
//! All that is asked of packets has one form here, a [`Lookup`]: some fields of the packet, and a set that holds their values
//! or does not. `tcp dport 80` is a lookup in a set of one element. What could not be understood stays in its place as
//! [`NotUnderstood`], so that whoever comes to it knows that nothing can be said from there on.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::Arc;

pub(crate) use super::set::{Element, Kind, Part, Set};
use super::transport::ICMP;

/// Tables by their family.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ruleset {
    /// The tables named `palisade`.
    pub(crate) tables: BTreeMap<Family, Table>,
    /// How many tables of others there were.
    pub(crate) others: usize,
}

/// The family of a table: what comes past it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Family {
    /// IP packets.
    Inet,
    /// Frames that come in by one interface.
    Netdev,
    /// Frames that cross a bridge.
    Bridge,
}

impl Family {
    /// As `nft` spells it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Inet => "inet",
            Self::Netdev => "netdev",
            Self::Bridge => "bridge",
        }
    }

    /// Reads `nft`'s spelling.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Inet, Self::Netdev, Self::Bridge]
            .into_iter()
            .find(|family| family.as_str() == text)
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A table.
#[derive(Clone, Debug, Default)]
pub(crate) struct Table {
    /// Its chains; the walk names them by their place here.
    pub(crate) chains: Vec<Chain>,
    /// The place of each chain by its name.
    places: HashMap<String, usize>,
    /// Its sets and maps by name.
    pub(crate) sets: BTreeMap<String, Result<Arc<Set>, NotUnderstood>>,
    /// Whether it has flags. `nft` 1.0.6 writes each of them as `inet`; a dormant table filters nothing.
    pub(crate) has_flags: bool,
}

impl Table {
    /// Adds a chain, unless there is one of its name.
    pub(crate) fn add(&mut self, chain: Chain) -> bool {
        let is_new = !self.places.contains_key(&chain.name);
        if is_new {
            self.places.insert(chain.name.clone(), self.chains.len());
            self.chains.push(chain);
        }
        is_new
    }

    /// The place of a chain.
    pub(crate) fn chain(&self, name: &str) -> Option<usize> {
        self.places.get(name).copied()
    }

    /// A set or a map that has an element twice, by its name.
    pub(crate) fn repeating(&self) -> Option<&str> {
        let understood = self
            .sets
            .iter()
            .filter_map(|(name, set)| Some((name, set.as_ref().ok()?)));
        let mut repeating = understood.filter(|(_, set)| set.repeats());
        repeating.next().map(|(name, _)| name.as_str())
    }

    /// Every verdict that a rule may come to.
    pub(crate) fn verdicts<'t>(&'t self, body: &'t Body) -> Vec<&'t Verdict> {
        let map = match &body.outcome {
            Outcome::Always(verdict) => return vec![verdict],
            Outcome::Mapped {
                map: SetRef::Here(map),
                ..
            } => Some(map),
            Outcome::Mapped {
                map: SetRef::Named(name),
                ..
            } => self.sets.get(name).and_then(|set| set.as_ref().ok()),
        };
        let elements = map.into_iter().flat_map(|map| &map.elements);
        elements.filter_map(|element| element.verdict.as_ref()).collect()
    }
}

/// A chain.
#[derive(Clone, Debug)]
pub(crate) struct Chain {
    /// Its name.
    pub(crate) name: String,
    /// Where packets come into it; `None` where only rules lead to it.
    pub(crate) base: Option<Base>,
    /// Its rules, in order.
    pub(crate) rules: Vec<Rule>,
}

/// Where packets come into a chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Base {
    /// The hook.
    pub(crate) hook: Hook,
    /// Smaller comes first.
    pub(crate) priority: i64,
    /// Whether what comes to its end passes.
    pub(crate) policy: Policy,
    /// The interfaces that it is bound to, in the netdev family; `None` where they were not told.
    pub(crate) devices: Option<Vec<String>>,
}

/// What becomes of a packet at the end of a base chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Policy {
    /// It passes.
    Accept,
    /// It does not.
    Drop,
}

/// A place in the way of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Hook {
    /// As it comes in by an interface.
    Ingress,
    /// Before it is routed, or a bridge has chosen a port.
    Prerouting,
    /// On its way to another interface.
    Forward,
    /// Before it leaves.
    Postrouting,
    /// To this node itself.
    Input,
    /// From this node itself.
    Output,
    /// As it leaves by an interface.
    Egress,
}

impl Hook {
    /// Whether its chains are bound to interfaces.
    pub(crate) fn is_of_interfaces(self) -> bool {
        match self {
            Self::Ingress | Self::Egress => true,
            Self::Prerouting | Self::Forward | Self::Postrouting | Self::Input | Self::Output => false,
        }
    }

    /// As `nft` spells it.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Ingress => "ingress",
            Self::Prerouting => "prerouting",
            Self::Forward => "forward",
            Self::Postrouting => "postrouting",
            Self::Input => "input",
            Self::Output => "output",
            Self::Egress => "egress",
        }
    }
}

/// A rule.
#[derive(Clone, Debug)]
pub(crate) struct Rule {
    /// The number that the kernel gave it, where it was told.
    pub(crate) handle: Option<u64>,
    /// Its comment.
    pub(crate) comment: Option<String>,
    /// What it says.
    pub(crate) body: Result<Body, NotUnderstood>,
}

/// What a rule says.
#[derive(Clone, Debug)]
pub(crate) struct Body {
    /// What must be so. All of it.
    pub(crate) conditions: Vec<Condition>,
    /// What happens then.
    pub(crate) outcome: Outcome,
}

/// Something that was read and could not be understood, in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NotUnderstood(pub String);

impl fmt::Display for NotUnderstood {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One condition of a rule.
#[derive(Clone, Debug)]
pub(crate) enum Condition {
    /// About what conntrack knows of the packet's connection.
    OfConnections {
        /// Whether it holds of the first packet of a new one.
        new: bool,
        /// Whether it holds of all others of a connection, in both directions.
        established: bool,
    },
    /// About the packet.
    Lookup(Lookup),
}

/// Whether fields of a packet have values that are in a set. A packet that lacks one of the fields does not match, negated or not.
#[derive(Clone, Debug)]
pub(crate) struct Lookup {
    /// The fields.
    pub(crate) key: Vec<Field>,
    /// The set.
    pub(crate) set: SetRef,
    /// Whether they must not be in it.
    pub(crate) negated: bool,
}

/// How many of one side's ports may be named for flows that were ended: at half of all ports, who begins a connection may no
/// longer find one that is free.
const ENDED: usize = 1 << 15;

impl Lookup {
    /// Whether it holds of single flows alone: both addresses, both ports and the protocol.
    ///
    /// Whoever begins a connection chooses its port, and has others to choose from, so a rule that *drops* single flows denies
    /// no connection: it concerns those that were there before. `hidden` is the end whose port is his choice. Any other rule
    /// about that port would make the verdict a matter of it, of which policies say nothing.
    pub(crate) fn is_of_ended_flows(&self, set: &Set, hidden: End) -> bool {
        let count = |is: &dyn Fn(&Field) -> bool| self.key.iter().filter(|field| is(field)).count();
        let is_full = count(&|field| matches!(field, Field::Source(_))) == 1
            && count(&|field| matches!(field, Field::Destination(_))) == 1
            && count(&|field| field.port() == Some(End::Source)) == 1
            && count(&|field| field.port() == Some(End::Destination)) == 1
            && (self.key.contains(&Field::Protocol)
                || count(&|field| {
                    matches!(
                        field,
                        Field::SourcePort(Some(_)) | Field::DestinationPort(Some(_))
                    )
                }) == 2);
        let mut ports = self.key.iter().filter_map(|field| field.port());
        let named = ports
            .position(|end| end == hidden)
            .and_then(|place| set.flows()?.get(place).copied());
        !self.negated && is_full && named.is_some_and(|named| named <= ENDED)
    }
}

/// An end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// Where the packet comes from.
    Source,
    /// Where it goes.
    Destination,
}

/// A set of a table, or one that is part of a rule.
#[derive(Clone, Debug)]
pub(crate) enum SetRef {
    /// By name.
    Named(String),
    /// Itself.
    Here(Arc<Set>),
}

/// What a rule does with a packet that matches.
#[derive(Clone, Debug)]
pub(crate) enum Outcome {
    /// Always the same.
    Always(Verdict),
    /// What a map has for some fields; where it has nothing, the next rule follows.
    Mapped {
        /// The fields.
        key: Vec<Field>,
        /// The map.
        map: SetRef,
    },
}

/// What can become of a packet.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Verdict {
    /// It passes this base chain.
    Accept,
    /// It is gone.
    Drop,
    /// The next rule follows.
    Continue,
    /// The chain ends here.
    Return,
    /// Another chain follows, then the next rule.
    Jump(String),
    /// Another chain follows instead of this one.
    Goto(String),
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Accept => f.write_str("accept"),
            Self::Drop => f.write_str("drop"),
            Self::Continue => f.write_str("continue"),
            Self::Return => f.write_str("return"),
            Self::Jump(chain) => write!(f, "jump {chain}"),
            Self::Goto(chain) => write!(f, "goto {chain}"),
        }
    }
}

/// A kind of frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Frame {
    /// IPv4
    V4,
    /// IPv6
    V6,
    /// ARP
    Arp,
}

impl Frame {
    /// Every kind.
    pub(crate) const ALL: [Self; 3] = [Self::V4, Self::V6, Self::Arp];

    /// The number by which sets hold it.
    pub(crate) fn number(self) -> u128 {
        match self {
            Self::V4 => 0,
            Self::V6 => 1,
            Self::Arp => 2,
        }
    }
}

/// Whom a frame is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Cast {
    /// One receiver: whether the interface that it comes in by or another, is not told.
    Unicast,
    /// All.
    Broadcast,
    /// A group.
    Multicast,
}

impl Cast {
    /// The first and the last of the numbers by which sets hold it (`PACKET_HOST`, `PACKET_BROADCAST`, `PACKET_MULTICAST`,
    /// `PACKET_OTHERHOST`). What a bridge passes on to a pod is for another host than the port's own, what is routed is not.
    pub(crate) fn numbers(self) -> [u128; 2] {
        match self {
            Self::Unicast => [0, 3],
            Self::Broadcast => [1, 1],
            Self::Multicast => [2, 2],
        }
    }
}

/// A field of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Field {
    /// The interface that it came in by.
    Input,
    /// The interface that it leaves by.
    Output,
    /// The source address, of this kind of frame alone. In ARP it is the address that the sender claims.
    Source(Frame),
    /// The destination address, of this kind of frame alone.
    Destination(Frame),
    /// The IP protocol.
    Protocol,
    /// The destination port, of this protocol alone where one is named.
    DestinationPort(Option<u8>),
    /// The source port, of this protocol alone where one is named.
    SourcePort(Option<u8>),
    /// The type, of this form of ICMP alone.
    IcmpType(u8),
    /// The kind of frame.
    Frame,
    /// Whom the frame is for.
    Cast,
}

impl Field {
    /// The end whose port it is.
    pub(crate) fn port(self) -> Option<End> {
        match self {
            Self::SourcePort(_) => Some(End::Source),
            Self::DestinationPort(_) => Some(End::Destination),
            Self::Input
            | Self::Output
            | Self::Source(_)
            | Self::Destination(_)
            | Self::Protocol
            | Self::IcmpType(_)
            | Self::Frame
            | Self::Cast => None,
        }
    }

    /// What its values are.
    pub(crate) fn kind(self) -> Kind {
        match self {
            Self::Input | Self::Output => Kind::Interface,
            Self::Source(Frame::V6) | Self::Destination(Frame::V6) => Kind::V6,
            Self::Source(Frame::V4 | Frame::Arp) | Self::Destination(Frame::V4 | Frame::Arp) => Kind::V4,
            Self::Protocol => Kind::Protocol,
            Self::DestinationPort(_) | Self::SourcePort(_) => Kind::Port,
            Self::IcmpType(ICMP) => Kind::IcmpType,
            Self::IcmpType(_) => Kind::IcmpV6Type,
            Self::Frame => Kind::Frame,
            Self::Cast => Kind::Cast,
        }
    }
}
