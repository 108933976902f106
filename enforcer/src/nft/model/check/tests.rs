use palisade_policy::model::PortRange;

use super::super::{Chain, Hook, MapEntry, Part, Set, VerdictMap};
use super::*;

fn name(text: &str) -> Name {
    Name::new(text).expect("a name")
}

fn table(change: impl FnOnce(&mut Table)) -> Result<(), Inconsistent> {
    let mut table = Table::default();
    table
        .sets
        .insert(name("peers"), Set::hash([KeyType::Ipv4Address]).into());
    table
        .sets
        .insert(name("nets"), Set::interval([KeyType::Ipv4Address]).into());
    table
        .maps
        .insert(name("pods"), VerdictMap::new([KeyType::Ipv4Address]));
    table.chains.insert(name("leaf"), Chain::default());
    change(&mut table);
    Ruleset {
        tables: [(TableKey::Inet, table)].into(),
    }
    .check()
}

fn rule(matches: Vec<Match>, verdict: Verdict) -> Result<(), Inconsistent> {
    let rule = Rule {
        matches,
        counter: false,
        verdict,
        comment: None,
    };
    table(|table| {
        table
            .chains
            .get_mut(&name("leaf"))
            .expect("the chain")
            .rules
            .push(rule);
    })
}

fn problem(matches: Vec<Match>) -> &'static str {
    match rule(matches, Verdict::Accept) {
        Err(Inconsistent::Rule { problem, .. }) => problem,
        other => panic!("{other:?}"),
    }
}

fn in_set(set: &str, key: &[Field]) -> Match {
    Match::InSet {
        key: key.to_vec(),
        set: name(set),
        negated: false,
    }
}

#[test]
fn what_a_rule_refers_to_exists_and_has_its_key() {
    assert_eq!(
        rule(
            vec![in_set("peers", &[Field::SourceV4])],
            Verdict::Goto(name("leaf"))
        ),
        Ok(())
    );
    for (matches, verdict) in [
        (vec![in_set("nobody", &[Field::SourceV4])], Verdict::Accept),
        (vec![in_set("pods", &[Field::SourceV4])], Verdict::Accept),
        (vec![in_set("peers", &[Field::SourceV6])], Verdict::Accept),
        (
            vec![in_set("peers", &[Field::SourceV4, Field::DestinationV4])],
            Verdict::Accept,
        ),
        (vec![], Verdict::Jump(name("nowhere"))),
        (
            vec![],
            Verdict::Map {
                key: vec![Field::SourceV4],
                map: name("peers"),
            },
        ),
    ] {
        let outcome = rule(matches, verdict);
        assert!(
            matches!(outcome, Err(Inconsistent::Reference { .. })),
            "{outcome:?}"
        );
    }
}

#[test]
fn nothing_jumps_to_a_base_chain() {
    let outcome = table(|table| {
        let hook = Some(Hook::Forward { priority: 0 });
        table.chains.insert(
            name("base"),
            Chain {
                hook,
                ..Chain::default()
            },
        );
        let entry = MapEntry {
            verdict: Verdict::Goto(name("base")),
            comment: None,
        };
        let key = Element::new(&[Part::address([10, 0, 0, 1])]);
        table
            .maps
            .get_mut(&name("pods"))
            .expect("the map")
            .elements
            .insert(key, entry);
    });
    assert!(
        matches!(outcome, Err(Inconsistent::Reference { .. })),
        "{outcome:?}"
    );
}

#[test]
fn an_element_is_as_wide_as_its_key_and_a_range_only_where_ranges_may_be() {
    let put = |set: &str, part: Part| {
        table(|table| {
            table
                .set_mut(&name(set))
                .expect("the set")
                .elements
                .insert(Element::new(&[part]));
        })
    };
    let net = Part::network("10.0.0.0/8".parse().expect("a network"));
    assert_eq!(put("nets", net), Ok(()));
    assert!(matches!(put("peers", net), Err(Inconsistent::Element { .. })));
    assert!(matches!(
        put("peers", Part::port(80)),
        Err(Inconsistent::Element { .. })
    ));
}

#[test]
fn ranges_of_one_field_do_not_overlap_but_may_touch() {
    let nets = |nets: [&str; 2]| {
        table(|table| {
            let parts = nets.map(|net| Part::network(net.parse().expect("a network")));
            let elements = parts.map(|part| Element::new(&[part])).into();
            table.set_mut(&name("nets")).expect("the set").elements = elements;
        })
    };
    assert_eq!(nets(["10.0.0.0/24", "10.0.1.0/24"]), Ok(()));
    assert!(matches!(
        nets(["10.0.0.0/8", "10.0.1.0/24"]),
        Err(Inconsistent::Overlap { .. })
    ));
}

#[test]
fn a_rule_that_contradicts_or_repeats_itself_is_refused() {
    let port = || Match::DestinationPorts(PortRange::single(80).expect("a port"));
    let net = |text: &str| Match::SourceIn(text.parse().expect("a network"));
    let v4 = Match::EtherType(EtherType::Ipv4);
    assert_eq!(
        problem(vec![
            net("10.0.0.0/8"),
            in_set("peers", &[Field::DestinationV4]),
            v4
        ]),
        "says the same thing twice"
    );
    assert_eq!(
        problem(vec![net("10.0.0.0/8"), net("fd00::/8")]),
        "mixes address families"
    );
    assert_eq!(
        problem(vec![Match::Protocol(6), Match::Protocol(17)]),
        "asks for two protocols"
    );
    assert_eq!(
        problem(vec![Match::Protocol(1), port()]),
        "asks for a port of a protocol that has none"
    );
    let icmp_over_ipv6 = vec![Match::Protocol(1), Match::EtherType(EtherType::Ipv6)];
    assert_eq!(
        problem(icmp_over_ipv6),
        "asks for a protocol that its address family does not carry"
    );
    let nothing = rule(vec![port()], Verdict::Continue);
    assert!(
        matches!(
            nothing,
            Err(Inconsistent::Rule {
                problem: "does nothing",
                ..
            })
        ),
        "{nothing:?}"
    );
}

#[test]
fn a_rule_made_by_its_constructor_says_nothing_twice() {
    let rule = Rule::new(
        [
            Match::EtherType(EtherType::Ipv6),
            Match::Protocol(ICMP_V6),
            Match::IcmpV6Types { first: 1, last: 2 },
        ],
        Verdict::Accept,
    );
    assert_eq!(rule.matches, [Match::IcmpV6Types { first: 1, last: 2 }]);
    let kept = Rule::new(
        [Match::EtherType(EtherType::Ipv4), Match::Protocol(6)],
        Verdict::Accept,
    );
    assert_eq!(kept.matches.len(), 2);
}
