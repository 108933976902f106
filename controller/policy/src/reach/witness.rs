//! Packets that show what an answer means.

use std::collections::HashSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

use super::family::number;
use super::{End, Family, Member, Outside, PortSet, Reach};
use crate::cluster::ClusterState;
use crate::model::{Packet, Transport};

/// Addresses that are nobody's and that people know as such (RFC 5737, RFC 3849).
const DOCUMENTATION: [IpAddr; 4] = [
    IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)),
    IpAddr::V4(Ipv4Addr::new(198, 51, 100, 1)),
    IpAddr::V4(Ipv4Addr::new(203, 0, 113, 1)),
    IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1)),
];

/// The protocol number of ICMP for IPv6.
const ICMP_V6: u8 = 58;

/// Of each range outside an address that is neither a pod's nor a node's in any of some states, where it has one.
pub(super) fn strangers(outside: &[Outside], known: &[(&Reach, &ClusterState)]) -> Vec<Option<IpAddr>> {
    let nodes = known.iter().flat_map(|(_, state)| state.nodes().values());
    let nodes: HashSet<IpAddr> = nodes.flat_map(|node| &node.addresses).copied().collect();
    let is_pods = |address: &IpAddr| {
        known
            .iter()
            .any(|(reach, _)| reach.residents.contains_key(address))
    };
    let is_free = |address: &IpAddr| !is_pods(address) && !nodes.contains(address);
    let stranger = |outside: &Outside| {
        let lies_in = |address: &IpAddr| outside.blocks.iter().any(|block| block.contains(address));
        let documented = DOCUMENTATION.into_iter().filter(lies_in);
        documented
            .chain(outside.blocks.iter().flat_map(addresses))
            .find(is_free)
    };
    outside.iter().map(stranger).collect()
}

/// The addresses of a block, the one that names it last.
fn addresses(block: &IpNet) -> impl Iterator<Item = IpAddr> {
    let family = Family::of(block.addr());
    let (first, last) = (number(block.network()), number(block.broadcast()));
    let others = (first..last).map(move |before| family.address(before + 1));
    others.chain([family.address(first)])
}

pub(super) fn witness(reach: &Reach, from: End, to: End, family: Family, ports: &PortSet) -> Option<Packet> {
    let (source, destination) = match (from, to) {
        (End::Pods(from), End::Pods(to)) => {
            let (from, to) = pair(&reach.classes.get(from)?.members, &reach.classes.get(to)?.members)?;
            (from.address(family)?, to.address(family)?)
        }
        (from, to) => (someone(reach, from, family)?, someone(reach, to, family)?),
    };
    Some(Packet {
        source,
        destination,
        transport: example(ports, family)?,
    })
}

/// A transport of a set as it is in a family.
pub(super) fn example(ports: &PortSet, family: Family) -> Option<Transport> {
    Some(match (ports.example()?, family) {
        (Transport::Other(_), Family::V6) => Transport::Other(ICMP_V6),
        (transport, _) => transport,
    })
}

/// An address of an end.
fn someone(reach: &Reach, end: End, family: Family) -> Option<IpAddr> {
    match end {
        End::Pods(class) => reach.classes.get(class)?.members.first()?.address(family),
        End::Outside(range) => {
            let is_of_family = reach.outside.get(range)?.family == family;
            is_of_family.then(|| *reach.strangers.get(range)?).flatten()
        }
    }
}

/// Two different pods, one of each list.
fn pair<'a>(from: &'a [Member], to: &'a [Member]) -> Option<(&'a Member, &'a Member)> {
    different(from, to, |one, other| one.uid != other.uid)
}

/// One of each list, such that the two differ.
pub(super) fn different<'a, T>(
    from: &'a [T],
    to: &'a [T],
    differ: impl Fn(&T, &T) -> bool,
) -> Option<(&'a T, &'a T)> {
    let first = from.first()?;
    if let Some(other) = to.iter().find(|other| differ(first, other)) {
        return Some((first, other));
    }
    // All of `to` is what `from` begins with.
    let to = to.first()?;
    let other = from.iter().find(|other| differ(to, other))?;
    Some((other, to))
}

impl Member {
    /// Its address of a family.
    pub fn address(&self, family: Family) -> Option<IpAddr> {
        match family {
            Family::V4 => self.v4.map(IpAddr::V4),
            Family::V6 => self.v6.map(IpAddr::V6),
        }
    }
}
