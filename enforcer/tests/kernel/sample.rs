//! A ruleset that uses every form of the model.

use std::net::IpAddr;
use std::sync::Arc;

use palisade_enforcer::nft::model::{
    Chain, Comment, Element, EtherType, Field, Hook, Interface, InterfacePattern, KeyType, MapEntry, Match,
    Name, PacketType, Part, Rule, Ruleset, Set, Table, TableKey, Verdict, VerdictMap,
};
use palisade_policy::model::PortRange;

pub(crate) fn name(text: &str) -> Name {
    Name::new(text).expect("a name")
}

pub(crate) fn interface(text: &str) -> Interface {
    Interface::new(text).expect("an interface name")
}

pub(crate) fn address(text: &str) -> Part {
    Part::address(text.parse::<IpAddr>().expect("an address"))
}

pub(crate) fn network(text: &str) -> Part {
    Part::network(text.parse().expect("a network"))
}

fn ports(first: u16, last: u16) -> PortRange {
    PortRange::new(first, last).expect("ports")
}

pub(crate) fn in_set(key: &[Field], set: &str) -> Match {
    Match::InSet {
        key: key.to_vec(),
        set: name(set),
        negated: false,
    }
}

pub(crate) fn not_in_set(key: &[Field], set: &str) -> Match {
    Match::InSet {
        key: key.to_vec(),
        set: name(set),
        negated: true,
    }
}

pub(crate) const TRIPLE: [KeyType; 3] = [KeyType::Ipv4Address, KeyType::Protocol, KeyType::Port];

pub(crate) fn triple(text: &str, protocol: u8, port: u16) -> Element {
    Element::new(&[address(text), Part::protocol(protocol), Part::port(port)])
}

pub(crate) fn every_form() -> Ruleset {
    let tables = [
        (TableKey::Inet, inet()),
        (TableKey::Netdev, netdev()),
        (TableKey::Bridge, bridge()),
    ];
    let ruleset = Ruleset {
        tables: tables.into(),
    };
    ruleset.check().expect("a consistent ruleset");
    ruleset
}

fn forward_rules() -> Vec<Rule> {
    let source = [Field::InputInterface, Field::SourceV4];
    vec![
        Rule::new([Match::CtEstablishedOrRelated], Verdict::Accept).counted(),
        Rule::new(
            [Match::IcmpV6Types {
                first: 133,
                last: 137,
            }],
            Verdict::Accept,
        ),
        Rule::new(
            [Match::IcmpV6Types {
                first: 130,
                last: 130,
            }],
            Verdict::Accept,
        ),
        Rule::new(
            [Match::EtherType(EtherType::Ipv6), Match::Protocol(58)],
            Verdict::Continue,
        )
        .counted(),
        Rule::new(
            [],
            Verdict::Map {
                key: source.to_vec(),
                map: name("egress4"),
            },
        ),
        Rule::new(
            [],
            Verdict::Map {
                key: vec![Field::OutputInterface, Field::DestinationV6],
                map: name("ingress6"),
            },
        )
        .counted(),
        Rule::new(
            [
                Match::InputInterface(InterfacePattern::parse("cali*").expect("a pattern")),
                Match::OutputInterface(interface("eth0").into()),
            ],
            Verdict::Jump(name("profile")),
        ),
        Rule::new(
            [Match::PacketType {
                kind: PacketType::Host,
                negated: true,
            }],
            Verdict::Drop,
        ),
        Rule::new(
            [Match::EtherType(EtherType::Ipv4), Match::Protocol(6)],
            Verdict::Accept,
        ),
    ]
}

