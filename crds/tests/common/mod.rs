//! Contents of documents with one of everything, and groups of ordinary pods.
#![allow(dead_code, reason = "every test file uses a part of this")]

pub(crate) mod cluster;
pub(crate) mod edited;
pub(crate) mod strategies;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use palisade_policy::model::{
    Defect, IpBlock, NamespaceName, NodeName, Operator, PodKey, PodUid, PolicyKey, PortRange, Protocol,
    Requirement, Selector, Sorted,
};
use palisade_policy::rules::{
    CompiledPeers, CompiledPolicy, CompiledPort, CompiledPorts, CompiledRule, Group, GroupId, GroupSpec,
    Member, NamedPort, NodeHead, PodSlice, PolicyRules, PolicySlice, Resident, Scope, SliceId,
};

pub(crate) fn group_spec(namespace: &str, role: &str) -> GroupSpec {
    GroupSpec {
        scope: Scope::Namespace(NamespaceName::from(namespace)),
        pods: Selector::from_iter([Requirement::equals("role", role)]),
        port: None,
        within: None,
    }
}

fn http() -> NamedPort {
    NamedPort {
        name: "http".into(),
        protocol: Protocol::Tcp,
    }
}

/// A node with one of everything.
pub(crate) fn full_node() -> NodeHead {
    NodeHead {
        pod_networks: vec!["10.0.0.0/24".parse().unwrap()],
        pods: PodSlice {
            id: SliceId::WHOLE,
            ..full_pods()
        },
    }
}

/// The second half of the pods of a node, with one of everything.
pub(crate) fn full_pods() -> PodSlice {
    let pod = Resident {
        key: PodKey::new("shop", "web-0"),
        addresses: Sorted::from(["10.0.0.5".parse().unwrap(), "fd00::5".parse().unwrap()]),
        labels: [("app", "web"), ("tier", "front")].into_iter().collect(),
        ports: BTreeMap::from([(http(), Sorted::from([8080, 8081]))]).into(),
    };
    PodSlice {
        node: NodeName::from("node-1"),
        id: SliceId::WHOLE.halves()[1],
        split: false,
        pods: BTreeMap::from([(PodUid::from("1234"), pod.into())]),
        namespaces: BTreeSet::from([NamespaceName::from("shop")]),
    }
}

/// A slice of policies with one of everything.
pub(crate) fn full_policies() -> PolicySlice {
    let group = group_spec("shop", "frontend").id();
    let block = IpBlock::new("10.0.0.0/8".parse().unwrap(), ["10.1.0.0/16".parse().unwrap()]);
    let range = CompiledPort::Range(Protocol::Tcp, PortRange::new(80, 90).unwrap());
    let ingress = CompiledRule {
        index: 0,
        peers: CompiledPeers::AnyOf {
            groups: Sorted::from([group]),
            blocks: Sorted::from([block.unwrap()]),
        },
        ports: CompiledPorts::AnyOf(Sorted::from([
            CompiledPort::Protocol(Protocol::Sctp),
            range,
            CompiledPort::Named(http()),
        ])),
    };
    let everything = CompiledRule {
        index: 1,
        peers: CompiledPeers::All,
        ports: CompiledPorts::All,
    };
    let egress = CompiledRule {
        index: 0,
        peers: CompiledPeers::AnyOf {
            groups: Sorted::from([group]),
            blocks: Sorted::default(),
        },
        ports: CompiledPorts::OfMembers(Protocol::Udp),
    };
    let defect = Defect {
        field: "spec.ingress[2]".to_owned(),
        message: "names nobody".to_owned(),
    };
    let policy = CompiledPolicy {
        subject: full_selector(),
        rules: PolicyRules {
            ingress: Some(vec![ingress, everything]),
            egress: Some(vec![egress]),
            defects: vec![defect],
        },
    };
    PolicySlice {
        namespace: NamespaceName::from("shop"),
        id: SliceId::WHOLE,
        split: false,
        policies: BTreeMap::from([(PolicyKey::new("shop", "web"), Arc::new(policy))]),
    }
}

/// A selector with each operator. As a document: one label, and expressions in the order of their keys.
fn full_selector() -> Selector {
    let values = || Sorted::from(["a".into(), "b".into()]);
    let expressions = [
        ("env", Operator::In(values())),
        ("old", Operator::DoesNotExist),
        ("tier", Operator::NotIn(values())),
        ("track", Operator::Exists),
    ];
    let expressions = expressions.map(|(key, operator)| Requirement {
        key: key.into(),
        operator,
    });
    [Requirement::equals("app", "web")]
        .into_iter()
        .chain(expressions)
        .collect()
}

/// The group that [`full_policies`] refers to, with `count` members.
pub(crate) fn frontends(count: u32) -> (GroupId, Group) {
    let spec = group_spec("shop", "frontend");
    let members = (0..count).map(|number| {
        let member = Member {
            pod: PodKey::new("shop", format!("frontend-6b7f9d5c8d-x{number:04}")),
            addresses: Sorted::from([IpAddr::from(Ipv4Addr::from_bits(0x0af4_c864 + number))]),
            ports: Sorted::default(),
        };
        (PodUid::from(format!("uid-{number}")), member.into())
    });
    (
        spec.id(),
        Group {
            members: members.collect(),
            spec,
        },
    )
}
