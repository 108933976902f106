//! A node: a namespace that forwards, with pods behind veths and processes of its own.

use std::io::Write;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use ipnet::IpNet;
use nlink::netlink::link::VethLink;
use nlink::netlink::namespace::Netns;
use palisade_policy::model::Node;

use super::Topology;
use super::plan::{self, Pair};
use super::process::{self, ManagedChild};
use super::slot::{INSIDE, Slot};
use super::space::{Role, Space};
use super::wiring::Wiring;
use crate::probe::Host;

/// The node's interface on the fabric.
pub(crate) const UPLINK: &str = "eth0";

/// A node of the bed.
#[derive(Debug)]
pub struct NodeBed {
    position: usize,
    name: Arc<str>,
    space: Space,
    wiring: Wiring,
    addresses: Vec<IpAddr>,
    host: Host,
    slots: Vec<Slot>,
    made: usize,
    cni_results: PathBuf,
    logs: PathBuf,
    processes: Vec<ManagedChild>,
}

impl NodeBed {
    /// A node on the fabric, without pods.
    pub(super) async fn new(
        position: usize,
        wiring: Wiring,
        fabric: &Space,
        directory: &Path,
    ) -> Result<Self> {
        let number = plan::checked(position)?;
        let name: Arc<str> = format!("node{}", position + 1).into();
        let space = Space::new(Role::Node).await?;
        super::fabric::plug(fabric, &space, &name).await?;
        let own = plan::node_addresses(number);
        for (address, network) in own.into_iter().zip(plan::fabric()) {
            space.address(UPLINK, plan::within(address, network)).await?;
        }
        space.up(UPLINK).await?;
        for everywhere in plan::everywhere() {
            space.route(everywhere, UPLINK, None).await?;
        }
        let home = directory.join(&*name);
        let (cni_results, logs) = (home.join("cni"), home.join("logs"));
        for path in [&cni_results, &logs] {
            std::fs::create_dir_all(path).with_context(|| format!("making {}", path.display()))?;
        }
        let mut addresses = own.to_vec();
        addresses.extend(wiring.prepare_node(&space, number).await?);
        let host = Host::new(&*name, space.netns().clone(), addresses.clone());
        Ok(Self {
            position,
            name,
            host,
            space,
            wiring,
            addresses,
            slots: Vec::new(),
            made: 0,
            cni_results,
            logs,
            processes: Vec::new(),
        })
    }

    /// Its name: `node1`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its position in [`Bed::nodes`](super::Bed::nodes).
    pub fn position(&self) -> usize {
        self.position
    }

    /// Its namespace.
    pub fn netns(&self) -> &Arc<Netns> {
        self.space.netns()
    }

    /// Its own addresses: on the fabric, IPv4 then IPv6, and those of its bridge where it has one.
    pub fn addresses(&self) -> &[IpAddr] {
        &self.addresses
    }

    /// The networks of its pods, IPv4 and IPv6. On one segment all nodes have the same.
    pub fn pod_networks(&self) -> Vec<IpNet> {
        plan::checked(self.position)
            .map_or_else(|_| Vec::new(), |number| self.wiring.pod_networks(number).to_vec())
    }

    /// The node as a cluster would describe it.
    pub fn described(&self) -> Node {
        Node {
            name: self.name().into(),
            addresses: self.addresses().to_vec(),
            pod_networks: match self.wiring.topology() {
                Topology::Routed | Topology::Bridge => self.pod_networks(),
                // One network for the pods of all nodes tells a node nothing about its own.
                Topology::Segment => Vec::new(),
            },
        }
    }

    /// Its slots in order of creation.
    pub fn slots(&self) -> &[Slot] {
        &self.slots
    }

    /// The directory of CNI results that belongs to this node.
    pub fn cni_results(&self) -> &Path {
        &self.cni_results
    }

    /// The node as an end of probes: its daemons, and pods on the host's network.
    pub fn host(&self) -> Host {
        self.host.clone()
    }

    /// Starts a process in the node's namespace, with its output in a file of the bed's directory.
    pub fn spawn(&self, command: Command) -> Result<ManagedChild> {
        ManagedChild::start(self.netns(), command, &self.logs)
    }

    /// Starts a process in a pod of the node, with its output in a file of the bed's directory.
    pub fn spawn_in(&self, slot: &Slot, command: Command) -> Result<ManagedChild> {
        ManagedChild::start(slot.netns(), command, &self.logs)
    }

