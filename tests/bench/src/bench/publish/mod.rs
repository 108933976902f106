//! B4: a real API server and etcd, the real controller, and nodes that watch.
//!
//! W8 at a tenth: 500 nodes, 15,000 pods, 1,000 policies. The nodes are in this process and do what an enforcer does up to the
//! complete rule set. Pods go and come; what the API server's processors take for it is the kernel's count for that process. The
//! same changes before there is a controller tell what of that is the pods' own, those before there are nodes what a write costs,
//! and those beside as many watches of something else what it costs an API server to find out that a watch asks for something else.

mod everything;
mod stubs;
mod units;
mod wire;
mod world;

use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, ensure};
use kube::Config;
use kube::config::{KubeConfigOptions, Kubeconfig};
use palisade_enforcer::source::client_with;
use palisade_policy::testing::workloads::wide_groups;
use palisade_tests::cluster::{Alone, Certified, Layout};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::bench::controller::Controller;
use crate::figure::{Figure, Part, Spread, Unit};
use crate::machine;
use everything::{EVERYTHING, NOTHING, PUBLISHED, SLICES, Watchers};
use stubs::Stubs;
use units::{Meter, REFERENCE, Units};
use wire::{Counts, Traffic};
use world::World;

pub(crate) const CASES: [&str; 1] = ["W8-tenth"];

/// Namespaces of 300 pods and twenty policies, and ten nodes for each.
const NAMESPACES: u32 = 50;

/// Changes of pods in a second: one that goes is a change, and one that comes is another.
const RATES: [u32; 2] = [10, 100];

/// Seconds of each rate.
const CHURN: u32 = 20;

/// How nodes watch slices: those that they need, or all.
const BY_LABEL: &str = "by label";
const ALL: &str = "all watch all";

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
    let mut units = Units::default();
    for rate in RATES {
        let meter = Meter::start(process);
        world.churn(rate, REFERENCE).await?;
        units.changed(rate, rate * REFERENCE, meter.stop());
    }
    let counter = Watchers::start(&admin, 1, &PUBLISHED, EVERYTHING, &world.changes).await?;
    let controller = Controller::start(client, "bench");
    let mut bed = Bed {
        process,
        world,
        counter,
        units,
    };
    let mut figures = bed.without_nodes().await?;
    figures.extend(bed.with_idle_watches(&enforcer).await?);
    figures.extend(bed.by_label(&enforcer).await?);
    figures.extend(bed.all_watch_all(&enforcer).await?);
    bed.counter.stop().await;
    controller.stop().await?;
    Ok(figures)
}

/// A cluster with a controller, and what is known of its API server.
struct Bed {
    process: u32,
    world: World,
    /// Sees all that the controller writes.
    counter: Watchers,
    /// What the API server takes for what.
    units: Units,
}

impl Bed {
    /// Some changes, until the controller has written what follows. What the API server took, and what was written.
    async fn reference(&mut self, rate: u32) -> Result<(Duration, Counts)> {
        let before = self.counter.traffic.counts();
        let meter = Meter::start(self.process);
        self.world.churn(rate, REFERENCE).await?;
        self.counter.quiet(0).await?;
        Ok((meter.stop(), self.counter.traffic.counts().since(before)))
    }

    /// Finds out what it costs to write.
    async fn without_nodes(&mut self) -> Result<Vec<Figure>> {
        let nodes = u64::try_from(self.world.state.nodes().len())?;
        self.counter.quiet(nodes).await?;
        for rate in RATES {
            let (used, written) = self.reference(rate).await?;
            self.units.wrote(rate, rate * REFERENCE, used, written)?;
        }
        self.units.figures()
    }

    /// Finds out what a watch costs of which the selector leaves everything out.
    async fn with_idle_watches(&mut self, nodes: &Config) -> Result<Vec<Figure>> {
        let count = self.world.state.nodes().len();
        let idle = Watchers::start(nodes, count, &PUBLISHED, NOTHING, &self.world.changes).await?;
        let mut figures = Vec::new();
        for rate in RATES {
            let (used, written) = self.reference(rate).await?;
            let of_watches = self.units.without_writes(rate, rate * REFERENCE, used, written)?;
            let looks = real(written.events) * real(u64::try_from(count)?);
            let a_look = Duration::from_secs_f64(of_watches / looks.max(1.0));
            let what = format!("API server, a write that a watch leaves out, {rate} a second");
            figures.push(Figure::times(&what, [a_look]));
        }
        let heard = idle.traffic.counts().events;
        ensure!(heard == 0, "watches of nothing have heard of {heard} events");
        idle.stop().await;
        Ok(figures)
    }

