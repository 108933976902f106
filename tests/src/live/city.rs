//! Pods of a running cluster as ends of probes, and everybody asking everybody.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use k8s_openapi::api::core::v1 as core;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, ListParams};
use kube::{Client, ResourceExt};
use nlink::netlink::namespace::Netns;
use palisade_policy::evaluate::evaluate;
use palisade_policy::model::{Packet, Protocol, Transport, Verdict};

use super::node::NodeEnd;
use super::objects::{Objects, until};
use super::sandbox;
use crate::cluster::Cluster;
use crate::probe::{Host, Listen, Observation, Probe, Prober};

/// How long a pod may take to run. Images are on the nodes, but a storm of pods takes its time.
const STARTED: Duration = Duration::from_mins(2);

/// How long a change may take to reach every kernel before a test gives up.
const CONVERGED: Duration = Duration::from_secs(15);

/// How often a node is asked for a namespace that is about to be there.
const EYEBLINK: Duration = Duration::from_millis(2);

/// A cluster whose pods listen and ask.
pub struct City {
    objects: Objects,
    prober: Prober,
    listen: Listen,
    nodes: Vec<NodeEnd>,
    outside: Host,
}

/// A running pod.
#[derive(Clone, Debug)]
pub struct PodEnd {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its UID.
    pub uid: String,
    /// The node that it runs on.
    pub node: String,
    /// Its network namespace, with its addresses.
    pub host: Host,
}

impl City {
    /// Opens a cluster; whoever is made known listens on `ports`.
    ///
    /// The network namespace of this process is the control plane's, and stands for a client outside of the cluster.
    pub async fn open(
        cluster: &Cluster,
        client: Client,
        ports: impl IntoIterator<Item = u16>,
    ) -> Result<Self> {
        let objects = Objects::new(client);
        let own = Netns::from_path("/proc/self/ns/net").context("opening the own network namespace")?;
        let outside = Host::new("outside", Arc::new(own), cluster.plan().control());
        let mut ends = Vec::new();
        for machine in cluster.nodes()? {
            let addresses = node_addresses(&objects, machine.name()).await?;
            ends.push(NodeEnd::open(machine, addresses)?);
        }
        ensure!(!ends.is_empty(), "a cluster without nodes");
        let listen = Listen::on(ports);
        let hosts = ends.iter().map(|node| node.host.clone()).chain([outside.clone()]);
        let prober = Prober::start(hosts, &listen).context("starting the responders")?;
        Ok(Self {
            objects,
            prober,
            listen,
            nodes: ends,
            outside,
        })
    }

    /// Its objects.
    pub fn objects(&self) -> &Objects {
        &self.objects
    }

    /// The prober.
    pub fn prober(&self) -> &Prober {
        &self.prober
    }

    /// Its nodes.
    pub fn nodes(&self) -> &[NodeEnd] {
        &self.nodes
    }

    /// A client that is neither a node nor a pod.
    pub fn outside(&self) -> &Host {
        &self.outside
    }

    /// Applies a pod and waits until it runs and listens.
    pub async fn start(&self, namespace: &str, manifest: serde_json::Value) -> Result<PodEnd> {
        let pod: Pod = self.objects.apply(namespace, manifest).await?;
        self.meet(namespace, &pod.name_any()).await
    }

    /// Waits until a pod runs, and lets it listen. A pod on its node's network is met by its node.
    pub async fn meet(&self, namespace: &str, name: &str) -> Result<PodEnd> {
        let pod = self
            .objects
            .await_object::<Pod>(namespace, name, STARTED, |pod| {
                !addresses(pod).is_empty() && is_running(pod)
            })
            .await?;
        let addresses = addresses(&pod);
        let uid = pod.uid().context("a pod without a UID")?;
        let spec = pod.spec.context("a pod without a specification")?;
        let node = spec.node_name.clone().context("a pod without a node")?;
        let end = self.node(&node)?;
        let host = if spec.host_network == Some(true) {
            end.host.clone()
        } else {
            let netns = until(STARTED, "a network namespace", async || {
                Ok(sandbox::open(&end.machine, &uid).ok())
            })
            .await?;
            // The same name may be another pod's next time.
            let host = Host::new(format!("{namespace}/{name}"), Arc::new(netns), addresses);
            self.prober.add(&host, &self.listen)?;
            host
        };
        Ok(PodEnd {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            uid,
            node,
            host,
        })
    }

    /// Lets a pod listen as soon as its network namespace has addresses, before it runs. Its node must be known.
    pub async fn attend(&self, pod: &Pod) -> Result<PodEnd> {
        let uid = pod.uid().context("a pod without a UID")?;
        let (namespace, name) = (pod.namespace().unwrap_or_default(), pod.name_any());
        let node = pod.spec.as_ref().and_then(|spec| spec.node_name.clone());
        let node = node.context("a pod without a node")?;
        let machine = &self.node(&node)?.machine;
        let deadline = Instant::now() + STARTED;
        // Not a moment is to be missed.
        let (netns, addresses) = loop {
            match sandbox::open_with_addresses(machine, &uid) {
                Ok(found) => break found,
                Err(error) if Instant::now() > deadline => return Err(error),
                Err(_) => tokio::time::sleep(EYEBLINK).await,
            }
        };
        let host = Host::new(format!("{namespace}/{name}"), Arc::new(netns), addresses);
        self.prober.add(&host, &self.listen)?;
        Ok(PodEnd {
            namespace,
            name,
            uid,
            node,
            host,
        })
    }

