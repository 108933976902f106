//! W8 as a whole: the real controller, from its listings to its writes, against an API server that only counts.
//!
//! What nodes would hear follows from what is written and from what each of them subscribes to: its own rule set, the policies
//! of its pods' namespaces, the groups of those that select its pods. What an API server would take follows from the units
//! that were measured on a real one.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use palisade_crds::{AddressGroup, GROUP_LABEL, NAMESPACE_LABEL, NodeRuleSet, PodSlice, PolicySlice};
use palisade_policy::cluster::{ClusterState, Event};
use palisade_policy::compile::{Published, compile};
use palisade_policy::model::{Pod, PodUid};
use palisade_policy::rules::{NodeHead, PodSlice as Pods, PolicySlice as Policies, Residents, Slice};
use palisade_policy::testing::workloads::{Dice, Workload};
use serde::de::DeserializeOwned;

use super::controller::Controller;
use crate::figure::{Figure, Part, Spread, Unit};
use crate::stub::{Server, Written, objects};

pub(crate) const CASES: [&str; 1] = ["W8"];

/// The longest that anything may take.
const PATIENCE: Duration = Duration::from_mins(3);

/// Without a write for so long, there is nothing more to write: all pauses of the controller are shorter.
const QUIET: Duration = Duration::from_secs(2);

/// Changes of pods in a second: one that goes is a change, and one that comes is another.
const RATES: [u32; 2] = [10, 100];

/// Seconds of each rate.
const CHURN: u32 = 15;

/// Replicas of the controller, which watch everything that is published.
const REPLICAS: usize = 2;

/// Seconds of an API server for each KB of an object that it writes. This and the other units come from the bench `publish`, at ten
/// changes a second.
const WRITE: f64 = 2.33e-3;

/// The same for each object that a watch is told of.
const DELIVERY: f64 = 22e-6;

/// The same for each object that a watch of slices leaves out, as its selector asks for others.
const LOOK: f64 = 6.6e-6;

/// Deliveries in a second, and processors of an API server, at ten changes a second.
const TARGETS: [f64; 2] = [5_000.0, 1.0];

/// Bytes of an object: in the middle, and at the most.
const SIZES: [f64; 2] = [10e3, 100e3];

pub(crate) fn measure(case: &str) -> Result<Vec<Figure>> {
    let workload = Workload::named(case).context("no such workload")?;
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("cannot start a runtime")?
        .block_on(simulate(workload))
}

async fn simulate(workload: Workload) -> Result<Vec<Figure>> {
    let mut world = World::new((workload.objects)());
    let mut figures = Vec::new();
    let began = Instant::now();
    let controller = Controller::start(world.server.client(), "first");
    world
        .settle(|world| world.nodes_told() == world.state.nodes().len())
        .await?;
    let took = began.elapsed().saturating_sub(QUIET);
    let written = world.server.store().take_written();
    world.verify()?;
    figures.push(Figure::times("from nothing to all published", [took]));
    figures.extend(sizes(&written));
    controller.stop().await?;

    let controller = Controller::start(world.server.client(), "second");
    world.settle(|world| world.is_led_by("second")).await?;
    let again = ours(&world.server.store().take_written()).count();
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    figures.push(Figure::counts("written by a successor", [again as f64]).at_most(Part::Max, 0.0));

    let subscribers = Subscribers::of(&compile(&world.state));
    for rate in RATES {
        let began = Instant::now();
        for nth in 1..=rate * CHURN / 2 {
            world.replace()?;
            tokio::time::sleep_until((began + Duration::from_secs(2) * nth / rate).into()).await;
        }
        let seconds = began.elapsed().as_secs_f64();
        world.settle(|_| true).await?;
        let written = world.server.store().take_written();
        figures.extend(churn(rate, seconds, &written, &subscribers));
        world.verify()?;
    }
    controller.stop().await?;
    Ok(figures)
}

/// The cluster, as it should be and as the server has it.
struct World {
    server: Server,
    state: ClusterState,
    pods: Vec<Pod>,
    dice: Dice,
    born: u32,
}

