//! Random documents' contents: whatever the core's types can say, and not only what is ever compiled.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use ipnet::IpNet;
use palisade_policy::model::{
    Defect, Direction, IpBlock, NamespaceName, NodeName, Operator, PodKey, PodUid, PolicyKey, PortRange,
    Protocol, Requirement, Selector, Sorted,
};
use palisade_policy::rules::{
    CompiledPeers, CompiledPolicy, CompiledPort, CompiledPorts, CompiledRule, GroupId, Member, NamedPort,
    NamedPorts, NodeHead, PodSlice, PolicyRules, PolicySlice, Resident, Slice, SliceId,
};
use proptest::collection::{btree_map, btree_set, vec};
use proptest::prelude::*;
use proptest::sample::{Index, select};

use super::group_spec;

fn group_id() -> impl Strategy<Value = GroupId> {
    (name(), name()).prop_map(|(namespace, role)| group_spec(&namespace, &role).id())
}

fn name() -> impl Strategy<Value = String> {
    "[a-z]([a-z0-9-]{0,10}[a-z0-9])?"
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof![name(), any::<String>()]
}

fn address() -> impl Strategy<Value = IpAddr> {
    prop_oneof![
        any::<u32>().prop_map(|bits| IpAddr::from(Ipv4Addr::from_bits(bits))),
        any::<u128>().prop_map(|bits| IpAddr::from(Ipv6Addr::from_bits(bits))),
    ]
}

fn network() -> impl Strategy<Value = IpNet> {
    (address(), any::<Index>()).prop_map(|(address, length)| {
        let longest = if address.is_ipv4() { 33 } else { 129 };
        IpNet::new(address, u8::try_from(length.index(longest)).unwrap())
            .unwrap()
            .trunc()
    })
}

fn block() -> impl Strategy<Value = IpBlock> {
    (network(), vec((address(), any::<Index>()), 0..3)).prop_map(|(cidr, inside)| {
        let except = inside.into_iter().filter_map(|(address, length)| {
            let more = usize::from(cidr.max_prefix_len() - cidr.prefix_len());
            let length = cidr.prefix_len() + u8::try_from(length.index(more + 1)).unwrap();
            let host = match (cidr, address) {
                (IpNet::V4(net), IpAddr::V4(host)) => IpAddr::from(net.network() | (host & net.hostmask())),
                (IpNet::V6(net), IpAddr::V6(host)) => IpAddr::from(net.network() | (host & net.hostmask())),
                _ => return None,
            };
            IpNet::new(host, length).ok()
        });
        IpBlock::new(cidr, except.collect::<Vec<_>>()).unwrap()
    })
}

fn protocol() -> impl Strategy<Value = Protocol> {
    select(&Protocol::ALL[..])
}

fn range() -> impl Strategy<Value = PortRange> {
    (1..=u16::MAX)
        .prop_flat_map(|first| (Just(first), first..=u16::MAX))
        .prop_map(|(first, last)| PortRange::new(first, last).unwrap())
}

fn named_port() -> impl Strategy<Value = NamedPort> {
    (name(), protocol()).prop_map(|(name, protocol)| NamedPort {
        name: name.into(),
        protocol,
    })
}

fn slice_id() -> impl Strategy<Value = SliceId> {
    "s[01]{0,32}".prop_map(|text| SliceId::parse(&text).unwrap())
}

/// A selector with any operator, whose keys often repeat.
fn selector() -> impl Strategy<Value = Selector> {
    let key = prop_oneof![
        2 => select(&["app", "tier"][..]).prop_map(str::to_owned),
        1 => text().prop_filter("a key", |key| !key.is_empty()),
    ];
    let values = || {
        let values = vec(text(), 1..3);
        values.prop_map(|values| values.into_iter().map(Into::into).collect())
    };
    let operator = prop_oneof![
        4 => values().prop_map(Operator::In),
        2 => values().prop_map(Operator::NotIn),
        1 => Just(Operator::Exists),
        1 => Just(Operator::DoesNotExist),
    ];
    let requirement = (key, operator).prop_map(|(key, operator)| Requirement {
        key: key.into(),
        operator,
    });
    vec(requirement, 0..6).prop_map(|requirements| requirements.into_iter().collect())
}

/// A rule of one direction.
fn rule(direction: Direction) -> BoxedStrategy<CompiledRule> {
    let some_groups = || btree_set(group_id(), 0..3);
    let peers = prop_oneof![
        Just(CompiledPeers::All),
        (some_groups(), btree_set(block(), 0..3)).prop_map(|(groups, blocks)| CompiledPeers::AnyOf {
            groups: groups.into_iter().collect(),
            blocks: blocks.into_iter().collect(),
        }),
    ];
    let port = prop_oneof![
        protocol().prop_map(CompiledPort::Protocol),
        (protocol(), range()).prop_map(|(protocol, range)| CompiledPort::Range(protocol, range)),
    ];
    let port = match direction {
        Direction::Ingress => prop_oneof![2 => port, 1 => named_port().prop_map(CompiledPort::Named)].boxed(),
        Direction::Egress => port.boxed(),
    };
    let ports = prop_oneof![
        Just(CompiledPorts::All),
        btree_set(port, 0..4).prop_map(|ports| CompiledPorts::AnyOf(ports.into_iter().collect()))
    ];
    let plain =
        (0..50_usize, peers, ports).prop_map(|(index, peers, ports)| CompiledRule { index, peers, ports });
    let of_members =
        (0..50_usize, some_groups(), protocol()).prop_map(|(index, groups, protocol)| CompiledRule {
            index,
            peers: CompiledPeers::AnyOf {
                groups: groups.into_iter().collect(),
                blocks: Sorted::default(),
            },
            ports: CompiledPorts::OfMembers(protocol),
        });
    match direction {
        Direction::Ingress => plain.boxed(),
        Direction::Egress => prop_oneof![3 => plain, 1 => of_members].boxed(),
    }
}

