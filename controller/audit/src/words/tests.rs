//! What policies read like.

use palisade_policy::model::Defect;
use palisade_policy::testing::builders::{
    any_port, block, everybody, named_port, pods, pods_in, policy, port, ports as port_range, rule,
};

use super::*;

fn requirement(key: &str, operator: Operator) -> Requirement {
    Requirement {
        key: key.into(),
        operator,
    }
}

#[test]
fn a_policy_reads_as_sentences() {
    let client = pods_in(&[("team", "a")], &[("app", "client")]);
    let policy = policy("shop/web")
        .selecting(&[("app", "web")])
        .allowing_from([rule([client]).on_ports([port_range(Protocol::Tcp, 80, 90)])]);
    insta::assert_snapshot!(describe(&policy, Some(3)), @"Applies to 3 pods with app=web in shop. Isolates them for ingress. Allows in: from pods with app=client in any namespace labelled team=a, on TCP 80 to 90.");
}

#[test]
fn nothing_and_everything_are_said_as_such() {
    let closed = policy("shop/closed").allowing_from([]).allowing_to([]);
    insta::assert_snapshot!(describe(&closed, Some(12)), @"Applies to all 12 pods in shop. Isolates them for ingress and egress. Allows nothing in. Allows nothing out.");
    let open = policy("shop/open").allowing_to([everybody()]);
    insta::assert_snapshot!(describe(&open, Some(1)), @"Applies to every pod in shop, which is one. Isolates it for egress. Allows out: to everybody, inside the cluster and outside, on every port and protocol.");
}

#[test]
fn a_policy_without_pods_says_so() {
    let policy = policy("shop/web").selecting(&[("app", "wbe")]);
    insta::assert_snapshot!(describe(&policy, Some(0)), @"Applies to pods with app=wbe in shop, of which there are none. Isolates them in no direction.");
}

#[test]
fn every_kind_of_peer_has_its_words() {
    let name = |names: &[&str]| {
        let names = names.iter().map(|name| (*name).into()).collect();
        let selector = Selector::from_iter([requirement(NAME_LABEL, Operator::In(names))]);
        Peer::Pods(PodPeer {
            namespaces: NamespaceScope::Matching(selector),
            pods: Selector::everything(),
        })
    };
    let peers = [
        pods(&[]),
        pods(&[("app", "web"), ("tier", "a")]),
        pods_in(&[], &[]),
        name(&["desk"]),
        name(&["desk", "till"]),
        block("10.0.0.0/8", &["10.1.0.0/16", "10.2.0.0/16"]),
        block("0.0.0.0/0", &[]),
        block("::/0", &["fd00::/8"]),
    ];
    let policy = policy("shop/web");
    let words: Vec<String> = peers.iter().map(|it| peer(&policy, it)).collect();
    insta::assert_snapshot!(words.join("\n"), @r"
    all pods in shop
    pods with app=web and tier=a in shop
    all pods in any namespace
    all pods in namespace desk
    all pods in namespaces desk and till
    addresses in 10.0.0.0/8 except 10.1.0.0/16 and 10.2.0.0/16
    every IPv4 address
    every IPv6 address except fd00::/8
    ");
}

#[test]
fn every_operator_has_its_words() {
    let values = || ["a".into(), "b".into()].into();
    let selector = Selector::from_iter([
        requirement("tier", Operator::In(values())),
        requirement("app", Operator::Exists),
        requirement("env", Operator::NotIn(values())),
        requirement("old", Operator::DoesNotExist),
    ]);
    insta::assert_snapshot!(labels("with", &selector, SHORT).unwrap(), @"with app (any value) and tier=(a or b), without env=(a or b) or old (any value)");
}

#[test]
fn every_kind_of_port_has_its_words() {
    let entries = Ports::AnyOf(vec![
        port(Protocol::Tcp, 80),
        any_port(Protocol::Udp),
        port(Protocol::Tcp, 443),
        named_port(Protocol::Tcp, "http"),
        port_range(Protocol::Sctp, 1, 9),
    ]);
    insta::assert_snapshot!(ports(&entries), @"TCP 80 or 443, SCTP 1 to 9, every UDP port and the TCP port named http");
}

#[test]
fn what_could_not_be_understood_allows_nothing_in_words_too() {
    let mut policy = policy("shop/web").allowing_from([rule([]).on_ports([])]);
    policy.defects.push(Defect {
        field: "spec.ingress[0].from[0]".to_owned(),
        message: "is empty".to_owned(),
    });
    insta::assert_snapshot!(describe(&policy, Some(2)), @"Applies to all 2 pods in shop. Isolates them for ingress. Allows in: from nobody, as none of its peers could be understood, on nothing, as none of its ports could be understood. Not understood: spec.ingress[0].from[0]: is empty.");
}

#[test]
fn very_many_peers_are_counted() {
    let blocks = (0..100).map(|number| block(&format!("10.{number}.0.0/16"), &[]));
    let policy = policy("shop/web").allowing_to([rule(blocks)]);
    let words = describe(&policy, Some(2)).to_string();
    assert!(
        words.ends_with("to addresses in 10.11.0.0/16 or 88 more, on every port and protocol."),
        "{words}"
    );
}

#[test]
fn what_a_sentence_only_counts_is_in_its_full_form() {
    let blocks = (0..14).map(|number| block(&format!("10.{number}.0.0/16"), &[]));
    let policy = policy("shop/web").allowing_to([rule(blocks), everybody()]);
    let rules = describe(&policy, Some(2)).egress.unwrap().rules;
    assert!(rules[0].short.contains("or 2 more"), "{}", rules[0]);
    let full = rules[0].full.as_deref().unwrap();
    assert!(
        full.ends_with(
            "to addresses in 10.12.0.0/16 or to addresses in 10.13.0.0/16, on every port and protocol"
        ),
        "{full}"
    );
    assert_eq!(rules[1].full, None, "the short form has all");
}

#[test]
fn without_pods_nothing_is_said_of_how_many() {
    let web = policy("shop/web").selecting(&[("app", "web")]).allowing_from([]);
    insta::assert_snapshot!(describe(&web, None), @"Applies to pods with app=web in shop. Isolates them for ingress. Allows nothing in.");
    let all = policy("shop/all").allowing_from([]);
    insta::assert_snapshot!(describe(&all, None), @"Applies to every pod in shop. Isolates them for ingress. Allows nothing in.");
}
