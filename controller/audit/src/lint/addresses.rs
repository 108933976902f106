//! Who has which addresses.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use palisade_policy::model::{IpBlock, Node, Pod};

use crate::inventory::{Inventory, Service};

/// The addresses that are known, in order.
#[derive(Debug)]
pub(super) struct Addresses<'a> {
    /// Those of pods, except where they are placeholders.
    pods: Vec<(IpAddr, &'a Pod)>,
    nodes: Vec<(IpAddr, &'a Node)>,
    services: Vec<(IpAddr, &'a Service)>,
    /// The networks that pods get their addresses from, as few and as large as possible.
    networks: Vec<IpNet>,
}

/// Owners of addresses in a block.
pub(super) struct Within<'s, T> {
    /// How many addresses.
    pub(super) count: usize,
    /// The owner of the first.
    pub(super) first: &'s T,
    /// The first.
    pub(super) address: IpAddr,
}

impl<'a> Addresses<'a> {
    pub(super) fn of(inventory: &'a Inventory) -> Self {
        let state = &inventory.state;
        let pods = state.pods().values();
        let pods = pods.filter(|pod| pod.is_workload() && !inventory.placeholders.contains(&pod.uid));
        let nodes = state.nodes().values();
        let networks: Vec<IpNet> = nodes
            .clone()
            .flat_map(|node| &node.pod_networks)
            .chain(&inventory.pod_networks)
            .copied()
            .collect();
        Self {
            pods: sorted(pods.flat_map(|pod| pod.addresses.iter().map(move |address| (*address, pod)))),
            nodes: sorted(nodes.flat_map(|node| node.addresses.iter().map(move |address| (*address, node)))),
            services: sorted(inventory.services.values().flat_map(|service| {
                let addresses = service.addresses.iter();
                addresses.map(move |address| (*address, service))
            })),
            networks: IpNet::aggregate(&networks),
        }
    }

    pub(super) fn pods_in(&self, block: &IpBlock) -> Option<Within<'_, Pod>> {
        within(&self.pods, block)
    }

    pub(super) fn nodes_in(&self, block: &IpBlock) -> Option<Within<'_, Node>> {
        within(&self.nodes, block)
    }

    pub(super) fn services_in(&self, block: &IpBlock) -> Option<Within<'_, Service>> {
        within(&self.services, block)
    }

    /// A network of pods that a block has a part of.
    pub(super) fn network_in(&self, block: &IpBlock) -> Option<IpNet> {
        let mut networks = self.networks.iter().copied();
        networks.find(|network| {
            shared(block.cidr(), *network).is_some_and(|shared| !covers(block.except(), shared))
        })
    }
}

/// The networks that are kept for insides (RFC 1918, RFC 4193).
const INSIDE: [IpNet; 4] = [
    v4(Ipv4Addr::new(10, 0, 0, 0), 8),
    v4(Ipv4Addr::new(172, 16, 0, 0), 12),
    v4(Ipv4Addr::new(192, 168, 0, 0), 16),
    IpNet::V6(Ipv6Net::new_assert(Ipv6Addr::new(0xfc00, 0, 0, 0, 0, 0, 0, 0), 7)),
];

/// Networks that insides have addresses of too (RFC 3927, RFC 6598, RFC 4291). Everything has them in it by chance.
const LOCAL: [IpNet; 3] = [
    v4(Ipv4Addr::new(169, 254, 0, 0), 16),
    v4(Ipv4Addr::new(100, 64, 0, 0), 10),
    IpNet::V6(Ipv6Net::new_assert(
        Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0),
        10,
    )),
];

const fn v4(address: Ipv4Addr, prefix: u8) -> IpNet {
    IpNet::V4(Ipv4Net::new_assert(address, prefix))
}

/// Whether a block may have addresses within a cluster: it has some that are kept for that.
pub(super) fn may_be_inside(block: &IpBlock) -> bool {
    let has = |network: &IpNet| {
        shared(block.cidr(), *network).is_some_and(|shared| !covers(block.except(), shared))
    };
    INSIDE.iter().any(has)
        || LOCAL
            .iter()
            .any(|network| network.contains(&block.cidr()) && has(network))
}

/// What two networks have in common: one of them, or nothing.
fn shared(one: IpNet, other: IpNet) -> Option<IpNet> {
    if one.contains(&other) {
        Some(other)
    } else {
        other.contains(&one).then_some(one)
    }
}

