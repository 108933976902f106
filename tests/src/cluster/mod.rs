//! A real Kubernetes of several nodes on one host.
//!
//! The control plane and each node are [machines](Machine): namespaces held by one process. The bed makes nothing
//! outside of them but files below one directory and control groups of its own, and leaves nothing when it goes. No
//! address of the cluster exists in the network of whoever starts it: [`Cluster::kubectl`] and [`Cluster::command`]
//! enter the control plane's network first.
//!
//! ```text
//!  control ── fabric (bridge) ─┬─ wire1 ── eth0 node1 ── pods
//!                              └─ wire2 ── eth0 node2 ── pods
//! ```
//!
//! [`Alone`] is an API server without nodes. `palisade-cluster` is its command line; tests of the whole product attach to a cluster that runs.

mod alone;
mod build;
mod certificates;
mod cgroups;
mod cni;
pub mod conformance;
mod control_plane;
mod flannel;
mod hex;
mod identity;
mod image;
mod install;
mod layout;
mod machine;
mod network;
mod node;
mod plan;
mod progress;
mod run;
mod up;

use std::ffi::OsString;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use futures::future::try_join_all;
use tokio::process::Command;

pub use alone::{Alone, Certified};
pub use build::{AGNHOST, BUSYBOX, build, build_server};
pub use control_plane::{API_SERVER, CONTROLLER_MANAGER, ETCD, SCHEDULER};
pub use flannel::FLANNELD;
pub use identity::Identity;
pub use install::Installation;
pub use layout::Layout;
pub use machine::{Component, Machine};
pub use node::{CONTAINERD, KUBE_PROXY, KUBELET, PAUSE};
pub use plan::{BridgeFilter, Cni, Families, NodeNumber, Plan};
pub use progress::Progress;
pub use run::{Ended, run, succeed, wait_for};

/// The name of the machine of the control plane.
pub const CONTROL: &str = "control";

/// A cluster that runs.
#[derive(Clone, Debug)]
pub struct Cluster {
    layout: Layout,
    plan: Plan,
}

impl Cluster {
    /// The cluster that runs with this layout.
    pub fn attach(layout: Layout) -> Result<Self> {
        let file = layout.plan();
        let text = fs::read_to_string(&file).with_context(|| {
            format!(
                "no cluster runs here (no {}): start one by `make cluster`",
                file.display()
            )
        })?;
        let plan = serde_json::from_str(&text).with_context(|| format!("reading {}", file.display()))?;
        let cluster = Self { layout, plan };
        if !cluster.control()?.is_running() {
            bail!("the cluster does not run any more: `make cluster-down`, then `make cluster`");
        }
        Ok(cluster)
    }

    /// Ends the cluster with this layout and removes all of it. Nothing happens when there is none.
    pub async fn down(layout: &Layout) -> Result<()> {
        let mut machines = Vec::new();
        if let Ok(entries) = fs::read_dir(layout.machines()) {
            for entry in entries {
                let name = entry?.file_name().to_string_lossy().into_owned();
                machines.push(Machine::new(&name, layout.machine(&name), &layout.group())?);
            }
        }
        try_join_all(machines.iter().map(Machine::destroy)).await?;
        cgroups::Cgroups::new(layout.group())?.remove().await?;
        if layout.state().exists() {
            fs::remove_dir_all(layout.state())
                .with_context(|| format!("removing {}", layout.state().display()))?;
        }
        Ok(())
    }

    /// What the cluster is.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Where its files are.
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// The client configuration of its administrator. Its address is only to be reached in the control plane's network.
    pub fn kubeconfig(&self) -> PathBuf {
        self.layout.client_configuration("admin")
    }

    /// The control plane.
    pub fn control(&self) -> Result<Machine> {
        self.machine(CONTROL)
    }

    /// All nodes, in order.
    pub fn nodes(&self) -> Result<Vec<Machine>> {
        self.plan.nodes().map(|node| self.machine(&node.name())).collect()
    }

    /// The machine with this name.
    pub fn machine(&self, name: &str) -> Result<Machine> {
        Machine::new(name, self.layout.machine(name), &self.layout.group())
    }

    /// A component of a machine, such as [`KUBELET`] of `node1`.
    pub fn component(&self, machine: &str, name: &str) -> Result<Component> {
        Ok(self.machine(machine)?.component(name))
    }

    /// A program of this host that reaches the cluster: in the control plane's network, with the client configuration
    /// and the programs of Kubernetes in its environment.
    pub fn command(&self, program: &str) -> Result<Command> {
        let mut command = self.control()?.network_command(program)?;
        command
            .env("KUBECONFIG", self.kubeconfig())
            .env("PATH", self.search_path()?);
        Ok(command)
    }

    /// Runs kubectl with `input` and gives its standard output; fails when kubectl does.
    pub async fn kubectl(&self, words: &[&str], input: &str, patience: Duration) -> Result<String> {
        let mut command = self.command("kubectl")?;
        command.args(words);
        succeed(command, input, patience).await
    }

    /// Cuts a node off from all other machines.
    pub async fn cut_off(&self, node: NodeNumber) -> Result<()> {
        network::set_wire(&self.control()?, node, false).await
    }

    /// Joins a node that was cut off.
    pub async fn reconnect(&self, node: NodeNumber) -> Result<()> {
        network::set_wire(&self.control()?, node, true).await
    }

    fn search_path(&self) -> Result<OsString> {
        let rest = std::env::var_os("PATH").unwrap_or_default();
        let all = std::iter::once(self.layout.programs()).chain(std::env::split_paths(&rest));
        Ok(std::env::join_paths(all)?)
    }
}
