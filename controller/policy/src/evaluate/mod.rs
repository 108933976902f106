//! The oracle: what the API documentation says of a packet.
//!
//! It walks the policies one by one as the documentation of `NetworkPolicy` reads, with no index and no
//! preparation, and shares no code with [`crate::compile`]: where the two disagree, one of them has misread.
//! Every clause that it asks leaves a trace, so that a denial names the rule that came nearest and what it missed.

mod clause;
mod explain;

use crate::cluster::ClusterState;
use crate::model::{Direction, Packet, Pod, PodKey, Policy, PolicyKey, Verdict};

pub use clause::{PeerMiss, PortMiss, Unmet};

/// The verdict on a packet and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Evaluation {
    /// The packet.
    pub packet: Packet,
    /// Whether it may pass.
    pub verdict: Verdict,
    /// Why.
    pub reason: Reason,
}

/// Why a packet may pass or not. Its `Display` explains it to a person.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(
    clippy::large_enum_variant,
    reason = "there is one for a question, and hardly ever a small one"
)]
pub enum Reason {
    /// Between a pod and the node that it runs on: always allowed (API documentation: the node's traffic to its
    /// pods cannot be blocked).
    OwnNode {
        /// The pod.
        pod: PodKey,
    },
    /// From a pod to itself, as through a Service that picked its own client: always allowed.
    Itself {
        /// The pod.
        pod: PodKey,
    },
    /// Both sides were asked; a side that is no pod has no say.
    Judged {
        /// The source's egress.
        egress: Option<Judgement>,
        /// The destination's ingress.
        ingress: Option<Judgement>,
    },
}

/// What one side says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judgement {
    /// The pod whose policies were asked.
    pub pod: PodKey,
    /// In which direction.
    pub direction: Direction,
    /// The outcome.
    pub outcome: Outcome,
}

/// The outcome on one side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// No policy isolates the pod in this direction.
    NotIsolated,
    /// A rule allows the packet.
    Allowed {
        /// The first policy that does, by name.
        policy: PolicyKey,
        /// Its rule, counted from 0.
        rule: usize,
        /// Which of the rule's peers matched first, counted from 0; `None`: it names none, and allows everybody.
        peer: Option<usize>,
        /// Which of the rule's ports matched first, counted from 0; `None`: it names none, and allows all.
        port: Option<usize>,
        /// Every policy that isolates the pod.
        isolating: Vec<PolicyKey>,
    },
    /// Policies isolate the pod and no rule of theirs allows the packet.
    Denied {
        /// Every policy that isolates the pod, with what each rule missed.
        isolating: Vec<PolicyTrace>,
    },
}

/// A policy that isolates a pod and does not allow the packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyTrace {
    /// The policy.
    pub policy: PolicyKey,
    /// What each of its rules missed. Empty: the policy allows nothing in this direction.
    pub rules: Vec<RuleTrace>,
    /// The fields that could not be understood and therefore allow nothing.
    pub defects: Vec<crate::model::Defect>,
}

/// What a rule missed. At least one of the two is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleTrace {
    /// The rule, counted from 0.
    pub rule: usize,
    /// Why no peer matched, an entry for each peer; `None` where one did.
    pub peers: Option<Vec<PeerMiss>>,
    /// Why no port matched, an entry for each port; `None` where one did.
    pub ports: Option<Vec<PortMiss>>,
}

/// Judges the first packet of a connection.
pub fn evaluate(state: &ClusterState, packet: &Packet) -> Evaluation {
    let source = state.owner(packet.source);
    let destination = state.owner(packet.destination);
    let (verdict, reason) = match (source, destination) {
        (Some(source), Some(destination)) if source.uid == destination.uid => (
            Verdict::Allow,
            Reason::Itself {
                pod: source.key.clone(),
            },
        ),
        (Some(pod), None) if is_own_node(state, pod, packet.destination) => {
            (Verdict::Allow, Reason::OwnNode { pod: pod.key.clone() })
        }
        (None, Some(pod)) if is_own_node(state, pod, packet.source) => {
            (Verdict::Allow, Reason::OwnNode { pod: pod.key.clone() })
        }
        _ => {
            let egress = source.map(|pod| judge(state, pod, Direction::Egress, packet));
            let ingress = destination.map(|pod| judge(state, pod, Direction::Ingress, packet));
            let denied = egress
                .iter()
                .chain(&ingress)
                .any(|side| matches!(side.outcome, Outcome::Denied { .. }));
            (
                if denied { Verdict::Deny } else { Verdict::Allow },
                Reason::Judged { egress, ingress },
            )
        }
    };
    Evaluation {
        packet: *packet,
        verdict,
        reason,
    }
}

/// Whether `address` belongs to the node that the pod runs on.
fn is_own_node(state: &ClusterState, pod: &Pod, address: std::net::IpAddr) -> bool {
    let node = pod.node.as_ref().and_then(|name| state.nodes().get(name));
    node.is_some_and(|node| node.addresses.contains(&address))
}

/// Asks all policies that isolate `pod`: it is allowed what any of them allows.
fn judge(state: &ClusterState, pod: &Pod, direction: Direction, packet: &Packet) -> Judgement {
    let isolating: Vec<&Policy> = state
        .policies()
        .values()
        .filter(|policy| policy.key.namespace == pod.key.namespace && policy.subject.matches(&pod.labels))
        .filter(|policy| policy.rules(direction).is_some())
        .collect();
    let outcome = if isolating.is_empty() {
        Outcome::NotIsolated
    } else {
        ask(state, &isolating, direction, packet)
    };
    Judgement {
        pod: pod.key.clone(),
        direction,
        outcome,
    }
}

fn ask(state: &ClusterState, isolating: &[&Policy], direction: Direction, packet: &Packet) -> Outcome {
    let mut traces = Vec::new();
    for policy in isolating {
        let mut missed = Vec::new();
        for (index, rule) in policy.rules(direction).into_iter().flatten().enumerate() {
            let peers = clause::peers(state, policy, &rule.peers, direction, packet);
            let ports = clause::ports(state, &rule.ports, packet);
            let (peers, ports) = match (peers, ports) {
                (Ok(peer), Ok(port)) => {
                    return Outcome::Allowed {
                        policy: policy.key.clone(),
                        rule: index,
                        peer,
                        port,
                        isolating: isolating.iter().map(|policy| policy.key.clone()).collect(),
                    };
                }
                (peers, ports) => (peers.err(), ports.err()),
            };
            missed.push(RuleTrace {
                rule: index,
                peers,
                ports,
            });
        }
        traces.push(PolicyTrace {
            policy: policy.key.clone(),
            rules: missed,
            defects: policy.defects.clone(),
        });
    }
    Outcome::Denied { isolating: traces }
}
