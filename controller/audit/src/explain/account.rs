//! What one end's policies say of a packet, clause by clause.

use std::collections::BTreeSet;
use std::net::IpAddr;

use palisade_policy::cluster::ClusterState;
use palisade_policy::evaluate::{Judgement, Outcome, PeerMiss, PolicyTrace, PortMiss, RuleTrace};
use palisade_policy::model::{Defect, Direction, Packet, Peers, PodKey, Policy, PolicyKey, Ports, Rule};
use palisade_policy::reach::PortSet;

use super::Party;
use super::remedy::{Remedy, remedies};
use crate::lint::field::Fields;
use crate::words;

/// Rules that are told of those that came nearest.
const NEAREST: usize = 3;

/// Peers, or ports, that are told of a rule that missed.
const CLAUSES: usize = 3;

/// What a packet stands for.
pub(super) struct StandsFor<'a> {
    /// The ports that are asked about.
    pub(super) ports: &'a PortSet,
    /// Who connects.
    pub(super) from: &'a Party,
    /// Who answers.
    pub(super) to: &'a Party,
    /// Addresses that nobody has: they were made up for pods that live in networks of nodes that are not known.
    pub(super) made_up: &'a BTreeSet<IpAddr>,
}

/// What the policies of one end say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// The pod whose policies were asked.
    pub pod: PodKey,
    /// In which direction.
    pub direction: Direction,
    /// The policies that isolate it.
    pub isolating: Vec<PolicyKey>,
    /// What came of it.
    pub finding: Finding,
}

/// What came of asking policies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    /// None isolates the pod in this direction: everything is allowed.
    NotIsolated,
    /// A rule allows the packet.
    Allowed(RuleMatch),
    /// None does.
    Denied {
        /// The rules that came nearest, the nearest first.
        nearest: Vec<RuleMiss>,
        /// How many more rules there are.
        others: usize,
        /// What could not be understood of these policies, and therefore allows nothing.
        unclear: Vec<Unclear>,
        /// What would let the packet pass at this end. Each was tried.
        remedies: Vec<Remedy>,
    },
}

/// A rule that allows a packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleMatch {
    /// Its policy.
    pub policy: PolicyKey,
    /// Where it stands: `spec.ingress[0]`.
    pub field: String,
    /// The peer that matched.
    pub peer: Clause,
    /// The port that matched.
    pub port: Clause,
}

/// A rule that does not allow a packet. At least one of the two missed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleMiss {
    /// Its policy.
    pub policy: PolicyKey,
    /// Where it stands.
    pub field: String,
    /// What its peers missed, the nearest first; `None` if one matched.
    pub peers: Option<Vec<Clause>>,
    /// How many more peers it has.
    pub more_peers: usize,
    /// What its ports missed, the nearest first; `None` if one matched.
    pub ports: Option<Vec<Clause>>,
    /// How many more ports it has.
    pub more_ports: usize,
}

/// An entry of a rule, or all of a list that is not there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Clause {
    /// Where it stands: `spec.ingress[0].from[1]`; of what is not there, where it would stand.
    pub field: String,
    /// What it says, or what it missed.
    pub words: String,
}

/// A part of a policy that could not be understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unclear {
    /// The policy.
    pub policy: PolicyKey,
    /// What is wrong.
    pub defect: Defect,
}

/// Puts what the oracle says in the words of the policies.
pub(super) fn account(
    scene: &ClusterState,
    packet: &Packet,
    stands_for: &StandsFor<'_>,
    side: &Judgement,
) -> Account {
    let Judgement {
        pod,
        direction,
        outcome,
    } = side;
    let direction = *direction;
    let (isolating, finding) = match outcome {
        Outcome::NotIsolated => (Vec::new(), Finding::NotIsolated),
        Outcome::Allowed {
            policy,
            rule,
            peer,
            port,
            isolating,
        } => {
            let matched = scene
                .policies()
                .get(policy)
                .map(|policy| allowed(policy, direction, *rule, *peer, *port));
            let finding = matched.map_or(Finding::NotIsolated, Finding::Allowed);
            (isolating.clone(), finding)
        }
        Outcome::Denied { isolating } => {
            let names = isolating.iter().map(|trace| trace.policy.clone());
            (
                names.collect(),
                denied(scene, packet, stands_for, side, isolating),
            )
        }
    };
    Account {
        pod: pod.clone(),
        direction,
        isolating,
        finding,
    }
}

fn rule_of(policy: &Policy, direction: Direction, rule: usize) -> Option<&Rule> {
    policy.rules(direction)?.get(rule)
}

