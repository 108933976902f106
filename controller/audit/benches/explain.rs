//! How long it takes to answer questions: about two pods, about a namespace, about everybody.
//!
//! `cargo bench -p palisade-audit --bench explain [NAME…]`, on the workloads of `palisade_policy`.
#![expect(clippy::print_stdout, reason = "a bench tells what it measured")]

use std::error::Error;
use std::time::Instant;

use palisade_audit::explain::explain;
use palisade_audit::inventory::Inventory;
use palisade_audit::question::{Question, resolve};
use palisade_policy::cluster::ClusterState;
use palisade_policy::testing::workloads;

fn main() -> Result<(), Box<dyn Error>> {
    for workload in workloads::chosen(std::env::args()) {
        println!("\n{}: {}", workload.name, workload.about);
        measure(workload.state())?;
    }
    Ok(())
}

fn measure(state: ClusterState) -> Result<(), Box<dyn Error>> {
    let pods = state.pods();
    let first = pods.values().next().map(|pod| pod.key.clone()).ok_or("no pod")?;
    let last = pods
        .values()
        .next_back()
        .map(|pod| pod.key.clone())
        .ok_or("no pod")?;
    let namespace = format!("namespace/{}", last.namespace);
    let inventory = Inventory {
        state,
        ..Inventory::default()
    };
    for (from, to) in [
        (first.to_string(), format!("{last}:80")),
        (first.to_string(), last.to_string()),
        (first.to_string(), namespace.clone()),
        (namespace.clone(), namespace),
        ("any".to_owned(), format!("{last}:80")),
        (first.to_string(), "any".to_owned()),
    ] {
        let start = Instant::now();
        let question = resolve(&inventory, &first.namespace, &Question::parse(&from, &to)?)?;
        match explain(&inventory, &question) {
            Ok(answer) => {
                let (cases, time) = (answer.cases.len(), start.elapsed());
                println!("  {from} → {to}: {} in {cases} cases, {time:?}", answer.verdict);
            }
            Err(refusal) => println!("  {from} → {to}: {refusal}, {:?}", start.elapsed()),
        }
    }
    Ok(())
}
