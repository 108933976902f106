//! Why a connection becomes allowed or denied: the oracle is asked, in both states.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use palisade_policy::cluster::{ClusterState, Event};
use palisade_policy::evaluate::{Judgement, Outcome, Reason, evaluate};
use palisade_policy::model::{
    Direction, Packet, Pod, PodUid, Policy, PolicyKey, PortMatch, Ports, Protocol, Transport,
};
use palisade_policy::reach::{End, Family, PortSet};

use super::joint::Joint;
use super::pairs::Changed;
use super::{Effect, isolating};
use crate::inventory::Inventory;

/// Why connections become allowed or denied. A direction is told if it denies them in the one state.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cause {
    /// What the sources' policies say.
    pub egress: Option<Side>,
    /// What the destinations' policies say.
    pub ingress: Option<Side>,
}

/// What one side says.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Side {
    /// In the state where it denies: the policies that isolate the pod, none of which allows the connection.
    pub isolating: BTreeSet<PolicyKey>,
    /// In the state where it allows: everything that does.
    pub grants: BTreeSet<Grant>,
}

/// What allows a connection on one side.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Grant {
    /// No policy isolates the pod.
    Open,
    /// A rule, counted from 0.
    Rule(PolicyKey, usize),
}

impl Cause {
    /// Each side that says anything, with its direction.
    pub fn sides(&self) -> impl Iterator<Item = (Direction, &Side)> {
        let egress = self.egress.iter().map(|side| (Direction::Egress, side));
        let ingress = self.ingress.iter().map(|side| (Direction::Ingress, side));
        egress.chain(ingress)
    }

    /// All policies that are named.
    pub fn policies(&self) -> impl Iterator<Item = &PolicyKey> {
        self.sides().flat_map(|(_, side)| {
            let rules = side.grants.iter().filter_map(|grant| match grant {
                Grant::Rule(policy, _) => Some(policy),
                Grant::Open => None,
            });
            side.isolating.iter().chain(rules)
        })
    }

    fn side(&mut self, direction: Direction) -> &mut Side {
        let side = match direction {
            Direction::Egress => &mut self.egress,
            Direction::Ingress => &mut self.ingress,
        };
        side.get_or_insert_default()
    }
}

/// How many causes are found one by one. Beyond that, sources that the same policies isolate are asked about once for
/// each destination.
const ONE_BY_ONE: usize = 20_000;

/// How many ports of a change are asked about.
const POINTS: usize = 32;

/// Finds causes.
pub(super) struct Causes<'a> {
    inventories: [&'a Inventory; 2],
    joint: &'a Joint<'a>,
    asked: usize,
}

