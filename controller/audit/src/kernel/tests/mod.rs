//! Documents written by hand, each with one thing in it that is not as it should be, or only looks so.

mod connections;
mod documents;
mod hooks;
mod values;

use palisade_policy::cluster::{ClusterState, Event};
use palisade_policy::model::Protocol;
use palisade_policy::testing::builders::{labels, namespace, node, pod, pods, policy, port, rule};
use serde_json::{Value, json};

use super::{NodeReport, NodeTables, Verifier, text};

/// Two pods on node a. The first may be asked by the second on one port, by nobody else.
fn state() -> ClusterState {
    let mut state = ClusterState::default();
    state.apply(Event::NodeApplied(node("a", &["192.0.2.1"])));
    state.apply(Event::NamespaceApplied(namespace("shop", &[])));
    for (name, address) in [("web", "10.0.0.1"), ("front", "10.0.0.2")] {
        let mut pod = pod(&format!("shop/{name}")).on("a").at(address);
        pod.uid = format!("u-{name}").as_str().into();
        pod.labels = labels(&[("app", name)]);
        state.apply(Event::PodApplied(pod));
    }
    let asked = rule([pods(&[("app", "front")])]).on_ports([port(Protocol::Tcp, 80)]);
    let web = policy("shop/web")
        .selecting(&[("app", "web")])
        .allowing_from([asked]);
    state.apply(Event::PolicyApplied(web));
    state
}

/// A field as people write it: `ip saddr`, `iifname`, `ct state`.
fn field(words: &str) -> Value {
    match words.split_once(' ') {
        Some(("ct", key)) => json!({ "ct": { "key": key } }),
        Some((protocol, field)) => json!({ "payload": { "protocol": protocol, "field": field } }),
        None => json!({ "meta": { "key": words } }),
    }
}

fn compare(words: &str, op: &str, right: impl Into<Value>) -> Value {
    json!({ "match": { "op": op, "left": field(words), "right": right.into() } })
}

fn is(words: &str, right: impl Into<Value>) -> Value {
    compare(words, "==", right)
}

fn concat(fields: &[&str]) -> Value {
    json!({ "concat": fields.iter().map(|words| field(words)).collect::<Vec<_>>() })
}

fn accept() -> Value {
    json!({ "accept": null })
}

fn drop() -> Value {
    json!({ "drop": null })
}

fn established(verdict: Value) -> Vec<Value> {
    vec![
        compare("ct state", "in", json!(["established", "related"])),
        verdict,
    ]
}

/// A document of node a, whose tables do what the API says until a test changes it.
struct Document {
    /// Tables, chains and sets, and the rules of all chains but the forward chain.
    objects: Vec<Value>,
    /// The rules of the forward chain.
    rules: Vec<Vec<Value>>,
    places: Vec<Value>,
    uplinks: Value,
}

fn place(uid: &str, interface: &str, bridge: Option<&str>, addresses: &[&str]) -> Value {
    json!({ "uid": uid, "interface": interface, "index": 3, "bridge": bridge, "addresses": addresses })
}

fn base(family: &str, name: &str, hook: &str, more: &Value) -> Value {
    let mut chain = json!({
        "family": family, "table": "palisade", "name": name, "type": "filter", "hook": hook, "prio": 0, "policy": "accept",
    });
    for (key, value) in more.as_object().unwrap() {
        chain[key] = value.clone();
    }
    json!({ "chain": chain })
}

fn chain(name: &str) -> Value {
    json!({ "chain": { "family": "inet", "table": "palisade", "name": name } })
}

fn in_chain(family: &str, chain: &str, expr: &[Value]) -> Value {
    json!({ "rule": { "family": family, "table": "palisade", "chain": chain, "expr": expr } })
}

