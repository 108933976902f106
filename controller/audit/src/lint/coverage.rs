//! What no policy speaks of: namespaces without a default.

use std::collections::HashMap;

use palisade_policy::model::{Direction, NamespaceName};

use super::Code;
use super::cover;
use super::finding::{Finding, Findings};
use super::population::Class;
use super::scene::{Scene, Seen};
use super::wording::{counted, pod_count, pods};
use crate::inventory::ObjectRef;

pub(super) fn check(scene: &Scene<'_>, findings: &mut Findings) {
    let first = by_namespace(scene.policies().iter());
    for (direction, code) in [
        (Direction::Ingress, Code::OpenIngress),
        (Direction::Egress, Code::OpenEgress),
    ] {
        // A policy that allows everything to all pods isolates them, and denies nothing.
        let (open, closed): (Vec<&Seen<'_>>, Vec<&Seen<'_>>) =
            defaults(scene, direction).partition(|seen| allows_everything(seen, direction));
        let (open, closed) = (by_namespace(open), by_namespace(closed));
        for (name, classes) in scene.population.namespaces() {
            let classes: Vec<&Class<'_>> = classes.iter().filter(|class| class.is_workload()).collect();
            let Some(pod) = classes.first().and_then(|class| class.pods.first()) else {
                continue;
            };
            let allowing = open.get(name);
            if allowing.is_none() && closed.contains_key(name) {
                continue;
            }
            let message = match allowing {
                Some(seen) => format!("{} allows all {direction} of all its pods", seen.policy.key),
                None => open_pods(scene, &classes, direction),
            };
            let object = ObjectRef::Namespace(NamespaceName::clone(name));
            // Many a namespace is written nowhere. Who looks for it finds one of these.
            let policy = allowing.or_else(|| first.get(name)).map(|seen| seen.object());
            let near = policy.unwrap_or_else(|| ObjectRef::Pod(pod.key.clone()));
            findings.add(Finding::new(code, object, message).related_to([near]));
        }
    }
}

/// The first policy of each namespace.
fn by_namespace<'s, 'a: 's>(
    policies: impl IntoIterator<Item = &'s Seen<'a>>,
) -> HashMap<&'s NamespaceName, &'s Seen<'a>> {
    let mut first = HashMap::new();
    for seen in policies {
        first.entry(&seen.policy.key.namespace).or_insert(seen);
    }
    first
}

/// The policies for all pods of a namespace.
fn defaults<'s, 'a>(scene: &'s Scene<'a>, direction: Direction) -> impl Iterator<Item = &'s Seen<'a>> {
    let policies = scene.policies().iter();
    let policies = policies.filter(|seen| seen.policy.subject.is_everything());
    policies.filter(move |seen| seen.policy.rules(direction).is_some())
}

fn allows_everything(seen: &Seen<'_>, direction: Direction) -> bool {
    let mut rules = seen.rules(direction).iter();
    rules.any(|rule| cover::is_everything(rule.rule))
}

fn open_pods(scene: &Scene<'_>, classes: &[&Class<'_>], direction: Direction) -> String {
    let all = pod_count(classes.iter().copied());
    let open = classes.iter().copied();
    let open = open.filter(|class| {
        let places = scene.isolating(class, direction);
        let allowed = scene.at(places).any(|seen| allows_everything(seen, direction));
        places.is_empty() || allowed
    });
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
