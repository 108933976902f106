//! Ports: by name, by the number of a Service, and without any.

use std::collections::BTreeSet;

use palisade_policy::model::{Direction, Peer, PolicyPort, PortMatch, PortName, Ports};

use super::Code;
use super::finding::{Finding, Findings};
use super::hint::nearest;
use super::population::Class;
use super::scene::{Scene, Seen, SeenRule};
use super::wording::listed;
use crate::inventory::ObjectRef;

pub(super) fn check<'a>(scene: &Scene<'a>, seen: &Seen<'a>, findings: &mut Findings) {
    for (direction, rule) in seen.all_rules() {
        let Ports::AnyOf(entries) = &rule.rule.ports else {
            continue;
        };
        findings.extend(whole_protocol(seen, direction, rule, entries));
        for (index, entry) in entries.iter().enumerate() {
            let field = || seen.fields.port(direction, rule.index, index);
            let found = match &entry.port {
                PortMatch::Named(name) => undeclared(scene, seen, direction, rule, entry, name),
                PortMatch::Range(range) if range.first() == range.last() => {
                    of_service(scene, seen, direction, rule, entry, range.first())
                }
                PortMatch::Range(_) | PortMatch::Any => None,
            };
            findings.extend(found.map(|finding| finding.at(format!("{}.port", field()))));
        }
    }
}

/// An entry for a whole protocol beside others of it.
fn whole_protocol(
    seen: &Seen<'_>,
    direction: Direction,
    rule: &SeenRule<'_>,
    entries: &[PolicyPort],
) -> Option<Finding> {
    let (index, whole, other) = entries.iter().enumerate().find_map(|(index, entry)| {
        let mut others = entries
            .iter()
            .filter(|other| other.protocol == entry.protocol && other.port != PortMatch::Any);
        let other = others.next()?;
        (entry.port == PortMatch::Any).then_some((index, entry, other))
    })?;
    let message = format!(
        "allows every port of {}, so that {other} beside it restricts nothing",
        whole.protocol
    );
    let finding = Finding::of_policy(Code::WholeProtocol, seen.policy, message);
    Some(finding.at(seen.fields.port(direction, rule.index, index)))
}

/// A name that no destination declares.
fn undeclared(
    scene: &Scene<'_>,
    seen: &Seen<'_>,
    direction: Direction,
    rule: &SeenRule<'_>,
    entry: &PolicyPort,
    name: &PortName,
) -> Option<Finding> {
    let all = || {
        scene
            .population
            .classes()
            .iter()
            .filter(|class| class.is_workload())
    };
    let (destinations, whose): (Vec<&Class<'_>>, _) = match direction {
        Direction::Ingress => (seen.subject.workloads.clone(), "pod that the policy selects"),
        // Of a part of a cluster it is not known who else there is.
        Direction::Egress if rule.is_for_everybody() => (
            if scene.unread.is_nothing() {
                all().collect()
            } else {
                Vec::new()
            },
            "pod",
        ),
        Direction::Egress => {
            let blocks = rule.peers.iter().any(|at| matches!(at.peer, Peer::Block(_)));
            let found = rule
                .peers
                .iter()
                .flat_map(|at| at.found.workloads.iter().copied());
            let mut found: Vec<&Class<'_>> = found.collect();
            if blocks {
                found = all().filter(|class| rule.includes(class)).collect();
                if found.is_empty() && rule.peers.iter().all(|at| matches!(at.peer, Peer::Block(_))) {
                    let message = format!("{name} is no port of an address: only pods have names for ports");
                    return Some(Finding::of_policy(
                        Code::NamedPortUndeclared,
                        seen.policy,
                        message,
                    ));
                }
            }
            (found, "pod that the rule selects")
        }
    };
    let declared = |class: &&Class<'_>| {
        let mut ports = class.ports.iter();
        ports.any(|port| port.name == *name && port.protocol == entry.protocol)
    };
    if destinations.is_empty() || destinations.iter().any(declared) {
        return None;
    }
    let known = destinations.iter().flat_map(|class| class.ports);
    let other = known.clone().find(|port| port.name == *name);
    let names: BTreeSet<&str> = known
        .filter(|port| port.protocol == entry.protocol)
        .map(|port| port.name.as_str())
        .collect();
    let hint = match (other, nearest(name.as_str(), names.iter().copied())) {
        (Some(port), _) => format!("; it is declared for {}", port.protocol),
        (None, Some(meant)) => format!("; was {meant} meant?"),
        (None, None) if names.is_empty() => String::new(),
        (None, None) => format!(" (there is {})", listed(names)),
    };
    let message = format!("no {whose} declares a port {name} for {}{hint}", entry.protocol);
    Some(Finding::of_policy(
        Code::NamedPortUndeclared,
        seen.policy,
        message,
    ))
}

/// A number that is the port of Services, and of no pod that the rule is for.
fn of_service<'a>(
    scene: &Scene<'a>,
    seen: &Seen<'a>,
    direction: Direction,
    rule: &SeenRule<'a>,
    entry: &PolicyPort,
    number: u16,
) -> Option<Finding> {
    let offers: Vec<_> = match direction {
        Direction::Ingress => vec![scene.offers.of(&seen.subject)],
        Direction::Egress => rule.peers.iter().map(|at| scene.offers.of(&at.found)).collect(),
    };
    let port = (entry.protocol, number);
    if offers.iter().any(|offer| offer.listens(port)) {
        return None;
    }
    let service = offers.iter().find_map(|offer| offer.service(port))?;
    let message = format!(
        "{number} is the port of Service {}, whose pods listen on {}",
        service.key,
        listed(&service.targets)
    );
    let finding = Finding::of_policy(Code::ServicePort, seen.policy, message);
    let finding = finding.fixed_by(format!(
        "Write {} in place of {number}.",
        listed(&service.targets)
    ));
    Some(finding.related_to([ObjectRef::Service(service.key.clone())]))
}
