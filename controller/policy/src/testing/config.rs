//! How much a property test tries, and from which seed.

use proptest::test_runner::{Config, RngSeed};

/// The seed of every property test unless `PALISADE_SEED` gives another: a failure is there again in the next run.
const SEED: u64 = 0x7061_6c69_7361_6465;

/// The configuration of a property test that tries `cases` inputs, times `PALISADE_EFFORT`.
///
/// `make fuzz` sets both variables and prints them, so that whatever it finds can be replayed.
pub fn config(cases: u32) -> Config {
    let variable = |name: &str| {
        std::env::var(name)
            .ok()
            .and_then(|value| value.parse::<u64>().ok())
    };
    let effort = variable("PALISADE_EFFORT")
        .and_then(|effort| u32::try_from(effort).ok())
        .unwrap_or(1);
    Config {
        cases: cases.saturating_mul(effort),
        rng_seed: RngSeed::Fixed(variable("PALISADE_SEED").unwrap_or(SEED)),
        failure_persistence: None,
        ..Config::default()
    }
}
