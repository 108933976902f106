//! Who counts as which end, and many ends at once.

use palisade_policy::cluster::Event;
use palisade_policy::model::Protocol;
use palisade_policy::testing::builders::{block, pod, pods, policy, port, ports, rule};

use super::explained;
use super::shop::{guarded, inventory, shop};

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
        note: what would pass is said of the packet above it; other pairs of the same case may need more
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
        note: what would pass is said of the packet above it; other pairs of the same case may need more
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
fn an_address_that_was_made_up_is_no_remedy() {
    let mut agent = pod("shop/agent").at("198.18.0.7");
    agent.host_network = true;
    let web = policy("shop/web").allowing_from([]);
    let mut shop = inventory([Event::PodApplied(agent)], &guarded([web]));
    shop.placeholders.insert("shop/agent".into());
    insta::assert_snapshot!(explained(&shop, "agent", "web-0:80"), @r"
        denied: Pod shop/agent → Pod shop/web-0, 80/TCP

          198.18.0.7 → 10.0.0.1 80/TCP: denied
            ingress of shop/web-0: denied, isolated by shop/web (shop.yaml:1)
              no rule of these allows anything

        note: Pod shop/agent lives in its node's network: no policy selects it, and its packets are the node's
        note: Pod shop/agent has an address that is not known: a placeholder stands for it, and ipBlocks may treat the true one otherwise
        ");
}

#[test]
fn what_would_pass_is_of_what_was_asked() {
    let web = policy("shop/web").allowing_from([]);
    insta::assert_snapshot!(explained(&guarded([web]), "198.51.100.0/24", "web-0:6000-6100"), @r"
        denied: 198.51.100.0/24 → Pod shop/web-0, 6000-6100/TCP

          denied: 198.51.100.0/24 → shop/web-0, 6000-6100/TCP (IPv4)
            198.51.100.1 → 10.0.0.1 6000/TCP: denied
              ingress of shop/web-0: denied, isolated by shop/web (shop.yaml:1)
                no rule of these allows anything
                would pass: shop/web with one more rule in spec.ingress: from ipBlock 198.51.100.0/24, port 6000-6100/TCP

        note: between a pod and the node that it runs on everything is allowed, whatever is said of other addresses
        ");
}
