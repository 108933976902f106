//! Requests that never stop.

use std::time::Duration;

use anyhow::Result;
use palisade_tests::probe::{Flow, Stream};

use super::scene::{PORT, Scene};

/// Between two requests of a stream.
const INTERVAL: Duration = Duration::from_millis(1);

/// Streams that should be answered, and streams that should not.
pub(super) struct Streams {
    allowed: Vec<Stream>,
    denied: Vec<Stream>,
}

/// What became of them.
#[derive(Debug, Default)]
pub(super) struct Seen {
    pub(super) allowed: u64,
    pub(super) lost: u64,
    pub(super) denied: u64,
    pub(super) leaked: u64,
    pub(super) longest_gap: Duration,
}

impl Streams {
    /// Starts them. Each is a thread.
    pub(super) fn start(scene: &Scene) -> Result<Self> {
        let stream = |from: &str, flow| {
            let probe = scene.probe(from, "web", PORT)?;
            scene.prober().stream(&probe, INTERVAL, flow)
        };
        Ok(Self {
            allowed: vec![
                stream("front", Flow::Fresh)?,
                stream("far-front", Flow::Fresh)?,
                stream("front", Flow::Fixed)?,
            ],
            denied: vec![
                stream("outsider", Flow::Fresh)?,
                stream("far-outsider", Flow::Fresh)?,
            ],
        })
    }

    /// Ends them. Blocks for a moment.
    pub(super) fn stop(self) -> Result<Seen> {
        let mut seen = Seen::default();
        for stream in self.allowed {
            let report = stream.stop()?;
            seen.allowed += report.sent;
            seen.lost += report.lost();
            seen.longest_gap = seen.longest_gap.max(report.longest_gap);
        }
        for stream in self.denied {
            let report = stream.stop()?;
            seen.denied += report.sent;
            seen.leaked += report.answered;
        }
        Ok(seen)
    }
}
