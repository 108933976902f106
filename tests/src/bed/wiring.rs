//! How pods are wired to their node, and nodes to each other: the part in which topologies differ.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use anyhow::Result;
use ipnet::IpNet;
use nlink::netlink::fdb::FdbEntryBuilder;
use nlink::netlink::link::{BridgeLink, BridgePortConfig, VxlanLink};

use super::Topology;
use super::node::UPLINK;
use super::plan::{self, Pair};
use super::slot::INSIDE;
use super::space::Space;

/// The hardware address of every routed pod's gateway (Calico's), and the link-local address that follows from it.
const GATEWAY_MAC: [u8; 6] = [0xee; 6];
const GATEWAY4: Ipv4Addr = Ipv4Addr::new(169, 254, 1, 1);
const GATEWAY6: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0xecee, 0xeeff, 0xfeee, 0xeeee);

const VXLAN: &str = "vxlan0";
const VXLAN_NETWORK: u32 = 42;
/// The IANA port of VXLAN.
const VXLAN_PORT: u16 = 4789;
/// What is left of an Ethernet frame of 1,500 bytes within VXLAN over IPv4.
const VXLAN_MTU: u32 = 1450;

/// The wiring of a topology with a number of nodes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wiring {
    topology: Topology,
    nodes: u8,
}

impl Wiring {
    pub(super) fn new(topology: Topology, nodes: usize) -> Result<Self> {
        Ok(Self {
            topology,
            nodes: plan::checked(nodes)?,
        })
    }

    /// The topology.
    pub(super) fn topology(self) -> Topology {
        self.topology
    }

    /// The networks that a node's pods are in.
    pub(super) fn pod_networks(self, node: u8) -> [IpNet; 2] {
        match self.topology {
            Topology::Routed | Topology::Bridge => plan::pod_range(node),
            Topology::Segment => plan::shared_pod_network(),
        }
    }

