//! What explanations say of each kind of hit and miss, and of many ends at once.
#![allow(clippy::unwrap_used, reason = "helpers of tests may fail like tests")]

mod shop;

use palisade_audit::explain::{explain, json, text};
use palisade_audit::inventory::Inventory;
use palisade_audit::question::{Question, resolve};
use palisade_audit::style::Style;
use palisade_policy::cluster::Event;
use palisade_policy::model::{Defect, Peers, Protocol};
use palisade_policy::testing::builders::{
    block, everybody, named_port, pod, pods, pods_in, policy, port, ports, rule,
};

use shop::{Somewhere, guarded, inventory, shop};

fn answer(inventory: &Inventory, from: &str, to: &str) -> palisade_audit::explain::Answer {
    let question = Question::parse(from, to).unwrap();
    let resolved = resolve(inventory, &"shop".into(), &question).unwrap();
    explain(inventory, &resolved).unwrap()
}

/// The explanation without the notes that are the same for all.
fn explained(inventory: &Inventory, from: &str, to: &str) -> String {
    let text = text(&answer(inventory, from, to), &Somewhere, Style::PLAIN);
    let lines = text.lines().filter(|line| {
        !line.starts_with("note: this is about who opens") && !line.starts_with("note: Palisade ends")
    });
    lines.collect::<Vec<_>>().join("\n").trim_end().to_owned()
}

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

