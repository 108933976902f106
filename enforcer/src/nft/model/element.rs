//! Elements of sets and maps, kept as the bytes that the kernel keeps.
//!
//! A node may hold a hundred thousand of them, compared and sent without conversion; nearly all are so short that they need no memory
//! besides their place in a set.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::RangeInclusive;

use ipnet::IpNet;
use palisade_policy::model::PortRange;
use thiserror::Error;

use super::field::KeyType;
use super::names::Interface;

/// A key, or in interval sets a range of keys, in network byte order; every part of a concatenation fills whole
/// words of four bytes.
///
/// A range of one key is the key: equal contents are equal values.
#[derive(Clone)]
pub struct Element(Bytes);

/// Bytes of a key in place: an IPv6 address with protocol and port (24), an interface with an IPv4 address (20).
const IN_PLACE: usize = 30;

#[derive(Clone)]
enum Bytes {
    /// A short key. What lies beyond its length is zero.
    Short(u8, [u8; IN_PLACE]),
    Long(Box<[u8]>),
    Range(Box<[Box<[u8]>; 2]>),
}

/// One part of an element: a value or a range of values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    width: usize,
    first: [u8; 16],
    last: [u8; 16],
}

/// One part of an element read back for people: first and last value of a range, the same value twice where it is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Range {
    /// The first value.
    pub first: Value,
    /// The last value, included.
    pub last: Value,
}

/// A value of one of the key types.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Value {
    /// An interface name. It is not checked here: somebody else may have put it into our set.
    Interface(String),
    /// An address.
    Address(IpAddr),
    /// A protocol number.
    Protocol(u8),
    /// A port.
    Port(u16),
}

/// Bytes that are not as wide as their key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("an element of {found} bytes where the key has {expected}")]
pub struct UnknownWidth {
    /// The width of the key.
    pub expected: usize,
    /// The width of the element.
    pub found: usize,
}

impl Part {
    fn range(first: &[u8], last: &[u8]) -> Self {
        let mut part = Self {
            width: first.len().min(16),
            first: [0; 16],
            last: [0; 16],
        };
        for (to, from) in part.first.iter_mut().zip(first) {
            *to = *from;
        }
        for (to, from) in part.last.iter_mut().zip(last) {
            *to = *from;
        }
        part
    }

    /// An interface name.
    pub fn interface(interface: &Interface) -> Self {
        let mut part = Self::range(interface.as_str().as_bytes(), interface.as_str().as_bytes());
        part.width = 16;
        part
    }

    /// One address.
    pub fn address(address: impl Into<IpAddr>) -> Self {
        match address.into() {
            IpAddr::V4(address) => Self::range(&address.octets(), &address.octets()),
            IpAddr::V6(address) => Self::range(&address.octets(), &address.octets()),
        }
    }

    /// Every address of a network.
    pub fn network(network: IpNet) -> Self {
        match network {
            IpNet::V4(network) => Self::range(&network.network().octets(), &network.broadcast().octets()),
            IpNet::V6(network) => Self::range(&network.network().octets(), &network.broadcast().octets()),
        }
    }

    /// IPv4 addresses from the first to the last, included; the ends are taken in either order.
    pub fn addresses_v4(range: RangeInclusive<Ipv4Addr>) -> Self {
        let (first, last) = ordered(range);
        Self::range(&first.octets(), &last.octets())
    }

    /// IPv6 addresses from the first to the last, included; the ends are taken in either order.
    pub fn addresses_v6(range: RangeInclusive<Ipv6Addr>) -> Self {
        let (first, last) = ordered(range);
        Self::range(&first.octets(), &last.octets())
    }

    /// A protocol, by its IANA number.
    pub fn protocol(protocol: u8) -> Self {
        Self::range(&[protocol], &[protocol])
    }

    /// Every protocol.
    pub fn any_protocol() -> Self {
        Self::range(&[0], &[u8::MAX])
    }

    /// One port.
    pub fn port(port: u16) -> Self {
        Self::range(&port.to_be_bytes(), &port.to_be_bytes())
    }

    /// The ports of a range.
    pub fn ports(range: PortRange) -> Self {
        Self::range(&range.first().to_be_bytes(), &range.last().to_be_bytes())
    }

    /// Ports from the first to the last, 0 included.
    pub fn port_span(range: RangeInclusive<u16>) -> Self {
        Self::range(&range.start().to_be_bytes(), &range.end().to_be_bytes())
    }

    /// Every port, 0 included.
    pub fn any_port() -> Self {
        Self::range(&[0, 0], &[u8::MAX, u8::MAX])
    }

    /// Whether it is more than one value, which only interval sets can hold.
    pub fn is_range(&self) -> bool {
        self.first != self.last
    }
}

fn ordered<T: Ord + Copy>(range: RangeInclusive<T>) -> (T, T) {
    let (first, last) = range.into_inner();
    (first.min(last), first.max(last))
}

