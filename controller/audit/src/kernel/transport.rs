//! What a packet carries, as numbers: finer than policies look, because a rule in the kernel may look closer.
//!
//! A transport is an IP protocol and 16 bits more: the destination port of protocols with ports, type and code of both forms
//! of ICMP, and for other protocols nothing that a rule can see.

use std::fmt;

use palisade_policy::model::{Protocol, Transport};
use palisade_policy::reach::PortSet;

use super::spans::{Pieces, Spans};

/// The protocols whose header has a destination port in its second 16 bits: TCP, UDP, DCCP, SCTP, UDP-Lite.
pub(crate) const WITH_PORTS: [u8; 5] = [6, 17, 33, 132, 136];
/// ICMP.
pub(crate) const ICMP: u8 = 1;
/// The form of ICMP for IPv6.
pub(crate) const ICMP_V6: u8 = 58;

/// Messages of both forms of ICMP that conntrack expects an answer to: the form, the type that asks, and the one that answers
/// (RFC 792, RFC 950, RFC 4443).
const ANSWERED: [(u8, u8, u8); 5] = [
    (ICMP, 8, 0),
    (ICMP, 13, 14),
    (ICMP, 15, 16),
    (ICMP, 17, 18),
    (ICMP_V6, 128, 129),
];

/// First and last number of all transports.
const EVERYTHING: (u32, u32) = (0, 0x00ff_ffff);

/// One transport.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Carried {
    /// The IP protocol.
    pub protocol: u8,
    /// Destination port, or ICMP type and code.
    pub detail: u16,
}

impl Carried {
    fn number(self) -> u32 {
        u32::from(self.protocol) << 16 | u32::from(self.detail)
    }

    fn of(number: u32) -> Self {
        let [_, protocol, high, low] = number.to_be_bytes();
        Self {
            protocol,
            detail: u16::from_be_bytes([high, low]),
        }
    }

    /// As policies see it.
    pub fn transport(self) -> Transport {
        match Protocol::ALL
            .into_iter()
            .find(|known| known.number() == self.protocol)
        {
            Some(protocol) => Transport::Port(protocol, self.detail),
            None => Transport::Other(self.protocol),
        }
    }

    /// What answers it, with the port that was asked for as its source port; `None` where nothing does.
    pub(crate) fn reply(self) -> Option<Self> {
        let [kind, _] = self.detail.to_be_bytes();
        if ![ICMP, ICMP_V6].contains(&self.protocol) {
            return Some(self);
        }
        let mut known = ANSWERED
            .iter()
            .filter(|(protocol, asks, _)| (*protocol, *asks) == (self.protocol, kind));
        known.next().map(|(protocol, _, answers)| Self {
            protocol: *protocol,
            detail: u16::from(*answers) << 8,
        })
    }

    /// Whether it is neighbour discovery or multicast listener discovery, without which a pod has no IPv6: it always
    /// passes, whatever policies say (RFC 4890, 4.3).
    pub fn is_discovery(self) -> bool {
        Transports::discovery().contains(self)
    }
}

impl From<Transport> for Carried {
    /// Of ICMP an echo request.
    fn from(transport: Transport) -> Self {
        let (protocol, detail) = match transport {
            Transport::Port(protocol, port) => (protocol.number(), port),
            Transport::Other(ICMP) => (ICMP, 8 << 8),
            Transport::Other(ICMP_V6) => (ICMP_V6, 128 << 8),
            Transport::Other(other) => (other, 0),
        };
        Self { protocol, detail }
    }
}

impl fmt::Display for Carried {
    /// `80/TCP`, `ICMPv6 type 128`, `protocol 47`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [kind, _] = self.detail.to_be_bytes();
        match self.protocol {
            ICMP => write!(f, "ICMP type {kind}"),
            ICMP_V6 => write!(f, "ICMPv6 type {kind}"),
            _ => self.transport().fmt(f),
        }
    }
}

/// A set of transports.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Transports(pub Spans<u32>);

impl Transports {
    /// Nothing.
    pub fn none() -> Self {
        Self::default()
    }

    /// Everything.
    pub fn all() -> Self {
        Self::protocols(0, u8::MAX)
    }

    /// All of some protocols, by first and last number.
    pub fn protocols(first: u8, last: u8) -> Self {
        Self(Spans::one(u32::from(first) << 16, u32::from(last) << 16 | 0xffff))
    }

    /// Some ports of a protocol, or types and codes of one form of ICMP.
    pub fn details(protocol: u8, first: u16, last: u16) -> Self {
        let protocol = u32::from(protocol) << 16;
        Self(Spans::one(
            protocol | u32::from(first),
            protocol | u32::from(last),
        ))
    }

    /// Some types of a form of ICMP, with every code.
    pub fn icmp_types(protocol: u8, first: u8, last: u8) -> Self {
        Self::details(protocol, u16::from(first) << 8, u16::from(last) << 8 | 0xff)
    }

    /// All of the protocols with ports.
    pub fn with_ports() -> Self {
        let protocols = WITH_PORTS.map(|protocol| Self::protocols(protocol, protocol));
        protocols.iter().fold(Self::none(), |all, one| all.union(one))
    }

