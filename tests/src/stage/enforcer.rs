//! The enforcer's own program on a node of the bed, and what it reports.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use palisade_crds::RuleSet;
use rustix::process::Signal;
use serde::Deserialize;

use crate::bed::{ManagedChild, NodeBed, Topology};

/// How often a status file is looked at. The enforcer replaces it, so a look is one small read.
const LOOK: Duration = Duration::from_millis(2);

/// What the enforcer writes about itself after each change.
#[derive(Clone, Debug, Deserialize)]
pub struct Status {
    /// Whether it enforces what it should.
    pub ready: bool,
    /// The hash over the applied rule set and its slices.
    pub content: Option<String>,
    /// Pods that are dispatched.
    pub pods: usize,
    /// Pods that the rules name and the node does not know.
    #[serde(default)]
    pub unplaced: Vec<String>,
    /// What is wrong.
    #[serde(default)]
    pub degraded: Vec<serde_json::Value>,
    /// The ruleset generation after the last change.
    pub generation: Option<u32>,
    /// How much the kernel holds.
    #[serde(default)]
    pub sizes: serde_json::Value,
    /// The last change in figures.
    #[serde(default)]
    pub applied: serde_json::Value,
}

/// An enforcer on a node.
#[derive(Debug)]
pub struct Enforcer {
    process: Option<ManagedChild>,
    status: PathBuf,
    arguments: Vec<String>,
    environment: Vec<(&'static str, PathBuf)>,
}

impl Enforcer {
    /// Starts the enforcer of a node on a directory of rules, beside which it keeps its status.
    pub fn start(node: &NodeBed, topology: Topology, rules: &Path) -> Result<Self> {
        let directory = ["--rules".to_owned(), rules.display().to_string()];
        Self::with(node, topology, rules, directory.into(), Vec::new())
    }

    /// Starts the enforcer of a node on the API server that a kubeconfig tells of, beside which it keeps its status.
    pub fn follow(node: &NodeBed, topology: Topology, kubeconfig: &Path) -> Result<Self> {
        let environment = vec![("KUBECONFIG", kubeconfig.to_owned())];
        Self::with(node, topology, kubeconfig, Vec::new(), environment)
    }

    fn with(
        node: &NodeBed,
        topology: Topology,
        source: &Path,
        further: Vec<String>,
        environment: Vec<(&'static str, PathBuf)>,
    ) -> Result<Self> {
        let status = source.with_file_name(format!("{}.status.json", node.name()));
        let mut arguments = vec!["run".to_owned(), "--node".to_owned(), node.name().to_owned()];
        let mut option =
            |name: &str, value: &Path| arguments.extend([name.to_owned(), value.display().to_string()]);
        option("--cni-results", node.cni_results());
        option("--status", &status);
        arguments.extend(further);
        // Whom no CNI result tells stays closed, however long a test takes.
        arguments.extend(["--search", "none"].map(str::to_owned));
        if topology == Topology::Segment {
            // The node has no pod network of its own: its pods are known by their interfaces.
            arguments.extend(["--pod-interface".to_owned(), "vethwe*".to_owned()]);
        }
        let mut enforcer = Self {
            process: None,
            status,
            arguments,
            environment,
        };
        enforcer.restart(node)?;
        Ok(enforcer)
    }

    /// Starts the process anew, after [`stop`](Self::stop) or [`kill`](Self::kill).
    pub fn restart(&mut self, node: &NodeBed) -> Result<()> {
        let mut command = Command::new(program()?);
        command.args(&self.arguments);
        command.envs(self.environment.iter().map(|(name, value)| (*name, value)));
        self.process = Some(node.spawn(command)?);
        Ok(())
    }

    /// Asks the process to end and waits until it has.
    pub async fn stop(&mut self) -> Result<()> {
        self.end(Signal::TERM).await
    }

    /// Kills the process, as a node's memory shortage would.
    pub async fn kill(&mut self) -> Result<()> {
        self.end(Signal::KILL).await
    }

    async fn end(&mut self, signal: Signal) -> Result<()> {
        if let Some(mut process) = self.process.take() {
            process.signal(signal)?;
            process.ended(Duration::from_secs(10)).await?;
        }
        // What a process that is gone said must not be taken for what the next one says.
        match std::fs::remove_file(&self.status) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(error).context("removing the status")
            }
            _ => Ok(()),
        }
    }

    /// The process, while there is one.
    pub fn id(&self) -> Option<u32> {
        self.process.as_ref().map(ManagedChild::id)
    }

    /// What the process has written to its log.
    pub fn log(&self) -> String {
        self.process.as_ref().map(ManagedChild::log).unwrap_or_default()
    }

    /// Its last status; `None` before the first.
    pub fn status(&self) -> Result<Option<Status>> {
        match std::fs::read(&self.status) {
            Ok(bytes) => serde_json::from_slice(&bytes)
                .map(Some)
                .context("reading a status"),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).context("reading a status"),
        }
    }

    /// Waits until a condition holds of the status.
    pub async fn until(&mut self, patience: Duration, holds: impl Fn(&Status) -> bool) -> Result<Status> {
        let deadline = Instant::now() + patience;
        loop {
            let status = self.status()?;
            if let Some(status) = status.as_ref().filter(|status| holds(status)) {
                return Ok(status.clone());
            }
            let ended = self
                .process
                .as_mut()
                .map(ManagedChild::try_wait)
                .transpose()?
                .flatten();
            if let Some(ended) = ended {
                bail!("the enforcer ended: {ended}\n{}", self.log());
            }
            if Instant::now() > deadline {
                bail!("after {patience:?} the status is {status:?}\n{}", self.log());
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Waits until a rule set is applied whole and `placed` of its pods are dispatched: those that the node has.
    pub(super) async fn applied(
        &mut self,
        wanted: &RuleSet,
        placed: usize,
        patience: Duration,
    ) -> Result<Status> {
        self.until(patience, |status| {
            let same = status.content.as_deref() == Some(&wanted.content);
            let all = status.pods == placed && status.unplaced.len() + placed == wanted.rules.pods.len();
            status.ready && same && all
        })
        .await
    }
}

/// The enforcer's program, built beside the running one.
pub fn program() -> Result<PathBuf> {
    built("palisade-enforcer")
}

/// One of Palisade's programs, built beside the running one.
pub fn built(name: &str) -> Result<PathBuf> {
    let test = std::env::current_exe().context("finding the running program")?;
    let candidates = test.ancestors().skip(1).take(2).map(|folder| folder.join(name));
    let found = candidates.into_iter().find(|path| path.is_file());
    found.with_context(|| format!("{name} is not built: cargo build --workspace"))
}
