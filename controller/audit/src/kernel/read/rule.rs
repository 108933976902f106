//! The statements of a rule.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::Value;

use super::value::{self, Raw};
use crate::kernel::ruleset::{
    Body, Condition, Element, Family, Field, Frame, Kind, Lookup, NotUnderstood, Outcome, Part, Set, SetRef,
    Verdict,
};
use crate::kernel::transport::{ICMP, ICMP_V6};

/// What a rule says.
pub(super) fn body(family: Family, statements: &[Value]) -> Result<Body, NotUnderstood> {
    let mut conditions = Vec::new();
    let mut outcome = None;
    for statement in statements {
        if outcome.is_some() {
            return Err(NotUnderstood(format!("{statement} after the verdict")));
        }
        let (name, content) = single(statement)?;
        match name {
            "match" => conditions.push(condition(family, content)?),
            "vmap" => outcome = Some(mapped(content)?),
            // They count and tell, and let the packet go on.
            "counter" | "log" | "comment" => {}
            _ => outcome = Some(Outcome::Always(verdict(statement)?)),
        }
    }
    let outcome = outcome.unwrap_or(Outcome::Always(Verdict::Continue));
    Ok(Body { conditions, outcome })
}

/// A verdict as a statement, or as a value of a map.
pub(super) fn verdict(statement: &Value) -> Result<Verdict, NotUnderstood> {
    let (name, content) = single(statement)?;
    let target = || {
        let target = content.get("target").and_then(Value::as_str);
        target
            .map(str::to_owned)
            .ok_or_else(|| NotUnderstood(format!("{statement} leads nowhere")))
    };
    Ok(match name {
        "accept" => Verdict::Accept,
        // Whoever is told why, the packet is gone.
        "drop" | "reject" => Verdict::Drop,
        "continue" => Verdict::Continue,
        "return" => Verdict::Return,
        "jump" => Verdict::Jump(target()?),
        "goto" => Verdict::Goto(target()?),
        other => return Err(NotUnderstood(format!("the statement {other} is not known"))),
    })
}

/// Name and content of an object with one field.
fn single(object: &Value) -> Result<(&str, &Value), NotUnderstood> {
    let fields = object.as_object().filter(|fields| fields.len() == 1);
    let field = fields.and_then(|fields| fields.iter().next());
    let (name, content) = field.ok_or_else(|| NotUnderstood(format!("{object} is not known")))?;
    Ok((name, content))
}

fn field_of<'v>(object: &'v Value, field: &str) -> Result<&'v Value, NotUnderstood> {
    object
        .get(field)
        .ok_or_else(|| NotUnderstood(format!("{object} has no field {field}")))
}

fn mapped(content: &Value) -> Result<Outcome, NotUnderstood> {
    let key = fields(field_of(content, "key")?)?;
    let map = set(field_of(content, "data")?, &key, Holds::Verdicts)?;
    Ok(Outcome::Mapped { key, map })
}

fn condition(family: Family, content: &Value) -> Result<Condition, NotUnderstood> {
    let (left, right) = (field_of(content, "left")?, field_of(content, "right")?);
    let operator = field_of(content, "op")?.as_str().unwrap_or_default();
    let negated = match operator {
        "==" | "in" | "<" | "<=" | ">" | ">=" => false,
        "!=" => true,
        other => return Err(NotUnderstood(format!("the operator {other} is not known"))),
    };
    if let Some(state) = left.get("ct") {
        // Elsewhere a packet may not have been looked up yet.
        if family != Family::Inet {
            return Err(NotUnderstood(format!("ct in a table of family {family}")));
        }
        return connection(state, operator, right);
    }
    let key = fields(left)?;
    // In these families it is the number of the family itself.
    if family != Family::Inet && left.pointer("/meta/key").is_some_and(|key| key == "nfproto") {
        return Err(NotUnderstood(format!("nfproto in a table of family {family}")));
    }
    let set = match operator {
        "<" | "<=" | ">" | ">=" => compared(&key, operator, right)?,
        _ => set(right, &key, Holds::Values)?,
    };
    Ok(Condition::Lookup(Lookup { key, set, negated }))
}

/// What a condition on the connection holds of. `nft` writes `ct state a,b` as a list that any of them must be `in`.
fn connection(field: &Value, operator: &str, states: &Value) -> Result<Condition, NotUnderstood> {
    if field.get("key").and_then(Value::as_str) != Some("state") {
        return Err(NotUnderstood(format!("ct {field} is not known")));
    }
    let unknown = || NotUnderstood(format!("ct state {operator} {states} is not known"));
    let (listed, is_list) = match states.get("set") {
        Some(set) => (set, false),
        None => (states, states.is_array()),
    };
    let listed = listed
        .as_array()
        .map_or(std::slice::from_ref(listed), Vec::as_slice);
    let negated = match (operator, is_list) {
        ("in", _) | ("==", false) => false,
        ("!=", false) => true,
        _ => return Err(unknown()),
    };
    let (mut new, mut established) = (false, false);
    for state in listed {
        match state.as_str() {
            Some("new") => new = true,
            Some("established") => established = true,
            Some("related" | "invalid" | "untracked") => {}
            Some(_) | None => return Err(unknown()),
        }
    }
    Ok(Condition::OfConnections {
        new: new != negated,
        established: established != negated,
    })
}

