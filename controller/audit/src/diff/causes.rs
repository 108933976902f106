//! Finds out why connections become allowed or denied: the oracle is asked, in both states.
//!
//! Ports that no rule tells apart have the same cause, so one of them is asked about. Of sources each is asked about, as long
//! as these are not too many.

use std::collections::{BTreeMap, BTreeSet};

use palisade_policy::cluster::ClusterState;
use palisade_policy::evaluate::{Judgement, Outcome, Reason, evaluate};
use palisade_policy::model::{Direction, NamespaceName, Packet, Policy, PolicyKey, Transport};
use palisade_policy::reach::{End, Family, PortSet};

use super::cause::{Cause, Grant};
use super::joint::Joint;
use super::pairs::Changed;
use super::points::parts;
use super::spots::{Meeting, Spots};
use super::{Effect, isolating};
use crate::inventory::Inventory;

/// How many pairs are asked about one by one. Beyond that, sources of one namespace that the same policies isolate are asked
/// about once for each destination.
const ONE_BY_ONE: usize = 20_000;

/// How many parts of the ports of a pair are asked about.
const PARTS: usize = 64;

/// Connections to one end that change for the same reason.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) from: Vec<End>,
    pub(super) ports: PortSet,
    pub(super) cause: Cause,
    /// One of them, in the state where it is denied.
    pub(super) witness: Packet,
}

/// Finds causes.
pub(super) struct Causes<'a> {
    spots: Spots<'a>,
    joint: &'a Joint<'a>,
    asked: usize,
    /// The policies that say something else of a connection that changes, or of who is isolated for it.
    pub(super) effective: BTreeSet<PolicyKey>,
    /// Whether all was asked about, so that no other policy has a part in a change.
    pub(super) complete: bool,
}

/// Sources that are asked about together.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Together<'a> {
    /// One.
    One(End),
    /// Those of a namespace that these policies isolate before and after.
    Isolated(Option<&'a NamespaceName>, [Option<&'a BTreeSet<PolicyKey>>; 2]),
}

/// What decides about a pair in one state.
struct Scene<'a> {
    state: usize,
    egress: Vec<&'a Policy>,
    ingress: Vec<&'a Policy>,
}

impl<'a> Scene<'a> {
    fn policies(&self, direction: Direction) -> &[&'a Policy] {
        match direction {
            Direction::Egress => &self.egress,
            Direction::Ingress => &self.ingress,
        }
    }

    fn all(&self) -> Vec<&'a Policy> {
        self.egress.iter().chain(&self.ingress).copied().collect()
    }
}

