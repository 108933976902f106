//! Another pod like one of the ends, where there is no second one among them.
//!
//! Who asks about many, asks about pods and others of them. Where a kind has a single pod, as one that stands for all replicas of
//! a workload, it is judged beside another one like it: what a second replica would be told. A pod itself is no answer to that.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use palisade_policy::cluster::ClusterState;
use palisade_policy::model::{Pod, PodUid};
use palisade_policy::reach::Reach;

/// Addresses that are tried, upwards and downwards.
const TRIED: i32 = 1 << 12;

/// Another pod like the one that has an address, at one that nobody has and that no policy tells apart from it; `None` where there
/// is none nearby.
pub(super) fn twin(whole: &ClusterState, reach: &Reach, address: IpAddr) -> Option<Pod> {
    let pod = whole.owner(address)?;
    let is_free = |other: &IpAddr| {
        let mut nodes = whole.nodes().values();
        whole.owner(*other).is_none() && !nodes.any(|node| node.addresses.contains(other))
    };
    let is_alike = |other: &IpAddr| reach.range(*other) == reach.range(address);
    let nearby = (1..TRIED).flat_map(|distance| [moved(address, distance), moved(address, -distance)]);
    let own = nearby.flatten().find(|other| is_free(other) && is_alike(other))?;
    Some(another(pod, own))
}

/// Another pod like one, at an address of its own.
pub(crate) fn another(pod: &Pod, address: IpAddr) -> Pod {
    Pod {
        uid: PodUid::from(format!("{} (another)", pod.uid)),
        addresses: vec![address],
        ..pod.clone()
    }
}

fn moved(address: IpAddr, by: i32) -> Option<IpAddr> {
    match address {
        IpAddr::V4(address) => {
            let bits = address.to_bits().checked_add_signed(by);
            bits.map(|bits| Ipv4Addr::from_bits(bits).into())
        }
        IpAddr::V6(address) => {
            let bits = address.to_bits().checked_add_signed(by.into());
            bits.map(|bits| Ipv6Addr::from_bits(bits).into())
        }
    }
}
