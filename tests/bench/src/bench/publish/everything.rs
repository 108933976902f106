//! Watchers of everything: what nodes would be without subscriptions, and one that counts what is written.
//!
//! They look at lines and decode nothing, so that many of them leave the API server its processors.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use futures::TryStreamExt;
use http_body_util::BodyDataStream;
use kube::client::Body;
use kube::{Client, Config};
use palisade_enforcer::source::client_with;
use serde_json::Value;
use tokio::task::JoinSet;

use super::wire::{Traffic, counted};
use super::world::{BORN, Changes, Heard};

/// What each hears of. The rule sets of nodes are watched by name, in any case.
pub(super) const SLICES: [&str; 2] = ["addressgroups", "policyslices"];

/// Everything that is published.
pub(super) const PUBLISHED: [&str; 4] = ["addressgroups", "policyslices", "podslices", "noderulesets"];

/// Selectors: of all objects, and of none.
pub(super) const EVERYTHING: &str = "";
pub(super) const NOTHING: &str = "palisade.dev/nothing=yes";

/// Longer than any bench.
const OPEN: u32 = 3_600;

/// Without an event for so long, there is nothing more to come: all pauses of the controller are shorter.
const QUIET: Duration = Duration::from_secs(2);

/// The longest that this may take.
const PATIENCE: Duration = Duration::from_mins(2);

/// Some watchers.
pub(super) struct Watchers {
    tasks: JoinSet<Result<()>>,
    /// What goes over their wires.
    pub(super) traffic: Arc<Traffic>,
    lags: Arc<Mutex<Vec<Duration>>>,
}

impl Watchers {
    /// Starts so many, of changes from now on.
    pub(super) async fn start(
        config: &Config,
        count: usize,
        resources: &[&str],
        selector: &'static str,
        changes: &Changes,
    ) -> Result<Self> {
        let mut watchers = Self {
            tasks: JoinSet::new(),
            traffic: Arc::default(),
            lags: Arc::default(),
        };
        let asks = client_with(config).context("making a client")?;
        for resource in resources {
            let path = format!("/apis/palisade.dev/v1alpha1/{resource}");
            let version = version(&asks, &path).await?;
            for _ in 0..count {
                let client = client_with(config).context("making a client")?;
                let client = counted(client, &watchers.traffic);
                let lags = Arc::clone(&watchers.lags);
                let (path, version) = (path.clone(), version.clone());
                watchers
                    .tasks
                    .spawn(follow(client, path, selector, version, changes.clone(), lags));
            }
        }
        let began = Instant::now();
        let asked = || watchers.traffic.counts().watches;
        while asked() < u64::try_from(count * resources.len())? {
            ensure!(began.elapsed() < PATIENCE, "the watches do not begin");
            tokio::time::sleep(QUIET / 40).await;
        }
        Ok(watchers)
    }

    /// Waits until at least so many events have come, and no more do.
    pub(super) async fn quiet(&mut self, least: u64) -> Result<()> {
        let began = Instant::now();
        let (mut known, mut since) = (0, Instant::now());
        while began.elapsed() < PATIENCE {
            let events = self.traffic.counts().events;
            if events != known || events < least {
                (known, since) = (events, Instant::now());
            } else if since.elapsed() >= QUIET {
                return Ok(());
            }
            if let Some(ended) = self.tasks.try_join_next() {
                ended.context("a watcher has panicked")??;
                bail!("a watch has ended");
            }
            tokio::time::sleep(QUIET / 40).await;
        }
        bail!("not quiet after {PATIENCE:?}");
    }

    /// Takes how long ago each change was when a watch heard of it first.
    pub(super) fn take_lags(&self) -> Vec<Duration> {
        std::mem::take(&mut self.lags.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Ends all.
    pub(super) async fn stop(mut self) {
        self.tasks.shutdown().await;
    }
}

async fn version(client: &Client, path: &str) -> Result<String> {
    let request = http::Request::get(format!("{path}?limit=1")).body(Vec::new())?;
    let listed: Value = client
        .request(request)
        .await
        .context("listing what is published")?;
    let version = listed
        .pointer("/metadata/resourceVersion")
        .and_then(Value::as_str);
    Ok(version.context("a listing without a version")?.to_owned())
}

/// Follows a kind from a version on. An API server ends a watch that does not keep up; it is asked for again from where it was.
async fn follow(
    client: Client,
    path: String,
    selector: &str,
    mut version: String,
    changes: Changes,
    lags: Arc<Mutex<Vec<Duration>>>,
) -> Result<()> {
    let mut heard = Heard::from_now(&changes);
    loop {
        let query = format!(
            "{path}?watch=true&labelSelector={selector}&resourceVersion={version}&timeoutSeconds={OPEN}"
        );
        let request = http::Request::get(query).body(Body::empty())?;
        let answer = client.send(request).await?;
        ensure!(
            answer.status().is_success(),
            "a watch was refused: {}",
            answer.status()
        );
        let mut frames = BodyDataStream::new(answer.into_body());
        let mut line = Vec::new();
        while let Some(data) = frames.try_next().await? {
            for part in data.split_inclusive(|byte| *byte == b'\n') {
                line.extend_from_slice(part);
                if part.ends_with(b"\n") {
                    let text = std::str::from_utf8(&line).context("a line that is no text")?;
                    ensure!(
                        !text.starts_with("{\"type\":\"ERROR\""),
                        "a watch has failed: {text}"
                    );
                    let new = born(text, &changes).filter(|(number, _)| heard.is_new(*number));
                    let new: Vec<Duration> = new.map(|(_, age)| age).collect();
                    lags.lock().unwrap_or_else(PoisonError::into_inner).extend(new);
                    version = between(text, "\"resourceVersion\":\"")
                        .context("an event without a version")?
                        .to_owned();
                    line.clear();
                }
            }
        }
    }
}

/// The changes of which an event tells, and how long ago they were.
fn born(event: &str, changes: &Changes) -> impl Iterator<Item = (u32, Duration)> {
    let now = Instant::now();
    let names = event
        .match_indices(BORN)
        .filter_map(|(at, _)| event.get(at..)?.split('"').next());
    names.filter_map(move |name| changes.age(name, now))
}

/// What comes after `begin`, up to a quotation mark.
fn between<'a>(text: &'a str, begin: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(begin)?;
    rest.split('"').next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_of_an_event_is_found() {
        let event = r#"{"type":"ADDED","object":{"metadata":{"name":"a","resourceVersion":"17","uid":"b"}}}"#;
        assert_eq!(between(event, "\"resourceVersion\":\""), Some("17"));
        assert_eq!(between("{}", "\"resourceVersion\":\""), None);
    }
}
