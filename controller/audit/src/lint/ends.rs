//! Connections that one end allows and the other does not.
//!
//! A peer is told only if nothing at all passes, whoever of it connects to whomever of the policy's pods. In doubt it passes:
//! an address that is not known yet may be in any block, a name stands for what any of the pods declares, and of a peer under
//! very many policies not all are asked.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::rc::Rc;

use palisade_policy::model::{Direction, IpBlock, Peer, PolicyPort, PortMatch, PortName, Ports, Protocol};

use super::Code;
use super::finding::{Finding, Findings};
use super::scene::{Scene, Seen, SeenRule};
use super::selection::Selection;
use super::wording::{listed, pods};
use crate::inventory::ObjectRef;

/// Policies at the other end of a peer that are asked. One under more is a large part of a cluster, of which some pod will do.
const ASKED: usize = 100;

/// What was found out about the other ends of policies.
pub(super) struct Ends<'s, 'a> {
    scene: &'s Scene<'a>,
    /// The profiles of the pods of a selection.
    profiles: HashMap<(usize, Direction), Rc<[usize]>>,
    /// Whether two selections have pods in common.
    meeting: HashMap<(usize, usize), bool>,
    /// Whether a block may have addresses of the pods of a selection.
    holding: HashMap<(&'a IpBlock, usize), bool>,
    /// What the pods of a selection declare.
    declared: HashMap<usize, Rc<Declared<'a>>>,
}

/// The numbers that pods declare under names.
type Declared<'a> = HashMap<(&'a PortName, Protocol), BTreeSet<u16>>;

/// One side of a connection as the other side asks about it: some pods, and the ports of a rule for them.
struct Side<'s, 'a> {
    pods: &'s Selection<'a>,
    ports: &'s Ports,
    /// What the pods that are connected to declare.
    declared: Rc<Declared<'a>>,
}

impl<'s, 'a> Ends<'s, 'a> {
    pub(super) fn of(scene: &'s Scene<'a>) -> Self {
        Self {
            scene,
            profiles: HashMap::new(),
            meeting: HashMap::new(),
            holding: HashMap::new(),
            declared: HashMap::new(),
        }
    }

    pub(super) fn check(&mut self, seen: &Seen<'a>, findings: &mut Findings) {
        for (direction, rule) in seen.all_rules() {
            let other = match direction {
                Direction::Ingress => Direction::Egress,
                Direction::Egress => Direction::Ingress,
            };
            // Of each policy at the other end, whether it lets anything through. Peers of a rule share most of these.
            let mut letting = BTreeMap::new();
            for at in &rule.peers {
                if !matches!(at.peer, Peer::Pods(_))
                    || at.found.workloads.is_empty()
                    || seen.subject.workloads.is_empty()
                {
                    continue;
                }
                // A pod always reaches itself.
                let itself = match (seen.subject.workloads.as_slice(), at.found.workloads.as_slice()) {
                    ([subject], [peer]) => subject.number == peer.number && subject.single,
                    _ => false,
                };
                if itself {
                    continue;
                }
                let side = Side {
                    pods: &seen.subject,
                    ports: &rule.rule.ports,
                    declared: self.declared(match direction {
                        Direction::Ingress => &seen.subject,
                        Direction::Egress => &at.found,
                    }),
                };
                let profiles = self.profiles(&at.found, other);
                let open = profiles
                    .iter()
                    .any(|profile| self.scene.profile(*profile).is_empty());
                let mut policies = profiles
                    .iter()
                    .flat_map(|profile| self.scene.profile(*profile))
                    .enumerate();
                let passes = open
                    || policies.any(|(count, place)| {
                        count == ASKED
                            || *letting
                                .entry(*place)
                                .or_insert_with(|| self.lets(*place, other, &side))
                    });
                if !passes {
                    let finding = self.closed(seen, &at.found, other, &profiles);
                    findings.add(finding.at(seen.field(direction, rule, at)));
                }
                if direction == Direction::Egress {
                    // The ports that names stand for are those of this peer.
                    letting.clear();
                }
            }
        }
    }

    /// The profiles of some pods, without repeats.
    fn profiles(&mut self, found: &Selection<'_>, direction: Direction) -> Rc<[usize]> {
        let scene = self.scene;
        let find = || {
            let profiles = found
                .workloads
                .iter()
                .map(|class| scene.profile_of(class, direction));
            let mut profiles: Vec<usize> = profiles.collect();
            profiles.sort_unstable();
            profiles.dedup();
            profiles.into()
        };
        let key = (found.number, direction);
        self.profiles.entry(key).or_insert_with(find).clone()
    }

