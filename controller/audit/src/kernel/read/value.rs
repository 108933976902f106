//! Values: elements of sets, and the right sides of matches.
//!
//! There can be a million of them, so they are read straight from the text into [`Raw`], and from there into numbers, as soon
//! as the type of their set is known.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use serde::Deserialize;
use serde::de::{Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};

use crate::kernel::ruleset::{Kind, NotUnderstood, Part};
use crate::kernel::transport::{ICMP, ICMP_V6};

/// A value as it is written.
#[derive(Clone, Debug)]
pub(super) enum Raw {
    /// A number.
    Number(u64),
    /// An address.
    Address(IpAddr),
    /// Any other text.
    Text(Box<str>),
    /// `{"prefix": {"addr": …, "len": …}}`
    Prefix(IpAddr, u8),
    /// `{"range": [first, last]}`
    Range(Box<(Raw, Raw)>),
    /// `{"concat": […]}`
    Concat(Vec<Raw>),
    /// `{"set": […]}`
    Set(Vec<Raw>),
    /// `{"elem": {"val": …, …}}`
    Element {
        /// The value.
        value: Box<Raw>,
        /// Its comment.
        comment: Option<String>,
    },
    /// `[key, verdict]`, an entry of a map of verdicts.
    Entry(Box<(Raw, serde_json::Value)>),
    /// Something else, by its name.
    Unknown(Box<str>),
}

impl fmt::Display for Raw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let joined = |values: &[Self], by: &str| {
            values
                .iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>()
                .join(by)
        };
        match self {
            Self::Number(number) => number.fmt(f),
            Self::Address(address) => address.fmt(f),
            Self::Text(text) | Self::Unknown(text) => f.write_str(text),
            Self::Prefix(address, length) => write!(f, "{address}/{length}"),
            Self::Range(ends) => write!(f, "{}-{}", ends.0, ends.1),
            Self::Concat(values) => f.write_str(&joined(values, " . ")),
            Self::Set(values) => write!(f, "{{ {} }}", joined(values, ", ")),
            Self::Element { value, .. } => value.fmt(f),
            Self::Entry(entry) => write!(f, "{} : {}", entry.0, entry.1),
        }
    }
}

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(RawVisitor)
    }
}

struct RawVisitor;

#[derive(Deserialize)]
struct RawPrefix {
    addr: Raw,
    len: u8,
}

/// What an element can carry besides its value. Counters count and do nothing; anything else (a limit, a quota, a timeout)
/// would make what it holds a matter of time or of what came before, so it is not understood.
struct RawElement(Raw);

impl<'de> Deserialize<'de> for RawElement {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(ElementVisitor).map(Self)
    }
}

struct ElementVisitor;

impl<'de> Visitor<'de> for ElementVisitor {
    type Value = Raw;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an element of nftables")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Raw, A::Error> {
        let (mut value, mut comment, mut unknown) = (None, None, None);
        while let Some(field) = map.next_key::<String>()? {
            match field.as_str() {
                "val" => value = Some(map.next_value::<Raw>()?),
                "comment" => comment = map.next_value()?,
                "counter" => drop(map.next_value::<IgnoredAny>()?),
                _ => {
                    map.next_value::<IgnoredAny>()?;
                    unknown = Some(field);
                }
            }
        }
        let value = value.ok_or_else(|| A::Error::missing_field("val"))?;
        Ok(match unknown {
            None => Raw::Element {
                value: Box::new(value),
                comment,
            },
            Some(field) => Raw::Unknown(format!("{value} with {field}").into()),
        })
    }
}

