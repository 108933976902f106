//! Many probes at once.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use palisade_policy::model::Verdict;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::attempt::attempt;
use super::host::Host;
use super::responder::{self, Listen};
use super::sightings::Sightings;
use super::stream::{Flow, Stream};
use super::{Observation, Outcome, Probe};

/// The patience of the attempts at a probe that should pass: three seconds together.
const ALLOWED: &[Duration] = &[millis(100), millis(200), millis(400), millis(800), millis(1500)];
/// The patience of the attempts at a probe that should not pass.
const DENIED: &[Duration] = &[millis(150), millis(100)];
/// A runtime that is this late has been kept from looking; silence during the wait proves nothing.
const LATE: Duration = millis(50);
/// How many waits that were late are repeated.
const REPEATS: u32 = 10;
/// Probes under way at a time: bounded by file descriptors, and so that waiting never turns into queueing.
const AT_ONCE: usize = 500;

const fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// Sends probes between hosts, and runs the responders in them.
#[derive(Debug)]
pub struct Prober {
    shared: Arc<Shared>,
    responders: Mutex<BTreeMap<String, JoinSet<()>>>,
}

#[derive(Debug)]
struct Shared {
    sightings: Arc<Sightings>,
    sent: Arc<AtomicU64>,
    slots: Semaphore,
}

impl Prober {
    /// A prober with responders in `hosts`. Must be called within a Tokio runtime, and lives as long as that.
    pub fn start(hosts: impl IntoIterator<Item = Host>, listen: &Listen) -> Result<Self> {
        let prober = Self {
            shared: Arc::new(Shared {
                sightings: Arc::default(),
                sent: Arc::default(),
                slots: Semaphore::new(AT_ONCE),
            }),
            responders: Mutex::default(),
        };
        for host in hosts {
            prober.add(&host, listen)?;
        }
        Ok(prober)
    }

    /// Starts the responders of one more host. A host that sends echo requests needs them too: they see the replies.
    pub fn add(&self, host: &Host, listen: &Listen) -> Result<()> {
        ensure!(
            !self.listening().contains_key(host.name()),
            "{} has responders already",
            host.name()
        );
        let tasks = responder::start(host, listen, &self.shared.sightings)?;
        self.listening().insert(host.name().to_owned(), tasks);
        Ok(())
    }

    /// Ends the responders of a host, which lets go of its namespace.
    pub async fn remove(&self, host: &Host) {
        let tasks = self.listening().remove(host.name());
        if let Some(mut tasks) = tasks {
            tasks.shutdown().await;
        }
    }

    /// Probes without an expectation: each is repeated until it passes or `patience` has gone by.
    pub async fn probe_all(&self, probes: &[Probe], patience: Duration) -> Result<Vec<Observation>> {
        let schedule = [patience / 4, patience / 4, patience / 2];
        self.run(probes.iter().map(|probe| (probe.clone(), schedule.to_vec())))
            .await
    }

    /// Probes with an expectation each, see the [module](super). Compare with [`Observation::agrees`].
    pub async fn observe(&self, probes: &[Probe], expected: &[Verdict]) -> Result<Vec<Observation>> {
        ensure!(probes.len() == expected.len(), "every probe needs an expectation");
        let schedule = |verdict| match verdict {
            Verdict::Allow => ALLOWED.to_vec(),
            Verdict::Deny => DENIED.to_vec(),
        };
        self.run(
            probes
                .iter()
                .zip(expected)
                .map(|(probe, verdict)| (probe.clone(), schedule(*verdict))),
        )
        .await
    }

    /// Starts a stream of requests; see [`Stream`]. Its requests count as sent by this prober.
    pub fn stream(&self, probe: &Probe, interval: Duration, flow: Flow) -> Result<Stream> {
        Stream::start(probe, interval, flow, self.shared.sent.clone())
    }

    /// How many packets and handshakes have been tried, streams included. Answers are not counted.
    pub fn sent(&self) -> u64 {
        self.shared.sent.load(Ordering::Relaxed)
    }

    async fn run(&self, probes: impl Iterator<Item = (Probe, Vec<Duration>)>) -> Result<Vec<Observation>> {
        let mut tasks = JoinSet::new();
        for (position, (probe, schedule)) in probes.enumerate() {
            let shared = self.shared.clone();
            tasks.spawn(async move { (position, shared.settle(&probe, &schedule).await) });
        }
        let mut observations = BTreeMap::new();
        while let Some(done) = tasks.join_next().await {
            let (position, observation) = done?;
            observations.insert(position, observation?);
        }
        Ok(observations.into_values().collect())
    }

    fn listening(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, JoinSet<()>>> {
        self.responders.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shared {
    /// Tries until a probe passes or its schedule is over. One attempt that was heard but not answered outweighs
    /// others of which nothing was seen.
    async fn settle(&self, probe: &Probe, schedule: &[Duration]) -> Result<Observation> {
        let _slot = self.slots.acquire().await?;
        let begin = Instant::now();
        let mut observation = Observation {
            outcome: Outcome::Dropped,
            took: Duration::ZERO,
            attempts: 0,
        };
        let mut turns = schedule.iter();
        let mut turn = turns.next();
        let mut repeats = 0;
        while let Some(patience) = turn {
            self.sent.fetch_add(1, Ordering::Relaxed);
            let opened = Instant::now();
            let outcome = attempt(probe, &self.sightings, *patience)
                .await
                .with_context(|| probe.to_string())?;
            observation.attempts += 1;
            if outcome != Outcome::Dropped {
                observation.outcome = outcome;
            }
            if observation.passed() {
                break;
            }
            // An answer of refusal, a reset for one, comes at once; the next attempt still waits for its turn.
            tokio::time::sleep_until(opened + *patience).await;
            if opened.elapsed() > *patience + LATE && repeats < REPEATS {
                repeats += 1;
            } else {
                turn = turns.next();
            }
        }
        observation.took = begin.elapsed();
        Ok(observation)
    }
}
