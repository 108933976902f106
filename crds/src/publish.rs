//! From the core's types to the documents. Never fails: the core's types cannot say what a document cannot.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, LabelSelectorRequirement};
use kube::core::ObjectMeta;
use palisade_policy::model::{
    IpBlock, NamespaceName, Operator, PodUid, PolicyKey, Protocol, Selector, Sorted,
};
use palisade_policy::rules::{
    CompiledPeers, CompiledPolicy, CompiledPort, CompiledPorts, CompiledRule, GroupId, NamedPort, NodeHead,
    NodeId, PodSlice as Pods, PolicySlice as Policies, Resident, Scope, Slice, SliceId,
};

use crate::address_group::{AddressGroup, AddressGroupSpec, MemberEntry};
use crate::node_rule_set::{NamedPortEntry, NodeRuleSet, NodeRuleSetSpec, PodEntry};
use crate::pod_slice::{PodSlice, PodSliceSpec};
use crate::policy_slice::{
    BlockEntry, DefectEntry, PolicyEntry, PolicySlice, PolicySliceSpec, PortEntry, RuleEntry,
};
use crate::{GROUP_LABEL, NAMESPACE_LABEL, NODE_LABEL, SCOPE_CLUSTER, SCOPE_LABEL};

impl NodeRuleSet {
    /// The document that publishes `head` under `revision`.
    pub fn publish(head: &NodeHead, revision: u64) -> Self {
        let mut spec = NodeRuleSetSpec::from(head);
        spec.revision = revision;
        Self::new(head.pods.node.as_str(), spec)
    }
}

impl From<&NodeHead> for NodeRuleSetSpec {
    /// The content with its hash, at revision 0.
    fn from(NodeHead { pod_networks, pods }: &NodeHead) -> Self {
        let mut spec = Self {
            revision: 0,
            hash: String::new(),
            node: pods.node.to_string(),
            pod_networks: texts(pod_networks),
            split: pods.split,
            namespaces: texts(&pods.namespaces),
            pods: pods.pods.iter().map(pod).collect(),
        };
        spec.hash = spec.content_hash();
        spec
    }
}

impl PodSlice {
    /// The document that publishes `slice`, which is not the first, under `revision`.
    pub fn publish(slice: &Pods, revision: u64) -> Self {
        let node = NodeId::of(&slice.node);
        let mut spec = PodSliceSpec::from(slice);
        spec.revision = revision;
        Self {
            metadata: metadata(Self::name_of(&node, slice.id), [(NODE_LABEL, node.as_str())]),
            spec,
        }
    }

    /// The name of the object that holds a slice.
    pub fn name_of(node: &NodeId, slice: SliceId) -> String {
        format!("{node}-{slice}")
    }
}

impl From<&Pods> for PodSliceSpec {
    /// The content with its hash, at revision 0.
    fn from(slice: &Pods) -> Self {
        let mut spec = Self {
            revision: 0,
            hash: String::new(),
            node: slice.node.to_string(),
            slice: slice.id.to_string(),
            split: slice.split,
            namespaces: texts(&slice.namespaces),
            pods: slice.pods.iter().map(pod).collect(),
        };
        spec.hash = spec.content_hash();
        spec
    }
}

fn pod((uid, pod): (&PodUid, &Arc<Resident>)) -> PodEntry {
    PodEntry {
        uid: uid.to_string(),
        pod: pod.key.to_string(),
        ips: texts(&pod.addresses),
        labels: pod
            .labels
            .iter()
            .map(|(key, value)| (key.to_string(), value.to_string()))
            .collect(),
        named_ports: pod.ports.iter().map(named_port).collect(),
    }
}

fn named_port((NamedPort { name, protocol }, ports): (&NamedPort, &Sorted<u16>)) -> NamedPortEntry {
    NamedPortEntry {
        name: name.to_string(),
        protocol: protocol.to_string(),
        numbers: numbers(ports),
    }
}

