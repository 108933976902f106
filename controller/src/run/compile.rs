//! The one task that owns the compiler.

use std::time::{Duration, Instant};

use palisade_health::{Readiness, Task};
use palisade_policy::compile::{Changes, Compiler};
use palisade_policy::model::{Namespace, Node, Pod, Policy};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::intake::{Intake, Taken};
use crate::metrics::{KindLabel, Metrics, gauge};
use crate::publish::Compiled;
use crate::report::Note;
use crate::watch::{Change, Input, Kind};

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
    pods: Intake<Pod>,
    namespaces: Intake<Namespace>,
    policies: Intake<Policy>,
    nodes: Intake<Node>,
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
        pods: Intake::default(),
        namespaces: Intake::default(),
        policies: Intake::default(),
        nodes: Intake::default(),
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
                if !compiled.is_empty() || first {
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
        let state = self.compiler.state();
        let (Taken { events, notes }, kind) = match change {
            Change::Pod(step) => (self.pods.take(step, state), Pod::NAME),
            Change::Namespace(step) => (self.namespaces.take(step, state), Namespace::NAME),
            Change::Policy(step) => (self.policies.take(step, state), Policy::NAME),
            Change::Node(step) => (self.nodes.take(step, state), Node::NAME),
        };
        let label = KindLabel { kind };
        for note in notes {
            if !note.is_all_clear() {
                tracing::warn!(%note, "not understood");
                self.metrics.undecodable.get_or_create(&label).inc();
            }
            if self.notes.try_send(note).is_err() {
                tracing::warn!("too many notes at once, this one goes untold");
            }
        }
        self.metrics
            .events
            .get_or_create(&label)
            .inc_by(events.len() as u64);
        for event in events {
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
        let Changes {
            slices,
            policies,
            pods,
            nodes,
        } = self.compiler.flush();
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
            policies,
            pods,
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
            let count = gauge(count);
            self.metrics.objects.get_or_create(&KindLabel { kind }).set(count);
        }
        let defective = gauge(self.policies.defective());
        self.metrics.defective.set(defective);
    }
}
