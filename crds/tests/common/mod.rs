//! Random rules whose references hold, and a set of rules with one of everything.
#![allow(dead_code, reason = "every test file uses a part of this")]

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use palisade_policy::model::{
    Defect, Direction, IpBlock, NamespaceName, NodeName, PodKey, PodUid, PolicyKey, PortRange, Protocol,
    Requirement, Selector,
};
use palisade_policy::rules::{
    CompiledPeers, CompiledPort, CompiledPorts, CompiledRule, Group, GroupId, GroupSpec, LocalPod, Member,
    NamedPort, NodeRules, PolicyRules, Profile, ProfileId, Scope, Slice, SliceId,
};
use proptest::collection::{btree_set, vec};
use proptest::prelude::*;
use proptest::sample::{Index, select};

pub(crate) fn group_spec(namespace: &str, role: &str) -> GroupSpec {
    GroupSpec {
        scope: Scope::Namespace(NamespaceName::from(namespace)),
        pods: Selector::from_iter([Requirement::equals("role", role)]),
        port: None,
        within: None,
    }
}

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

/// Rules of one direction, whose groups are among `groups`.
fn rule(groups: Vec<GroupId>, direction: Direction) -> BoxedStrategy<CompiledRule> {
    let some_groups = vec(any::<Index>(), 0..3).prop_map(move |indexes| -> BTreeSet<GroupId> {
        indexes
            .iter()
            .filter(|_| !groups.is_empty())
            .map(|index| index.get(&groups).clone())
            .collect()
    });
    let some_groups = some_groups.boxed();
    let peers = prop_oneof![
        Just(CompiledPeers::All),
        (some_groups.clone(), btree_set(block(), 0..3))
            .prop_map(|(groups, blocks)| CompiledPeers::AnyOf { groups, blocks }),
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
        btree_set(port, 0..4).prop_map(CompiledPorts::AnyOf)
    ];
    let plain =
        (0..50_usize, peers, ports).prop_map(|(index, peers, ports)| CompiledRule { index, peers, ports });
    let of_members =
        (0..50_usize, some_groups, protocol()).prop_map(|(index, groups, protocol)| CompiledRule {
            index,
            peers: CompiledPeers::AnyOf {
                groups,
                blocks: BTreeSet::new(),
            },
            ports: CompiledPorts::OfMembers(protocol),
        });
    match direction {
        Direction::Ingress => plain.boxed(),
        Direction::Egress => prop_oneof![3 => plain, 1 => of_members].boxed(),
    }
}

fn policy_rules(groups: &[GroupId]) -> impl Strategy<Value = PolicyRules> + use<> {
    let rules = |direction| prop::option::of(vec(rule(groups.to_vec(), direction), 0..3));
    let defect = (text(), text()).prop_map(|(field, message)| Defect { field, message });
    (
        rules(Direction::Ingress),
        rules(Direction::Egress),
        vec(defect, 0..2),
    )
        .prop_map(|(ingress, egress, defects)| PolicyRules {
            ingress,
            egress,
            defects,
        })
}

type ProfileSeed = (Direction, Vec<Index>, BTreeMap<NamedPort, BTreeSet<u16>>);
type PodSeed = (String, String, String, BTreeSet<IpAddr>, Index, Index);

pub(crate) fn node_rules() -> impl Strategy<Value = NodeRules> {
    let groups = prop::collection::btree_map(group_id(), btree_set(slice_id(), 1..4), 0..4);
    let policies = groups.prop_flat_map(|groups| {
        let ids: Vec<GroupId> = groups.keys().cloned().collect();
        let key = (name(), name()).prop_map(|(namespace, name)| PolicyKey::new(namespace, name));
        (
            Just(groups),
            prop::collection::btree_map(key, policy_rules(&ids), 0..4),
        )
    });
    let direction = select(&[Direction::Ingress, Direction::Egress][..]);
    let numbers = prop::collection::btree_map(named_port(), btree_set(1..=u16::MAX, 0..3), 0..3);
    let profiles = vec((direction, vec(any::<Index>(), 1..4), numbers), 0..4);
    let pod = (
        name(),
        name(),
        name(),
        btree_set(address(), 0..3),
        any::<Index>(),
        any::<Index>(),
    );
    (name(), vec(network(), 0..3), policies, profiles, vec(pod, 0..4)).prop_map(
        |(node, pod_networks, (groups, policies), profiles, pods)| {
            let profiles = profiles
                .into_iter()
                .filter_map(|seed| profile(seed, &policies))
                .collect();
            let pods = pods.into_iter().map(|seed| pod_of(seed, &profiles)).collect();
            NodeRules {
                node: NodeName::from(node),
                pod_networks,
                pods,
                profiles,
                policies,
                groups,
            }
        },
    )
}

