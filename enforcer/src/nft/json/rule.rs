//! Rules in nft JSON, with what `nft` leaves out because another part of the rule implies it.

use std::net::IpAddr;

use ipnet::IpNet;
use nftables::expr::{CT, Expression, Meta, MetaKey, NamedExpression, Payload, PayloadField};
use nftables::stmt::{
    AnonymousCounter, Counter, JumpTarget, Match as NftMatch, Operator, Statement, VerdictMap,
};

use super::element::{network, protocol, range};
use crate::nft::model::{EtherType, Field, ICMP, ICMP_V6, Match, Name, PacketType, Rule, TableKey, Verdict};

/// The statements of a rule in a table.
pub(super) fn statements(table: TableKey, rule: &Rule) -> Vec<Statement<'static>> {
    let transport = transport_protocol(rule);
    let mut statements = Vec::new();
    let mut seen_protocol = None;
    let mut rest = rule.matches.as_slice();
    while let [condition, later @ ..] = rest {
        rest = later;
        if let Match::Protocol(number) = condition {
            seen_protocol = Some(*number);
            if transport == Some(*number) {
                continue;
            }
        }
        if is_implied(condition, later) {
            continue;
        }
        statements.push(Statement::Match(matched(table, condition, seen_protocol)));
    }
    if rule.counter {
        let count = AnonymousCounter {
            packets: Some(0),
            bytes: Some(0),
        };
        statements.push(Statement::Counter(Counter::Anonymous(Some(count))));
    }
    let target = |chain: &Name| JumpTarget {
        target: chain.to_string().into(),
    };
    match &rule.verdict {
        Verdict::Accept => statements.push(Statement::Accept(None)),
        Verdict::Drop => statements.push(Statement::Drop(None)),
        Verdict::Continue => {}
        Verdict::Jump(chain) => statements.push(Statement::Jump(target(chain))),
        Verdict::Goto(chain) => statements.push(Statement::Goto(target(chain))),
        Verdict::Map { key, map } => statements.push(Statement::VerdictMap(VerdictMap {
            key: concatenated(key, seen_protocol),
            data: Expression::String(format!("@{map}").into()),
        })),
    }
    statements
}

/// The protocol that is shown in the name of a port that follows, and nowhere else.
fn transport_protocol(rule: &Rule) -> Option<u8> {
    let mut protocol = None;
    for condition in &rule.matches {
        match condition {
            Match::Protocol(number) => protocol = Some(*number),
            Match::DestinationPorts(_) if protocol.is_some() => return protocol,
            Match::InSet { key, .. } if protocol.is_some() && key.iter().any(|field| field.is_port()) => {
                return protocol;
            }
            _ => {}
        }
    }
    match &rule.verdict {
        // Beyond a counter nft no longer knows where the protocol was asked for.
        Verdict::Map { key, .. } if key.iter().any(|field| field.is_port()) && !rule.counter => protocol,
        _ => None,
    }
}

/// Of the two forms of ICMP each is carried by one address family alone, and `nft` leaves out the family where it stands
/// before the protocol.
fn is_implied(condition: &Match, later: &[Match]) -> bool {
    match condition {
        Match::EtherType(EtherType::Ipv4) => later.contains(&Match::Protocol(ICMP)),
        Match::EtherType(EtherType::Ipv6) => later.contains(&Match::Protocol(ICMP_V6)),
        _ => false,
    }
}

