//! The language of probes: `shop/client -> shop/web 8080/TCP, ICMP /6 deny`.
//!
//! ```text
//! sources  -> destination  transports           family     verdict
//! a, b, c  -> pod          80/TCP  5000/UDP     /4 or /6,  allow
//!             client1      7000/SCTP  ICMP      else both  deny
//!             node:a       protocol 253
//!             service NAMESPACE/NAME [at node:a]
//! ```

use palisade_policy::model::{PodKey, Protocol, Transport, Verdict};

use super::addresses::{CLIENTS, Family};
use super::error::Problem;

/// The IP protocol number of ICMP, and below of its IPv6 counterpart.
const ICMP: u8 = 1;
const ICMPV6: u8 = 58;

/// A probe as it is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ProbeLine {
    pub(super) sources: Vec<Name>,
    pub(super) destination: Destination,
    pub(super) transports: Vec<Carries>,
    pub(super) families: Vec<Family>,
    pub(super) expect: Verdict,
}

/// Somebody who sends or receives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Name {
    Pod(PodKey),
    Node(String),
    /// By position in [`CLIENTS`].
    Client(usize),
}

/// Whom a probe is sent to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Destination {
    Name(Name),
    Service { service: String, at: Option<String> },
}

/// What a probe carries, where ICMP is that of the family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Carries {
    Port(Protocol, u16),
    Icmp,
    Other(u8),
}

impl Carries {
    pub(super) fn of(self, family: Family) -> Transport {
        match (self, family) {
            (Self::Port(protocol, port), _) => Transport::Port(protocol, port),
            (Self::Icmp, Family::V4) => Transport::Other(ICMP),
            (Self::Icmp, Family::V6) => Transport::Other(ICMPV6),
            (Self::Other(number), _) => Transport::Other(number),
        }
    }
}

impl ProbeLine {
    /// Reads a probe.
    pub(super) fn parse(line: &str) -> Result<Self, Problem> {
        let wrong = |what: &'static str| Problem::Probe {
            line: line.to_owned(),
            what,
        };
        let (sources, rest) = line
            .split_once(" -> ")
            .ok_or_else(|| wrong("there is no ` -> `"))?;
        let sources: Option<Vec<Name>> = sources.split(',').map(|source| name(source.trim())).collect();
        let (rest, expect) = rest
            .rsplit_once(' ')
            .ok_or_else(|| wrong("there is no verdict"))?;
        let expect = match expect {
            "allow" => Verdict::Allow,
            "deny" => Verdict::Deny,
            _ => return Err(wrong("the last word is neither allow nor deny")),
        };
        let (rest, families) = match (rest.strip_suffix(" /4"), rest.strip_suffix(" /6")) {
            (Some(rest), _) => (rest, vec![Family::V4]),
            (_, Some(rest)) => (rest, vec![Family::V6]),
            (None, None) => (rest, Family::ALL.to_vec()),
        };
        let (destination, transports) = destination(rest).ok_or_else(|| wrong("the destination is none"))?;
        let transports: Option<Vec<Carries>> =
            transports.split(',').map(|text| carries(text.trim())).collect();
        Ok(Self {
            sources: sources.ok_or_else(|| wrong("a source is neither pod, node nor client"))?,
            destination,
            transports: transports.ok_or_else(|| wrong("a transport is none"))?,
            families,
            expect,
        })
    }
}

/// The destination, and what follows it.
fn destination(text: &str) -> Option<(Destination, &str)> {
    let Some(service) = text.strip_prefix("service ") else {
        let (destination, rest) = text.split_once(' ')?;
        return Some((Destination::Name(name(destination)?), rest));
    };
    let (service, rest) = service.split_once(' ')?;
    let (at, rest) = match rest.strip_prefix("at node:") {
        Some(rest) => rest
            .split_once(' ')
            .map(|(node, rest)| (Some(node.to_owned()), rest))?,
        None => (None, rest),
    };
    Some((
        Destination::Service {
            service: service.to_owned(),
            at,
        },
        rest,
    ))
}

fn name(text: &str) -> Option<Name> {
    if let Some(position) = CLIENTS.iter().position(|client| *client == text) {
        return Some(Name::Client(position));
    }
    if let Some(node) = text.strip_prefix("node:") {
        return Some(Name::Node(node.to_owned()));
    }
    let one_word = !text.contains(char::is_whitespace);
    PodKey::parse(text).filter(|_| one_word).map(Name::Pod)
}

fn carries(text: &str) -> Option<Carries> {
    if text == "ICMP" {
        return Some(Carries::Icmp);
    }
    if let Some(number) = text.strip_prefix("protocol ") {
        let number = number.parse().ok()?;
        let known = [ICMP, ICMPV6].contains(&number) || Protocol::ALL.iter().any(|it| it.number() == number);
        return (!known).then_some(Carries::Other(number));
    }
    let (port, protocol) = port(text)?;
    Some(Carries::Port(protocol, port))
}

/// Reads `80/TCP`.
pub(super) fn port(text: &str) -> Option<(u16, Protocol)> {
    let (port, protocol) = text.split_once('/')?;
    Some((
        port.parse().ok().filter(|port| *port > 0)?,
        Protocol::parse(protocol)?,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_probe_names_sources_destination_transports_family_and_verdict() {
        let line = ProbeLine::parse("shop/a, node:b -> client2 80/TCP, ICMP, protocol 253 /6 deny").unwrap();
        assert_eq!(
            line.sources,
            [Name::Pod(PodKey::new("shop", "a")), Name::Node("b".to_owned())]
        );
        assert_eq!(line.destination, Destination::Name(Name::Client(1)));
        assert_eq!(
            line.transports,
            [
                Carries::Port(Protocol::Tcp, 80),
                Carries::Icmp,
                Carries::Other(253)
            ]
        );
        assert_eq!((line.families, line.expect), (vec![Family::V6], Verdict::Deny));
    }

    #[test]
    fn a_service_may_be_entered_at_a_node() {
        let service = |text| ProbeLine::parse(text).unwrap().destination;
        let at = |at: Option<&str>| Destination::Service {
            service: "shop/web".to_owned(),
            at: at.map(str::to_owned),
        };
        assert_eq!(service("shop/a -> service shop/web 80/TCP allow"), at(None));
        assert_eq!(
            service("client1 -> service shop/web at node:b 80/TCP allow"),
            at(Some("b"))
        );
    }

    #[test]
    fn a_probe_with_a_slip_is_refused() {
        for line in [
            "shop/a shop/b 80/TCP allow",
            "shop/a -> shop/b 80/TCP",
            "shop/a -> shop/b 80/TCP maybe",
            "shop/a -> shop/b allow",
            "shop/a -> shop/b 80 allow",
            "shop/a -> shop/b 0/TCP allow",
            "shop/a -> shop/b 80/tcp allow",
            "shop/a -> shop/b protocol 6 allow",
            "shop/a -> client3 80/TCP allow",
            "shop/a -> shop/b, shop/c 80/TCP allow",
        ] {
            assert!(ProbeLine::parse(line).is_err(), "{line}");
        }
    }
}