impl Element {
    /// The element of a key with these parts, in order.
    pub fn new(parts: &[Part]) -> Self {
        let width = |part: &Part| {
            if parts.len() == 1 {
                part.width
            } else {
                part.width.next_multiple_of(4)
            }
        };
        let total = parts.iter().map(width).sum();
        let bytes = |end: fn(&Part) -> &[u8; 16], to: &mut [u8]| {
            let from = parts.iter().flat_map(|part| end(part).iter().take(width(part)));
            for (to, from) in to.iter_mut().zip(from) {
                *to = *from;
            }
        };
        if parts.iter().any(Part::is_range) {
            let mut ends = [vec![0; total], vec![0; total]];
            let [first, last] = &mut ends;
            bytes(|part| &part.first, first);
            bytes(|part| &part.last, last);
            return Self(Bytes::Range(Box::new(ends.map(Into::into))));
        }
        if total > IN_PLACE {
            let mut long = vec![0; total];
            bytes(|part| &part.first, &mut long);
            return Self(Bytes::Long(long.into()));
        }
        let mut short = [0; IN_PLACE];
        bytes(|part| &part.first, &mut short);
        Self(Bytes::Short(u8::try_from(total).unwrap_or_default(), short))
    }

    /// The element that the kernel keeps as these bytes.
    pub(crate) fn from_bytes(first: &[u8], last: Option<&[u8]>) -> Self {
        if let Some(last) = last.filter(|&last| last != first) {
            return Self(Bytes::Range(Box::new([first.into(), last.into()])));
        }
        let mut short = [0; IN_PLACE];
        match (u8::try_from(first.len()), short.get_mut(..first.len())) {
            (Ok(length), Some(to)) => {
                to.copy_from_slice(first);
                Self(Bytes::Short(length, short))
            }
            _ => Self(Bytes::Long(first.into())),
        }
    }

    /// The bytes of the first key.
    pub fn first(&self) -> &[u8] {
        match &self.0 {
            Bytes::Short(length, bytes) => bytes.get(..usize::from(*length)).unwrap_or_default(),
            Bytes::Long(bytes) => bytes,
            Bytes::Range(ends) => {
                let [first, _] = ends.as_ref();
                first
            }
        }
    }

    /// The bytes of the last key, if this is a range.
    pub fn last(&self) -> Option<&[u8]> {
        match &self.0 {
            Bytes::Short(..) | Bytes::Long(_) => None,
            Bytes::Range(ends) => {
                let [_, last] = ends.as_ref();
                Some(last)
            }
        }
    }

    /// The parts again, for a key of these types.
    pub fn parts(&self, key: &[KeyType]) -> Result<Vec<Range>, UnknownWidth> {
        let expected = KeyType::key_width(key);
        for end in [Some(self.first()), self.last()].into_iter().flatten() {
            if end.len() != expected {
                return Err(UnknownWidth {
                    expected,
                    found: end.len(),
                });
            }
        }
        let mut first = self.first();
        let mut last = self.last().unwrap_or(self.first());
        let mut parts = Vec::with_capacity(key.len());
        for &kind in key {
            parts.push(Range {
                first: Value::take(kind, &mut first),
                last: Value::take(kind, &mut last),
            });
        }
        Ok(parts)
    }
}

impl Value {
    /// Takes one part off the front of `bytes`; what is missing reads as zeros.
    fn take(kind: KeyType, bytes: &mut &[u8]) -> Self {
        let (part, rest) = bytes.split_at(kind.padded_width().min(bytes.len()));
        *bytes = rest;
        let mut octets = [0_u8; 16];
        for (to, from) in octets.iter_mut().zip(part) {
            *to = *from;
        }
        let [a, b, c, d, ..] = octets;
        match kind {
            KeyType::InterfaceName => {
                let name: Vec<u8> = octets.into_iter().take_while(|&byte| byte != 0).collect();
                Self::Interface(String::from_utf8_lossy(&name).into_owned())
            }
            KeyType::Ipv4Address => Self::Address(Ipv4Addr::new(a, b, c, d).into()),
            KeyType::Ipv6Address => Self::Address(Ipv6Addr::from(octets).into()),
            KeyType::Protocol => Self::Protocol(a),
            KeyType::Port => Self::Port(u16::from_be_bytes([a, b])),
        }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Interface(name) => f.write_str(name),
            Self::Address(address) => address.fmt(f),
            Self::Protocol(number) => number.fmt(f),
            Self::Port(port) => port.fmt(f),
        }
    }
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.first == self.last {
            self.first.fmt(f)
        } else {
            write!(f, "{}-{}", self.first, self.last)
        }
    }
}

impl PartialEq for Element {
    fn eq(&self, other: &Self) -> bool {
        self.first() == other.first() && self.last() == other.last()
    }
}

impl Eq for Element {}

impl Ord for Element {
    fn cmp(&self, other: &Self) -> Ordering {
        self.first()
            .cmp(other.first())
            .then_with(|| self.last().cmp(&other.last()))
    }
}

impl PartialOrd for Element {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Hash for Element {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (self.first(), self.last()).hash(state);
    }
}

impl fmt::Debug for Element {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for byte in self.first() {
            write!(f, "{byte:02x}")?;
        }
        if let Some(last) = self.last() {
            f.write_str("-")?;
            for byte in last {
                write!(f, "{byte:02x}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