    /// Neighbour discovery (133–137, RFC 4861) and multicast listener discovery (130–132, RFC 2710; 143, RFC 3810).
    pub fn discovery() -> Self {
        Self::icmp_types(ICMP_V6, 130, 137).union(&Self::icmp_types(ICMP_V6, 143, 143))
    }

    /// Router advertisements and redirects (RFC 4861): what only routers send.
    pub fn of_routers() -> Self {
        Self::icmp_types(ICMP_V6, 134, 134).union(&Self::icmp_types(ICMP_V6, 137, 137))
    }

    /// What these answer, and what needs no answer.
    #[must_use]
    pub(crate) fn answered(&self) -> Self {
        let asking = ANSWERED.map(|(protocol, asks, _)| Self::icmp_types(protocol, asks, asks));
        let asking = asking.iter().fold(Self::none(), |all, one| all.union(one));
        let icmp = [ICMP, ICMP_V6].map(|protocol| Self::protocols(protocol, protocol));
        let icmp = icmp.iter().fold(Self::none(), |all, one| all.union(one));
        let mut answered = self.difference(&icmp).union(&icmp.difference(&asking));
        for (protocol, asks, answers) in ANSWERED {
            let detail = u16::from(answers) << 8;
            if self.contains(Carried { protocol, detail }) {
                answered = answered.union(&Self::icmp_types(protocol, asks, asks));
            }
        }
        answered
    }

    /// Whether nothing is in it.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether one is in it.
    pub fn contains(&self, carried: Carried) -> bool {
        self.0.contains(carried.number())
    }

    /// What is in either.
    #[must_use]
    pub fn union(&self, other: &Self) -> Self {
        Self(self.0.union(&other.0))
    }

    /// What is in both.
    #[must_use]
    pub fn intersection(&self, other: &Self) -> Self {
        Self(self.0.intersection(&other.0))
    }

    /// What is in this one and not in the other.
    #[must_use]
    pub fn difference(&self, other: &Self) -> Self {
        Self(self.0.difference(&other.0))
    }

    /// Whether everything of this one is in the other.
    pub fn is_within(&self, other: &Self) -> bool {
        self.0.is_within(&other.0)
    }

    /// One that is in it: a port of TCP if there is any, else of another protocol with ports, else an echo request, else the
    /// first. `None` of the empty set.
    pub fn example(&self) -> Option<Carried> {
        let (protocols, echoes) = (Protocol::ALL.map(Protocol::number), [ICMP, ICMP_V6]);
        let port = |protocol: &u8| {
            let own = self.intersection(&Self::details(*protocol, 1, u16::MAX));
            own.0.stretches().first().map(|(first, _)| Carried::of(*first))
        };
        let echo = |protocol: &u8| {
            let echo = Carried::from(Transport::Other(*protocol));
            self.contains(echo).then_some(echo)
        };
        let found = protocols
            .iter()
            .find_map(port)
            .or_else(|| echoes.iter().find_map(echo));
        found.or_else(|| self.0.stretches().first().map(|(first, _)| Carried::of(*first)))
    }

    /// What is in it, in words.
    fn words(&self) -> String {
        let mut parts = Vec::new();
        let mut whole = Vec::new();
        for protocol in 0..=u8::MAX {
            let spans = self.of_protocol(protocol);
            if spans.is_empty() {
                continue;
            }
            let name = name(protocol);
            let is_whole = spans == [(0, u16::MAX)];
            match (name, is_whole) {
                (Some(name), true) => parts.push(name.to_owned()),
                (Some(name), false) if is_icmp(protocol) => {
                    let types = spans.iter().map(|(first, last)| (first >> 8, last >> 8));
                    parts.push(format!("{name} type {}", joined(types)));
                }
                (name, false) => {
                    let name = name.map_or_else(|| format!("protocol {protocol}"), str::to_owned);
                    parts.push(format!("{}/{name}", joined(spans.into_iter())));
                }
                (None, true) => whole.push((u16::from(protocol), u16::from(protocol))),
            }
        }
        let rest = Spans::of(
            whole
                .into_iter()
                .map(|(first, last)| (u32::from(first), u32::from(last)))
                .collect(),
        );
        if !rest.is_empty() {
            let narrow = |number: &u32| u16::try_from(*number).unwrap_or(u16::MAX);
            let stretches = rest
                .stretches()
                .iter()
                .map(|(first, last)| (narrow(first), narrow(last)));
            parts.push(if stretches.len() > 4 {
                "other protocols".to_owned()
            } else {
                format!("protocols {}", joined(stretches))
            });
        }
        parts.join("; ")
    }

    /// The part of one protocol, as first and last detail of each stretch.
    fn of_protocol(&self, protocol: u8) -> Vec<(u16, u16)> {
        let own = self.intersection(&Self::protocols(protocol, protocol));
        let detail = |number: &u32| Carried::of(*number).detail;
        own.0
            .stretches()
            .iter()
            .map(|(first, last)| (detail(first), detail(last)))
            .collect()
    }
}