    /// Lets go of a pod that is about to end, or has ended.
    pub async fn leave(&self, pod: &PodEnd) {
        // That of its node stays for others.
        if pod.host.name() != pod.node {
            self.prober.remove(&pod.host).await;
        }
    }

    /// The node with this name.
    pub fn node(&self, name: &str) -> Result<&NodeEnd> {
        let node = self.nodes.iter().find(|node| node.name() == name);
        node.with_context(|| format!("no node {name}"))
    }

    /// What the oracle says of probes to addresses of pods and others (not of services), by the objects as they are now.
    pub async fn expected(&self, probes: &[Probe]) -> Result<Vec<Verdict>> {
        let state = self.objects.state().await?;
        let verdict = |probe: &Probe| {
            let own = probe.from.host().addresses();
            let source = probe.from.source();
            let source = source.or_else(|| {
                own.iter()
                    .copied()
                    .find(|own| own.is_ipv4() == probe.to.is_ipv4())
            });
            let packet = Packet {
                source: source.with_context(|| format!("{probe} from no address"))?,
                destination: probe.to,
                transport: probe.transport,
            };
            Ok(evaluate(&state, &packet).verdict)
        };
        probes.iter().map(verdict).collect()
    }

    /// Sends probes until all of them are what the oracle says, at most for a while. Returns how long that took.
    pub async fn converge(&self, probes: &[Probe], when: &str) -> Result<Duration> {
        let expected = self.expected(probes).await?;
        self.converge_to(probes, &expected, when).await
    }

    /// The same with an expectation for each.
    pub async fn converge_to(&self, probes: &[Probe], expected: &[Verdict], when: &str) -> Result<Duration> {
        let begin = Instant::now();
        loop {
            let seen = self.prober.observe(probes, expected).await?;
            let wrong = complaints(probes, expected, &seen);
            if wrong.is_empty() {
                return Ok(begin.elapsed());
            }
            if begin.elapsed() > CONVERGED {
                bail!(
                    "{when}: {} of {} probes\n{}",
                    wrong.len(),
                    probes.len(),
                    wrong.join("\n")
                );
            }
        }
    }

    /// Sends probes once and compares them with what is expected.
    pub async fn check(&self, probes: &[Probe], expected: &[Verdict], when: &str) -> Result<()> {
        let seen = self.prober.observe(probes, expected).await?;
        let wrong = complaints(probes, expected, &seen);
        ensure!(
            wrong.is_empty(),
            "{when}: {} of {} probes\n{}",
            wrong.len(),
            probes.len(),
            wrong.join("\n")
        );
        Ok(())
    }
}

/// Everybody of some asks everybody of others by TCP and UDP on `port`, in each family that both have.
pub fn between(some: &[&Host], others: &[&Host], port: u16) -> Vec<Probe> {
    let mut probes = Vec::new();
    for from in some {
        for to in others {
            if from.name() == to.name() {
                continue;
            }
            for address in to.addresses() {
                if from
                    .addresses()
                    .iter()
                    .any(|own| own.is_ipv4() == address.is_ipv4())
                {
                    let transports =
                        [Protocol::Tcp, Protocol::Udp].map(|protocol| Transport::Port(protocol, port));
                    probes.extend(transports.map(|transport| ask(from, *address, transport)));
                }
            }
        }
    }
    probes
}

/// A probe from a host to an address.
pub fn ask(from: &Host, to: IpAddr, transport: Transport) -> Probe {
    Probe {
        from: from.endpoint(),
        to,
        transport,
    }
}

fn complaints(probes: &[Probe], expected: &[Verdict], seen: &[Observation]) -> Vec<String> {
    let all = probes.iter().zip(expected).zip(seen);
    all.filter(|((_, expected), seen)| !seen.agrees(**expected))
        .map(|((probe, expected), seen)| format!("{probe}: expected {expected}, {seen}"))
        .collect()
}

fn addresses(pod: &Pod) -> Vec<IpAddr> {
    let ips = pod
        .status
        .iter()
        .flat_map(|status| status.pod_ips.iter().flatten());
    ips.filter_map(|ip| ip.ip.parse().ok()).collect()
}

fn is_running(pod: &Pod) -> bool {
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    phase == Some("Running") && pod.metadata.deletion_timestamp.is_none()
}

async fn node_addresses(objects: &Objects, name: &str) -> Result<Vec<IpAddr>> {
    let api = Api::<core::Node>::all(objects.client().clone());
    let nodes = api
        .list(&ListParams::default().fields(&format!("metadata.name={name}")))
        .await?;
    let node = nodes
        .items
        .into_iter()
        .next()
        .with_context(|| format!("no node {name}"))?;
    let addresses = node
        .status
        .and_then(|status| status.addresses)
        .unwrap_or_default();
    let internal = addresses
        .into_iter()
        .filter(|address| address.type_ == "InternalIP");
    Ok(internal
        .filter_map(|address| address.address.parse().ok())
        .collect())
}