/// The fields that an expression stands for.
fn fields(expression: &Value) -> Result<Vec<Field>, NotUnderstood> {
    match expression.get("concat").and_then(Value::as_array) {
        Some(parts) => parts.iter().map(field).collect(),
        None => Ok(vec![field(expression)?]),
    }
}

fn field(expression: &Value) -> Result<Field, NotUnderstood> {
    let unknown = || NotUnderstood(format!("the expression {expression} is not known"));
    let (name, content) = single(expression)?;
    let text = |field: &str| content.get(field).and_then(Value::as_str).unwrap_or_default();
    match name {
        "meta" => match text("key") {
            // By number or by name: what is printed is the name.
            "iifname" | "iif" => Ok(Field::Input),
            "oifname" | "oif" => Ok(Field::Output),
            "l4proto" => Ok(Field::Protocol),
            "nfproto" | "protocol" => Ok(Field::Frame),
            "pkttype" => Ok(Field::Cast),
            _ => Err(unknown()),
        },
        "payload" => match (text("protocol"), text("field")) {
            ("ip", "saddr") => Ok(Field::Source(Frame::V4)),
            ("ip", "daddr") => Ok(Field::Destination(Frame::V4)),
            ("ip6", "saddr") => Ok(Field::Source(Frame::V6)),
            ("ip6", "daddr") => Ok(Field::Destination(Frame::V6)),
            ("arp", "saddr ip") => Ok(Field::Source(Frame::Arp)),
            ("th", "dport") => Ok(Field::DestinationPort(None)),
            ("th", "sport") => Ok(Field::SourcePort(None)),
            (protocol @ ("tcp" | "udp" | "sctp" | "dccp" | "udplite"), "sport") => {
                Ok(Field::SourcePort(value::protocol(protocol)))
            }
            (protocol @ ("tcp" | "udp" | "sctp" | "dccp" | "udplite"), "dport") => {
                Ok(Field::DestinationPort(value::protocol(protocol)))
            }
            ("icmp", "type") => Ok(Field::IcmpType(ICMP)),
            ("icmpv6", "type") => Ok(Field::IcmpType(ICMP_V6)),
            _ => Err(unknown()),
        },
        _ => Err(unknown()),
    }
}

/// What a set that is part of a rule holds.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Holds {
    Values,
    Verdicts,
}

/// The set that fields are looked up in: one that is named, one that is written here, or a single value.
fn set(right: &Value, key: &[Field], holds: Holds) -> Result<SetRef, NotUnderstood> {
    if let Some(name) = right.as_str().and_then(|text| text.strip_prefix('@')) {
        return Ok(SetRef::Named(name.to_owned()));
    }
    let raw = Raw::deserialize(right).map_err(|error| NotUnderstood(format!("{right}: {error}")))?;
    let kinds: Vec<Kind> = key.iter().map(|field| field.kind()).collect();
    let values = match &raw {
        Raw::Set(values) => values.as_slice(),
        single => std::slice::from_ref(single),
    };
    let element = |value: &Raw| super::element(value, &kinds, holds == Holds::Verdicts);
    let elements = values.iter().map(element).collect::<Result<_, _>>()?;
    let set = Set::new(kinds, elements);
    let set = match holds {
        Holds::Values => set,
        Holds::Verdicts => set.unambiguous()?,
    };
    Ok(SetRef::Here(Arc::new(set)))
}

/// The numbers that stand in a relation to another.
fn compared(key: &[Field], operator: &str, right: &Value) -> Result<SetRef, NotUnderstood> {
    let unknown = || NotUnderstood(format!("{operator} {right} is not known"));
    let [field] = key else { return Err(unknown()) };
    let kind = field.kind();
    if !kind.is_ordered() {
        return Err(unknown());
    }
    let raw = Raw::deserialize(right).map_err(|_| unknown())?;
    let Part::Numbers(first, last) = value::part(&raw, kind)? else {
        return Err(unknown());
    };
    let part = match operator {
        "<" => first.checked_sub(1).map(|last| (0, last)),
        "<=" => Some((0, last)),
        ">" => last.checked_add(1).map(|first| (first, kind.last())),
        _ => Some((first, kind.last())),
    };
    let elements = part
        .filter(|(first, last)| first <= last)
        .map(|(first, last)| Element {
            parts: [Part::Numbers(first, last)].into(),
            verdict: None,
            comment: None,
        });
    Ok(SetRef::Here(Arc::new(Set::new(
        vec![kind],
        elements.into_iter().collect(),
    ))))
}
