//! The objects of a workload as the API knows them.

use palisade_policy::cluster::{ClusterState, Event};
use palisade_policy::model::{
    Labels, Namespace, NamespaceScope, Node, NodeName, Operator, Peer, Peers, Pod, PodKey, Policy,
    PolicyPort, PortMatch, Ports, Rule, Selector,
};
use serde_json::{Map, Value, json};

use super::Store;

/// Brings the store to an event. `before` is the cluster without it.
pub(crate) fn apply(store: &mut Store, event: &Event, before: &ClusterState) {
    match event {
        Event::PodApplied(pod) => {
            store.put("pods", place(&pod.key), of_pod(pod));
        }
        Event::PodDeleted(uid) => {
            if let Some(pod) = before.pods().get(uid) {
                store.delete("pods", &place(&pod.key));
            }
        }
        Event::NamespaceApplied(namespace) => {
            store.put(
                "namespaces",
                alone(namespace.name.as_str()),
                of_namespace(namespace),
            );
        }
        Event::NamespaceDeleted(name) => {
            store.delete("namespaces", &alone(name.as_str()));
        }
        Event::PolicyApplied(policy) => {
            let key = (policy.key.namespace.to_string(), policy.key.name.to_string());
            store.put("networkpolicies", key, of_policy(policy));
        }
        Event::PolicyDeleted(key) => {
            store.delete(
                "networkpolicies",
                &(key.namespace.to_string(), key.name.to_string()),
            );
        }
        Event::NodeApplied(node) => {
            store.put("nodes", alone(node.name.as_str()), of_node(node));
        }
        Event::NodeDeleted(name) => {
            store.delete("nodes", &alone(name.as_str()));
        }
    }
}

fn place(pod: &PodKey) -> (String, String) {
    (pod.namespace.to_string(), pod.name.to_string())
}

fn alone(name: &str) -> (String, String) {
    (String::new(), name.to_owned())
}

fn texts<'a, T: ToString + 'a>(values: impl IntoIterator<Item = &'a T>) -> Vec<String> {
    values.into_iter().map(ToString::to_string).collect()
}

fn labels(labels: &Labels) -> Value {
    let pairs = labels
        .iter()
        .map(|(key, value)| (key.to_string(), json!(&**value)));
    Value::Object(pairs.collect())
}

/// As the API knows it.
pub(crate) fn of_pod(pod: &Pod) -> Value {
    let ips: Vec<Value> = pod
        .addresses
        .iter()
        .map(|address| json!({ "ip": address.to_string() }))
        .collect();
    let ports: Vec<Value> = pod
        .ports
        .iter()
        .map(|port| {
            json!({
                "name": port.name.as_str(), "containerPort": port.number, "protocol": port.protocol.to_string(),
            })
        })
        .collect();
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {
            "name": &*pod.key.name, "namespace": pod.key.namespace.as_str(), "uid": pod.uid.as_str(),
            "labels": labels(&pod.labels), "creationTimestamp": "2026-01-01T00:00:00Z",
        },
        "spec": {
            "nodeName": pod.node.as_ref().map(NodeName::as_str),
            "containers": [{ "name": "app", "image": "registry.example/app:1", "ports": ports }],
        },
        "status": { "phase": "Running", "podIPs": ips },
    })
}

/// As the API knows it.
pub(crate) fn of_namespace(namespace: &Namespace) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Namespace",
        "metadata": { "name": namespace.name.as_str(), "labels": labels(&namespace.labels) },
    })
}

/// As the API knows it.
pub(crate) fn of_node(node: &Node) -> Value {
    let addresses = node.addresses.iter();
    let addresses: Vec<Value> = addresses
        .map(|address| json!({ "type": "InternalIP", "address": address.to_string() }))
        .collect();
    json!({
        "apiVersion": "v1", "kind": "Node",
        "metadata": { "name": node.name.as_str() },
        "spec": { "podCIDRs": texts(&node.pod_networks) },
        "status": { "addresses": addresses },
    })
}

/// As the API knows it.
pub(crate) fn of_policy(policy: &Policy) -> Value {
    let types = [("Ingress", &policy.ingress), ("Egress", &policy.egress)];
    let types: Vec<&str> = types
        .iter()
        .filter(|(_, rules)| rules.is_some())
        .map(|(name, _)| *name)
        .collect();
    let mut spec = Map::new();
    spec.insert("podSelector".to_owned(), selector(&policy.subject));
    spec.insert("policyTypes".to_owned(), json!(types));
    for (field, peers, rules) in [
        ("ingress", "from", &policy.ingress),
        ("egress", "to", &policy.egress),
    ] {
        if let Some(rules) = rules {
            let rules = rules.iter().map(|one| rule(one, peers));
            spec.insert(field.to_owned(), rules.collect());
        }
    }
    json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
        "metadata": { "name": &*policy.key.name, "namespace": policy.key.namespace.as_str() },
        "spec": spec,
    })
}

fn rule(rule: &Rule, peers_field: &str) -> Value {
    let mut object = Map::new();
    if let Peers::AnyOf(peers) = &rule.peers {
        object.insert(peers_field.to_owned(), peers.iter().map(peer).collect());
    }
    if let Ports::AnyOf(ports) = &rule.ports {
        object.insert("ports".to_owned(), ports.iter().map(port).collect());
    }
    Value::Object(object)
}

fn peer(peer: &Peer) -> Value {
    match peer {
        Peer::Block(block) => {
            json!({ "ipBlock": { "cidr": block.cidr().to_string(), "except": texts(block.except()) } })
        }
        Peer::Pods(pods) => {
            let mut object = Map::new();
            object.insert("podSelector".to_owned(), selector(&pods.pods));
            if let NamespaceScope::Matching(scope) = &pods.namespaces {
                object.insert("namespaceSelector".to_owned(), selector(scope));
            }
            Value::Object(object)
        }
    }
}

fn port(port: &PolicyPort) -> Value {
    let protocol = port.protocol.to_string();
    match &port.port {
        PortMatch::Any => json!({ "protocol": protocol }),
        PortMatch::Named(name) => json!({ "protocol": protocol, "port": name.as_str() }),
        PortMatch::Range(range) if range.first() == range.last() => {
            json!({ "protocol": protocol, "port": range.first() })
        }
        PortMatch::Range(range) => {
            json!({ "protocol": protocol, "port": range.first(), "endPort": range.last() })
        }
    }
}

fn selector(selector: &Selector) -> Value {
    let expressions = selector.requirements().map(|requirement| {
        let (operator, values) = match &requirement.operator {
            Operator::In(values) => ("In", Some(values)),
            Operator::NotIn(values) => ("NotIn", Some(values)),
            Operator::Exists => ("Exists", None),
            Operator::DoesNotExist => ("DoesNotExist", None),
        };
        let values: Option<Vec<&str>> = values.map(|values| values.iter().map(AsRef::as_ref).collect());
        json!({ "key": &*requirement.key, "operator": operator, "values": values })
    });
    json!({ "matchExpressions": expressions.collect::<Vec<_>>() })
}
