//! From the documents to the core's types. Refuses a document as a whole: half a rule set is none.

mod rules;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipnet::IpNet;
use palisade_policy::model::{Direction, NodeName, PodKey, PodUid, PolicyKey, Protocol};
use palisade_policy::rules::{
    GroupId, LocalPod, Member, NamedPort, NodeRules, Profile, ProfileId, Slice, SliceId,
};

use crate::address_group::{AddressGroup, AddressGroupSpec, MemberEntry};
use crate::error::{DocumentError, InField, Problem};
use crate::node_rule_set::{NamedPortEntry, NodeRuleSet, NodeRuleSetSpec, PodEntry, ProfileEntry};

impl TryFrom<&NodeRuleSet> for NodeRules {
    type Error = DocumentError;

    /// The rules, if the object's name, its hash and every reference in it are right.
    fn try_from(document: &NodeRuleSet) -> Result<Self, DocumentError> {
        check_name(document.metadata.name.as_deref(), &document.spec.node)?;
        Self::try_from(&document.spec)
    }
}

impl TryFrom<&NodeRuleSetSpec> for NodeRules {
    type Error = DocumentError;

    fn try_from(spec: &NodeRuleSetSpec) -> Result<Self, DocumentError> {
        let node = present(&spec.node).in_field(|| "spec.node".to_owned())?;
        check_hash(&spec.hash, spec.content_hash())?;
        let rules = Self {
            node: NodeName::from(node),
            pod_networks: each(&spec.pod_networks, "spec.podNetworks", |text, field| {
                network(text).in_field(|| field.to_owned())
            })?,
            pods: keyed(&spec.pods, "spec.pods", pod)?,
            profiles: keyed(&spec.profiles, "spec.profiles", profile)?,
            policies: keyed(&spec.policies, "spec.policies", rules::policy)?,
            groups: groups(&spec.groups)?,
        };
        rules::check_references(&rules)?;
        Ok(rules)
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
        let id = SliceId::parse(&spec.slice).in_field(|| "spec.slice".to_owned())?;
        check_hash(&spec.hash, spec.content_hash())?;
        let members = each(&spec.members, "spec.members", member)?;
        Ok(Self {
            group,
            id,
            description: spec.description.clone(),
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

fn pod(entry: &PodEntry, field: &str) -> Result<(PodUid, LocalPod), DocumentError> {
    let uid = present(&entry.uid).in_field(|| format!("{field}.uid"))?;
    let reference = |id: &Option<String>, name| {
        id.as_deref()
            .map(|id| ProfileId::parse(id).in_field(|| format!("{field}.{name}")))
            .transpose()
    };
    let pod = LocalPod {
        key: pod_key(&entry.pod).in_field(|| format!("{field}.pod"))?,
        addresses: addresses(&entry.ips, &format!("{field}.ips"))?,
        ingress: reference(&entry.ingress, "ingress")?,
        egress: reference(&entry.egress, "egress")?,
    };
    Ok((PodUid::from(uid), pod))
}

fn profile(entry: &ProfileEntry, field: &str) -> Result<(ProfileId, Profile), DocumentError> {
    let id = ProfileId::parse(&entry.id).in_field(|| format!("{field}.id"))?;
    let direction = match entry.direction.as_str() {
        "Ingress" => Direction::Ingress,
        "Egress" => Direction::Egress,
        text => {
            return Err(Problem::Direction {
                text: text.to_owned(),
            })
            .in_field(|| format!("{field}.direction"));
        }
    };
    if entry.policies.is_empty() {
        return Err(Problem::Empty).in_field(|| format!("{field}.policies"));
    }
    if direction == Direction::Egress && !entry.named_ports.is_empty() {
        return Err(Problem::DirectionMismatch { direction }).in_field(|| format!("{field}.namedPorts"));
    }
    let policies: Vec<PolicyKey> = each(&entry.policies, &format!("{field}.policies"), |text, field| {
        policy_key(text).in_field(|| field.to_owned())
    })?;
    let named_ports = keyed(
        &entry.named_ports,
        &format!("{field}.namedPorts"),
        numbers_of_name,
    )?;
    Ok((
        id,
        Profile {
            direction,
            policies: policies.into_iter().collect(),
            named_ports,
        },
    ))
}

fn numbers_of_name(entry: &NamedPortEntry, field: &str) -> Result<(NamedPort, BTreeSet<u16>), DocumentError> {
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

fn groups(
    entries: &BTreeMap<String, Vec<String>>,
) -> Result<BTreeMap<GroupId, BTreeSet<SliceId>>, DocumentError> {
    let group = |(text, slices): (&String, &Vec<String>)| {
        let field = format!("spec.groups.{text}");
        let id = GroupId::parse(text).in_field(|| field.clone())?;
        if slices.is_empty() {
            return Err(Problem::Empty).in_field(|| field);
        }
        let slices = each(slices, &field, |text, field| {
            SliceId::parse(text).in_field(|| field.to_owned())
        })?;
        Ok((id, slices.into_iter().collect()))
    };
    entries.iter().map(group).collect()
}

fn member(entry: &MemberEntry, field: &str) -> Result<Member, DocumentError> {
    if entry.ips.is_empty() {
        return Err(Problem::Empty).in_field(|| format!("{field}.ips"));
    }
    Ok(Member {
        pod: pod_key(&entry.pod).in_field(|| format!("{field}.pod"))?,
        addresses: addresses(&entry.ips, &format!("{field}.ips"))?,
        ports: ports(&entry.ports, &format!("{field}.ports"))?,
    })
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

fn policy_key(text: &str) -> Result<PolicyKey, Problem> {
    PolicyKey::parse(text).ok_or_else(|| Problem::Key {
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

fn ports(numbers: &[u32], list: &str) -> Result<BTreeSet<u16>, DocumentError> {
    let ports = each(numbers, list, |number, field| {
        port(*number).in_field(|| field.to_owned())
    })?;
    Ok(ports.into_iter().collect())
}

fn addresses(texts: &[String], list: &str) -> Result<BTreeSet<IpAddr>, DocumentError> {
    let read = |text: &String, field: &str| {
        text.parse()
            .map_err(|_| Problem::Address { text: text.clone() })
            .in_field(|| field.to_owned())
    };
    Ok(each(texts, list, read)?.into_iter().collect())
}