fn profile(
    (direction, picks, named): ProfileSeed,
    policies: &BTreeMap<PolicyKey, PolicyRules>,
) -> Option<(ProfileId, Profile)> {
    let isolating: Vec<&PolicyKey> = policies
        .iter()
        .filter(|(_, rules)| rules.rules(direction).is_some())
        .map(|(key, _)| key)
        .collect();
    if isolating.is_empty() {
        return None;
    }
    let profile = Profile {
        direction,
        policies: picks.iter().map(|pick| (*pick.get(&isolating)).clone()).collect(),
        named_ports: if direction == Direction::Ingress {
            named
        } else {
            BTreeMap::new()
        },
    };
    Some((profile.id(), profile))
}

fn pod_of(
    (uid, namespace, name, addresses, ingress, egress): PodSeed,
    profiles: &BTreeMap<ProfileId, Profile>,
) -> (PodUid, LocalPod) {
    let pick = |direction, index: Index| {
        let fitting: Vec<_> = profiles
            .iter()
            .filter(|(_, profile)| profile.direction == direction)
            .collect();
        let choice = index.index(fitting.len() + 1);
        fitting.get(choice).map(|(id, _)| (*id).clone())
    };
    let pod = LocalPod {
        key: PodKey::new(namespace, name),
        addresses,
        ingress: pick(Direction::Ingress, ingress),
        egress: pick(Direction::Egress, egress),
    };
    (PodUid::from(uid), pod)
}

pub(crate) fn slice() -> impl Strategy<Value = Slice> {
    let member = (
        name(),
        name(),
        btree_set(address(), 1..3),
        btree_set(1..=u16::MAX, 0..3),
    )
        .prop_map(|(namespace, name, addresses, ports)| Member {
            pod: PodKey::new(namespace, name),
            addresses,
            ports,
        });
    (group_id(), slice_id(), text(), btree_set(member, 0..5)).prop_map(|(group, id, description, members)| {
        Slice {
            group,
            id,
            description,
            members: members.into_iter().collect(),
        }
    })
}

/// A node with one of everything.
pub(crate) fn full_node() -> NodeRules {
    let group = group_spec("shop", "frontend").id();
    let http = NamedPort {
        name: "http".into(),
        protocol: Protocol::Tcp,
    };
    let peers = CompiledPeers::AnyOf {
        groups: BTreeSet::from([group.clone()]),
        blocks: BTreeSet::from([IpBlock::new(
            "10.0.0.0/8".parse().unwrap(),
            ["10.1.0.0/16".parse().unwrap()],
        )
        .unwrap()]),
    };
    let range = CompiledPort::Range(Protocol::Tcp, PortRange::new(80, 90).unwrap());
    let ingress = CompiledRule {
        index: 0,
        peers,
        ports: CompiledPorts::AnyOf(BTreeSet::from([range, CompiledPort::Named(http.clone())])),
    };
    let egress = CompiledRule {
        index: 0,
        peers: CompiledPeers::AnyOf {
            groups: BTreeSet::from([group.clone()]),
            blocks: BTreeSet::new(),
        },
        ports: CompiledPorts::OfMembers(Protocol::Udp),
    };
    let key = PolicyKey::new("shop", "web");
    let rules = PolicyRules {
        ingress: Some(vec![ingress]),
        egress: Some(vec![egress]),
        defects: Vec::new(),
    };
    let profile = |direction, named_ports| {
        let profile = Profile {
            direction,
            policies: BTreeSet::from([key.clone()]),
            named_ports,
        };
        (profile.id(), profile)
    };
    let inward = profile(
        Direction::Ingress,
        BTreeMap::from([(http, BTreeSet::from([8080]))]),
    );
    let outward = profile(Direction::Egress, BTreeMap::new());
    let pod = LocalPod {
        key: PodKey::new("shop", "web-0"),
        addresses: BTreeSet::from(["10.0.0.5".parse().unwrap(), "fd00::5".parse().unwrap()]),
        ingress: Some(inward.0.clone()),
        egress: Some(outward.0.clone()),
    };
    NodeRules {
        node: NodeName::from("node-1"),
        pod_networks: vec!["10.0.0.0/24".parse().unwrap()],
        pods: BTreeMap::from([(PodUid::from("1234"), pod)]),
        profiles: BTreeMap::from([inward, outward]),
        policies: BTreeMap::from([(key, rules)]),
        groups: BTreeMap::from([(group, BTreeSet::from([SliceId::WHOLE]))]),
    }
}

/// The group that [`full_node`] refers to, with `count` members.
pub(crate) fn frontends(count: u32) -> (GroupId, Group) {
    let spec = group_spec("shop", "frontend");
    let members = (0..count).map(|number| {
        let member = Member {
            pod: PodKey::new("shop", format!("frontend-6b7f9d5c8d-x{number:04}")),
            addresses: BTreeSet::from([IpAddr::from(Ipv4Addr::from_bits(0x0af4_c864 + number))]),
            ports: BTreeSet::new(),
        };
        (PodUid::from(format!("uid-{number}")), member)
    });
    (
        spec.id(),
        Group {
            members: members.collect(),
            spec,
        },
    )
}
