//! Random small rulesets: from any of them to any other, at once or by stages, and `nft` agrees about each.

use std::collections::BTreeSet;
use std::sync::Arc;

use palisade_enforcer::nft::json::{normalise, render};
use palisade_enforcer::nft::model::{
    Chain, Comment, Element, EtherType, Field, Hook, InterfacePattern, KeyType, MapEntry, Match, PacketType,
    Part, Rule, Ruleset, Set, Table, TableKey, Verdict, VerdictMap,
};
use palisade_enforcer::nft::{Kernel, diff};
use palisade_policy::model::PortRange;
use palisade_policy::testing::config;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use proptest::test_runner::TestRunner;

use crate::namespace::{Namespace, assert_eq_listing, load, read};
use crate::sample::{interface, name, network};

/// Keys that sets have here, with the fields that may look into them.
const KEYS: [(&str, &[Field]); 10] = [
    ("source4", &[Field::SourceV4]),
    ("source6", &[Field::SourceV6]),
    ("pod4", &[Field::InputInterface, Field::SourceV4]),
    ("pod6", &[Field::OutputInterface, Field::DestinationV6]),
    (
        "triple4",
        &[Field::SourceV4, Field::L4Protocol, Field::DestinationPort],
    ),
    (
        "triple6",
        &[Field::DestinationV6, Field::L4Protocol, Field::DestinationPort],
    ),
    (
        "answer4",
        &[
            Field::SourceV4,
            Field::SourcePort,
            Field::DestinationV4,
            Field::DestinationPort,
            Field::L4Protocol,
        ],
    ),
    ("pair4", &[Field::SourceV4, Field::DestinationV4]),
    ("proto1", &[Field::L4Protocol]),
    ("service1", &[Field::DestinationPort]),
];

fn key_types(fields: &[Field]) -> Vec<KeyType> {
    fields.iter().map(|field| field.key_type()).collect()
}

fn part(kind: KeyType, ranges: bool) -> BoxedStrategy<Part> {
    let v4 = select(vec![
        "10.0.0.1/32",
        "10.0.0.2/32",
        "192.168.7.0/32",
        "255.255.255.255/32",
    ]);
    let v6 = select(vec!["fd00::1/128", "fd00::2/128", "::/128"]);
    match kind {
        KeyType::InterfaceName => select(vec!["eth0", "cali0123456789a", "v"])
            .prop_map(|text| Part::interface(&interface(text)))
            .boxed(),
        KeyType::Ipv4Address if ranges => prop_oneof![
            v4.prop_map(network),
            select(vec!["10.1.0.0/16", "172.16.0.0/31"]).prop_map(network)
        ]
        .boxed(),
        KeyType::Ipv4Address => v4.prop_map(network).boxed(),
        KeyType::Ipv6Address if ranges => prop_oneof![
            v6.prop_map(network),
            select(vec!["fd01::/64", "2001:db8::/33"]).prop_map(network)
        ]
        .boxed(),
        KeyType::Ipv6Address => v6.prop_map(network).boxed(),
        KeyType::Protocol => select(vec![1, 6, 17, 58, 132, 200])
            .prop_map(Part::protocol)
            .boxed(),
        KeyType::Port if ranges => (1..200_u16, 0..50_u16)
            .prop_map(|(first, more)| Part::ports(PortRange::new(first, first + more).expect("ports")))
            .boxed(),
        KeyType::Port => (1..5_u16).prop_map(Part::port).boxed(),
    }
}

/// Elements of a set, no two of which share a key: whether ranges may meet is for the kernel to say.
fn elements(key: &[KeyType], interval: bool) -> BoxedStrategy<BTreeSet<Element>> {
    let parts: Vec<_> = key.iter().map(|kind| part(*kind, interval)).collect();
    let element = parts.prop_map(|parts| Element::new(&parts));
    proptest::collection::vec(element, 0..6)
        .prop_map(|all| {
            let mut kept: Vec<Element> = Vec::new();
            for element in all {
                if kept.iter().all(|other| apart(other, &element)) {
                    kept.push(element);
                }
            }
            kept.into_iter().collect()
        })
        .boxed()
}

/// Whether two ranges have no address, protocol or port in common in their first bytes that differ.
fn apart(one: &Element, other: &Element) -> bool {
    let last = |element: &Element| element.last().unwrap_or(element.first()).to_vec();
    let words = |bytes: &[u8]| bytes.chunks(4).map(<[u8]>::to_vec).collect::<Vec<_>>();
    let (first_a, last_a) = (words(one.first()), words(&last(one)));
    let (first_b, last_b) = (words(other.first()), words(&last(other)));
    (0..first_a.len()).any(|word| last_a[word] < first_b[word] || last_b[word] < first_a[word])
}

fn comment() -> impl Strategy<Value = Option<Comment>> {
    proptest::option::weighted(
        0.2,
        select(vec!["shop/web", "a \"b\"", "ä ö"]).prop_map(Comment::fit),
    )
}

