//! Rows 2 to 7 and 20 of the semantics, as far as they are about reading a policy.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::needless_pass_by_value,
    reason = "helpers of tests may fail like tests, and take what json! gives"
)]

use k8s_openapi::api::networking::v1::NetworkPolicy;
use palisade_controller::decode;
use palisade_policy::model::{
    NamespaceScope, Peer, Peers, Policy, PolicyPort, PortMatch, PortRange, Ports, Protocol, Requirement,
    Rule, Selector,
};
use serde_json::{Value, json};

fn policy(spec: Value) -> Policy {
    let object = json!({"metadata": {"namespace": "shop", "name": "web"}, "spec": spec});
    decode::policy(&serde_json::from_value::<NetworkPolicy>(object).unwrap())
}

/// The only ingress rule, with the defects found.
fn ingress(rule: Value) -> (Rule, Vec<String>) {
    let policy = policy(json!({"podSelector": {}, "ingress": [rule]}));
    let defects = policy.defects.iter().map(ToString::to_string).collect();
    (policy.ingress.unwrap().remove(0), defects)
}

#[track_caller]
fn peer_is_left_out(peer: Value, defect: &str) {
    let (rule, defects) = ingress(json!({"from": [peer]}));
    assert_eq!(defects, [defect]);
    assert_eq!(
        rule.peers,
        Peers::AnyOf(vec![]),
        "the rule must not become one for everybody"
    );
}

#[track_caller]
fn port_is_left_out(port: Value, defect: &str) {
    let (rule, defects) = ingress(json!({"ports": [port]}));
    assert_eq!(defects, [defect]);
    assert_eq!(
        rule.ports,
        Ports::AnyOf(vec![]),
        "the rule must not become one for all ports"
    );
}

#[test]
fn without_policy_types_a_policy_isolates_ingress_and_egress_where_there_is_a_section() {
    let isolated = |spec| {
        let policy = policy(spec);
        (policy.ingress.is_some(), policy.egress.is_some())
    };
    assert_eq!(isolated(json!({"podSelector": {}})), (true, false));
    assert_eq!(
        isolated(json!({"podSelector": {}, "policyTypes": []})),
        (true, false)
    );
    assert_eq!(
        isolated(json!({"podSelector": {}, "policyTypes": null, "egress": []})),
        (true, true)
    );
    assert_eq!(
        isolated(json!({"podSelector": {}, "egress": null})),
        (true, false)
    );
    assert_eq!(
        isolated(json!({"podSelector": {}, "policyTypes": ["Egress"]})),
        (false, true)
    );
    assert_eq!(
        isolated(json!({"podSelector": {}, "policyTypes": ["Ingress"], "egress": [{}]})),
        (true, false)
    );
    assert_eq!(
        isolated(json!({"podSelector": {}, "policyTypes": ["Egress"], "ingress": [{}]})),
        (false, true)
    );
    assert_eq!(isolated(Value::Null), (true, false));
}

#[test]
fn no_rules_allow_nothing_and_an_empty_rule_allows_everything() {
    for absent in [json!({}), json!({"ingress": null}), json!({"ingress": []})] {
        assert_eq!(policy(absent).ingress, Some(vec![]));
    }
    let everything = Rule {
        peers: Peers::All,
        ports: Ports::All,
    };
    for rule in [
        json!({}),
        json!({"from": [], "ports": []}),
        json!({"from": null, "ports": null}),
    ] {
        assert_eq!(ingress(rule), (everything.clone(), vec![]));
    }
}

#[test]
fn an_absent_selector_is_not_an_empty_one() {
    let peers = |peer| match ingress(json!({"from": [peer]})).0.peers {
        Peers::AnyOf(mut peers) => peers.remove(0),
        Peers::All => panic!("everybody"),
    };
    let pods = |namespaces, pods| Peer::Pods(palisade_policy::model::PodPeer { namespaces, pods });
    let all = Selector::everything;
    let web = Selector::from_iter([Requirement::equals("role", "web")]);
    let labels = json!({"matchLabels": {"role": "web"}});
    assert_eq!(
        peers(json!({"podSelector": {}})),
        pods(NamespaceScope::Own, all())
    );
    assert_eq!(
        peers(json!({"podSelector": labels, "namespaceSelector": null})),
        pods(NamespaceScope::Own, web.clone())
    );
    assert_eq!(
        peers(json!({"namespaceSelector": {}})),
        pods(NamespaceScope::Matching(all()), all())
    );
    assert_eq!(
        peers(json!({"namespaceSelector": {}, "podSelector": labels})),
        pods(NamespaceScope::Matching(all()), web.clone())
    );
    assert_eq!(
        peers(json!({"namespaceSelector": labels, "podSelector": {}})),
        pods(NamespaceScope::Matching(web), all())
    );
}

