//! The test bed: nodes and pods as network namespaces, so that real packets meet the real kernel.
//!
//! A [`Bed`] is started once and serves many cases. It has nodes, each with *slots*: namespaces behind veths that
//! have addresses but no identity. A case gives slots the identities of pods ([`Bed::assign`]), which writes the
//! same CNI results that the enforcer reads on real nodes, and takes them back ([`Bed::release`]).
//!
//! Everything is dual stack, and nothing has a name outside this process: namespaces are held by file descriptors
//! and processes die with their parent, so that nothing stays behind, however a test ends. Only the bed's
//! directory of logs and results can outlive a SIGKILL.
//!
//! # The way of a packet
//!
//! All nodes and the external clients hang on one switch, the *fabric*: 192.0.2.0/24 and `2001:db8:f::/64`. Clients
//! have addresses in two networks of their own there. A node forwards between its uplink `eth0` and its pods.
//!
//! **Routed** (Calico). Each pod is alone on its veth with a /32 and a /128, and sends everything to a gateway that
//! only exists as a hardware address at the node's end. A node knows its pods by one route each and the other
//! nodes' ranges by BGP. Every packet between two pods is *forwarded* by each node on its way; the interfaces that
//! the forward hook sees are the pods' veths.
//!
//! ```text
//! pod eth0 ── cali1x0 │ node1: forward │ eth0 ── fabric ── eth0 │ node2: forward │ cali2x0 ── eth0 pod
//! ```
//!
//! **Bridge** (Flannel, kindnet). A node's pods share a bridge and a network; the bridge has the gateway address.
//! Between nodes packets are forwarded, with the *bridge* as the interface that the hook sees. Between pods of one
//! node they are *bridged*, and pass the hooks of IPv4 and IPv6 only where bridge netfilter is on.
//!
//! ```text
//! pod eth0 ── veth1x0 ─ cni0 ─ veth1x1 ── eth0 pod                      one node: bridged
//! pod eth0 ── veth1x0 ─ cni0 │ node1: forward │ eth0 ── fabric ── …      two nodes: forwarded
//! ```
//!
//! **Segment** (Weave). All bridges are one network, joined by a mesh of VXLAN, and all pods are in one subnet. No
//! packet between pods is ever forwarded: each is bridged on both nodes, and between them travels in UDP from
//! node to node. What comes from outside is forwarded onto the bridge of the node that has the pod.
//!
//! ```text
//! pod eth0 ── vethwe1x0 ─ weave ─ vxlan0 ══ fabric ══ vxlan0 ─ weave ─ vethwe2x0 ── eth0 pod
//! ```
//!
//! In all of them pods of other nodes see a node by its address on the fabric, whether it calls them itself or by a
//! node port: a policy that names the address of a node means the same everywhere.
//!
//! Bridge netfilter is off at the start in every node. A service that sends a pod to another pod of its own bridge
//! then does not work: the answer is bridged past the connection tracking that would translate it. That is how it
//! is on real nodes too, see [`NodeBed::filter_bridged`].

mod bird;
mod cni;
mod fabric;
mod node;
mod plan;
mod process;
mod service;
mod slot;
mod space;
mod wiring;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use ipnet::IpNet;
use palisade_policy::model::{PodKey, PodUid};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tempfile::TempDir;

pub use fabric::Client;
pub use node::NodeBed;
pub use process::ManagedChild;
pub use service::{ExternalTraffic, Service, TABLE as SERVICE_TABLE};
pub use slot::Slot;

pub(crate) use space::{Role, Space};
use wiring::Wiring;

/// How pods are connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Topology {
    /// A route to each pod's veth, nodes by BGP.
    Routed,
    /// A bridge a node, routes between nodes.
    Bridge,
    /// One segment over all nodes by VXLAN.
    Segment,
}

impl Topology {
    /// Every topology.
    pub const ALL: [Self; 3] = [Self::Routed, Self::Bridge, Self::Segment];

    /// Its name in one lowercase word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Routed => "routed",
            Self::Bridge => "bridge",
            Self::Segment => "segment",
        }
    }
}