impl Document {
    fn new() -> Self {
        let mut objects = vec![
            json!({ "table": { "family": "inet", "name": "palisade" } }),
            base("inet", "f", "forward", &json!({})),
            json!({ "table": { "family": "netdev", "name": "palisade" } }),
        ];
        let link_local = || is("ip6 saddr", json!({ "prefix": { "addr": "fe80::", "len": 10 } }));
        let routers = json!({ "set": ["nd-router-advert", "nd-redirect"] });
        for (veth, address) in [("veth1", "10.0.0.1"), ("veth2", "10.0.0.2")] {
            objects.push(base(
                "netdev",
                veth,
                "ingress",
                &json!({ "dev": veth, "policy": "drop" }),
            ));
            for expr in [
                vec![is("ip saddr", address), accept()],
                vec![is("arp saddr ip", address), accept()],
                vec![
                    link_local(),
                    is("l4proto", "ipv6-icmp"),
                    is("icmpv6 type", routers.clone()),
                    drop(),
                ],
                vec![link_local(), accept()],
            ] {
                objects.push(in_chain("netdev", veth, &expr));
            }
        }
        let (web, front) = ("10.0.0.1", "10.0.0.2");
        Self {
            objects,
            rules: vec![
                established(accept()),
                vec![is("ip saddr", web), is("ip daddr", web), accept()],
                vec![
                    is("ip saddr", front),
                    is("ip daddr", web),
                    is("tcp dport", 80),
                    accept(),
                ],
                vec![is("ip daddr", web), drop()],
            ],
            places: vec![
                place("u-web", "veth1", None, &["10.0.0.1"]),
                place("u-front", "veth2", None, &["10.0.0.2"]),
            ],
            uplinks: json!({}),
        }
    }

    /// The same with both pods on a bridge that is theirs alone, and nothing flooded.
    fn bridged() -> Self {
        let mut document = Self::new();
        document.places = vec![
            place("u-web", "veth1", Some("cni0"), &["10.0.0.1"]),
            place("u-front", "veth2", Some("cni0"), &["10.0.0.2"]),
        ];
        document.uplinks = json!({ "cni0": [] });
        document
            .objects
            .push(json!({ "table": { "family": "bridge", "name": "palisade" } }));
        let flooded = || is("pkttype", json!({ "set": ["multicast", "broadcast"] }));
        let discovery = json!({ "set": [{ "range": [130, 137] }, 143] });
        for (name, hook) in [("pre", "prerouting"), ("post", "postrouting")] {
            document
                .objects
                .push(base("bridge", name, hook, &json!({ "prio": -200 })));
            for expr in [
                vec![flooded(), is("protocol", "ip"), drop()],
                vec![
                    flooded(),
                    is("protocol", "ip6"),
                    is("icmpv6 type", discovery.clone()),
                    accept(),
                ],
                vec![flooded(), is("protocol", "ip6"), drop()],
            ] {
                document.objects.push(in_chain("bridge", name, &expr));
            }
        }
        document
    }

    /// With a rule before all others.
    fn first(mut self, rule: Vec<Value>) -> Self {
        self.rules.insert(0, rule);
        self
    }

    fn with(mut self, objects: impl IntoIterator<Item = Value>) -> Self {
        self.objects.extend(objects);
        self
    }

    fn json(&self) -> Value {
        let rules = self.rules.iter().map(|expr| in_chain("inet", "f", expr));
        let objects: Vec<Value> = self.objects.iter().cloned().chain(rules).collect();
        json!({
            "node": "a", "generation": 7, "tables": { "nftables": objects }, "places": self.places, "uplinks": self.uplinks,
        })
    }

    fn report(&self) -> NodeReport {
        report(&state(), &self.json())
    }
}

fn report(state: &ClusterState, document: &Value) -> NodeReport {
    let tables = NodeTables::parse(document.to_string().as_bytes()).unwrap();
    Verifier::new(state).verify(&"a".into(), &tables)
}

/// What is found in each document: all that are named, or nothing where none is.
fn check<'n>(cases: impl IntoIterator<Item = (&'n str, Document, &'n [&'n str])>) {
    for (name, document, expected) in cases {
        let told = text(&[document.report()]);
        let agrees = told.starts_with("node a: the kernel does what the API says");
        assert_eq!(agrees, expected.is_empty(), "{name}: {told}");
        for words in expected {
            assert!(told.contains(words), "{name}: no {words:?} in {told}");
        }
    }
}

#[test]
fn what_tests_begin_with_agrees() {
    check([
        ("routed", Document::new(), &[][..]),
        ("bridged", Document::bridged(), &[]),
    ]);
}
