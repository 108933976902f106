//! What `/metrics` says about the node.

use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use crate::run::status::Status;
use crate::source::Failures;

/// Seconds. A change of an element takes less than a millisecond, the first rules of a large node a second.
const BUCKETS: [f64; 14] = [
    0.000_5, 0.001, 0.002, 0.003, 0.005, 0.007_5, 0.01, 0.015, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0,
];

/// The gauges, counters and histograms of one node.
pub(super) struct Metrics {
    pods: Gauge,
    unplaced: Gauge,
    revision: Gauge<u64, AtomicU64>,
    commits: Counter,
    stages: Family<Stage, Histogram, fn() -> Histogram>,
    published: Histogram,
    degraded: Family<Reason, Gauge>,
    edits: Counter,
    loaded: Family<Object, Gauge>,
    /// How many commits and edits were counted.
    counted: (u64, u64),
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Stage {
    stage: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Reason {
    reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Object {
    object: &'static str,
}

impl Metrics {
    pub(super) fn new(registry: &mut Registry, failures: &Failures) -> Self {
        let histogram: fn() -> Histogram = || Histogram::new(BUCKETS);
        let metrics = Self {
            pods: Gauge::default(),
            unplaced: Gauge::default(),
            revision: Gauge::default(),
            commits: Counter::default(),
            stages: Family::new_with_constructor(histogram),
            published: histogram(),
            degraded: Family::default(),
            edits: Counter::default(),
            loaded: Family::default(),
            counted: (0, 0),
        };
        let registry = registry.sub_registry_with_prefix("palisade_enforcer");
        registry.register("pods", "Pods that are enforced", metrics.pods.clone());
        registry.register(
            "unplaced_pods",
            "Pods of the rule set that the node does not know yet; they are closed",
            metrics.unplaced.clone(),
        );
        registry.register(
            "revision",
            "The revision of the rule set that the kernel enforces",
            metrics.revision.clone(),
        );
        registry.register(
            "commits",
            "Changes that were written to the kernel",
            metrics.commits.clone(),
        );
        registry.register_with_unit(
            "commit",
            "How long a change took: decode, plan, commit, and in total from its first sign to the kernel",
            Unit::Seconds,
            metrics.stages.clone(),
        );
        registry.register_with_unit(
            "published_to_kernel",
            "From the moment the controller wrote an object until the kernel enforced it, by the clocks of both machines",
            Unit::Seconds,
            metrics.published.clone(),
        );
        registry.register(
            "degraded",
            "What is wrong, 1 for each reason",
            metrics.degraded.clone(),
        );
        registry.register(
            "edits",
            "How often others edited our tables, which was undone",
            metrics.edits.clone(),
        );
        registry.register("loaded", "What the kernel holds of ours", metrics.loaded.clone());
        registry.register(
            "watch_failures",
            "Watches of the API server that failed or got no answer",
            failures.clone(),
        );
        metrics
    }

    pub(super) fn observe(&mut self, status: &Status) {
        self.pods.set(size(status.pods));
        self.unplaced.set(size(status.unplaced.len()));
        self.revision.set(status.revision.unwrap_or_default());
        let sizes = status.sizes;
        for (object, count) in [
            ("rules", sizes.rules),
            ("sets", sizes.sets),
            ("elements", sizes.elements),
        ] {
            self.loaded.get_or_create(&Object { object }).set(size(count));
        }
        self.degraded.clear();
        for condition in &status.degraded {
            let reason = condition.reason;
            self.degraded.get_or_create(&Reason { reason }).set(1);
        }
        let (commits, edits) = self.counted;
        self.edits.inc_by(status.edits.count.saturating_sub(edits));
        if status.applied.count > commits {
            self.commits.inc_by(status.applied.count - commits);
            let timing = status.applied.microseconds;
            for (stage, microseconds) in [
                ("decode", timing.decode),
                ("plan", timing.plan),
                ("commit", timing.commit),
                ("total", timing.total),
            ] {
                let histogram = self.stages.get_or_create(&Stage { stage });
                histogram.observe(seconds(microseconds));
            }
            if let Some(microseconds) = timing.published {
                self.published.observe(seconds(microseconds));
            }
        }
        self.counted = (status.applied.count, status.edits.count);
    }
}

fn size(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// Seconds of a duration that is far below the 2^32 that a float holds exactly.
fn seconds(microseconds: u64) -> f64 {
    std::time::Duration::from_micros(microseconds).as_secs_f64()
}
