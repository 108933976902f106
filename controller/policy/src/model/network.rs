//! Protocols, ports and address blocks.

use std::fmt;
use std::net::IpAddr;

use ipnet::IpNet;
use thiserror::Error;

/// The side of a connection that a rule set judges.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Direction {
    /// Connections to the pod.
    Ingress,
    /// Connections from the pod.
    Egress,
}

impl fmt::Display for Direction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ingress => "ingress",
            Self::Egress => "egress",
        })
    }
}

/// The protocols that a policy's port entry can name (`NetworkPolicyPort.protocol`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Protocol {
    /// TCP, the default of the API.
    Tcp,
    /// UDP.
    Udp,
    /// SCTP.
    Sctp,
}

impl Protocol {
    /// Every protocol, in order.
    pub const ALL: [Self; 3] = [Self::Tcp, Self::Udp, Self::Sctp];

    /// The IANA protocol number, as it stands in the IP header.
    pub fn number(self) -> u8 {
        match self {
            Self::Tcp => 6,
            Self::Udp => 17,
            Self::Sctp => 132,
        }
    }

    /// The API's spelling: `TCP`, `UDP`, `SCTP`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Tcp => "TCP",
            Self::Udp => "UDP",
            Self::Sctp => "SCTP",
        }
    }

    /// Reads the API's spelling; `None` for anything else.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|protocol| protocol.as_str() == text)
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Port numbers from `first` to `last`, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PortRange {
    first: u16,
    last: u16,
}

/// A range that ends before it begins, or begins at port 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("ports {first} to {last} are no range: the first must be at least 1 and at most the last")]
pub struct InvalidPortRange {
    /// The first port of the refused range.
    pub first: u16,
    /// The last port of the refused range.
    pub last: u16,
}

impl PortRange {
    /// Ports `first` to `last`. Port 0 is never a destination (`ValidatePortNum` of the API starts at 1).
    pub fn new(first: u16, last: u16) -> Result<Self, InvalidPortRange> {
        if first == 0 || last < first {
            return Err(InvalidPortRange { first, last });
        }
        Ok(Self { first, last })
    }

    /// A single port.
    pub fn single(port: u16) -> Result<Self, InvalidPortRange> {
        Self::new(port, port)
    }

    /// The first port.
    pub fn first(self) -> u16 {
        self.first
    }

    /// The last port, included.
    pub fn last(self) -> u16 {
        self.last
    }

    /// Whether `port` lies in the range.
    pub fn contains(self, port: u16) -> bool {
        (self.first..=self.last).contains(&port)
    }
}

impl fmt::Display for PortRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.first == self.last {
            write!(f, "{}", self.first)
        } else {
            write!(f, "{}-{}", self.first, self.last)
        }
    }
}

/// An address block without some of its parts (`IPBlock` of the API).
///
/// Host bits are cleared, excepts are sorted and without repeats, so that equal blocks compare equal.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IpBlock {
    cidr: IpNet,
    except: Vec<IpNet>,
}

/// An except that is no part of its block, which the API refuses as well.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("except {except} does not lie within {cidr}")]
pub struct InvalidIpBlock {
    /// The block.
    pub cidr: IpNet,
    /// The except that is not inside it.
    pub except: IpNet,
}

impl IpBlock {
    /// `cidr` without `except`. Every except must lie within the block.
    pub fn new(cidr: IpNet, except: impl IntoIterator<Item = IpNet>) -> Result<Self, InvalidIpBlock> {
        let cidr = cidr.trunc();
        let mut except: Vec<IpNet> = except.into_iter().map(|net| net.trunc()).collect();
        if let Some(&except) = except.iter().find(|net| !cidr.contains(*net)) {
            return Err(InvalidIpBlock { cidr, except });
        }
        except.sort_unstable();
        except.dedup();
        Ok(Self { cidr, except })
    }

    /// The block, host bits cleared.
    pub fn cidr(&self) -> IpNet {
        self.cidr
    }

    /// What is taken out of it, sorted.
    pub fn except(&self) -> &[IpNet] {
        &self.except
    }

    /// Whether `address` lies in the block and in none of its excepts.
    pub fn contains(&self, address: IpAddr) -> bool {
        self.cidr.contains(&address) && !self.except.iter().any(|net| net.contains(&address))
    }
}

impl fmt::Display for IpBlock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.cidr)?;
        for (position, net) in self.except.iter().enumerate() {
            write!(f, "{}{net}", if position == 0 { " except " } else { ", " })?;
        }
        Ok(())
    }
}
