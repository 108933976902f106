//! The pauses between attempts to watch.

use std::time::{Duration, Instant};

use crate::backoff::Backoff;

/// The pauses after failures. They are short again after this long without one.
const CALM: Duration = Duration::from_secs(20);

/// Grows with failures, and forgets them after a while; a success is no reason, because a watch that begins anew
/// announces its listing before it has reached the server.
#[derive(Clone, Debug)]
pub(super) struct Pauses {
    backoff: Backoff,
    last: Option<Instant>,
}

impl Default for Pauses {
    fn default() -> Self {
        Self {
            backoff: Backoff::new(Duration::from_millis(100), Duration::from_secs(4)),
            last: None,
        }
    }
}

impl Iterator for Pauses {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        if self.last.is_some_and(|last| last.elapsed() > CALM) {
            self.backoff.reset();
        }
        self.last = Some(Instant::now());
        Some(self.backoff.pause())
    }
}

impl kube_runtime::utils::Backoff for Pauses {
    fn reset(&mut self) {}
}
