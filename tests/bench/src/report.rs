//! All figures of a run.

use std::fs;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use crate::date;
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
        date::day(self.began)
    }

    /// Writes it to a file.
    pub(crate) fn write(&self, path: &Path) -> Result<()> {
        let mut text = serde_json::to_string_pretty(self).context("cannot print figures")?;
        text.push('\n');
        fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
    }
}
