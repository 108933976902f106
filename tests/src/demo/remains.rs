//! Whether anything is left behind: asked of the kernel, not of what the demo believes to have done.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use rustix::io::Errno;
use rustix::process::{WaitId, WaitIdOptions, waitid};

/// Where namespaces that have a name are listed.
const NAMED: &str = "/run/netns";
/// How long the tasks of responders may take to let go of their namespaces.
const PATIENCE: Duration = Duration::from_secs(3);
const GLANCE: Duration = Duration::from_millis(5);

/// What there was before.
#[derive(Debug)]
pub(super) struct Before {
    named: BTreeSet<OsString>,
}

impl Before {
    /// Looks around before anything is made.
    pub(super) fn look() -> Result<Self> {
        Ok(Self { named: named()? })
    }

    /// What is left of the demo, in words; nothing, if all is well. `directory` was the bed's.
    pub(super) async fn left(&self, directory: &Path) -> Result<Vec<String>> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let left = self.look_again(directory)?;
            if left.is_empty() || Instant::now() > deadline {
                return Ok(left);
            }
            tokio::time::sleep(GLANCE).await;
        }
    }

    fn look_again(&self, directory: &Path) -> Result<Vec<String>> {
        let mut left = Vec::new();
        if has_children()? {
            left.push("a process that the demo has started".to_owned());
        }
        let held = held()?;
        if held > 0 {
            left.push(format!("{held} open network namespaces"));
        }
        for name in named()?.difference(&self.named) {
            left.push(format!("the network namespace {}", name.display()));
        }
        if directory.exists() {
            left.push(format!("the directory {}", directory.display()));
        }
        Ok(left)
    }
}

/// Whether this process has a child, ended or not.
fn has_children() -> Result<bool> {
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    match waitid(WaitId::All, options) {
        Ok(_) => Ok(true),
        Err(Errno::CHILD) => Ok(false),
        Err(error) => Err(error).context("asking for child processes"),
    }
}

/// How many network namespaces this process keeps alive by their file descriptors.
fn held() -> Result<usize> {
    let files = fs::read_dir("/proc/self/fd").context("listing open files")?;
    let mut held = 0;
    for file in files {
        // A file that was closed in between is not held.
        let target: PathBuf = fs::read_link(file?.path()).unwrap_or_default();
        held += usize::from(target.to_string_lossy().starts_with("net:["));
    }
    Ok(held)
}

fn named() -> Result<BTreeSet<OsString>> {
    match fs::read_dir(NAMED) {
        Ok(entries) => entries
            .map(|entry| Ok(entry?.file_name()))
            .collect::<io::Result<_>>()
            .context("listing named network namespaces"),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(BTreeSet::new()),
        Err(error) => Err(error).context("listing named network namespaces"),
    }
}
