//! From the documents to the core's types. Refuses a document as a whole: half a rule set is none.

mod rules;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;
use palisade_policy::model::{NamespaceName, NodeName, PodKey, PodUid, Protocol, Sorted};
use palisade_policy::rules::{
    GroupId, Member, NamedPort, NodeHead, NodeId, PodSlice as Pods, PolicySlice as Policies, Resident, Slice,
    SliceId,
};

use crate::address_group::{AddressGroup, AddressGroupSpec, MemberEntry};
use crate::error::{DocumentError, InField, Problem};
use crate::node_rule_set::{NamedPortEntry, NodeRuleSet, NodeRuleSetSpec, PodEntry};
use crate::pod_slice::{PodSlice, PodSliceSpec};
use crate::policy_slice::{PolicySlice, PolicySliceSpec};

impl TryFrom<&NodeRuleSet> for NodeHead {
    type Error = DocumentError;

    /// What is said of the node, if the object's name and its hash are right.
    fn try_from(document: &NodeRuleSet) -> Result<Self, DocumentError> {
        check_name(document.metadata.name.as_deref(), &document.spec.node)?;
        Self::try_from(&document.spec)
    }
}

impl TryFrom<&NodeRuleSetSpec> for NodeHead {
    type Error = DocumentError;

    fn try_from(spec: &NodeRuleSetSpec) -> Result<Self, DocumentError> {
        let node = present(&spec.node).in_field(|| "spec.node".to_owned())?;
        check_split(
            spec.split,
            [
                ("pods", spec.pods.is_empty()),
                ("namespaces", spec.namespaces.is_empty()),
            ],
        )?;
        check_hash(&spec.hash, spec.content_hash())?;
        Ok(Self {
            pod_networks: each(&spec.pod_networks, "spec.podNetworks", |text, field| {
                network(text).in_field(|| field.to_owned())
            })?,
            pods: Pods {
                node: NodeName::from(node),
                id: SliceId::WHOLE,
                split: spec.split,
                pods: keyed(&spec.pods, "spec.pods", pod)?,
                namespaces: namespaces(&spec.namespaces)?,
            },
        })
    }
}

impl TryFrom<&PodSlice> for Pods {
    type Error = DocumentError;

    /// The slice, if the object's name and its hash are right.
    fn try_from(document: &PodSlice) -> Result<Self, DocumentError> {
        let slice = Self::try_from(&document.spec)?;
        check_name(
            document.metadata.name.as_deref(),
            &PodSlice::name_of(&NodeId::of(&slice.node), slice.id),
        )?;
        Ok(slice)
    }
}

impl TryFrom<&PodSliceSpec> for Pods {
    type Error = DocumentError;

    fn try_from(spec: &PodSliceSpec) -> Result<Self, DocumentError> {
        let node = present(&spec.node).in_field(|| "spec.node".to_owned())?;
        let id = slice_id(&spec.slice, spec.split, spec.pods.is_empty(), "pods")?;
        check_split(spec.split, [("namespaces", spec.namespaces.is_empty())])?;
        check_hash(&spec.hash, spec.content_hash())?;
        Ok(Self {
            node: NodeName::from(node),
            id,
            split: spec.split,
            pods: keyed(&spec.pods, "spec.pods", pod)?,
            namespaces: namespaces(&spec.namespaces)?,
        })
    }
}

fn namespaces(texts: &[String]) -> Result<BTreeSet<NamespaceName>, DocumentError> {
    let names = each(texts, "spec.namespaces", |text, field| {
        let name = present(text).in_field(|| field.to_owned())?;
        Ok(NamespaceName::from(name))
    })?;
    Ok(names.into_iter().collect())
}

impl TryFrom<&PolicySlice> for Policies {
    type Error = DocumentError;

    /// The slice, if the object's name and its hash are right.
    fn try_from(document: &PolicySlice) -> Result<Self, DocumentError> {
        let slice = Self::try_from(&document.spec)?;
        check_name(
            document.metadata.name.as_deref(),
            &PolicySlice::name_of(&slice.namespace, slice.id),
        )?;
        Ok(slice)
    }
}

