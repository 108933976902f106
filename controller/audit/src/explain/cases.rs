//! The cases of an answer: who gets the same, and a packet that stands for it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use palisade_policy::cluster::ClusterState;
use palisade_policy::evaluate::{self, Evaluation, Reason};
use palisade_policy::model::{Packet, PodKey, PolicyKey, Protocol, Transport};
use palisade_policy::reach::{Class, End, PortSet, Reach};
use thiserror::Error;

use super::account::account;
use super::parties::{Group, Groups, Kind, Sorter};
use super::scene::scene;
use super::{Case, Party, Why, Witness};
use crate::inventory::Inventory;
use crate::question::Resolved;

/// What pairs of ends have in common that are one case.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Answer {
    outcome: Outcome,
    ground: Ground,
}

/// What becomes of the ports that are asked about. In order of how cases are told.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Outcome {
    Denied,
    /// The ports that are asked about, and those that are allowed.
    Partly(PortSet, PortSet),
    Allowed,
}

/// What decides.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Ground {
    /// What isolates the source and the destination.
    Policies(Isolation, Isolation),
    /// No policy: a pod itself, or its own node.
    Always,
}

/// What isolates an end.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Isolation {
    /// These policies; none: it is open.
    By(BTreeSet<PolicyKey>),
    /// Some policies, which differ too much among the ends of this side for a case of each.
    BySome,
}

/// Different sets of policies that make cases of their own on one side. Of more, nobody would read them all.
const SETS: usize = 8;

/// Pairs of kinds that are compared at the most: some seconds of work, and some hundred megabytes.
const PAIRS: usize = 20_000_000;

/// A question about too many different ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error(
    "{sources} kinds of sources and {destinations} kinds of destinations are too many to explain: ask about fewer, or for the \
     whole reachability"
)]
pub struct TooMany {
    /// How many kinds of sources there are.
    pub sources: usize,
    /// How many kinds of destinations.
    pub destinations: usize,
}

/// All cases, what is denied first.
pub(super) fn cases(inventory: &Inventory, question: &Resolved) -> Result<Vec<Case>, TooMany> {
    let whole = &inventory.state;
    let destinations = question.ways.iter().flat_map(|way| way.addresses.keys());
    let addresses = question.sources.addresses.iter().chain(destinations).copied();
    let scene = scene(whole, addresses.clone());
    let reach = Reach::of(&scene);
    let sorter = Sorter::new(whole, &reach, addresses);
    let sources = sorter.sources(&question.sources);
    let mut found: Vec<(Answer, Case)> = Vec::new();
    for way in &question.ways {
        let destinations = sorter.destinations(way);
        if sources.len().saturating_mul(destinations.len()) > PAIRS {
            return Err(TooMany {
                sources: sources.len(),
                destinations: destinations.len(),
            });
        }
        let mut of_way: Vec<(Answer, Case)> = Vec::new();
        for (answer, from, to) in products(&reach, &sources, &destinations) {
            let Some(case) = case(&scene, way.by.as_ref(), &from, &to, &answer) else {
                continue;
            };
            merge(&mut of_way, answer, case);
        }
        found.extend(of_way);
    }
    let order = |answer: &Answer| (answer.outcome.clone(), answer.ground == Ground::Always);
    found.sort_by_key(|(answer, _)| order(answer));
    Ok(found.into_iter().map(|(_, case)| case).collect())
}

/// Kinds with what is of them.
type Some<'g> = Vec<(&'g Kind, &'g Group)>;

