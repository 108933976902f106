//! The service of the last step: its manifest, and what a cluster would fill in.

use std::fs::File;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;

use anyhow::{Context, Result};
use k8s_openapi::api::core::v1 as api;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use palisade_policy::model::Protocol;

use super::cast::{Cast, Member};
use crate::bed;
use crate::cases::Family;

/// Which hosts of the networks of services it is: 10.96.0.80 and `fd00:96::80`.
const HOSTS: [usize; 2] = [79, 0x80];

/// A service with one backend.
#[derive(Debug)]
pub(super) struct Service {
    /// What the bed programs on every node.
    pub(super) table: bed::Service,
    /// The pod that it stands for.
    pub(super) backend: Member,
    /// The port of that pod.
    pub(super) target: u16,
}

impl Service {
    /// Reads the manifest, finds the pod that its selector means and gives it addresses from `networks`.
    pub(super) fn read(path: &Path, cast: &Cast, networks: [ipnet::IpNet; 2]) -> Result<Self> {
        let file = File::open(path).with_context(|| format!("opening {}", path.display()))?;
        let service: api::Service =
            serde_saphyr::from_reader(file).with_context(|| format!("reading {}", path.display()))?;
        let spec = service.spec.context("the service has no spec")?;
        let selector = spec.selector.unwrap_or_default();
        let namespace = service
            .metadata
            .namespace
            .context("the service has no namespace")?;
        let backend = cast.members.iter().find(|member| {
            member.pod.as_ref().is_some_and(|(_, pod)| {
                let selected = |(key, value): (&String, &String)| pod.labels.get(key) == Some(value);
                pod.key.namespace.as_str() == namespace && selector.iter().all(selected)
            })
        });
        let backend = backend.context("the service selects no pod")?.clone();
        let port = spec.ports.and_then(|ports| ports.into_iter().next());
        let port = port.context("the service has no port")?;
        let target = match port.target_port {
            Some(IntOrString::Int(number)) => u16::try_from(number)?,
            _ => u16::try_from(port.port)?,
        };
        let addresses = networks
            .iter()
            .zip(HOSTS)
            .map(|(network, host)| network.hosts().nth(host));
        let addresses: Option<Vec<IpAddr>> = addresses.collect();
        Ok(Self {
            table: bed::Service {
                addresses: addresses.context("the networks of services are too small")?,
                port: u16::try_from(port.port)?,
                node_port: None,
                external: bed::ExternalTraffic::Cluster,
                protocol: Protocol::Tcp,
                backends: backend
                    .addresses
                    .iter()
                    .map(|address| SocketAddr::new(*address, target))
                    .collect(),
            },
            backend,
            target,
        })
    }

    /// Where it is called in a family.
    pub(super) fn at(&self, family: Family) -> Result<SocketAddr> {
        let address = self
            .table
            .addresses
            .iter()
            .find(|address| address.is_ipv4() == (family == Family::V4));
        let address = address.context("the service has no address of that family")?;
        Ok(SocketAddr::new(*address, self.table.port))
    }
}
