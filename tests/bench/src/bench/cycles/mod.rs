//! B9: what comes and goes leaves nothing behind.
//!
//! Pods, policies, members of groups and labels come and go at random, each change through the compiler, the documents, the program
//! of the enforcer and the kernel of a node. In the end everything that came has gone, and all must be as in the beginning: the
//! tables, the flows that conntrack knows, the memory and the open files of the enforcer.

mod remains;
mod yard;

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use crate::figure::{Figure, Part};
use remains::Remains;
use yard::Yard;

pub(crate) const CASES: [&str; 1] = ["routed"];

/// Things that come and go, at the most.
const CYCLES: usize = 10_000;

/// How long that may take.
const LIMIT: Duration = Duration::from_secs(90);

/// Cycles after which the enforcer is as large as it will be.
const WARM: usize = 500;

/// Changes after which packets are asked.
const ASK: usize = 250;

/// Bytes that the enforcer may have grown by: pages that its allocator keeps for what comes next.
const GROWTH: f64 = 4e6;

pub(crate) fn measure(_case: &str) -> Result<Vec<Figure>> {
    let runtime = tokio::runtime::Runtime::new().context("starting a runtime")?;
    runtime.block_on(async {
        let mut yard = Yard::start().await?;
        yard.walk(WARM, Instant::now() + LIMIT / 4, ASK).await?;
        yard.clear().await?;
        let before = Remains::of(&mut yard).await?;
        let begin = Instant::now();
        let walked = yard.walk(CYCLES, begin + LIMIT, ASK).await?;
        yard.clear().await?;
        let took = begin.elapsed();
        let after = Remains::of(&mut yard).await?;
        yard.stop().await?;
        eprintln!(
            "  {} probes as the oracle says, {} of them allowed",
            walked.probes, walked.allowed
        );
        ensure!(
            before.tables == after.tables,
            "the tables are not what they were:\n{}",
            before.difference(&after).join("\n")
        );
        #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
        let count = |what: &str, count: usize| Figure::counts(what, [count as f64]);
        let zero = |figure: Figure| figure.at_most(Part::Max, 0.0);
        let mut figures = vec![
            count("things that came and went", walked.cycles),
            Figure::times("one change, to the kernel", walked.times),
            count("objects in the tables", after.tables.len()),
            zero(count(
                "objects in the tables that differ",
                before.difference(&after).len(),
            )),
            zero(count("flows left in conntrack", after.flows)),
            Figure::bytes("memory of the enforcer", after.memory),
            Figure::bytes("memory of the enforcer, grown by", after.memory - before.memory)
                .at_most(Part::Max, GROWTH),
            count("open files of the enforcer", after.files),
            zero(Figure::counts(
                "open files of the enforcer, grown by",
                [f64::from(u32::try_from(after.files)?) - f64::from(u32::try_from(before.files)?)],
            )),
            // The machine's, whoever uses it.
            Figure::bytes("slabs of the kernel, grown by", after.slabs - before.slabs),
        ];
        figures.push(Figure::times("time", [took]));
        Ok(figures)
    })
}