impl PolicySlice {
    /// The document that publishes `slice` under `revision`.
    pub fn publish(slice: &Policies, revision: u64) -> Self {
        let mut spec = PolicySliceSpec::from(slice);
        spec.revision = revision;
        Self {
            metadata: metadata(
                Self::name_of(&slice.namespace, slice.id),
                [(NAMESPACE_LABEL, slice.namespace.as_str())],
            ),
            spec,
        }
    }

    /// The name of the object that holds a slice.
    pub fn name_of(namespace: &NamespaceName, slice: SliceId) -> String {
        format!("{namespace}-{slice}")
    }
}

impl From<&Policies> for PolicySliceSpec {
    /// The content with its hash, at revision 0.
    fn from(slice: &Policies) -> Self {
        let mut spec = Self {
            revision: 0,
            hash: String::new(),
            namespace: slice.namespace.to_string(),
            slice: slice.id.to_string(),
            split: slice.split,
            policies: slice
                .policies
                .iter()
                .map(|(key, compiled)| policy(key, compiled))
                .collect(),
        };
        spec.hash = spec.content_hash();
        spec
    }
}

fn metadata<const N: usize>(name: String, labels: [(&str, &str); N]) -> ObjectMeta {
    let labels: BTreeMap<String, String> = labels
        .into_iter()
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect();
    ObjectMeta {
        name: Some(name),
        labels: Some(labels),
        ..ObjectMeta::default()
    }
}

impl AddressGroup {
    /// The document that publishes `slice`, of a group of pods in `scope`, under `revision`.
    pub fn publish(slice: &Slice, scope: &Scope, revision: u64) -> Self {
        let scope = match scope {
            Scope::Namespace(namespace) => namespace.as_str(),
            Scope::Cluster(_) => SCOPE_CLUSTER,
        };
        let mut spec = AddressGroupSpec::from(slice);
        spec.revision = revision;
        Self {
            metadata: metadata(
                Self::name_of(&slice.group, slice.id),
                [(GROUP_LABEL, slice.group.as_str()), (SCOPE_LABEL, scope)],
            ),
            spec,
        }
    }

    /// The name of the object that holds a slice.
    pub fn name_of(group: &GroupId, slice: SliceId) -> String {
        format!("{group}-{slice}")
    }
}

impl From<&Slice> for AddressGroupSpec {
    /// The content with its hash, at revision 0.
    fn from(slice: &Slice) -> Self {
        let mut spec = Self {
            revision: 0,
            hash: String::new(),
            group: slice.group.to_string(),
            slice: slice.id.to_string(),
            description: slice.description.clone(),
            split: slice.split,
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

fn policy(key: &PolicyKey, CompiledPolicy { subject, rules }: &CompiledPolicy) -> PolicyEntry {
    let entries = |rules: &Option<Vec<CompiledRule>>| {
        let rules = rules.as_ref()?;
        Some(rules.iter().map(rule).collect())
    };
    PolicyEntry {
        policy: key.to_string(),
        pod_selector: selector(subject),
        ingress: entries(&rules.ingress),
        egress: entries(&rules.egress),
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

/// A selector as people write it: `matchLabels` where that says it, once for a key.
fn selector(selector: &Selector) -> LabelSelector {
    let mut labels = BTreeMap::new();
    let mut expressions = Vec::new();
    for requirement in selector.requirements() {
        let key = requirement.key.to_string();
        let (operator, values) = match &requirement.operator {
            Operator::In(values) => {
                if let Some(value) = values.first().filter(|_| values.len() == 1)
                    && !labels.contains_key(&key)
                {
                    labels.insert(key, value.to_string());
                    continue;
                }
                ("In", Some(values))
            }
            Operator::NotIn(values) => ("NotIn", Some(values)),
            Operator::Exists => ("Exists", None),
            Operator::DoesNotExist => ("DoesNotExist", None),
        };
        expressions.push(LabelSelectorRequirement {
            key,
            operator: operator.to_owned(),
            values: values.map(texts),
        });
    }
    LabelSelector {
        match_labels: (!labels.is_empty()).then_some(labels),
        match_expressions: (!expressions.is_empty()).then_some(expressions),
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
