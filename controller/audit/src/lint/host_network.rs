//! Pods on the host's network, to which policies do not apply.

use palisade_policy::model::Peer;

use super::Code;
use super::finding::{Finding, Findings};
use super::population::Class;
use super::scene::Seen;
use super::wording::{counted, pod_count, pods};

pub(super) fn check(seen: &Seen<'_>, findings: &mut Findings) {
    let policy = seen.policy;
    let hosted = &seen.subject.hosted;
    if !hosted.is_empty() {
        let code = if policy.subject.is_everything() {
            Code::HostNetworkUncovered
        } else {
            Code::HostNetworkSubject
        };
        findings.add(Finding::of_policy(code, policy, told(hosted)).at("spec.podSelector"));
    }
    for (direction, rule, at) in seen.all_peers() {
        let Peer::Pods(peer) = at.peer else { continue };
        let hosted = &at.found.hosted;
        let others = !at.found.workloads.is_empty();
        // Of "all pods of these namespaces" most are meant; that some daemon there is not among them is no news.
        if hosted.is_empty() || (peer.pods.is_everything() && others) {
            continue;
        }
        let finding = Finding::of_policy(Code::HostNetworkPeer, policy, told(hosted));
        findings.add(finding.at(seen.field(direction, rule, at)));
    }
}

fn told(hosted: &[&Class<'_>]) -> String {
    let count = pod_count(hosted.iter().copied());
    format!(
        "selects {} on the host's network: {}",
        counted(count, "pod"),
        pods(hosted.iter().copied())
    )
}
