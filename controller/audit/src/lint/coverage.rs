//! What no policy speaks of: namespaces without a default.

use std::collections::HashSet;

use palisade_policy::model::{Direction, NamespaceName};

use super::Code;
use super::finding::{Finding, Findings};
use super::population::Class;
use super::scene::Scene;
use super::wording::{counted, pod_count, pods};
use crate::inventory::ObjectRef;

pub(super) fn check(scene: &Scene<'_>, findings: &mut Findings) {
    let defaults = |direction| {
        let policies = scene.policies().iter().map(|seen| seen.policy);
        let defaults = policies.filter(move |policy| policy.subject.is_everything());
        let defaults = defaults.filter(move |policy| policy.rules(direction).is_some());
        defaults
            .map(|policy| &policy.key.namespace)
            .collect::<HashSet<_>>()
    };
    for (direction, code) in [
        (Direction::Ingress, Code::OpenIngress),
        (Direction::Egress, Code::OpenEgress),
    ] {
        let defaults = defaults(direction);
        for (name, classes) in scene.population.namespaces() {
            let classes: Vec<&Class<'_>> = classes.iter().filter(|class| class.is_workload()).collect();
            if classes.is_empty() || defaults.contains(name) {
                continue;
            }
            let message = open(scene, &classes, direction);
            findings.add(Finding::new(
                code,
                ObjectRef::Namespace(NamespaceName::clone(name)),
                message,
            ));
        }
    }
}

fn open(scene: &Scene<'_>, classes: &[&Class<'_>], direction: Direction) -> String {
    let all = pod_count(classes.iter().copied());
    let open = classes.iter().copied();
    let open = open.filter(|class| scene.isolating(class, direction).is_empty());
    let open: Vec<&Class<'_>> = open.collect();
    let count = pod_count(open.iter().copied());
    if count == 0 {
        return format!(
            "policies isolate {} for {direction}, but none would isolate a new one",
            if all == 1 {
                "its only pod".to_owned()
            } else {
                format!("all {}", counted(all, "pod"))
            }
        );
    }
    let verb = if count == 1 { "is" } else { "are" };
    let which = match (count, all) {
        (1, 1) => "its only pod".to_owned(),
        _ => format!("{count} of {}", counted(all, "pod")),
    };
    format!("{which} {verb} open for {direction}: {}", pods(open))
}
