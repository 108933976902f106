//! B7: a node that begins: from nothing to everything enforced, and with everything there already.
//!
//! `w9` deletes the tables, as a reboot would, and starts the enforcer: from the start of its process until it is ready. Meanwhile a pod
//! that may not talk to another, and one that may, send a request each millisecond. Until the first rules are there the node is open, as it
//! always is (docs/architecture.md); from then on it must be closed, however much is still to be written, and what is allowed must pass
//! all the time. `restart` starts the enforcer beside tables that are right already.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use super::house::{House, Tenants, count};
use crate::figure::{Figure, Part};
use crate::machine;

pub(crate) const CASES: [&str; 2] = ["w9", "restart"];

const REPEATS: usize = 7;

/// Seconds to everything enforced, seconds to nothing to do, bytes.
const WIPED: f64 = 1.5;
const RIGHT: f64 = 0.5;
const MEMORY: f64 = 50e6;

/// A gap in a stream that is longer than this is more than a late thread.
const GAP: Duration = Duration::from_millis(50);

/// How long everything has been there before it is looked at.
const QUIET: Duration = Duration::from_millis(300);

pub(crate) fn measure(case: &str) -> Result<Vec<Figure>> {
    let runtime = tokio::runtime::Runtime::new().context("starting a runtime")?;
    runtime.block_on(async {
        match case {
            "w9" => wiped().await,
            _ => right().await,
        }
    })
}

async fn wiped() -> Result<Vec<Figure>> {
    let mut house = House::start(Tenants::w9()).await?;
    house.verify().await?;
    let (mut times, mut open, mut reopened, mut lost) = (Vec::new(), Vec::new(), 0_u32, 0_u64);
    house.enact(house.asking("door")?).await?;
    for _ in 0..REPEATS {
        house.enact(house.asking("none")?).await?;
        house.close().await?;
        house.wipe().await?;
        // Nobody may talk to the first pod of the first app; the newcomer is under no policy.
        let denied = house.stream("pod-0")?;
        tokio::time::sleep(QUIET).await;
        let begin = Instant::now();
        house.open()?;
        house.until("everything again", |_| true).await?;
        times.push(begin.elapsed());
        tokio::time::sleep(QUIET).await;
        let denied = tokio::task::spawn_blocking(move || denied.stop()).await??;
        let closed = denied.last_answered.context("a wiped node is not open")?;
        open.push(closed.saturating_duration_since(begin));
        reopened += u32::from(denied.longest_gap > GAP);
        // And what may pass does so while an enforcer of a wiped node fills its tables.
        house.enact(house.asking("door")?).await?;
        house.close().await?;
        house.wipe().await?;
        let permitted = house.stream("pod-0")?;
        house.open()?;
        house.until("everything again", |_| true).await?;
        tokio::time::sleep(QUIET).await;
        lost += tokio::task::spawn_blocking(move || permitted.stop())
            .await??
            .lost();
    }
    house.enact(house.asking("none")?).await?;
    house.verify().await?;
    let process = format!("/proc/{}/status", house.process()?);
    let memory = |what: &str, field: &str| Figure::bytes(what, machine::field(&process, field));
    let figures = vec![
        Figure::times("wiped to everything enforced", times).at_most(Part::P50, WIPED),
        Figure::times("wiped to closed", open),
        Figure::counts("times it opened again", [f64::from(reopened)]).at_most(Part::Max, 0.0),
        #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
        Figure::counts("allowed packets lost", [lost as f64]).at_most(Part::Max, 0.0),
        memory("memory of the enforcer", "VmRSS").at_most(Part::Max, MEMORY),
        memory("peak memory of the enforcer", "VmHWM"),
    ];
    house.stop().await?;
    Ok(figures)
}

async fn right() -> Result<Vec<Figure>> {
    let mut house = House::start(Tenants::many_rules()).await?;
    house.verify().await?;
    let (mut times, mut writes) = (Vec::new(), Vec::new());
    for _ in 0..REPEATS {
        let before = house.status()?.context("no status")?;
        house.close().await?;
        let begin = Instant::now();
        house.open()?;
        let status = house.until("everything again", |_| true).await?;
        times.push(begin.elapsed());
        let written = count(&status);
        ensure!(written == 0, "a restart has written: {}", status.applied);
        ensure!(
            before.sizes == status.sizes,
            "{} became {}",
            before.sizes,
            status.sizes
        );
        writes.push(0.0);
    }
    let status = house.status()?.context("no status")?;
    let size = |name: &str| {
        let size = status.sizes.get(name).and_then(serde_json::Value::as_f64);
        size.map(|size| Figure::counts(name, [size])).context("no sizes")
    };
    let figures = vec![
        Figure::times("restart with nothing to do", times).at_most(Part::P50, RIGHT),
        Figure::counts("writes", writes).at_most(Part::Max, 0.0),
        size("rules")?,
        size("sets")?,
        size("elements")?,
    ];
    house.verify().await?;
    house.stop().await?;
    Ok(figures)
}
