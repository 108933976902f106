//! What is said of each kind of hit and miss.

use palisade_policy::model::{Defect, Peers, Protocol};
use palisade_policy::testing::builders::{
    block, everybody, named_port, pods, pods_in, policy, port, ports, rule,
};

use super::explained;
use super::shop::{guarded, shop};

#[test]
fn what_nothing_isolates_is_open() {
    insta::assert_snapshot!(explained(&shop(), "client", "web-0:8080"), @r"
        allowed: Pod shop/client → Pod shop/web-0, 8080/TCP

          10.0.1.1 → 10.0.0.1 8080/TCP: allowed
            egress of shop/client: allowed, no policy isolates it
            ingress of shop/web-0: allowed, no policy isolates it
        ");
}

#[test]
fn what_is_allowed_is_told_with_the_rule_and_its_clauses() {
    let web = policy("shop/web").allowing_from([
        rule([pods(&[("app", "nobody")])]),
        rule([block("192.0.2.0/24", &[]), pods(&[("app", "client")])])
            .on_ports([port(Protocol::Udp, 53), ports(Protocol::Tcp, 8000, 8999)]),
    ]);
    let out = policy("shop/out")
        .selecting(&[("app", "client")])
        .allowing_to([everybody()]);
    insta::assert_snapshot!(explained(&guarded([web, out]), "client", "web-0:8080"), @r"
        allowed: Pod shop/client → Pod shop/web-0, 8080/TCP

          10.0.1.1 → 10.0.0.1 8080/TCP: allowed
            egress of shop/client: allowed, isolated by shop/out (shop.yaml:1)
              shop/out spec.egress[0] (shop.yaml:14) allows it
                to: everybody
                ports: every port
            ingress of shop/web-0: allowed, isolated by shop/web (shop.yaml:1)
              shop/web spec.ingress[1] (shop.yaml:15) allows it
                from[1]: pods with app=client in shop
                ports[1]: 8000-8999/TCP
        ");
}

#[test]
fn a_label_that_is_missing_is_told_with_the_value_that_is_there() {
    let web = policy("shop/web").allowing_from([rule([pods(&[("app", "clients")])])]);
    insta::assert_snapshot!(explained(&guarded([web]), "client", "web-0:80"), @r"
        denied: Pod shop/client → Pod shop/web-0, 80/TCP

          10.0.1.1 → 10.0.0.1 80/TCP: denied
            egress of shop/client: allowed, no policy isolates it
            ingress of shop/web-0: denied, isolated by shop/web (shop.yaml:1)
              shop/web spec.ingress[0] (shop.yaml:15) matches the port, not the peer
                from[0]: the peer wants a pod with app=clients, and shop/client has app=client
              would pass: Pod shop/client with the label app=clients
              would pass: shop/web with one more entry in spec.ingress[0].from: podSelector app=client
              would pass: shop/web with one more rule in spec.ingress: from podSelector app=client, port 80/TCP
        ");
}

#[test]
fn a_label_of_the_namespace_is_told_too() {
    let web = policy("shop/web").allowing_from([rule([pods_in(&[("team", "c")], &[("app", "probe")])])]);
    insta::assert_snapshot!(explained(&guarded([web]), "lab/probe", "web-0:80"), @r"
        denied: Pod lab/probe → Pod shop/web-0, 80/TCP

          10.0.2.1 → 10.0.0.1 80/TCP: denied
            egress of lab/probe: allowed, no policy isolates it
            ingress of shop/web-0: denied, isolated by shop/web (shop.yaml:1)
              shop/web spec.ingress[0] (shop.yaml:15) matches the port, not the peer
                from[0]: the peer wants a namespace with team=c, and namespace lab has team=b
              would pass: Namespace lab with the label team=c
              would pass: shop/web with one more entry in spec.ingress[0].from: namespaceSelector kubernetes.io/metadata.name=lab and podSelector app=probe
              would pass: shop/web with one more rule in spec.ingress: from namespaceSelector kubernetes.io/metadata.name=lab and podSelector app=probe, port 80/TCP
        ");
}

#[test]
fn a_peer_of_the_own_namespace_is_nobody_elsewhere() {
    let web = policy("shop/web").allowing_from([rule([pods(&[("app", "probe")])])]);
    insta::assert_snapshot!(explained(&guarded([web]), "lab/probe", "web-0:80"), @r"
        denied: Pod lab/probe → Pod shop/web-0, 80/TCP

          10.0.2.1 → 10.0.0.1 80/TCP: denied
            egress of lab/probe: allowed, no policy isolates it
            ingress of shop/web-0: denied, isolated by shop/web (shop.yaml:1)
              shop/web spec.ingress[0] (shop.yaml:15) matches the port, not the peer
                from[0]: the peer selects pods of namespace shop, and lab/probe is in another
              would pass: shop/web with one more entry in spec.ingress[0].from: namespaceSelector kubernetes.io/metadata.name=lab and podSelector app=probe
              would pass: shop/web with one more rule in spec.ingress: from namespaceSelector kubernetes.io/metadata.name=lab and podSelector app=probe, port 80/TCP
        ");
}

#[test]
fn a_port_a_range_and_a_protocol_that_differ_are_told() {
    let web = policy("shop/web").allowing_from([rule([pods(&[])]).on_ports([
        port(Protocol::Tcp, 80),
        ports(Protocol::Tcp, 9000, 9999),
        port(Protocol::Udp, 8080),
    ])]);
    insta::assert_snapshot!(explained(&guarded([web]), "client", "web-0:8080"), @r"
        denied: Pod shop/client → Pod shop/web-0, 8080/TCP

          10.0.1.1 → 10.0.0.1 8080/TCP: denied
            egress of shop/client: allowed, no policy isolates it
            ingress of shop/web-0: denied, isolated by shop/web (shop.yaml:1)
              shop/web spec.ingress[0] (shop.yaml:15) matches the peer, not the port
                ports[0]: the rule allows 80/TCP, not 8080
                ports[1]: the rule allows 9000-9999/TCP, not 8080
                ports[2]: the rule allows 8080/UDP, not TCP
              would pass: shop/web with one more entry in spec.ingress[0].ports: 8080/TCP
              would pass: shop/web with one more rule in spec.ingress: from podSelector app=client, port 8080/TCP
        ");
}

#[test]
fn a_named_port_is_told_with_the_number_that_it_stands_for() {
    let web = policy("shop/web").allowing_from([rule([pods(&[])]).on_ports([
        named_port(Protocol::Tcp, "http"),
        named_port(Protocol::Tcp, "admin"),
    ])]);
    insta::assert_snapshot!(explained(&guarded([web]), "client", "web-0:80"), @r"
        denied: Pod shop/client → Pod shop/web-0, 80/TCP

          10.0.1.1 → 10.0.0.1 80/TCP: denied
            egress of shop/client: allowed, no policy isolates it
            ingress of shop/web-0: denied, isolated by shop/web (shop.yaml:1)
              shop/web spec.ingress[0] (shop.yaml:15) matches the peer, not the port
                ports[0]: the rule allows http/TCP, which is 8080 on shop/web-0
                ports[1]: the rule allows admin/TCP, and shop/web-0 declares no such port
              would pass: shop/web with one more entry in spec.ingress[0].ports: 80/TCP
              would pass: shop/web with one more rule in spec.ingress: from podSelector app=client, port 80/TCP
        ");
}

#[test]
fn an_address_outside_a_block_and_one_that_is_excepted_are_told() {
    let web = policy("shop/web").allowing_from([
        rule([block("198.51.100.0/24", &[])]),
        rule([block("203.0.113.0/24", &["203.0.113.128/25"])]),
    ]);
    insta::assert_snapshot!(explained(&guarded([web]), "203.0.113.200", "web-0:80"), @r"
        denied: 203.0.113.200 → Pod shop/web-0, 80/TCP

          203.0.113.200 → 10.0.0.1 80/TCP: denied
            ingress of shop/web-0: denied, isolated by shop/web (shop.yaml:1)
              shop/web spec.ingress[1] (shop.yaml:15) matches the port, not the peer
                from[0]: 203.0.113.200 is in the except 203.0.113.128/25
              shop/web spec.ingress[0] (shop.yaml:15) matches the port, not the peer
                from[0]: 203.0.113.200 is outside 198.51.100.0/24
              would pass: shop/web with one more entry in spec.ingress[1].from: ipBlock 203.0.113.200/32
              would pass: shop/web with one more rule in spec.ingress: from ipBlock 203.0.113.200/32, port 80/TCP
        ");
}

#[test]
fn a_policy_without_rules_allows_nothing() {
    let web = policy("shop/default-deny").allowing_from([]);
    insta::assert_snapshot!(explained(&guarded([web]), "client", "web-0:80"), @r"
        denied: Pod shop/client → Pod shop/web-0, 80/TCP

          10.0.1.1 → 10.0.0.1 80/TCP: denied
            egress of shop/client: allowed, no policy isolates it
            ingress of shop/web-0: denied, isolated by shop/default-deny (shop.yaml:1)
              no rule of these allows anything
              would pass: shop/default-deny with one more rule in spec.ingress: from podSelector app=client, port 80/TCP
        ");
}

#[test]
fn what_could_not_be_understood_allows_nothing_and_is_told() {
    let mut web = policy("shop/web").allowing_from([rule([])]);
    web.defects.push(Defect {
        field: "spec.ingress[0].from[0].ipBlock.cidr".to_owned(),
        message: "\"10.0.0.0/33\" is no CIDR".to_owned(),
    });
    web.defects.push(Defect {
        field: "spec.egress[0].to[0]".to_owned(),
        message: "is of the other direction".to_owned(),
    });
    assert!(matches!(web.ingress.as_ref().unwrap()[0].peers, Peers::AnyOf(_)));
    insta::assert_snapshot!(explained(&guarded([web]), "client", "web-0:80"), @r#"
        denied: Pod shop/client → Pod shop/web-0, 80/TCP

          10.0.1.1 → 10.0.0.1 80/TCP: denied
            egress of shop/client: allowed, no policy isolates it
            ingress of shop/web-0: denied, isolated by shop/web (shop.yaml:1)
              shop/web spec.ingress[0] (shop.yaml:15) matches the port, not the peer
                from: none of the rule's peers could be understood
              shop/web spec.ingress[0].from[0].ipBlock.cidr (shop.yaml:36) allows nothing, as it is not understood: "10.0.0.0/33" is no CIDR
              would pass: shop/web with one more entry in spec.ingress[0].from: podSelector app=client
              would pass: shop/web with one more rule in spec.ingress: from podSelector app=client, port 80/TCP
        "#);
}

#[test]
fn icmp_passes_only_rules_without_ports() {
    let web = policy("shop/web").allowing_from([rule([pods(&[])]).on_ports([port(Protocol::Tcp, 80)])]);
    insta::assert_snapshot!(explained(&guarded([web]), "client", "web-0:icmp"), @r"
        denied: Pod shop/client → Pod shop/web-0, ICMP

          10.0.1.1 → 10.0.0.1 ICMP: denied
            egress of shop/client: allowed, no policy isolates it
            ingress of shop/web-0: denied, isolated by shop/web (shop.yaml:1)
              shop/web spec.ingress[0] (shop.yaml:15) matches the peer, not the port
                ports: the rule names ports, and ICMP has none
              would pass: shop/web with one more rule in spec.ingress: from podSelector app=client, all ports
        ");
}

#[test]
fn both_directions_are_told_when_both_deny() {
    let all = policy("shop/all")
        .allowing_from([])
        .allowing_to([rule([pods(&[("app", "db")])])]);
    insta::assert_snapshot!(explained(&guarded([all]), "client", "web-0:80"), @r"
        denied: Pod shop/client → Pod shop/web-0, 80/TCP

          10.0.1.1 → 10.0.0.1 80/TCP: denied
            egress of shop/client: denied, isolated by shop/all (shop.yaml:1)
              shop/all spec.egress[0] (shop.yaml:14) matches the port, not the peer
                to[0]: the peer wants a pod with app=db, and shop/web-0 has app=web
              would pass: Pod shop/web-0 with the label app=db
              would pass: shop/all with one more entry in spec.egress[0].to: podSelector app=web
              would pass: shop/all with one more rule in spec.egress: to podSelector app=web, port 80/TCP
            ingress of shop/web-0: denied, isolated by shop/all (shop.yaml:1)
              no rule of these allows anything
              would pass: shop/all with one more rule in spec.ingress: from podSelector app=client, port 80/TCP
        ");
}