/// What is carried, for each address. Where one side is nothing or everything at all addresses there is nothing to do.
impl Pieces<Transports> {
    /// Nothing.
    pub(crate) fn nothing() -> Self {
        Self::constant(Transports::none())
    }

    /// Everything.
    pub(crate) fn everything() -> Self {
        Self::constant(Transports::all())
    }

    /// Whether it is nothing at all addresses.
    pub(crate) fn is_nothing(&self) -> bool {
        self.is_constant().is_some_and(Transports::is_empty)
    }

    fn is_everything(&self) -> bool {
        self.is_constant()
            .is_some_and(|carried| carried.0.stretches() == [EVERYTHING])
    }

    /// What is in either.
    #[must_use]
    pub(crate) fn union(&self, other: &Self) -> Self {
        if other.is_nothing() || self.is_everything() {
            self.clone()
        } else if self.is_nothing() || other.is_everything() {
            other.clone()
        } else {
            self.zip(other, Transports::union)
        }
    }

    /// What is in both.
    #[must_use]
    pub(crate) fn intersection(&self, other: &Self) -> Self {
        if self.is_nothing() || other.is_everything() {
            self.clone()
        } else if other.is_nothing() || self.is_everything() {
            other.clone()
        } else {
            self.zip(other, Transports::intersection)
        }
    }

    /// What is in this one and not in the other.
    #[must_use]
    pub(crate) fn difference(&self, other: &Self) -> Self {
        if self.is_nothing() || other.is_nothing() {
            self.clone()
        } else if other.is_everything() {
            Self::nothing()
        } else {
            self.zip(other, Transports::difference)
        }
    }
}

impl From<&PortSet> for Transports {
    fn from(ports: &PortSet) -> Self {
        let mut stretches = Vec::new();
        for protocol in Protocol::ALL {
            let number = u32::from(protocol.number()) << 16;
            let spans = ports.ports(protocol).iter();
            stretches
                .extend(spans.map(|(first, last)| (number | u32::from(*first), number | u32::from(*last))));
        }
        if ports.has_protocols_without_ports() {
            let with_ports =
                Protocol::ALL.map(|protocol| Self::protocols(protocol.number(), protocol.number()));
            let others = with_ports
                .iter()
                .fold(Self::all(), |all, one| all.difference(one));
            stretches.extend_from_slice(others.0.stretches());
        }
        Self(Spans::of(stretches))
    }
}

impl fmt::Display for Transports {
    /// `80,8000-8999/TCP; UDP; ICMPv6 type 130-133; protocols 0, 2-5`, `all`, `all but 80/TCP`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all = Self::all();
        if *self == all {
            return f.write_str("all");
        }
        if self.is_empty() {
            return f.write_str("none");
        }
        let words = self.words();
        let without = format!("all but {}", all.difference(self).words());
        f.write_str(if without.len() < words.len() {
            &without
        } else {
            &words
        })
    }
}

fn is_icmp(protocol: u8) -> bool {
    matches!(protocol, ICMP | ICMP_V6)
}

fn name(protocol: u8) -> Option<&'static str> {
    match protocol {
        ICMP => Some("ICMP"),
        ICMP_V6 => Some("ICMPv6"),
        33 => Some("DCCP"),
        136 => Some("UDP-Lite"),
        other => Protocol::ALL
            .into_iter()
            .find(|known| known.number() == other)
            .map(Protocol::as_str),
    }
}

fn joined(spans: impl Iterator<Item = (u16, u16)>) -> String {
    let words = spans.map(|(first, last)| {
        if first == last {
            first.to_string()
        } else {
            format!("{first}-{last}")
        }
    });
    words.collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn transports_read_as_people_write_them() {
        let web = Transports::details(6, 80, 80).union(&Transports::details(6, 443, 443));
        assert_eq!(web.to_string(), "80,443/TCP");
        assert_eq!(
            web.union(&Transports::protocols(17, 17)).to_string(),
            "80,443/TCP; UDP"
        );
        assert_eq!(Transports::all().to_string(), "all");
        assert_eq!(
            Transports::all()
                .difference(&Transports::details(6, 80, 80))
                .to_string(),
            "all but 80/TCP"
        );
        assert_eq!(Transports::discovery().to_string(), "ICMPv6 type 130-137,143");
        assert_eq!(Transports::protocols(47, 48).to_string(), "protocols 47-48");
        let others = Transports::from(&PortSet::without_ports());
        assert_eq!(others.to_string(), "all but TCP; UDP; SCTP");
        assert_eq!(Transports::from(&PortSet::all()), Transports::all());
    }

    #[test]
    fn an_example_is_the_easiest_to_send() {
        let example = |transports: &Transports| transports.example().map(|carried| carried.to_string());
        assert_eq!(example(&Transports::all()).as_deref(), Some("1/TCP"));
        assert_eq!(
            example(&Transports::from(&PortSet::without_ports())).as_deref(),
            Some("ICMP type 8")
        );
        assert_eq!(
            example(&Transports::protocols(47, 47)).as_deref(),
            Some("protocol 47")
        );
        assert_eq!(example(&Transports::none()), None);
    }
}
