//! The one task that owns the compiler.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use palisade_health::{Readiness, Task};
use palisade_policy::cluster::Event;
use palisade_policy::compile::{Changes, Compiler};
use palisade_policy::model::{Defect, Namespace, Node, Pod, Policy, PolicyKey};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::relist::Relist;
use crate::metrics::{KindLabel, Metrics};
use crate::publish::Compiled;
use crate::report::Note;
use crate::watch::{Change, Input, Kind, Observed, Place, Step};

/// Of all time, compiling takes no more than one part in so many: the pause after a compilation is this many times as
/// long as it took.
const REST: u32 = 10;

/// The longest pause after a compilation.
const LONGEST_REST: Duration = Duration::from_millis(50);

/// Inputs that are taken in before anything else is looked at.
const BATCH: usize = 512;

/// What `/readyz` names, in the order of the watches, and the first compilation.
#[derive(Debug)]
pub(super) struct Progress {
    pods: Task,
    namespaces: Task,
    policies: Task,
    nodes: Task,
    compiled: Task,
}

impl Progress {
    /// Nothing is done yet.
    pub(super) fn new(readiness: &Readiness) -> Self {
        Self {
            pods: readiness.task("pods"),
            namespaces: readiness.task("namespaces"),
            policies: readiness.task("policies"),
            nodes: readiness.task("nodes"),
            compiled: readiness.task("compiled"),
        }
    }
}

struct Work {
    compiler: Compiler,
    pods: Relist<Pod>,
    namespaces: Relist<Namespace>,
    policies: Relist<Policy>,
    nodes: Relist<Node>,
    /// The policies that have defects.
    defective: BTreeMap<PolicyKey, Vec<Defect>>,
    /// When the oldest event came that is not compiled yet.
    oldest: Option<Instant>,
    progress: Progress,
    metrics: Metrics,
    notes: mpsc::Sender<Note>,
}

/// Compiles what comes and hands on what it changes, until `end`.
///
/// The first event after a quiet time is compiled at once. Nothing is compiled before every watch has told what is
/// there.
pub(super) async fn compile(
    mut inputs: mpsc::Receiver<Input>,
    to: mpsc::Sender<Compiled>,
    progress: Progress,
    notes: mpsc::Sender<Note>,
    metrics: Metrics,
    end: CancellationToken,
) {
    let mut work = Work {
        compiler: Compiler::default(),
        pods: Relist::default(),
        namespaces: Relist::default(),
        policies: Relist::default(),
        nodes: Relist::default(),
        defective: BTreeMap::new(),
        oldest: None,
        progress,
        metrics,
        notes,
    };
    let mut rest_until = Instant::now();
    let mut first = true;
    let mut batch = Vec::with_capacity(BATCH);
    loop {
        let due = work.is_synced() && (first || work.oldest.is_some());
        tokio::select! {
            biased;
            () = end.cancelled() => return,
            count = inputs.recv_many(&mut batch, BATCH) => {
                if count == 0 {
                    return;
                }
                for input in batch.drain(..) {
                    work.take(input);
                }
            }
            () = tokio::time::sleep_until(rest_until.into()), if due => {
                let began = Instant::now();
                let compiled = work.flush(began);
                let took = began.elapsed();
                if !compiled.slices.is_empty() || !compiled.nodes.is_empty() || first {
                    rest_until = Instant::now() + took.saturating_mul(REST).min(LONGEST_REST);
                    if to.send(compiled).await.is_err() {
                        return;
                    }
                    first = false;
                }
            }
        }
    }
}