fn profile_rules() -> Vec<Rule> {
    let triple_v4 = [Field::SourceV4, Field::L4Protocol, Field::DestinationPort];
    let triple_v6 = [Field::DestinationV6, Field::L4Protocol, Field::DestinationPort];
    vec![
        Rule::new([in_set(&triple_v4, "triples4")], Verdict::Accept)
            .counted()
            .commented(Comment::fit("shop/web")),
        Rule::new([in_set(&triple_v6, "triples6")], Verdict::Goto(name("ending"))),
        Rule::new([in_set(&triple_v4, "ranges4")], Verdict::Accept),
        Rule::new([in_set(&triple_v6, "ranges6")], Verdict::Accept),
        Rule::new(
            [not_in_set(&[Field::SourceV4], "nets4"), Match::Protocol(17)],
            Verdict::Drop,
        ),
        Rule::new([in_set(&[Field::SourceV6], "nets6")], Verdict::Accept),
        Rule::new(
            [in_set(&[Field::SourceV4, Field::DestinationV4], "pairs")],
            Verdict::Accept,
        ),
        Rule::new([in_set(&[Field::L4Protocol], "protocols")], Verdict::Accept),
        Rule::new(
            [
                Match::Protocol(132),
                in_set(&[Field::DestinationPort], "services"),
            ],
            Verdict::Accept,
        ),
        Rule::new(
            [Match::Protocol(6), Match::DestinationPorts(ports(80, 80))],
            Verdict::Accept,
        ),
        Rule::new(
            [Match::DestinationPorts(ports(1000, 2000)), Match::Protocol(6)],
            Verdict::Accept,
        )
        .commented(Comment::fit("x".repeat(200))),
        Rule::new(
            [
                Match::SourceIn("10.0.0.0/9".parse().expect("a network")),
                Match::DestinationIn("10.0.0.7/32".parse().expect("a network")),
                Match::Protocol(17),
                Match::DestinationPorts(ports(53, 53)),
            ],
            Verdict::Accept,
        ),
        Rule::new([Match::Protocol(47)], Verdict::Continue).counted(),
        Rule::new(
            [Match::SourceIn("0.0.0.0/0".parse().expect("a network"))],
            Verdict::Accept,
        ),
        Rule::new(
            [Match::DestinationIn("fd00:1::/33".parse().expect("a network"))],
            Verdict::Accept,
        ),
        Rule::new(
            [
                Match::SourceIn("::/0".parse().expect("a network")),
                Match::Protocol(6),
            ],
            Verdict::Drop,
        ),
        Rule::new([], Verdict::Drop)
            .counted()
            .commented(Comment::fit("the end of shop/web")),
    ]
}

fn inet() -> Table {
    let chain = |rules| Chain {
        hook: None,
        comment: Some(Comment::fit("a profile")),
        rules,
    };
    Table {
        comment: Some(Comment::fit("written by Palisade")),
        chains: [
            (
                name("forward"),
                Chain {
                    hook: Some(Hook::Forward { priority: -5 }),
                    comment: None,
                    rules: forward_rules(),
                },
            ),
            (name("profile"), chain(profile_rules())),
            (name("ending"), chain(Vec::new())),
        ]
        .into(),
        sets: sets().map(|(name, set)| (name, Arc::new(set))).into(),
        maps: maps().into(),
    }
}

fn sets() -> [(Name, Set); 9] {
    let triple_v6 = [KeyType::Ipv6Address, KeyType::Protocol, KeyType::Port];
    let filled = |mut set: Set, elements: &[&[Part]]| {
        set.elements = elements.iter().map(|parts| Element::new(parts)).collect();
        set
    };
    let commented = |set: Set| Set {
        comment: Some(Comment::fit("app=web in shop")),
        ..set
    };
    [
        (
            name("triples4"),
            commented(filled(
                Set::hash(TRIPLE),
                &[
                    &[address("10.0.0.1"), Part::protocol(6), Part::port(80)],
                    &[address("10.0.0.1"), Part::protocol(132), Part::port(81)],
                    &[address("10.0.0.2"), Part::protocol(99), Part::port(65535)],
                ],
            )),
        ),
        (
            name("triples6"),
            filled(
                Set::hash(triple_v6),
                &[&[address("fd00::1"), Part::protocol(17), Part::port(53)]],
            ),
        ),
        (
            name("ranges4"),
            filled(
                Set::interval(TRIPLE),
                &[
                    &[
                        network("10.0.0.0/24"),
                        Part::protocol(6),
                        Part::ports(ports(1, 65535)),
                    ],
                    &[network("10.1.0.1/32"), Part::any_protocol(), Part::any_port()],
                    &[
                        Part::addresses_v4([10, 0, 1, 1].into()..=[10, 0, 1, 7].into()),
                        Part::protocol(17),
                        Part::port(53),
                    ],
                    &[address("10.9.9.9"), Part::protocol(6), Part::port(7)],
                ],
            ),
        ),
        (
            name("ranges6"),
            filled(
                Set::interval(triple_v6),
                &[&[network("fd00:1::/33"), Part::any_protocol(), Part::port(9)]],
            ),
        ),
        (
            name("nets4"),
            filled(
                Set::interval([KeyType::Ipv4Address]),
                &[
                    &[network("10.0.0.0/24")],
                    &[network("10.0.1.0/24")],
                    &[address("10.1.0.1")],
                    &[Part::addresses_v4([10, 2, 0, 0].into()..=[10, 2, 0, 5].into())],
                    &[network("255.0.0.0/8")],
                ],
            ),
        ),
        (
            name("nets6"),
            filled(Set::interval([KeyType::Ipv6Address]), &[&[network("::/0")]]),
        ),
        (
            name("services"),
            filled(
                Set::interval([KeyType::Port]),
                &[&[Part::ports(ports(80, 95))], &[Part::port(443)]],
            ),
        ),
        (
            name("pairs"),
            Set::hash([KeyType::Ipv4Address, KeyType::Ipv4Address]),
        ),
        (
            name("protocols"),
            filled(
                Set::hash([KeyType::Protocol]),
                &[&[Part::protocol(6)], &[Part::protocol(199)]],
            ),
        ),
    ]
}

