//! Random clusters and random histories, small enough that things collide: few names, few labels, few addresses, few
//! ports, so that selectors match, addresses are reused, ranges overlap and a policy is edited rather than added.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};

use super::builders;
use crate::cluster::Event;
use crate::model::{
    ContainerPort, IpBlock, Labels, NamespaceScope, Operator, Packet, Peer, Peers, Pod, PodKey, PodPeer,
    Policy, PolicyKey, PolicyPort, PortMatch, PortRange, Ports, Protocol, Requirement, Rule, Selector,
    Transport,
};

const NAMESPACES: [&str; 3] = ["shop", "bank", "lab"];
const NODES: [&str; 3] = ["a", "b", "c"];
const KEYS: [&str; 3] = ["app", "tier", "env"];
const VALUES: [&str; 3] = ["x", "y", "z"];
const PORT_NAMES: [&str; 2] = ["http", "dns"];
const PORTS: [u16; 6] = [53, 79, 80, 81, 8080, 65535];

/// The address of pod number `number`, in both families.
pub fn pod_addresses(number: u8) -> [IpAddr; 2] {
    let suffix = u16::from(number);
    [
        Ipv4Addr::new(10, 0, number / 16, number % 16).into(),
        Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, suffix / 16, suffix % 16).into(),
    ]
}

/// The addresses of a node.
pub fn node_addresses(node: &str) -> [IpAddr; 2] {
    let number = node.bytes().next().unwrap_or_default();
    [
        Ipv4Addr::new(192, 168, 0, number).into(),
        Ipv6Addr::new(0xfd01, 0, 0, 0, 0, 0, 0, u16::from(number)).into(),
    ]
}

/// Some labels.
pub fn labels() -> impl Strategy<Value = Labels> {
    vec((select(&KEYS[..]), select(&VALUES[..])), 0..3).prop_map(|pairs| pairs.into_iter().collect())
}

/// A selector: often everything, rarely contradictory.
pub fn selector() -> impl Strategy<Value = Selector> {
    let values = || {
        let values = vec(select(&VALUES[..]), 1..3);
        values.prop_map(|values| values.into_iter().map(Into::into).collect())
    };
    let operator = prop_oneof![
        4 => values().prop_map(Operator::In),
        2 => values().prop_map(Operator::NotIn),
        1 => Just(Operator::Exists),
        1 => Just(Operator::DoesNotExist),
    ];
    let requirement = (select(&KEYS[..]), operator).prop_map(|(key, operator)| Requirement {
        key: key.into(),
        operator,
    });
    vec(requirement, 0..3).prop_map(|requirements| requirements.into_iter().collect())
}

/// A block around pods, nodes or the whole family, with excepts that cut into it.
pub fn ip_block() -> impl Strategy<Value = IpBlock> {
    ip_block_around(known_addresses())
}

/// The addresses of all pods and nodes that these strategies make.
fn known_addresses() -> Vec<IpAddr> {
    (0..28)
        .flat_map(pod_addresses)
        .chain(NODES.into_iter().flat_map(node_addresses))
        .collect()
}

/// A block around one of `addresses`, with excepts around others.
pub fn ip_block_around(addresses: Vec<IpAddr>) -> impl Strategy<Value = IpBlock> {
    let except = (select(addresses.clone()), 0_u8..=12);
    (select(addresses), 0_u8..=40, vec(except, 0..4)).prop_filter_map(
        "a block",
        |(address, width, excepts)| {
            let around = |address: IpAddr, width| {
                let longest: u8 = if address.is_ipv4() { 32 } else { 128 };
                IpNet::new(address, longest.saturating_sub(width)).ok()
            };
            let cidr = around(address, width)?.trunc();
            let excepts = excepts
                .into_iter()
                .filter_map(|(address, width)| around(address, width));
            IpBlock::new(cidr, excepts.filter(|except| cidr.contains(except))).ok()
        },
    )
}

fn peer(addresses: Vec<IpAddr>) -> impl Strategy<Value = Peer> {
    let scope = option::of(selector())
        .prop_map(|selector| selector.map_or(NamespaceScope::Own, NamespaceScope::Matching));
    prop_oneof![
        3 => (scope, selector()).prop_map(|(namespaces, pods)| Peer::Pods(PodPeer { namespaces, pods })),
        2 => ip_block_around(addresses).prop_map(Peer::Block),
    ]
}

fn protocol() -> impl Strategy<Value = Protocol> {
    select(&Protocol::ALL[..])
}

fn policy_port() -> impl Strategy<Value = PolicyPort> {
    let range = (select(&PORTS[..]), select(&PORTS[..])).prop_filter_map("a range", |(first, last)| {
        PortRange::new(first.min(last), first.max(last)).ok()
    });
    let port = prop_oneof![
        1 => Just(PortMatch::Any),
        3 => range.prop_map(PortMatch::Range),
        2 => select(&PORT_NAMES[..]).prop_map(|name| PortMatch::Named(name.into())),
    ];
    (protocol(), port).prop_map(|(protocol, port)| PolicyPort { protocol, port })
}

