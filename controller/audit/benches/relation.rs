//! How long it takes to write down who reaches whom, in each form, and to compare a state with one that lacks a policy.
//!
//! `cargo bench -p palisade-audit --bench relation [NAME…]`, on the workloads of `palisade_policy`.
#![expect(clippy::print_stdout, reason = "a bench tells what it measured")]

use std::io::{self, Write};
use std::time::Instant;

use palisade_audit::diff::{self, Diff};
use palisade_audit::inventory::Inventory;
use palisade_audit::relation::output::{self, Form};
use palisade_audit::relation::{Relation, Selection};
use palisade_audit::style::Style;
use palisade_policy::cluster::{ClusterState, Event};
use palisade_policy::testing::workloads;

/// Counts what is written.
struct Counter(u64);

impl Write for Counter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn main() -> io::Result<()> {
    for workload in workloads::chosen(std::env::args()) {
        println!("\n{}: {}", workload.name, workload.about);
        measure(workload.state())?;
    }
    Ok(())
}

fn measure(state: ClusterState) -> io::Result<()> {
    let mut without = state.clone();
    if let Some(key) = state.policies().keys().next() {
        without.apply(Event::PolicyDeleted(key.clone()));
    }
    let [before, after] = [state, without].map(|state| Inventory {
        state,
        ..Inventory::default()
    });
    let start = Instant::now();
    let relation = Relation::of(&before);
    let classes = relation.reach.classes().len();
    println!("  {classes} classes with names: {:?}", start.elapsed());
    for form in [Form::Json, Form::Table] {
        let start = Instant::now();
        let mut counter = Counter(0);
        output::write(&relation, &Selection::default(), form, Style::PLAIN, &mut counter)?;
        println!("  as {form:?}: {:?}, {} KB", start.elapsed(), counter.0 / 1000);
    }
    drop(relation);
    let start = Instant::now();
    let diff = Diff::of(&before, &after);
    println!(
        "  without its first policy: {:?}, {} changes",
        start.elapsed(),
        diff.changes.len()
    );
    let start = Instant::now();
    let mut counter = Counter(0);
    diff::output::write(&diff, diff::output::Form::Markdown, Style::PLAIN, &mut counter)?;
    println!("  as markdown: {:?}, {} KB", start.elapsed(), counter.0 / 1000);
    let memory = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = memory
        .lines()
        .find(|line| line.starts_with("VmHWM"))
        .unwrap_or_default();
    println!("  {}", peak.split_whitespace().collect::<Vec<_>>().join(" "));
    Ok(())
}