fn set(fields: &'static [Field]) -> impl Strategy<Value = Set> {
    let key = key_types(fields);
    let may_be_interval = !key.contains(&KeyType::InterfaceName);
    any::<bool>().prop_flat_map(move |wanted| {
        let (key, interval) = (key.clone(), wanted && may_be_interval);
        (elements(&key, interval), comment()).prop_map(move |(elements, comment)| Set {
            key: key.clone(),
            interval,
            elements,
            comment,
        })
    })
}

fn verdict() -> impl Strategy<Value = Verdict> {
    prop_oneof![
        Just(Verdict::Accept),
        Just(Verdict::Drop),
        Just(Verdict::Goto(name("leaf"))),
        Just(Verdict::Jump(name("leaf"))),
    ]
}

fn map(fields: &'static [Field]) -> impl Strategy<Value = VerdictMap> {
    let key = key_types(fields);
    let entry = (verdict(), comment()).prop_map(|(verdict, comment)| MapEntry { verdict, comment });
    (
        elements(&key, false),
        proptest::collection::vec(entry, 6),
        comment(),
    )
        .prop_map(move |(keys, entries, comment)| VerdictMap {
            key: key.clone(),
            elements: keys.into_iter().zip(entries).collect(),
            comment,
        })
}

fn condition(table: TableKey) -> impl Strategy<Value = Match> {
    let net = select(vec![
        "10.0.0.0/8",
        "10.0.0.1/32",
        "10.128.0.0/9",
        "0.0.0.0/0",
        "fd00::/64",
        "fd00::1/128",
        "::/0",
    ]);
    let other = net.clone();
    let parse = |text: &str| text.parse().expect("a network");
    let pattern = || {
        select(vec!["eth0", "cali*", "v*"]).prop_map(|text| InterfacePattern::parse(text).expect("a pattern"))
    };
    let kinds = match table {
        TableKey::Inet => vec![EtherType::Ipv4, EtherType::Ipv6],
        TableKey::Netdev | TableKey::Bridge => vec![EtherType::Ipv4, EtherType::Ipv6, EtherType::Arp],
    };
    let state = match table {
        TableKey::Inet => Match::CtEstablishedOrRelated,
        TableKey::Netdev | TableKey::Bridge => Match::InSet {
            key: vec![Field::ArpSenderV4],
            set: name("source4"),
            negated: true,
        },
    };
    let plain = prop_oneof![
        Just(state),
        select(kinds).prop_map(Match::EtherType),
        select(vec![1, 6, 17, 58, 132, 200]).prop_map(Match::Protocol),
        select(vec![(1, 4), (135, 136), (130, 130), (200, 201)])
            .prop_map(|(first, last)| Match::IcmpV6Types { first, last }),
        select(vec![(80, 80), (1, 65535), (53, 99)])
            .prop_map(|(first, last)| Match::DestinationPorts(PortRange::new(first, last).expect("ports"))),
        net.prop_map(move |net| Match::SourceIn(parse(net))),
        other.prop_map(move |net| Match::DestinationIn(parse(net))),
        pattern().prop_map(Match::InputInterface),
        pattern().prop_map(Match::OutputInterface),
        (
            select(vec![
                PacketType::Host,
                PacketType::Broadcast,
                PacketType::Multicast,
                PacketType::Other
            ]),
            any::<bool>()
        )
            .prop_map(|(kind, negated)| Match::PacketType { kind, negated }),
    ];
    let looked_up = (select(KEYS.to_vec()), any::<bool>()).prop_map(|((set, key), negated)| Match::InSet {
        key: key.to_vec(),
        set: name(set),
        negated,
    });
    prop_oneof![2 => plain, 1 => looked_up]
}

fn rule(table: TableKey) -> impl Strategy<Value = Rule> {
    let looked_up = select(MAPS.to_vec()).prop_map(|(map, key)| Verdict::Map {
        key: key.to_vec(),
        map: name(map),
    });
    let verdict = prop_oneof![2 => verdict(), 1 => Just(Verdict::Continue), 2 => looked_up];
    (
        proptest::collection::vec(condition(table), 0..4),
        any::<bool>(),
        verdict,
        comment(),
    )
        .prop_map(|(matches, counter, verdict, comment)| Rule {
            counter,
            comment,
            ..Rule::new(matches, verdict)
        })
}

const MAPS: [(&str, &[Field]); 3] = [
    ("map_pod4", &[Field::InputInterface, Field::SourceV4]),
    (
        "map_triple6",
        &[Field::DestinationV6, Field::L4Protocol, Field::DestinationPort],
    ),
    ("map_service", &[Field::DestinationPort]),
];