impl TryFrom<&PolicySliceSpec> for Policies {
    type Error = DocumentError;

    fn try_from(spec: &PolicySliceSpec) -> Result<Self, DocumentError> {
        let namespace = present(&spec.namespace).in_field(|| "spec.namespace".to_owned())?;
        let namespace = NamespaceName::from(namespace);
        let id = slice_id(&spec.slice, spec.split, spec.policies.is_empty(), "policies")?;
        check_hash(&spec.hash, spec.content_hash())?;
        let policies = keyed(&spec.policies, "spec.policies", |entry, field| {
            let (key, policy) = rules::policy(entry, field)?;
            if key.namespace != namespace {
                return Err(Problem::Namespace {
                    policy: key.to_string(),
                    namespace: namespace.to_string(),
                })
                .in_field(|| format!("{field}.policy"));
            }
            Ok((key, Arc::new(policy)))
        })?;
        Ok(Self {
            namespace,
            id,
            split: spec.split,
            policies,
        })
    }
}

/// Reads which slice it is. One that is split has nothing in its list, and has halves: who looks for those of a slice of
/// the longest prefix would find it again, and again.
fn slice_id(text: &str, split: bool, is_empty: bool, list: &'static str) -> Result<SliceId, DocumentError> {
    let id = SliceId::parse(text).in_field(|| "spec.slice".to_owned())?;
    check_split(split, [(list, is_empty), ("slice", !id.halves().contains(&id))])?;
    Ok(id)
}