impl World {
    fn new(events: Vec<Event>) -> Self {
        let (server, nothing) = (Server::default(), ClusterState::default());
        for event in &events {
            objects::apply(&mut server.store(), event, &nothing);
        }
        let state = ClusterState::from_events(events);
        Self {
            server,
            pods: state.pods().values().cloned().collect(),
            state,
            dice: Dice::new(8),
            born: 0,
        }
    }

    /// A pod goes, and one like it comes to its place.
    fn replace(&mut self) -> Result<()> {
        let at = self.dice.below(self.pods.len());
        let old = self.pods.get_mut(at).context("no pods")?;
        self.born += 1;
        let gone = Event::PodDeleted(old.uid.clone());
        old.uid = PodUid::from(format!("born-{}", self.born));
        old.key.name = format!("{}-{}", old.key.name, self.born).into();
        old.created = 1_767_225_600;
        let come = Event::PodApplied(old.clone());
        for event in [gone, come] {
            objects::apply(&mut self.server.store(), &event, &self.state);
            self.state.apply(event);
        }
        Ok(())
    }

    fn nodes_told(&self) -> usize {
        self.server.store().objects("noderulesets").count()
    }

    fn is_led_by(&self, identity: &str) -> bool {
        let store = self.server.store();
        let mut leases = store.objects("leases");
        leases.any(|lease| {
            String::from_utf8_lossy(lease).contains(&format!("\"holderIdentity\":\"{identity}\""))
        })
    }

    /// Waits until something is so, and nothing has been written for a while.
    async fn settle(&self, so: impl Fn(&Self) -> bool) -> Result<()> {
        let began = Instant::now();
        let (mut known, mut since) = (usize::MAX, Instant::now());
        while began.elapsed() < PATIENCE {
            let written = self.server.store().written_of_ours();
            if written != known || !so(self) {
                (known, since) = (written, Instant::now());
            } else if since.elapsed() >= QUIET {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        bail!("not settled after {PATIENCE:?}");
    }

    /// Holds what is stored to what the state compiles to.
    fn verify(&self) -> Result<()> {
        let expected = compile(&self.state);
        let store = self.server.store();
        let documents: Vec<PodSlice> = read(store.objects("podslices"))?;
        let mut pods: BTreeMap<_, Vec<Pods>> = BTreeMap::new();
        for document in &documents {
            let slice = Pods::try_from(document).context("a slice of pods")?;
            pods.entry(slice.node.clone()).or_default().push(slice);
        }
        let documents: Vec<NodeRuleSet> = read(store.objects("noderulesets"))?;
        let mut nodes = BTreeMap::new();
        for document in &documents {
            let head = NodeHead::try_from(document).context("a node's rule set")?;
            let slices = pods.remove(&head.pods.node).unwrap_or_default();
            let residents = Residents::unite(&head, &slices);
            nodes.insert(residents.node.clone(), Arc::new(residents));
        }
        ensure!(pods.is_empty(), "slices of pods that are on no node");
        ensure!(nodes == expected.nodes, "the nodes' pods differ");
        let documents: Vec<PolicySlice> = read(store.objects("policyslices"))?;
        let mut policies: BTreeMap<_, BTreeMap<_, _>> = BTreeMap::new();
        for document in &documents {
            let slice = Policies::try_from(document).context("a slice of policies")?;
            policies
                .entry(slice.namespace.clone())
                .or_default()
                .insert(slice.id, slice);
        }
        ensure!(policies == expected.policies, "the policies differ");
        let documents: Vec<AddressGroup> = read(store.objects("addressgroups"))?;
        let mut groups = BTreeMap::new();
        for document in &documents {
            let slice = Slice::try_from(document).context("a slice of a group")?;
            groups.insert((slice.group, slice.id), slice);
        }
        ensure!(groups == expected.slices(), "the groups differ");
        Ok(())
    }
}

fn read<'a, D: DeserializeOwned>(objects: impl Iterator<Item = &'a bytes::Bytes>) -> Result<Vec<D>> {
    objects
        .map(|object| serde_json::from_slice(object).context("what is stored cannot be read"))
        .collect()
}

/// How many nodes hear of what.
struct Subscribers {
    groups: HashMap<String, usize>,
    namespaces: HashMap<String, usize>,
    nodes: usize,
}

impl Subscribers {
    fn of(published: &Published) -> Self {
        let mut subscribers = Self {
            groups: HashMap::new(),
            namespaces: HashMap::new(),
            nodes: published.nodes.len(),
        };
        for (name, residents) in &published.nodes {
            for namespace in &residents.namespaces {
                *subscribers.namespaces.entry(namespace.to_string()).or_default() += 1;
            }
            for group in published.rules(name).iter().flat_map(|rules| &rules.groups) {
                *subscribers.groups.entry(group.to_string()).or_default() += 1;
            }
        }
        subscribers
    }

