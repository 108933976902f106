//! A bed with enforcers on its nodes: states go in as objects, verdicts come out as packets.
//!
//! ```text
//!   ClusterState ─► compile ─► files ─► an enforcer on each node ─► its kernel
//!        │                                                             │
//!        └─► oracle: what is expected          prober: what is observed ┘
//! ```
//!
//! What runs here is the product: the compiler, the published documents, the program of the enforcer, the kernel.

mod enforcer;
mod plan;

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use palisade_policy::cluster::ClusterState;
use palisade_policy::compile::compile;
use palisade_policy::model::{PodKey, Verdict};

use crate::bed::{self, Bed, BedSpec, Topology};
use crate::cases::{Addresses, CaseProbe, NODES, Occupant, Place, SLOTS, Service, Slot, Target};
use crate::probe::{Endpoint, Listen, Observation, Probe, Prober};

pub use enforcer::{Enforcer, Status};

/// How long a change may take to reach every kernel before a test gives up.
const PATIENCE: Duration = Duration::from_secs(20);

/// A running stage.
#[derive(Debug)]
pub struct Stage {
    bed: Bed,
    prober: Prober,
    addresses: Addresses,
    enforcers: Vec<Enforcer>,
    /// The directory of published documents that all enforcers watch.
    rules: PathBuf,
    occupants: BTreeMap<Slot, Occupant>,
    services: BTreeMap<PodKey, Service>,
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
    /// Starts a bed with an enforcer on each of three nodes; hosts listen on `ports`. Nothing is enforced yet.
    pub async fn start(topology: Topology, ports: impl IntoIterator<Item = u16>) -> Result<Self> {
        let spec = BedSpec { topology, nodes: NODES.len(), slots_per_node: SLOTS };
        let bed = Bed::start(spec).await.context("starting the bed")?;
        let hosts = bed.slots().map(bed::Slot::host).chain(bed.nodes().iter().map(bed::NodeBed::host));
        let clients = bed.clients().first().map(bed::Client::host);
        let prober = Prober::start(hosts.chain(clients), &Listen::on(ports)).context("starting the responders")?;
        let rules = bed.directory().join("rules");
        std::fs::create_dir(&rules).with_context(|| format!("making {}", rules.display()))?;
        let addresses = plan::addresses(&bed)?;
        let mut stage = Self {
            enforcers: Vec::new(),
            occupants: BTreeMap::new(),
            services: BTreeMap::new(),
            bed,
            prober,
            addresses,
            rules,
        };
        for node in stage.bed.nodes() {
            stage.enforcers.push(Enforcer::start(node, topology, &stage.rules)?);
        }
        Ok(stage)
    }

