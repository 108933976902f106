//! A node of a running cluster as an end of probes.

use std::net::IpAddr;
use std::sync::Arc;

use anyhow::{Context, Result};
use nlink::netlink::namespace::Netns;

use crate::cluster::Machine;
use crate::probe::Host;

/// A node, outside of all pods.
#[derive(Clone, Debug)]
pub struct NodeEnd {
    /// The machine that it is.
    pub machine: Machine,
    /// Its network, with its addresses as the API server has them.
    pub host: Host,
}

impl NodeEnd {
    /// A node with its addresses.
    pub(super) fn open(machine: Machine, addresses: Vec<IpAddr>) -> Result<Self> {
        let netns = Netns::from_pid(u32::try_from(machine.pid()?)?)
            .with_context(|| format!("opening the network namespace of {}", machine.name()))?;
        let host = Host::new(machine.name(), Arc::new(netns), addresses);
        Ok(Self { machine, host })
    }

    /// Its name.
    pub fn name(&self) -> &str {
        self.machine.name()
    }
}