impl<'a> Causes<'a> {
    pub(super) fn of(inventories: [&'a Inventory; 2], joint: &'a Joint<'a>) -> Self {
        Self {
            spots: Spots { inventories, joint },
            joint,
            asked: 0,
            effective: BTreeSet::new(),
            complete: true,
        }
    }

    /// The causes of a change, with the sources and the ports that each is for. Sources whose packets are always allowed,
    /// because they are of the destination's own node, are left out.
    pub(super) fn each(&mut self, change: &Changed, to: End) -> Vec<Found> {
        let mut groups: BTreeMap<Together<'_>, Vec<End>> = BTreeMap::new();
        let one_by_one = self.asked < ONE_BY_ONE;
        for from in change.from.iter() {
            let together = if one_by_one {
                Together::One(*from)
            } else {
                let class = |state| self.joint.side(*from, state);
                let policies = |state| Some(isolating(class(state)?, Direction::Egress));
                Together::Isolated(class(1).map(|class| &class.namespace), [policies(0), policies(1)])
            };
            groups.entry(together).or_default().push(*from);
        }
        self.asked += groups.len();
        let mut found: BTreeMap<(Cause, PortSet), (Vec<End>, Packet)> = BTreeMap::new();
        let mut first: Vec<(Cause, PortSet)> = Vec::new();
        let mut alone = false;
        for mut ends in groups.into_values() {
            if ends == [to] && !self.joint.is_plural(to) {
                alone = true;
                continue;
            }
            let mut answers = ends.iter().find_map(|from| self.ask(change, *from, to));
            if !one_by_one {
                ends.retain(|from| {
                    let is_itself = *from == to && !self.joint.is_plural(to);
                    is_itself || self.spots.meeting(*from, to, change.family).is_some()
                });
                if ends.len() > 1 {
                    self.complete = false;
                    for (_, cause, _) in answers.iter_mut().flatten() {
                        cause.perhaps_others = true;
                    }
                }
            }
            let is_first = first.is_empty();
            for (ports, cause, witness) in answers.into_iter().flatten() {
                let key = (cause, ports);
                if is_first {
                    first.push(key.clone());
                }
                let (from, _) = found.entry(key).or_insert_with(|| (Vec::new(), witness));
                from.extend(&ends);
            }
        }
        // What a second pod like it could do goes with what others can: it reaches itself in any case.
        if alone {
            for key in &first {
                if let Some((from, _)) = found.get_mut(key) {
                    from.push(to);
                }
            }
        }
        let found = found.into_iter().map(|((cause, ports), (mut from, witness))| {
            from.sort_unstable();
            Found {
                from,
                ports,
                cause,
                witness,
            }
        });
        found.collect()
    }

    /// Asks about one pair: why, for each part of the ports.
    fn ask(&mut self, change: &Changed, from: End, to: End) -> Option<Vec<(PortSet, Cause, Packet)>> {
        let meeting = self.spots.meeting(from, to, change.family)?;
        let (denied, allowed) = match change.effect {
            Effect::Allowed => (0, 1),
            Effect::Denied => (1, 0),
        };
        let scenes = [self.policies(from, to, 0), self.policies(from, to, 1)];
        let [before, after] = &scenes;
        let destination = |state: usize| meeting.1.pod.as_ref()?.get(state).map(AsRef::as_ref);
        let mut parts = parts(
            &change.ports,
            [(&before.all(), destination(0)), (&after.all(), destination(1))],
        );
        let mut rest = parts.split_off(parts.len().min(PARTS)).into_iter();
        // What is left is asked about at one port.
        let rest = rest.next().map(|first| {
            let example = first.example();
            (rest.fold(first, |all, part| all.union(&part)), example)
        });
        let inquiry = Inquiry::of(self.spots, &meeting, &scenes, denied, allowed)?;
        let mut answers: BTreeMap<Cause, (PortSet, Packet)> = BTreeMap::new();
        let asked = parts.into_iter().map(|part| {
            let example = part.example();
            (part, example, false)
        });
        let asked = asked.chain(rest.map(|(part, example)| (part, example, true)));
        for (part, example, perhaps_others) in asked {
            let Some((mut cause, witness)) = inquiry.cause(example?, &mut self.effective) else {
                continue;
            };
            cause.perhaps_others = perhaps_others;
            self.complete &= !perhaps_others;
            let (own, _) = answers.entry(cause).or_insert_with(|| (PortSet::none(), witness));
            *own = own.union(&part);
        }
        let answers = answers
            .into_iter()
            .map(|(cause, (ports, witness))| (ports, cause, witness));
        Some(answers.collect())
    }

    /// The policies that decide about a pair in a state.
    fn policies(&self, from: End, to: End, state: usize) -> Scene<'a> {
        let policies = |end, direction| {
            let keys = self
                .joint
                .side(end, state)
                .map(|class| isolating(class, direction));
            let all = self
                .spots
                .inventories
                .get(state)
                .map(|inventory| inventory.state.policies());
            let policies = keys.into_iter().flatten().filter_map(|key| all?.get(key));
            policies.collect()
        };
        Scene {
            state,
            egress: policies(from, Direction::Egress),
            ingress: policies(to, Direction::Ingress),
        }
    }
}

/// A pair that the oracle is asked about: what there is in each state, all of it and with each policy that could allow.
struct Inquiry<'a> {
    meeting: &'a Meeting<'a>,
    denied: ClusterState,
    allowed: ClusterState,
    /// Each policy of the state that allows, by itself.
    granting: Vec<(Direction, ClusterState)>,
    /// The policies that isolate in the state that allows.
    isolating: [BTreeSet<PolicyKey>; 2],
    states: [usize; 2],
}

