//! What an API server takes of processors, by what it is asked: measured by what more it takes when it is asked more.
//!
//! For each rate of changes anew. An API server that is hardly busy takes more for each request than one that has many together, and
//! something for itself.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result};

use super::wire::Counts;
use super::{RATES, real};
use crate::figure::Figure;
use crate::machine;

/// Seconds of changes from which something is subtracted or which are subtracted.
pub(super) const REFERENCE: u32 = 10;

/// What a process takes of processors.
pub(super) struct Meter {
    process: u32,
    before: Duration,
}

impl Meter {
    pub(super) fn start(process: u32) -> Self {
        let before = machine::processor_of(process);
        Self { process, before }
    }

    pub(super) fn stop(self) -> Duration {
        machine::processor_of(self.process).saturating_sub(self.before)
    }
}

/// By rate.
#[derive(Debug, Default)]
pub(super) struct Units(BTreeMap<u32, Unit>);

#[derive(Debug, Default)]
struct Unit {
    /// What each change of a pod takes, without anybody who watches.
    change: Duration,
    /// Seconds for each byte that the controller writes.
    byte: f64,
}

impl Units {
    /// What so many changes took while nobody watched.
    pub(super) fn changed(&mut self, rate: u32, changes: u32, used: Duration) {
        self.0.entry(rate).or_default().change = used / changes;
    }

    /// What so many changes took while the controller wrote.
    pub(super) fn wrote(&mut self, rate: u32, changes: u32, used: Duration, written: Counts) -> Result<()> {
        let less = self.without_changes(rate, changes, used)?;
        let unit = self.0.entry(rate).or_default();
        unit.byte = less.as_secs_f64() / real(written.event_bytes.max(1));
        Ok(())
    }

    /// What is left without the changes themselves.
    pub(super) fn without_changes(&self, rate: u32, changes: u32, used: Duration) -> Result<Duration> {
        let unit = self.of(rate)?;
        Ok(used.saturating_sub(unit.change * changes))
    }

    /// Seconds that are left without the changes themselves and what the controller wrote.
    pub(super) fn without_writes(
        &self,
        rate: u32,
        changes: u32,
        used: Duration,
        written: Counts,
    ) -> Result<f64> {
        let less = self.without_changes(rate, changes, used)?;
        let of_writes = self.of(rate)?.byte * real(written.event_bytes);
        Ok((less.as_secs_f64() - of_writes).max(0.0))
    }

    fn of(&self, rate: u32) -> Result<&Unit> {
        self.0.get(&rate).context("a rate that was not measured")
    }

    pub(super) fn figures(&self) -> Result<Vec<Figure>> {
        let mut figures = Vec::new();
        for rate in RATES {
            let unit = self.of(rate)?;
            let a_kilobyte = Duration::from_secs_f64(unit.byte * 1024.0);
            figures.extend([
                Figure::times(
                    &format!("API server, change of a pod, {rate} a second"),
                    [unit.change],
                ),
                Figure::times(&format!("API server, KB written, {rate} a second"), [a_kilobyte]),
            ]);
        }
        Ok(figures)
    }
}
