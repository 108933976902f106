//! B8: while rules change, no packet is lost that may pass, and none passes that may not.
//!
//! Requests leave a millisecond apart from pods that may talk to a server and from pods that may not, of the same node and of
//! another, each request from a port of its own. Meanwhile all policies are replaced by others again and again (`replaces`), or a
//! thousand events a second come in (`events`). The rules change, but what they say of these pods does not.

mod scene;
mod streams;

use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::figure::{Figure, Part, Spread, Unit};
use scene::Scene;
use streams::Streams;

pub(crate) const CASES: [&str; 2] = ["replaces", "events"];

/// How often all policies are replaced.
const REPLACES: usize = 100;

/// How long events come, and how many a second.
const LONG: Duration = Duration::from_secs(20);
const RATE: u32 = 1_000;

/// Events that come within this are published together, as a controller under load would do.
const TICK: Duration = Duration::from_millis(20);

pub(crate) fn measure(case: &str) -> Result<Vec<Figure>> {
    let runtime = tokio::runtime::Runtime::new().context("starting a runtime")?;
    runtime.block_on(async {
        let mut scene = Scene::start().await?;
        let streams = Streams::start(&scene)?;
        let mut figures = match case {
            "replaces" => replaces(&mut scene).await?,
            _ => events(&mut scene).await?,
        };
        let seen = tokio::task::spawn_blocking(move || streams.stop()).await??;
        let asked = scene.asked;
        scene.stop().await?;
        #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
        let count = |what: &str, count: u64| Figure::counts(what, [count as f64]);
        let zero = |what: &str, number: u64| count(what, number).at_most(Part::Max, 0.0);
        figures.extend([
            count("allowed packets sent", seen.allowed),
            zero("allowed packets lost", seen.lost),
            Figure::times("longest gap between allowed packets", [seen.longest_gap]),
            count("denied packets sent", seen.denied),
            zero("denied packets that leaked", seen.leaked),
            count("verdicts asked", asked.verdicts),
            zero("wrong verdicts", asked.wrong),
        ]);
        Ok(figures)
    })
}

/// The new policies come before the old ones go, as whoever replaces policies one by one has to do: between a deletion and the
/// creation that follows it, a server is closed by right. The documents of a namespace are many, and none waits for the others.
async fn replaces(scene: &mut Scene) -> Result<Vec<Figure>> {
    let mut times = Vec::new();
    for generation in 1..=REPLACES {
        scene.add(generation);
        times.push(scene.enact().await?);
        scene.keep(generation);
        times.push(scene.enact().await?);
        if generation % 20 == 0 {
            scene.ask().await?;
        }
    }
    let rules = scene.rules()?;
    Ok(vec![
        Figure::times("all policies added or deleted, to the last kernel", times),
        Figure::counts("policies", [f64::from(u32::try_from(scene.policies())?)]),
        Figure::counts("rules of a node", [rules]),
    ])
}

async fn events(scene: &mut Scene) -> Result<Vec<Figure>> {
    let before = scene.transactions()?;
    let begin = Instant::now();
    let mut next = begin;
    let (mut events, mut sizes) = (0_u32, Vec::new());
    while begin.elapsed() < LONG {
        // As many as should have come by now: after a slow publication there are more.
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "some ten thousands"
        )]
        let due = (begin.elapsed().as_secs_f64() * f64::from(RATE)) as u32;
        let batch = due.saturating_sub(events);
        for _ in 0..batch {
            scene.event();
        }
        events += batch;
        sizes.push(f64::from(batch));
        scene.publish()?;
        next = (next + TICK).max(Instant::now());
        tokio::time::sleep_until(next.into()).await;
    }
    let rate = f64::from(events) / begin.elapsed().as_secs_f64();
    let last = scene.enact().await?;
    let transactions = scene.transactions()? - before;
    scene.ask().await?;
    Ok(vec![
        Figure::new("events", Unit::PerSecond, Spread::of([rate])),
        Figure::counts("events published together", sizes),
        Figure::counts("transactions of both nodes", [transactions]),
        Figure::times("from the last event to the last kernel", [last]),
    ])
}
