//! Which ends are asked for: what [`question`] calls an end, in terms of a relation.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;
use palisade_policy::model::{NamespaceName, NodeName, PodKey};
use palisade_policy::reach::{End, Family};

use super::Relation;
use super::range::Addresses;
use crate::inventory::Inventory;
use crate::question::{self, Crowd, Unresolved};

/// The sources and destinations that are asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    from: Option<Asked>,
    to: Option<Asked>,
}

/// What an end means in a relation.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Asked {
    /// Never empty. Of a class all pods are told, as policies do not tell them apart.
    ends: BTreeSet<End>,
    /// The addresses that were asked for and that no pod has: of a range only what is in these is told.
    within: Vec<IpNet>,
}

/// Whose an address is that no pod has for itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host {
    /// The address.
    pub address: IpAddr,
    /// The nodes that have it.
    pub nodes: Vec<NodeName>,
    /// The pods in the network of their node. Never empty.
    pub pods: Vec<PodKey>,
}

impl fmt::Display for Host {
    /// `192.168.0.1 is node a's, and shop/agent's, which is in its network`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { address, nodes, pods } = self;
        let nodes: Vec<&str> = nodes.iter().map(NodeName::as_str).collect();
        let of = match nodes.as_slice() {
            [] => "a node".to_owned(),
            [node] => format!("node {node}"),
            nodes => format!("nodes {}", nodes.join(" and ")),
        };
        let named: Vec<String> = pods.iter().take(NAMED).map(PodKey::to_string).collect();
        let more = match pods.len().saturating_sub(NAMED) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        let named = named.join(", ");
        write!(
            f,
            "{address} is the address of {of}, and of pods in its network: {named}{more}"
        )
    }
}

/// How many pods are named.
const NAMED: usize = 3;

impl Selection {
    /// What is asked for in a relation; without an end, everybody. Names without a namespace are looked up in `home`.
    pub fn of(
        relation: &Relation<'_>,
        home: &NamespaceName,
        from: Option<&question::End>,
        to: Option<&question::End>,
    ) -> Result<Self, Unresolved> {
        let asked = |end: Option<&question::End>| match end {
            None | Some(question::End::Anybody) => Ok(None),
            Some(end) => Asked::of(relation, home, end).map(Some),
        };
        Ok(Self {
            from: asked(from)?,
            to: asked(to)?,
        })
    }

    /// Whether every source is asked for.
    pub fn has_all_sources(&self) -> bool {
        self.from.is_none()
    }

    /// Whether every destination is asked for.
    pub fn has_all_destinations(&self) -> bool {
        self.to.is_none()
    }

    /// Whether a destination is asked for.
    pub fn has_destination(&self, to: End) -> bool {
        self.to.as_ref().is_none_or(|asked| asked.ends.contains(&to))
    }

    /// The addresses that sources are asked for by; `None`: everybody.
    pub fn sources_within(&self) -> Option<&[IpNet]> {
        self.from.as_ref().map(|asked| asked.within.as_slice())
    }

    /// The addresses that destinations are asked for by; `None`: everybody.
    pub fn destinations_within(&self) -> Option<&[IpNet]> {
        self.to.as_ref().map(|asked| asked.within.as_slice())
    }

    /// Whose the addresses are that were asked for and are no pod's own: of nodes, and of pods in their network.
    pub fn hosts(&self, inventory: &Inventory) -> Vec<Host> {
        let asked = self.from.iter().chain(&self.to).flat_map(|asked| &asked.within);
        let addresses: BTreeSet<IpAddr> = asked
            .filter(|net| net.prefix_len() == net.max_prefix_len())
            .map(IpNet::addr)
            .collect();
        let mut hosts: BTreeMap<IpAddr, Host> = BTreeMap::new();
        let pods = inventory.state.pods().values();
        for pod in pods.filter(|pod| pod.host_network && !pod.finished) {
            for address in pod.addresses.iter().filter(|address| addresses.contains(address)) {
                let host = hosts.entry(*address).or_insert_with(|| Host {
                    address: *address,
                    nodes: Vec::new(),
                    pods: Vec::new(),
                });
                host.pods.push(pod.key.clone());
            }
        }
        for node in inventory.state.nodes().values() {
            for address in &node.addresses {
                if let Some(host) = hosts.get_mut(address) {
                    host.nodes.push(node.name.clone());
                }
            }
        }
        hosts.into_values().collect()
    }

    /// Those of a list that are asked for.
    pub(super) fn sources(&self, from: Arc<[End]>) -> Arc<[End]> {
        match &self.from {
            None => from,
            Some(asked) => from
                .iter()
                .filter(|end| asked.ends.contains(end))
                .copied()
                .collect(),
        }
    }
}

impl Asked {
    fn of(relation: &Relation<'_>, home: &NamespaceName, asked: &question::End) -> Result<Self, Unresolved> {
        // Whether it is to connect or to answer: what answers for a Service are its pods.
        let crowd = question::sources(relation.inventory, home, asked)?;
        let mut ends = met(relation, &crowd);
        if matches!(asked, question::End::Labelled { .. }) {
            // Classes are asked for by the names that they are told by. Pods in their node's network are in none.
            ends.retain(|end| matches!(end, End::Pods(_)));
        }
        let outside = |address: &&IpAddr| matches!(relation.reach.end(**address), Some(End::Outside(_)));
        let single = crowd.addresses.iter().filter(outside).copied().map(IpNet::from);
        let within = single.chain(crowd.blocks.iter().copied()).collect();
        if ends.is_empty() {
            return Err(Unresolved::NoPod(asked.clone()));
        }
        Ok(Self { ends, within })
    }
}

/// The ends that some addresses belong to.
fn met(relation: &Relation<'_>, crowd: &Crowd) -> BTreeSet<End> {
    let reach = &relation.reach;
    let addresses = crowd.addresses.iter();
    let mut ends: BTreeSet<End> = addresses.filter_map(|address| reach.end(*address)).collect();
    for family in Family::ALL {
        let asked = Addresses::of(family, &crowd.blocks);
        let ranges = reach.outside().iter().enumerate();
        let met = ranges.filter(|(_, range)| {
            range.family == family && asked.overlaps(&Addresses::of(family, &range.blocks))
        });
        ends.extend(met.map(|(index, _)| End::Outside(index)));
    }
    ends
}