/// The pairs of each answer, as products of some sources and some destinations: of all of them the same is true.
fn products<'g>(
    reach: &Reach,
    sources: &'g Groups,
    destinations: &'g Groups,
) -> Vec<(Answer, Some<'g>, Some<'g>)> {
    let egress = isolations(reach, sources, |class| &class.egress);
    let ingress = isolations(reach, destinations, |class| &class.ingress);
    let mut by_destination: BTreeMap<(Answer, usize), Vec<usize>> = BTreeMap::new();
    for ((number, to), ingress) in destinations.iter().enumerate().zip(&ingress) {
        for ((other, from), egress) in sources.iter().enumerate().zip(&egress) {
            if from.0.family == to.0.family {
                let (outcome, by_policies) = outcome(reach, from, to);
                let ground = if by_policies {
                    Ground::Policies(egress.clone(), ingress.clone())
                } else {
                    Ground::Always
                };
                let answer = Answer { outcome, ground };
                by_destination.entry((answer, number)).or_default().push(other);
            }
        }
    }
    // Destinations with the same sources belong together. Families stay apart, as no pair is across.
    let mut by_sources: BTreeMap<(Answer, Vec<usize>), Vec<usize>> = BTreeMap::new();
    for ((answer, to), from) in by_destination {
        by_sources.entry((answer, from)).or_default().push(to);
    }
    let sources: Some<'_> = sources.iter().collect();
    let destinations: Some<'_> = destinations.iter().collect();
    let pick = |all: &Some<'g>, numbers: Vec<usize>| -> Some<'g> {
        let numbers = numbers.into_iter();
        numbers.filter_map(|number| all.get(number).copied()).collect()
    };
    let products = by_sources.into_iter().map(|((answer, from), to)| {
        let (from, to) = (pick(&sources, from), pick(&destinations, to));
        (answer, from, to)
    });
    products.collect()
}

/// What isolates each kind of one side.
fn isolations(
    reach: &Reach,
    groups: &Groups,
    side: impl Fn(&Class) -> &BTreeSet<PolicyKey>,
) -> Vec<Isolation> {
    let none = BTreeSet::new();
    let of_kind = |kind: &Kind| match kind.end {
        End::Pods(class) => reach.classes().get(class).map_or(&none, &side),
        End::Outside(_) => &none,
    };
    let different: BTreeSet<&BTreeSet<PolicyKey>> = groups.keys().map(of_kind).collect();
    let few = different.len() <= SETS;
    let isolation = |kind| match of_kind(kind) {
        policies if few || policies.is_empty() => Isolation::By(policies.clone()),
        _ => Isolation::BySome,
    };
    groups.keys().map(isolation).collect()
}

/// What becomes of a pair, and whether policies decide about it.
fn outcome(
    reach: &Reach,
    (from, sources): (&Kind, &Group),
    (to, destinations): (&Kind, &Group),
) -> (Outcome, bool) {
    let is_pods = |kind: &Kind| matches!(kind.end, End::Pods(_));
    let own_node = from.node.is_some() && from.node == to.node && is_pods(from) != is_pods(to);
    let pods = &sources.party.pods;
    let itself = pods.len() == 1 && *pods == destinations.party.pods;
    if own_node || itself {
        return (Outcome::Allowed, false);
    }
    let allowed = reach.ports(from.end, to.end, from.family).intersection(&to.asked);
    let outcome = if allowed == to.asked {
        Outcome::Allowed
    } else if allowed.is_empty() {
        Outcome::Denied
    } else {
        Outcome::Partly(to.asked.clone(), allowed)
    };
    (outcome, true)
}

