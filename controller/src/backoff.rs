//! Pauses between attempts: each twice as long as the one before, up to a longest, and none foreseeable to the
//! millisecond, so that many do not try again at the same moment.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::time::Duration;

/// The pauses of one series of attempts.
#[derive(Clone, Debug)]
pub(crate) struct Backoff {
    first: Duration,
    longest: Duration,
    attempts: u32,
}

impl Backoff {
    /// Pauses of `first` to `longest`.
    pub(crate) const fn new(first: Duration, longest: Duration) -> Self {
        Self {
            first,
            longest,
            attempts: 0,
        }
    }

    /// The pause before the next attempt, half of it left to chance.
    pub(crate) fn pause(&mut self) -> Duration {
        let factor = 2_u32.saturating_pow(self.attempts);
        self.attempts = self.attempts.saturating_add(1);
        let whole = self.first.saturating_mul(factor).min(self.longest);
        whole.mul_f64(0.5 + chance() / 2.0)
    }

    /// Begins anew with the first pause.
    pub(crate) fn reset(&mut self) {
        self.attempts = 0;
    }
}

/// A number from 0 to 1. The keys of the standard library's hash maps are random.
fn chance() -> f64 {
    let bits = RandomState::new().build_hasher().finish() >> 32;
    f64::from(u32::try_from(bits).unwrap_or_default()) / f64::from(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_the_longest_and_begin_anew_after_a_success() {
        let (first, longest) = (Duration::from_millis(100), Duration::from_secs(5));
        let mut backoff = Backoff::new(first, longest);
        let pauses: Vec<Duration> = (0..40).map(|_| backoff.pause()).collect();
        for (attempt, pause) in pauses.iter().enumerate() {
            let whole = first.saturating_mul(1 << attempt.min(20)).min(longest);
            assert!((whole / 2..=whole).contains(pause), "{attempt}: {pause:?}");
        }
        backoff.reset();
        assert!(backoff.pause() <= first);
    }
}
