//! B3: what a controller takes of memory for each pod, once a cluster is compiled.
//!
//! The cluster is W1's: of all workloads it has the most policies, groups and namespaces for each pod.

use anyhow::{Context, Result};
use palisade_policy::cluster::ClusterState;
use palisade_policy::compile::Compiler;
use palisade_policy::testing::workloads;

use crate::figure::{Figure, Part};
use crate::machine;

pub(crate) const CASES: [&str; 5] = ["10k", "25k", "50k", "100k", "200k"];

/// Bytes a pod, with the policies and groups that it brings along, at 100,000 pods.
const TARGET: f64 = 4096.0;

pub(crate) fn measure(case: &str) -> Result<Vec<Figure>> {
    let thousands: u32 = case.trim_end_matches('k').parse().context("no such size")?;
    let before = machine::resident();
    let objects = workloads::small_namespaces(thousands as usize * 250);
    let mut compiler = Compiler::from_state(ClusterState::from_events(objects));
    drop(compiler.flush());
    let pods = f64::from(thousands * 1_000);
    let (peak, after) = (machine::peak(), machine::resident());
    let target = (case == "100k").then_some(TARGET);
    Ok(vec![
        Figure::bytes("peak memory a pod", (peak - before) / pods).at_most(Part::Max, target),
        Figure::bytes("memory a pod", (after - before) / pods),
        Figure::bytes("peak memory", peak),
    ])
}
