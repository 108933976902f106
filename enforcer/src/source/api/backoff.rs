//! How long to wait before the next attempt: longer each time, and not the same as all other nodes.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

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
