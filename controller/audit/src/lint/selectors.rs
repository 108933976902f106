//! Selectors that select nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use palisade_policy::model::{NamespaceName, NamespaceScope, Operator, Peer, PodPeer, Selector};

use super::Code;
use super::finding::{Finding, Findings};
use super::hint::{Hint, Vocabulary};
use super::scene::{Scene, Seen, SeenPeer};
use super::slips;
use super::unread::{Doubt, is_by_name};
use super::wording::listed;

/// The label that every namespace has: its name.
pub(super) const NAME_LABEL: &str = "kubernetes.io/metadata.name";

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
    if scene.unread.labels([namespace], &policy.subject) {
        return None;
    }
    let hint = scene
        .of_namespace(namespace)
        .hint(&policy.subject, &format!("pod in {namespace}"));
    if let Some(unread) = maybe_unread(scene, seen, [namespace], &hint) {
        return Some(unread.at("spec.podSelector"));
    }
    let message = with_elsewhere(hint, elsewhere);
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
    let finding =
        |code, message| Finding::of_policy(code, policy, message).at(format!("{field}.podSelector"));
    let Some(selected) = &at.namespaces else {
        let namespace = &policy.key.namespace;
        let pods = scene.population.of_namespace(namespace);
        if !at.found.is_empty() || peer.pods.is_everything() || pods.is_empty() {
            return None;
        }
        if scene.unread.labels([namespace], &peer.pods) {
            return None;
        }
        let hint = scene
            .of_namespace(namespace)
            .hint(&peer.pods, &format!("pod in {namespace}"));
        if let Some(unread) = maybe_unread(scene, seen, [namespace], &hint) {
            return Some(unread.at(format!("{field}.podSelector")));
        }
        let elsewhere = elsewhere(scene, &peer.pods).filter(|_| hint.meant.is_none());
        let is_elsewhere = elsewhere.is_some();
        let finding = finding(Code::PeerSelectsNothing, with_elsewhere(hint, elsewhere));
        return Some(if is_elsewhere {
            finding.fixed_by(
                "A podSelector alone selects in the policy's own namespace: add a namespaceSelector to the entry.",
            )
        } else {
            finding
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
    let doubt = scene.unread.doubt(seen, at);
    let (read, whose) = match doubt {
        Some(Doubt::Labels) => return None,
        Some(Doubt::AnyNamespaces | Doubt::LikeNamespaces | Doubt::NoNamespace) => {
            (true, "pod that was read")
        }
        Some(Doubt::Pods) | None => (false, "pod"),
    };
    let whose = if selector.is_everything() {
        whose.to_owned()
    } else {
        format!("{whose} in a namespace with {selector}")
    };
    let hint = scene.of_namespaces(selector, selected).hint(&peer.pods, &whose);
    if doubt == Some(Doubt::AnyNamespaces) || (read && hint.meant.is_none()) {
        return Some(finding(Code::NamespaceUnknown, hint.text));
    }
    if let Some(unread) = maybe_unread(scene, seen, selected.iter().copied(), &hint) {
        return Some(unread.at(format!("{field}.podSelector")));
    }
    let elsewhere = elsewhere(scene, &peer.pods);
    Some(finding(Code::PeerSelectsNothing, with_elsewhere(hint, elsewhere)))
}

/// What a hint says, or else who elsewhere has the labels.
fn with_elsewhere(hint: Hint, elsewhere: Option<String>) -> String {
    match elsewhere.filter(|_| hint.meant.is_none()) {
        Some(others) => format!("{}, but pods of {others} do", hint.text),
        None => hint.text,
    }
}

/// That pods of some namespaces that were not read may be meant; not where another value of the label is near.
fn maybe_unread<'n>(
    scene: &Scene<'_>,
    seen: &Seen<'_>,
    namespaces: impl IntoIterator<Item = &'n NamespaceName>,
    hint: &Hint,
) -> Option<Finding> {
    if hint.meant.as_ref().is_some_and(|meant| meant.same_key) {
        return None;
    }
    let mut namespaces = namespaces.into_iter().filter(|name| scene.unread.pods_of(name));
    let namespace = namespaces.next()?;
    let why = match scene.inventory.unread.get(namespace) {
        Some(kinds) => format!("what was skipped may make such pods: {}", listed(kinds)),
        None => format!("not all pods of {namespace} were read"),
    };
    let message = format!("{}; {why}", hint.text);
    Some(Finding::of_policy(Code::PodsUnknown, seen.policy, message))
}

fn no_namespace(scene: &Scene<'_>, seen: &Seen<'_>, selector: &Selector, field: &str) -> Finding {
    let namespaces = scene.inventory.state.namespaces();
    let labels = namespaces.values().map(|namespace| &namespace.labels);
    let unread = scene.unread.namespaces(selector);
    let whose = if unread {
        "namespace that was read"
    } else {
        "namespace"
    };
    let hint = Vocabulary::of(labels).hint(selector, whose);
    let surely = hint.meant.as_ref().is_some_and(|meant| meant.surely) || names_one(scene, selector);
    let code = if unread && !surely {
        Code::NamespaceUnknown
    } else {
        Code::NamespaceSelectsNothing
    };
    // What other names there are says nothing about one that was not read.
    let message = if code == Code::NamespaceUnknown && hint.meant.is_none() && is_by_name(selector) {
        format!("no {whose} has {selector}")
    } else {
        hint.text
    };
    Finding::of_policy(code, seen.policy, message).at(format!("{field}.namespaceSelector"))
}

/// Whether a selector asks for a namespace by a label `name`, where the namespace of that name is known, and has none.
fn names_one(scene: &Scene<'_>, selector: &Selector) -> bool {
    let known = |name: &Arc<str>| {
        let name = NamespaceName::from(name.as_ref());
        scene.inventory.state.namespaces().contains_key(&name) && !scene.inventory.undescribed.contains(&name)
    };
    selector
        .requirements()
        .any(|requirement| match &requirement.operator {
            Operator::In(values) => requirement.key.as_ref() == "name" && values.iter().any(known),
            Operator::NotIn(_) | Operator::Exists | Operator::DoesNotExist => false,
        })
}

/// The namespaces whose pods a selector would select.
fn elsewhere(scene: &Scene<'_>, selector: &Selector) -> Option<String> {
    let pods = scene.population.candidates(selector);
    let pods = pods.filter(|class| selector.matches(class.labels));
    let namespaces: BTreeSet<_> = pods.map(|class| class.namespace).collect();
    (!namespaces.is_empty()).then(|| listed(namespaces))
}

/// Whether no labels at all can fulfil a selector.
pub(super) fn contradicts_itself(selector: &Selector) -> bool {
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
