//! B4: a real API server and etcd, the real controller, and nodes that watch.
//!
//! W8 at a tenth: 500 nodes, 15,000 pods, 1,000 policies. The nodes are in this process and do what an enforcer does up to the
//! complete rule set. Pods go and come; what the API server's processors take for it is the kernel's count for that process. The
//! same changes before there is a controller tell what of that is the pods' own, those before there are nodes what a write costs.

mod everything;
mod stubs;
mod wire;
mod world;

use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use kube::Config;
use kube::config::{KubeConfigOptions, Kubeconfig};
use palisade_enforcer::source::client_with;
use palisade_policy::testing::workloads::wide_groups;
use palisade_tests::cluster::{Alone, Certified, Layout};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::bench::controller::Controller;
use crate::figure::{Figure, Part, Spread, Unit};
use crate::machine;
use everything::{PUBLISHED, SLICES, Watchers};
use stubs::{AT_A_TIME, Stubs};
use wire::{Counts, Traffic};
use world::World;

pub(crate) const CASES: [&str; 1] = ["W8-tenth"];

/// Namespaces of 300 pods and twenty policies, and ten nodes for each.
const NAMESPACES: u32 = 50;

/// Changes of pods in a second: one that goes is a change, and one that comes is another.
const RATES: [u32; 2] = [10, 100];

/// Seconds of each rate.
const CHURN: u32 = 20;

/// The same for what is only subtracted.
const REFERENCE: (u32, u32) = (100, 10);

/// Deliveries in a second, and processors of an API server, at ten changes a second.
const TARGETS: [f64; 2] = [5_000.0, 1.0];

/// Who the controller and whoever makes pods are; nobody who waits in the API server's queues.
const ADMIN: &str = "/O=system:masters/CN=admin";

/// Who the nodes are.
const ENFORCER: &str = "/O=system:serviceaccounts/O=system:serviceaccounts:palisade-system\
                        /CN=system:serviceaccount:palisade-system:palisade-enforcer";

pub(crate) fn measure(_case: &str) -> Result<Vec<Figure>> {
    let starting = tokio::runtime::Runtime::new().context("starting a runtime")?;
    let (server, admin, enforcer) = starting.block_on(async {
        let server = Alone::start(&Layout::of_checkout())
            .await
            .context("starting an API server; `make bench-publish` builds it")?;
        let admin = server.certify("admin", ADMIN).await?;
        let enforcer = server.certify("enforcer", ENFORCER).await?;
        anyhow::Ok((server, admin, enforcer))
    })?;
    let netns = Arc::clone(server.netns());
    let process = server.server().id();
    // A thread that moves to a namespace starts its threads there.
    let inside = std::thread::spawn(move || {
        move_into_link_name_space(netns.as_fd(), Some(LinkNameSpaceType::Network))
            .context("entering a namespace")?;
        let runtime = tokio::runtime::Runtime::new().context("starting a runtime")?;
        runtime.block_on(publish(process, &admin, &enforcer))
    });
    let figures = inside.join().map_err(|_| anyhow!("a bench has panicked"))?;
    let log = server.server().log();
    let told = figures.with_context(|| last_lines(&log))?;
    starting.block_on(server.stop())?;
    Ok(told)
}

async fn publish(process: u32, admin: &Certified, enforcer: &Certified) -> Result<Vec<Figure>> {
    let (admin, enforcer) = (config(admin).await?, config(enforcer).await?);
    let client = client_with(&admin)?;
    let mut world = World::create(client.clone(), wide_groups(NAMESPACES)).await?;
    let a_change = reference(process, &mut world).await?;
    let counter = Watchers::start(&admin, 1, &PUBLISHED, &world.changes).await?;
    let controller = Controller::start(client, "bench");
    let mut bed = Bed {
        process,
        world,
        counter,
        a_change,
        a_byte: 0.0,
    };
    let mut figures = bed.without_nodes().await?;
    figures.extend(bed.by_label(&enforcer).await?);
    figures.extend(bed.all_watch_all(&enforcer).await?);
    bed.counter.stop().await;
    controller.stop().await?;
    Ok(figures)
}

/// What a change of a pod costs the API server while nobody watches.
async fn reference(process: u32, world: &mut World) -> Result<Duration> {
    let (rate, seconds) = REFERENCE;
    let meter = Meter::start(process);
    world.churn(rate, seconds).await?;
    Ok(meter.stop() / (rate * seconds))
}

/// A cluster with a controller, and what is known of its API server.
struct Bed {
    process: u32,
    world: World,
    /// Sees all that the controller writes.
    counter: Watchers,
    /// What a change of a pod costs.
    a_change: Duration,
    /// Seconds for each byte that the controller writes.
    a_byte: f64,
}

impl Bed {
    /// Finds out what it costs to write.
    async fn without_nodes(&mut self) -> Result<Vec<Figure>> {
        let nodes = u64::try_from(self.world.state.nodes().len())?;
        self.counter.quiet(nodes).await?;
        let (rate, seconds) = REFERENCE;
        let before = self.counter.traffic.counts();
        let meter = Meter::start(self.process);
        self.world.churn(rate, seconds).await?;
        self.counter.quiet(0).await?;
        let used = meter.stop().saturating_sub(self.a_change * (rate * seconds));
        let written = self.counter.traffic.counts().since(before);
        self.a_byte = used.as_secs_f64() / real(written.event_bytes.max(1));
        let a_kilobyte = Duration::from_secs_f64(self.a_byte * 1024.0);
        Ok(vec![
            Figure::times("API server, change of a pod", [self.a_change]),
            Figure::times("API server, KB written", [a_kilobyte]),
        ])
    }

