//! What the nodes hang on: a switch in a namespace of its own, and the external clients beside them.

use std::net::IpAddr;
use std::sync::Arc;

use anyhow::Result;
use nlink::netlink::link::{BridgeLink, VethLink};
use nlink::netlink::namespace::Netns;

use super::node::UPLINK;
use super::plan::{self, Pair};
use super::space::{Role, Space};
use crate::probe::{Endpoint, Host};

const BRIDGE: &str = "fabric";

/// An outside address: both clients live in one namespace, in networks of their own.
#[derive(Clone, Debug)]
pub struct Client {
    host: Host,
    addresses: Pair,
}

impl Client {
    /// The namespace of the clients.
    pub fn netns(&self) -> &Arc<Netns> {
        self.host.netns()
    }

    /// The client's addresses: IPv4, then IPv6.
    pub fn addresses(&self) -> [IpAddr; 2] {
        self.addresses
    }

    /// The client as an end of probes.
    pub fn host(&self) -> Host {
        self.host.clone()
    }

    /// The client as the source of probes in the family of `to`.
    pub fn toward(&self, to: IpAddr) -> Endpoint {
        self.host.endpoint().from_one_of(&self.addresses, to)
    }
}

/// The switch.
pub(super) async fn switch() -> Result<Space> {
    let space = Space::new(Role::Switch).await?;
    space.link(BridgeLink::new(BRIDGE).forward_delay_ms(0)).await?;
    space.up(BRIDGE).await?;
    Ok(space)
}

/// Gives `space` an interface on the switch, still down.
pub(super) async fn plug(switch: &Space, space: &Space, port: &str) -> Result<()> {
    switch
        .link(VethLink::new(port, UPLINK).peer_netns_fd(&**space.netns()))
        .await?;
    switch.connection().set_link_master(port, BRIDGE).await?;
    switch.up(port).await
}

/// The external clients with their routes to the pods of `nodes` nodes.
pub(super) async fn clients(switch: &Space, nodes: usize) -> Result<(Space, Vec<Client>)> {
    let space = Space::new(Role::Host).await?;
    plug(switch, &space, "clients").await?;
    let networks = plan::client_networks();
    for network in &networks {
        for (address, network) in plan::client_addresses(network).into_iter().zip(network) {
            space.address(UPLINK, plan::within(address, *network)).await?;
        }
    }
    space.up(UPLINK).await?;
    for fabric in plan::fabric() {
        space.route(fabric, UPLINK, None).await?;
    }
    for node in 0..plan::checked(nodes)? {
        for (range, gateway) in plan::routes_to_pods(node) {
            space.route(range, UPLINK, Some(gateway)).await?;
        }
    }
    let clients = networks.iter().enumerate().map(|(position, networks)| {
        let addresses = plan::client_addresses(networks);
        let name = format!("client{}", position + 1);
        Client {
            host: Host::new(name, space.netns().clone(), addresses),
            addresses,
        }
    });
    let clients = clients.collect();
    Ok((space, clients))
}