fn matched(table: TableKey, condition: &Match, protocol_before: Option<u8>) -> NftMatch<'static> {
    let (left, op, right) = match condition {
        Match::CtEstablishedOrRelated => {
            let states = ["established", "related"].map(text);
            let state = NamedExpression::CT(CT {
                key: "state".into(),
                family: None,
                dir: None,
            });
            (
                Expression::Named(state),
                Operator::IN,
                Expression::List(states.into()),
            )
        }
        Match::EtherType(kind) => {
            let (key, name) = match (table, kind) {
                (TableKey::Inet, EtherType::Ipv4) => (MetaKey::Nfproto, "ipv4"),
                (TableKey::Inet, EtherType::Ipv6) => (MetaKey::Nfproto, "ipv6"),
                (_, EtherType::Ipv4) => (MetaKey::Protocol, "ip"),
                (_, EtherType::Ipv6) => (MetaKey::Protocol, "ip6"),
                (_, EtherType::Arp) => (MetaKey::Protocol, "arp"),
            };
            (meta(key), Operator::EQ, text(name))
        }
        Match::Protocol(number) => (meta(MetaKey::L4proto), Operator::EQ, protocol(*number)),
        Match::IcmpV6Types { first, last } => {
            let types = if first == last {
                icmp_v6_type(*first)
            } else {
                range(icmp_v6_type(*first), icmp_v6_type(*last))
            };
            (payload("icmpv6", "type"), Operator::EQ, types)
        }
        Match::DestinationPorts(ports) => {
            let number = |port: u16| Expression::Number(port.into());
            let (first, last) = (ports.first(), ports.last());
            let right = if first == last {
                number(first)
            } else {
                range(number(first), number(last))
            };
            (
                field(Field::DestinationPort, protocol_before),
                Operator::EQ,
                right,
            )
        }
        Match::SourceIn(net) => (
            address(*net, "saddr"),
            Operator::EQ,
            network(first_address(*net), net.prefix_len()),
        ),
        Match::DestinationIn(net) => (
            address(*net, "daddr"),
            Operator::EQ,
            network(first_address(*net), net.prefix_len()),
        ),
        Match::InSet { key, set, negated } => {
            let right = Expression::String(format!("@{set}").into());
            (concatenated(key, protocol_before), equality(*negated), right)
        }
        Match::InputInterface(pattern) => (meta(MetaKey::Iifname), Operator::EQ, owned(pattern.to_string())),
        Match::OutputInterface(pattern) => (meta(MetaKey::Oifname), Operator::EQ, owned(pattern.to_string())),
        Match::PacketType { kind, negated } => {
            let name = match kind {
                PacketType::Host => "host",
                PacketType::Broadcast => "broadcast",
                PacketType::Multicast => "multicast",
                PacketType::Other => "other",
            };
            (meta(MetaKey::Pkttype), equality(*negated), text(name))
        }
    };
    NftMatch { left, right, op }
}

fn concatenated(key: &[Field], protocol_before: Option<u8>) -> Expression<'static> {
    match key {
        [only] => field(*only, protocol_before),
        fields => {
            let parts = fields.iter().map(|part| field(*part, protocol_before)).collect();
            Expression::Named(NamedExpression::Concat(parts))
        }
    }
}

fn field(field: Field, protocol_before: Option<u8>) -> Expression<'static> {
    match field {
        Field::InputInterface => meta(MetaKey::Iifname),
        Field::OutputInterface => meta(MetaKey::Oifname),
        Field::SourceV4 => payload("ip", "saddr"),
        Field::SourceV6 => payload("ip6", "saddr"),
        Field::DestinationV4 => payload("ip", "daddr"),
        Field::DestinationV6 => payload("ip6", "daddr"),
        Field::L4Protocol => meta(MetaKey::L4proto),
        Field::ArpSenderV4 => payload("arp", "saddr ip"),
        Field::SourcePort | Field::DestinationPort => {
            let side = if field == Field::SourcePort {
                "sport"
            } else {
                "dport"
            };
            let header = match protocol_before {
                Some(6) => "tcp",
                Some(17) => "udp",
                Some(33) => "dccp",
                Some(132) => "sctp",
                Some(136) => "udplite",
                _ => "th",
            };
            payload(header, side)
        }
    }
}

fn address(net: IpNet, side: &'static str) -> Expression<'static> {
    payload(if matches!(net, IpNet::V4(_)) { "ip" } else { "ip6" }, side)
}

fn first_address(net: IpNet) -> IpAddr {
    net.network()
}

fn equality(negated: bool) -> Operator {
    if negated { Operator::NEQ } else { Operator::EQ }
}

fn meta(key: MetaKey) -> Expression<'static> {
    Expression::Named(NamedExpression::Meta(Meta { key }))
}

fn payload(protocol: &'static str, field: &'static str) -> Expression<'static> {
    let field = PayloadField {
        protocol: protocol.into(),
        field: field.into(),
    };
    Expression::Named(NamedExpression::Payload(Payload::PayloadField(field)))
}

fn text(text: &'static str) -> Expression<'static> {
    Expression::String(text.into())
}

fn owned(text: String) -> Expression<'static> {
    Expression::String(text.into())
}

/// A type of `ICMPv6` as `nft` names it (`icmp6_type_tbl` of nftables).
fn icmp_v6_type(number: u8) -> Expression<'static> {
    text(match number {
        1 => "destination-unreachable",
        2 => "packet-too-big",
        3 => "time-exceeded",
        4 => "parameter-problem",
        128 => "echo-request",
        129 => "echo-reply",
        130 => "mld-listener-query",
        131 => "mld-listener-report",
        132 => "mld-listener-done",
        133 => "nd-router-solicit",
        134 => "nd-router-advert",
        135 => "nd-neighbor-solicit",
        136 => "nd-neighbor-advert",
        137 => "nd-redirect",
        138 => "router-renumbering",
        141 => "ind-neighbor-solicit",
        142 => "ind-neighbor-advert",
        143 => "mld2-listener-report",
        other => return Expression::Number(other.into()),
    })
}