fn compiled_policy() -> impl Strategy<Value = CompiledPolicy> {
    let rules = |direction| prop::option::of(vec(rule(direction), 0..3));
    let defect = (text(), text()).prop_map(|(field, message)| Defect { field, message });
    (
        selector(),
        rules(Direction::Ingress),
        rules(Direction::Egress),
        vec(defect, 0..2),
    )
        .prop_map(|(subject, ingress, egress, defects)| CompiledPolicy {
            subject,
            rules: PolicyRules {
                ingress,
                egress,
                defects,
            },
        })
}

fn resident() -> impl Strategy<Value = (PodUid, Arc<Resident>)> {
    let some_numbers =
        btree_set(1..=u16::MAX, 0..3).prop_map(|numbers| numbers.into_iter().collect::<Sorted<u16>>());
    let numbers = btree_map(named_port(), some_numbers, 0..3);
    let labels = vec((text(), text()), 0..3);
    (
        name(),
        name(),
        name(),
        btree_set(address(), 0..3),
        labels,
        numbers,
    )
        .prop_map(|(uid, namespace, name, addresses, labels, ports)| {
            let resident = Resident {
                key: PodKey::new(namespace, name),
                addresses: addresses.into_iter().collect(),
                labels: labels.into_iter().collect(),
                ports: NamedPorts::from(ports),
            };
            (PodUid::from(uid), resident.into())
        })
}

/// A node, with its pods or split.
pub(crate) fn node_head() -> impl Strategy<Value = NodeHead> {
    (vec(network(), 0..3), pods_of(Just(SliceId::WHOLE)))
        .prop_map(|(pod_networks, pods)| NodeHead { pod_networks, pods })
}

/// A slice of a node's pods, with some or split.
pub(crate) fn pod_slice() -> impl Strategy<Value = PodSlice> {
    pods_of(slice_id())
}

fn pods_of(id: impl Strategy<Value = SliceId>) -> impl Strategy<Value = PodSlice> {
    let namespaces = btree_set(name().prop_map(NamespaceName::from), 0..3);
    let leaf = prop::option::weighted(0.8, (vec(resident(), 0..4), namespaces));
    (name(), id, leaf).prop_filter_map(
        "a slice of the longest prefix is never split",
        |(node, id, leaf)| {
            let split = leaf.is_none();
            let (pods, namespaces) = leaf.unwrap_or_default();
            (!split || has_halves(id)).then(|| PodSlice {
                node: NodeName::from(node),
                id,
                split,
                pods: pods.into_iter().collect(),
                namespaces,
            })
        },
    )
}

/// A slice of policies, with some or split.
pub(crate) fn policy_slice() -> impl Strategy<Value = PolicySlice> {
    let leaf = btree_map(name(), compiled_policy().prop_map(Arc::new), 0..4);
    (name(), slice_id(), prop::option::weighted(0.8, leaf)).prop_filter_map(
        "a slice of the longest prefix is never split",
        |(namespace, id, leaf)| {
            let split = leaf.is_none();
            let policies = leaf.into_iter().flatten();
            (!split || has_halves(id)).then(|| PolicySlice {
                id,
                split,
                policies: policies
                    .map(|(name, policy)| (PolicyKey::new(namespace.as_str(), name), policy))
                    .collect(),
                namespace: NamespaceName::from(namespace),
            })
        },
    )
}

/// A slice of a group, with some members or split.
pub(crate) fn slice() -> impl Strategy<Value = Slice> {
    let member = (
        name(),
        name(),
        btree_set(address(), 1..3),
        btree_set(1..=u16::MAX, 0..3),
    )
        .prop_map(|(namespace, name, addresses, ports)| Member {
            pod: PodKey::new(namespace, name),
            addresses: addresses.into_iter().collect(),
            ports: ports.into_iter().collect(),
        });
    let leaf = prop::option::weighted(0.8, btree_set(member, 0..5));
    (group_id(), slice_id(), text(), leaf).prop_filter_map(
        "a slice of the longest prefix is never split",
        |(group, id, description, leaf)| {
            let split = leaf.is_none();
            (!split || has_halves(id)).then(|| Slice {
                group,
                id,
                description,
                split,
                members: leaf.into_iter().flatten().map(Arc::new).collect(),
            })
        },
    )
}

fn has_halves(slice: SliceId) -> bool {
    !slice.halves().contains(&slice)
}