fn maps() -> [(Name, VerdictMap); 2] {
    let mut egress = VerdictMap::new([KeyType::InterfaceName, KeyType::Ipv4Address]);
    egress.comment = Some(Comment::fit("who may send what"));
    for (index, verdict) in [
        Verdict::Goto(name("profile")),
        Verdict::Accept,
        Verdict::Drop,
        Verdict::Jump(name("ending")),
    ]
    .into_iter()
    .enumerate()
    {
        let key = Element::new(&[
            Part::interface(&interface("cali0123456789a")),
            address(&format!("10.0.0.{index}")),
        ]);
        let comment = (index % 2 == 0).then(|| Comment::fit(format!("shop/web-{index}")));
        egress.elements.insert(key, MapEntry { verdict, comment });
    }
    let ingress = VerdictMap::new([KeyType::InterfaceName, KeyType::Ipv6Address]);
    [(name("egress4"), egress), (name("ingress6"), ingress)]
}

fn netdev() -> Table {
    let rules = vec![
        Rule::new([not_in_set(&[Field::SourceV4], "own4")], Verdict::Drop).counted(),
        Rule::new([not_in_set(&[Field::ArpSenderV4], "own4")], Verdict::Drop),
        Rule::new(
            [Match::SourceIn("fe80::/10".parse().expect("a network"))],
            Verdict::Accept,
        ),
        Rule::new([Match::EtherType(EtherType::Arp)], Verdict::Accept),
        Rule::new([Match::EtherType(EtherType::Ipv6)], Verdict::Drop),
    ];
    let mut own = Set::hash([KeyType::Ipv4Address]);
    own.elements.insert(Element::new(&[address("10.0.0.1")]));
    let hook = Hook::Ingress {
        device: interface("lo"),
        priority: -400,
    };
    Table {
        comment: None,
        chains: [(
            name("from_lo"),
            Chain {
                hook: Some(hook),
                comment: Some(Comment::fit("shop/web")),
                rules,
            },
        )]
        .into(),
        sets: [(name("own4"), Arc::new(own))].into(),
        maps: [].into(),
    }
}

fn bridge() -> Table {
    let from = [Field::InputInterface, Field::SourceV4];
    let pre = vec![
        Rule::new([in_set(&from, "ports4")], Verdict::Accept),
        Rule::new(
            [in_set(&[Field::InputInterface, Field::ArpSenderV4], "ports4")],
            Verdict::Accept,
        ),
        Rule::new([Match::EtherType(EtherType::Ipv4)], Verdict::Drop),
        Rule::new(
            [Match::IcmpV6Types {
                first: 135,
                last: 136,
            }],
            Verdict::Accept,
        ),
    ];
    let post = vec![
        Rule::new(
            [Match::PacketType {
                kind: PacketType::Multicast,
                negated: false,
            }],
            Verdict::Accept,
        ),
        Rule::new(
            [in_set(&[Field::OutputInterface, Field::DestinationV4], "ports4")],
            Verdict::Accept,
        ),
        Rule::new(
            [in_set(&[Field::OutputInterface], "known_ports")],
            Verdict::Accept,
        ),
    ];
    let mut known = Set::hash([KeyType::InterfaceName]);
    known.comment = Some(Comment::fit(
        "names alone, whose bytes are in the machine's order",
    ));
    for port in ["veth0", "calibackend"] {
        known
            .elements
            .insert(Element::new(&[Part::interface(&interface(port))]));
    }
    let mut ports = Set::hash([KeyType::InterfaceName, KeyType::Ipv4Address]);
    ports.elements.insert(Element::new(&[
        Part::interface(&interface("veth0")),
        address("10.0.0.1"),
    ]));
    let chain = |hook, rules| Chain {
        hook: Some(hook),
        comment: None,
        rules,
    };
    Table {
        comment: None,
        chains: [
            (name("pre"), chain(Hook::Prerouting { priority: -300 }, pre)),
            (name("post"), chain(Hook::Postrouting { priority: 300 }, post)),
        ]
        .into(),
        sets: [
            (name("ports4"), Arc::new(ports)),
            (name("known_ports"), Arc::new(known)),
        ]
        .into(),
        maps: [].into(),
    }
}
