//! B1: a whole cluster, compiled from memory by one thread.
//!
//! What is timed is all that a controller does between the last object of its first listings and the first write: objects
//! become a state, the state is compiled, and all that is to be published comes out.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use palisade_policy::cluster::ClusterState;
use palisade_policy::compile::Compiler;
use palisade_policy::testing::workloads::Workload;

use super::oracle;
use crate::figure::{Figure, Part};
use crate::machine;

pub(crate) const CASES: [&str; 9] = ["W1", "W2", "W3", "W4", "W5", "W6", "W7", "W8", "customers"];

/// How often each cluster is compiled.
const REPEATS: usize = 5;

/// Seconds and bytes that it should take at most.
fn targets(case: &str) -> (Option<f64>, Option<f64>) {
    match case {
        "W1" => (Some(1.5), Some(400e6)),
        "W2" | "W4" => (Some(0.4), None),
        "W3" => (Some(0.6), None),
        "W5" => (Some(0.25), None),
        "W6" => (Some(1.5), None),
        "customers" => (Some(1.0), None),
        _ => (None, None),
    }
}

pub(crate) fn measure(case: &str) -> Result<Vec<Figure>> {
    let workload = Workload::named(case).context("no such workload")?;
    let (mut times, mut processor): (Vec<Duration>, Vec<Duration>) = Default::default();
    let mut figures = Vec::new();
    let (seconds, bytes) = targets(case);
    for repeat in 0..REPEATS {
        let objects = (workload.objects)();
        let (start, used) = (Instant::now(), machine::processor());
        let mut compiler = Compiler::from_state(ClusterState::from_events(objects));
        let changes = compiler.flush();
        times.push(start.elapsed());
        processor.push(machine::processor().saturating_sub(used));
        // Memory is taken on the first run: what earlier ones leave to the allocator is not counted.
        if repeat == 0 {
            let state = compiler.state();
            #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
            let [pods, policies, slices] =
                [state.pods().len(), state.policies().len(), changes.slices.len()].map(|count| count as f64);
            let peak = machine::peak();
            figures.push(Figure::bytes("peak memory", peak).at_most(Part::Max, bytes));
            figures.push(Figure::bytes("peak memory a pod", peak / pods));
            figures.push(Figure::counts("pods", [pods]));
            figures.push(Figure::counts("policies", [policies]));
            figures.push(Figure::counts("slices of groups", [slices]));
        }
        if repeat + 1 == REPEATS {
            drop(changes);
            oracle::agree(compiler.state(), &compiler.published())?;
        }
    }
    figures.insert(0, Figure::times("time on a processor", processor));
    figures.insert(0, Figure::times("time", times).at_most(Part::P50, seconds));
    Ok(figures)
}
