//! A node with many pods and policies, whose enforcer follows an API server.
//!
//! ```text
//!   events ─► compiler ─► documents ─► stub of an API server ── HTTP, in the node's namespace ──► enforcer ─► kernel
//! ```
//! The compiler, the enforcer and the kernel are the real ones. The stub takes no time, so that what is measured is the node's. A
//! second node, without rules, has the pod that asks.

mod tenants;

use std::collections::BTreeMap;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};
use palisade_crds::{AddressGroup, NodeRuleSet, PodSlice, PolicySlice};
use palisade_policy::cluster::Event;
use palisade_policy::compile::{Changes, Compiler};
use palisade_policy::model::{Pod, PodUid, Protocol, Transport};
use palisade_policy::rules::NodeId;
use palisade_tests::bed::{Bed, BedSpec, NodeBed, Slot, Topology};
use palisade_tests::probe::{Flow, Listen, Probe, Prober, Stream};
use palisade_tests::stage::{Enforcer, Status};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use serde::Serialize;
use tokio::task::JoinHandle;

use super::addresses::{PLANNED, beyond_the_plan};
use super::asked::{allowed, ask};
use crate::stub::Server;
pub(super) use tenants::{CLOSED, PORT, Tenants, client, edited, invitation, tenant};

/// How long a change may take on a busy machine.
const PATIENCE: Duration = Duration::from_mins(2);

/// Between two requests of a stream.
const INTERVAL: Duration = Duration::from_millis(1);

/// A pod that comes and goes.
pub(super) const NEWCOMER: &str = "newcomer";

/// The node that is measured, and the one of the client.
const NODE: usize = 0;
const FAR: usize = 1;

/// The bed with its enforcer, its API server and its state.
pub(super) struct House {
    /// First, so that it ends before the bed's directory goes.
    enforcer: Enforcer,
    prober: Prober,
    bed: Bed,
    serving: JoinHandle<std::io::Result<()>>,
    server: Server,
    compiler: Compiler,
    revision: u64,
    /// The slots of the pods that stay.
    pods: BTreeMap<PodUid, Slot>,
    /// That of the newcomer, whose network is there all the time.
    spare: Slot,
    asker: Slot,
}

impl House {
    /// Starts the node and brings everything into its kernel.
    pub(super) async fn start(tenants: Tenants) -> Result<Self> {
        let spec = BedSpec {
            topology: Topology::Routed,
            nodes: 2,
            slots_per_node: 2,
        };
        let mut bed = Bed::start(spec).await.context("starting the bed")?;
        let wanted = tenants.placed * tenants.replicas + 1;
        for serial in 2..wanted.max(2) {
            let addresses = (serial >= PLANNED).then(|| beyond_the_plan(NODE, serial));
            bed.add_slot(NODE, addresses.transpose()?).await?;
        }
        let near = node(&bed, NODE)?;
        let mut slots: Vec<Slot> = near.slots().to_vec();
        let asker = node(&bed, FAR)?.slots().first().cloned().context("no slot")?;
        // Not all listen: some hundred hosts would keep the prober busy.
        let hosts = slots.iter().take(12).chain([&asker]).map(Slot::host);
        let prober = Prober::start(hosts, &Listen::on([PORT, CLOSED]))?;
        let spare = slots.remove(1);
        let server = Server::default();
        let listener = listen(near)?;
        let kubeconfig = kubeconfig(bed.directory(), listener.local_addr()?)?;
        let listener = tokio::net::TcpListener::from_std(listener)?;
        let serving = tokio::spawn(server.clone().serve(listener));
        let enforcer = Enforcer::follow(near, Topology::Routed, &kubeconfig)?;
        let mut house = Self {
            enforcer,
            prober,
            bed,
            serving,
            server,
            compiler: Compiler::default(),
            revision: 0,
            pods: BTreeMap::new(),
            spare,
            asker,
        };
        house.settle(tenants, slots)?;
        let status = house
            .until("the first rules", |status| {
                status.unplaced.len() == tenants.unplaced()
            })
            .await?;
        eprintln!("  {}", status.sizes);
        Ok(house)
    }

    fn settle(&mut self, tenants: Tenants, slots: Vec<Slot>) -> Result<()> {
        let mut events: Vec<Event> = self
            .bed
            .nodes()
            .iter()
            .map(|node| Event::NodeApplied(node.described()))
            .collect();
        events.extend(tenants.world());
        let mut slots = slots.into_iter();
        for app in 0..tenants.apps {
            for replica in 0..tenants.replicas {
                let slot = if app < tenants.placed { slots.next() } else { None };
                events.push(self.arrival(app, &format!("pod-{replica}"), slot)?);
            }
        }
        events.push(self.asking("none")?);
        let newcomer = tenant(0, NEWCOMER, "");
        self.bed.assign(&self.spare, &newcomer.key, &newcomer.uid)?;
        for event in events {
            self.compiler.apply(event);
        }
        self.publish()
    }

