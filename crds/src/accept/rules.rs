//! The rules of the policies, and whether every reference finds what it names.

use std::collections::BTreeSet;

use palisade_policy::model::{Defect, Direction, IpBlock, PolicyKey, PortName, PortRange};
use palisade_policy::rules::{
    CompiledPeers, CompiledPort, CompiledPorts, CompiledRule, GroupId, NamedPort, NodeRules, PolicyRules,
};

use super::{each, network, policy_key, port, present, protocol};
use crate::error::{DocumentError, InField, Problem};
use crate::node_rule_set::{BlockEntry, PolicyEntry, PortEntry, RuleEntry};

const BOTH: [(Direction, &str); 2] = [(Direction::Ingress, "ingress"), (Direction::Egress, "egress")];

pub(super) fn policy(entry: &PolicyEntry, field: &str) -> Result<(PolicyKey, PolicyRules), DocumentError> {
    let key = policy_key(&entry.policy).in_field(|| format!("{field}.policy"))?;
    let rules = |entries: &Option<Vec<RuleEntry>>, direction: Direction| {
        let list = format!("{field}.{direction}");
        entries
            .as_deref()
            .map(|entries| each(entries, &list, |entry, field| rule(entry, direction, field)))
            .transpose()
    };
    let rules = PolicyRules {
        ingress: rules(&entry.ingress, Direction::Ingress)?,
        egress: rules(&entry.egress, Direction::Egress)?,
        defects: entry
            .defects
            .iter()
            .map(|defect| Defect {
                field: defect.field.clone(),
                message: defect.message.clone(),
            })
            .collect(),
    };
    Ok((key, rules))
}

fn rule(entry: &RuleEntry, direction: Direction, field: &str) -> Result<CompiledRule, DocumentError> {
    Ok(CompiledRule {
        index: entry.index,
        peers: peers(entry, field)?,
        ports: compiled_ports(entry, direction, field)?,
    })
}

fn peers(entry: &RuleEntry, field: &str) -> Result<CompiledPeers, DocumentError> {
    if entry.any_peer {
        let lists = [
            ("groups", entry.groups.is_empty()),
            ("blocks", entry.blocks.is_empty()),
        ];
        exclusive("anyPeer", lists, field)?;
        return Ok(CompiledPeers::All);
    }
    let groups = each(&entry.groups, &format!("{field}.groups"), |text, field| {
        GroupId::parse(text).in_field(|| field.to_owned())
    })?;
    let blocks = each(&entry.blocks, &format!("{field}.blocks"), block)?;
    Ok(CompiledPeers::AnyOf {
        groups: groups.into_iter().collect(),
        blocks: blocks.into_iter().collect(),
    })
}

fn block(entry: &BlockEntry, field: &str) -> Result<IpBlock, DocumentError> {
    let cidr = network(&entry.cidr).in_field(|| format!("{field}.cidr"))?;
    let list = format!("{field}.except");
    let except = each(&entry.except, &list, |text, field| {
        network(text).in_field(|| field.to_owned())
    })?;
    IpBlock::new(cidr, except).in_field(|| list)
}

fn compiled_ports(
    entry: &RuleEntry,
    direction: Direction,
    field: &str,
) -> Result<CompiledPorts, DocumentError> {
    if entry.any_port {
        exclusive(
            "anyPort",
            [
                ("ports", entry.ports.is_empty()),
                ("memberPorts", entry.member_ports.is_none()),
            ],
            field,
        )?;
        return Ok(CompiledPorts::All);
    }
    let Some(text) = &entry.member_ports else {
        let read = |entry: &PortEntry, field: &str| compiled_port(entry, direction, field);
        let ports: Vec<CompiledPort> = each(&entry.ports, &format!("{field}.ports"), read)?;
        return Ok(CompiledPorts::AnyOf(ports.into_iter().collect()));
    };
    let others = [
        ("ports", entry.ports.is_empty()),
        ("anyPeer", !entry.any_peer),
        ("blocks", entry.blocks.is_empty()),
    ];
    exclusive("memberPorts", others, field)?;
    let field = || format!("{field}.memberPorts");
    if direction == Direction::Ingress {
        return Err(Problem::DirectionMismatch { direction }).in_field(field);
    }
    protocol(text).in_field(field).map(CompiledPorts::OfMembers)
}

