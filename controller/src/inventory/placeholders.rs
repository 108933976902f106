//! Addresses for pods that have none, so that they can be asked about.
//!
//! Which one a pod gets depends on its name, and on others only where two would get the same: a pod more or less changes
//! nothing for the rest, so that answers about two states of a cluster can be compared.

use std::collections::{BTreeSet, HashSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use palisade_audit::inventory::Inventory;
use palisade_policy::cluster::{ClusterState, Event};
use palisade_policy::model::Pod;

/// Where pods' addresses come from if nothing is known: a range that clusters use for pods, and seldom whole.
const POD_NETWORKS: [&str; 2] = ["10.128.0.0/9", "fd00:10:128::/64"];

/// Where the addresses of pods on the host's network come from if their node is not known: no pod network may have them.
/// They are kept for benchmarks (RFC 2544) and for documentation (RFC 3849).
const HOST_NETWORKS: [&str; 2] = ["198.18.0.0/15", "2001:db8::/32"];

/// What was given out.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Assigned {
    /// How many pods have a placeholder.
    pub(super) pods: usize,
    /// Where these are from.
    pub(super) networks: BTreeSet<IpNet>,
    /// How many pods got none.
    pub(super) without: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Family {
    V4,
    V6,
}

/// Gives an address of each family to every pod that has none and is not finished. `pod_networks` come after those of the
/// pod's node. A pod on the host's network gets its node's addresses, where these are known.
pub(super) fn assign(inventory: &mut Inventory, pod_networks: &[IpNet]) -> Assigned {
    let mut assigned = Assigned::default();
    let state = &inventory.state;
    let mut pods: Vec<Pod> = state
        .pods()
        .values()
        .filter(|pod| pod.addresses.is_empty() && !pod.finished)
        .cloned()
        .collect();
    if pods.is_empty() {
        return assigned;
    }
    pods.sort_by(|one, other| (&one.key, &one.uid).cmp(&(&other.key, &other.uid)));
    let families = families(state, pod_networks);
    let mut pool = Pool {
        used: used(inventory),
        full: BTreeSet::new(),
    };
    for mut pod in pods {
        let node = pod
            .node
            .as_ref()
            .and_then(|node| inventory.state.nodes().get(node));
        if let Some(node) = node.filter(|node| pod.host_network && !node.addresses.is_empty()) {
            pod.addresses.clone_from(&node.addresses);
            inventory.state.apply(Event::PodApplied(pod));
            continue;
        }
        let own = node.map(|node| node.pod_networks.clone()).unwrap_or_default();
        for &family in &families {
            let candidates = if pod.host_network {
                family.among(&networks(HOST_NETWORKS))
            } else {
                let mut candidates = family.among(&own);
                candidates.extend(match family.among(pod_networks) {
                    given if given.is_empty() => family.among(&networks(POD_NETWORKS)),
                    given => given,
                });
                candidates
            };
            let free = candidates
                .into_iter()
                .find_map(|network| Some((pool.take(network, &pod)?, network)));
            if let Some((address, network)) = free {
                pod.addresses.push(address);
                assigned.networks.insert(network);
            }
        }
        if pod.addresses.is_empty() {
            assigned.without += 1;
            continue;
        }
        assigned.pods += 1;
        inventory.placeholders.insert(pod.uid.clone());
        inventory.state.apply(Event::PodApplied(pod));
    }
    assigned
}

impl Family {
    fn of(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(_) => Self::V4,
            IpAddr::V6(_) => Self::V6,
        }
    }

    /// The networks that are of this family.
    fn among(self, networks: &[IpNet]) -> Vec<IpNet> {
        let networks = networks.iter().copied();
        networks
            .filter(|network| Self::of(network.addr()) == self)
            .collect()
    }
}

/// The networks of these texts, which are constants.
fn networks(texts: [&str; 2]) -> Vec<IpNet> {
    texts.iter().filter_map(|text| text.parse().ok()).collect()
}

/// The families that pods have as far as is known; IPv4 where nothing is.
fn families(state: &ClusterState, pod_networks: &[IpNet]) -> BTreeSet<Family> {
    let pods = state.pods().values().filter(|pod| !pod.host_network);
    let pods = pods.flat_map(|pod| pod.addresses.iter().copied());
    let nodes = state.nodes().values().flat_map(|node| &node.pod_networks);
    let networks = nodes.chain(pod_networks).map(IpNet::addr);
    let mut families: BTreeSet<Family> = pods.chain(networks).map(Family::of).collect();
    if families.is_empty() {
        families.insert(Family::V4);
    }
    families
}

/// The addresses that somebody has.
fn used(inventory: &Inventory) -> HashSet<IpAddr> {
    let pods = inventory.state.pods().values().flat_map(|pod| &pod.addresses);
    let nodes = inventory.state.nodes().values().flat_map(|node| &node.addresses);
    let services = inventory.services.values();
    let services = services.flat_map(|service| {
        service
            .addresses
            .iter()
            .chain(&service.outside)
            .chain(service.endpoints.iter().flatten())
    });
    pods.chain(nodes).chain(services).copied().collect()
}

/// The addresses that are left.
struct Pool {
    used: HashSet<IpAddr>,
    full: BTreeSet<IpNet>,
}

impl Pool {
    /// The first free address from where the pod's name points to.
    fn take(&mut self, network: IpNet, pod: &Pod) -> Option<IpAddr> {
        if self.full.contains(&network) {
            return None;
        }
        // The first address is the network's own, and the last of IPv4 reaches all.
        let size = size(network);
        let (first, count) = match network {
            IpNet::V4(_) if size > 2 => (1, size - 2),
            IpNet::V6(_) if size > 1 => (1, size - 1),
            IpNet::V4(_) | IpNet::V6(_) => (0, size),
        };
        let start = hash(&pod.key.to_string()) % count;
        let free = (0..count)
            .map(|step| address(network, first + (start + step) % count))
            .find(|address| !self.used.contains(address));
        match free {
            Some(address) => {
                self.used.insert(address);
            }
            None => {
                self.full.insert(network);
            }
        }
        free
    }
}

/// How many addresses of a network are of use: of the largest, as many as IPv4 has.
fn size(network: IpNet) -> u64 {
    1 << (network.max_prefix_len() - network.prefix_len()).min(32)
}

fn address(network: IpNet, offset: u64) -> IpAddr {
    match network.network() {
        IpAddr::V4(base) => {
            let offset = u32::try_from(offset).unwrap_or_default();
            IpAddr::V4(Ipv4Addr::from(u32::from(base).wrapping_add(offset)))
        }
        IpAddr::V6(base) => IpAddr::V6(Ipv6Addr::from(u128::from(base).wrapping_add(u128::from(offset)))),
    }
}

/// FNV-1a: the same on every machine and in every version.
fn hash(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}
