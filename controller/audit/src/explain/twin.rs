//! Another pod like one of the ends, where there is no second one among them.
//!
//! Who asks about many, asks about pods and others of them. Where a kind has a single pod, as one that stands for all replicas of
//! a workload, it is judged beside another one like it: what a second replica would be told. A pod itself is no answer to that.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use palisade_policy::cluster::ClusterState;
use palisade_policy::model::{Direction, Peer, Peers, Pod, PodUid, Policy};

/// Addresses that are tried, upwards and downwards.
const TRIED: u128 = 1 << 12;

/// Another pod like the one that has an address, at one that nobody has and that no policy of the scene tells apart from it;
/// `None` where there is none nearby.
pub(super) fn twin(whole: &ClusterState, scene: &ClusterState, address: IpAddr) -> Option<Pod> {
    let pod = scene.owner(address)?;
    let blocks: Vec<IpNet> = scene.policies().values().flat_map(blocks).collect();
    let is_alike = |other: &IpAddr| {
        let mut blocks = blocks.iter();
        blocks.all(|block| block.contains(other) == block.contains(&address))
    };
    let is_free = |other: &IpAddr| {
        let mut nodes = whole.nodes().values();
        whole.owner(*other).is_none() && !nodes.any(|node| node.addresses.contains(other))
    };
    let mut nearby =
        (1..TRIED).flat_map(|distance| [moved(address, distance, true), moved(address, distance, false)]);
    let own = nearby.find_map(|other| other.filter(|other| is_free(other) && is_alike(other)))?;
    Some(Pod {
        uid: PodUid::from(format!("{} twin", pod.uid)),
        addresses: vec![own],
        ..pod.clone()
    })
}

/// The blocks and excepts of a policy.
fn blocks(policy: &Policy) -> Vec<IpNet> {
    let rules = [Direction::Ingress, Direction::Egress]
        .into_iter()
        .flat_map(|direction| policy.rules(direction).into_iter().flatten());
    let peers = rules.flat_map(|rule| match &rule.peers {
        Peers::AnyOf(peers) => peers.as_slice(),
        Peers::All => &[],
    });
    let of_peer = |peer: &Peer| match peer {
        Peer::Block(block) => std::iter::once(block.cidr())
            .chain(block.except().iter().copied())
            .collect(),
        Peer::Pods(_) => Vec::new(),
    };
    peers.flat_map(of_peer).collect()
}

fn moved(address: IpAddr, distance: u128, up: bool) -> Option<IpAddr> {
    match address {
        IpAddr::V4(address) => {
            let distance = u32::try_from(distance).ok()?;
            let bits = address.to_bits();
            let bits = if up {
                bits.checked_add(distance)
            } else {
                bits.checked_sub(distance)
            };
            bits.map(|bits| Ipv4Addr::from_bits(bits).into())
        }
        IpAddr::V6(address) => {
            let bits = address.to_bits();
            let bits = if up {
                bits.checked_add(distance)
            } else {
                bits.checked_sub(distance)
            };
            bits.map(|bits| Ipv6Addr::from_bits(bits).into())
        }
    }
}