    /// How many hear of a write: by subscription, and if every node watched all slices.
    fn hear(&self, written: &Written) -> (usize, usize) {
        let of = |counts: &HashMap<String, usize>, label: &str| {
            let label = written.labels.get(label);
            label
                .and_then(|label| counts.get(label))
                .copied()
                .unwrap_or_default()
        };
        let (by_label, all) = match written.resource.as_str() {
            "addressgroups" => (of(&self.groups, GROUP_LABEL), self.nodes),
            "policyslices" => (of(&self.namespaces, NAMESPACE_LABEL), self.nodes),
            _ => (1, 1),
        };
        (by_label + REPLICAS, all + REPLICAS)
    }
}

/// Writes of what we publish.
fn ours(written: &[Written]) -> impl Iterator<Item = &Written> {
    let ours = ["addressgroups", "policyslices", "podslices", "noderulesets"];
    written
        .iter()
        .filter(move |written| ours.contains(&written.resource.as_str()))
}

#[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
fn sizes(written: &[Written]) -> Vec<Figure> {
    let mut figures = vec![Figure::counts(
        "objects published",
        [ours(written).count() as f64],
    )];
    for resource in ["addressgroups", "policyslices", "podslices", "noderulesets"] {
        let of_kind = ours(written).filter(|written| written.resource == resource);
        let spread = Spread::of(of_kind.map(|written| written.bytes as f64));
        let figure = Figure::new(&format!("size of {resource}"), Unit::Bytes, spread);
        let [half, most] = SIZES;
        figures.push(if spread.max / most > spread.p50 / half {
            figure.at_most(Part::Max, most)
        } else {
            figure.at_most(Part::P50, half)
        });
    }
    figures
}

#[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
fn churn(rate: u32, seconds: f64, written: &[Written], subscribers: &Subscribers) -> Vec<Figure> {
    let (mut bytes, mut cost) = (0, 0.0);
    let (mut delivered, mut to_all) = (0, 0);
    for write in ours(written) {
        let (by_label, all) = subscribers.hear(write);
        cost += write.bytes as f64 / 1024.0 * WRITE;
        // A rule set is watched by its name, which an API server looks up.
        cost += by_label as f64 * DELIVERY + (all - by_label) as f64 * LOOK;
        bytes += write.bytes;
        delivered += by_label;
        to_all += all;
    }
    let each_second = |what: &str, count: f64| {
        let spread = Spread::of([count / seconds]);
        Figure::new(
            &format!("{what}, {rate} changes a second"),
            Unit::PerSecond,
            spread,
        )
    };
    let [deliveries, processors] = TARGETS.map(|target| (rate == 10).then_some(target));
    vec![
        each_second("writes", ours(written).count() as f64),
        each_second("bytes written", bytes as f64),
        each_second("deliveries by label", delivered as f64).at_most(Part::Max, deliveries),
        each_second("deliveries if all watched all", to_all as f64),
        Figure::counts(
            &format!("processors of an API server, {rate} changes a second"),
            [cost / seconds],
        )
        .at_most(Part::Max, processors),
    ]
}