fn allowed(
    policy: &Policy,
    direction: Direction,
    number: usize,
    peer: Option<usize>,
    port: Option<usize>,
) -> RuleMatch {
    let rule = rule_of(policy, direction, number);
    let fields = Fields::of(policy);
    let list = |name: &str| format!("{}.{name}", Fields::rule(direction, number));
    let whom = |peer: usize| match rule.map(|rule| &rule.peers) {
        Some(Peers::AnyOf(peers)) => peers.get(peer).map(|peer| words::peer(policy, peer)),
        Some(Peers::All) | None => None,
    };
    let which = |port: usize| match rule.map(|rule| &rule.ports) {
        Some(Ports::AnyOf(ports)) => ports.get(port).map(ToString::to_string),
        Some(Ports::All) | None => None,
    };
    let peer = match peer.and_then(|peer| Some((peer, whom(peer)?))) {
        Some((peer, words)) => Clause {
            field: fields.peer(direction, number, peer),
            words,
        },
        None => Clause {
            field: list(super::peers_of(direction)),
            words: "everybody".to_owned(),
        },
    };
    let port = match port.and_then(|port| Some((port, which(port)?))) {
        Some((port, words)) => Clause {
            field: fields.port(direction, number, port),
            words,
        },
        None => Clause {
            field: list("ports"),
            words: "every port".to_owned(),
        },
    };
    RuleMatch {
        policy: policy.key.clone(),
        field: Fields::rule(direction, number),
        peer,
        port,
    }
}

fn denied(
    scene: &ClusterState,
    packet: &Packet,
    stands_for: &StandsFor<'_>,
    side: &Judgement,
    isolating: &[PolicyTrace],
) -> Finding {
    let rules = isolating
        .iter()
        .flat_map(|trace| trace.rules.iter().map(move |rule| (&trace.policy, rule)));
    let mut rules: Vec<(&PolicyKey, &RuleTrace)> = rules.collect();
    rules.sort_by_key(|(_, rule)| rule.distance());
    let others = rules.len().saturating_sub(NEAREST);
    rules.truncate(NEAREST);
    let nearest = rules.iter().filter_map(|(policy, rule)| {
        let policy = scene.policies().get(*policy)?;
        Some(missed(policy, side.direction, rule))
    });
    let unclear = isolating.iter().flat_map(|trace| {
        let of_side = trace
            .defects
            .iter()
            .filter(|defect| concerns(defect, side.direction));
        of_side.map(|defect| Unclear {
            policy: trace.policy.clone(),
            defect: defect.clone(),
        })
    });
    Finding::Denied {
        nearest: nearest.collect(),
        others,
        unclear: unclear.collect(),
        remedies: remedies(scene, (packet, stands_for), side.direction, isolating, &rules),
    }
}

/// Whether a defect may be the reason for a denial in this direction: whether it is not in a rule of the other.
fn concerns(defect: &Defect, direction: Direction) -> bool {
    let other = match direction {
        Direction::Ingress => Direction::Egress,
        Direction::Egress => Direction::Ingress,
    };
    !defect.field.starts_with(&format!("spec.{other}"))
}

fn missed(policy: &Policy, direction: Direction, trace: &RuleTrace) -> RuleMiss {
    let fields = Fields::of(policy);
    let list = |name: &str| format!("{}.{name}", Fields::rule(direction, trace.rule));
    let peers = trace.peers.as_ref().map(|misses| {
        let field = |peer, miss: &PeerMiss| match miss {
            PeerMiss::Undecodable => list(super::peers_of(direction)),
            PeerMiss::NoPod(_)
            | PeerMiss::OtherNamespace { .. }
            | PeerMiss::Labels { .. }
            | PeerMiss::OutsideBlock { .. }
            | PeerMiss::Excepted { .. } => fields.peer(direction, trace.rule, peer),
        };
        nearest(misses, PeerMiss::distance, field)
    });
    let ports = trace.ports.as_ref().map(|misses| {
        let field = |port, miss: &PortMiss| match miss {
            PortMiss::Undecodable | PortMiss::NoPorts(_) => list("ports"),
            PortMiss::OtherProtocol { .. }
            | PortMiss::OtherPort { .. }
            | PortMiss::NoDestinationPod(_)
            | PortMiss::OtherNumber { .. } => fields.port(direction, trace.rule, port),
        };
        nearest(misses, PortMiss::distance, field)
    });
    let (peers, more_peers) = peers.map_or((None, 0), |(clauses, more)| (Some(clauses), more));
    let (ports, more_ports) = ports.map_or((None, 0), |(clauses, more)| (Some(clauses), more));
    RuleMiss {
        policy: policy.key.clone(),
        field: Fields::rule(direction, trace.rule),
        peers,
        more_peers,
        ports,
        more_ports,
    }
}

/// The nearest of some misses in words, and how many more there are.
fn nearest<Miss: ToString>(
    misses: &[Miss],
    distance: impl Fn(&Miss) -> u8,
    field: impl Fn(usize, &Miss) -> String,
) -> (Vec<Clause>, usize) {
    let mut order: Vec<(usize, &Miss)> = misses.iter().enumerate().collect();
    order.sort_by_key(|(_, miss)| distance(miss));
    let clauses = order.iter().take(CLAUSES).map(|(number, miss)| Clause {
        field: field(*number, miss),
        words: miss.to_string(),
    });
    (clauses.collect(), misses.len().saturating_sub(CLAUSES))
}