    /// Nodes that begin, and subscribe to what they need.
    async fn by_label(&mut self, nodes: &Config) -> Result<Vec<Figure>> {
        let meter = Meter::start(self.process);
        let (mut stubs, took) = Stubs::start(nodes, &self.world.state, &self.world.changes).await?;
        let count = u32::try_from(self.world.state.nodes().len())?;
        let mut figures = beginning(took, meter.stop() / count, stubs.traffic.counts());
        for rate in RATES {
            let round = Round::begin(self, &stubs.traffic, BY_LABEL, rate);
            self.world.churn(rate, CHURN).await?;
            stubs.settle(&self.world.state).await?;
            figures.extend(round.end(self, &stubs.traffic, stubs.take_lags())?);
        }
        stubs.stop().await;
        Ok(figures)
    }

    /// What it would be without subscriptions.
    async fn all_watch_all(&mut self, nodes: &Config) -> Result<Vec<Figure>> {
        let count = self.world.state.nodes().len();
        let mut watchers = Watchers::start(nodes, count, &SLICES, EVERYTHING, &self.world.changes).await?;
        let mut figures = Vec::new();
        for rate in RATES {
            let round = Round::begin(self, &watchers.traffic, ALL, rate);
            self.world.churn(rate, CHURN).await?;
            watchers.quiet(0).await?;
            figures.extend(round.end(self, &watchers.traffic, watchers.take_lags())?);
        }
        watchers.stop().await;
        Ok(figures)
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

    fn end(self, bed: &Bed, nodes: &Traffic, lags: Vec<Duration>) -> Result<Vec<Figure>> {
        let Self { how, rate, .. } = self;
        let (whole, changes) = (self.meter.stop(), rate * CHURN);
        let used = bed.units.without_changes(rate, changes, whole)?.as_secs_f64();
        let written = bed.counter.traffic.counts().since(self.written);
        let heard = nodes.counts().since(self.heard);
        let name = |what: &str| format!("{how}, {rate} a second: {what}");
        let each_second = |what: &str, count: u64| {
            let spread = Spread::of([real(count) / f64::from(CHURN)]);
            Figure::new(&name(what), Unit::PerSecond, spread)
        };
        let [deliveries, processors] =
            TARGETS.map(|target| (rate == 10 && how == BY_LABEL).then_some(target));
        let mut figures = vec![
            each_second("writes", written.events),
            each_second("bytes written", written.event_bytes),
            each_second("deliveries", heard.events).at_most(Part::Max, deliveries),
            each_second("bytes delivered", heard.event_bytes),
            each_second("reads", heard.lists),
            each_second("bytes read", heard.list_bytes),
            each_second("watches begun", heard.watches),
            Figure::counts(&name("processors of the API server"), [used / f64::from(CHURN)])
                .at_most(Part::Max, processors),
            Figure::bytes(
                &name("memory of the API server"),
                machine::resident_of(bed.process),
            ),
            Figure::times(&name("from the pod to a node"), lags),
        ];
        // Where watches leave nothing out, what is not for writes is for deliveries.
        if how == ALL {
            let of_deliveries = bed.units.without_writes(rate, changes, whole, written)?;
            let a_delivery = Duration::from_secs_f64(of_deliveries / real(heard.events.max(1)));
            figures.push(Figure::times(&name("API server, a delivery"), [a_delivery]));
        }
        Ok(figures)
    }
}

/// What it takes that nodes begin.
fn beginning(took: Duration, each: Duration, heard: Counts) -> Vec<Figure> {
    let count = |what: &str, count| Figure::counts(what, [real(count)]);
    vec![
        Figure::times("nodes that begin together: to the last one", [took]),
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
