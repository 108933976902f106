//! B5: from an event at the API server to the kernel of a node that has 100, 1,000, 10,000 policies.
//!
//! The node has a hundred policies on each pod, of one app each; what changes concerns the first app, as it does on a real node. The
//! enforcer says itself what a change took it: `decode` from the event on its socket to a complete rule set, `plan`, and `send`, which is
//! the comparison and the transaction. Where a packet can tell, a stream of requests a millisecond apart says when the first of them
//! met the new rules, counted from before the event was written; so that figure holds all there is, and up to a millisecond of waiting.
//!
//! Each event comes when the node is quiet, and is taken back before the next.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use palisade_policy::cluster::Event;
use palisade_tests::stage::Status;

use super::house::{House, NEWCOMER, Tenants, edited, invitation, seen, tenant, took};
use crate::figure::{Figure, Part};

pub(crate) const CASES: [&str; 3] = ["100", "1000", "10000"];

/// How often each kind of event comes: for so long, but for a least; and how often with packets.
const REPEATS: usize = 40;
const AT_LEAST: usize = 10;
const LONG: Duration = Duration::from_secs(5);
const WITH_PACKETS: usize = 6;

/// Longer than news are collected after a delivery, and than flows are judged.
const QUIET: Duration = Duration::from_millis(40);

/// Seconds that a change may take: a member of a group, anything else.
const MEMBER: f64 = 1e-3;
const ELSE: f64 = 10e-3;
const ELSE_AT_WORST: f64 = 50e-3;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Joins,
    Leaves,
    NewPod,
    PodGone,
    NewPolicy,
    PolicyDeleted,
    BlockOpens,
    BlockCloses,
}

impl Kind {
    /// Each with what takes it back.
    const PAIRS: [[Self; 2]; 4] = [
        [Self::Joins, Self::Leaves],
        [Self::NewPod, Self::PodGone],
        [Self::NewPolicy, Self::PolicyDeleted],
        [Self::BlockOpens, Self::BlockCloses],
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Joins => "IP joins",
            Self::Leaves => "IP leaves",
            Self::NewPod => "new pod",
            Self::PodGone => "pod deleted",
            Self::NewPolicy => "new policy",
            Self::PolicyDeleted => "policy deleted",
            Self::BlockOpens => "ipBlock edited",
            Self::BlockCloses => "ipBlock edited back",
        }
    }

    fn event(self, house: &House) -> Result<Event> {
        Ok(match self {
            Self::Joins => house.asking("door")?,
            Self::Leaves => house.asking("none")?,
            Self::NewPod => house.newcomer()?,
            Self::PodGone => Event::PodDeleted(tenant(0, NEWCOMER, "").uid),
            Self::NewPolicy => Event::PolicyApplied(invitation()),
            Self::PolicyDeleted => Event::PolicyDeleted(invitation().key),
            Self::BlockOpens => Event::PolicyApplied(edited(&house.asker())),
            Self::BlockCloses => Event::PolicyApplied(edited("192.0.2.0/24")),
        })
    }

    /// Whether packets pass after it and not before, or the other way round.
    fn opens(self) -> bool {
        match self {
            Self::Joins | Self::NewPod | Self::NewPolicy | Self::BlockOpens => true,
            Self::Leaves | Self::PodGone | Self::PolicyDeleted | Self::BlockCloses => false,
        }
    }

    /// The pod that the client asks.
    fn asked(self) -> &'static str {
        match self {
            Self::NewPod | Self::PodGone => NEWCOMER,
            _ => "pod-0",
        }
    }
}

/// What the events of a kind took.
#[derive(Debug, Default)]
struct Series {
    decode: Vec<Duration>,
    plan: Vec<Duration>,
    send: Vec<Duration>,
    total: Vec<Duration>,
}

pub(crate) fn measure(case: &str) -> Result<Vec<Figure>> {
    let policies: usize = case.parse().context("no such number")?;
    let runtime = tokio::runtime::Runtime::new().context("starting a runtime")?;
    runtime.block_on(async {
        let mut house = House::start(Tenants::policies(policies)).await?;
        house.verify().await?;
        let mut figures = Vec::new();
        for pair in Kind::PAIRS {
            let mut series = [Series::default(), Series::default()];
            let begin = Instant::now();
            for nth in 0..REPEATS {
                if nth >= AT_LEAST && begin.elapsed() > LONG {
                    break;
                }
                for (kind, series) in pair.into_iter().zip(&mut series) {
                    once(&mut house, kind, series).await?;
                }
            }
            for (kind, series) in pair.into_iter().zip(series) {
                figures.extend(series.figures(kind));
            }
        }
        // Last, as the flows that are ended on the way are remembered for a while.
        for pair in Kind::PAIRS {
            let mut series = [Vec::new(), Vec::new()];
            for _ in 0..WITH_PACKETS {
                for (kind, series) in pair.into_iter().zip(&mut series) {
                    series.push(with_packets(&mut house, kind).await?);
                }
            }
            for (kind, series) in pair.into_iter().zip(series) {
                figures.push(Figure::times(
                    &format!("{}, to the first packet", kind.name()),
                    series,
                ));
            }
        }
        house.verify().await?;
        house.stop().await?;
        Ok(figures)
    })
}

/// Lets an event happen when the node is quiet, and waits until the kernel has it.
async fn happen(house: &mut House, kind: Kind) -> Result<(Instant, Status)> {
    let event = kind.event(house)?;
    tokio::time::sleep(QUIET).await;
    let begin = Instant::now();
    let status = house.enact(event).await.with_context(|| kind.name())?;
    Ok((begin, status))
}

async fn once(house: &mut House, kind: Kind, to: &mut Series) -> Result<()> {
    let (_, status) = happen(house, kind).await?;
    to.decode.push(took(&status, "decode")?);
    to.plan.push(took(&status, "plan")?);
    to.send.push(took(&status, "commit")?);
    to.total.push(took(&status, "total")?);
    Ok(())
}

/// From an event to the first request that passes, or the last.
async fn with_packets(house: &mut House, kind: Kind) -> Result<Duration> {
    // The pod that comes lets in whoever is in the group of the door.
    if kind == Kind::NewPod {
        house.enact(house.asking("door")?).await?;
    }
    let stream = house.stream(kind.asked())?;
    let (begin, _) = happen(house, kind).await?;
    // Some requests more, that meet the new rules.
    tokio::time::sleep(QUIET).await;
    let (first, last) = seen(stream, begin).await?;
    if kind == Kind::PodGone {
        house.enact(house.asking("none")?).await?;
    }
    let moment = if kind.opens() { first } else { last };
    moment.with_context(|| format!("{}: no packet has passed", kind.name()))
}

impl Series {
    fn figures(self, kind: Kind) -> Vec<Figure> {
        let name = kind.name();
        let (most, at_worst) = match kind {
            Kind::Joins | Kind::Leaves => (MEMBER, None),
            _ => (ELSE, Some(ELSE_AT_WORST)),
        };
        let mut figures = vec![Figure::times(name, self.total.clone()).at_most(Part::P50, most)];
        if at_worst.is_some() {
            figures.push(Figure::times(&format!("{name}, slowest"), self.total).at_most(Part::P99, at_worst));
        }
        for (part, times) in [("decode", self.decode), ("plan", self.plan), ("send", self.send)] {
            figures.push(Figure::times(&format!("{name}: {part}"), times));
        }
        figures
    }
}
