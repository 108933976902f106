//! Finding what would help: by labels of the other end, by an entry of a rule that came near, by a rule.

use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;
use palisade_policy::cluster::ClusterState;
use palisade_policy::evaluate::{Judgement, Outcome, PolicyTrace, Reason, RuleTrace, evaluate};
use palisade_policy::model::{
    Direction, IpBlock, Labels, NamespaceName, NamespaceScope, Operator, Packet, Peer, Peers, Pod, PodPeer,
    PolicyKey, PolicyPort, PortMatch, PortRange, Ports, Requirement, Rule, Selector, Transport,
};

use super::{Change, Remedy};
use crate::explain::account::StandsFor;

/// Remedies of each kind that are tried.
const TRIED: usize = 3;

/// The labels by which people tell pods apart, the best first: what Kubernetes recommends, and what is common.
const TELLING: [&str; 4] = ["app.kubernetes.io/name", "app", "k8s-app", "name"];

/// What would help, the least first: a label, an entry of a rule that came near, a rule.
pub(in crate::explain) fn remedies(
    scene: &ClusterState,
    (packet, stands_for): (&Packet, &StandsFor<'_>),
    direction: Direction,
    isolating: &[PolicyTrace],
    nearest: &[(&PolicyKey, &RuleTrace)],
) -> Vec<Remedy> {
    let search = Search {
        scene,
        packet,
        stands_for,
        direction,
        other: match direction {
            Direction::Ingress => packet.source,
            Direction::Egress => packet.destination,
        },
    };
    let mut found: Vec<Remedy> = Vec::new();
    let labels = nearest
        .iter()
        .filter(|(_, trace)| trace.ports.is_none())
        .flat_map(|(policy, trace)| search.labels(policy, trace.rule));
    let entries = nearest
        .iter()
        .filter_map(|(policy, trace)| search.entry(policy, trace));
    let rules = isolating.iter().filter_map(|trace| search.rule(&trace.policy));
    // One of each kind shows the ways that there are; three of one kind would be the same thing three times.
    let helps = |remedy: &Remedy| search.helps(remedy);
    found.extend(labels.take(TRIED).find(helps));
    found.extend(entries.take(TRIED).find(helps));
    found.extend(rules.take(TRIED).find(helps));
    found
}

struct Search<'a> {
    scene: &'a ClusterState,
    packet: &'a Packet,
    stands_for: &'a StandsFor<'a>,
    direction: Direction,
    /// The address of the other end.
    other: IpAddr,
}