/// Whether nothing of a network is outside of some others.
pub(super) fn covers(nets: &[IpNet], network: IpNet) -> bool {
    let inside: Vec<IpNet> = nets
        .iter()
        .filter(|net| net.contains(&network) || network.contains(*net))
        .copied()
        .collect();
    IpNet::aggregate(&inside).iter().any(|net| net.contains(&network))
}

fn sorted<T>(owners: impl Iterator<Item = (IpAddr, T)>) -> Vec<(IpAddr, T)> {
    let mut owners: Vec<(IpAddr, T)> = owners.collect();
    owners.sort_by_key(|(address, _)| *address);
    owners
}

fn within<'s, T>(owners: &'s [(IpAddr, &T)], block: &IpBlock) -> Option<Within<'s, T>> {
    let inside = of_network(owners, block.cidr());
    let out = IpNet::aggregate(&block.except().to_vec());
    let excepted = |net: &IpNet| of_network(owners, *net).len();
    let count = inside.len().saturating_sub(out.iter().map(excepted).sum());
    // Past whole excepts at a time, so that a block with most of it taken out is as quick as any.
    let mut rest = inside;
    loop {
        let (address, first) = rest.first()?;
        let Some(net) = out.iter().find(|net| net.contains(address)) else {
            return Some(Within {
                count,
                first: *first,
                address: *address,
            });
        };
        let past = rest.partition_point(|(address, _)| net.contains(address));
        rest = rest.get(past..)?;
    }
}

/// Those that have an address of a network.
fn of_network<T>(owners: &[(IpAddr, T)], network: IpNet) -> &[(IpAddr, T)] {
    let start = owners.partition_point(|(address, _)| *address < network.network());
    let end = owners.partition_point(|(address, _)| *address <= network.broadcast());
    owners.get(start..end).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use palisade_policy::cluster::{ClusterState, Event};
    use palisade_policy::model::Peer;
    use palisade_policy::testing::builders::{self, pod};

    use super::*;

    fn block(cidr: &str, except: &[&str]) -> IpBlock {
        match builders::block(cidr, except) {
            Peer::Block(block) => block,
            Peer::Pods(_) => panic!("a block"),
        }
    }

    #[test]
    fn owners_are_counted_without_excepts() {
        let pods = (0..100).map(|number| pod(&format!("shop/{number}")).at(&format!("10.0.0.{number}")));
        let both = pod("shop/both").at("10.1.0.1").at("fd00::1");
        let events = pods.chain([both]).map(Event::PodApplied);
        let inventory = Inventory {
            state: ClusterState::from_events(events),
            ..Inventory::default()
        };
        let addresses = Addresses::of(&inventory);
        let count = |cidr, except: &[&str]| {
            let within = addresses.pods_in(&block(cidr, except));
            within.map(|within| (within.count, within.address.to_string()))
        };
        assert_eq!(count("10.0.0.0/24", &[]), Some((100, "10.0.0.0".to_owned())));
        assert_eq!(
            count("10.0.0.0/8", &["10.0.0.0/25", "10.0.0.0/26"]),
            Some((1, "10.1.0.1".to_owned()))
        );
        assert_eq!(
            count("0.0.0.0/0", &["10.0.0.0/31", "10.0.0.4/30"]),
            Some((95, "10.0.0.2".to_owned()))
        );
        assert_eq!(count("::/0", &[]), Some((1, "fd00::1".to_owned())));
        assert_eq!(count("192.168.0.0/16", &[]), None);
    }

    #[test]
    fn blocks_that_may_be_inside_are_told_from_those_of_the_internet() {
        let all = ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"];
        for (cidr, except, expected) in [
            ("10.10.0.0/16", &[][..], true),
            ("169.254.20.10/32", &[], true),
            ("100.64.0.10/32", &[], true),
            ("fd00::/64", &[], true),
            ("198.51.100.0/24", &[], false),
            ("2001:db8::/32", &[], false),
            ("0.0.0.0/0", &["169.254.169.254/32"], true),
            ("0.0.0.0/0", &all, false),
            ("::/0", &["fd00:ec2::254/128"], true),
        ] {
            assert_eq!(may_be_inside(&block(cidr, except)), expected, "{cidr} {except:?}");
        }
    }

    #[test]
    fn two_halves_cover_the_whole() {
        let net = |text: &str| text.parse::<IpNet>().unwrap();
        let halves = [net("10.0.0.0/9"), net("10.128.0.0/9")];
        assert!(covers(&halves, net("10.0.0.0/8")));
        assert!(covers(&halves, net("10.3.0.0/16")));
        assert!(!covers(&halves, net("0.0.0.0/0")));
        assert!(!covers(&[], net("10.0.0.0/8")));
    }
}