fn table(key: TableKey) -> impl Strategy<Value = Table> {
    let hook = match key {
        TableKey::Inet => Hook::Forward { priority: 7 },
        TableKey::Netdev => Hook::Ingress {
            device: interface("lo"),
            priority: -400,
        },
        TableKey::Bridge => Hook::Prerouting { priority: -300 },
    };
    let leaf = comment().prop_map(|comment| Chain {
        hook: None,
        comment,
        rules: Vec::new(),
    });
    let sets: Vec<_> = KEYS
        .iter()
        .map(|(set_name, key)| set(key).prop_map(move |set| (name(set_name), set)))
        .collect();
    let maps: Vec<_> = MAPS
        .iter()
        .map(|(map_name, key)| map(key).prop_map(move |map| (name(map_name), map)))
        .collect();
    let middles = subsequence(vec!["middle_a", "middle_b", "middle_c"], 0..=3).prop_flat_map(move |names| {
        names
            .into_iter()
            .map(|text| chain(key, None).prop_map(move |new| (name(text), new)))
            .collect::<Vec<_>>()
    });
    (
        sets,
        maps,
        middles,
        chain(key, Some(hook)),
        leaf,
        proptest::option::weighted(0.1, Just(Comment::fit("a table"))),
    )
        .prop_map(|(sets, maps, middles, base, leaf, comment)| {
            let mut table = Table {
                comment,
                sets: sets
                    .into_iter()
                    .map(|(name, set)| (name, Arc::new(set)))
                    .collect(),
                maps: maps.into_iter().collect(),
                chains: middles
                    .into_iter()
                    .chain([(name("base"), base), (name("leaf"), leaf)])
                    .collect(),
            };
            drop_unused(&mut table);
            table
        })
}

fn chain(key: TableKey, hook: Option<Hook>) -> impl Strategy<Value = Chain> {
    (proptest::collection::vec(rule(key), 0..5), comment()).prop_map(move |(rules, comment)| Chain {
        hook: hook.clone(),
        comment,
        rules,
    })
}

/// Leaves out sets and maps that no rule looks into, so that they come and go.
fn drop_unused(table: &mut Table) {
    let mut used = BTreeSet::new();
    for rule in table.chains.values().flat_map(|chain| &chain.rules) {
        used.extend(rule.matches.iter().filter_map(|condition| match condition {
            Match::InSet { set, .. } => Some(set.clone()),
            _ => None,
        }));
        if let Verdict::Map { map, .. } = &rule.verdict {
            used.insert(map.clone());
        }
    }
    table.sets.retain(|name, _| used.contains(name));
    table.maps.retain(|name, _| used.contains(name));
}

/// Rulesets that make sense: a rule that contradicts itself is left out.
fn ruleset() -> impl Strategy<Value = Ruleset> {
    let tables: Vec<_> = TableKey::ALL
        .into_iter()
        .map(|key| proptest::option::weighted(0.8, table(key)))
        .collect();
    tables.prop_map(|tables| {
        let mut ruleset = Ruleset::default();
        for (key, table) in TableKey::ALL.into_iter().zip(tables) {
            let Some(mut table) = table else { continue };
            let names: Vec<_> = table.chains.keys().cloned().collect();
            for chain in names {
                let rules = std::mem::take(&mut table.chains.get_mut(&chain).expect("the chain").rules);
                for rule in rules {
                    let mut trial = table.clone();
                    trial
                        .chains
                        .get_mut(&chain)
                        .expect("the chain")
                        .rules
                        .push(rule.clone());
                    if (Ruleset {
                        tables: [(key, trial.clone())].into(),
                    })
                    .check()
                    .is_ok()
                    {
                        table = trial;
                    }
                }
            }
            ruleset.tables.insert(key, table);
        }
        ruleset
    })
}

#[test]
fn any_ruleset_becomes_any_other_at_once_or_by_stages_and_lists_as_its_document() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let mut runner = TestRunner::new(config(48));
    let outcome = runner.run(
        &(ruleset(), ruleset(), any::<bool>()),
        |(before, after, staged)| {
            runtime.block_on(async {
                let namespace = Namespace::new();
                let kernel = namespace.kernel();
                let generation = load(&kernel, &before).await;
                let loaded = read(&kernel).await;
                assert!(loaded.foreign.is_empty(), "{:?}", loaded.foreign);
                assert_eq!(loaded.ruleset, before);
                let document = render(&before).expect("a document");
                assert_eq_listing(&namespace.listing(), &normalise(document), "the first ruleset");

                let change = diff(&before, &after);
                let stages: Vec<_> = if staged {
                    change.stages().collect()
                } else {
                    vec![change]
                };
                let mut generation = generation;
                for stage in stages {
                    let committed = kernel.commit(&stage, generation).await;
                    generation = committed.unwrap_or_else(|error| panic!("{error}\n{stage:#?}"));
                }
                let loaded = read(&kernel).await;
                assert!(loaded.foreign.is_empty(), "{:?}", loaded.foreign);
                assert_eq!((loaded.generation, loaded.ruleset), (generation, after.clone()));
                let document = render(&after).expect("a document");
                let output = Namespace::new().nft_with(&["--check", "-j", "-f", "-"], &document.to_string());
                assert!(
                    output.status.success(),
                    "{}",
                    String::from_utf8_lossy(&output.stderr)
                );
                assert_eq_listing(&namespace.listing(), &normalise(document), "the second ruleset");
            });
            Ok(())
        },
    );
    if let Err(failure) = outcome {
        panic!("{failure}");
    }
}
