//! Whom questions mean: by each kind of name, through Services, and where nobody answers.
#![allow(clippy::unwrap_used, reason = "helpers of tests may fail like tests")]

mod shop;

use palisade_audit::inventory::{EndpointPort, EndpointSlice, Inventory};
use palisade_audit::question::{Question, Resolved, Unresolved, resolve};
use palisade_policy::cluster::Event;
use palisade_policy::model::Protocol;
use palisade_policy::testing::builders::{namespace, node, pod};

use shop::{headless, inventory, service, shop, stands_for};

fn asked(inventory: &Inventory, from: &str, to: &str) -> Result<Resolved, Unresolved> {
    let question = Question::parse(from, to).unwrap();
    resolve(inventory, &"shop".into(), &question)
}

/// Whom a question means: its ends, the addresses with their ports, the notes.
fn meant(inventory: &Inventory, from: &str, to: &str) -> String {
    let Resolved {
        from,
        to,
        port,
        sources,
        ways,
        itself,
        notes,
    } = match asked(inventory, from, to) {
        Ok(resolved) => resolved,
        Err(error) => return format!("error: {error}"),
    };
    let mut lines = vec![format!("{from} → {to} {port}")];
    let blocks = sources.blocks.iter().map(ToString::to_string);
    let sources = sources.addresses.iter().map(ToString::to_string).chain(blocks);
    lines.push(format!("from {}", sources.collect::<Vec<_>>().join(" ")));
    for way in ways {
        let blocks = way
            .blocks
            .iter()
            .map(|block| format!("{block} {}", way.block_ports));
        let to = way
            .addresses
            .iter()
            .map(|(address, ports)| format!("{address} {ports}"));
        let to: Vec<String> = to.chain(blocks).collect();
        let by = way.by.map(|by| format!("by {by}: ")).unwrap_or_default();
        lines.push(format!("to {by}{}", to.join(", ")));
    }
    lines.extend(itself.then(|| "itself".to_owned()));
    lines.extend(notes.iter().map(|note| format!("note: {note}")));
    lines.join("\n")
}

