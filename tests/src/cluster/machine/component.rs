//! A program that runs on a machine until it is stopped: etcd, the API server, a kubelet.
//!
//! How it is started is kept in a file, so that another process can start it again after it was stopped or killed.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::process::Signal;
use serde::{Deserialize, Serialize};
use tokio::process::Command;

use super::Machine;
use crate::cluster::identity::Identity;
use crate::cluster::run::wait_for;

const START_PATIENCE: Duration = Duration::from_secs(10);
const STOP_PATIENCE: Duration = Duration::from_secs(20);

/// What is started.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Program {
    pub(crate) words: Vec<String>,
    pub(crate) environment: BTreeMap<String, String>,
}

impl Program {
    /// A program with its arguments.
    pub(crate) fn new(words: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self {
            words: words.into_iter().map(Into::into).collect(),
            environment: BTreeMap::new(),
        }
    }

    /// The same with one more environment variable.
    pub(crate) fn with(mut self, name: &str, value: &str) -> Self {
        self.environment.insert(name.to_owned(), value.to_owned());
        self
    }
}

/// A long-running program of a machine.
#[derive(Clone, Debug)]
pub struct Component {
    machine: Machine,
    name: String,
}

impl Component {
    pub(super) fn new(machine: Machine, name: &str) -> Self {
        Self {
            machine,
            name: name.to_owned(),
        }
    }

    /// Starts `program` under this name, for the first time or in place of another.
    pub(crate) async fn define(&self, program: &Program) -> Result<()> {
        let file = self.file("json");
        let text = serde_json::to_string_pretty(program)?;
        fs::write(&file, text).with_context(|| format!("writing {}", file.display()))?;
        self.start().await
    }

    /// Starts it as it was started before; fails when it runs already.
    pub async fn start(&self) -> Result<()> {
        if self.is_running() {
            bail!("{} of {} runs already", self.name, self.machine.name());
        }
        let file = self.file("json");
        let text = fs::read_to_string(&file).with_context(|| {
            format!(
                "{} has no {} (no {})",
                self.machine.name(),
                self.name,
                file.display()
            )
        })?;
        let program: Program = serde_json::from_str(&text)?;
        let identity = self.file("pid");
        if identity.exists() {
            fs::remove_file(&identity).with_context(|| format!("removing {}", identity.display()))?;
        }
        let log = OpenOptions::new().create(true).append(true).open(self.log())?;
        let mut command = Command::new("setsid");
        command
            .arg("sh")
            .arg(self.machine.state().join("start.sh"))
            .arg(self.machine.pid()?.to_string())
            .arg(&identity)
            .args(&program.words)
            .envs(&program.environment)
            .env("CGROUP_PROCS", self.machine.cgroups.procs())
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log);
        // It outlives this process on purpose; the machine ends it.
        let mut launcher = command
            .spawn()
            .with_context(|| format!("starting {}", self.name))?;
        let what = format!("{} of {} starts", self.name, self.machine.name());
        let running = wait_for(&what, START_PATIENCE, async || {
            if identity.exists() {
                return Some(true);
            }
            matches!(launcher.try_wait(), Ok(Some(_)) | Err(_)).then_some(false)
        });
        if !running.await? {
            bail!(
                "{} of {} did not start; see {}",
                self.name,
                self.machine.name(),
                self.log().display()
            );
        }
        Ok(())
    }

    /// Asks it to end, waits, and kills it when it takes too long. Nothing happens when it does not run.
    pub async fn stop(&self) -> Result<()> {
        let Some(process) = self.process() else {
            return Ok(());
        };
        process.signal(Signal::TERM)?;
        let what = format!("{} of {} ends", self.name, self.machine.name());
        let ended = wait_for(&what, STOP_PATIENCE, async || (!process.is_alive()).then_some(()));
        if ended.await.is_err() {
            return self.kill().await;
        }
        Ok(())
    }

    /// Kills it, as a crash would. Nothing happens when it does not run.
    pub async fn kill(&self) -> Result<()> {
        let Some(process) = self.process() else {
            return Ok(());
        };
        process.signal(Signal::KILL)?;
        let what = format!("{} of {} dies", self.name, self.machine.name());
        wait_for(&what, STOP_PATIENCE, async || (!process.is_alive()).then_some(())).await
    }

    /// Sends it a signal; nothing happens when it does not run.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        self.process().map_or(Ok(()), |process| process.signal(signal))
    }

    /// Whether it runs.
    pub fn is_running(&self) -> bool {
        self.process().is_some()
    }

    /// The file with all that it wrote.
    pub fn log(&self) -> PathBuf {
        self.machine
            .state()
            .join("log")
            .join(format!("{}.log", self.name))
    }

    /// Its process, as the outside knows it, as long as it runs.
    pub fn process(&self) -> Option<Identity> {
        let text = fs::read_to_string(self.file("pid")).ok()?;
        text.parse().ok().filter(|process: &Identity| process.is_alive())
    }

    fn file(&self, kind: &str) -> PathBuf {
        self.machine
            .state()
            .join("components")
            .join(format!("{}.{kind}", self.name))
    }
}
