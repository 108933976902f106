//! A bed with enforcers on its nodes: states go in as objects, verdicts come out as packets.
//!
//! ```text
//!   ClusterState ─► compile ─► files ─► an enforcer on each node ─► its kernel
//!        │                                                             │
//!        └─► oracle: what is expected          prober: what is observed ┘
//! ```
//!
//! What runs here is the product: the compiler, the published documents, the program of the enforcer, the kernel.
//! [`CaseStage`] gives a stage the shape that the case table asks for.

mod cases;
mod enforcer;
mod plan;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use palisade_policy::cluster::ClusterState;
use palisade_policy::compile::compile;
use palisade_policy::model::{NodeName, PodKey, PodUid};

use crate::bed::{self, Bed, BedSpec};
use crate::probe::{Listen, Prober};

pub use cases::CaseStage;
pub use enforcer::{Enforcer, Status, built, program};

/// How long a change may take to reach every kernel before a test gives up.
const PATIENCE: Duration = Duration::from_secs(20);

/// A bed with an enforcer on each node.
#[derive(Debug)]
pub struct Stage {
    /// First, so that they end before the bed's directory goes, also when a test panics.
    enforcers: Vec<Enforcer>,
    prober: Prober,
    bed: Bed,
    /// The directory of published documents that all enforcers watch.
    rules: PathBuf,
    /// The pods in the slots, by the slots' names.
    pods: BTreeMap<String, (bed::Slot, PodKey, PodUid)>,
}

/// What it took to bring a state into every kernel.
#[derive(Clone, Debug)]
pub struct Enacted {
    /// From the first file written to the last node that had applied the whole.
    pub took: Duration,
    /// What each node reports.
    pub nodes: Vec<Status>,
}

impl Stage {
    /// Starts a bed and an enforcer on each of its nodes; hosts listen on `ports`. Nothing is enforced yet.
    pub async fn start(spec: BedSpec, ports: impl IntoIterator<Item = u16>) -> Result<Self> {
        let bed = Bed::start(spec).await.context("starting the bed")?;
        let hosts = bed
            .slots()
            .map(bed::Slot::host)
            .chain(bed.nodes().iter().map(bed::NodeBed::host));
        let clients = bed.clients().iter().map(bed::Client::host);
        let listen = Listen::on(ports);
        let prober = Prober::start(hosts.chain(clients), &listen).context("starting the responders")?;
        let rules = bed.directory().join("rules");
        std::fs::create_dir(&rules).with_context(|| format!("making {}", rules.display()))?;
        let started = bed
            .nodes()
            .iter()
            .map(|node| Enforcer::start(node, spec.topology, &rules));
        let enforcers = started.collect::<Result<_>>()?;
        Ok(Self {
            bed,
            prober,
            enforcers,
            rules,
            pods: BTreeMap::new(),
        })
    }

    /// The bed.
    pub fn bed(&self) -> &Bed {
        &self.bed
    }

    /// The bed, to be changed.
    pub fn bed_mut(&mut self) -> &mut Bed {
        &mut self.bed
    }

    /// The prober.
    pub fn prober(&self) -> &Prober {
        &self.prober
    }

    /// The node at a position and its enforcer.
    pub fn node(&mut self, position: usize) -> Result<(&bed::NodeBed, &mut Enforcer)> {
        let node = self.bed.nodes().get(position).context("no such node")?;
        Ok((node, self.enforcers.get_mut(position).context("no such node")?))
    }

    /// The directory that the enforcers read.
    pub fn rules(&self) -> &Path {
        &self.rules
    }

    /// Makes exactly these slots pods.
    pub fn occupy(&mut self, pods: impl IntoIterator<Item = (bed::Slot, PodKey, PodUid)>) -> Result<()> {
        let named = |pod: (bed::Slot, PodKey, PodUid)| (pod.0.name().to_owned(), pod);
        let pods: BTreeMap<_, _> = pods.into_iter().map(named).collect();
        let same = |one: &(bed::Slot, PodKey, PodUid), other: Option<&(bed::Slot, PodKey, PodUid)>| {
            other.is_some_and(|other| one.2 == other.2)
        };
        for (name, pod) in &self.pods {
            if !same(pod, pods.get(name)) {
                self.bed.release(&pod.0)?;
            }
        }
        for (name, pod) in &pods {
            if !same(pod, self.pods.get(name)) {
                self.bed.assign(&pod.0, &pod.1, &pod.2)?;
            }
        }
        self.pods = pods;
        Ok(())
    }

    /// Publishes the rules of a state without waiting for anybody.
    pub fn publish(&self, state: &ClusterState) -> Result<()> {
        palisade_crds::files::write(&self.rules, &compile(state)).context("writing the rules")?;
        Ok(())
    }

    /// Publishes the rules of a state and waits until every node that it has has applied them.
    pub async fn enact(&mut self, state: &ClusterState) -> Result<Enacted> {
        let begin = Instant::now();
        self.publish(state)?;
        let mut nodes = Vec::new();
        for (node, enforcer) in self.bed.nodes().iter().zip(&mut self.enforcers) {
            let name = NodeName::from(node.name());
            let wanted = palisade_crds::files::read(&self.rules, &name).context("reading the rules back")?;
            let placed = self
                .pods
                .values()
                .filter(|(_, _, uid)| wanted.rules.pods.contains_key(uid))
                .count();
            let applied = enforcer.applied(&wanted, placed, PATIENCE).await;
            nodes.push(applied.with_context(|| format!("on {name}"))?);
        }
        ensure!(!nodes.is_empty(), "the bed has no node");
        Ok(Enacted {
            took: begin.elapsed(),
            nodes,
        })
    }

    /// Ends everything and removes what was made.
    pub async fn stop(mut self) -> Result<()> {
        for enforcer in &mut self.enforcers {
            enforcer.stop().await?;
        }
        self.bed.stop().await
    }
}