fn case(
    scene: &ClusterState,
    by: Option<&String>,
    from: &Some<'_>,
    to: &Some<'_>,
    answer: &Answer,
) -> Option<Case> {
    let party = |groups: &Some<'_>| {
        let mut party = Party::default();
        for (_, group) in groups {
            party.extend(&group.party);
        }
        party
    };
    let asked_by = |asked: PortSet, (kind, _): &(&Kind, &Group)| asked.union(&kind.asked);
    let asked = to.iter().fold(PortSet::none(), asked_by);
    let allowed = match &answer.outcome {
        Outcome::Denied => PortSet::none(),
        Outcome::Partly(_, allowed) => allowed.clone(),
        Outcome::Allowed => asked.clone(),
    };
    let pair = pair(from, to)?;
    let asked_here = &pair.2.asked;
    let halves = [asked_here.difference(&allowed), asked_here.intersection(&allowed)];
    let witnesses = halves.iter().filter_map(example).map(|transport| {
        let packet = Packet {
            source: pair.0,
            destination: pair.1,
            transport: of_family(transport, pair.0),
        };
        witness(scene, &packet, asked_here)
    });
    Some(Case {
        by: by.cloned(),
        families: from.iter().map(|(kind, _)| kind.family).collect(),
        from: party(from),
        to: party(to),
        asked,
        allowed,
        witnesses: witnesses.collect(),
    })
}

/// Two addresses that stand for a case: of two pods, where there are two. With what is asked about at the second.
fn pair<'g>(from: &Some<'g>, to: &Some<'g>) -> Option<(IpAddr, IpAddr, &'g Kind)> {
    let samples = |groups: &Some<'g>| {
        let all = groups.iter().flat_map(|(kind, group)| {
            group
                .samples
                .iter()
                .map(move |(address, pod)| (*kind, *address, pod))
        });
        all.collect::<Vec<_>>()
    };
    let destinations = samples(to);
    let pairs = || {
        let sources = samples(from).into_iter();
        sources.flat_map(|(_, source, pod)| {
            let others = destinations.iter().map(move |(kind, destination, other)| {
                (source, *destination, *kind, is_one(pod.as_ref(), other.as_ref()))
            });
            others.collect::<Vec<_>>()
        })
    };
    let two = pairs().find(|(.., one)| !one);
    let (source, destination, kind, _) = two.or_else(|| pairs().next())?;
    Some((source, destination, kind))
}

fn is_one(pod: Option<&PodKey>, other: Option<&PodKey>) -> bool {
    pod.is_some() && pod == other
}

/// ICMP is another protocol in IPv6.
fn of_family(transport: Transport, address: IpAddr) -> Transport {
    match transport {
        Transport::Port(protocol, port) => Transport::Port(protocol, port),
        Transport::Other(_) => Transport::Other(if address.is_ipv4() { 1 } else { 58 }),
    }
}

/// A transport of a set: one that everybody knows, if it will do.
fn example(ports: &PortSet) -> Option<Transport> {
    let known = Transport::Port(Protocol::Tcp, 80);
    let known = Some(known).filter(|transport| ports.contains(*transport));
    known.or_else(|| ports.example())
}

fn witness(state: &ClusterState, packet: &Packet, asked: &PortSet) -> Witness {
    let scene = scene(state, [packet.source, packet.destination].into_iter());
    let Evaluation {
        packet,
        verdict,
        reason,
    } = evaluate::evaluate(&scene, packet);
    let why = match reason {
        Reason::OwnNode { pod } => Why::OwnNode(pod),
        Reason::Itself { pod } => Why::Itself(pod),
        Reason::Judged {
            egress: None,
            ingress: None,
        } => Why::NoPod,
        Reason::Judged { egress, ingress } => {
            let sides = egress.iter().chain(&ingress);
            Why::Judged(sides.map(|side| account(&scene, &packet, asked, side)).collect())
        }
    };
    Witness { packet, verdict, why }
}

/// Puts a case to those of the same answer. One of another family with the same pods is the same case.
fn merge(cases: &mut Vec<(Answer, Case)>, answer: Answer, case: Case) {
    let same = cases.iter_mut().find(|(other, of)| {
        *other == answer
            && of.families.is_disjoint(&case.families)
            && of.from.pods == case.from.pods
            && of.to.pods == case.to.pods
    });
    match same {
        Some((_, of)) => {
            of.families.extend(case.families);
            of.from.extend(&case.from);
            of.to.extend(&case.to);
        }
        None => cases.push((answer, case)),
    }
}
