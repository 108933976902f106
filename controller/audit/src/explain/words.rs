//! Peers and ports of policies in words.

use palisade_policy::model::{NamespaceName, NamespaceScope, Peer, PodPeer};

/// A list cut after some, the rest counted: `a`, `b`, `3 more pods`.
pub(super) fn some(all: impl Iterator<Item = String>, named: usize, what: &str) -> Vec<String> {
    let all: Vec<String> = all.collect();
    // One more is no longer than to say that there is one.
    if all.len() <= named + 1 {
        return all;
    }
    let rest = all.len() - named;
    let mut shown: Vec<String> = all.into_iter().take(named).collect();
    shown.push(format!("{rest} more {what}"));
    shown
}

/// Whom a peer means: `pods with app=web in namespace shop`.
pub(super) fn whom(peer: &Peer, own: &NamespaceName) -> String {
    match peer {
        Peer::Block(block) => block.to_string(),
        Peer::Pods(PodPeer { namespaces, pods }) => {
            let pods = if pods.is_everything() {
                "all pods".to_owned()
            } else {
                format!("pods with {pods}")
            };
            match namespaces {
                NamespaceScope::Own => format!("{pods} in namespace {own}"),
                NamespaceScope::Matching(selector) if selector.is_everything() => {
                    format!("{pods} in all namespaces")
                }
                NamespaceScope::Matching(selector) => format!("{pods} in namespaces with {selector}"),
            }
        }
    }
}

/// How a peer is written: `podSelector app=web`.
pub(super) fn written(peer: &Peer) -> String {
    match peer {
        Peer::Block(block) => format!("ipBlock {block}"),
        Peer::Pods(PodPeer { namespaces, pods }) => {
            let pods = format!("podSelector {pods}");
            match namespaces {
                NamespaceScope::Own => pods,
                NamespaceScope::Matching(selector) => format!("namespaceSelector {selector} and {pods}"),
            }
        }
    }
}
