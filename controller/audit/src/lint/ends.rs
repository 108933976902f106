//! Connections that one end allows and the other does not.

use palisade_policy::model::{Direction, Peer};
use palisade_policy::reach::PortSet;

use super::Code;
use super::finding::{Finding, Findings};
use super::population::Class;
use super::scene::{Scene, Seen, SeenPeer, SeenRule};
use super::wording::{listed, pods};

/// Pairs of classes that are looked at for one peer before it is taken for one that works.
const PAIRS: usize = 20_000;

pub(super) fn check(scene: &Scene<'_>, seen: &Seen<'_>, findings: &mut Findings) {
    for (direction, rule, at) in seen.all_peers() {
        if !matches!(at.peer, Peer::Pods(_)) || works(scene, seen, direction, rule, at) {
            continue;
        }
        let other = opposite(direction);
        let others: Vec<&Class<'_>> = at
            .found
            .iter()
            .copied()
            .filter(|class| class.is_workload())
            .collect();
        let mut policies: Vec<_> = others
            .iter()
            .flat_map(|class| scene.at(scene.isolating(class, other)))
            .map(|seen| &seen.policy.key)
            .collect();
        policies.sort();
        policies.dedup();
        let message = format!(
            "the policies for {other} of {} ({}) let none of it through",
            pods(others),
            listed(policies.iter())
        );
        let finding = Finding::of_policy(Code::OtherEnd, seen.policy, message);
        let finding = finding.related_to(
            policies
                .into_iter()
                .map(|key| crate::inventory::ObjectRef::Policy(key.clone())),
        );
        findings.add(finding.at(seen.field(direction, rule, at)));
    }
}

fn opposite(direction: Direction) -> Direction {
    match direction {
        Direction::Ingress => Direction::Egress,
        Direction::Egress => Direction::Ingress,
    }
}

/// Whether any connection passes at both ends, of those that a peer allows at this one. With nobody at either end there is
/// nothing to say.
fn works(
    scene: &Scene<'_>,
    seen: &Seen<'_>,
    direction: Direction,
    rule: &SeenRule<'_>,
    at: &SeenPeer<'_>,
) -> bool {
    let other = opposite(direction);
    let others = at.found.iter().copied().filter(|class| class.is_workload());
    let pairs = others.flat_map(|there| seen.workloads().map(move |here| (here, there)));
    let mut pairs = pairs.take(PAIRS + 1).enumerate().peekable();
    if pairs.peek().is_none() {
        return true;
    }
    pairs.any(|(count, (here, there))| {
        // A pod may always reach itself, which is no use of a rule.
        let isolating = scene.isolating(there, other);
        count == PAIRS || isolating.is_empty() || {
            let destination = match direction {
                Direction::Ingress => here,
                Direction::Egress => there,
            };
            let wanted = destination.allowed_ports(&rule.rule.ports);
            let mut policies = scene.at(isolating);
            policies.any(|policy| allows(policy, other, here, destination, &wanted))
        }
    })
}

/// Whether a policy allows any of some ports between its pods and others.
fn allows(
    policy: &Seen<'_>,
    direction: Direction,
    others: &Class<'_>,
    destination: &Class<'_>,
    wanted: &PortSet,
) -> bool {
    let mut rules = policy
        .rules(direction)
        .iter()
        .filter(|rule| rule.includes(others));
    rules.any(|rule| {
        let ports = destination.allowed_ports(&rule.rule.ports);
        !ports.intersection(wanted).is_empty()
    })
}
