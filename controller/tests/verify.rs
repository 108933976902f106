//! `policy-audit verify` on files. The tables are written by hand, in a form that the enforcer would never choose: what they
//! mean is what counts.

#![expect(clippy::unwrap_used, reason = "what a test made it may rely on")]

mod common;

use common::{Workshop, palisade, palisade_reading};
use palisade_controller::cli::Exit;
use serde_json::{Value, json};

const CLUSTER: &str = r"
apiVersion: v1
kind: Node
metadata: {name: a}
status: {addresses: [{type: InternalIP, address: 192.0.2.1}]}
---
apiVersion: v1
kind: Namespace
metadata: {name: shop}
---
apiVersion: v1
kind: Pod
metadata: {name: web, namespace: shop, uid: u-web, labels: {app: web}}
spec: {nodeName: a, containers: [{name: c, image: i}]}
status: {phase: Running, podIP: 10.0.0.1, podIPs: [{ip: 10.0.0.1}]}
---
apiVersion: v1
kind: Pod
metadata: {name: front, namespace: shop, uid: u-front, labels: {app: front}}
spec: {nodeName: a, containers: [{name: c, image: i}]}
status: {phase: Running, podIP: 10.0.0.2, podIPs: [{ip: 10.0.0.2}]}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: web, namespace: shop}
spec:
  podSelector: {matchLabels: {app: web}}
  policyTypes: [Ingress]
  ingress:
  - from: [{podSelector: {matchLabels: {app: front}}}]
    ports: [{port: 80}]
";

fn address(side: &str, address: &str) -> Value {
    let left = json!({ "payload": { "protocol": "ip", "field": side } });
    json!({ "match": { "op": "==", "left": left, "right": address } })
}

fn port(number: u16) -> Value {
    let left = json!({ "payload": { "protocol": "tcp", "field": "dport" } });
    json!({ "match": { "op": "==", "left": left, "right": number } })
}

/// The document of node `a`, whose forward chain has these rules.
fn document(rules: &[Value]) -> String {
    let mut objects = vec![
        json!({ "table": { "family": "inet", "name": "palisade" } }),
        json!({ "chain": { "family": "inet", "table": "palisade", "name": "f", "type": "filter", "hook": "forward",
                           "prio": 0, "policy": "accept" } }),
        json!({ "table": { "family": "netdev", "name": "palisade" } }),
    ];
    for (device, own) in [("veth1", "10.0.0.1"), ("veth2", "10.0.0.2")] {
        objects.push(
            json!({ "chain": { "family": "netdev", "table": "palisade", "name": device, "type": "filter",
                                        "hook": "ingress", "dev": device, "prio": 0, "policy": "drop" } }),
        );
        let arp = json!({ "payload": { "protocol": "arp", "field": "saddr ip" } });
        let arp = json!({ "match": { "op": "==", "left": arp, "right": own } });
        for condition in [address("saddr", own), arp] {
            let expr = json!([condition, { "accept": null }]);
            objects.push(
                json!({ "rule": { "family": "netdev", "table": "palisade", "chain": device, "expr": expr } }),
            );
        }
    }
    for (rule, handle) in rules.iter().zip(10..) {
        let rule =
            json!({ "family": "inet", "table": "palisade", "chain": "f", "handle": handle, "expr": rule });
        objects.push(json!({ "rule": rule }));
    }
    let place = |uid: &str, interface: &str, address: &str| json!({ "uid": uid, "interface": interface, "index": 3, "bridge": null, "addresses": [address] });
    let places = [
        place("u-web", "veth1", "10.0.0.1"),
        place("u-front", "veth2", "10.0.0.2"),
    ];
    json!({ "node": "a", "generation": 7, "tables": { "nftables": objects }, "places": places }).to_string()
}

fn rules() -> Vec<Value> {
    let established =
        json!({ "op": "in", "left": { "ct": { "key": "state" } }, "right": ["established", "related"] });
    vec![
        json!([{ "match": established }, { "accept": null }]),
        json!([address("saddr", "10.0.0.1"), address("daddr", "10.0.0.1"), { "accept": null }]),
        json!([address("saddr", "10.0.0.2"), address("daddr", "10.0.0.1"), port(80), { "accept": null }]),
        json!([address("daddr", "10.0.0.1"), { "counter": { "packets": 3, "bytes": 180 } }, { "drop": null }]),
    ]
}

fn verify(document: &str, more: &[&str]) -> common::Run {
    let workshop = Workshop::new();
    workshop.write("cluster.yaml", CLUSTER);
    let manifests = workshop.path("cluster.yaml");
    let mut arguments = vec![
        "policy-audit",
        "verify",
        "-f",
        manifests.to_str().unwrap(),
        "--tables",
        "-",
    ];
    arguments.extend(more);
    palisade_reading(&arguments, document.as_bytes())
}

