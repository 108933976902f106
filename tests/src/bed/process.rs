//! Processes that run in the bed and never outlive it.
//!
//! Each is started with a parent-death signal, so that the kernel kills it when this process dies, whatever the
//! cause. The kernel takes the *thread* that forked for the parent, so one thread that lives as long as the
//! process starts them all: threads of a runtime come and go.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::OnceLock;
use std::sync::mpsc::{Sender, channel};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use nlink::netlink::namespace::Netns;
use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use tokio::time::Instant;

type Job = Box<dyn FnOnce() + Send>;

/// How often a wait for a process looks again.
const GLANCE: Duration = Duration::from_millis(5);

/// A process in a namespace of the bed, killed with its process group when dropped.
#[derive(Debug)]
pub struct ManagedChild {
    name: String,
    child: Child,
    log: PathBuf,
}

impl ManagedChild {
    /// Starts `command` in `netns` with its output in a file under `logs`.
    pub(crate) fn start(netns: &Netns, mut command: Command, logs: &Path) -> Result<Self> {
        let program = Path::new(command.get_program());
        let name = program
            .file_name()
            .unwrap_or(program.as_os_str())
            .to_string_lossy()
            .into_owned();
        let (file, log) = tempfile::Builder::new()
            .prefix(&format!("{name}-"))
            .suffix(".log")
            .tempfile_in(logs)
            .context("making a log file")?
            .keep()?;
        let errors: File = file.try_clone()?;
        command.stdin(Stdio::null()).stdout(file).stderr(errors);
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let child = fork(netns, command).with_context(|| format!("starting {name}"))?;
        Ok(Self { name, child, log })
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// The file that takes its standard output and standard error.
    pub fn log_path(&self) -> &Path {
        &self.log
    }

    /// What it has written so far to standard output and standard error.
    pub fn log(&self) -> String {
        match fs::read(&self.log) {
            Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
            Err(error) => format!("<{}: {error}>", self.log.display()),
        }
    }

    /// Its exit status, if it has ended.
    pub fn try_wait(&mut self) -> Result<Option<ExitStatus>> {
        self.child
            .try_wait()
            .with_context(|| format!("waiting for {}", self.name))
    }

    /// Sends it a signal; nothing happens if it has ended.
    pub fn signal(&mut self, signal: Signal) -> Result<()> {
        if self.try_wait()?.is_some() {
            return Ok(());
        }
        kill_process(self.pid()?, signal).with_context(|| format!("sending {} a signal", self.name))
    }

    /// Waits until it has ended, at most `patience`.
    pub async fn ended(&mut self, patience: Duration) -> Result<ExitStatus> {
        let deadline = Instant::now() + patience;
        loop {
            if let Some(status) = self.try_wait()? {
                return Ok(status);
            }
            if Instant::now() > deadline {
                bail!(
                    "{} has not ended within {patience:?}; it wrote:\n{}",
                    self.name,
                    self.log()
                );
            }
            tokio::time::sleep(GLANCE).await;
        }
    }

    /// Waits until it has written `text`, at most `patience`; fails as soon as it has ended without.
    pub async fn wrote(&mut self, text: &str, patience: Duration) -> Result<()> {
        let deadline = Instant::now() + patience;
        loop {
            let ended = self.try_wait()?;
            if self.log().contains(text) {
                return Ok(());
            }
            if let Some(status) = ended {
                bail!(
                    "{} ended ({status}) before it wrote {text:?}; it wrote:\n{}",
                    self.name,
                    self.log()
                );
            }
            if Instant::now() > deadline {
                bail!(
                    "{} has not written {text:?} within {patience:?}; it wrote:\n{}",
                    self.name,
                    self.log()
                );
            }
            tokio::time::sleep(GLANCE).await;
        }
    }

    fn pid(&self) -> Result<Pid> {
        let id = i32::try_from(self.child.id())?;
        Pid::from_raw(id).with_context(|| format!("{} has no process id", self.name))
    }
}

impl Drop for ManagedChild {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(Some(_))) {
            return;
        }
        let killed = self
            .pid()
            .and_then(|pid| Ok(kill_process_group(pid, Signal::KILL)?));
        if let Err(error) = killed.and_then(|()| Ok(self.child.wait()?)) {
            tracing::error!(process = self.name, %error, "could not end a process of the test bed");
        }
    }
}

/// Starts `command` in `netns` so that it dies with this process.
pub(crate) fn fork(netns: &Netns, command: Command) -> Result<Child> {
    let command = netns.command(command)?.pdeathsig(Signal::KILL.as_raw());
    let (reply, started) = channel();
    let job: Job = Box::new(move || {
        // The asking side waits for the answer; it is gone only if its thread has panicked.
        if let Err(unheard) = reply.send(command.spawn()) {
            drop(unheard.0.map(|mut child| child.kill()));
        }
    });
    launcher()?
        .send(job)
        .map_err(|_| anyhow!("the thread that starts processes has ended"))?;
    Ok(started
        .recv()
        .context("the thread that starts processes gave no answer")??)
}

/// The thread that starts processes, made on first use.
fn launcher() -> Result<&'static Sender<Job>> {
    static LAUNCHER: OnceLock<Sender<Job>> = OnceLock::new();
    if let Some(sender) = LAUNCHER.get() {
        return Ok(sender);
    }
    let (sender, jobs) = channel::<Job>();
    thread::Builder::new()
        .name("launcher".into())
        .spawn(move || jobs.into_iter().for_each(|job| job()))?;
    // Two first users may both have made one; the loser's thread ends with its sender.
    Ok(LAUNCHER.get_or_init(|| sender))
}
