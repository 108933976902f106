//! Every set of rules in turn, round after round, so that whatever changes meanwhile changes all of them alike.

use anyhow::{Context, Result, anyhow, ensure};
use palisade_tests::bed::Slot;
use rustix::process::setpriority_process;
use rustix::thread::{CpuSet, sched_setaffinity};

use super::path::Path;

/// What each set of rules is asked for in a round.
#[derive(Clone, Copy, Debug)]
pub(super) struct Round {
    /// Rounds that count; one more goes before them.
    pub(super) rounds: usize,
    /// Parts of a round. All sets of rules have their turn in each, a tenth of a second apart: a machine that is slow for a second is
    /// slow for all.
    pub(super) slices: usize,
    /// First packets, and as many established ones.
    pub(super) packets: usize,
    /// Connections.
    pub(super) connects: usize,
    /// Bytes of the bulk.
    pub(super) bytes: usize,
}

/// What came of one set of rules.
#[derive(Clone, Debug, Default)]
pub(super) struct Measured {
    pub(super) first: Series,
    pub(super) established: Series,
    pub(super) connects: Series,
    /// Bits a second, one for each round.
    pub(super) bulk: Vec<f64>,
}

/// Times by round, in seconds.
#[derive(Clone, Debug, Default)]
pub(super) struct Series {
    pub(super) rounds: Vec<Vec<f64>>,
}

impl Series {
    /// All times.
    pub(super) fn all(&self) -> impl Iterator<Item = f64> {
        self.rounds.iter().flatten().copied()
    }

    /// The middle of each round.
    pub(super) fn medians(&self) -> Vec<f64> {
        self.rounds.iter().map(|times| median(times.clone())).collect()
    }

    /// How much more the middle of each round is than that of another's same round.
    pub(super) fn over(&self, other: &Self) -> Vec<f64> {
        let pairs = self.medians().into_iter().zip(other.medians());
        pairs.map(|(own, other)| own - other).collect()
    }
}

/// The middle of some values; zero of none.
pub(super) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}

/// Measures pairs of pods on a thread of its own. Blocks until it is done.
pub(super) fn measure(pairs: &[(Slot, Slot)], round: Round) -> Result<Vec<Measured>> {
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| all(pairs, round));
        thread
            .join()
            .map_err(|_| anyhow!("the thread that measures panicked"))?
    })
}

fn all(pairs: &[(Slot, Slot)], round: Round) -> Result<Vec<Measured>> {
    settle_down().context("taking a processor")?;
    let mut paths = pairs
        .iter()
        .map(|(client, server)| Path::open(client, server))
        .collect::<Result<Vec<_>>>()?;
    let mut measured = vec![Measured::default(); pairs.len()];
    for nth in 0..=round.rounds {
        let mut taken = vec![Taken::default(); pairs.len()];
        for slice in 0..round.slices {
            // Another one begins each time: nobody always comes after the same.
            for turn in 0..pairs.len() {
                let at = (turn + nth + slice) % pairs.len();
                if let Some((path, taken)) = paths.get_mut(at).zip(taken.get_mut(at)) {
                    taken
                        .take(path, round)
                        .with_context(|| format!("set of rules {at}"))?;
                }
            }
        }
        for (path, (measured, taken)) in paths.iter_mut().zip(measured.iter_mut().zip(taken)) {
            let bulk = path.bulk(round.bytes)?;
            // The first round warms what the others find warm.
            if nth > 0 {
                measured.first.rounds.push(taken.first);
                measured.established.rounds.push(taken.established);
                measured.connects.rounds.push(taken.connects);
                measured.bulk.push(bulk);
            }
        }
    }
    let lost: Vec<usize> = paths.iter().map(|path| path.lost).collect();
    eprintln!("  round trips lost, by set of rules: {lost:?}");
    for path in &paths {
        ensure!(
            path.lost * 1_000 < round.packets * round.rounds,
            "{} round trips were lost",
            path.lost
        );
    }
    Ok(measured)
}

/// The times of one round.
#[derive(Clone, Default)]
struct Taken {
    first: Vec<f64>,
    established: Vec<f64>,
    connects: Vec<f64>,
}

impl Taken {
    /// Takes a slice more.
    fn take(&mut self, path: &mut Path, round: Round) -> Result<()> {
        let packets = round.packets / round.slices;
        self.first.extend(path.first_packets(packets)?);
        self.established.extend(path.established(packets)?);
        self.connects
            .extend(path.connects(round.connects / round.slices)?);
        Ok(())
    }
}

/// Keeps the calling thread on one processor, before all others there.
fn settle_down() -> rustix::io::Result<()> {
    let mut processor = CpuSet::new();
    let last = std::thread::available_parallelism().map_or(1, Into::into) - 1;
    processor.set(last);
    sched_setaffinity(None, &processor)?;
    setpriority_process(None, -20)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_changes_for_all_in_a_round_is_in_no_difference() {
        let series = |rounds: &[f64]| Series {
            rounds: rounds
                .iter()
                .map(|middle| vec![middle - 0.25, *middle, middle + 8.0])
                .collect(),
        };
        let (slow, fast) = (series(&[3.0, 103.0, 3.5]), series(&[1.0, 101.0, 1.0]));
        assert_eq!(slow.over(&fast), [2.0, 2.0, 2.5]);
    }
}
