//! The cases of an answer: who gets the same, and a packet that stands for it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;

use palisade_policy::cluster::{ClusterState, Event};
use palisade_policy::evaluate::{self, Evaluation, Reason};
use palisade_policy::model::{Packet, Pod, PolicyKey, Protocol, Transport};
use palisade_policy::reach::{Class, End, PortSet, Reach};
use thiserror::Error;

use super::account::{StandsFor, account};
use super::parties::{Group, Groups, Kind, Sorter};
use super::scene::scene;
use super::twin::twin;
use super::{Case, Explainer, Party, Why, Witness};
use crate::question::Resolved;

/// What pairs of ends have in common that are one case.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Answer {
    outcome: Outcome,
    ground: Ground,
}

/// What becomes of the ports that are asked about. In order of how cases are told.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Outcome {
    Denied,
    /// The ports that are asked about, and those that are allowed.
    Partly(PortSet, PortSet),
    Allowed,
}

/// What decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Ground {
    /// What isolates the source and the destination.
    Policies(Isolation, Isolation),
    /// No policy: a pod itself, or its own node.
    Always,
}

/// What isolates an end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Isolation {
    /// One of the sets of policies of this side, by its number in their order.
    By(usize),
    /// Some policies, which differ too much among the ends of this side for a case of each.
    BySome,
}

/// Different sets of policies that make cases of their own on one side. Of more, nobody would read them all.
const SETS: usize = 8;

/// Pairs of kinds that are compared at the most: some seconds of work, and some hundred megabytes.
const PAIRS: usize = 20_000_000;