impl std::fmt::Display for Topology {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The size and shape of a bed.
#[derive(Clone, Copy, Debug)]
pub struct BedSpec {
    /// How its pods are connected.
    pub topology: Topology,
    /// How many nodes it has.
    pub nodes: usize,
    /// How many slots each node has at the start.
    pub slots_per_node: usize,
}

/// A running bed.
#[derive(Debug)]
pub struct Bed {
    topology: Topology,
    nodes: Vec<NodeBed>,
    clients: Vec<Client>,
    services: Vec<Service>,
    /// CNI results by the name of the slot that they are for.
    results: BTreeMap<Arc<str>, PathBuf>,
    /// Held for their namespaces: the switch, the clients.
    _spaces: [Space; 2],
    directory: TempDir,
}

impl Bed {
    /// Starts a bed. Needs root; returns when every node has its routes to all others.
    pub async fn start(spec: BedSpec) -> Result<Self> {
        ensure!(
            rustix::process::geteuid().is_root(),
            "the test bed makes network namespaces, which only root may do: run it as root"
        );
        raise_file_limit().context("raising the limit of open files")?;
        let directory = tempfile::Builder::new()
            .prefix("palisade-bed-")
            .tempdir()
            .context("making a directory")?;
        let wiring = Wiring::new(spec.topology, spec.nodes)?;
        let switch = fabric::switch().await?;
        let (outside, clients) = fabric::clients(&switch, spec.nodes).await?;
        let mut nodes = Vec::with_capacity(spec.nodes);
        for position in 0..spec.nodes {
            nodes.push(NodeBed::new(position, wiring, &switch, directory.path()).await?);
        }
        for (node, number) in nodes.iter().zip(0..) {
            wiring.flood(node.space(), number).await?;
        }
        for node in &mut nodes {
            for _ in 0..spec.slots_per_node {
                node.add_slot(None).await?;
            }
        }
        if spec.topology == Topology::Routed {
            bird::run(&mut nodes, directory.path()).await?;
        }
        Ok(Self {
            topology: spec.topology,
            nodes,
            clients,
            services: Vec::new(),
            results: BTreeMap::new(),
            _spaces: [switch, outside],
            directory,
        })
    }

    /// Its topology.
    pub fn topology(&self) -> Topology {
        self.topology
    }

    /// Its nodes.
    pub fn nodes(&self) -> &[NodeBed] {
        &self.nodes
    }

    /// The external clients.
    pub fn clients(&self) -> &[Client] {
        &self.clients
    }

    /// The slots of all nodes, node by node.
    pub fn slots(&self) -> impl Iterator<Item = &Slot> {
        self.nodes.iter().flat_map(NodeBed::slots)
    }

    /// A network of each family that holds the pods of all nodes, and no node and no client. The addresses of
    /// bridges lie in it too.
    pub fn pod_network(&self) -> [IpNet; 2] {
        plan::shared_pod_network()
    }

    /// A network of each family that holds all external clients, and nobody else.
    pub fn client_network(&self) -> [IpNet; 2] {
        plan::outside()
    }

    /// A network of each family in which nobody is: addresses for services.
    pub fn service_network(&self) -> [IpNet; 2] {
        plan::services()
    }

    /// A directory for files of the test, removed with the bed.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// Makes `slot` the pod's: its node's CNI results say so from now on. It must not be another pod's.
    pub fn assign(&mut self, slot: &Slot, pod: &PodKey, uid: &PodUid) -> Result<()> {
        ensure!(
            !self.results.contains_key(&slot.name),
            "slot {} is a pod's already",
            slot.name()
        );
        let node = self.nodes.get(slot.node).context("a slot of another bed")?;
        let path = cni::write(node.cni_results(), slot, pod, uid)?;
        self.results.insert(slot.name.clone(), path);
        Ok(())
    }

    /// Takes `slot` back: its CNI result goes. Nothing happens if it is no pod's.
    pub fn release(&mut self, slot: &Slot) -> Result<()> {
        self.results
            .remove(&slot.name)
            .map_or(Ok(()), |path| cni::remove(&path))
    }

    /// Takes all slots back.
    pub fn release_all(&mut self) -> Result<()> {
        while let Some((_, path)) = self.results.pop_first() {
            cni::remove(&path)?;
        }
        Ok(())
    }

    /// Adds a slot to a running node: its wire and its addresses work at once, but nobody was told of it until
    /// [`assign`](Self::assign). With `addresses` it gets those, which another slot may have had before.
    pub async fn add_slot(&mut self, node: usize, addresses: Option<[IpAddr; 2]>) -> Result<Slot> {
        self.nodes
            .get_mut(node)
            .context("no such node")?
            .add_slot(addresses)
            .await
    }

    /// Removes a slot: its CNI result, then its wire.
    pub async fn remove_slot(&mut self, slot: &Slot) -> Result<()> {
        self.release(slot)?;
        self.nodes
            .get_mut(slot.node)
            .context("a slot of another bed")?
            .remove_slot(slot.name())
            .await
    }

    /// Adds a service on every node, one call for each of its ports. With [`ExternalTraffic::Local`] a node knows the
    /// slots that it has at this moment.
    pub async fn service(&mut self, service: Service) -> Result<()> {
        self.services.push(service);
        for node in &self.nodes {
            node.nft(&service::script(&self.services, node)).await?;
        }
        Ok(())
    }

    /// Removes all services from every node, and the table that held them.
    pub async fn clear_services(&mut self) -> Result<()> {
        self.services.clear();
        for node in &self.nodes {
            node.nft(&service::removal()).await?;
        }
        Ok(())
    }

    /// Ends all processes of the bed and removes its directory. Its namespaces go with the last holder.
    pub async fn stop(mut self) -> Result<()> {
        for node in &mut self.nodes {
            node.end_processes();
        }
        let Self { directory, .. } = self;
        tokio::task::spawn_blocking(move || directory.close())
            .await?
            .context("removing the bed's directory")
    }
}

/// A bed of a dozen pods with their responders needs more files than the 1,024 that a shell gives.
fn raise_file_limit() -> rustix::io::Result<()> {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(
        Resource::Nofile,
        Rlimit {
            current: limit.maximum,
            maximum: limit.maximum,
        },
    )
}