#[test]
fn ports_are_read_in_all_their_forms() {
    let (rule, defects) = ingress(json!({"ports": [
        {},
        {"protocol": "UDP"},
        {"port": 80},
        {"port": 8000, "endPort": 9000, "protocol": "SCTP"},
        {"port": 65535, "endPort": 65535},
        {"port": "http"},
    ]}));
    let port = |protocol, port| PolicyPort { protocol, port };
    let range = |first, last| PortMatch::Range(PortRange::new(first, last).unwrap());
    assert!(defects.is_empty(), "{defects:?}");
    assert_eq!(
        rule.ports,
        Ports::AnyOf(vec![
            port(Protocol::Tcp, PortMatch::Any),
            port(Protocol::Udp, PortMatch::Any),
            port(Protocol::Tcp, range(80, 80)),
            port(Protocol::Sctp, range(8000, 9000)),
            port(Protocol::Tcp, range(65535, 65535)),
            port(Protocol::Tcp, PortMatch::Named("http".into())),
        ])
    );
}

#[test]
fn a_port_that_cannot_be_understood_allows_nothing() {
    let field = "spec.ingress[0].ports[0]";
    let number = "is no port: it should be 1 to 65535";
    port_is_left_out(json!({"port": 0}), &format!("{field}.port: 0 {number}"));
    port_is_left_out(json!({"port": -1}), &format!("{field}.port: -1 {number}"));
    port_is_left_out(json!({"port": 65536}), &format!("{field}.port: 65536 {number}"));
    port_is_left_out(
        json!({"port": 80, "endPort": 70000}),
        &format!("{field}.endPort: 70000 {number}"),
    );
    port_is_left_out(
        json!({"port": 80, "endPort": 79}),
        &format!("{field}.endPort: 79 is below port 80"),
    );
    port_is_left_out(
        json!({"endPort": 79}),
        &format!("{field}.endPort: needs a port to begin at"),
    );
    port_is_left_out(
        json!({"port": "http", "endPort": 90}),
        &format!("{field}.endPort: needs a port that is a number"),
    );
    for protocol in ["tcp", "ICMP", ""] {
        port_is_left_out(
            json!({"protocol": protocol}),
            &format!("{field}.protocol: {protocol:?} is no protocol: it should be TCP, UDP or SCTP"),
        );
    }
    for name in ["80", "HTTP", "", "a--b", "far-too-long-name"] {
        let rule = "it should be a number, or at most 15 lowercase letters, digits and hyphens with a letter among them";
        port_is_left_out(
            json!({"port": name}),
            &format!("{field}.port: {name:?} is no port: {rule}"),
        );
    }
}

#[test]
fn a_peer_that_cannot_be_understood_allows_nothing() {
    let field = "spec.ingress[0].from[0]";
    peer_is_left_out(
        json!({}),
        &format!("{field}: names nobody: it needs an ipBlock, a namespaceSelector or a podSelector"),
    );
    for selector in ["podSelector", "namespaceSelector"] {
        peer_is_left_out(
            json!({"ipBlock": {"cidr": "10.0.0.0/8"}, selector: {}}),
            &format!("{field}.ipBlock: cannot stand beside a selector"),
        );
    }
    for (cidr, hint) in [
        ("10.0.0.0/33", ""),
        ("", ""),
        ("10.0.0.1", ": the prefix length is missing"),
    ] {
        peer_is_left_out(
            json!({"ipBlock": {"cidr": cidr}}),
            &format!("{field}.ipBlock.cidr: {cidr:?} is no CIDR{hint}"),
        );
    }
}

#[test]
fn a_block_with_a_bad_except_allows_nothing_at_all() {
    let field = "spec.ingress[0].from[0].ipBlock.except[1]";
    for (except, message) in [
        ("11.0.0.0/8", "\"11.0.0.0/8\" does not lie within 10.0.0.0/8"),
        ("0.0.0.0/0", "\"0.0.0.0/0\" does not lie within 10.0.0.0/8"),
        ("fd00::/8", "\"fd00::/8\" does not lie within 10.0.0.0/8"),
        (
            "10.1.0.0",
            "\"10.1.0.0\" is no CIDR: the prefix length is missing",
        ),
    ] {
        let block = json!({"cidr": "10.0.0.0/8", "except": ["10.9.0.0/16", except]});
        peer_is_left_out(json!({"ipBlock": block}), &format!("{field}: {message}"));
    }
}

