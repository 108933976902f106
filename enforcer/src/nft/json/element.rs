//! Elements and entries in nft JSON.

use std::net::IpAddr;

use nftables::expr::{Expression, NamedExpression, Prefix, Range as NftRange};
use serde_json::{Value as Json, json};

use crate::nft::model::{Element, KeyType, MapEntry, Range, Value, Verdict};

/// An element of a set with this key.
pub(super) fn expression(key: &[KeyType], element: &Element) -> Expression<'static> {
    let Ok(parts) = element.parts(key) else {
        // No ruleset that passes the check has such an element; showing its bytes beats hiding it.
        return Expression::String(format!("{element:?}").into());
    };
    let mut parts: Vec<_> = parts.iter().map(part).collect();
    match parts.pop() {
        Some(only) if parts.is_empty() => only,
        Some(last) => {
            parts.push(last);
            Expression::Named(NamedExpression::Concat(parts))
        }
        None => Expression::List(parts),
    }
}

/// A map's entry: key and verdict.
pub(super) fn entry(key: &[KeyType], element: &Element, entry: &MapEntry) -> (Json, Json) {
    let expression = json!(expression(key, element));
    let left = match &entry.comment {
        Some(comment) => json!({ "elem": { "val": expression, "comment": comment.as_str() } }),
        None => expression,
    };
    let right = match &entry.verdict {
        Verdict::Accept => json!({ "accept": null }),
        Verdict::Drop => json!({ "drop": null }),
        Verdict::Jump(chain) => json!({ "jump": { "target": chain.as_str() } }),
        Verdict::Goto(chain) => json!({ "goto": { "target": chain.as_str() } }),
        Verdict::Continue | Verdict::Map { .. } => json!({ "continue": null }),
    };
    (left, right)
}

/// A protocol as `nft` names it: by the name in `/etc/protocols`, of which these are what policies speak of.
pub(super) fn protocol(number: u8) -> Expression<'static> {
    let name = match number {
        1 => "icmp",
        6 => "tcp",
        17 => "udp",
        33 => "dccp",
        47 => "gre",
        58 => "ipv6-icmp",
        132 => "sctp",
        136 => "udplite",
        other => return Expression::Number(other.into()),
    };
    Expression::String(name.into())
}

/// A network: its address, where it is one address alone.
pub(super) fn network(address: IpAddr, prefix: u8) -> Expression<'static> {
    let plain = Expression::String(address.to_string().into());
    let width = if address.is_ipv4() { 32 } else { 128 };
    if prefix == width {
        return plain;
    }
    Expression::Named(NamedExpression::Prefix(Prefix {
        addr: Box::new(plain),
        len: prefix.into(),
    }))
}

/// Values from the first to the last.
pub(super) fn range(first: Expression<'static>, last: Expression<'static>) -> Expression<'static> {
    Expression::Range(Box::new(NftRange { range: [first, last] }))
}

fn part(found: &Range) -> Expression<'static> {
    match (&found.first, &found.last) {
        (Value::Protocol(only), last) if found.first == *last => protocol(*only),
        (first, last) if first == last => value(first),
        (Value::Address(first), Value::Address(last)) => match common_prefix(*first, *last) {
            Some(prefix) => network(*first, prefix),
            None => range(value(&found.first), value(&found.last)),
        },
        (first, last) => range(value(first), value(last)),
    }
}

fn value(value: &Value) -> Expression<'static> {
    match value {
        Value::Interface(name) => Expression::String(name.clone().into()),
        Value::Address(address) => Expression::String(address.to_string().into()),
        Value::Protocol(number) => Expression::Number((*number).into()),
        Value::Port(port) => Expression::Number((*port).into()),
    }
}

/// The length of the prefix whose network is exactly `first` to `last`.
fn common_prefix(first: IpAddr, last: IpAddr) -> Option<u8> {
    let (first, last, width): (u128, u128, u32) = match (first, last) {
        (IpAddr::V4(first), IpAddr::V4(last)) => (first.to_bits().into(), last.to_bits().into(), 32),
        (IpAddr::V6(first), IpAddr::V6(last)) => (first.to_bits(), last.to_bits(), 128),
        _ => return None,
    };
    let host = first ^ last;
    let is_network = host & host.wrapping_add(1) == 0 && first & host == 0;
    is_network
        .then(|| u8::try_from(width - host.count_ones()).ok())
        .flatten()
}