/// Sources that are asked about together.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Together<'a> {
    /// One.
    One(End),
    /// Those that these policies isolate before and after.
    Isolated([Option<&'a BTreeSet<PolicyKey>>; 2]),
}

/// A pod or an address, in both states.
#[derive(Clone, Copy, Debug)]
struct Spot<'a> {
    address: [IpAddr; 2],
    pod: Option<[&'a Pod; 2]>,
}

impl<'a> Causes<'a> {
    pub(super) fn of(inventories: [&'a Inventory; 2], joint: &'a Joint<'a>) -> Self {
        Self {
            inventories,
            joint,
            asked: 0,
        }
    }

    /// The causes of a change, with the sources that each is for and a packet that becomes allowed or denied. Sources whose
    /// packets are always allowed, because they are of the destination's own node, are left out.
    pub(super) fn each(&mut self, change: &Changed, to: End) -> Vec<(Vec<End>, Cause, Packet)> {
        let mut groups: BTreeMap<Together<'_>, Vec<End>> = BTreeMap::new();
        let one_by_one = self.asked < ONE_BY_ONE;
        for from in change.from.iter() {
            let together = if one_by_one {
                Together::One(*from)
            } else {
                let policies = |state| Some(isolating(self.joint.side(*from, state)?, Direction::Egress));
                Together::Isolated([policies(0), policies(1)])
            };
            groups.entry(together).or_default().push(*from);
        }
        self.asked += groups.len();
        let mut found: Vec<(Vec<End>, Cause, Packet)> = Vec::new();
        let mut alone = None;
        for mut ends in groups.into_values() {
            if ends == [to] && self.joint.pods(to).len() == 1 {
                alone = Some(to);
                continue;
            }
            let asked = ends.iter().find_map(|from| self.ask(change, *from, to));
            if !one_by_one {
                ends.retain(|from| *from == to || self.spots(change, *from, to).is_some());
            }
            if let Some((cause, witness)) = asked {
                found.push((ends, cause, witness));
            }
        }
        // What a second pod like it could do goes with what others can: it reaches itself in any case.
        if let (Some(itself), Some((ends, _, _))) = (alone, found.first_mut()) {
            ends.push(itself);
        }
        found
    }

    /// Asks about one pair.
    fn ask(&self, change: &Changed, from: End, to: End) -> Option<(Cause, Packet)> {
        let (source, destination, family) = self.spots(change, from, to)?;
        let (denied, allowed) = match change.effect {
            Effect::Allowed => (0, 1),
            Effect::Denied => (1, 0),
        };
        let policies = |state, direction| -> Vec<&Policy> {
            let end = match direction {
                Direction::Egress => from,
                Direction::Ingress => to,
            };
            let keys = self
                .joint
                .side(end, state)
                .map(|class| isolating(class, direction));
            let all = self
                .inventories
                .get(state)
                .map(|inventory| inventory.state.policies());
            keys.into_iter()
                .flatten()
                .filter_map(|key| all?.get(key))
                .collect()
        };
        let everything = |state| {
            let mut all = policies(state, Direction::Egress);
            all.extend(policies(state, Direction::Ingress));
            self.scene(state, source, destination, &all)
        };
        let relevant: Vec<&Policy> = [0, 1]
            .into_iter()
            .flat_map(|state| {
                [Direction::Egress, Direction::Ingress].map(|direction| policies(state, direction))
            })
            .flatten()
            .collect();
        let points = points(&change.ports, family, &relevant, destination.pod);
        let packet = |state: usize, transport| {
            Some(Packet {
                source: *source.address.get(state)?,
                destination: *destination.address.get(state)?,
                transport,
            })
        };
        let (before, after) = (everything(denied), everything(allowed));
        let mut cause = Cause::default();
        let mut witness = None;
        for transport in points {
            let asked = packet(denied, transport)?;
            let granted = packet(allowed, transport)?;
            for judgement in judgements(&before, &asked) {
                let Outcome::Denied { isolating } = &judgement.outcome else {
                    continue;
                };
                witness.get_or_insert(asked);
                let direction = judgement.direction;
                let side = cause.side(direction);
                side.isolating
                    .extend(isolating.iter().map(|trace| trace.policy.clone()));
                let now = judgements(&after, &granted);
                let open = now
                    .iter()
                    .any(|other| other.direction == direction && other.outcome == Outcome::NotIsolated);
                if open {
                    side.grants.insert(Grant::Open);
                    continue;
                }
                for policy in policies(allowed, direction) {
                    let scene = self.scene(allowed, source, destination, &[policy]);
                    let rules =
                        judgements(&scene, &granted)
                            .into_iter()
                            .filter_map(|other| match other.outcome {
                                Outcome::Allowed { policy, rule, .. } if other.direction == direction => {
                                    Some(Grant::Rule(policy, rule))
                                }
                                Outcome::Allowed { .. } | Outcome::Denied { .. } | Outcome::NotIsolated => {
                                    None
                                }
                            });
                    side.grants.extend(rules);
                }
            }
        }
        Some((cause, witness?))
    }

    /// A source and a destination that policies decide about, and a family that they meet in.
    fn spots(&self, change: &Changed, from: End, to: End) -> Option<(Spot<'a>, Spot<'a>, Family)> {
        let families = Family::ALL.into_iter();
        let wanted = families.filter(|family| change.family.is_none_or(|wanted| wanted == *family));
        let mut met = wanted.filter(|family| self.joint.has(from, *family) && self.joint.has(to, *family));
        met.find_map(|family| {
            let sources = || self.candidates(from, family);
            let mut destinations = self.candidates(to, family);
            destinations.find_map(|destination| {
                let source = sources().find(|source| self.is_decided(source, &destination))?;
                Some((source, destination, family))
            })
        })
    }

    fn candidates(&self, end: End, family: Family) -> impl Iterator<Item = Spot<'a>> {
        let joint = self.joint;
        let pods = joint.pods(end).iter().filter_map(move |twin| {
            let (before, after) = (&twin.before, &twin.after);
            Some(Spot {
                address: [before.address(family)?, after.address(family)?],
                pod: Some([self.pod(0, &before.uid)?, self.pod(1, &after.uid)?]),
            })
        });
        let strangers = joint.strangers(end).iter().map(|address| Spot {
            address: [*address; 2],
            pod: None,
        });
        pods.chain(strangers)
    }

    fn pod(&self, state: usize, uid: &PodUid) -> Option<&'a Pod> {
        self.inventories.get(state)?.state.pods().get(uid)
    }

    /// Whether policies have a say: not between a pod and itself or its own node.
    fn is_decided(&self, source: &Spot<'a>, destination: &Spot<'a>) -> bool {
        match (source.pod, destination.pod) {
            (Some(source), Some(destination)) => source[0].uid != destination[0].uid,
            (Some(pod), None) => !self.is_own_node(pod, destination.address),
            (None, Some(pod)) => !self.is_own_node(pod, source.address),
            (None, None) => false,
        }
    }

    fn is_own_node(&self, pods: [&Pod; 2], addresses: [IpAddr; 2]) -> bool {
        let states = self.inventories.iter().zip(pods).zip(addresses);
        let mut own = states.filter(|((inventory, pod), address)| {
            let node = pod
                .node
                .as_ref()
                .and_then(|node| inventory.state.nodes().get(node));
            node.is_some_and(|node| node.addresses.contains(address))
        });
        own.next().is_some()
    }

    /// A state with nothing in it but what decides about one pair.
    fn scene(
        &self,
        state: usize,
        source: Spot<'_>,
        destination: Spot<'_>,
        policies: &[&Policy],
    ) -> ClusterState {
        let pods = [source.pod, destination.pod].into_iter().flatten();
        let pods: Vec<&Pod> = pods.filter_map(|pods| pods.get(state).copied()).collect();
        let namespaces = self
            .inventories
            .get(state)
            .map(|inventory| inventory.state.namespaces());
        let namespaces = pods
            .iter()
            .filter_map(|pod| namespaces?.get(&pod.key.namespace))
            .map(|namespace| Event::NamespaceApplied(namespace.clone()));
        let policies = policies
            .iter()
            .map(|policy| Event::PolicyApplied((*policy).clone()));
        let applied = pods.iter().map(|pod| Event::PodApplied((*pod).clone()));
        ClusterState::from_events(namespaces.chain(policies).chain(applied))
    }
}