impl<'a> Inquiry<'a> {
    fn of(
        spots: Spots<'a>,
        meeting: &'a Meeting<'a>,
        scenes: &[Scene<'_>; 2],
        denied: usize,
        allowed: usize,
    ) -> Option<Self> {
        let (source, destination, _) = meeting;
        let find = |state: usize| scenes.iter().find(|scene| scene.state == state);
        let (denying, allowing) = (find(denied)?, find(allowed)?);
        let directions = [Direction::Egress, Direction::Ingress];
        let granting = directions.into_iter().flat_map(|direction| {
            let policies = allowing.policies(direction).iter();
            policies.map(move |policy| (direction, spots.scene(allowed, source, destination, &[*policy])))
        });
        let isolating = directions.map(|direction| {
            let policies = allowing.policies(direction).iter();
            policies.map(|policy| policy.key.clone()).collect()
        });
        Some(Self {
            meeting,
            denied: spots.scene(denied, source, destination, &denying.all()),
            allowed: spots.scene(allowed, source, destination, &allowing.all()),
            granting: granting.collect(),
            isolating,
            states: [denied, allowed],
        })
    }

    fn packet(&self, state: usize, transport: Transport) -> Option<Packet> {
        let (source, destination, family) = self.meeting;
        Some(Packet {
            source: *source.address.get(state)?,
            destination: *destination.address.get(state)?,
            transport: match (transport, family) {
                (Transport::Other(_), Family::V6) => Transport::Other(ICMP_V6),
                (transport, _) => transport,
            },
        })
    }

    /// Why a packet is denied in the one state and allowed in the other. Policies that say something else of it in the other
    /// are `effective`.
    fn cause(&self, transport: Transport, effective: &mut BTreeSet<PolicyKey>) -> Option<(Cause, Packet)> {
        let [denied, allowed] = self.states;
        let (asked, granted) = (self.packet(denied, transport)?, self.packet(allowed, transport)?);
        let mut cause = Cause::default();
        let mut witness = None;
        for judgement in judgements(&self.denied, &asked) {
            let Outcome::Denied { isolating } = &judgement.outcome else {
                continue;
            };
            witness = Some(asked);
            let direction = judgement.direction;
            let side = cause.side(direction);
            side.isolating
                .extend(isolating.iter().map(|trace| trace.policy.clone()));
            let now = judgements(&self.allowed, &granted);
            let mut own = now.iter().filter(|other| other.direction == direction);
            if own.any(|other| other.outcome == Outcome::NotIsolated) {
                side.grants.insert(Grant::Open);
            } else {
                let scenes = self.granting.iter().filter(|(own, _)| *own == direction);
                let judged = scenes.flat_map(|(_, scene)| judgements(scene, &granted));
                side.grants.extend(judged.filter_map(|other| match other.outcome {
                    Outcome::Allowed { policy, rule, .. } if other.direction == direction => {
                        Some(Grant::Rule(policy, rule))
                    }
                    Outcome::Allowed { .. } | Outcome::Denied { .. } | Outcome::NotIsolated => None,
                }));
            }
            let [egress, ingress] = &self.isolating;
            let as_well = match direction {
                Direction::Egress => egress,
                Direction::Ingress => ingress,
            };
            // One that isolates in both states, and allows it in neither, says the same in both.
            effective.extend(side.isolating.difference(as_well).cloned());
            effective.extend(side.grants.iter().filter_map(Grant::policy).cloned());
        }
        Some((cause, witness?))
    }
}

/// The protocol number of ICMP for IPv6.
const ICMP_V6: u8 = 58;

fn judgements(state: &ClusterState, packet: &Packet) -> Vec<Judgement> {
    match evaluate(state, packet).reason {
        Reason::Judged { egress, ingress } => egress.into_iter().chain(ingress).collect(),
        Reason::OwnNode { .. } | Reason::Itself { .. } => Vec::new(),
    }
}