/// A rule. One with peers or ports of which none is left is possible and allows nothing.
fn rule(addresses: Vec<IpAddr>) -> impl Strategy<Value = Rule> {
    let peers = prop_oneof![1 => Just(Peers::All), 4 => vec(peer(addresses), 0..4).prop_map(Peers::AnyOf)];
    let ports = prop_oneof![1 => Just(Ports::All), 2 => vec(policy_port(), 0..4).prop_map(Ports::AnyOf)];
    (peers, ports).prop_map(|(peers, ports)| Rule { peers, ports })
}

/// A policy under one of a few names.
pub fn policy() -> impl Strategy<Value = Policy> {
    policy_around(&known_addresses())
}

/// A policy under one of a few names, whose blocks are around `addresses`.
pub fn policy_around(addresses: &[IpAddr]) -> impl Strategy<Value = Policy> + use<> {
    let rules = || option::weighted(0.6, vec(rule(addresses.to_vec()), 0..3));
    (select(&NAMESPACES[..]), 0..4, selector(), rules(), rules()).prop_map(
        |(namespace, name, subject, ingress, egress)| Policy {
            key: PolicyKey::new(namespace, format!("policy-{name}")),
            subject,
            ingress,
            egress,
            defects: Vec::new(),
        },
    )
}

/// A pod under one of a few UIDs, with addresses that another may have had, or still has.
pub fn pod() -> impl Strategy<Value = Pod> {
    let port =
        (select(&PORT_NAMES[..]), protocol(), select(&PORTS[..])).prop_map(|(name, protocol, number)| {
            ContainerPort {
                name: name.into(),
                protocol,
                number,
            }
        });
    let flags = (
        prop::bool::weighted(0.1),
        prop::bool::weighted(0.1),
        prop::bool::weighted(0.1),
    );
    let network = (0_u8..24, subsequence(vec![0_usize, 1], 0..=2));
    (
        0_u8..24,
        select(&NAMESPACES[..]),
        labels(),
        select(&NODES[..]),
        network,
        vec(port, 0..3),
        flags,
        0_i64..3,
    )
        .prop_map(
            |(
                number,
                namespace,
                labels,
                node,
                (address, families),
                ports,
                (host_network, finished, unscheduled),
                created,
            )| {
                let addresses = pod_addresses(address);
                let addresses: Vec<IpAddr> = families
                    .into_iter()
                    .filter_map(|family| addresses.get(family).copied())
                    .collect();
                Pod {
                    uid: format!("uid-{number}").into(),
                    key: PodKey::new(namespace, format!("pod-{number}")),
                    labels,
                    node: (!unscheduled).then(|| node.into()),
                    addresses: if unscheduled { Vec::new() } else { addresses },
                    ports,
                    host_network,
                    finished,
                    created,
                }
            },
        )
}

/// One event of any kind; deletions may name what was never there.
pub fn event() -> impl Strategy<Value = Event> {
    let namespace = (
        select(&NAMESPACES[..]),
        vec((select(&KEYS[..]), select(&VALUES[..])), 0..3),
    );
    let node = (select(&NODES[..]), vec(any::<u8>(), 0..2)).prop_map(|(name, networks)| {
        let mut node = builders::node(name, &[]);
        node.addresses = node_addresses(name).to_vec();
        node.pod_networks = networks
            .into_iter()
            .filter_map(|number| IpNet::new(pod_addresses(number)[0], 28).ok())
            .collect();
        node
    });
    prop_oneof![
        8 => pod().prop_map(Event::PodApplied),
        2 => pod().prop_map(|pod| Event::PodDeleted(pod.uid)),
        2 => namespace.prop_map(|(name, labels)| Event::NamespaceApplied(builders::namespace(name, &labels))),
        1 => select(&NAMESPACES[..]).prop_map(|name| Event::NamespaceDeleted(name.into())),
        6 => policy().prop_map(Event::PolicyApplied),
        2 => policy().prop_map(|policy| Event::PolicyDeleted(policy.key)),
        1 => node.prop_map(Event::NodeApplied),
        1 => select(&NODES[..]).prop_map(|name| Event::NodeDeleted(name.into())),
    ]
}

/// A history of up to `length` events, some of them repeated at once, as watches do.
pub fn history(length: usize) -> impl Strategy<Value = Vec<Event>> {
    vec((event(), prop::bool::weighted(0.1)), 0..length).prop_map(|events| {
        events
            .into_iter()
            .flat_map(|(event, twice)| std::iter::repeat_n(event, if twice { 2 } else { 1 }))
            .collect()
    })
}

/// A packet between addresses that pods, nodes and strangers have.
pub fn packet() -> impl Strategy<Value = Packet> {
    let side = || {
        prop_oneof![
            12 => (0_u8..28).prop_map(pod_addresses),
            1 => select(&NODES[..]).prop_map(node_addresses),
        ]
    };
    let transport = prop_oneof![
        6 => (protocol(), select(&PORTS[..])).prop_map(|(protocol, port)| Transport::Port(protocol, port)),
        1 => select(&[1_u8, 58, 253][..]).prop_map(Transport::Other),
    ];
    (side(), side(), 0_usize..2, transport).prop_filter_map(
        "one family",
        |(source, destination, family, transport)| {
            Some(Packet {
                source: *source.get(family)?,
                destination: *destination.get(family)?,
                transport,
            })
        },
    )
}
