//! A stage for the case table: three nodes with slots, clients, services.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use anyhow::{Context, Result};
use palisade_policy::cluster::ClusterState;
use palisade_policy::model::{PodKey, Transport, Verdict};

use super::{Enacted, Stage, plan};
use crate::bed::{self, BedSpec, Topology};
use crate::cases::{
    Addresses, CaseProbe, ExternalTraffic, Family, NODES, Occupant, Place, SLOTS, Service, Slot, Target,
};
use crate::probe::{Endpoint, Observation, Probe};

/// A stage on which cases can be run.
#[derive(Debug)]
pub struct CaseStage {
    stage: Stage,
    addresses: Addresses,
    services: BTreeMap<PodKey, Service>,
}

impl CaseStage {
    /// Starts a stage of the size that cases ask for.
    pub async fn start(topology: Topology, ports: impl IntoIterator<Item = u16>) -> Result<Self> {
        let spec = BedSpec {
            topology,
            nodes: NODES.len(),
            slots_per_node: SLOTS,
        };
        let stage = Stage::start(spec, ports).await?;
        Ok(Self {
            addresses: plan::addresses(&stage.bed)?,
            stage,
            services: BTreeMap::new(),
        })
    }

    /// The addresses for loading cases.
    pub fn addresses(&self) -> &Addresses {
        &self.addresses
    }

    /// The stage itself.
    pub fn stage(&mut self) -> &mut Stage {
        &mut self.stage
    }

    /// How many packets and handshakes have been sent.
    pub fn sent(&self) -> u64 {
        self.stage.prober.sent()
    }

    /// Gives the slots to these pods, publishes the state and waits until every node has applied it.
    pub async fn enact(
        &mut self,
        state: &ClusterState,
        occupants: &BTreeMap<Slot, Occupant>,
    ) -> Result<Enacted> {
        let pods = occupants.iter().map(|(place, occupant)| {
            Ok((
                plan::slot(&self.stage.bed, place)?.clone(),
                occupant.key.clone(),
                occupant.uid.clone(),
            ))
        });
        let pods = pods.collect::<Result<Vec<_>>>()?;
        self.stage.occupy(pods)?;
        self.stage.enact(state).await
    }

    /// Has exactly these services on every node.
    pub async fn serve(&mut self, services: &BTreeMap<PodKey, Service>) -> Result<()> {
        if self.services == *services {
            return Ok(());
        }
        self.stage.bed.clear_services().await?;
        for (number, service) in services.values().enumerate() {
            for (&(protocol, port), target) in &service.ports {
                let endpoints = target
                    .endpoints
                    .iter()
                    .map(|place| plan::slot(&self.stage.bed, place));
                let mut backends = Vec::new();
                for slot in endpoints {
                    backends.extend(
                        slot?
                            .addresses()
                            .map(|address| SocketAddr::new(address, target.target)),
                    );
                }
                let addresses = plan::service(&self.addresses, number)?.to_vec();
                let external = match target.external {
                    ExternalTraffic::Cluster => bed::ExternalTraffic::Cluster,
                    ExternalTraffic::Local => bed::ExternalTraffic::Local,
                };
                let node_port = target.node_port;
                self.stage
                    .bed
                    .service(bed::Service {
                        addresses,
                        port,
                        node_port,
                        external,
                        protocol,
                        backends,
                    })
                    .await?;
            }
        }
        self.services.clone_from(services);
        Ok(())
    }

    /// Sends the probes of a case and observes what becomes of them.
    pub async fn observe(&self, probes: &[CaseProbe]) -> Result<Vec<Observation>> {
        let sent: Vec<Probe> = probes
            .iter()
            .map(|probe| self.probe(probe))
            .collect::<Result<_>>()?;
        let expected: Vec<Verdict> = probes.iter().map(|probe| probe.expect).collect();
        self.stage.prober.observe(&sent, &expected).await
    }

    /// A probe of a case between the places of this bed.
    fn probe(&self, probe: &CaseProbe) -> Result<Probe> {
        let to = self.address(&probe.to, probe)?;
        let transport = match (&probe.to, probe.transport) {
            (Target::NodePort { port, .. }, Transport::Port(protocol, _)) => Transport::Port(protocol, *port),
            (_, transport) => transport,
        };
        Ok(Probe {
            from: self.endpoint(&probe.from, to)?,
            to,
            transport,
        })
    }

    fn endpoint(&self, place: &Place, to: IpAddr) -> Result<Endpoint> {
        match place {
            Place::Pod(slot) => Ok(plan::slot(&self.stage.bed, slot)?.host().endpoint()),
            Place::Node(name) => Ok(plan::node(&self.stage.bed, name)?.host().endpoint()),
            Place::Client(number) => {
                let client = self
                    .stage
                    .bed
                    .clients()
                    .get(*number)
                    .with_context(|| format!("no client {number}"))?;
                Ok(client.toward(to))
            }
        }
    }

    fn address(&self, target: &Target, probe: &CaseProbe) -> Result<IpAddr> {
        let of_family = |addresses: &[IpAddr]| {
            let address = addresses
                .iter()
                .find(|address| address.is_ipv4() == (probe.family == Family::V4));
            address.copied().context("no address of this family")
        };
        match target {
            Target::Place(Place::Pod(slot)) => of_family(&plan::slot(&self.stage.bed, slot)?.addresses()),
            Target::Place(Place::Node(name)) | Target::NodePort { node: name, .. } => {
                of_family(plan::node(&self.stage.bed, name)?.addresses())
            }
            Target::Place(Place::Client(number)) => {
                let client = self
                    .addresses
                    .client
                    .get(*number)
                    .with_context(|| format!("no client {number}"))?;
                Ok(client.of(probe.family))
            }
            Target::Service(key) => {
                let number = self.services.keys().position(|known| known == key);
                let number = number.with_context(|| format!("no service {key}"))?;
                of_family(&plan::service(&self.addresses, number)?)
            }
        }
    }

    /// Ends everything and removes what was made.
    pub async fn stop(self) -> Result<()> {
        self.stage.stop().await
    }
}
