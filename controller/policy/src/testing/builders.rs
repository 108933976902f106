//! Short ways to write objects down. They panic on nonsense: tests only.
#![expect(
    clippy::expect_used,
    clippy::missing_panics_doc,
    reason = "a test that is written wrong should stop at once"
)]

use std::net::IpAddr;

use ipnet::IpNet;

use crate::model::{
    ContainerPort, IpBlock, Labels, Namespace, NamespaceName, NamespaceScope, Node, NodeName, Peer, Peers,
    Pod, PodKey, PodPeer, Policy, PolicyKey, PolicyPort, PortMatch, PortRange, Ports, Protocol, Requirement,
    Rule, Selector,
};

/// Labels from pairs.
pub fn labels(pairs: &[(&str, &str)]) -> Labels {
    pairs.iter().copied().collect()
}

/// A selector with an equality for each pair.
pub fn selector(pairs: &[(&str, &str)]) -> Selector {
    pairs
        .iter()
        .map(|(key, value)| Requirement::equals(*key, *value))
        .collect()
}

/// A running pod `namespace/name` whose UID is its key.
pub fn pod(key: &str) -> Pod {
    Pod {
        uid: key.into(),
        key: PodKey::parse(key).expect("namespace/name"),
        labels: Labels::default(),
        node: Some("a".into()),
        addresses: Vec::new(),
        ports: Vec::new(),
        host_network: false,
        finished: false,
        created: 0,
    }
}

impl Pod {
    /// On another node than `a`.
    #[must_use]
    pub fn on(mut self, node: impl Into<NodeName>) -> Self {
        self.node = Some(node.into());
        self
    }

    /// With these labels.
    #[must_use]
    pub fn labelled(mut self, pairs: &[(&str, &str)]) -> Self {
        self.labels = labels(pairs);
        self
    }

    /// With one more address.
    #[must_use]
    pub fn at(mut self, address: &str) -> Self {
        self.addresses
            .push(address.parse::<IpAddr>().expect("an address"));
        self
    }

    /// With one more named port.
    #[must_use]
    pub fn declaring(mut self, name: &str, protocol: Protocol, number: u16) -> Self {
        self.ports.push(ContainerPort {
            name: name.to_owned().into(),
            protocol,
            number,
        });
        self
    }
}

/// A namespace with labels beside its name's.
pub fn namespace(name: &str, pairs: &[(&str, &str)]) -> Namespace {
    let mut labels = labels(pairs);
    labels.insert("kubernetes.io/metadata.name", name);
    Namespace {
        name: NamespaceName::from(name),
        labels,
    }
}

/// A node with addresses and no pod networks.
pub fn node(name: &str, addresses: &[&str]) -> Node {
    let addresses = addresses
        .iter()
        .map(|address| address.parse().expect("an address"))
        .collect();
    Node {
        name: name.to_owned().into(),
        addresses,
        pod_networks: Vec::new(),
    }
}

/// A policy that selects every pod of its namespace and isolates nothing yet.
pub fn policy(key: &str) -> Policy {
    Policy {
        key: PolicyKey::parse(key).expect("namespace/name"),
        subject: Selector::everything(),
        ingress: None,
        egress: None,
        defects: Vec::new(),
    }
}

impl Policy {
    /// For pods with these labels only.
    #[must_use]
    pub fn selecting(mut self, pairs: &[(&str, &str)]) -> Self {
        self.subject = selector(pairs);
        self
    }

    /// Isolating for ingress, with one more rule for each.
    #[must_use]
    pub fn allowing_from(mut self, rules: impl IntoIterator<Item = Rule>) -> Self {
        self.ingress.get_or_insert_default().extend(rules);
        self
    }

    /// Isolating for egress, with one more rule for each.
    #[must_use]
    pub fn allowing_to(mut self, rules: impl IntoIterator<Item = Rule>) -> Self {
        self.egress.get_or_insert_default().extend(rules);
        self
    }
}

/// A rule for some peers on all ports.
pub fn rule(peers: impl IntoIterator<Item = Peer>) -> Rule {
    Rule {
        peers: Peers::AnyOf(peers.into_iter().collect()),
        ports: Ports::All,
    }
}

/// A rule for everybody on all ports.
pub fn everybody() -> Rule {
    Rule {
        peers: Peers::All,
        ports: Ports::All,
    }
}

impl Rule {
    /// On these ports only.
    #[must_use]
    pub fn on_ports(mut self, ports: impl IntoIterator<Item = PolicyPort>) -> Self {
        self.ports = Ports::AnyOf(ports.into_iter().collect());
        self
    }
}

/// Pods of the policy's own namespace.
pub fn pods(pairs: &[(&str, &str)]) -> Peer {
    Peer::Pods(PodPeer {
        namespaces: NamespaceScope::Own,
        pods: selector(pairs),
    })
}

/// Pods of namespaces by label.
pub fn pods_in(namespaces: &[(&str, &str)], pairs: &[(&str, &str)]) -> Peer {
    Peer::Pods(PodPeer {
        namespaces: NamespaceScope::Matching(selector(namespaces)),
        pods: selector(pairs),
    })
}

/// An address block.
pub fn block(cidr: &str, except: &[&str]) -> Peer {
    let net = |text: &str| text.parse::<IpNet>().expect("a CIDR");
    Peer::Block(
        IpBlock::new(net(cidr), except.iter().map(|except| net(except))).expect("excepts within the block"),
    )
}

/// One port.
pub fn port(protocol: Protocol, number: u16) -> PolicyPort {
    ports(protocol, number, number)
}

/// A range of ports.
pub fn ports(protocol: Protocol, first: u16, last: u16) -> PolicyPort {
    PolicyPort {
        protocol,
        port: PortMatch::Range(PortRange::new(first, last).expect("a port range")),
    }
}

/// Every port of a protocol.
pub fn any_port(protocol: Protocol) -> PolicyPort {
    PolicyPort {
        protocol,
        port: PortMatch::Any,
    }
}

/// A port by name.
pub fn named_port(protocol: Protocol, name: &str) -> PolicyPort {
    PolicyPort {
        protocol,
        port: PortMatch::Named(name.to_owned().into()),
    }
}
