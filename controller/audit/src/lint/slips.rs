//! AND and OR mixed up: two peers where one was meant, one where two were.
//!
//! In YAML they differ by one hyphen, and both are right somewhere. So each is told only where the pods that are there show
//! that it makes no sense as it stands.

use palisade_policy::model::{NamespaceScope, Peer, PodPeer, Selector};

use super::Code;
use super::finding::{Finding, Findings};
use super::scene::{Scene, Seen, SeenPeer, SeenRule};
use super::selectors::namespace_selector;
use super::unread::Doubt;
use super::wording::{counted, listed, pod_count};

pub(super) fn check<'a>(scene: &Scene<'a>, seen: &Seen<'a>, findings: &mut Findings) {
    for (direction, rule) in seen.all_rules() {
        for pair in pairs(scene, seen, rule) {
            let field = seen.field(direction, rule, pair.namespaces);
            findings.add(split(seen, &pair).at(field));
        }
        for at in &rule.peers {
            if is_joined(scene, seen, at) {
                let field = seen.field(direction, rule, at);
                findings.extend(joined(seen, at).map(|finding| finding.at(field)));
            }
        }
    }
}

/// Whether a peer that selects nobody does so because of a slip.
pub(super) fn is_part_of_one<'a>(
    scene: &Scene<'a>,
    seen: &Seen<'a>,
    rule: &SeenRule<'a>,
    at: &SeenPeer<'a>,
) -> bool {
    let split =
        pairs(scene, seen, rule).any(|pair| pair.pods.index == at.index || pair.namespaces.index == at.index);
    split || is_joined(scene, seen, at)
}

/// A peer that is namespaces alone and one beside it that is pods alone, where the second adds nobody.
struct Pair<'s, 'a> {
    namespaces: &'s SeenPeer<'a>,
    pods: &'s SeenPeer<'a>,
    selector: &'a Selector,
}

fn pairs<'s, 'a>(
    scene: &'s Scene<'a>,
    seen: &'s Seen<'a>,
    rule: &'s SeenRule<'a>,
) -> impl Iterator<Item = Pair<'s, 'a>> {
    let neighbours = rule.peers.iter().zip(rule.peers.iter().skip(1));
    let both = neighbours.flat_map(|(one, other)| [(one, other), (other, one)]);
    both.filter_map(move |(namespaces, pods)| {
        let selector = pods_alone(pods)?;
        if !is_namespaces_alone(namespaces) {
            return None;
        }
        // Beside some namespaces that happen to include the policy's own, an entry for some of its pods is superfluous
        // and no slip. Beside all namespaces nobody writes it but by mistake.
        let is_nobody = || pods.found.is_empty() && scene.unread.doubt(seen, pods).is_none();
        let adds_nobody = is_all_namespaces(namespaces) || is_nobody();
        let meant = namespaces
            .found
            .classes
            .iter()
            .any(|class| selector.matches(class.labels));
        (adds_nobody && meant).then_some(Pair {
            namespaces,
            pods,
            selector,
        })
    })
}

fn is_namespaces_alone(at: &SeenPeer<'_>) -> bool {
    matches!(at.peer, Peer::Pods(PodPeer { namespaces: NamespaceScope::Matching(_), pods }) if pods.is_everything())
}

fn is_all_namespaces(at: &SeenPeer<'_>) -> bool {
    matches!(at.peer, Peer::Pods(PodPeer { namespaces: NamespaceScope::Matching(selector), .. }) if selector.is_everything())
}

fn pods_alone<'a>(at: &SeenPeer<'a>) -> Option<&'a Selector> {
    match at.peer {
        Peer::Pods(PodPeer {
            namespaces: NamespaceScope::Own,
            pods,
        }) if !pods.is_everything() => Some(pods),
        _ => None,
    }
}

fn split(seen: &Seen<'_>, pair: &Pair<'_, '_>) -> Finding {
    let Pair {
        namespaces,
        pods,
        selector,
    } = pair;
    let all = pod_count(namespaces.found.classes.iter().copied());
    let meant = namespaces.found.classes.iter().copied();
    let meant = pod_count(meant.filter(|class| selector.matches(class.labels)));
    let beside = if pods.found.is_empty() {
        format!(
            "selects nobody in {}, but {meant} of these",
            seen.policy.key.namespace
        )
    } else {
        format!("adds nobody; {meant} of these have it")
    };
    let message = format!(
        "allows all {} of the namespaces, while the entry for {selector} beside it {beside}",
        counted(all, "pod")
    );
    Finding::of_policy(Code::PeersSplit, seen.policy, message)
}

/// Whether a peer has both selectors, each of which selects somebody on its own, and nobody fulfils both.
fn is_joined<'a>(scene: &Scene<'a>, seen: &Seen<'a>, at: &SeenPeer<'a>) -> bool {
    let (Peer::Pods(peer), Some(namespaces)) = (at.peer, &at.namespaces) else {
        return false;
    };
    if peer.pods.is_everything() || namespaces.is_empty() || !at.found.is_empty() {
        return false;
    }
    let own = scene.population.of_namespace(&seen.policy.key.namespace);
    let pods_alone = own.iter().any(|class| peer.pods.matches(class.labels));
    let mut there = namespaces.iter().map(|name| scene.population.of_namespace(name));
    if !pods_alone || !there.any(|pods| !pods.is_empty()) {
        return false;
    }
    let may_be_others = match scene.unread.doubt(seen, at) {
        Some(Doubt::AnyNamespaces | Doubt::Labels | Doubt::Pods) => true,
        Some(Doubt::LikeNamespaces | Doubt::NoNamespace) | None => false,
    };
    // Where the namespaces have pods with nearly these labels, those are meant, and no two peers.
    let is_near = || {
        let selector = namespace_selector(peer)?;
        let hint = scene.of_namespaces(selector, namespaces).hint(&peer.pods, "pod");
        hint.meant
    };
    !may_be_others && is_near().is_none()
}

fn joined(seen: &Seen<'_>, at: &SeenPeer<'_>) -> Option<Finding> {
    let Peer::Pods(peer) = at.peer else { return None };
    let mut namespaces: Vec<_> = at.namespaces.iter().flat_map(|names| names.iter()).collect();
    namespaces.sort();
    let message = format!(
        "no pod has {} in a namespace with {} ({}); in {} there are such pods",
        peer.pods,
        namespace_selector(peer)?,
        listed(namespaces),
        seen.policy.key.namespace,
    );
    Some(Finding::of_policy(Code::PeersJoined, seen.policy, message))
}
