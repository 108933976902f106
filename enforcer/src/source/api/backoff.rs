//! How long to wait before the next attempt: longer each time, and not the same as all other nodes.

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::sleep;

const FIRST: Duration = Duration::from_millis(100);

/// After an outage everything converges within a few seconds, so no wait is longer.
const LONGEST: Duration = Duration::from_secs(4);

/// Waits that double.
#[derive(Debug)]
pub(crate) struct Backoff {
    next: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self { next: FIRST }
    }
}

impl Backoff {
    /// The next wait: at least half of what it may be.
    pub(crate) fn next(&mut self) -> Duration {
        let half = self.next / 2;
        self.next = (self.next * 2).min(LONGEST);
        half + spread(half)
    }

    /// Something went well.
    pub(crate) fn reset(&mut self) {
        self.next = FIRST;
    }
}

/// Waits before attempts, of which one that succeeds elsewhere cuts the rest short.
pub(super) struct Pause {
    backoff: Backoff,
    again: Arc<Notify>,
}

impl Pause {
    /// Listens to `again`, by which others say that they got an answer.
    pub(super) fn new(again: Arc<Notify>) -> Self {
        let backoff = Backoff::default();
        Self { backoff, again }
    }

    /// Something went well.
    pub(super) fn reset(&mut self) {
        self.backoff.reset();
    }

    /// Waits for the next attempt: the shortest wait in any case, so that watches that come and go do not drive each
    /// other.
    pub(super) async fn wait(&mut self) {
        let wait = self.backoff.next();
        let least = wait.min(FIRST);
        sleep(least).await;
        tokio::select! {
            () = sleep(wait.saturating_sub(least)) => {}
            () = self.again.notified() => {}
        }
    }
}

/// Any duration below `most`; each call gives another. For spreading requests, not for secrets.
pub(crate) fn spread(most: Duration) -> Duration {
    let random = RandomState::new().hash_one(0_u8) >> 32;
    let share = u32::try_from(random).unwrap_or(0);
    most.mul_f64(f64::from(share) / (f64::from(u32::MAX) + 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_the_longest_and_start_again_when_something_went_well() {
        let mut backoff = Backoff::default();
        let mut most = FIRST;
        for _ in 0..10 {
            let wait = backoff.next();
            assert!(wait >= most / 2 && wait < most, "{wait:?} of {most:?}");
            most = (most * 2).min(LONGEST);
        }
        assert_eq!(most, LONGEST);
        backoff.reset();
        assert!(backoff.next() < FIRST);
    }
}