    /// Nodes that begin, and subscribe to what they need.
    async fn by_label(&mut self, nodes: &Config) -> Result<Vec<Figure>> {
        let meter = Meter::start(self.process);
        let (mut stubs, times) = Stubs::start(nodes, &self.world.state, &self.world.changes).await?;
        let count = u32::try_from(self.world.state.nodes().len())?;
        let mut figures = beginning(times, meter.stop() / count, stubs.traffic.counts());
        for rate in RATES {
            let round = Round::begin(self, &stubs.traffic, "by label", rate);
            self.world.churn(rate, CHURN).await?;
            stubs.settle(&self.world.state).await?;
            figures.extend(round.end(self, &stubs.traffic, stubs.take_lags()));
        }
        stubs.stop().await;
        Ok(figures)
    }

    /// What it would be without subscriptions.
    async fn all_watch_all(&mut self, nodes: &Config) -> Result<Vec<Figure>> {
        let count = self.world.state.nodes().len();
        let mut watchers = Watchers::start(nodes, count, &SLICES, &self.world.changes).await?;
        let mut figures = Vec::new();
        for rate in RATES {
            let round = Round::begin(self, &watchers.traffic, "all watch all", rate);
            self.world.churn(rate, CHURN).await?;
            watchers.quiet(0).await?;
            figures.extend(round.end(self, &watchers.traffic, watchers.take_lags()));
        }
        watchers.stop().await;
        Ok(figures)
    }
}

/// What a process takes of processors.
struct Meter {
    process: u32,
    before: Duration,
}

impl Meter {
    fn start(process: u32) -> Self {
        let before = machine::processor_of(process);
        Self { process, before }
    }

    fn stop(self) -> Duration {
        machine::processor_of(self.process).saturating_sub(self.before)
    }
}

/// Changes of one rate.
struct Round {
    how: &'static str,
    rate: u32,
    meter: Meter,
    written: Counts,
    heard: Counts,
}

impl Round {
    fn begin(bed: &Bed, nodes: &Traffic, how: &'static str, rate: u32) -> Self {
        Self {
            how,
            rate,
            meter: Meter::start(bed.process),
            written: bed.counter.traffic.counts(),
            heard: nodes.counts(),
        }
    }

    fn end(self, bed: &Bed, nodes: &Traffic, lags: Vec<Duration>) -> Vec<Figure> {
        let Self { how, rate, .. } = self;
        let of_pods = bed.a_change * (rate * CHURN);
        let used = self.meter.stop().saturating_sub(of_pods).as_secs_f64();
        let written = bed.counter.traffic.counts().since(self.written);
        let heard = nodes.counts().since(self.heard);
        let of_deliveries = used - bed.a_byte * real(written.event_bytes);
        let a_delivery = (of_deliveries / real(heard.events.max(1))).max(0.0);

        let name = |what: &str| format!("{how}, {rate} a second: {what}");
        let each_second = |what: &str, count: u64| {
            let spread = Spread::of([real(count) / f64::from(CHURN)]);
            Figure::new(&name(what), Unit::PerSecond, spread)
        };
        let [deliveries, processors] =
            TARGETS.map(|target| (rate == 10 && how == "by label").then_some(target));
        vec![
            each_second("writes", written.events),
            each_second("bytes written", written.event_bytes),
            each_second("deliveries", heard.events).at_most(Part::Max, deliveries),
            each_second("bytes delivered", heard.event_bytes),
            Figure::counts(&name("processors of the API server"), [used / f64::from(CHURN)])
                .at_most(Part::Max, processors),
            Figure::times(
                &name("API server, a delivery"),
                [Duration::from_secs_f64(a_delivery)],
            ),
            Figure::bytes(
                &name("memory of the API server"),
                machine::resident_of(bed.process),
            ),
            Figure::times(&name("from the pod to a node"), lags),
        ]
    }
}

/// What it takes that nodes begin.
fn beginning(times: Vec<Duration>, each: Duration, heard: Counts) -> Vec<Figure> {
    let count = |what: &str, count| Figure::counts(what, [real(count)]);
    vec![
        Figure::times(
            &format!("{AT_A_TIME} nodes that begin together: to the last one"),
            times,
        ),
        Figure::times("nodes that begin: API server, each", [each]),
        count("nodes that begin: reads", heard.lists),
        Figure::bytes("nodes that begin: bytes read", real(heard.list_bytes)),
        count("nodes that begin: watches", heard.watches),
        count("nodes that begin: refused", heard.refused),
    ]
}

async fn config(certified: &Certified) -> Result<Config> {
    let file = Kubeconfig::read_from(certified.path()).context("reading a client configuration")?;
    let config = Config::from_custom_kubeconfig(file, &KubeConfigOptions::default()).await;
    config.context("a client configuration is of no use")
}

#[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
fn real(count: u64) -> f64 {
    count as f64
}

/// Where an API server says what it did not like.
fn last_lines(log: &str) -> String {
    let lines: Vec<&str> = log.lines().rev().take(5).collect();
    format!("the API server said last:\n{}", lines.join("\n"))
}
