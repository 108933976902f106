//! Rules: what must hold of a packet, and what becomes of it.

use ipnet::IpNet;
use palisade_policy::model::PortRange;

use super::field::Field;
use super::names::{Comment, InterfacePattern, Name};

/// The protocol number of ICMP, for IPv4.
pub(crate) const ICMP: u8 = 1;

/// The protocol number of `ICMPv6`.
pub(crate) const ICMP_V6: u8 = 58;

/// Conditions, all of which must hold, and then a verdict.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// The conditions, tried in order. None at all matches every packet.
    pub matches: Vec<Match>,
    /// Whether packets and bytes that meet the conditions are counted.
    pub counter: bool,
    /// What becomes of the packet.
    pub verdict: Verdict,
    /// A note for people.
    pub comment: Option<Comment>,
}

impl Rule {
    /// A rule without counter and comment.
    ///
    /// A condition that another one implies is left out (the family beside an address of it, `ICMPv6` beside its types,
    /// the same protocol twice), so that rules which mean the same are equal. [`Ruleset::check`] insists on it.
    ///
    /// [`Ruleset::check`]: super::Ruleset::check
    pub fn new(matches: impl IntoIterator<Item = Match>, verdict: Verdict) -> Self {
        let given: Vec<Match> = matches.into_iter().collect();
        let families: Vec<EtherType> = implied_ether_types(&given, &verdict).collect();
        let icmp_v6 = given
            .iter()
            .any(|condition| matches!(condition, Match::IcmpV6Types { .. }));
        let mut matches: Vec<Match> = Vec::with_capacity(given.len());
        for condition in given {
            let implied = match condition {
                Match::EtherType(kind) => families.contains(&kind) || matches.contains(&condition),
                Match::Protocol(protocol) => (protocol == ICMP_V6 && icmp_v6) || matches.contains(&condition),
                _ => false,
            };
            if !implied {
                matches.push(condition);
            }
        }
        Self {
            matches,
            counter: false,
            verdict,
            comment: None,
        }
    }

    /// The same rule, counting.
    #[must_use]
    pub fn counted(mut self) -> Self {
        self.counter = true;
        self
    }

    /// The same rule with a comment.
    #[must_use]
    pub fn commented(mut self, comment: Comment) -> Self {
        self.comment = Some(comment);
        self
    }
}

/// A condition on a packet.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Match {
    /// `ct state established,related`
    CtEstablishedOrRelated,
    /// The network protocol: `meta nfproto` in the inet table, `meta protocol` in the others.
    EtherType(EtherType),
    /// The transport protocol, by its IANA number (`meta l4proto`).
    Protocol(u8),
    /// `ICMPv6` types from the first to the last, included.
    IcmpV6Types {
        /// The first type.
        first: u8,
        /// The last type.
        last: u8,
    },
    /// The destination port of whatever transport protocol (`th dport`).
    DestinationPorts(PortRange),
    /// The source address lies in a network.
    SourceIn(IpNet),
    /// The destination address lies in a network.
    DestinationIn(IpNet),
    /// The fields, in order, make up an element of a set, or do not.
    InSet {
        /// What is looked up.
        key: Vec<Field>,
        /// The set.
        set: Name,
        /// Whether the key must be missing.
        negated: bool,
    },
    /// `meta iifname`
    InputInterface(InterfacePattern),
    /// `meta oifname`
    OutputInterface(InterfacePattern),
    /// Whom the link layer addressed (`meta pkttype`), or did not.
    PacketType {
        /// The kind.
        kind: PacketType,
        /// Whether it must be another kind.
        negated: bool,
    },
}

impl Match {
    /// The network protocols whose packets alone can meet it, apart from a plain [`Match::EtherType`].
    fn implied_ether_types(&self) -> Vec<EtherType> {
        match self {
            Self::SourceIn(net) | Self::DestinationIn(net) => vec![EtherType::of(*net)],
            Self::IcmpV6Types { .. } => vec![EtherType::Ipv6],
            Self::InSet { key, .. } => key.iter().filter_map(|field| field.ether_type()).collect(),
            Self::EtherType(_)
            | Self::CtEstablishedOrRelated
            | Self::Protocol(_)
            | Self::DestinationPorts(_)
            | Self::InputInterface(_)
            | Self::OutputInterface(_)
            | Self::PacketType { .. } => Vec::new(),
        }
    }
}

/// The network protocols that the addresses, fields and types of a rule belong to.
pub(crate) fn implied_ether_types(matches: &[Match], verdict: &Verdict) -> impl Iterator<Item = EtherType> {
    let looked_up = match verdict {
        Verdict::Map { key, .. } => key.as_slice(),
        _ => &[],
    };
    let in_matches = matches.iter().flat_map(Match::implied_ether_types);
    in_matches.chain(looked_up.iter().filter_map(|field| field.ether_type()))
}

/// A network protocol, as Ethernet numbers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EtherType {
    /// IPv4
    Ipv4,
    /// IPv6
    Ipv6,
    /// ARP; never seen in the inet table.
    Arp,
}

impl EtherType {
    /// The protocol of a network's addresses.
    pub(crate) fn of(net: IpNet) -> Self {
        match net {
            IpNet::V4(_) => Self::Ipv4,
            IpNet::V6(_) => Self::Ipv6,
        }
    }
}

/// Whom the link layer addressed a packet to (`PACKET_*` of `linux/if_packet.h`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PacketType {
    /// This machine.
    Host,
    /// Everybody.
    Broadcast,
    /// A group.
    Multicast,
    /// Another machine.
    Other,
}

/// What becomes of a packet that met a rule's conditions.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Verdict {
    /// It passes this hook.
    Accept,
    /// It is gone.
    Drop,
    /// The next rule sees it. In a rule this is what a rule without a verdict does: it counts.
    Continue,
    /// A chain judges it, and at the end of that chain the caller's next rule.
    Jump(Name),
    /// A chain judges it, and at the end of that chain the rule after the last jump, or the hook's policy.
    Goto(Name),
    /// The verdict that a map holds under these fields; the next rule if it holds none. Never the verdict of an entry.
    Map {
        /// What is looked up.
        key: Vec<Field>,
        /// The map.
        map: Name,
    },
}
