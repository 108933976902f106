//! Selectors that select nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use palisade_policy::model::{NamespaceScope, Operator, Peer, PodPeer, Selector};

use super::Code;
use super::finding::{Finding, Findings};
use super::hint::Vocabulary;
use super::scene::{Scene, Seen, SeenPeer};
use super::slips;
use super::wording::listed;

/// The label that every namespace has: its name.
const NAME_LABEL: &str = "kubernetes.io/metadata.name";

pub(super) fn check<'a>(scene: &Scene<'a>, seen: &Seen<'a>, findings: &mut Findings) {
    if contradicts_itself(&seen.policy.subject) {
        findings.add(contradiction(
            seen,
            "spec.podSelector".to_owned(),
            &seen.policy.subject,
        ));
    } else if !scene.population.is_empty() {
        findings.extend(subject(scene, seen));
    }
    for (direction, rule, at) in seen.all_peers() {
        let Peer::Pods(peer) = at.peer else { continue };
        let field = seen.field(direction, rule, at);
        let fields = [
            ("namespaceSelector", namespace_selector(peer)),
            ("podSelector", Some(&peer.pods)),
        ];
        let wrong = fields.into_iter().find_map(|(name, selector)| {
            let selector = selector.filter(|selector| contradicts_itself(selector))?;
            Some(contradiction(seen, format!("{field}.{name}"), selector))
        });
        let found = wrong.or_else(|| {
            let slip = slips::is_part_of_one(scene, seen, rule, at);
            let judged = !scene.population.is_empty() && !slip;
            judged.then(|| nobody(scene, seen, at, peer, &field)).flatten()
        });
        findings.extend(found);
    }
}

pub(super) fn namespace_selector(peer: &PodPeer) -> Option<&Selector> {
    match &peer.namespaces {
        NamespaceScope::Own => None,
        NamespaceScope::Matching(selector) => Some(selector),
    }
}

fn contradiction(seen: &Seen<'_>, field: String, selector: &Selector) -> Finding {
    let message = format!("no labels can fulfil {selector}");
    Finding::of_policy(Code::SelectorContradiction, seen.policy, message).at(field)
}

/// Why the policy is for no pod.
fn subject<'a>(scene: &Scene<'a>, seen: &Seen<'a>) -> Option<Finding> {
    let policy = seen.policy;
    if policy.subject.is_everything() || !seen.subject.is_empty() {
        return None;
    }
    let namespace = &policy.key.namespace;
    let pods = scene.population.of_namespace(namespace);
    let elsewhere = elsewhere(scene, &policy.subject);
    if pods.is_empty() {
        let message = match elsewhere {
            Some(others) => format!("{namespace} has no pods; pods of {others} have these labels"),
            None => format!("{namespace} has no pods"),
        };
        return Some(Finding::of_policy(Code::NamespaceEmpty, policy, message).at("metadata.namespace"));
    }
    let hint = scene
        .of_namespace(namespace)
        .hint(&policy.subject, &format!("pod in {namespace}"));
    let message = match (&hint.meant, elsewhere) {
        (None, Some(others)) => format!("{}, but pods of {others} do", hint.text),
        _ => hint.text,
    };
    Some(Finding::of_policy(Code::SubjectSelectsNothing, policy, message).at("spec.podSelector"))
}

/// Why a peer is nobody.
fn nobody<'a>(
    scene: &Scene<'a>,
    seen: &Seen<'a>,
    at: &SeenPeer<'a>,
    peer: &'a PodPeer,
    field: &str,
) -> Option<Finding> {
    let policy = seen.policy;
    let Some(selected) = &at.namespaces else {
        let namespace = &policy.key.namespace;
        let pods = scene.population.of_namespace(namespace);
        if !at.found.is_empty() || peer.pods.is_everything() || pods.is_empty() {
            return None;
        }
        let hint = scene
            .of_namespace(namespace)
            .hint(&peer.pods, &format!("pod in {namespace}"));
        let finding = |message| {
            Finding::of_policy(Code::PeerSelectsNothing, policy, message).at(format!("{field}.podSelector"))
        };
        return Some(match (&hint.meant, elsewhere(scene, &peer.pods)) {
            (None, Some(others)) => finding(format!("{}, but pods of {others} do", hint.text)).fixed_by(
                "A podSelector alone selects in the policy's own namespace: add a namespaceSelector to the entry.",
            ),
            _ => finding(hint.text),
        });
    };
    let selector = namespace_selector(peer)?;
    if selected.is_empty() {
        return Some(no_namespace(scene, seen, selector, field));
    }
    if !at.found.is_empty() || peer.pods.is_everything() {
        return None;
    }
    // Of namespaces without pods nothing can be told.
    if selected
        .iter()
        .all(|name| scene.population.of_namespace(name).is_empty())
    {
        return None;
    }
    let whose = if selector.is_everything() {
        "pod".to_owned()
    } else {
        format!("pod in a namespace with {selector}")
    };
    let hint = scene.of_namespaces(selector, selected).hint(&peer.pods, &whose);
    let message = match (&hint.meant, elsewhere(scene, &peer.pods)) {
        (None, Some(others)) => format!("{}, but pods of {others} do", hint.text),
        _ => hint.text,
    };
    let finding = Finding::of_policy(Code::PeerSelectsNothing, policy, message);
    Some(finding.at(format!("{field}.podSelector")))
}