impl Work {
    /// Takes in one step of a watch.
    fn take(&mut self, Input { received, change }: Input) {
        let (events, kind) = match change {
            Change::Pod(step) => {
                self.count_defects(&step);
                (self.pods.take(step, self.compiler.state()), Pod::NAME)
            }
            Change::Namespace(step) => {
                self.count_defects(&step);
                let events = self.namespaces.take(step, self.compiler.state());
                (events, Namespace::NAME)
            }
            Change::Policy(step) => {
                self.note_policy(&step);
                let events = self.policies.take(step, self.compiler.state());
                (events, Policy::NAME)
            }
            Change::Node(step) => {
                self.count_defects(&step);
                (self.nodes.take(step, self.compiler.state()), Node::NAME)
            }
        };
        let label = KindLabel { kind };
        self.metrics
            .events
            .get_or_create(&label)
            .inc_by(events.len() as u64);
        for event in events {
            if let Event::PolicyDeleted(key) = &event {
                self.defective.remove(key);
            }
            self.oldest.get_or_insert(received);
            self.compiler.apply(event);
        }
        self.progress.pods.set(self.pods.is_complete());
        self.progress.namespaces.set(self.namespaces.is_complete());
        self.progress.policies.set(self.policies.is_complete());
        self.progress.nodes.set(self.nodes.is_complete());
    }

    /// Whether every watch has told what is there.
    fn is_synced(&self) -> bool {
        self.pods.is_complete()
            && self.namespaces.is_complete()
            && self.policies.is_complete()
            && self.nodes.is_complete()
    }

    fn flush(&mut self, began: Instant) -> Compiled {
        let Changes { slices, nodes } = self.compiler.flush();
        let at = Instant::now();
        let received = self.oldest.take().unwrap_or(began);
        self.metrics.compile.observe((at - began).as_secs_f64());
        self.metrics.compiled.observe((at - received).as_secs_f64());
        self.progress.compiled.ready();
        self.measure();
        let slices = slices.into_iter().map(|(id, slice)| {
            let scope = self.compiler.scope(&id.0).cloned();
            (id, slice.zip(scope))
        });
        Compiled {
            slices: slices.collect(),
            nodes,
            received,
            at,
        }
    }

    fn measure(&self) {
        let state = self.compiler.state();
        for (kind, count) in [
            (Pod::NAME, state.pods().len()),
            (Namespace::NAME, state.namespaces().len()),
            (Policy::NAME, state.policies().len()),
            (Node::NAME, state.nodes().len()),
        ] {
            let count = i64::try_from(count).unwrap_or(i64::MAX);
            self.metrics.objects.get_or_create(&KindLabel { kind }).set(count);
        }
        let defective = i64::try_from(self.defective.len()).unwrap_or(i64::MAX);
        self.metrics.defective.set(defective);
    }

    /// Tells of an object that cannot be read, or not as a whole.
    fn count_defects<T: Kind>(&self, step: &Step<T>) {
        let (Step::Listed(observed) | Step::Applied(observed)) = step else {
            return;
        };
        if !observed.defects.is_empty() {
            self.tell::<T>(&observed.place, &observed.defects);
        }
    }

    /// Tells of a policy whose defects are others than before.
    fn note_policy(&mut self, step: &Step<Policy>) {
        let (Step::Listed(observed) | Step::Applied(observed)) = step else {
            return;
        };
        let Observed {
            key: Some(key),
            object: Some(policy),
            place,
            ..
        } = observed
        else {
            return;
        };
        let before = self.defective.get(key).map(Vec::as_slice).unwrap_or_default();
        if before == policy.defects {
            return;
        }
        self.tell::<Policy>(place, &policy.defects);
        if policy.defects.is_empty() {
            self.defective.remove(key);
        } else {
            self.defective.insert(key.clone(), policy.defects.clone());
        }
    }

    fn tell<T: Kind>(&self, place: &Place, defects: &[Defect]) {
        if !defects.is_empty() {
            let label = KindLabel { kind: T::NAME };
            self.metrics.undecodable.get_or_create(&label).inc();
            let first = defects.first().map(ToString::to_string);
            tracing::warn!(
                kind = T::NAME,
                namespace = place.namespace,
                name = place.name,
                defect = first,
                "not understood"
            );
        }
        let note = Note::defects(T::NAME, place, defects);
        if self.notes.try_send(note).is_err() {
            tracing::warn!(name = place.name, "too many notes at once, this one goes untold");
        }
    }
}