#[test]
fn blocks_are_masked_and_mapped_ones_become_ipv4() {
    let (rule, defects) = ingress(json!({"from": [
        {"ipBlock": {"cidr": "10.1.2.3/8", "except": ["10.3.2.1/16"]}},
        {"ipBlock": {"cidr": "::ffff:192.168.0.0/112", "except": ["192.168.7.0/24"]}},
        {"ipBlock": {"cidr": "::/0"}},
    ]}));
    assert!(defects.is_empty(), "{defects:?}");
    let Peers::AnyOf(peers) = rule.peers else {
        panic!("everybody")
    };
    let blocks = peers.iter().map(|peer| match peer {
        Peer::Block(block) => block.to_string(),
        Peer::Pods(_) => panic!("pods"),
    });
    assert_eq!(
        blocks.collect::<Vec<_>>(),
        [
            "10.0.0.0/8 except 10.3.0.0/16",
            "192.168.0.0/16 except 192.168.7.0/24",
            "::/0"
        ]
    );
}

#[test]
fn a_selector_with_a_bad_requirement_selects_nobody_as_a_peer() {
    let field = "spec.ingress[0].from[0].podSelector.matchExpressions[0]";
    for (requirement, defect) in [
        (
            json!({"key": "a", "operator": "in", "values": ["x"]}),
            "operator: \"in\" is no operator: it should be In, NotIn, Exists or DoesNotExist",
        ),
        (json!({"key": "a", "operator": "In"}), "values: In needs values"),
        (
            json!({"key": "a", "operator": "NotIn", "values": []}),
            "values: NotIn needs values",
        ),
        (
            json!({"key": "a", "operator": "Exists", "values": ["x"]}),
            "values: Exists takes no values",
        ),
        (
            json!({"key": "a", "operator": "DoesNotExist", "values": ["x"]}),
            "values: DoesNotExist takes no values",
        ),
        (
            json!({"key": "", "operator": "Exists"}),
            "key: a label key is missing",
        ),
    ] {
        peer_is_left_out(
            json!({"podSelector": {"matchLabels": {"b": "y"}, "matchExpressions": [requirement]}}),
            &format!("{field}.{defect}"),
        );
    }
}

#[test]
fn a_bad_entry_leaves_its_neighbours_in_place() {
    let (rule, defects) = ingress(json!({
        "from": [{}, {"podSelector": {}}],
        "ports": [{"port": 0}, {"port": 443}],
    }));
    assert_eq!(defects.len(), 2);
    assert!(matches!(&rule.peers, Peers::AnyOf(peers) if peers.len() == 1));
    assert!(matches!(&rule.ports, Ports::AnyOf(ports) if ports.len() == 1));
}

#[test]
fn a_subject_that_cannot_be_understood_is_the_whole_namespace() {
    let policy = policy(json!({
        "podSelector": {"matchLabels": {"a": "b"}, "matchExpressions": [{"key": "c", "operator": "Is"}]},
        "ingress": [{}],
    }));
    assert!(policy.subject.is_everything());
    assert_eq!(
        policy.defects[0].field,
        "spec.podSelector.matchExpressions[0].operator"
    );
    assert_eq!(
        decode::strict(policy.clone()).unwrap_err().defects,
        policy.defects
    );
}

#[test]
fn a_policy_type_that_is_not_known_isolates_both_directions() {
    let policy = policy(json!({"podSelector": {}, "policyTypes": ["Ingres"], "ingress": [{}]}));
    assert_eq!(policy.ingress, Some(vec![]), "it may be another direction's name");
    assert_eq!(policy.egress, Some(vec![]));
    assert_eq!(
        policy.defects[0].to_string(),
        "spec.policyTypes[0]: \"Ingres\" is no policy type: it should be Ingress or Egress"
    );
}

#[test]
fn a_policy_type_that_is_known_keeps_its_rules_beside_one_that_is_not() {
    let types = ["Ingress", "Egres"];
    let policy = policy(json!({"podSelector": {}, "policyTypes": types, "ingress": [{}], "egress": [{}]}));
    assert_eq!(policy.ingress.as_ref().map(Vec::len), Some(1));
    assert_eq!(policy.egress, Some(vec![]));
}

#[test]
fn a_pod_selector_that_cannot_be_read_isolates_every_pod_and_allows_none() {
    let selector = json!({"matchExpressions": [{"key": "app", "operator": "Resembles"}]});
    let policy = policy(json!({"podSelector": selector, "ingress": [{}]}));
    assert!(policy.subject.is_everything());
    assert_eq!((policy.ingress, policy.egress), (Some(vec![]), None));
    assert_eq!(policy.defects.len(), 1);
}

#[test]
fn a_defect_counts_also_where_the_direction_is_not_isolated() {
    let policy = policy(json!({"podSelector": {}, "policyTypes": ["Ingress"], "egress": [{"to": [{}]}]}));
    assert_eq!(policy.egress, None);
    assert_eq!(policy.defects[0].field, "spec.egress[0].to[0]");
}

