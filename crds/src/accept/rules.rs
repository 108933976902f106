//! The policies.

use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, LabelSelectorRequirement};
use palisade_policy::model::{
    Defect, Direction, IpBlock, Operator, PolicyKey, PortName, PortRange, Requirement, Selector, Sorted,
};
use palisade_policy::rules::{
    CompiledPeers, CompiledPolicy, CompiledPort, CompiledPorts, CompiledRule, GroupId, NamedPort, PolicyRules,
};

use super::{each, network, port, present, protocol};
use crate::error::{DocumentError, InField, Problem};
use crate::policy_slice::{BlockEntry, PolicyEntry, PortEntry, RuleEntry};

pub(super) fn policy(entry: &PolicyEntry, field: &str) -> Result<(PolicyKey, CompiledPolicy), DocumentError> {
    let unreadable = || Problem::Key {
        text: entry.policy.clone(),
    };
    let key = PolicyKey::parse(&entry.policy).ok_or_else(unreadable);
    let key = key.in_field(|| format!("{field}.policy"))?;
    let subject = selector(&entry.pod_selector, &format!("{field}.podSelector"))?;
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
    Ok((key, CompiledPolicy { subject, rules }))
}

fn selector(selector: &LabelSelector, field: &str) -> Result<Selector, DocumentError> {
    let labels = selector.match_labels.iter().flatten();
    let labels = labels.map(|(key, value)| Requirement::equals(key.as_str(), value.as_str()));
    let expressions = selector.match_expressions.as_deref().unwrap_or_default();
    let expressions = each(expressions, &format!("{field}.matchExpressions"), requirement)?;
    Ok(labels.chain(expressions).collect())
}

fn requirement(entry: &LabelSelectorRequirement, field: &str) -> Result<Requirement, DocumentError> {
    let values = || -> Result<Sorted<Arc<str>>, DocumentError> {
        let values = entry.values.iter().flatten();
        let values: Sorted<Arc<str>> = values.map(|value| value.as_str().into()).collect();
        let some = (!values.is_empty()).then_some(values);
        some.ok_or(Problem::Empty).in_field(|| format!("{field}.values"))
    };
    let operator = match entry.operator.as_str() {
        "In" => Operator::In(values()?),
        "NotIn" => Operator::NotIn(values()?),
        "Exists" | "DoesNotExist" if entry.values.iter().flatten().next().is_some() => {
            return Err(Problem::Contradiction { other: "values" }).in_field(|| format!("{field}.operator"));
        }
        "Exists" => Operator::Exists,
        "DoesNotExist" => Operator::DoesNotExist,
        text => {
            return Err(Problem::Operator {
                text: text.to_owned(),
            })
            .in_field(|| format!("{field}.operator"));
        }
    };
    let key = present(&entry.key).in_field(|| format!("{field}.key"))?;
    Ok(Requirement {
        key: key.into(),
        operator,
    })
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
