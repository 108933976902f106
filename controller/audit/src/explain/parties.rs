//! Who among the ends is treated alike.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use palisade_policy::cluster::ClusterState;
use palisade_policy::model::{NodeName, PodUid};
use palisade_policy::reach::{End, Family, PortSet, Reach};

use super::{Member, Party};
use crate::question::{Crowd, Way};

/// What ends have in common that get the same answer from any other.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Kind {
    pub(super) family: Family,
    pub(super) end: End,
    /// The node that a pod runs on or that an address is of, where that matters: a node's address is asked about.
    pub(super) node: Option<NodeName>,
    /// The ports that are asked about; of a source nothing.
    pub(super) asked: PortSet,
}

/// The ends of one kind.
#[derive(Clone, Debug, Default)]
pub(super) struct Group {
    pub(super) party: Party,
    /// Addresses that stand for them, each with its pod. Never empty.
    pub(super) samples: Vec<(IpAddr, Option<PodUid>)>,
}

pub(super) type Groups = BTreeMap<Kind, Group>;

/// What is needed to tell ends apart.
pub(super) struct Sorter<'a> {
    /// All of the cluster, as addresses that no pod has are to be found.
    whole: &'a ClusterState,
    reach: &'a Reach,
    /// The nodes whose addresses are asked about one by one.
    nodes: BTreeMap<IpAddr, NodeName>,
}

impl<'a> Sorter<'a> {
    pub(super) fn new(
        whole: &'a ClusterState,
        reach: &'a Reach,
        addresses: impl Iterator<Item = IpAddr>,
    ) -> Self {
        let unowned: BTreeSet<IpAddr> = addresses
            .filter(|address| whole.owner(*address).is_none())
            .collect();
        let of_nodes = whole.nodes().values().flat_map(|node| {
            let own = node.addresses.iter().filter(|address| unowned.contains(*address));
            own.map(|address| (*address, node.name.clone()))
        });
        Self {
            whole,
            reach,
            nodes: of_nodes.collect(),
        }
    }

    pub(super) fn sources(&self, crowd: &Crowd) -> Groups {
        let mut groups = Groups::new();
        for address in &crowd.addresses {
            self.add(*address, PortSet::none(), &mut groups);
        }
        self.add_blocks(&crowd.blocks, &PortSet::none(), &mut groups);
        groups
    }

    pub(super) fn destinations(&self, way: &Way) -> Groups {
        let mut groups = Groups::new();
        for (address, asked) in &way.addresses {
            self.add(*address, asked.clone(), &mut groups);
        }
        self.add_blocks(&way.blocks, &way.block_ports, &mut groups);
        groups
    }

    fn add(&self, address: IpAddr, asked: PortSet, groups: &mut Groups) {
        let Some(end) = self.reach.end(address) else {
            return;
        };
        let pod = self.whole.owner(address);
        let node = match pod {
            Some(pod) => pod
                .node
                .as_ref()
                .filter(|node| self.nodes.values().any(|other| other == *node))
                .cloned(),
            None => self.nodes.get(&address).cloned(),
        };
        let kind = Kind {
            family: family(address),
            end,
            node,
            asked,
        };
        let group = groups.entry(kind).or_default();
        match pod {
            Some(pod) => {
                group.party.pods.insert(Member {
                    key: pod.key.clone(),
                    uid: pod.uid.clone(),
                });
            }
            None => {
                group.party.addresses.insert(address);
            }
        }
        group.samples.push((address, pod.map(|pod| pod.uid.clone())));
    }

    /// What is in some blocks and no pod's, as far as policies tell it apart.
    fn add_blocks(&self, blocks: &BTreeSet<IpNet>, asked: &PortSet, groups: &mut Groups) {
        if blocks.is_empty() {
            return;
        }
        for (range, outside) in self.reach.outside().iter().enumerate() {
            let common = outside.blocks.iter().flat_map(|one| {
                let overlaps = blocks.iter().filter_map(|other| overlap(*one, *other));
                overlaps.collect::<Vec<_>>()
            });
            let common = IpNet::aggregate(&common.collect());
            let Some(sample) = self.sample(&common) else {
                continue;
            };
            let kind = Kind {
                family: outside.family,
                end: End::Outside(range),
                node: None,
                asked: asked.clone(),
            };
            let group = groups.entry(kind).or_default();
            group.party.blocks.extend(common);
            group.samples.push((sample, None));
        }
    }

    /// An address in some blocks that is neither a pod's nor, if possible, a node's; one for documentation if that will do.
    fn sample(&self, blocks: &[IpNet]) -> Option<IpAddr> {
        let nodes = || self.whole.nodes().values().flat_map(|node| &node.addresses);
        let is_free = |address: &IpAddr| self.whole.owner(*address).is_none();
        let is_strange = |address: &IpAddr| is_free(address) && !nodes().any(|other| other == address);
        let documentation = EXAMPLES
            .into_iter()
            .filter(|address| blocks.iter().any(|block| block.contains(address)));
        let within = || blocks.iter().flat_map(IpNet::hosts);
        // Hosts of a block are without end, but addresses of pods and nodes are not.
        let mut candidates = documentation.chain(within());
        candidates.find(is_strange).or_else(|| within().find(is_free))
    }
}

/// Addresses that documentation is free to use (RFC 5737, RFC 3849).
const EXAMPLES: [IpAddr; 4] = [
    IpAddr::V4(Ipv4Addr::new(203, 0, 113, 1)),
    IpAddr::V4(Ipv4Addr::new(198, 51, 100, 1)),
    IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)),
    IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1)),
];

pub(super) fn family(address: IpAddr) -> Family {
    match address {
        IpAddr::V4(_) => Family::V4,
        IpAddr::V6(_) => Family::V6,
    }
}

/// Of two blocks either one lies in the other, or they have nothing in common.
fn overlap(one: IpNet, other: IpNet) -> Option<IpNet> {
    if one.contains(&other) {
        Some(other)
    } else {
        other.contains(&one).then_some(one)
    }
}
