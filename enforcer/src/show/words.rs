//! Rules and elements in words.

use crate::nft::model::{Element, EtherType, Field, KeyType, Match, PacketType, Range, Rule, Value, Verdict};

use super::names::Names;

/// What a rule asks for.
pub(super) fn conditions(rule: &Rule) -> String {
    if rule.matches.is_empty() {
        return match rule.verdict {
            Verdict::Map { .. } => "every packet".to_owned(),
            _ => "everything else".to_owned(),
        };
    }
    rule.matches.iter().map(condition).collect::<Vec<_>>().join(", ")
}

fn condition(condition: &Match) -> String {
    match condition {
        Match::CtEstablishedOrRelated => "replies, and what belongs to an allowed connection".to_owned(),
        Match::EtherType(kind) => ether_type(*kind).to_owned(),
        Match::Protocol(number) => protocol(*number),
        Match::IcmpV6Types { first, last } if first == last => format!("ICMPv6 type {first}"),
        Match::IcmpV6Types { first, last } => format!("ICMPv6 types {first} to {last}"),
        Match::DestinationPorts(range) if range.first() == range.last() => format!("port {}", range.first()),
        Match::DestinationPorts(range) => format!("ports {} to {}", range.first(), range.last()),
        Match::SourceIn(network) => format!("from {network}"),
        Match::DestinationIn(network) => format!("to {network}"),
        Match::InSet { key, set, negated } => {
            format!(
                "{} {} set {set}",
                fields(key),
                if *negated { "not in" } else { "in" }
            )
        }
        Match::InputInterface(pattern) => format!("in by {pattern}"),
        Match::OutputInterface(pattern) => format!("out by {pattern}"),
        Match::PacketType { kind, negated } => {
            format!("{}{}", if *negated { "not " } else { "" }, packet_type(*kind))
        }
    }
}

/// What becomes of a packet that a rule matches.
pub(super) fn verdict(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Accept => "accepted".to_owned(),
        Verdict::Drop => "dropped".to_owned(),
        Verdict::Continue => "counted".to_owned(),
        Verdict::Goto(chain) if chain.as_str() == "to_pods" => {
            "may be sent: on to the receiver's rules".to_owned()
        }
        Verdict::Jump(chain) => format!("judged by chain {chain}, else by the next rule"),
        Verdict::Goto(chain) => format!("judged by chain {chain}"),
        Verdict::Map { key, map } => format!(
            "judged as map {map} says for {}, else by the next rule",
            fields(key)
        ),
    }
}

fn fields(key: &[Field]) -> String {
    let field = |field: &Field| match field {
        Field::InputInterface => "incoming interface",
        Field::OutputInterface => "outgoing interface",
        Field::SourceV4 => "IPv4 source",
        Field::SourceV6 => "IPv6 source",
        Field::DestinationV4 => "IPv4 destination",
        Field::DestinationV6 => "IPv6 destination",
        Field::L4Protocol => "protocol",
        Field::SourcePort => "source port",
        Field::DestinationPort => "port",
        Field::ArpSenderV4 => "ARP sender",
    };
    key.iter().map(field).collect::<Vec<_>>().join(" + ")
}

fn ether_type(kind: EtherType) -> &'static str {
    match kind {
        EtherType::Ipv4 => "IPv4",
        EtherType::Ipv6 => "IPv6",
        EtherType::Arp => "ARP",
    }
}

fn packet_type(kind: PacketType) -> &'static str {
    match kind {
        PacketType::Host => "addressed to this machine",
        PacketType::Broadcast => "broadcast",
        PacketType::Multicast => "multicast",
        PacketType::Other => "addressed to another machine",
    }
}

fn protocol(number: u8) -> String {
    match number {
        1 => "ICMP".to_owned(),
        6 => "TCP".to_owned(),
        17 => "UDP".to_owned(),
        58 => "ICMPv6".to_owned(),
        132 => "SCTP".to_owned(),
        other => format!("protocol {other}"),
    }
}

/// An element of a set: `10.1.0.7 (shop/web-0) TCP 80`.
pub(super) fn element(element: &Element, key: &[KeyType], names: &Names<'_>) -> String {
    match element.parts(key) {
        Ok(parts) => parts
            .iter()
            .map(|part| self::part(part, names))
            .collect::<Vec<_>>()
            .join(" "),
        Err(error) => format!("{element:?} ({error})"),
    }
}

fn part(part: &Range, names: &Names<'_>) -> String {
    match (&part.first, &part.last) {
        (Value::Address(first), Value::Address(last)) if first == last => {
            format!("{first}{}", names.note(*first))
        }
        (Value::Protocol(0), Value::Protocol(u8::MAX)) => "any protocol".to_owned(),
        (Value::Protocol(first), Value::Protocol(last)) if first == last => protocol(*first),
        (Value::Port(0), Value::Port(u16::MAX)) => "any port".to_owned(),
        _ => part.to_string(),
    }
}