#[test]
fn pods_are_meant_by_their_names() {
    insta::assert_snapshot!(meant(&shop(), "client", "shop/web-0:80"), @r"
        Pod shop/client → Pod shop/web-0 80/TCP
        from 10.0.1.1
        to 10.0.0.1 80/TCP
        ");
}

#[test]
fn a_name_without_a_kind_is_a_pod_or_else_a_workload_or_else_a_service() {
    let shop = shop();
    assert_eq!(
        asked(&shop, "client", "shop/web").unwrap().to,
        "Deployment shop/web"
    );
    assert_eq!(asked(&shop, "client", "shop/dns").unwrap().to, "Service shop/dns");
    let with_pod = inventory([Event::PodApplied(pod("shop/dns").at("10.0.9.9"))], &shop);
    assert_eq!(asked(&with_pod, "client", "shop/dns").unwrap().to, "Pod shop/dns");
    assert_eq!(
        asked(&with_pod, "client", "svc/dns").unwrap().to,
        "Service shop/dns"
    );
}

#[test]
fn workloads_and_namespaces_are_all_of_their_pods() {
    insta::assert_snapshot!(meant(&shop(), "ns/lab", "deployment/web:80"), @r"
        Namespace lab → Deployment shop/web 80/TCP
        from 10.0.2.1
        to 10.0.0.1 80/TCP, 10.0.0.2 80/TCP
        ");
}

#[test]
fn labels_are_the_pods_that_have_all_of_them_in_one_namespace_or_in_all() {
    let more = [
        pod("lab/web").labelled(&[("app", "web")]).at("10.0.2.7"),
        pod("shop/edge")
            .labelled(&[("app", "web"), ("tier", "front")])
            .at("10.0.0.7"),
    ];
    let shop = inventory(more.map(Event::PodApplied), &shop());
    insta::assert_snapshot!(meant(&shop, "app=web", "shop/app=web,tier=front:80"), @r"
        app=web → shop/app=web,tier=front 80/TCP
        from 10.0.0.1 10.0.0.2 10.0.0.7 10.0.2.7
        to 10.0.0.7 80/TCP
        ");
    insta::assert_snapshot!(meant(&shop, "shop/app=web", "lab/*"), @r"
        shop/app=web → lab/* 
        from 10.0.0.1 10.0.0.2 10.0.0.7
        to 10.0.2.1 all, 10.0.2.7 all
        ");
    insta::assert_snapshot!(meant(&shop, "app=client", "shop/app=web:http"), @r"
        app=client → shop/app=web http
        from 10.0.1.1
        to 10.0.0.1 8080/TCP, 10.0.0.2 8081/TCP
        note: Pod shop/edge declares no port http and is left out
        ");
}

#[test]
fn labels_that_no_pod_has_lead_nowhere() {
    let mut done = pod("shop/done").labelled(&[("app", "job")]).at("10.0.0.77");
    done.finished = true;
    let shop = inventory([Event::PodApplied(done)], &shop());
    let errors: Vec<String> = [
        "app=wbe",
        "lab/app=web",
        "shop/app=web,tier=front",
        "nowhere/*",
        "app=job",
    ]
    .iter()
    .map(|from| meant(&shop, from, "any"))
    .collect();
    insta::assert_snapshot!(errors.join("\n"), @r"
        error: no pod is meant by app=wbe
        error: no pod is meant by lab/app=web
        error: no pod is meant by shop/app=web,tier=front
        error: no pod is meant by nowhere/*
        error: app=job cannot be asked about: Pod shop/done has finished and is left out: its address may be another pod's by now
        ");
}

#[test]
fn labels_find_pods_in_the_network_of_their_node_too() {
    let mut agent = pod("shop/agent").labelled(&[("app", "web")]).at("192.168.0.1");
    agent.host_network = true;
    let shop = inventory([Event::PodApplied(agent)], &shop());
    insta::assert_snapshot!(meant(&shop, "app=web", "lab/*:80"), @r"
        app=web → lab/* 80/TCP
        from 10.0.0.1 10.0.0.2 192.168.0.1
        to 10.0.2.1 80/TCP
        note: Pod shop/agent lives in its node's network: no policy selects it, and its packets are the node's
        ");
}

#[test]
fn a_block_is_its_addresses_and_the_pods_that_have_some() {
    insta::assert_snapshot!(meant(&shop(), "10.0.0.0/30", "[fd00::/64]:443/UDP"), @"error: 10.0.0.0/30 and fd00::/64 do not both have an address in the same family");
    insta::assert_snapshot!(meant(&shop(), "10.0.0.0/30", "10.0.1.0/24:443/UDP"), @r"
        10.0.0.0/30 → 10.0.1.0/24 443/UDP
        from 10.0.0.1 10.0.0.2 10.0.0.0/30
        to 10.0.1.1 443/UDP, 10.0.1.0/24 443/UDP
        ");
}

#[test]
fn named_ports_are_the_numbers_that_each_pod_declares() {
    insta::assert_snapshot!(meant(&shop(), "client", "deployment/web:http"), @r"
        Pod shop/client → Deployment shop/web http
        from 10.0.1.1
        to 10.0.0.1 8080/TCP, 10.0.0.2 8081/TCP
        ");
    insta::assert_snapshot!(meant(&shop(), "client", "ns/shop:http"), @r"
        Pod shop/client → Namespace shop http
        from 10.0.1.1
        to 10.0.0.1 8080/TCP, 10.0.0.2 8081/TCP
        note: Pod shop/client declares no port http and is left out
        ");
    insta::assert_snapshot!(meant(&shop(), "client", "deployment/web:htpp"), @"error: Deployment shop/web declares no port htpp; declared are http");
}

#[test]
fn a_service_leads_to_its_pods_on_their_own_ports() {
    insta::assert_snapshot!(meant(&shop(), "client", "service/web:80"), @r"
        Pod shop/client → Service shop/web 80/TCP
        from 10.0.1.1
        to by port 80/TCP of Service shop/web (targetPort http): 10.0.0.1 8080/TCP, 10.0.0.2 8081/TCP
        ");
    insta::assert_snapshot!(meant(&shop(), "client", "service/web:http"), @r"
        Pod shop/client → Service shop/web http
        from 10.0.1.1
        to by port 80/TCP of Service shop/web (targetPort http): 10.0.0.1 8080/TCP, 10.0.0.2 8081/TCP
        ");
    insta::assert_snapshot!(meant(&shop(), "client", "service/web"), @r"
        Pod shop/client → Service shop/web 
        from 10.0.1.1
        to by port 80/TCP of Service shop/web (targetPort http): 10.0.0.1 8080/TCP, 10.0.0.2 8081/TCP
        to by port 443/TCP of Service shop/web (targetPort 8443): 10.0.0.1 8443/TCP, 10.0.0.2 8443/TCP
        ");
}

#[test]
fn the_address_of_a_service_stands_for_it() {
    insta::assert_snapshot!(meant(&shop(), "client", "10.96.0.1:80"), @r"
        Pod shop/client → Service shop/web 80/TCP
        from 10.0.1.1
        to by port 80/TCP of Service shop/web (targetPort http): 10.0.0.1 8080/TCP, 10.0.0.2 8081/TCP
        note: 10.96.0.1 is the address of Service shop/web: its pods are asked about
        ");
    insta::assert_snapshot!(meant(&shop(), "10.96.0.1", "client"), @r"
        10.96.0.1 → Pod shop/client 
        from 10.96.0.1
        to 10.0.1.1 all
        note: 10.96.0.1 is the address of Service shop/web: no connection comes from it
        ");
}

#[test]
fn endpoints_that_are_known_count_and_not_the_selector() {
    let mut shop = shop();
    let mut web = service("shop/web", &[("app", "web")]);
    web.endpoints = Some(vec![slice(&["10.0.0.1", "192.0.2.7"], &[])]);
    shop.services.insert(web.key.clone(), web.clone());
    insta::assert_snapshot!(meant(&shop, "client", "service/web:80"), @r"
        Pod shop/client → Service shop/web 80/TCP
        from 10.0.1.1
        to by port 80/TCP of Service shop/web (targetPort http): 10.0.0.1 8080/TCP
        ");
    web.selector = None;
    shop.services.insert(web.key.clone(), web);
    assert!(
        meant(&shop, "client", "service/web:443")
            .ends_with("note: Service shop/web has no selector: what its EndpointSlices list is asked about")
    );
}

/// A slice with some ports for those of a Service by name.
fn slice(addresses: &[&str], ports: &[(&str, u16)]) -> EndpointSlice {
    let port = |(name, number): &(&str, u16)| EndpointPort {
        name: Some((*name).into()),
        protocol: Protocol::Tcp,
        number: *number,
    };
    EndpointSlice {
        addresses: addresses.iter().map(|address| address.parse().unwrap()).collect(),
        ports: ports.iter().map(port).collect(),
    }
}

#[test]
fn the_port_of_an_endpoint_is_what_its_slice_says() {
    let mut shop = shop();
    let mut web = service("shop/web", &[]);
    web.selector = None;
    web.endpoints = Some(vec![
        slice(&["192.0.2.7"], &[("http", 8000), ("other", 1)]),
        slice(&["192.0.2.8"], &[("http", 9000)]),
    ]);
    shop.services.insert(web.key.clone(), web);
    insta::assert_snapshot!(meant(&shop, "client", "service/web:80"), @r"
        Pod shop/client → Service shop/web 80/TCP
        from 10.0.1.1
        to by port 80/TCP of Service shop/web (targetPort http): 192.0.2.7 8000/TCP, 192.0.2.8 9000/TCP
        note: Service shop/web has no selector: what its EndpointSlices list is asked about
        ");
}

#[test]
fn slices_without_the_pods_that_they_list_mean_what_is_selected() {
    let made = pod("shop/made").labelled(&[("app", "made")]).at("10.128.0.1");
    let made = made.declaring("http", Protocol::Tcp, 8080);
    let mut shop = inventory([Event::PodApplied(made)], &shop());
    stands_for(&mut shop, "shop/made", 2);
    shop.placeholders.insert("shop/made".into());
    let mut web = service("shop/web", &[("app", "made")]);
    web.endpoints = Some(vec![slice(&["10.0.0.99"], &[("http", 8080)])]);
    shop.services.insert(web.key.clone(), web);
    insta::assert_snapshot!(meant(&shop, "client", "service/web:80"), @r"
        Pod shop/client → Service shop/web 80/TCP
        from 10.0.1.1
        to by port 80/TCP of Service shop/web (targetPort http): 10.128.0.1 8080/TCP
        note: Pod shop/made has an address that is not known: a placeholder stands for it, and ipBlocks may treat the true one otherwise
        ");
}

#[test]
fn a_headless_service_is_another_name_for_its_pods() {
    let mut shop = shop();
    let db = headless("shop/db", &[("app", "web")]);
    shop.services.insert(db.key.clone(), db);
    insta::assert_snapshot!(meant(&shop, "client", "service/db:9"), @r"
        Pod shop/client → Service shop/db 9/TCP
        from 10.0.1.1
        to 10.0.0.1 9/TCP, 10.0.0.2 9/TCP
        note: Service shop/db is headless: its name leads to its pods, on their own ports
        ");
    insta::assert_snapshot!(meant(&shop, "client", "service/db:http"), @r"
        Pod shop/client → Service shop/db http
        from 10.0.1.1
        to by port 80/TCP of Service shop/db (targetPort http): 10.0.0.1 8080/TCP, 10.0.0.2 8081/TCP
        note: Service shop/db is headless: its name leads to its pods, on their own ports
        ");
}

#[test]
fn services_that_lead_nowhere_say_why() {
    let mut shop = shop();
    let mut far = service("shop/far", &[]);
    far.kind = palisade_audit::inventory::ServiceKind::ExternalName;
    let mut own = service("shop/own", &[]);
    own.selector = None;
    let empty = service("shop/empty", &[("app", "nobody")]);
    for service in [far, own, empty] {
        shop.services.insert(service.key.clone(), service);
    }
    let errors: Vec<String> = [
        "svc/far",
        "svc/own",
        "svc/empty",
        "svc/web:81",
        "svc/web:icmp",
        "svc/web:80/UDP",
    ]
    .iter()
    .map(|to| meant(&shop, "client", to))
    .collect();
    insta::assert_snapshot!(errors.join("\n"), @r"
        error: Service shop/far is of type ExternalName: who answers for it is not known; ask about an address
        error: Service shop/own has no selector, and no EndpointSlice of it is there: who answers for it is not known
        error: Service shop/empty cannot be asked about: its selector selects no pod: app=nobody
        error: Service shop/web has no port 81/TCP; it has 80/TCP (http), 443/TCP (https)
        error: Service shop/web passes on its ports only: ask its pods about ICMP
        error: Service shop/web has no port 80/UDP; it has 80/TCP (http), 443/TCP (https)
        ");
}

#[test]
fn a_service_by_ports_of_nodes_may_hide_who_connects() {
    let mut shop = shop();
    let mut web = service("shop/web", &[("app", "web")]);
    web.kind = palisade_audit::inventory::ServiceKind::NodePort;
    shop.services.insert(web.key.clone(), web.clone());
    let lost = "note: Service shop/web has externalTrafficPolicy Cluster";
    assert!(meant(&shop, "203.0.113.1", "svc/web:80").contains(lost));
    assert!(!meant(&shop, "client", "svc/web:80").contains(lost));
    web.keeps_source = true;
    shop.services.insert(web.key.clone(), web);
    assert!(!meant(&shop, "203.0.113.1", "svc/web:80").contains(lost));
}

#[test]
fn a_port_of_a_node_leads_to_its_service() {
    let mut shop = shop();
    let mut web = service("shop/web", &[("app", "web")]);
    web.kind = palisade_audit::inventory::ServiceKind::NodePort;
    web.ports[0].node_port = Some(30080);
    shop.services.insert(web.key.clone(), web);
    let [by_name, by_address] = ["node/a:30080", "192.168.0.1:30080"].map(|to| meant(&shop, "client", to));
    insta::assert_snapshot!(by_name, @r"
        Pod shop/client → Service shop/web 30080/TCP
        from 10.0.1.1
        to by port 80/TCP of Service shop/web (targetPort http): 10.0.0.1 8080/TCP, 10.0.0.2 8081/TCP
        note: port 30080/TCP of every node leads to Service shop/web: its pods are asked about
        note: Service shop/web has externalTrafficPolicy Cluster: a connection from outside, or by a port of a node, may come from a node's address instead of its own
        ");
    assert_eq!(by_name, by_address);
    // Others of its ports are its own, and nobody's Service.
    for to in ["node/a:30081", "node/a:30080/UDP", "node/a:30080-30081", "node/a"] {
        assert!(!meant(&shop, "client", to).contains("Service"), "{to}");
    }
}

#[test]
fn addresses_from_outside_stand_for_their_service() {
    let mut shop = shop();
    let mut web = service("shop/web", &[("app", "web")]);
    web.outside = vec!["198.51.100.7".parse().unwrap()];
    shop.services.insert(web.key.clone(), web);
    insta::assert_snapshot!(meant(&shop, "203.0.113.1", "198.51.100.7:80"), @r"
        203.0.113.1 → Service shop/web 80/TCP
        from 203.0.113.1
        to by port 80/TCP of Service shop/web (targetPort http): 10.0.0.1 8080/TCP, 10.0.0.2 8081/TCP
        note: 198.51.100.7 is the address of Service shop/web: its pods are asked about
        note: Service shop/web has externalTrafficPolicy Cluster: a connection from outside, or by a port of a node, may come from a node's address instead of its own
        ");
}

#[test]
fn what_is_special_about_pods_is_told() {
    let mut shop = shop();
    let mut agent = pod("shop/agent").at("192.168.0.1");
    agent.host_network = true;
    let mut done = pod("shop/done").at("10.0.0.77");
    done.finished = true;
    let new = pod("shop/new");
    let made = pod("shop/made").at("10.128.0.1");
    shop.placeholders.insert(made.uid.clone());
    let pods = [agent, done, new, made].map(Event::PodApplied);
    let mut shop = inventory(pods, &shop);
    stands_for(&mut shop, "shop/made", 3);
    insta::assert_snapshot!(meant(&shop, "agent", "made:80"), @r"
        Pod shop/agent → Deployment shop/made 80/TCP
        from 192.168.0.1
        to 10.128.0.1 80/TCP
        note: Pod shop/agent lives in its node's network: no policy selects it, and its packets are the node's
        note: Pod shop/made has an address that is not known: a placeholder stands for it, and ipBlocks may treat the true one otherwise
        note: one pod stands for the 3 of Deployment shop/made
        ");
    insta::assert_snapshot!(meant(&shop, "done", "deployment/made:80"), @"error: Pod shop/done cannot be asked about: it has finished and is left out: its address may be another pod's by now");
    insta::assert_snapshot!(meant(&shop, "new", "made:80"), @"error: Pod shop/new cannot be asked about: it has no address of its own and is left out");
    insta::assert_snapshot!(meant(&shop, "deployment/made", "192.168.0.1"), @r"
        Deployment shop/made → 192.168.0.1 
        from 10.128.0.1
        to 192.168.0.1 all
        note: Pod shop/made has an address that is not known: a placeholder stands for it, and ipBlocks may treat the true one otherwise
        note: one pod stands for the 3 of Deployment shop/made
        note: 192.168.0.1 is an address of Node a: between it and the pods that run there everything is allowed
        ");
}

#[test]
fn an_address_of_two_pods_is_that_of_the_newer_one() {
    let mut newer = pod("lab/newer").at("10.0.0.1");
    newer.created = 9;
    let shop = inventory([Event::PodApplied(newer)], &shop());
    insta::assert_snapshot!(meant(&shop, "10.0.0.1", "web-0:80"), @"error: Pod shop/web-0 cannot be asked about: it has no address of its own and is left out");
}

#[test]
fn names_that_are_not_there_come_with_what_was_probably_meant() {
    let shop = inventory([Event::NodeApplied(node("worker-1", &["192.168.0.9"]))], &shop());
    let shop = inventory([Event::NamespaceApplied(namespace("bank", &[]))], &shop);
    let errors: Vec<String> = [
        "shop/wbe-0",
        "shop/probe",
        "lba/probe",
        "deploy/wbe",
        "svc/dsn",
        "ns/shpo",
        "node/worker-2",
        "shop/nothing",
    ]
    .iter()
    .map(|from| meant(&shop, from, "any"))
    .collect();
    insta::assert_snapshot!(errors.join("\n"), @r"
        error: there is no pod, workload or Service shop/wbe-0; did you mean shop/web-0?
        error: there is no pod, workload or Service shop/probe; did you mean lab/probe?
        error: there is no pod, workload or Service lba/probe; did you mean lab/probe?
        error: there is no Deployment shop/wbe; did you mean shop/deployment/web?
        error: there is no Service shop/dsn; did you mean shop/service/dns?
        error: there is no Namespace shpo; did you mean namespace/shop?
        error: there is no Node worker-2; did you mean node/worker-1?
        error: there is no pod, workload or Service shop/nothing
        ");
}

#[test]
fn ends_of_different_families_do_not_meet() {
    insta::assert_snapshot!(meant(&shop(), "client", "fd00::7"), @"error: Pod shop/client and fd00::7 do not both have an address in the same family");
    let both = pod("lab/both")
        .at("10.0.3.1")
        .at("fd00::3")
        .declaring("http", Protocol::Tcp, 8080);
    let shop = inventory([Event::PodApplied(both)], &shop());
    insta::assert_snapshot!(meant(&shop, "lab/both", "fd00::7"), @r"
        Pod lab/both → fd00::7 
        from 10.0.3.1 fd00::3
        to fd00::7 all
        ");
}
