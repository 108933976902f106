//! All figures of a run.

use std::fs;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use k8s_openapi::jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::figure::Figure;
use crate::machine::Machine;

/// What was measured, where and when.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Report {
    /// Where.
    pub(crate) machine: Machine,
    /// When it began, in seconds since 1970.
    pub(crate) began: u64,
    /// What came out.
    pub(crate) figures: Vec<Figure>,
}

impl Report {
    /// A report without figures.
    pub(crate) fn begin() -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        Self {
            machine: Machine::this(),
            began: since.map(|since| since.as_secs()).unwrap_or_default(),
            figures: Vec::new(),
        }
    }

    /// One that was written before.
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let text = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
        serde_json::from_slice(&text).with_context(|| format!("{} is no report", path.display()))
    }

    /// The day on which it began.
    pub(crate) fn date(&self) -> String {
        day(self.began)
    }

    /// Writes it to a file.
    pub(crate) fn write(&self, path: &Path) -> Result<()> {
        let mut text = serde_json::to_string_pretty(self).context("cannot print figures")?;
        text.push('\n');
        fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
    }
}

/// The day that holds a number of seconds since 1970, as `2026-11-25` (UTC).
fn day(seconds: u64) -> String {
    let moment = i64::try_from(seconds)
        .ok()
        .and_then(|seconds| Timestamp::from_second(seconds).ok());
    moment.unwrap_or(Timestamp::MAX).strftime("%Y-%m-%d").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_those_of_the_calendar() {
        for (seconds, expected) in [
            (0, "1970-01-01"),
            (951_782_400, "2000-02-29"),
            (1_735_689_599, "2024-12-31"),
            (1_735_689_600, "2025-01-01"),
            (1_795_561_200, "2026-11-24"),
        ] {
            assert_eq!(day(seconds), expected);
        }
    }
}