fn compiled_port(
    entry: &PortEntry,
    direction: Direction,
    field: &str,
) -> Result<CompiledPort, DocumentError> {
    let protocol = protocol(&entry.protocol).in_field(|| format!("{field}.protocol"))?;
    if let Some(name) = &entry.name {
        exclusive(
            "name",
            [
                ("port", entry.port.is_none()),
                ("endPort", entry.end_port.is_none()),
            ],
            field,
        )?;
        let field = || format!("{field}.name");
        if direction == Direction::Egress {
            return Err(Problem::DirectionMismatch { direction }).in_field(field);
        }
        let name = PortName::from(present(name).in_field(field)?);
        return Ok(CompiledPort::Named(NamedPort { name, protocol }));
    }
    match (entry.port, entry.end_port) {
        (None, None) => Ok(CompiledPort::Protocol(protocol)),
        (None, Some(_)) => Err(Problem::Missing).in_field(|| format!("{field}.port")),
        (Some(first), last) => {
            let first = port(first).in_field(|| format!("{field}.port"))?;
            let end = || format!("{field}.endPort");
            let last = last.map_or(Ok(first), port).in_field(end)?;
            let range = PortRange::new(first, last).in_field(end)?;
            Ok(CompiledPort::Range(protocol, range))
        }
    }
}

/// `name` is set: every one of the others must be absent.
fn exclusive<const N: usize>(
    name: &str,
    others: [(&'static str, bool); N],
    field: &str,
) -> Result<(), DocumentError> {
    match others.into_iter().find(|(_, absent)| !absent) {
        Some((other, _)) => Err(Problem::Contradiction { other }).in_field(|| format!("{field}.{name}")),
        None => Ok(()),
    }
}

/// Every profile, policy and group that something refers to is there, and of the right direction.
pub(super) fn check_references(rules: &NodeRules) -> Result<(), DocumentError> {
    for (index, pod) in rules.pods.values().enumerate() {
        for (direction, name) in BOTH {
            let Some(id) = pod.profile(direction) else {
                continue;
            };
            let problem = match rules.profiles.get(id) {
                None => Problem::DanglingProfile { id: id.to_string() },
                Some(profile) if profile.direction != direction => Problem::DirectionMismatch { direction },
                Some(_) => continue,
            };
            return Err(problem).in_field(|| format!("spec.pods[{index}].{name}"));
        }
    }
    for (index, profile) in rules.profiles.values().enumerate() {
        let direction = profile.direction;
        let has_rules = |key: &PolicyKey| {
            rules
                .policies
                .get(key)
                .is_some_and(|rules| rules.rules(direction).is_some())
        };
        if let Some(key) = profile.policies.iter().find(|key| !has_rules(key)) {
            let problem = Problem::DanglingPolicy {
                policy: key.to_string(),
                direction,
            };
            return Err(problem).in_field(|| format!("spec.profiles[{index}].policies"));
        }
    }
    let known: BTreeSet<&GroupId> = rules.groups.keys().collect();
    for (index, policy) in rules.policies.values().enumerate() {
        for (direction, name) in BOTH {
            for (place, rule) in policy.rules(direction).unwrap_or_default().iter().enumerate() {
                let CompiledPeers::AnyOf { groups, .. } = &rule.peers else {
                    continue;
                };
                if let Some(id) = groups.iter().find(|id| !known.contains(id)) {
                    return Err(Problem::DanglingGroup { id: id.to_string() })
                        .in_field(|| format!("spec.policies[{index}].{name}[{place}].groups"));
                }
            }
        }
    }
    Ok(())
}