    /// Runs a command in the node's namespace to its end, with `input` on its standard input, and returns what it
    /// wrote to standard output. That it fails is an error with what it wrote to standard error.
    pub async fn run(&self, mut command: Command, input: &str) -> Result<String> {
        let (netns, input) = (self.netns().clone(), input.to_owned());
        let what = format!("{} on {}", command.get_program().display(), self.name);
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let output = tokio::task::spawn_blocking(move || -> Result<_> {
            let mut child = process::fork(&netns, command)?;
            let mut stdin = child.stdin.take().context("no standard input")?;
            stdin.write_all(input.as_bytes())?;
            drop(stdin);
            Ok(child.wait_with_output()?)
        })
        .await?
        .with_context(|| format!("running {what}"))?;
        if !output.status.success() {
            bail!(
                "{what}: {}: {}",
                output.status,
                String::from_utf8_lossy(&output.stderr).trim()
            );
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Runs an nft script on the node in one transaction.
    pub async fn nft(&self, script: &str) -> Result<()> {
        let mut command = Command::new("nft");
        command.args(["-f", "-"]);
        self.run(command, script).await.map(drop)
    }

    /// Lets bridged packets pass the hooks of IPv4 and IPv6, for all bridges of the node, or not. Off at the
    /// start: an enforcer asks for it itself. Services between pods of one bridge need it, enforcer or not.
    pub fn filter_bridged(&self, on: bool) -> Result<()> {
        let value = if on { "1" } else { "0" };
        let switches = [
            "net.bridge.bridge-nf-call-iptables",
            "net.bridge.bridge-nf-call-ip6tables",
        ];
        let settings = switches.map(|switch| (switch, value));
        self.netns()
            .sysctl()
            .set_many(&settings)
            .with_context(|| format!("filtering bridges of {}", self.name))
    }

    /// The namespace with its connection.
    pub(super) fn space(&self) -> &Space {
        &self.space
    }

    /// Keeps a process until the node goes.
    pub(super) fn keep(&mut self, process: ManagedChild) {
        self.processes.push(process);
    }

    /// Ends the processes that the node keeps.
    pub(super) fn end_processes(&mut self) {
        self.processes.clear();
    }

    /// Makes a slot: namespace, veth, addresses, all up. Nobody has been told about it.
    pub(super) async fn add_slot(&mut self, addresses: Option<Pair>) -> Result<Slot> {
        let number = plan::checked(self.position)?;
        let serial = self.made;
        let addresses = match addresses {
            Some(addresses) => addresses,
            None => self.unused_addresses(number)?,
        };
        let pod = Space::new(Role::Host).await?;
        let interface = format!("{}{}x{serial}", self.wiring.prefix(), self.position + 1);
        let mac = plan::mac_of(addresses[0], 0x58);
        let veth = VethLink::new(&interface, INSIDE)
            .peer_address(mac)
            .peer_netns_fd(&**pod.netns());
        let veth = match self.wiring.host_mac() {
            Some(mac) => veth.address(mac),
            None => veth,
        };
        self.space.link(veth).await?;
        self.made += 1;
        let networks = self.wiring.inside(number, addresses);
        self.wiring
            .connect(&self.space, &pod, &interface, number, networks)
            .await?;
        let name = format!("{}/{serial}", self.name);
        let addresses = networks.map(|network| network.addr());
        let slot = Slot {
            host: Host::new(&*name, pod.netns().clone(), addresses),
            name: name.into(),
            node: self.position,
            netns: pod.netns().clone(),
            interface: interface.into(),
            bridge: self.wiring.bridge().map(Into::into),
            networks,
            mac,
        };
        self.slots.push(slot.clone());
        Ok(slot)
    }

    /// The addresses that have been out of use for longest.
    fn unused_addresses(&self, number: u8) -> Result<Pair> {
        for turn in 0..plan::LIMIT {
            let pair = plan::slot_addresses(number, plan::checked((self.made + turn) % plan::LIMIT)?);
            if self.slots.iter().all(|slot| slot.addresses() != pair) {
                return Ok(pair);
            }
        }
        bail!("{} has no address left", self.name)
    }

    /// Takes a slot's wire away. Its namespace goes when the last holder lets go of it.
    pub(super) async fn remove_slot(&mut self, name: &str) -> Result<()> {
        let position = self.slots.iter().position(|slot| slot.name() == name);
        let Some(position) = position else {
            bail!("{} has no slot {name}", self.name)
        };
        let slot = self.slots.remove(position);
        let removed = self.space.connection().del_link(slot.host_interface()).await;
        removed.with_context(|| format!("removing {}", slot.host_interface()))
    }
}
