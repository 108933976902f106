//! From the core's types to the documents. Never fails: the core's types cannot say what a document cannot.

use std::collections::BTreeMap;

use kube::core::ObjectMeta;
use palisade_policy::model::{Direction, IpBlock, Protocol};
use palisade_policy::rules::{
    CompiledPeers, CompiledPort, CompiledPorts, CompiledRule, GroupId, NamedPort, NodeRules, PolicyRules,
    Profile, ProfileId, Scope, Slice, SliceId,
};

use crate::address_group::{AddressGroup, AddressGroupSpec, MemberEntry};
use crate::node_rule_set::{
    BlockEntry, DefectEntry, NamedPortEntry, NodeRuleSet, NodeRuleSetSpec, PodEntry, PolicyEntry, PortEntry,
    ProfileEntry, RuleEntry,
};
use crate::{GROUP_LABEL, SCOPE_CLUSTER, SCOPE_LABEL};

impl NodeRuleSet {
    /// The document that publishes `rules` under `revision`.
    pub fn publish(rules: &NodeRules, revision: u64) -> Self {
        let mut spec = NodeRuleSetSpec::from(rules);
        spec.revision = revision;
        Self::new(rules.node.as_str(), spec)
    }
}

impl From<&NodeRules> for NodeRuleSetSpec {
    /// The content with its hash, at revision 0.
    fn from(rules: &NodeRules) -> Self {
        let mut spec = Self {
            revision: 0,
            hash: String::new(),
            node: rules.node.to_string(),
            pod_networks: texts(&rules.pod_networks),
            pods: rules
                .pods
                .iter()
                .map(|(uid, pod)| PodEntry {
                    uid: uid.to_string(),
                    pod: pod.key.to_string(),
                    ips: texts(&pod.addresses),
                    ingress: pod.ingress.as_ref().map(ToString::to_string),
                    egress: pod.egress.as_ref().map(ToString::to_string),
                })
                .collect(),
            profiles: rules.profiles.iter().map(profile).collect(),
            policies: rules
                .policies
                .iter()
                .map(|(key, rules)| policy(key.to_string(), rules))
                .collect(),
            groups: rules
                .groups
                .iter()
                .map(|(id, slices)| (id.to_string(), texts(slices)))
                .collect(),
        };
        spec.hash = spec.content_hash();
        spec
    }
}

impl AddressGroup {
    /// The document that publishes `slice`, of a group of pods in `scope`.
    pub fn publish(slice: &Slice, scope: &Scope) -> Self {
        let scope = match scope {
            Scope::Namespace(namespace) => namespace.as_str(),
            Scope::Cluster(_) => SCOPE_CLUSTER,
        };
        let labels = [(GROUP_LABEL, slice.group.as_str()), (SCOPE_LABEL, scope)];
        let labels: BTreeMap<String, String> = labels
            .into_iter()
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .collect();
        Self {
            metadata: ObjectMeta {
                name: Some(Self::name_of(&slice.group, slice.id)),
                labels: Some(labels),
                ..ObjectMeta::default()
            },
            spec: AddressGroupSpec::from(slice),
        }
    }

    /// The name of the object that holds a slice.
    pub fn name_of(group: &GroupId, slice: SliceId) -> String {
        format!("{group}-{slice}")
    }
}

impl From<&Slice> for AddressGroupSpec {
    /// The content with its hash.
    fn from(slice: &Slice) -> Self {
        let mut spec = Self {
            hash: String::new(),
            group: slice.group.to_string(),
            slice: slice.id.to_string(),
            description: slice.description.clone(),
            members: slice
                .members
                .iter()
                .map(|member| MemberEntry {
                    pod: member.pod.to_string(),
                    ips: texts(&member.addresses),
                    ports: numbers(&member.ports),
                })
                .collect(),
        };
        spec.hash = spec.content_hash();
        spec
    }
}

fn profile((id, profile): (&ProfileId, &Profile)) -> ProfileEntry {
    let direction = match profile.direction {
        Direction::Ingress => "Ingress",
        Direction::Egress => "Egress",
    };
    ProfileEntry {
        id: id.to_string(),
        direction: direction.to_owned(),
        policies: texts(&profile.policies),
        named_ports: profile
            .named_ports
            .iter()
            .map(|(NamedPort { name, protocol }, ports)| NamedPortEntry {
                name: name.to_string(),
                protocol: protocol.to_string(),
                numbers: numbers(ports),
            })
            .collect(),
    }
}

fn policy(policy: String, rules: &PolicyRules) -> PolicyEntry {
    let entries = |direction| {
        rules
            .rules(direction)
            .map(|rules| rules.iter().map(rule).collect())
    };
    PolicyEntry {
        policy,
        ingress: entries(Direction::Ingress),
        egress: entries(Direction::Egress),
        defects: rules
            .defects
            .iter()
            .map(|defect| DefectEntry {
                field: defect.field.clone(),
                message: defect.message.clone(),
            })
            .collect(),
    }
}

fn rule(rule: &CompiledRule) -> RuleEntry {
    let mut entry = RuleEntry {
        index: rule.index,
        ..RuleEntry::default()
    };
    match &rule.peers {
        CompiledPeers::All => entry.any_peer = true,
        CompiledPeers::AnyOf { groups, blocks } => {
            entry.groups = texts(groups);
            entry.blocks = blocks.iter().map(block).collect();
        }
    }
    match &rule.ports {
        CompiledPorts::All => entry.any_port = true,
        CompiledPorts::AnyOf(ports) => entry.ports = ports.iter().map(port).collect(),
        CompiledPorts::OfMembers(protocol) => entry.member_ports = Some(protocol.to_string()),
    }
    entry
}

fn block(block: &IpBlock) -> BlockEntry {
    BlockEntry {
        cidr: block.cidr().to_string(),
        except: texts(block.except()),
    }
}

fn port(port: &CompiledPort) -> PortEntry {
    let of = |protocol: &Protocol| PortEntry {
        protocol: protocol.to_string(),
        ..PortEntry::default()
    };
    match port {
        CompiledPort::Protocol(protocol) => of(protocol),
        CompiledPort::Range(protocol, range) => PortEntry {
            port: Some(range.first().into()),
            end_port: (range.last() > range.first()).then(|| range.last().into()),
            ..of(protocol)
        },
        CompiledPort::Named(NamedPort { name, protocol }) => PortEntry {
            name: Some(name.to_string()),
            ..of(protocol)
        },
    }
}

fn texts<'a, T: ToString + 'a>(values: impl IntoIterator<Item = &'a T>) -> Vec<String> {
    values.into_iter().map(ToString::to_string).collect()
}

fn numbers<'a>(ports: impl IntoIterator<Item = &'a u16>) -> Vec<u32> {
    ports.into_iter().map(|&port| port.into()).collect()
}