#[test]
fn a_policy_too_large_to_be_published_isolates_and_allows_nothing() {
    let with_ports = |count: u16| {
        let ports: Vec<Value> = (1..=count).map(|port| json!({"port": port})).collect();
        policy(json!({"podSelector": {"matchLabels": {"role": "web"}}, "ingress": [{"ports": ports}]}))
    };
    let largest = with_ports(9_998);
    assert_eq!((largest.ingress.unwrap().len(), largest.defects.len()), (1, 0));
    let larger = with_ports(9_999);
    assert_eq!(larger.ingress, Some(vec![]));
    assert_eq!(larger.egress, None);
    assert_eq!(larger.subject.requirements().count(), 1);
    let defects: Vec<String> = larger.defects.iter().map(ToString::to_string).collect();
    assert_eq!(
        defects,
        ["spec: has 10001 entries, of which a policy may have no more than 10000"]
    );

    let values: Vec<String> = (0..10_001).map(|number| number.to_string()).collect();
    let expression = json!({"key": "role", "operator": "In", "values": values});
    let selecting = policy(json!({"podSelector": {"matchExpressions": [expression]}, "ingress": [{}]}));
    assert_eq!(selecting.ingress, Some(vec![]));
    assert!(selecting.subject.is_everything());
}

#[test]
fn names_of_ports_count_for_each_peer_that_they_are_resolved_on() {
    let with_names = |direction: &str, peers: &str, count: usize| {
        let names: Vec<Value> = (0..count)
            .map(|port| json!({"port": format!("p-{port}")}))
            .collect();
        let peer = |number: usize| json!({"podSelector": {"matchLabels": {"app": number.to_string()}}});
        let many: Vec<Value> = (0..100).map(peer).collect();
        policy(json!({"podSelector": {}, "policyTypes": [], direction: [{"ports": names, peers: many}]}))
    };
    assert_eq!(with_names("egress", "to", 90).defects, []);
    let larger = with_names("egress", "to", 100);
    assert_eq!(larger.egress, Some(vec![]));
    assert!(
        larger.defects[0].message.starts_with("has 10301 entries"),
        "{larger:?}"
    );
    assert_eq!(
        with_names("ingress", "from", 100).defects,
        [],
        "they are resolved on the pods that it selects"
    );
}

#[test]
fn of_many_defects_the_first_are_told() {
    let policy = policy(json!({"podSelector": {}, "ingress": [{"from": vec![json!({}); 100]}]}));
    assert_eq!(policy.defects.len(), 33);
    let last = policy.defects.last().unwrap().to_string();
    assert_eq!(last, "spec: 68 further defects are not told");
}

#[test]
fn long_texts_are_not_repeated_whole() {
    let (_, defects) = ingress(json!({"from": [{"ipBlock": {"cidr": "x".repeat(10_000)}}]}));
    assert!(defects[0].len() < 200, "{}", defects[0]);
}

#[test]
fn a_document_of_another_shape_isolates_what_it_selects_and_allows_nothing() {
    let broken = |spec: Value| {
        let document = json!({"metadata": {"namespace": "shop", "name": "web"}, "spec": spec});
        let defect = palisade_policy::model::Defect {
            field: "spec".to_owned(),
            message: "wrong".to_owned(),
        };
        let policy = decode::broken_policy(&document, defect);
        assert_eq!(policy.key.to_string(), "shop/web");
        assert!(!policy.defects.is_empty());
        let rules = policy.ingress.iter().chain(&policy.egress).flatten().count();
        assert_eq!(rules, 0);
        (
            policy.subject.to_string(),
            policy.ingress.is_some(),
            policy.egress.is_some(),
        )
    };
    let web = json!({"matchLabels": {"role": "web"}});
    let everybody = || "<all>".to_owned();
    assert_eq!(
        broken(json!({"podSelector": web, "ingress": [7]})),
        ("role=web".to_owned(), true, false)
    );
    assert_eq!(
        broken(json!({"podSelector": web, "egress": 7})),
        ("role=web".to_owned(), true, true)
    );
    assert_eq!(
        broken(json!({"podSelector": web, "policyTypes": ["Egress"], "egress": [{"to": 1}]})),
        ("role=web".to_owned(), false, true)
    );
    assert_eq!(
        broken(json!({"podSelector": 7, "policyTypes": ["Egress"]})),
        (everybody(), true, true)
    );
    assert_eq!(
        broken(json!({"podSelector": web, "policytypes": ["Egress"]})),
        (everybody(), true, true)
    );
    assert_eq!(broken(json!("?")), (everybody(), true, true));
}
