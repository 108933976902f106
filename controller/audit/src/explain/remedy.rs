//! What would let a denied packet pass.
//!
//! A remedy is a change of one object. It is told only if it helps: the change is made in a copy of what has a say, and the
//! oracle is asked again. Whether it is wanted is for people to say.

mod search;

use std::fmt;
use std::sync::Arc;

use palisade_policy::cluster::{ClusterState, Event};
use palisade_policy::model::{
    Direction, Labels, NamespaceName, Peer, Peers, PodKey, PodUid, Policy, PolicyKey, PolicyPort, Ports, Rule,
};

use super::{peers_of, words};
use crate::lint::field::Fields;

pub(super) use search::remedies;

/// A change of one object after which the packet passes this end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Remedy {
    /// Other labels on the pod at the other end.
    LabelPod {
        /// The pod.
        pod: PodKey,
        /// It again, whatever it is called.
        uid: PodUid,
        /// The labels.
        changes: Vec<Change>,
    },
    /// Other labels on the namespace of that pod.
    LabelNamespace {
        /// The namespace.
        namespace: NamespaceName,
        /// The labels.
        changes: Vec<Change>,
    },
    /// One more peer in a rule.
    AddPeer {
        /// The rule's policy.
        policy: PolicyKey,
        /// The direction of the rule.
        direction: Direction,
        /// The rule, counted from 0.
        rule: usize,
        /// The peer.
        peer: Peer,
    },
    /// One more port in a rule.
    AddPort {
        /// The rule's policy.
        policy: PolicyKey,
        /// The direction of the rule.
        direction: Direction,
        /// The rule, counted from 0.
        rule: usize,
        /// The port.
        port: PolicyPort,
    },
    /// One more rule.
    AddRule {
        /// The policy.
        policy: PolicyKey,
        /// The direction.
        direction: Direction,
        /// The rule: one peer, and one port or all.
        rule: Rule,
    },
}

/// A change of a label.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// It has this value.
    Set(Arc<str>, Arc<str>),
    /// It is not there.
    Remove(Arc<str>),
}

fn changed(labels: &Labels, changes: &[Change]) -> Labels {
    let removed = |name: &str| {
        let mut changes = changes.iter();
        changes.any(|change| matches!(change, Change::Remove(key) if **key == *name))
    };
    let kept = labels.iter().filter(|(key, _)| !removed(key));
    let mut labels: Labels = kept.map(|(key, value)| (key.clone(), value.clone())).collect();
    for change in changes {
        if let Change::Set(key, value) = change {
            labels.insert(key.clone(), value.clone());
        }
    }
    labels
}

impl Remedy {
    /// Makes the change.
    pub fn apply(&self, state: &mut ClusterState) {
        let event = match self {
            Self::LabelPod { uid, changes, .. } => state.pods().get(uid).cloned().map(|mut pod| {
                pod.labels = changed(&pod.labels, changes);
                Event::PodApplied(pod)
            }),
            Self::LabelNamespace { namespace, changes } => {
                state.namespaces().get(namespace).cloned().map(|mut namespace| {
                    namespace.labels = changed(&namespace.labels, changes);
                    Event::NamespaceApplied(namespace)
                })
            }
            Self::AddPeer {
                policy,
                direction,
                rule,
                peer,
            } => in_policy(state, policy, *direction, |rules| {
                if let Some(Peers::AnyOf(peers)) = rules.get_mut(*rule).map(|rule| &mut rule.peers) {
                    peers.push(peer.clone());
                }
            }),
            Self::AddPort {
                policy,
                direction,
                rule,
                port,
            } => in_policy(state, policy, *direction, |rules| {
                if let Some(Ports::AnyOf(ports)) = rules.get_mut(*rule).map(|rule| &mut rule.ports) {
                    ports.push(port.clone());
                }
            }),
            Self::AddRule {
                policy,
                direction,
                rule,
            } => in_policy(state, policy, *direction, |rules| rules.push(rule.clone())),
        };
        if let Some(event) = event {
            state.apply(event);
        }
    }
}

fn in_policy(
    state: &ClusterState,
    policy: &PolicyKey,
    direction: Direction,
    change: impl FnOnce(&mut Vec<Rule>),
) -> Option<Event> {
    let mut policy: Policy = state.policies().get(policy)?.clone();
    let rules = match direction {
        Direction::Ingress => &mut policy.ingress,
        Direction::Egress => &mut policy.egress,
    };
    change(rules.as_mut()?);
    Some(Event::PolicyApplied(policy))
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Set(key, value) => write!(f, "with the label {key}={value}"),
            Self::Remove(key) => write!(f, "without the label {key}"),
        }
    }
}

impl fmt::Display for Remedy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all = |changes: &[Change]| {
            let changes: Vec<String> = changes.iter().map(ToString::to_string).collect();
            changes.join(" and ")
        };
        match self {
            Self::LabelPod { pod, changes, .. } => write!(f, "Pod {pod} {}", all(changes)),
            Self::LabelNamespace { namespace, changes } => {
                write!(f, "Namespace {namespace} {}", all(changes))
            }
            Self::AddPeer {
                policy,
                direction,
                rule,
                peer,
            } => write!(
                f,
                "{policy} with one more entry in {}.{}: {}",
                Fields::rule(*direction, *rule),
                peers_of(*direction),
                words::written(peer)
            ),
            Self::AddPort {
                policy,
                direction,
                rule,
                port,
            } => write!(
                f,
                "{policy} with one more entry in {}.ports: {port}",
                Fields::rule(*direction, *rule)
            ),
            Self::AddRule {
                policy,
                direction,
                rule,
            } => {
                write!(f, "{policy} with one more rule in spec.{direction}:")?;
                if let Peers::AnyOf(peers) = &rule.peers {
                    for peer in peers {
                        write!(f, " {} {}", peers_of(*direction), words::written(peer))?;
                    }
                }
                match &rule.ports {
                    Ports::All => f.write_str(", all ports"),
                    Ports::AnyOf(ports) => ports.iter().try_for_each(|port| write!(f, ", port {port}")),
                }
            }
        }
    }
}
