//! The packet that verdicts are about: the first one of a connection.

use std::fmt;
use std::net::IpAddr;

use super::Protocol;

/// The first packet of a connection as the forward hook sees it: after a Service's address was replaced by that of a
/// pod, before the source is replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Packet {
    /// The source address.
    pub source: IpAddr,
    /// The destination address, of the same family.
    pub destination: IpAddr,
    /// What it carries.
    pub transport: Transport,
}

/// The part of a packet that port entries of policies look at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Transport {
    /// A protocol that policies know, and the destination port.
    Port(Protocol, u16),
    /// Any other IP protocol by its number: 1 is ICMP, 58 its form for IPv6. Allowed only by rules that name no ports.
    Other(u8),
}

impl fmt::Display for Transport {
    /// `80/TCP`, `ICMP`, `protocol 47`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Port(protocol, port) => write!(f, "{port}/{protocol}"),
            Self::Other(1) => f.write_str("ICMP"),
            Self::Other(58) => f.write_str("ICMPv6"),
            Self::Other(number) => write!(f, "protocol {number}"),
        }
    }
}

impl fmt::Display for Packet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} → {} {}", self.source, self.destination, self.transport)
    }
}

/// Whether a packet may pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Verdict {
    /// It passes.
    Allow,
    /// It is dropped.
    Deny,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Allow => "allow",
            Self::Deny => "deny",
        })
    }
}