    /// The addresses for loading cases.
    pub fn addresses(&self) -> &Addresses {
        &self.addresses
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

    /// The enforcer of a node.
    pub fn enforcer(&mut self, node: usize) -> Result<&mut Enforcer> {
        self.enforcers.get_mut(node).context("no such node")
    }

    /// The directory that the enforcers read.
    pub fn rules(&self) -> &PathBuf {
        &self.rules
    }

    /// Gives the slots to these pods, publishes the state and waits until every node has applied it.
    pub async fn enact(&mut self, state: &ClusterState, occupants: &BTreeMap<Slot, Occupant>) -> Result<Enacted> {
        let begin = Instant::now();
        self.occupy(occupants)?;
        let published = compile(state);
        let rule_sets = published.nodes.values().map(AsRef::as_ref);
        palisade_crds::files::write(&self.rules, rule_sets, &published.groups).context("writing the rules")?;
        let mut nodes = Vec::new();
        for (node, enforcer) in self.bed.nodes().iter().zip(&mut self.enforcers) {
            let Some(rules) = published.nodes.get(&node.name().into()) else { continue };
            nodes.push(enforcer.applied(rules, PATIENCE).await.with_context(|| format!("on {}", node.name()))?);
        }
        ensure!(!nodes.is_empty(), "the state has no node of the bed");
        Ok(Enacted { took: begin.elapsed(), nodes })
    }

    fn occupy(&mut self, occupants: &BTreeMap<Slot, Occupant>) -> Result<()> {
        for (place, occupant) in &self.occupants {
            if occupants.get(place) != Some(occupant) {
                let slot = plan::slot(&self.bed, place)?.clone();
                self.bed.release(&slot)?;
            }
        }
        for (place, occupant) in occupants {
            if self.occupants.get(place) != Some(occupant) {
                let slot = plan::slot(&self.bed, place)?.clone();
                self.bed.assign(&slot, &occupant.key, &occupant.uid)?;
            }
        }
        self.occupants.clone_from(occupants);
        Ok(())
    }

    /// Has exactly these services on every node.
    pub async fn serve(&mut self, services: &BTreeMap<PodKey, Service>) -> Result<()> {
        if self.services == *services {
            return Ok(());
        }
        self.bed.clear_services().await?;
        for (number, service) in services.values().enumerate() {
            for (&(protocol, port), target) in &service.ports {
                let endpoints = target.endpoints.iter().map(|place| plan::slot(&self.bed, place));
                let mut backends = Vec::new();
                for slot in endpoints {
                    backends.extend(slot?.addresses().map(|address| SocketAddr::new(address, target.target)));
                }
                let addresses = plan::service(&self.addresses, number)?.to_vec();
                let node_port = target.node_port;
                self.bed.service(bed::Service { addresses, port, node_port, protocol, backends }).await?;
            }
        }
        self.services.clone_from(services);
        Ok(())
    }

    /// Sends the probes of a case and observes what becomes of them.
    pub async fn observe(&self, probes: &[CaseProbe]) -> Result<Vec<Observation>> {
        let sent: Vec<Probe> = probes.iter().map(|probe| self.probe(probe)).collect::<Result<_>>()?;
        let expected: Vec<Verdict> = probes.iter().map(|probe| probe.expect).collect();
        self.prober.observe(&sent, &expected).await
    }

    /// A probe of a case between the places of this bed.
    fn probe(&self, probe: &CaseProbe) -> Result<Probe> {
        let to = self.address(&probe.to, probe)?;
        Ok(Probe { from: self.endpoint(&probe.from, to)?, to, transport: probe.transport })
    }

    fn endpoint(&self, place: &Place, to: IpAddr) -> Result<Endpoint> {
        match place {
            Place::Pod(slot) => Ok(plan::slot(&self.bed, slot)?.host().endpoint()),
            Place::Node(name) => {
                let own = self.addresses.nodes.get(name.as_str());
                let node = self.bed.nodes().iter().find(|node| {
                    own.is_some_and(|plan| plan.address.both().iter().all(|address| node.addresses().contains(address)))
                });
                Ok(node.with_context(|| format!("no node {name}"))?.host().endpoint())
            }
            Place::Client(number) => {
                let client = self.bed.clients().get(*number).with_context(|| format!("no client {number}"))?;
                Ok(client.toward(to))
            }
        }
    }

    fn address(&self, target: &Target, probe: &CaseProbe) -> Result<IpAddr> {
        let node_address = |name: &str| {
            let plan = self.addresses.nodes.get(name).with_context(|| format!("no node {name}"))?;
            anyhow::Ok(plan.address.of(probe.family))
        };
        match target {
            Target::Place(Place::Pod(slot)) => {
                let v4 = probe.family == crate::cases::Family::V4;
                let slot = plan::slot(&self.bed, slot)?;
                Ok(if v4 { slot.v4() } else { slot.v6() })
            }
            Target::Place(Place::Node(name)) | Target::NodePort { node: name, .. } => node_address(name.as_str()),
            Target::Place(Place::Client(number)) => {
                let client = self.addresses.client.get(*number).with_context(|| format!("no client {number}"))?;
                Ok(client.of(probe.family))
            }
            Target::Service(key) => {
                let number = self.services.keys().position(|known| known == key);
                let pair = plan::service(&self.addresses, number.with_context(|| format!("no service {key}"))?)?;
                let [v4, v6] = pair;
                Ok(if probe.family == crate::cases::Family::V4 { v4 } else { v6 })
            }
        }
    }

    /// Ends everything and removes what was made.
    pub async fn stop(mut self) -> Result<()> {
        for enforcer in &mut self.enforcers {
            enforcer.stop().await?;
        }
        self.bed.stop().await
    }
}
