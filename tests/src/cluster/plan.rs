//! What a cluster is to be, and all addresses that follow from it.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use anyhow::{Result, bail};
use clap::ValueEnum;
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use serde::{Deserialize, Serialize};

/// The most nodes that the plan has addresses for.
pub(crate) const MOST_NODES: u8 = 16;

/// How pods are wired.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Cni {
    /// Each pod has a veth that its node routes to.
    Ptp,
    /// The pods of a node are ports of a bridge; nodes route to each other.
    Bridge,
    /// The pods of a node are ports of a bridge; flanneld carries their packets between nodes by VXLAN.
    Flannel,
}

impl fmt::Display for Cni {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Cni::Ptp => "ptp",
            Cni::Bridge => "bridge",
            Cni::Flannel => "flannel",
        })
    }
}

/// The address families of pods, nodes and services.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Families {
    /// IPv4 alone.
    Single,
    /// IPv4, then IPv6.
    Dual,
}

/// Who turns on netfilter for bridged packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BridgeFilter {
    /// The cluster, by sysctl, as nodes without Palisade need it for their services.
    Node,
    /// Nobody but Palisade, which does it for the bridges of pods.
    Palisade,
}

/// What a cluster is to be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// How pods are wired.
    pub cni: Cni,
    /// How many nodes there are besides the control plane.
    pub nodes: u8,
    /// Which addresses there are.
    pub families: Families,
    /// Who turns on netfilter for bridged packets.
    pub bridge_filter: BridgeFilter,
}

impl Plan {
    /// Refuses what there are no addresses for.
    pub(crate) fn check(&self) -> Result<()> {
        if self.nodes == 0 || self.nodes > MOST_NODES {
            bail!("a cluster has 1 to {MOST_NODES} nodes, not {}", self.nodes);
        }
        Ok(())
    }

    /// All nodes, in order.
    pub fn nodes(&self) -> impl Iterator<Item = NodeNumber> + use<> {
        (1..=self.nodes).map(NodeNumber)
    }

    /// The control plane's addresses with the length of their prefixes.
    pub(crate) fn control_addresses(&self) -> Vec<IpNet> {
        self.of_families(control4(), fabric6(1))
    }

    /// The control plane's addresses.
    pub fn control(&self) -> Vec<IpAddr> {
        bare(&self.control_addresses())
    }

    /// A node's addresses with the length of their prefixes.
    pub(crate) fn node_addresses(&self, node: NodeNumber) -> Vec<IpNet> {
        let host = 10 + node.0;
        self.of_families(fabric4(host), fabric6(host))
    }

    /// A node's pod networks.
    pub fn pod_networks(&self, node: NodeNumber) -> Vec<IpNet> {
        let four = Ipv4Net::new_assert(Ipv4Addr::new(10, 244, node.0, 0), 24);
        let six = Ipv6Net::new_assert(Ipv6Addr::new(0xfd00, 0x244, 0, node.0.into(), 0, 0, 0, 0), 64);
        self.of_families(four, six)
    }

    /// The networks that hold all pod networks.
    pub(crate) fn cluster_networks(&self) -> Vec<IpNet> {
        let four = Ipv4Net::new_assert(Ipv4Addr::new(10, 244, 0, 0), 16);
        let six = Ipv6Net::new_assert(Ipv6Addr::new(0xfd00, 0x244, 0, 0, 0, 0, 0, 0), 48);
        self.of_families(four, six)
    }

    /// The networks of service addresses.
    pub(crate) fn service_networks(&self) -> Vec<IpNet> {
        let four = Ipv4Net::new_assert(Ipv4Addr::new(10, 96, 0, 0), 16);
        let six = Ipv6Net::new_assert(Ipv6Addr::new(0xfd00, 0x96, 0, 0, 0, 0, 0, 0), 112);
        self.of_families(four, six)
    }

    fn of_families(&self, four: Ipv4Net, six: Ipv6Net) -> Vec<IpNet> {
        match self.families {
            Families::Single => vec![four.into()],
            Families::Dual => vec![four.into(), six.into()],
        }
    }
}

/// Which node it is, from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct NodeNumber(u8);

impl NodeNumber {
    /// The node's name.
    pub fn name(self) -> String {
        format!("node{}", self.0)
    }

    /// The fabric's end of the wire to the node.
    pub(crate) fn wire(self) -> String {
        format!("wire{}", self.0)
    }
}

/// The API server's port.
pub(crate) const PORT: u16 = 6443;

/// Where the API server listens.
pub(crate) fn server() -> String {
    format!("https://{}:{PORT}", control4().addr())
}

/// Networks or addresses as one word, separated by commas.
pub(crate) fn listed(items: impl IntoIterator<Item = impl fmt::Display>) -> String {
    let words: Vec<String> = items.into_iter().map(|item| item.to_string()).collect();
    words.join(",")
}

/// Addresses without the length of their prefixes.
pub(crate) fn bare(addresses: &[IpNet]) -> Vec<IpAddr> {
    addresses.iter().map(IpNet::addr).collect()
}

/// The control plane's IPv4 address with the length of its prefix.
pub(crate) fn control4() -> Ipv4Net {
    fabric4(1)
}

fn fabric4(host: u8) -> Ipv4Net {
    Ipv4Net::new_assert(Ipv4Addr::new(172, 30, 0, host), 24)
}

fn fabric6(host: u8) -> Ipv6Net {
    Ipv6Net::new_assert(Ipv6Addr::new(0xfd00, 0x30, 0, 0, 0, 0, 0, host.into()), 64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(families: Families) -> Plan {
        Plan {
            cni: Cni::Ptp,
            nodes: 2,
            families,
            bridge_filter: BridgeFilter::Palisade,
        }
    }

    #[test]
    fn pod_networks_lie_in_the_cluster_networks_and_apart() {
        let plan = plan(Families::Dual);
        let networks: Vec<_> = plan.nodes().map(|node| plan.pod_networks(node)).collect();
        for (index, all) in plan.cluster_networks().iter().enumerate() {
            assert!(networks.iter().all(|own| all.contains(&own[index])));
            assert!(!networks[0][index].contains(&networks[1][index]));
        }
    }

    #[test]
    fn one_family_has_no_addresses_of_the_other() {
        let plan = plan(Families::Single);
        let all = [
            plan.control_addresses(),
            plan.cluster_networks(),
            plan.service_networks(),
        ]
        .concat();
        assert!(all.iter().all(|network| network.addr().is_ipv4()));
        assert_eq!(listed(bare(&plan.node_addresses(NodeNumber(2)))), "172.30.0.12");
    }

    #[test]
    fn more_nodes_than_addresses_are_refused() {
        let none = Plan {
            nodes: 0,
            ..plan(Families::Single)
        };
        let many = Plan {
            nodes: MOST_NODES + 1,
            ..none.clone()
        };
        assert!(none.check().is_err() && many.check().is_err());
    }
}