    /// The bridge of every node, if the topology has bridges.
    pub(super) fn bridge(self) -> Option<&'static str> {
        match self.topology {
            Topology::Routed => None,
            Topology::Bridge => Some("cni0"),
            Topology::Segment => Some("weave"),
        }
    }

    /// A pod's addresses with the prefix lengths that its interface gets.
    pub(super) fn inside(self, node: u8, addresses: Pair) -> [IpNet; 2] {
        if self.topology == Topology::Routed {
            return addresses.map(plan::alone);
        }
        let ([v4, v6], [network4, network6]) = (addresses, self.pod_networks(node));
        [plan::within(v4, network4), plan::within(v6, network6)]
    }

    /// How the names of pod interfaces begin.
    pub(super) fn prefix(self) -> &'static str {
        match self.topology {
            Topology::Routed => "cali",
            Topology::Bridge => "veth",
            Topology::Segment => "vethwe",
        }
    }

    /// The hardware address of the node's end of pod veths, where it matters.
    pub(super) fn host_mac(self) -> Option<[u8; 6]> {
        (self.topology == Topology::Routed).then_some(GATEWAY_MAC)
    }

    /// Sets up what a node needs before it gets pods; returns the addresses that this gave it.
    pub(super) async fn prepare_node(self, space: &Space, node: u8) -> Result<Vec<IpAddr>> {
        let Some(bridge) = self.bridge() else {
            return Ok(Vec::new());
        };
        let [gateway4, _] = plan::gateway(node);
        space
            .link(
                BridgeLink::new(bridge)
                    .forward_delay_ms(0)
                    .address(plan::mac_of(gateway4, 0x59)),
            )
            .await?;
        if self.topology == Topology::Segment {
            join_segment(space, bridge, node).await?;
        }
        for (address, network) in plan::gateway(node).into_iter().zip(self.pod_networks(node)) {
            space.address(bridge, plan::within(address, network)).await?;
        }
        space.up(bridge).await?;
        if self.topology == Topology::Segment {
            for (source, network) in plan::node_addresses(node)
                .into_iter()
                .zip(self.pod_networks(node))
            {
                space.speak_as(source, network, bridge).await?;
            }
        }
        if self.topology == Topology::Bridge {
            for other in (0..self.nodes).filter(|other| *other != node) {
                for (range, gateway) in plan::routes_to_pods(other) {
                    space.route(range, UPLINK, Some(gateway)).await?;
                }
            }
        }
        Ok(plan::gateway(node).to_vec())
    }

    /// Connects the bridges of nodes that are all there. One that floods to a node that is not there yet looks for it once
    /// a second, and loses what it has for it meanwhile.
    pub(super) async fn flood(self, space: &Space, node: u8) -> Result<()> {
        if self.topology != Topology::Segment {
            return Ok(());
        }
        for other in (0..self.nodes).filter(|other| *other != node) {
            let flood = FdbEntryBuilder::new([0; 6])
                .dev(VXLAN)
                .dst(plan::node_addresses(other)[0])
                .self_();
            space.connection().append_fdb(flood).await?;
        }
        Ok(())
    }

    /// Wires a pod whose veth exists, and brings both ends up.
    pub(super) async fn connect(
        self,
        space: &Space,
        pod: &Space,
        interface: &str,
        node: u8,
        networks: [IpNet; 2],
    ) -> Result<()> {
        match self.bridge() {
            None => connect_routed(space, pod, interface, networks).await,
            Some(bridge) => {
                self.connect_bridged(space, pod, interface, bridge, node, networks)
                    .await
            }
        }
    }

    async fn connect_bridged(
        self,
        space: &Space,
        pod: &Space,
        interface: &str,
        bridge: &str,
        node: u8,
        networks: [IpNet; 2],
    ) -> Result<()> {
        if self.topology == Topology::Segment {
            pod.connection().set_link_mtu(INSIDE, VXLAN_MTU).await?;
            space.connection().set_link_mtu(interface, VXLAN_MTU).await?;
        }
        space.connection().set_link_master(interface, bridge).await?;
        space
            .connection()
            .set_bridge_port(interface, BridgePortConfig::new().hairpin(true))
            .await?;
        space.up(interface).await?;
        for network in networks {
            pod.address(INSIDE, network).await?;
        }
        pod.up(INSIDE).await?;
        for (everywhere, gateway) in plan::everywhere().into_iter().zip(plan::gateway(node)) {
            pod.route(everywhere, INSIDE, Some(gateway)).await?;
        }
        Ok(())
    }
}

/// Makes the node's bridge a part of the one segment, by a VXLAN port that floods to nobody yet.
async fn join_segment(space: &Space, bridge: &str, node: u8) -> Result<()> {
    let vxlan = VxlanLink::new(VXLAN, VXLAN_NETWORK)
        .port(VXLAN_PORT)
        .mtu(VXLAN_MTU)
        .learning(true);
    let vxlan = match plan::node_addresses(node)[0] {
        IpAddr::V4(local) => vxlan.local(local).dev(UPLINK),
        IpAddr::V6(_) => vxlan.dev(UPLINK),
    };
    space.link(vxlan).await?;
    space.connection().set_link_master(VXLAN, bridge).await?;
    space.up(VXLAN).await
}

/// A pod alone on its wire: a host address, everything by way of the node's end, and a route back to it.
async fn connect_routed(space: &Space, pod: &Space, interface: &str, networks: [IpNet; 2]) -> Result<()> {
    space.up(interface).await?;
    for network in networks {
        pod.address(INSIDE, network).await?;
    }
    pod.up(INSIDE).await?;
    pod.neighbour(INSIDE, GATEWAY4.into(), GATEWAY_MAC).await?;
    pod.route(plan::alone(GATEWAY4.into()), INSIDE, None).await?;
    for (everywhere, gateway) in plan::everywhere()
        .into_iter()
        .zip([GATEWAY4.into(), GATEWAY6.into()])
    {
        pod.route(everywhere, INSIDE, Some(gateway)).await?;
    }
    for network in networks {
        space.route(network, interface, None).await?;
    }
    Ok(())
}
