//! What the controller counts and times.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::{Family, MetricConstructor};
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};

/// A kind of object.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct KindLabel {
    pub(crate) kind: &'static str,
}

/// A kind of object, and what failed about it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct FailureLabel {
    pub(crate) kind: &'static str,
    pub(crate) reason: &'static str,
}

/// All metrics. Cheap to clone; all clones are the same.
#[derive(Clone, Debug)]
pub(crate) struct Metrics {
    /// Events of watches, by kind.
    pub(crate) events: Family<KindLabel, Counter>,
    /// Objects that could not be read, or not as a whole, by kind; each time that such a one was seen.
    pub(crate) undecodable: Family<KindLabel, Counter>,
    /// Policies that have defects.
    pub(crate) defective: Gauge,
    /// Objects that are known, by kind.
    pub(crate) objects: Family<KindLabel, Gauge>,
    /// Objects that should be published, by kind.
    pub(crate) published: Family<KindLabel, Gauge>,
    /// Objects among them that say more than an object should, by kind.
    pub(crate) oversize: Family<KindLabel, Gauge>,
    /// Bytes of what objects that were written say, by kind.
    pub(crate) bytes: Family<KindLabel, Histogram, Bytes>,
    /// Objects that wait to be written or deleted.
    pub(crate) queue: Gauge,
    /// Objects written, by kind.
    pub(crate) written: Family<KindLabel, Counter>,
    /// Objects deleted, by kind.
    pub(crate) deleted: Family<KindLabel, Counter>,
    /// Writes and deletions that failed.
    pub(crate) failures: Family<FailureLabel, Counter>,
    /// Objects whose last write the API server rejected for what they say.
    pub(crate) rejected: Gauge,
    /// 1 while this replica writes.
    pub(crate) leader: Gauge,
    /// One compilation.
    pub(crate) compile: Histogram,
    /// From the oldest event of a compilation until it was done.
    pub(crate) compiled: Histogram,
    /// From the compilation that asked for an object until the API server had it.
    pub(crate) stored: Family<KindLabel, Histogram, Seconds>,
    /// From the oldest event until the API server had the object.
    pub(crate) total: Family<KindLabel, Histogram, Seconds>,
}

/// Makes histograms of 0.25 ms to 16 s.
#[derive(Clone, Debug)]
pub(crate) struct Seconds;

impl MetricConstructor<Histogram> for Seconds {
    fn new_metric(&self) -> Histogram {
        Histogram::new(exponential_buckets(0.000_25, 2.0, 17))
    }
}

/// Makes histograms of 256 B to 1 MiB.
#[derive(Clone, Debug)]
pub(crate) struct Bytes;

impl MetricConstructor<Histogram> for Bytes {
    fn new_metric(&self) -> Histogram {
        Histogram::new(exponential_buckets(256.0, 2.0, 13))
    }
}

impl Metrics {
    /// The metrics, known to `registry`.
    pub(crate) fn new(registry: &mut Registry) -> Self {
        let metrics = Self {
            events: Family::default(),
            undecodable: Family::default(),
            defective: Gauge::default(),
            objects: Family::default(),
            published: Family::default(),
            oversize: Family::default(),
            bytes: Family::new_with_constructor(Bytes),
            queue: Gauge::default(),
            written: Family::default(),
            deleted: Family::default(),
            failures: Family::default(),
            rejected: Gauge::default(),
            leader: Gauge::default(),
            compile: Seconds.new_metric(),
            compiled: Seconds.new_metric(),
            stored: Family::new_with_constructor(Seconds),
            total: Family::new_with_constructor(Seconds),
        };
        metrics.register(registry.sub_registry_with_prefix("palisade_controller"));
        metrics
    }

    fn register(&self, to: &mut Registry) {
        to.register("events", "Events of watches", self.events.clone());
        to.register(
            "undecodable_objects",
            "Times that an object could not be read, or not as a whole",
            self.undecodable.clone(),
        );
        to.register(
            "defective_policies",
            "Policies of which a part could not be understood and allows nothing",
            self.defective.clone(),
        );
        to.register("objects", "Objects that are known", self.objects.clone());
        to.register(
            "published_objects",
            "Objects that should be there",
            self.published.clone(),
        );
        to.register(
            "oversize_objects",
            "Objects that should be there and say more than 100 KB",
            self.oversize.clone(),
        );
        to.register_with_unit(
            "published",
            "What an object that was written says",
            Unit::Bytes,
            self.bytes.clone(),
        );
        to.register(
            "queue",
            "Objects that wait to be written or deleted",
            self.queue.clone(),
        );
        to.register("objects_written", "Objects written", self.written.clone());
        to.register("objects_deleted", "Objects deleted", self.deleted.clone());
        to.register(
            "write_failures",
            "Writes and deletions that failed",
            self.failures.clone(),
        );
        to.register(
            "rejected_objects",
            "Objects that the API server does not take for what they say",
            self.rejected.clone(),
        );
        to.register("leader", "1 while this replica writes", self.leader.clone());
        to.register_with_unit("compile", "One compilation", Unit::Seconds, self.compile.clone());
        to.register_with_unit(
            "event_to_compiled",
            "From the oldest event of a compilation until it was done",
            Unit::Seconds,
            self.compiled.clone(),
        );
        to.register_with_unit(
            "compiled_to_written",
            "From the compilation that asked for an object until the API server had it",
            Unit::Seconds,
            self.stored.clone(),
        );
        to.register_with_unit(
            "event_to_written",
            "From the oldest event of a compilation until the API server had an object of it",
            Unit::Seconds,
            self.total.clone(),
        );
    }
}

/// A count as a gauge takes it.
pub(crate) fn gauge(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
