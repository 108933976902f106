//! What the API says, one side at a time: which transports a pod's egress lets out to each address, and which its ingress
//! lets in from each.
//!
//! A node judges the egress of its own pods and the ingress of its own pods; what a pod of another node may is judged
//! there. [`Reach`] answers for both sides at once. Each side is had from the same cluster with the other side's rules left
//! out: what no policy isolates lets everything pass.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use palisade_policy::cluster::{ClusterState, Event};
use palisade_policy::model::Direction;
use palisade_policy::reach::{End, Family, Reach};

use super::spans::Pieces;
use super::transport::Transports;

/// An address as a number of its family.
pub fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => address.to_bits().into(),
        IpAddr::V6(address) => address.to_bits(),
    }
}

/// A number of a family as an address.
pub fn address(number: u128, family: Family) -> IpAddr {
    match family {
        Family::V4 => Ipv4Addr::from_bits(u32::try_from(number).unwrap_or(u32::MAX)).into(),
        Family::V6 => Ipv6Addr::from_bits(number).into(),
    }
}

/// The last number of a family.
pub fn last(family: Family) -> u128 {
    match family {
        Family::V4 => u32::MAX.into(),
        Family::V6 => u128::MAX,
    }
}

/// The family of an address.
pub fn family(address: IpAddr) -> Family {
    match address {
        IpAddr::V4(_) => Family::V4,
        IpAddr::V6(_) => Family::V6,
    }
}

/// What the API says of each side.
pub struct Expected {
    egress: Side,
    ingress: Side,
}

impl Expected {
    /// Reads the policies of a cluster, once for each side.
    pub fn of(state: &ClusterState) -> Self {
        Self {
            egress: Side::of(state, Direction::Egress),
            ingress: Side::of(state, Direction::Ingress),
        }
    }

    /// What a pod's side lets pass, for each address at the other end.
    pub fn over(&mut self, direction: Direction, pod: IpAddr) -> Pieces<Transports> {
        self.side(direction).over(pod)
    }

    /// What one side lets pass between two addresses, the pod being its source for egress, its destination for ingress.
    pub fn at(&mut self, direction: Direction, source: IpAddr, destination: IpAddr) -> Transports {
        self.side(direction).at(source, destination)
    }

    fn side(&mut self, direction: Direction) -> &mut Side {
        match direction {
            Direction::Egress => &mut self.egress,
            Direction::Ingress => &mut self.ingress,
        }
    }
}

struct Side {
    direction: Direction,
    reach: Reach,
    /// What each address of a family is to policies.
    v4: Pieces<Option<End>>,
    v6: Pieces<Option<End>>,
    known: HashMap<(End, End, Family), Transports>,
}

impl Side {
    fn of(state: &ClusterState, direction: Direction) -> Self {
        let reach = Reach::of(&one_sided(state, direction));
        Self {
            direction,
            v4: layout(&reach, Family::V4),
            v6: layout(&reach, Family::V6),
            reach,
            known: HashMap::new(),
        }
    }

    fn over(&mut self, pod: IpAddr) -> Pieces<Transports> {
        let family = family(pod);
        let Some(own) = self.reach.end(pod) else {
            return Pieces::constant(Transports::none());
        };
        let layout = match family {
            Family::V4 => &self.v4,
            Family::V6 => &self.v6,
        };
        let (reach, known, direction) = (&self.reach, &mut self.known, self.direction);
        let stretches = layout.iter().map(|(first, last, other)| {
            let carried = other.map(|other| match direction {
                Direction::Egress => ports(reach, known, own, other, family),
                Direction::Ingress => ports(reach, known, other, own, family),
            });
            (first, last, carried.unwrap_or_default())
        });
        Pieces::on(stretches, Transports::none())
    }

    fn at(&mut self, source: IpAddr, destination: IpAddr) -> Transports {
        let family = family(source);
        match self.reach.end(source).zip(self.reach.end(destination)) {
            Some((source, destination)) => ports(&self.reach, &mut self.known, source, destination, family),
            None => Transports::none(),
        }
    }
}

fn ports(
    reach: &Reach,
    known: &mut HashMap<(End, End, Family), Transports>,
    from: End,
    to: End,
    family: Family,
) -> Transports {
    let ports = || Transports::from(&reach.ports(from, to, family));
    known.entry((from, to, family)).or_insert_with(ports).clone()
}

/// The cluster with the rules of one direction alone.
fn one_sided(state: &ClusterState, direction: Direction) -> ClusterState {
    let mut one_sided = state.clone();
    for (key, policy) in state.policies() {
        let mut policy = policy.clone();
        match direction {
            Direction::Egress => policy.ingress = None,
            Direction::Ingress => policy.egress = None,
        }
        one_sided.apply(if policy.rules(direction).is_some() {
            Event::PolicyApplied(policy)
        } else {
            Event::PolicyDeleted(key.clone())
        });
    }
    one_sided
}

/// What each address of a family is: a pod of a class, or in a range outside.
fn layout(reach: &Reach, family: Family) -> Pieces<Option<End>> {
    let ranges = reach
        .outside()
        .iter()
        .enumerate()
        .filter(|(_, range)| range.family == family);
    let mut blocks: Vec<(u128, u128, Option<End>)> = ranges
        .flat_map(|(index, range)| {
            let blocks = range.blocks.iter();
            blocks.map(move |block| {
                (
                    number(block.network()),
                    number(block.broadcast()),
                    Some(End::Outside(index)),
                )
            })
        })
        .collect();
    blocks.sort_unstable_by_key(|(first, ..)| *first);
    let mut pods: Vec<(u128, u128, Option<End>)> = Vec::new();
    for (index, class) in reach.classes().iter().enumerate() {
        let addresses = class.members.iter().filter_map(|member| match family {
            Family::V4 => member.v4.map(|address| number(address.into())),
            Family::V6 => member.v6.map(|address| number(address.into())),
        });
        pods.extend(addresses.map(|address| (address, address, Some(End::Pods(index)))));
    }
    pods.sort_unstable_by_key(|(first, ..)| *first);
    let outside = Pieces::on(blocks, None);
    Pieces::on(pods, None).zip(&outside, |pod, outside| pod.or(*outside))
}