#[test]
fn a_pod_reaches_its_own_node_and_no_other_against_its_policies() {
    let all = policy("shop/all").allowing_from([]).allowing_to([]);
    insta::assert_snapshot!(explained(&guarded([all.clone()]), "node/a", "web-0:80"), @r"
        allowed: Node a → Pod shop/web-0, 80/TCP

          192.168.0.1 → 10.0.0.1 80/TCP: allowed
            shop/web-0 and its own node: always allowed, whatever policies say

        note: 192.168.0.1 is an address of Node a: between it and the pods that run there everything is allowed
        ");
    insta::assert_snapshot!(explained(&guarded([all]), "node/a", "deployment/web:80"), @r"
        partly allowed: Node a → Deployment shop/web, 80/TCP

          denied: 192.168.0.1 → 1 of 2 pods (shop/web-1), 80/TCP (IPv4)
            192.168.0.1 → 10.0.0.2 80/TCP: denied
              ingress of shop/web-1: denied, isolated by shop/all (shop.yaml:1)
                no rule of these allows anything
                would pass: shop/all with one more rule in spec.ingress: from ipBlock 192.168.0.1/32, port 80/TCP

          allowed: 192.168.0.1 → 1 of 2 pods (shop/web-0), 80/TCP (IPv4)
            192.168.0.1 → 10.0.0.1 80/TCP: allowed
              shop/web-0 and its own node: always allowed, whatever policies say

        note: 192.168.0.1 is an address of Node a: between it and the pods that run there everything is allowed
        ");
}

#[test]
fn a_pod_reaches_itself_and_not_its_like() {
    let all = policy("shop/all").allowing_from([]).allowing_to([]);
    insta::assert_snapshot!(explained(&guarded([all.clone()]), "web-0", "web-0:80"), @r"
        allowed: Pod shop/web-0 → Pod shop/web-0, 80/TCP

          10.0.0.1 → 10.0.0.1 80/TCP: allowed
            shop/web-0 to itself: always allowed, whatever policies say
        ");
    insta::assert_snapshot!(explained(&guarded([all]), "deployment/web", "deployment/web:80"), @r"
        denied: Deployment shop/web → Deployment shop/web, 80/TCP

          denied: 2 pods (shop/web-0, shop/web-1) → 2 pods (shop/web-0, shop/web-1), 80/TCP (IPv4)
            10.0.0.1 → 10.0.0.2 80/TCP: denied
              egress of shop/web-0: denied, isolated by shop/all (shop.yaml:1)
                no rule of these allows anything
                would pass: shop/all with one more rule in spec.egress: to podSelector app=web, port 80/TCP
              ingress of shop/web-1: denied, isolated by shop/all (shop.yaml:1)
                no rule of these allows anything
                would pass: shop/all with one more rule in spec.ingress: from podSelector app=web, port 80/TCP

        note: a pod always reaches itself, whatever is said of others
        ");
}

#[test]
fn a_pod_in_its_nodes_network_is_judged_as_its_node() {
    let mut agent = pod("shop/agent").labelled(&[("app", "client")]).at("192.168.0.2");
    agent.host_network = true;
    let web = policy("shop/web").allowing_from([rule([pods(&[("app", "client")])])]);
    let shop = inventory([Event::PodApplied(agent)], &guarded([web]));
    insta::assert_snapshot!(explained(&shop, "agent", "web-0:80"), @r"
        denied: Pod shop/agent → Pod shop/web-0, 80/TCP

          192.168.0.2 → 10.0.0.1 80/TCP: denied
            ingress of shop/web-0: denied, isolated by shop/web (shop.yaml:1)
              shop/web spec.ingress[0] (shop.yaml:15) matches the port, not the peer
                from[0]: the peer selects pods, and 192.168.0.2 is no pod's address
              would pass: shop/web with one more entry in spec.ingress[0].from: ipBlock 192.168.0.2/32
              would pass: shop/web with one more rule in spec.ingress: from ipBlock 192.168.0.2/32, port 80/TCP

        note: Pod shop/agent lives in its node's network: no policy selects it, and its packets are the node's
        ");
}

#[test]
fn a_service_is_explained_on_the_ports_of_its_pods() {
    let web = policy("shop/web")
        .selecting(&[("app", "web")])
        .allowing_from([rule([pods(&[])]).on_ports([port(Protocol::Tcp, 8080)])]);
    insta::assert_snapshot!(explained(&guarded([web]), "client", "service/web:80"), @r"
        partly allowed: Pod shop/client → Service shop/web, 80/TCP

          denied: shop/client → 1 of 2 pods (shop/web-1), 8081/TCP (IPv4), through port 80/TCP of Service shop/web (targetPort http)
            10.0.1.1 → 10.0.0.2 8081/TCP: denied
              egress of shop/client: allowed, no policy isolates it
              ingress of shop/web-1: denied, isolated by shop/web (shop.yaml:1)
                shop/web spec.ingress[0] (shop.yaml:15) matches the peer, not the port
                  ports[0]: the rule allows 8080/TCP, not 8081
                would pass: shop/web with one more entry in spec.ingress[0].ports: 8081/TCP
                would pass: shop/web with one more rule in spec.ingress: from podSelector app=client, port 8081/TCP

          allowed: shop/client → 1 of 2 pods (shop/web-0), 8080/TCP (IPv4), through port 80/TCP of Service shop/web (targetPort http)
            10.0.1.1 → 10.0.0.1 8080/TCP: allowed
              egress of shop/client: allowed, no policy isolates it
              ingress of shop/web-0: allowed, isolated by shop/web (shop.yaml:1)
                shop/web spec.ingress[0] (shop.yaml:15) allows it
                  from[0]: all pods in shop
                  ports[0]: 8080/TCP
        ");
}

#[test]
fn without_a_port_the_open_ones_are_told() {
    let web = policy("shop/web").selecting(&[("app", "web")]).allowing_from([
        rule([pods(&[])]).on_ports([port(Protocol::Tcp, 80), ports(Protocol::Tcp, 8000, 8999)])
    ]);
    insta::assert_snapshot!(explained(&guarded([web]), "client", "web-0"), @r"
        partly allowed: Pod shop/client → Pod shop/web-0, every port

          partly allowed: shop/client → shop/web-0, 80,8000-8999/TCP of all (IPv4)
            10.0.1.1 → 10.0.0.1 1/TCP: denied
              egress of shop/client: allowed, no policy isolates it
              ingress of shop/web-0: denied, isolated by shop/web (shop.yaml:1)
                shop/web spec.ingress[0] (shop.yaml:15) matches the peer, not the port
                  ports[0]: the rule allows 80/TCP, not 1
                  ports[1]: the rule allows 8000-8999/TCP, not 1
                would pass: shop/web with one more rule in spec.ingress: from podSelector app=client, all ports
            10.0.1.1 → 10.0.0.1 80/TCP: allowed
              egress of shop/client: allowed, no policy isolates it
              ingress of shop/web-0: allowed, isolated by shop/web (shop.yaml:1)
                shop/web spec.ingress[0] (shop.yaml:15) allows it
                  from[0]: all pods in shop
                  ports[0]: 80/TCP
        ");
}

#[test]
fn many_pods_are_told_as_those_that_get_the_same_answer() {
    let web = policy("shop/web").selecting(&[("app", "web")]).allowing_from([
        rule([pods(&[("app", "client")])]),
        rule([block("0.0.0.0/0", &["10.0.0.0/8"])]),
    ]);
    insta::assert_snapshot!(explained(&guarded([web]), "any", "deployment/web:80"), @r"
        partly allowed: everybody → Deployment shop/web, 80/TCP

          denied: 3 of 4 pods (lab/probe, shop/web-0, shop/web-1), 10.0.0.0/8 → 2 pods (shop/web-0, shop/web-1), 80/TCP (IPv4)
            10.0.2.1 → 10.0.0.1 80/TCP: denied
              egress of lab/probe: allowed, no policy isolates it
              ingress of shop/web-0: denied, isolated by shop/web (shop.yaml:1)
                shop/web spec.ingress[1] (shop.yaml:15) matches the port, not the peer
                  from[0]: 10.0.2.1 is in the except 10.0.0.0/8
                shop/web spec.ingress[0] (shop.yaml:15) matches the port, not the peer
                  from[0]: the peer selects pods of namespace shop, and lab/probe is in another
                would pass: shop/web with one more entry in spec.ingress[1].from: namespaceSelector kubernetes.io/metadata.name=lab and podSelector app=probe
                would pass: shop/web with one more rule in spec.ingress: from namespaceSelector kubernetes.io/metadata.name=lab and podSelector app=probe, port 80/TCP

          allowed: 1 of 4 pods (shop/client), 0.0.0.0/5, 8.0.0.0/7, 11.0.0.0/8, 5 more blocks → 2 pods (shop/web-0, shop/web-1), 80/TCP (IPv4)
            10.0.1.1 → 10.0.0.1 80/TCP: allowed
              egress of shop/client: allowed, no policy isolates it
              ingress of shop/web-0: allowed, isolated by shop/web (shop.yaml:1)
                shop/web spec.ingress[0] (shop.yaml:15) allows it
                  from[0]: pods with app=client in shop
                  ports: every port

        note: a pod always reaches itself, whatever is said of others
        note: between a pod and the node that it runs on everything is allowed, whatever is said of other addresses
        ");
}

#[test]
fn both_families_are_one_case_where_they_agree() {
    let both = |key: &str, number: u8| {
        let pod = pod(key).labelled(&[("app", "both")]);
        Event::PodApplied(pod.at(&format!("10.0.9.{number}")).at(&format!("fd00::{number}")))
    };
    let closed = policy("shop/both")
        .selecting(&[("app", "both")])
        .allowing_from([rule([block("10.0.0.0/8", &[])])]);
    let shop = inventory([both("shop/one", 1), both("shop/two", 2)], &shop());
    insta::assert_snapshot!(explained(&shop, "one", "two:80"), @r"
        allowed: Pod shop/one → Pod shop/two, 80/TCP

          10.0.9.1 → 10.0.9.2 80/TCP: allowed
            egress of shop/one: allowed, no policy isolates it
            ingress of shop/two: allowed, no policy isolates it
        ");
    let shop = inventory([Event::PolicyApplied(closed)], &shop);
    insta::assert_snapshot!(explained(&shop, "one", "two:80"), @r"
        partly allowed: Pod shop/one → Pod shop/two, 80/TCP

          denied: shop/one → shop/two, 80/TCP (IPv6)
            fd00::1 → fd00::2 80/TCP: denied
              egress of shop/one: allowed, no policy isolates it
              ingress of shop/two: denied, isolated by shop/both (shop.yaml:1)
                shop/both spec.ingress[0] (shop.yaml:15) matches the port, not the peer
                  from[0]: fd00::1 is outside 10.0.0.0/8
                would pass: shop/both with one more entry in spec.ingress[0].from: podSelector app=both
                would pass: shop/both with one more rule in spec.ingress: from podSelector app=both, port 80/TCP

          allowed: shop/one → shop/two, 80/TCP (IPv4)
            10.0.9.1 → 10.0.9.2 80/TCP: allowed
              egress of shop/one: allowed, no policy isolates it
              ingress of shop/two: allowed, isolated by shop/both (shop.yaml:1)
                shop/both spec.ingress[0] (shop.yaml:15) allows it
                  from[0]: addresses in 10.0.0.0/8
                  ports: every port
        ");
}

#[test]
fn of_very_many_cases_the_first_are_told() {
    let pods = (0..40_u16).map(|number| {
        let pod = pod(&format!("lab/many-{number}")).at(&format!("10.0.5.{number}"));
        Event::PodApplied(pod.declaring("http", Protocol::Tcp, 8000 + number))
    });
    let open = rule([block("10.0.0.0/8", &[])]).on_ports([ports(Protocol::Tcp, 8000, 9000)]);
    let closed = policy("lab/all").allowing_from([open]);
    let shop = inventory(pods.chain([Event::PolicyApplied(closed)]), &shop());
    let text = explained(&shop, "client", "ns/lab");
    assert!(
        text.lines().count() < 60,
        "one case of pods that differ in nothing that matters"
    );
    let many = (0..40_u16).map(|number| {
        let (app, name) = (number.to_string(), format!("lab/one-{number}"));
        let own = policy(&name).selecting(&[("nth", &app)]);
        Event::PolicyApplied(
            own.allowing_from([rule([pods_in(&[], &[])]).on_ports([port(Protocol::Tcp, 100 + number)])]),
        )
    });
    let labelled = (0..40_u16).map(|number| {
        let nth = number.to_string();
        let pod = pod(&format!("lab/many-{number}")).labelled(&[("nth", &nth)]);
        Event::PodApplied(pod.at(&format!("10.0.5.{number}")))
    });
    let shop = inventory(
        labelled
            .chain(many)
            .chain([Event::PolicyDeleted(policy("lab/all").key)]),
        &shop,
    );
    let text = explained(&shop, "client", "ns/lab");
    assert!(
        text.contains("\n  21 more cases are in the JSON form only"),
        "{text}"
    );
}

#[test]
fn json_has_the_whole_answer() {
    let web = policy("shop/web").allowing_from([rule([pods(&[("app", "clients")])])]);
    let answer = answer(&guarded([web]), "client", "web-0:80");
    insta::assert_snapshot!(format!("{:#}", json(&answer, &Somewhere)), @r#"
        {
          "cases": [
            {
              "allowed": "none",
              "asked": "80/TCP",
              "by": null,
              "families": [
                4
              ],
              "from": {
                "addresses": [],
                "blocks": [],
                "pods": [
                  "shop/client"
                ]
              },
              "to": {
                "addresses": [],
                "blocks": [],
                "pods": [
                  "shop/web-0"
                ]
              },
              "verdict": "denied",
              "witnesses": [
                {
                  "destination": "10.0.0.1",
                  "sides": [
                    {
                      "direction": "egress",
                      "isolatedBy": [],
                      "pod": "shop/client",
                      "verdict": "allowed"
                    },
                    {
                      "direction": "ingress",
                      "isolatedBy": [
                        "shop/web"
                      ],
                      "nearest": [
                        {
                          "field": "spec.ingress[0]",
                          "peers": [
                            {
                              "field": "spec.ingress[0].from[0]",
                              "says": "the peer wants a pod with app=clients, and shop/client has app=client"
                            }
                          ],
                          "place": {
                            "file": "shop.yaml",
                            "line": 15
                          },
                          "policy": "shop/web",
                          "ports": null
                        }
                      ],
                      "notUnderstood": [],
                      "others": 0,
                      "pod": "shop/web-0",
                      "verdict": "denied",
                      "wouldPass": [
                        "Pod shop/client with the label app=clients",
                        "shop/web with one more entry in spec.ingress[0].from: podSelector app=client",
                        "shop/web with one more rule in spec.ingress: from podSelector app=client, port 80/TCP"
                      ]
                    }
                  ],
                  "source": "10.0.1.1",
                  "transport": "80/TCP",
                  "verdict": "denied",
                  "why": "policies"
                }
              ]
            }
          ],
          "from": "Pod shop/client",
          "notes": [
            "this is about who opens the connection; what answers it passes",
            "Palisade ends connections that are open when a policy comes to deny them; other enforcers may let them go on"
          ],
          "port": "80/TCP",
          "to": "Pod shop/web-0",
          "verdict": "denied"
        }
        "#);
}

#[test]
fn colours_are_for_words_that_stand_without_them() {
    let colour = Style {
        colour: true,
        width: None,
    };
    let web = policy("shop/web").allowing_from([]);
    let answer = answer(&guarded([web]), "client", "web-0:80");
    let plain = text(&answer, &Somewhere, Style::PLAIN);
    let coloured = text(&answer, &Somewhere, colour);
    assert!(coloured.contains("\u{1b}[31mdenied"));
    let mut stripped = String::new();
    for (number, part) in coloured.split('\u{1b}').enumerate() {
        let part = if number == 0 {
            part
        } else {
            part.split_once('m').unwrap().1
        };
        stripped.push_str(part);
    }
    assert_eq!(stripped, plain);
}