    fn declared(&mut self, found: &Selection<'a>) -> Rc<Declared<'a>> {
        let find = || {
            let mut declared = Declared::new();
            for port in found.workloads.iter().flat_map(|class| class.ports) {
                let numbers = declared.entry((&port.name, port.protocol)).or_default();
                numbers.insert(port.number);
            }
            Rc::new(declared)
        };
        self.declared.entry(found.number).or_insert_with(find).clone()
    }

    /// Whether a policy allows anything between its pods and a side.
    fn lets(&mut self, place: usize, direction: Direction, side: &Side<'_, 'a>) -> bool {
        let Some(policy) = self.scene.policies().get(place) else {
            return false;
        };
        policy
            .rules(direction)
            .iter()
            .any(|rule| overlap(&rule.rule.ports, side.ports, &side.declared) && self.is_for(rule, side.pods))
    }

    /// Whether any of some pods is among the peers of a rule.
    fn is_for(&mut self, rule: &SeenRule<'a>, pods: &Selection<'a>) -> bool {
        rule.is_for_everybody()
            || rule.peers.iter().any(|at| match at.peer {
                Peer::Block(block) => {
                    let find = || pods.workloads.iter().any(|class| at.includes(class));
                    *self.holding.entry((block, pods.number)).or_insert_with(find)
                }
                Peer::Pods(_) => {
                    let key = (at.found.number, pods.number);
                    *self.meeting.entry(key).or_insert_with(|| at.found.meets(pods))
                }
            })
    }

    fn closed(
        &self,
        seen: &Seen<'_>,
        found: &Selection<'_>,
        other: Direction,
        profiles: &[usize],
    ) -> Finding {
        let isolating = profiles
            .iter()
            .flat_map(|profile| self.scene.at(self.scene.profile(*profile)));
        let mut policies: Vec<_> = isolating.map(|seen| &seen.policy.key).collect();
        policies.sort();
        policies.dedup();
        let message = format!(
            "the policies for {other} of {} ({}) let none of it through",
            pods(found.workloads.iter().copied()),
            listed(policies.iter())
        );
        let finding = Finding::of_policy(Code::OtherEnd, seen.policy, message);
        finding.related_to(policies.into_iter().cloned().map(ObjectRef::Policy))
    }
}

/// Whether two rules have a port in common, where destinations declare this.
fn overlap(one: &Ports, other: &Ports, declared: &Declared<'_>) -> bool {
    let (Ports::AnyOf(one), Ports::AnyOf(other)) = (one, other) else {
        // A rule whose ports could not be understood has none.
        let some = |ports: &Ports| !matches!(ports, Ports::AnyOf(ports) if ports.is_empty());
        return some(one) && some(other);
    };
    one.iter().any(|one| {
        let mut others = other.iter().filter(|other| other.protocol == one.protocol);
        others.any(|other| meet(one, other, declared))
    })
}

/// Whether two entries of the same protocol have a port in common.
fn meet(one: &PolicyPort, other: &PolicyPort, declared: &Declared<'_>) -> bool {
    match (&one.port, &other.port) {
        (PortMatch::Range(one), PortMatch::Range(other)) => {
            one.first() <= other.last() && other.first() <= one.last()
        }
        (PortMatch::Any, PortMatch::Any | PortMatch::Range(_)) | (PortMatch::Range(_), PortMatch::Any) => {
            true
        }
        (PortMatch::Named(name), PortMatch::Any) | (PortMatch::Any, PortMatch::Named(name)) => {
            numbers(name, one.protocol, declared).next().is_some()
        }
        (PortMatch::Named(name), PortMatch::Range(range))
        | (PortMatch::Range(range), PortMatch::Named(name)) => {
            numbers(name, one.protocol, declared).any(|number| range.contains(number))
        }
        (PortMatch::Named(name), PortMatch::Named(same)) if name == same => {
            numbers(name, one.protocol, declared).next().is_some()
        }
        (PortMatch::Named(name), PortMatch::Named(other)) => numbers(name, one.protocol, declared)
            .any(|number| numbers(other, one.protocol, declared).any(|same| same == number)),
    }
}

/// What pods declare under a name.
fn numbers<'d>(
    name: &'d PortName,
    protocol: Protocol,
    declared: &'d Declared<'d>,
) -> impl Iterator<Item = u16> + use<'d> {
    declared.get(&(name, protocol)).into_iter().flatten().copied()
}