    /// A pod of an app, in a slot or not known to the node.
    fn arrival(&mut self, app: usize, name: &str, slot: Option<Slot>) -> Result<Event> {
        let mut pod = tenant(app, name, node(&self.bed, NODE)?.name());
        if let Some(slot) = slot {
            pod.addresses = slot.addresses().to_vec();
            self.bed.assign(&slot, &pod.key, &pod.uid)?;
            self.pods.insert(pod.uid.clone(), slot);
        }
        Ok(Event::PodApplied(pod))
    }

    /// The pod that asks, in a group.
    pub(super) fn asking(&self, group: &str) -> Result<Event> {
        let pod = client(node(&self.bed, FAR)?.name(), group);
        Ok(Event::PodApplied(Pod {
            addresses: self.asker.addresses().to_vec(),
            ..pod
        }))
    }

    /// A further pod of the first app.
    pub(super) fn newcomer(&self) -> Result<Event> {
        let mut pod = tenant(0, NEWCOMER, node(&self.bed, NODE)?.name());
        pod.addresses = self.spare.addresses().to_vec();
        Ok(Event::PodApplied(pod))
    }

    /// Something happens: the API server has it when this returns.
    pub(super) fn happen(&mut self, event: Event) -> Result<()> {
        self.compiler.apply(event);
        self.publish()
    }

    /// Something happens that concerns the node: its kernel has it when this returns.
    pub(super) async fn enact(&mut self, event: Event) -> Result<Status> {
        let before = self.status()?.as_ref().map_or(0, count);
        self.happen(event)?;
        self.until("the event", |status| count(status) > before).await
    }

    fn publish(&mut self) -> Result<()> {
        let Changes {
            slices,
            policies,
            pods,
            nodes,
        } = self.compiler.flush();
        self.revision += 1;
        let mut store = self.server.store();
        let mut change = |resource: &str, name: String, document: Option<serde_json::Value>| {
            let key = (String::new(), name);
            match document {
                Some(document) => drop(store.put(resource, key, document)),
                None => drop(store.delete(resource, &key)),
            }
        };
        for ((group, id), slice) in slices {
            let scope = self.compiler.scope(&group);
            let document = slice
                .zip(scope)
                .map(|(slice, scope)| AddressGroup::publish(&slice, scope, self.revision));
            change(
                "addressgroups",
                AddressGroup::name_of(&group, id),
                json(document)?,
            );
        }
        for ((namespace, id), slice) in policies {
            let document = slice.map(|slice| PolicySlice::publish(&slice, self.revision));
            change(
                "policyslices",
                PolicySlice::name_of(&namespace, id),
                json(document)?,
            );
        }
        for ((node, id), slice) in pods {
            let document = slice.map(|slice| PodSlice::publish(&slice, self.revision));
            let name = PodSlice::name_of(&NodeId::of(&node), id);
            change("podslices", name, json(document)?);
        }
        for (name, head) in nodes {
            let document = head.map(|head| NodeRuleSet::publish(&head, self.revision));
            change("noderulesets", name.to_string(), json(document)?);
        }
        Ok(())
    }

    /// The enforcer's last status.
    pub(super) fn status(&self) -> Result<Option<Status>> {
        self.enforcer.status()
    }

    /// Waits until the enforcer enforces everything it knows of, and something holds of its status.
    pub(super) async fn until(&mut self, what: &str, holds: impl Fn(&Status) -> bool) -> Result<Status> {
        let ready = |status: &Status| status.ready && holds(status);
        self.enforcer
            .until(PATIENCE, ready)
            .await
            .with_context(|| what.to_owned())
    }

    /// Ends the enforcer's process; its tables stay.
    pub(super) async fn close(&mut self) -> Result<()> {
        self.enforcer.stop().await
    }

    /// Starts it again.
    pub(super) fn open(&mut self) -> Result<()> {
        self.enforcer.restart(node(&self.bed, NODE)?)
    }

    /// Deletes the enforcer's tables, as a reboot would.
    pub(super) async fn wipe(&self) -> Result<()> {
        let script = "delete table inet palisade\ndelete table netdev palisade\n";
        node(&self.bed, NODE)?.nft(script).await
    }

    /// The enforcer's process.
    pub(super) fn process(&self) -> Result<u32> {
        self.enforcer.id().context("no enforcer runs")
    }