impl Search<'_> {
    /// Whether the packet passes this end after the change, and no end that it passed before stops it.
    fn helps(&self, remedy: &Remedy) -> bool {
        let mut changed = self.scene.clone();
        remedy.apply(&mut changed);
        let (before, after) = (evaluate(self.scene, self.packet), evaluate(&changed, self.packet));
        let stops = |reason: &Reason, direction: Direction| {
            let Reason::Judged { egress, ingress } = reason else {
                return false;
            };
            let sides = egress.iter().chain(ingress);
            let mut own = sides.filter(|side| side.direction == direction);
            own.any(|side: &Judgement| matches!(side.outcome, Outcome::Denied { .. }))
        };
        let other = match self.direction {
            Direction::Ingress => Direction::Egress,
            Direction::Egress => Direction::Ingress,
        };
        let worse = stops(&after.reason, other) && !stops(&before.reason, other);
        !worse && !stops(&after.reason, self.direction)
    }

    /// Labels with which the other end would be a peer of a rule.
    fn labels(&self, policy: &PolicyKey, rule: usize) -> Vec<Remedy> {
        let Some(pod) = self.scene.owner(self.other) else {
            return Vec::new();
        };
        let namespace = self.scene.namespaces().get(&pod.key.namespace);
        let policy = self.scene.policies().get(policy);
        let rule = policy.and_then(|policy| policy.rules(self.direction)?.get(rule));
        let (Some(policy), Some(Peers::AnyOf(peers))) = (policy, rule.map(|rule| &rule.peers)) else {
            return Vec::new();
        };
        let remedies = peers.iter().filter_map(|peer| {
            let Peer::Pods(PodPeer { namespaces, pods }) = peer else {
                return None;
            };
            let of_pod = changes(pods, &pod.labels)?;
            let of_namespace = match namespaces {
                NamespaceScope::Own if pod.key.namespace == policy.key.namespace => Vec::new(),
                NamespaceScope::Own => return None,
                NamespaceScope::Matching(selector) => changes(selector, &namespace?.labels)?,
            };
            match (of_pod.is_empty(), of_namespace.is_empty()) {
                (false, true) => Some(Remedy::LabelPod {
                    pod: pod.key.clone(),
                    uid: pod.uid.clone(),
                    changes: of_pod,
                }),
                (true, false) => Some(Remedy::LabelNamespace {
                    namespace: pod.key.namespace.clone(),
                    changes: of_namespace,
                }),
                (true, true) | (false, false) => None,
            }
        });
        remedies.collect()
    }

    /// The entry that a rule misses, if it misses one only.
    fn entry(&self, policy: &PolicyKey, trace: &RuleTrace) -> Option<Remedy> {
        let (policy, direction, rule) = (policy.clone(), self.direction, trace.rule);
        match (&trace.peers, &trace.ports) {
            (Some(_), None) => Some(Remedy::AddPeer {
                peer: self.peer(&policy.namespace)?,
                policy,
                direction,
                rule,
            }),
            (None, Some(_)) => Some(Remedy::AddPort {
                port: self.port()?,
                policy,
                direction,
                rule,
            }),
            (None, None) | (Some(_), Some(_)) => None,
        }
    }

    fn rule(&self, policy: &PolicyKey) -> Option<Remedy> {
        let ports = self.port().map_or(Ports::All, |port| Ports::AnyOf(vec![port]));
        Some(Remedy::AddRule {
            rule: Rule {
                peers: Peers::AnyOf(vec![self.peer(&policy.namespace)?]),
                ports,
            },
            policy: policy.clone(),
            direction: self.direction,
        })
    }

    /// A peer that means the other end; `None` where nobody could name it: an address that was made up is nobody's.
    fn peer(&self, own: &NamespaceName) -> Option<Peer> {
        let Some(pod) = self.scene.owner(self.other) else {
            let others = match self.direction {
                Direction::Ingress => self.stands_for.from,
                Direction::Egress => self.stands_for.to,
            };
            if self.stands_for.made_up.contains(&self.other) {
                return None;
            }
            let mut asked = others.blocks.iter().filter(|block| block.contains(&self.other));
            let block = asked.next().copied().unwrap_or(IpNet::from(self.other));
            return Some(Peer::Block(IpBlock::new(block, []).ok()?));
        };
        let namespaces = if pod.key.namespace == *own {
            NamespaceScope::Own
        } else {
            let labels = &self.scene.namespaces().get(&pod.key.namespace)?.labels;
            // The API server sets it (`NamespaceDefaultLabelName`), so it is there in every cluster.
            let key = "kubernetes.io/metadata.name";
            let name = Requirement::equals(key, labels.get(key)?);
            NamespaceScope::Matching([name].into_iter().collect())
        };
        Some(Peer::Pods(PodPeer {
            namespaces,
            pods: telling(pod)?,
        }))
    }

    /// The ports that are asked for, where one entry can say them, or else that of the packet; `None` where the protocol has
    /// none, or all are.
    fn port(&self) -> Option<PolicyPort> {
        let asked = self.stands_for.ports;
        match self.packet.transport {
            Transport::Port(..) if asked.is_all() => None,
            Transport::Port(protocol, number) => {
                let range = match asked.ports(protocol) {
                    [(first, last)] => PortRange::new((*first).max(1), *last),
                    _ => PortRange::single(number),
                };
                Some(PolicyPort {
                    protocol,
                    port: PortMatch::Range(range.ok()?),
                })
            }
            Transport::Other(_) => None,
        }
    }
}

/// What tells a pod from others: the label that people use for that, or else any.
fn telling(pod: &Pod) -> Option<Selector> {
    let known = TELLING
        .iter()
        .find_map(|key| Some((Arc::from(*key), Arc::from(pod.labels.get(key)?))));
    let any = || {
        pod.labels
            .iter()
            .next()
            .map(|(key, value)| (key.clone(), value.clone()))
    };
    let (key, value): (Arc<str>, Arc<str>) = known.or_else(any)?;
    Some([Requirement::equals(key, value)].into_iter().collect())
}

/// How labels have to change so that a selector matches them; `None` where nobody can say which value is wanted.
fn changes(selector: &Selector, labels: &Labels) -> Option<Vec<Change>> {
    let missed = selector
        .requirements()
        .filter(|requirement| !requirement.matches(labels));
    let changes = missed.map(|Requirement { key, operator }| match operator {
        Operator::In(values) => values
            .first()
            .map(|value| Change::Set(key.clone(), value.clone())),
        Operator::NotIn(_) | Operator::DoesNotExist => Some(Change::Remove(key.clone())),
        Operator::Exists => None,
    });
    changes.collect()
}