/// Whether the fields that a split excludes are as they should be beside one.
fn check_split<const N: usize>(split: bool, others: [(&'static str, bool); N]) -> Result<(), DocumentError> {
    match others.into_iter().find(|(_, fits)| split && !fits) {
        Some((other, _)) => Err(Problem::Contradiction { other }).in_field(|| "spec.split".to_owned()),
        None => Ok(()),
    }
}

impl TryFrom<&AddressGroup> for Slice {
    type Error = DocumentError;

    /// The slice, if the object's name and its hash are right.
    fn try_from(document: &AddressGroup) -> Result<Self, DocumentError> {
        let slice = Self::try_from(&document.spec)?;
        check_name(
            document.metadata.name.as_deref(),
            &AddressGroup::name_of(&slice.group, slice.id),
        )?;
        Ok(slice)
    }
}

impl TryFrom<&AddressGroupSpec> for Slice {
    type Error = DocumentError;

    fn try_from(spec: &AddressGroupSpec) -> Result<Self, DocumentError> {
        let group = GroupId::parse(&spec.group).in_field(|| "spec.group".to_owned())?;
        let id = slice_id(&spec.slice, spec.split, spec.members.is_empty(), "members")?;
        check_hash(&spec.hash, spec.content_hash())?;
        let members = each(&spec.members, "spec.members", member)?;
        Ok(Self {
            group,
            id,
            description: spec.description.clone(),
            split: spec.split,
            members,
        })
    }
}

fn check_name(found: Option<&str>, expected: &str) -> Result<(), DocumentError> {
    let found = found.unwrap_or_default();
    let same = found == expected;
    same.then_some(())
        .ok_or_else(|| Problem::Name {
            found: found.to_owned(),
            expected: expected.to_owned(),
        })
        .in_field(|| "metadata.name".to_owned())
}

fn check_hash(found: &str, expected: String) -> Result<(), DocumentError> {
    let same = found == expected;
    same.then_some(())
        .ok_or_else(|| Problem::Hash {
            found: found.to_owned(),
            expected,
        })
        .in_field(|| "spec.hash".to_owned())
}

fn pod(entry: &PodEntry, field: &str) -> Result<(PodUid, Arc<Resident>), DocumentError> {
    let uid = present(&entry.uid).in_field(|| format!("{field}.uid"))?;
    let pod = Resident {
        key: pod_key(&entry.pod).in_field(|| format!("{field}.pod"))?,
        addresses: addresses(&entry.ips, &format!("{field}.ips"))?,
        labels: entry
            .labels
            .iter()
            .map(|(key, value)| (key.as_str(), value.as_str()))
            .collect(),
        ports: keyed(
            &entry.named_ports,
            &format!("{field}.namedPorts"),
            numbers_of_name,
        )?
        .into(),
    };
    Ok((PodUid::from(uid), Arc::new(pod)))
}

fn numbers_of_name(entry: &NamedPortEntry, field: &str) -> Result<(NamedPort, Sorted<u16>), DocumentError> {
    let name = present(&entry.name).in_field(|| format!("{field}.name"))?;
    let protocol = protocol(&entry.protocol).in_field(|| format!("{field}.protocol"))?;
    Ok((
        NamedPort {
            name: name.into(),
            protocol,
        },
        ports(&entry.numbers, &format!("{field}.numbers"))?,
    ))
}

fn member(entry: &MemberEntry, field: &str) -> Result<Arc<Member>, DocumentError> {
    if entry.ips.is_empty() {
        return Err(Problem::Empty).in_field(|| format!("{field}.ips"));
    }
    Ok(Arc::new(Member {
        pod: pod_key(&entry.pod).in_field(|| format!("{field}.pod"))?,
        addresses: addresses(&entry.ips, &format!("{field}.ips"))?,
        ports: ports(&entry.ports, &format!("{field}.ports"))?,
    }))
}

/// Every entry of a list, read with its field's path.
fn each<E, T>(
    entries: &[E],
    list: &str,
    read: impl Fn(&E, &str) -> Result<T, DocumentError>,
) -> Result<Vec<T>, DocumentError> {
    entries
        .iter()
        .enumerate()
        .map(|(index, entry)| read(entry, &format!("{list}[{index}]")))
        .collect()
}

/// Every entry of a list that is a map in the core: no key twice.
fn keyed<E, K: Ord + std::fmt::Display, V>(
    entries: &[E],
    list: &str,
    read: impl Fn(&E, &str) -> Result<(K, V), DocumentError>,
) -> Result<BTreeMap<K, V>, DocumentError> {
    let mut map = BTreeMap::new();
    for (index, entry) in entries.iter().enumerate() {
        let field = format!("{list}[{index}]");
        let (key, value) = read(entry, &field)?;
        if map.contains_key(&key) {
            return Err(Problem::Duplicate {
                text: key.to_string(),
            })
            .in_field(|| field);
        }
        map.insert(key, value);
    }
    Ok(map)
}

fn present(text: &str) -> Result<&str, Problem> {
    (!text.is_empty()).then_some(text).ok_or(Problem::Missing)
}

fn pod_key(text: &str) -> Result<PodKey, Problem> {
    PodKey::parse(text).ok_or_else(|| Problem::Key {
        text: text.to_owned(),
    })
}

fn protocol(text: &str) -> Result<Protocol, Problem> {
    Protocol::parse(text).ok_or_else(|| Problem::Protocol {
        text: text.to_owned(),
    })
}

fn network(text: &str) -> Result<IpNet, Problem> {
    text.parse().map_err(|_| Problem::Cidr {
        text: text.to_owned(),
    })
}

fn port(number: u32) -> Result<u16, Problem> {
    u16::try_from(number)
        .ok()
        .filter(|port| *port > 0)
        .ok_or(Problem::Port { number })
}

fn ports(numbers: &[u32], list: &str) -> Result<Sorted<u16>, DocumentError> {
    let ports = each(numbers, list, |number, field| {
        port(*number).in_field(|| field.to_owned())
    })?;
    Ok(ports.into_iter().collect())
}

fn addresses(texts: &[String], list: &str) -> Result<Sorted<IpAddr>, DocumentError> {
    let read = |text: &String, field: &str| {
        text.parse()
            .map_err(|_| Problem::Address { text: text.clone() })
            .in_field(|| field.to_owned())
    };
    Ok(each(texts, list, read)?.into_iter().collect())
}