    /// Requests of the client to a pod of the first app, a millisecond apart, each a new flow.
    pub(super) fn stream(&self, to: &str) -> Result<Stream> {
        self.prober.stream(&self.probe(to, PORT)?, INTERVAL, Flow::Fresh)
    }

    /// The client's address as a block.
    pub(super) fn asker(&self) -> String {
        format!("{}/32", self.asker.v4())
    }

    fn probe(&self, to: &str, port: u16) -> Result<Probe> {
        let slot = match to {
            NEWCOMER => &self.spare,
            _ => self
                .pods
                .get(&tenant(0, to, "").uid)
                .context("nobody is called so")?,
        };
        Ok(Probe {
            from: self.asker.host().endpoint(),
            to: slot.v4(),
            transport: Transport::Port(Protocol::Udp, port),
        })
    }

    /// The client asks whoever listens, in a group that may and in one that may not, and what comes of it is what the oracle
    /// says.
    pub(super) async fn verify(&mut self) -> Result<()> {
        let mut seen = (0, 0);
        for group in ["door", "none"] {
            self.enact(self.asking(group)?).await?;
            let listening = self.bed.slots().take(12);
            let listening =
                listening.filter(|slot| self.pods.values().any(|other| other.name() == slot.name()));
            let mut questions = Vec::new();
            for slot in listening {
                for port in [PORT, CLOSED] {
                    for (source, to) in self.asker.addresses().into_iter().zip(slot.addresses()) {
                        let from = self.asker.host().endpoint();
                        let transport = Transport::Port(Protocol::Udp, port);
                        questions.push((source, Probe { from, to, transport }));
                    }
                }
            }
            let answers = ask(&self.prober, self.compiler.state(), questions).await?;
            for answer in &answers {
                ensure!(answer.is_right(), "{answer}");
            }
            seen = (seen.0 + answers.len(), seen.1 + allowed(&answers));
        }
        ensure!(seen.1 > 0 && seen.1 < seen.0, "all probes have one verdict");
        eprintln!(
            "  {} probes as the oracle says, {} of them allowed",
            seen.0, seen.1
        );
        Ok(())
    }

    /// Ends everything and removes what was made.
    pub(super) async fn stop(mut self) -> Result<()> {
        self.enforcer.stop().await?;
        self.serving.abort();
        drop(self.prober);
        self.bed.stop().await
    }
}

/// How many changes an enforcer has written.
pub(super) fn count(status: &Status) -> u64 {
    status
        .applied
        .get("count")
        .and_then(serde_json::Value::as_u64)
        .unwrap_or_default()
}

/// A part of what the last change took.
pub(super) fn took(status: &Status, part: &str) -> Result<Duration> {
    let microseconds = status
        .applied
        .get("microseconds")
        .and_then(|all| all.get(part)?.as_u64());
    microseconds
        .map(Duration::from_micros)
        .context("the status has no times")
}

impl Tenants {
    fn unplaced(self) -> usize {
        (self.apps - self.placed) * self.replicas
    }
}

fn node(bed: &Bed, position: usize) -> Result<&NodeBed> {
    bed.nodes().get(position).context("no such node")
}

fn json(document: Option<impl Serialize>) -> Result<Option<serde_json::Value>> {
    document
        .map(serde_json::to_value)
        .transpose()
        .context("a document")
}

/// A socket in a node's namespace. A thread that has entered one does not come back.
fn listen(node: &NodeBed) -> Result<std::net::TcpListener> {
    let netns = Arc::clone(node.netns());
    let thread = std::thread::spawn(move || -> Result<_> {
        move_into_link_name_space(netns.as_fd(), Some(LinkNameSpaceType::Network))?;
        let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
        listener.set_nonblocking(true)?;
        Ok(listener)
    });
    thread
        .join()
        .map_err(|_| anyhow!("the thread panicked"))?
        .context("listening on the node")
}

fn kubeconfig(directory: &Path, address: std::net::SocketAddr) -> Result<PathBuf> {
    let config = serde_json::json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "stub",
        "clusters": [{ "name": "stub", "cluster": { "server": format!("http://{address}") } }],
        "users": [{ "name": "stub", "user": {} }],
        "contexts": [{ "name": "stub", "context": { "cluster": "stub", "user": "stub" } }],
    });
    let path = directory.join("kubeconfig");
    std::fs::write(&path, config.to_string())?;
    Ok(path)
}

/// When an event that has just happened was, and what the stream saw of it.
pub(super) async fn seen(stream: Stream, begin: Instant) -> Result<(Option<Duration>, Option<Duration>)> {
    let report = tokio::task::spawn_blocking(move || stream.stop()).await??;
    let since = |moment: Option<Instant>| moment.map(|moment| moment.saturating_duration_since(begin));
    Ok((since(report.first_answered), since(report.last_answered)))
}
