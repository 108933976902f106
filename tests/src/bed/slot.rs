//! A slot: a pod's namespace and wire, without the pod. Cases give slots their identities.

use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;
use nlink::netlink::namespace::Netns;

use super::plan;
use crate::probe::Host;

/// The name of the interface inside every pod.
pub(crate) const INSIDE: &str = "eth0";

/// A namespace behind a veth, which a case turns into a pod by giving it an identity.
#[derive(Clone, Debug)]
pub struct Slot {
    pub(super) name: Arc<str>,
    pub(super) node: usize,
    pub(super) netns: Arc<Netns>,
    pub(super) interface: Arc<str>,
    pub(super) bridge: Option<Arc<str>>,
    /// Its addresses with the prefix lengths that its interface has.
    pub(super) networks: [IpNet; 2],
    pub(super) mac: [u8; 6],
    /// One for all clones, so that no two probes leave from the same port.
    pub(super) host: Host,
}

impl Slot {
    /// Its name within the bed: `node1/0`. This is what answers of its responders carry.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The position of its node in [`Bed::nodes`](super::Bed::nodes).
    pub fn node(&self) -> usize {
        self.node
    }

    /// The namespace that stands for the pod.
    pub fn netns(&self) -> &Arc<Netns> {
        &self.netns
    }

    /// The node's end of the pod's veth.
    pub fn host_interface(&self) -> &str {
        &self.interface
    }

    /// The bridge that the node's end is a port of, where the topology has one.
    pub fn bridge(&self) -> Option<&str> {
        self.bridge.as_deref()
    }

    /// The pod's addresses: IPv4, then IPv6.
    pub fn addresses(&self) -> [IpAddr; 2] {
        self.networks.map(|network| network.addr())
    }

    /// The pod's IPv4 address.
    pub fn v4(&self) -> IpAddr {
        self.networks[0].addr()
    }

    /// The pod's IPv6 address.
    pub fn v6(&self) -> IpAddr {
        self.networks[1].addr()
    }

    /// The hardware address of the pod's interface, as text.
    pub fn mac(&self) -> String {
        plan::mac_text(self.mac)
    }

    /// The slot as an end of probes.
    pub fn host(&self) -> Host {
        self.host.clone()
    }
}
