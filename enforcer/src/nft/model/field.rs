//! What a rule looks at, and what a set is keyed by.

use super::rule::EtherType;

/// A part of a packet that a set or a map is looked up with.
///
/// A field of one address family holds only for packets of that family: a rule that uses it checks the family first,
/// just as `nft` would, and lists without that check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Field {
    /// The interface that the packet came in by (`meta iifname`).
    InputInterface,
    /// The interface that it leaves by (`meta oifname`).
    OutputInterface,
    /// `ip saddr`
    SourceV4,
    /// `ip6 saddr`
    SourceV6,
    /// `ip daddr`
    DestinationV4,
    /// `ip6 daddr`
    DestinationV6,
    /// The transport protocol, behind IPv6 extension headers too (`meta l4proto`).
    L4Protocol,
    /// The source port of whatever transport protocol (`th sport`).
    SourcePort,
    /// The destination port of whatever transport protocol (`th dport`).
    DestinationPort,
    /// The sender's IPv4 address of an ARP packet on Ethernet (`arp saddr ip`).
    ArpSenderV4,
}

impl Field {
    /// Whether only a transport protocol with ports has it.
    pub(crate) fn is_port(self) -> bool {
        matches!(self, Self::SourcePort | Self::DestinationPort)
    }

    /// The type of a key that holds this field.
    pub fn key_type(self) -> KeyType {
        match self {
            Self::InputInterface | Self::OutputInterface => KeyType::InterfaceName,
            Self::SourceV4 | Self::DestinationV4 | Self::ArpSenderV4 => KeyType::Ipv4Address,
            Self::SourceV6 | Self::DestinationV6 => KeyType::Ipv6Address,
            Self::L4Protocol => KeyType::Protocol,
            Self::SourcePort | Self::DestinationPort => KeyType::Port,
        }
    }

    /// The only network protocol whose packets have this field; `None` if all have it.
    pub(crate) fn ether_type(self) -> Option<EtherType> {
        match self {
            Self::SourceV4 | Self::DestinationV4 => Some(EtherType::Ipv4),
            Self::SourceV6 | Self::DestinationV6 => Some(EtherType::Ipv6),
            Self::ArpSenderV4 => Some(EtherType::Arp),
            Self::InputInterface
            | Self::OutputInterface
            | Self::L4Protocol
            | Self::SourcePort
            | Self::DestinationPort => None,
        }
    }
}

/// The type of one part of a set's key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum KeyType {
    /// `ifname`: 16 bytes, padded with zeros.
    InterfaceName,
    /// `ipv4_addr`
    Ipv4Address,
    /// `ipv6_addr`
    Ipv6Address,
    /// `inet_proto`
    Protocol,
    /// `inet_service`
    Port,
}

impl KeyType {
    /// Every type, in order.
    pub(crate) const ALL: [Self; 5] = [
        Self::InterfaceName,
        Self::Ipv4Address,
        Self::Ipv6Address,
        Self::Protocol,
        Self::Port,
    ];

    /// The name that `nft` gives it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::InterfaceName => "ifname",
            Self::Ipv4Address => "ipv4_addr",
            Self::Ipv6Address => "ipv6_addr",
            Self::Protocol => "inet_proto",
            Self::Port => "inet_service",
        }
    }

    /// Bytes of a key of this one part.
    pub fn width(self) -> usize {
        match self {
            Self::InterfaceName | Self::Ipv6Address => 16,
            Self::Ipv4Address => 4,
            Self::Protocol => 1,
            Self::Port => 2,
        }
    }

    /// Bytes within a concatenation, where each part begins on a register of four bytes.
    pub fn padded_width(self) -> usize {
        self.width().next_multiple_of(4)
    }

    /// The number that `nft` stores with a set so that it can be listed (`enum datatypes` of nftables' `datatype.h`).
    pub(crate) fn number(self) -> u32 {
        match self {
            Self::InterfaceName => 41,
            Self::Ipv4Address => 7,
            Self::Ipv6Address => 8,
            Self::Protocol => 12,
            Self::Port => 13,
        }
    }

    /// Bytes of a whole key: a single part as it is, several each on its own registers.
    pub(crate) fn key_width(key: &[Self]) -> usize {
        match key {
            [only] => only.width(),
            parts => parts.iter().map(|part| part.padded_width()).sum(),
        }
    }
}