#[test]
fn tables_of_any_form_agree_if_they_mean_what_the_api_says() {
    let run = verify(&document(&rules()), &[]);
    assert_eq!(
        (run.exit, run.output.as_str()),
        (
            Exit::Success,
            "node a: the kernel does what the API says, for 2 pods\n"
        ),
        "{}",
        run.errors
    );
    assert!(run.errors.contains("0 findings"), "{}", run.errors);
}

/// A rule for single flows: who sends them, from which port, to whom, to which.
fn flows(verdict: &str) -> Value {
    let field = |protocol: &str, field: &str| json!({ "payload": { "protocol": protocol, "field": field } });
    let key = [
        field("ip", "saddr"),
        field("th", "sport"),
        field("ip", "daddr"),
        field("th", "dport"),
        json!({ "meta": { "key": "l4proto" } }),
    ];
    let flow = json!({ "concat": ["10.0.0.2", 40_000, "10.0.0.1", 80, "tcp"] });
    let matched = json!({ "op": "==", "left": { "concat": key }, "right": { "set": [flow] } });
    json!([{ "match": matched }, { verdict: null }])
}

#[test]
fn flows_that_were_ended_are_told_and_no_difference() {
    let mut ended = rules();
    ended.insert(0, flows("drop"));
    let run = verify(&document(&ended), &[]);
    assert_eq!(run.exit, Exit::Success, "{}{}", run.output, run.errors);
    assert!(
        run.errors
            .contains("1 flows with single source ports are dropped"),
        "{}",
        run.errors
    );

    // Whoever sends chooses the port: letting one pass lets anybody in who knows it.
    ended[0] = flows("accept");
    let run = verify(&document(&ended), &[]);
    assert_eq!(run.exit, Exit::Negative);
    assert!(
        run.output.contains("the verdict depends on the source port"),
        "{}",
        run.output
    );
}

#[test]
fn a_difference_comes_with_packet_rule_and_policy() {
    let mut changed = rules();
    changed[2] =
        json!([address("saddr", "10.0.0.2"), address("daddr", "10.0.0.1"), port(81), { "accept": null }]);
    let run = verify(&document(&changed), &[]);
    assert_eq!(run.exit, Exit::Negative, "{}", run.errors);
    insta::assert_snapshot!(run.output);

    let run = verify(&document(&changed), &["-o", "json"]);
    let report: Value = serde_json::from_str(&run.output).unwrap();
    let findings = report["nodes"][0]["findings"].as_array().unwrap();
    let verdicts: Vec<_> = findings
        .iter()
        .map(|finding| (&finding["kernel"], &finding["transports"]))
        .collect();
    assert_eq!(
        verdicts,
        [
            (&json!("allow"), &json!("81/TCP")),
            (&json!("deny"), &json!("80/TCP"))
        ]
    );
    assert_eq!(findings[0]["policies"], json!(["shop/web"]));
    assert_eq!(findings[0]["rules"][0]["handle"], json!(12));
}

#[test]
fn a_rule_that_is_not_understood_is_told_and_never_guessed() {
    let mut changed = rules();
    changed.insert(1, json!([{ "xt": null }, { "accept": null }]));
    let run = verify(&document(&changed), &[]);
    assert_eq!(run.exit, Exit::Negative, "{}", run.errors);
    assert!(
        run.output.contains("it cannot be said what the kernel does"),
        "{}",
        run.output
    );
    assert!(
        run.output.contains("the statement xt is not known"),
        "{}",
        run.output
    );
}

#[test]
fn a_connection_whose_replies_are_dropped_is_no_connection() {
    let run = verify(&document(&rules()[1..]), &["-o", "json"]);
    assert_eq!(run.exit, Exit::Negative, "{}", run.errors);
    let report: Value = serde_json::from_str(&run.output).unwrap();
    let found = &report["nodes"][0]["findings"][0];
    let facts = ["kind", "packets", "kernel", "judged"].map(|field| &found[field]);
    assert_eq!(
        facts,
        ["lost", "replies", "deny", "egress"]
            .map(|word| json!(word))
            .each_ref()
    );
    assert_eq!(found["rules"][0]["handle"], json!(12));
}

#[test]
fn what_is_no_document_is_a_failure_that_says_so() {
    for (document, more, said) in [
        (
            "{",
            &[][..],
            "neither a document of palisade-enforcer nor a listing",
        ),
        (
            r#"{"nftables": []}"#,
            &[],
            "it does not say whose tables these are",
        ),
        (r#"{"nftables": []}"#, &["--node", "z"], "the API has no node z"),
    ] {
        let run = verify(document, more);
        assert_eq!(run.exit, Exit::Failure);
        assert!(run.errors.contains(said), "{}", run.errors);
    }
    let workshop = Workshop::new();
    workshop.write("cluster.yaml", CLUSTER);
    let manifests = workshop.path("cluster.yaml");
    let run = palisade(&["policy-audit", "verify", "-f", manifests.to_str().unwrap()]);
    assert_eq!(run.exit, Exit::Failure);
    assert!(run.errors.contains("where are the tables?"), "{}", run.errors);
}
