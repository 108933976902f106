//! A node of a running cluster, seen from the machine that the cluster runs on.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result};
use nlink::netlink::namespace::Netns;

use crate::probe::Host;

/// How to get into a node: by a process that is in its namespaces.
#[derive(Clone, Debug)]
pub struct NodeAccess {
    /// The node's name.
    pub name: String,
    /// A process in its network and mount namespaces, as this process counts them.
    pub process: u32,
}

impl NodeAccess {
    /// A path of the node's file system, as this process can open it.
    pub fn path(&self, path: impl AsRef<Path>) -> PathBuf {
        let path = path.as_ref();
        let inside = path.strip_prefix("/").unwrap_or(path);
        Path::new("/proc")
            .join(self.process.to_string())
            .join("root")
            .join(inside)
    }

    /// The node's network namespace.
    pub fn netns(&self) -> Result<Netns> {
        Netns::from_pid(self.process)
            .with_context(|| format!("opening the network namespace of {}", self.name))
    }
}

/// A node as an end of probes.
#[derive(Clone, Debug)]
pub struct NodeEnd {
    /// How to get into it.
    pub access: NodeAccess,
    /// Its addresses, as the API server has them.
    pub addresses: Vec<IpAddr>,
    /// The node itself, outside of all pods.
    pub host: Host,
}

impl NodeEnd {
    /// A node with its addresses.
    pub fn open(access: NodeAccess, addresses: Vec<IpAddr>) -> Result<Self> {
        let host = Host::new(access.name.clone(), Arc::new(access.netns()?), addresses.clone());
        Ok(Self {
            access,
            addresses,
            host,
        })
    }
}
