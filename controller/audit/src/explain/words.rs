//! Lists, and entries of policies as they are written.

use palisade_policy::model::{NamespaceScope, Peer, PodPeer};

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