impl<'de> Visitor<'de> for RawVisitor {
    type Value = Raw;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value of nftables")
    }

    fn visit_u64<E>(self, number: u64) -> Result<Raw, E> {
        Ok(Raw::Number(number))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Raw, E> {
        Ok(u64::try_from(number).map_or_else(|_| Raw::Unknown(number.to_string().into()), Raw::Number))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Raw, E> {
        Ok(Raw::Unknown(number.to_string().into()))
    }

    fn visit_bool<E>(self, value: bool) -> Result<Raw, E> {
        Ok(Raw::Unknown(value.to_string().into()))
    }

    fn visit_unit<E>(self) -> Result<Raw, E> {
        Ok(Raw::Unknown("null".into()))
    }

    fn visit_str<E>(self, text: &str) -> Result<Raw, E> {
        Ok(text.parse().map_or_else(|_| Raw::Text(text.into()), Raw::Address))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Raw, A::Error> {
        let key: Raw = sequence
            .next_element()?
            .ok_or_else(|| A::Error::custom("an empty list"))?;
        let verdict: serde_json::Value = sequence
            .next_element()?
            .ok_or_else(|| A::Error::custom("a list of one value"))?;
        match sequence.next_element::<IgnoredAny>()? {
            None => Ok(Raw::Entry(Box::new((key, verdict)))),
            Some(_) => Err(A::Error::custom("a list of more than two values")),
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Raw, A::Error> {
        let Some(key) = map.next_key::<String>()? else {
            return Ok(Raw::Unknown("{}".into()));
        };
        let raw = match key.as_str() {
            "prefix" => {
                let prefix: RawPrefix = map.next_value()?;
                match prefix.addr {
                    Raw::Address(address) => Raw::Prefix(address, prefix.len),
                    other => Raw::Unknown(format!("prefix of {other}").into()),
                }
            }
            "range" => Raw::Range(Box::new(map.next_value()?)),
            "concat" => Raw::Concat(map.next_value()?),
            "set" => Raw::Set(map.next_value()?),
            "elem" => map.next_value::<RawElement>()?.0,
            other => {
                map.next_value::<IgnoredAny>()?;
                Raw::Unknown(other.into())
            }
        };
        match map.next_key::<IgnoredAny>()? {
            None => Ok(raw),
            Some(_) => Err(A::Error::custom(format!("more than {key} in one value"))),
        }
    }
}

/// The type of a set's key as it is written.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum RawType {
    One(String),
    Many(Vec<String>),
    Other(serde_json::Value),
}

/// The types of a key's parts.
pub(super) fn kinds(written: &RawType) -> Result<Vec<Kind>, NotUnderstood> {
    let parts = match written {
        RawType::One(only) => std::slice::from_ref(only),
        RawType::Many(parts) => parts.as_slice(),
        RawType::Other(other) => return Err(NotUnderstood(format!("a key of type {other}"))),
    };
    let kind = |part: &String| match part.as_str() {
        "ifname" => Ok(Kind::Interface),
        "ipv4_addr" => Ok(Kind::V4),
        "ipv6_addr" => Ok(Kind::V6),
        "inet_proto" => Ok(Kind::Protocol),
        "inet_service" => Ok(Kind::Port),
        other => Err(NotUnderstood(format!("a key of type {other}"))),
    };
    parts.iter().map(kind).collect()
}

/// The parts of an element with a key of these types.
pub(super) fn parts(raw: &Raw, key: &[Kind]) -> Result<Box<[Part]>, NotUnderstood> {
    let values = match raw {
        Raw::Concat(values) => values.as_slice(),
        single => std::slice::from_ref(single),
    };
    if values.len() != key.len() {
        return Err(NotUnderstood(format!(
            "an element of {} parts for a key of {}",
            values.len(),
            key.len()
        )));
    }
    values
        .iter()
        .zip(key)
        .map(|(value, kind)| part(value, *kind))
        .collect()
}

/// One value of a type.
pub(super) fn part(raw: &Raw, kind: Kind) -> Result<Part, NotUnderstood> {
    let unknown = || NotUnderstood(format!("{raw} is no {kind:?}"));
    if kind == Kind::Interface {
        return interface(raw).ok_or_else(unknown);
    }
    let (first, last) = match raw {
        // Their numbers here are not the kernel's: what lies between two of them is something else there.
        Raw::Range(_) if !kind.is_ordered() => (None, None),
        Raw::Range(ends) => (number(&ends.0, kind), number(&ends.1, kind)),
        Raw::Prefix(address, length) => prefix(*address, *length, kind).unzip(),
        Raw::Text(text) if &**text == "*" => (Some(0), Some(kind.last())),
        single => {
            let number = number(single, kind);
            (number, number)
        }
    };
    match first.zip(last) {
        Some((first, last)) if first <= last && last <= kind.last() => Ok(Part::Numbers(first, last)),
        Some(_) | None => Err(unknown()),
    }
}

/// `nft` writes a pattern as a name that ends in `*`, and a star at the end of a name as `\*`.
fn interface(raw: &Raw) -> Option<Part> {
    let text: Arc<str> = match raw {
        Raw::Text(text) => (&**text).into(),
        // Interfaces may have any name, also that of an address or a number.
        Raw::Address(address) => address.to_string().into(),
        _ => return None,
    };
    Some(match (text.strip_suffix("\\*"), text.strip_suffix('*')) {
        (Some(stem), _) => Part::Interface(format!("{stem}*").into()),
        (None, Some(stem)) => Part::Interfaces(stem.into()),
        (None, None) => Part::Interface(text),
    })
}

fn prefix(address: IpAddr, length: u8, kind: Kind) -> Option<(u128, u128)> {
    let width: u32 = match kind {
        Kind::V4 => 32,
        Kind::V6 => 128,
        _ => return None,
    };
    let host = width.checked_sub(u32::from(length))?;
    let mask = if host == 128 {
        u128::MAX
    } else {
        (1_u128 << host) - 1
    };
    let number = number(&Raw::Address(address), kind)?;
    Some((number & !mask, number | mask))
}

fn number(raw: &Raw, kind: Kind) -> Option<u128> {
    match (kind, raw) {
        (Kind::V4, Raw::Address(IpAddr::V4(address))) => Some(address.to_bits().into()),
        (Kind::V6, Raw::Address(IpAddr::V6(address))) => Some(address.to_bits()),
        (Kind::Protocol | Kind::Port | Kind::IcmpType | Kind::IcmpV6Type, Raw::Number(number)) => {
            Some((*number).into())
        }
        (Kind::Protocol, Raw::Text(name)) => protocol(name).map(u128::from),
        (Kind::IcmpType, Raw::Text(name)) => icmp_type(name).map(u128::from),
        (Kind::IcmpV6Type, Raw::Text(name)) => icmp_v6_type(name).map(u128::from),
        (Kind::Frame, Raw::Text(name)) => match &**name {
            "ipv4" | "ip" => Some(0),
            "ipv6" | "ip6" => Some(1),
            "arp" => Some(2),
            _ => None,
        },
        (Kind::Cast, Raw::Text(name)) => match &**name {
            "host" | "unicast" => Some(0),
            "broadcast" => Some(1),
            "multicast" => Some(2),
            "other" => Some(3),
            _ => None,
        },
        _ => None,
    }
}

/// A protocol by the name that `nft` prints for it (`/etc/protocols`).
pub(super) fn protocol(name: &str) -> Option<u8> {
    Some(match name {
        "icmp" => ICMP,
        "tcp" => 6,
        "udp" => 17,
        "dccp" => 33,
        "gre" => 47,
        "esp" => 50,
        "ah" => 51,
        "ipv6-icmp" | "icmpv6" => ICMP_V6,
        "comp" => 108,
        "sctp" => 132,
        "udplite" => 136,
        other => return other.parse().ok(),
    })
}

/// A type of ICMP by `nft`'s name for it (`icmp_type_tbl`).
fn icmp_type(name: &str) -> Option<u8> {
    Some(match name {
        "echo-reply" => 0,
        "destination-unreachable" => 3,
        "source-quench" => 4,
        "redirect" => 5,
        "echo-request" => 8,
        "router-advertisement" => 9,
        "router-solicitation" => 10,
        "time-exceeded" => 11,
        "parameter-problem" => 12,
        "timestamp-request" => 13,
        "timestamp-reply" => 14,
        "info-request" => 15,
        "info-reply" => 16,
        "address-mask-request" => 17,
        "address-mask-reply" => 18,
        _ => return None,
    })
}

/// A type of `ICMPv6` by `nft`'s name for it (`icmp6_type_tbl`).
fn icmp_v6_type(name: &str) -> Option<u8> {
    Some(match name {
        "destination-unreachable" => 1,
        "packet-too-big" => 2,
        "time-exceeded" => 3,
        "parameter-problem" => 4,
        "echo-request" => 128,
        "echo-reply" => 129,
        "mld-listener-query" => 130,
        "mld-listener-report" => 131,
        "mld-listener-done" | "mld-listener-reduction" => 132,
        "nd-router-solicit" => 133,
        "nd-router-advert" => 134,
        "nd-neighbor-solicit" => 135,
        "nd-neighbor-advert" => 136,
        "nd-redirect" => 137,
        "router-renumbering" => 138,
        "ind-neighbor-solicit" => 141,
        "ind-neighbor-advert" => 142,
        "mld2-listener-report" => 143,
        _ => return None,
    })
}