/// Of one pod in so many being asked about, the whole cluster is looked at, and not what has a say alone.
const MANY: usize = 4;

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
pub(super) fn cases(explainer: &Explainer<'_>, question: &Resolved) -> Result<Vec<Case>, TooMany> {
    let whole = &explainer.inventory.state;
    let destinations = question.ways.iter().flat_map(|way| way.addresses.keys());
    let addresses = question.sources.addresses.iter().chain(destinations).copied();
    let (part, of_part);
    let (scene, reach) = if addresses.clone().count() < whole.pods().len() / MANY {
        part = scene(whole, addresses.clone());
        of_part = Reach::of(&part);
        (&part, &of_part)
    } else {
        (whole, explainer.reach())
    };
    let sorter = Sorter::new(whole, reach, addresses);
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
        for (answer, from, to) in products(reach, question.itself, &sources, &destinations) {
            let Some(case) = case(
                explainer,
                (scene, reach),
                question,
                way.by.as_ref(),
                &from,
                &to,
                &answer,
            ) else {
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
    itself: bool,
    sources: &'g Groups,
    destinations: &'g Groups,
) -> Vec<(Answer, Some<'g>, Some<'g>)> {
    let egress = isolations(reach, sources, |class| &class.egress);
    let ingress = isolations(reach, destinations, |class| &class.ingress);
    // Destinations with the same sources belong together. Families stay apart, as no pair is across.
    let mut by_sources: BTreeMap<(Answer, Vec<usize>), Vec<usize>> = BTreeMap::new();
    let mut by_answer: HashMap<Answer, Vec<usize>> = HashMap::new();
    for ((number, (to, _)), ingress) in destinations.iter().enumerate().zip(&ingress) {
        for ((other, (from, _)), egress) in sources.iter().enumerate().zip(&egress) {
            if from.family == to.family {
                let (outcome, by_policies) = outcome(reach, itself, from, to);
                let ground = if by_policies {
                    Ground::Policies(*egress, *ingress)
                } else {
                    Ground::Always
                };
                by_answer
                    .entry(Answer { outcome, ground })
                    .or_default()
                    .push(other);
            }
        }
        for entry in by_answer.drain() {
            by_sources.entry(entry).or_default().push(number);
        }
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
    let numbers: BTreeMap<&BTreeSet<PolicyKey>, usize> = different.into_iter().zip(0..).collect();
    let few = numbers.len() <= SETS;
    let isolation = |kind| match of_kind(kind) {
        policies if few || policies.is_empty() => numbers
            .get(policies)
            .map_or(Isolation::BySome, |number| Isolation::By(*number)),
        _ => Isolation::BySome,
    };
    groups.keys().map(isolation).collect()
}

/// What becomes of a pair, and whether policies decide about it. `itself`: both are the same pod, and that is the question.
fn outcome(reach: &Reach, itself: bool, from: &Kind, to: &Kind) -> (Outcome, bool) {
    let is_pods = |kind: &Kind| matches!(kind.end, End::Pods(_));
    let own_node = from.node.is_some() && from.node == to.node && is_pods(from) != is_pods(to);
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
    explainer: &Explainer<'_>,
    (scene, reach): (&ClusterState, &Reach),
    question: &Resolved,
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
    let (sources, destinations) = (party(from), party(to));
    let allowed = match &answer.outcome {
        Outcome::Denied => PortSet::none(),
        Outcome::Partly(_, allowed) => allowed.clone(),
        Outcome::Allowed => asked.clone(),
    };
    let pair = pair(from, to)?;
    let asked_here = &pair.kind.asked;
    let stands_for = StandsFor {
        ports: asked_here,
        from: &sources,
        to: &destinations,
        made_up: &explainer.made_up,
    };
    let another = if pair.is_one && !question.itself {
        Some(twin(&explainer.inventory.state, reach, pair.destination))
    } else {
        None
    };
    let halves = [asked_here.difference(&allowed), asked_here.intersection(&allowed)];
    let witnesses = halves.iter().filter_map(example).filter_map(|transport| {
        let packet = Packet {
            source: pair.source,
            destination: pair.destination,
            transport: of_family(transport, pair.source),
        };
        match &another {
            None => Some(witness(scene, &packet, &stands_for)),
            Some(Some(twin)) => Some(beside_twin(scene, twin, packet, &stands_for)),
            // No address would do for another pod.
            Some(None) => None,
        }
    });
    Some(Case {
        by: by.cloned(),
        families: from.iter().map(|(kind, _)| kind.family).collect(),
        asked,
        allowed,
        witnesses: witnesses.collect(),
        from: sources,
        to: destinations,
    })
}

/// Two ends that stand for a case.
struct Pair<'g> {
    source: IpAddr,
    destination: IpAddr,
    /// What is asked about at the destination.
    kind: &'g Kind,
    /// Whether both are the same pod.
    is_one: bool,
}

/// Two addresses that stand for a case: of two pods, where there are two.
fn pair<'g>(from: &Some<'g>, to: &Some<'g>) -> Option<Pair<'g>> {
    let samples = |groups: &Some<'g>| {
        let all = groups.iter().flat_map(|(kind, group)| {
            let samples = group.samples.iter();
            samples.map(move |(address, pod)| (*kind, *address, pod.as_ref()))
        });
        all.collect::<Vec<_>>()
    };
    let destinations = samples(to);
    let pairs = || {
        let sources = samples(from).into_iter();
        sources.flat_map(|(_, source, pod)| {
            let others = destinations.iter().map(move |(kind, destination, other)| Pair {
                source,
                destination: *destination,
                kind,
                is_one: pod.is_some() && pod == *other,
            });
            others.collect::<Vec<_>>()
        })
    };
    pairs().find(|pair| !pair.is_one).or_else(|| pairs().next())
}

/// What becomes of a packet to another pod like the destination.
fn beside_twin(whole: &ClusterState, twin: &Pod, mut packet: Packet, asked: &StandsFor<'_>) -> Witness {
    let mut scene = scene(whole, std::iter::once(packet.source));
    scene.apply(Event::PodApplied(twin.clone()));
    if let [address] = twin.addresses.as_slice() {
        packet.destination = *address;
    }
    Witness {
        twin: Some(twin.clone()),
        ..witness(&scene, &packet, asked)
    }
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

fn witness(state: &ClusterState, packet: &Packet, stands_for: &StandsFor<'_>) -> Witness {
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
            Why::Judged(
                sides
                    .map(|side| account(&scene, &packet, stands_for, side))
                    .collect(),
            )
        }
    };
    Witness {
        packet,
        verdict,
        why,
        twin: None,
    }
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