fn judgements(state: &ClusterState, packet: &Packet) -> Vec<Judgement> {
    match evaluate(state, packet).reason {
        Reason::Judged { egress, ingress } => egress.into_iter().chain(ingress).collect(),
        Reason::OwnNode { .. } | Reason::Itself { .. } => Vec::new(),
    }
}

/// The ports of a set where what policies say may change: the ends of its spans, and those of the policies' ranges in it.
fn points(
    ports: &PortSet,
    family: Family,
    policies: &[&Policy],
    destination: Option<[&Pod; 2]>,
) -> Vec<Transport> {
    let mut found: BTreeSet<Transport> = BTreeSet::new();
    let mut add = |protocol, port: Option<u16>| {
        let transport = port.map(|port| Transport::Port(protocol, port));
        found.extend(transport.filter(|transport| ports.contains(*transport)));
    };
    for protocol in Protocol::ALL {
        for (first, last) in ports.ports(protocol) {
            add(protocol, Some((*first).max(1)));
            add(protocol, Some(*last));
        }
    }
    let rules = policies
        .iter()
        .flat_map(|policy| policy.ingress.iter().chain(&policy.egress).flatten());
    for rule in rules {
        let Ports::AnyOf(entries) = &rule.ports else {
            continue;
        };
        for entry in entries {
            if let PortMatch::Range(range) = &entry.port {
                add(entry.protocol, Some(range.first()));
                add(entry.protocol, Some(range.last()));
                add(entry.protocol, range.last().checked_add(1));
                add(
                    entry.protocol,
                    range.first().checked_sub(1).filter(|port| *port > 0),
                );
            }
        }
    }
    for port in destination.into_iter().flatten().flat_map(|pod| &pod.ports) {
        add(port.protocol, Some(port.number));
    }
    let icmp = Transport::Other(match family {
        Family::V4 => 1,
        Family::V6 => 58,
    });
    let others = ports.has_protocols_without_ports().then_some(icmp);
    let mut points: Vec<Transport> = found.into_iter().take(POINTS).collect();
    points.extend(others);
    points
}
