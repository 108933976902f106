//! What is expected: the instructions of each scenario when somebody last looked.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};

/// Instructions by scenario, and what they were counted with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Baseline {
    /// The compiler, as it tells its version. Another one makes other code.
    pub(super) compiler: String,
    /// Instructions by scenario.
    pub(super) instructions: BTreeMap<String, u64>,
}

impl Baseline {
    /// An empty one for this compiler.
    pub(super) fn of_this_compiler() -> Result<Self> {
        let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
        let output = Command::new(rustc)
            .arg("--version")
            .output()
            .context("cannot run rustc")?;
        ensure!(output.status.success(), "rustc --version: {}", output.status);
        Ok(Self {
            compiler: String::from_utf8_lossy(&output.stdout).trim().to_owned(),
            instructions: BTreeMap::new(),
        })
    }

    /// The one that was kept.
    pub(super) fn read(path: &Path) -> Result<Self> {
        let text = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
        serde_json::from_slice(&text).with_context(|| format!("{} is no baseline", path.display()))
    }

    /// Keeps it.
    pub(super) fn write(&self, path: &Path) -> Result<()> {
        let mut text = serde_json::to_string_pretty(self).context("cannot print a baseline")?;
        text.push('\n');
        fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
    }
}