fn no_namespace(scene: &Scene<'_>, seen: &Seen<'_>, selector: &Selector, field: &str) -> Finding {
    let namespaces = scene.inventory.state.namespaces();
    let labels = namespaces.values().map(|namespace| &namespace.labels);
    let hint = Vocabulary::of(labels).hint(selector, "namespace");
    let by_name = selector
        .requirements()
        .all(|requirement| requirement.key.as_ref() == NAME_LABEL);
    // Names like `team-a` and `team-b` are alike and no mistake, so a name is judged only where all are known.
    let known = scene.is_whole() && (by_name || scene.inventory.undescribed.is_empty());
    let code = if known || (hint.meant.is_some() && !by_name) {
        Code::NamespaceSelectsNothing
    } else {
        Code::NamespaceUnknown
    };
    let message = match code {
        Code::NamespaceUnknown => format!("no namespace that was read has {selector}"),
        _ => hint.text,
    };
    Finding::of_policy(code, seen.policy, message).at(format!("{field}.namespaceSelector"))
}

/// The namespaces whose pods a selector would select.
fn elsewhere(scene: &Scene<'_>, selector: &Selector) -> Option<String> {
    let pods = scene.population.candidates(selector);
    let pods = pods.filter(|class| selector.matches(class.labels));
    let namespaces: BTreeSet<_> = pods.map(|class| class.namespace).collect();
    (!namespaces.is_empty()).then(|| listed(namespaces))
}

/// Whether no labels at all can fulfil a selector.
fn contradicts_itself(selector: &Selector) -> bool {
    /// What is asked of one label.
    #[derive(Default)]
    struct Asked<'a> {
        /// One of these, if any are named.
        one_of: Option<BTreeSet<&'a Arc<str>>>,
        none_of: BTreeSet<&'a Arc<str>>,
        there: bool,
        absent: bool,
    }
    let mut labels: BTreeMap<&str, Asked<'_>> = BTreeMap::new();
    for requirement in selector.requirements() {
        let asked = labels.entry(&requirement.key).or_default();
        match &requirement.operator {
            Operator::In(values) => {
                let before = asked.one_of.take();
                let values = values.iter();
                let values =
                    values.filter(|value| before.as_ref().is_none_or(|before| before.contains(value)));
                asked.one_of = Some(values.collect());
            }
            Operator::NotIn(values) => asked.none_of.extend(values),
            Operator::Exists => asked.there = true,
            Operator::DoesNotExist => asked.absent = true,
        }
    }
    labels.values().any(|asked| {
        let impossible = asked
            .one_of
            .as_ref()
            .is_some_and(|values| values.is_subset(&asked.none_of));
        impossible || (asked.absent && (asked.there || asked.one_of.is_some()))
    })
}

#[cfg(test)]
mod tests {
    use palisade_policy::model::{Requirement, Sorted};

    use super::*;

    fn requirement(key: &str, operator: Operator) -> Requirement {
        Requirement {
            key: key.into(),
            operator,
        }
    }

    fn values(texts: &[&str]) -> Sorted<Arc<str>> {
        texts.iter().map(|text| Arc::from(*text)).collect()
    }

    #[test]
    fn selectors_that_nothing_can_fulfil_are_told_from_strict_ones() {
        use Operator::{DoesNotExist, Exists, In, NotIn};
        for (operators, expected) in [
            (vec![In(values(&["a"])), In(values(&["b"]))], true),
            (vec![In(values(&["a", "b"])), In(values(&["b", "c"]))], false),
            (vec![In(values(&["a"])), NotIn(values(&["a", "b"]))], true),
            (vec![In(values(&["a", "b"])), NotIn(values(&["a"]))], false),
            (vec![Exists, DoesNotExist], true),
            (vec![In(values(&["a"])), DoesNotExist], true),
            (vec![NotIn(values(&["a"])), DoesNotExist], false),
            (vec![], false),
        ] {
            let selector: Selector = operators
                .iter()
                .map(|operator| requirement("app", operator.clone()))
                .collect();
            assert_eq!(contradicts_itself(&selector), expected, "{selector}");
        }
    }
}
