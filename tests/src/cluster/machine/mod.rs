//! A machine: the namespaces of one host, held by one process.
//!
//! The control plane is a machine, and each node is one. Network, mounts, processes, host name and control groups are the
//! machine's own. Its first process (`boot.sh`) is all that holds them: when that ends, the kernel ends every other
//! process of the machine and takes links, mounts and tables down.

mod component;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::process::Signal;
use tokio::process::Command;

pub use component::Component;
pub(crate) use component::Program;

use super::cgroups::Cgroups;
use super::identity::Identity;
use super::run::{Ended, run, succeed, wait_for};

const CREATE: &str = include_str!("create.sh");
const BOOT: &str = include_str!("boot.sh");
const START: &str = include_str!("start.sh");

/// Directories of a machine's state that its first process mounts.
const DIRECTORIES: &[&str] = &[
    "etc",
    "etc-work",
    "var-lib",
    "var-log",
    "opt",
    "sysctl",
    "components",
    "log",
];

const BOOT_PATIENCE: Duration = Duration::from_secs(20);
const END_PATIENCE: Duration = Duration::from_secs(20);

/// One machine of a cluster.
#[derive(Clone, Debug)]
pub struct Machine {
    name: String,
    state: PathBuf,
    cgroups: Cgroups,
}

impl Machine {
    /// The machine with this name, its state in a directory and its control groups at a path; it need not run.
    pub(crate) fn new(name: &str, state: PathBuf, group: &Path) -> Result<Self> {
        let cgroups = Cgroups::new(group.join(name))?;
        Ok(Self {
            name: name.to_owned(),
            state,
            cgroups,
        })
    }

    /// Makes the machine and waits until it has booted.
    pub(crate) async fn create(&self) -> Result<()> {
        for directory in DIRECTORIES {
            let directory = self.state.join(directory);
            fs::create_dir_all(&directory).with_context(|| format!("making {}", directory.display()))?;
        }
        for (file, script) in [("create.sh", CREATE), ("boot.sh", BOOT), ("start.sh", START)] {
            fs::write(self.state.join(file), script).with_context(|| format!("writing {file}"))?;
        }
        self.cgroups.create()?;
        let log = fs::File::create(self.state.join("log/boot.log")).context("making the log of the boot")?;
        let mut command = Command::new("setsid");
        command
            .arg("sh")
            .args([self.state.join("create.sh"), self.state.join("boot.sh")]);
        command.arg(&self.state).arg(&self.name);
        command
            .env("CGROUP_PROCS", self.cgroups.procs())
            .env("CONTROLLERS", self.cgroups.controllers())
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log);
        let mut creator = command.spawn().context("starting a machine")?;
        let what = format!("{} boots", self.name);
        let booted = wait_for(&what, BOOT_PATIENCE, async || {
            if self.init().is_some() {
                return Some(true);
            }
            matches!(creator.try_wait(), Ok(Some(_)) | Err(_)).then_some(false)
        });
        if !booted.await? {
            let log = fs::read_to_string(self.state.join("log/boot.log")).unwrap_or_default();
            bail!("{} did not boot: {log}", self.name);
        }
        Ok(())
    }

    /// Ends the machine and everything in it.
    pub(crate) async fn destroy(&self) -> Result<()> {
        if let Some(init) = self.init() {
            init.signal(Signal::KILL)?;
            wait_for(&format!("{} ends", self.name), END_PATIENCE, async || {
                (!init.is_alive()).then_some(())
            })
            .await?;
        }
        self.cgroups.remove().await
    }

    /// Its name, which is also its host name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether it runs.
    pub fn is_running(&self) -> bool {
        self.init().is_some()
    }

    /// The directory of its state, seen by everybody at the same path.
    pub fn state(&self) -> &Path {
        &self.state
    }

    /// The number of its first process, by which its namespaces are entered.
    pub fn pid(&self) -> Result<i32> {
        let init = self
            .init()
            .with_context(|| format!("{} does not run", self.name))?;
        Ok(init.pid())
    }

    /// A path of the machine as it is reached from outside.
    pub fn path(&self, path: &str) -> Result<PathBuf> {
        Ok(PathBuf::from(format!("/proc/{}/root{path}", self.pid()?)))
    }

    /// A program that runs in all namespaces of the machine. Killing it from outside may leave it running inside.
    pub fn command(&self, program: &str) -> Result<Command> {
        let mut command = Command::new("nsenter");
        command.args(["--target", &self.pid()?.to_string()]).args([
            "--net", "--mount", "--pid", "--uts", "--cgroup", "--wd=/", "--", program,
        ]);
        Ok(command)
    }

    /// A program that runs in the machine's network, and elsewhere as the caller does.
    pub fn network_command(&self, program: &str) -> Result<Command> {
        let mut command = Command::new("nsenter");
        command
            .arg(format!("--net=/proc/{}/ns/net", self.pid()?))
            .args(["--", program]);
        Ok(command)
    }

    /// Runs a program in the machine to its end and gives what it left.
    pub async fn run(&self, words: &[&str], input: &str, patience: Duration) -> Result<Ended> {
        run(self.bounded(words, patience)?, input, patience + END_PATIENCE).await
    }

    /// Runs a program in the machine and gives its standard output; fails when the program does.
    pub async fn succeed(&self, words: &[&str], input: &str, patience: Duration) -> Result<String> {
        let done = succeed(self.bounded(words, patience)?, input, patience + END_PATIENCE).await;
        done.with_context(|| format!("on {}", self.name))
    }

    /// Changes the machine's network by lines of ip(8).
    pub(crate) async fn ip(&self, lines: &[String]) -> Result<()> {
        let mut command = self.network_command("ip")?;
        command.args(["-batch", "-"]);
        let done = succeed(command, &(lines.join("\n") + "\n"), BOOT_PATIENCE).await;
        done.map(drop)
            .with_context(|| format!("setting up the network of {}", self.name))
    }

    /// The component with this name, whether or not it has been started.
    pub fn component(&self, name: &str) -> Component {
        Component::new(self.clone(), name)
    }

    /// The names of all components that have been started, in order.
    pub fn components(&self) -> Result<Vec<String>> {
        let directory = self.state.join("components");
        let mut names = Vec::new();
        for entry in fs::read_dir(&directory).with_context(|| format!("reading {}", directory.display()))? {
            let name = entry?.file_name().to_string_lossy().into_owned();
            names.extend(name.strip_suffix(".json").map(str::to_owned));
        }
        names.sort();
        Ok(names)
    }

    /// Its first process, as long as it runs.
    fn init(&self) -> Option<Identity> {
        let text = fs::read_to_string(self.state.join("init")).ok()?;
        text.parse().ok().filter(|init: &Identity| init.is_alive())
    }

    /// A program that the machine itself ends when it takes too long.
    fn bounded(&self, words: &[&str], patience: Duration) -> Result<Command> {
        let mut command = self.command("timeout")?;
        command
            .args(["--kill-after=5", &patience.as_secs().max(1).to_string()])
            .args(words);
        Ok(command)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(20);

    /// A machine with control groups and a directory of its own.
    struct Temporary {
        machine: Machine,
        group: Cgroups,
        directory: tempfile::TempDir,
    }

    impl Temporary {
        /// Ends the machine; what is left would keep a group or the directory from being removed.
        async fn end(self) {
            self.machine.destroy().await.unwrap();
            self.group.remove().await.unwrap();
            self.directory.close().unwrap();
        }
    }

    async fn temporary(name: &str) -> Temporary {
        let directory = tempfile::tempdir().unwrap();
        let path = PathBuf::from(format!("palisade-test-{}-{name}", std::process::id()));
        let machine = Machine::new(name, directory.path().join(name), &path).unwrap();
        machine.create().await.unwrap();
        Temporary {
            machine,
            group: Cgroups::new(path).unwrap(),
            directory,
        }
    }

    fn mounts() -> usize {
        fs::read_to_string("/proc/self/mounts").unwrap().lines().count()
    }

    #[tokio::test]
    async fn a_machine_has_its_own_network_mounts_processes_and_name() {
        let before = mounts();
        let temporary = temporary("own").await;
        let machine = temporary.machine.clone();
        let shell = async |line: &str| machine.succeed(&["sh", "-c", line], "", PATIENCE).await.unwrap();
        assert_eq!(shell("hostname").await, "own\n");
        assert_eq!(shell("ls /sys/class/net").await, "lo\n");
        assert_eq!(shell("cat /proc/1/comm").await, "tini\n");
        assert!(
            shell("cat /proc/1/cgroup")
                .await
                .lines()
                .all(|line| line.ends_with(":/")),
            "its groups show"
        );
        shell("mkdir /run/mark && mount -t tmpfs tmpfs /run/mark").await;
        assert_eq!(mounts(), before, "a mount is seen outside");
        assert!(machine.path("/run/mark").unwrap().exists());

        temporary.end().await;
        assert!(!machine.is_running());
        assert!(
            machine
                .cgroups
                .procs()
                .split(' ')
                .all(|file| !Path::new(file).exists())
        );
    }

    #[tokio::test]
    async fn a_component_is_stopped_killed_and_started_again() {
        let temporary = temporary("components").await;
        let machine = temporary.machine.clone();
        let component = machine.component("waits");
        assert!(component.start().await.is_err(), "nobody said what it is");
        component
            .define(&Program::new(["sleep", "1000"]).with("MARK", "kept"))
            .await
            .unwrap();
        let first = component.process().unwrap();
        assert!(component.start().await.is_err(), "it runs already");

        component.kill().await.unwrap();
        assert!(!component.is_running() && !first.is_alive());
        component.start().await.unwrap();
        let second = component.process().unwrap();
        assert_ne!(first, second);
        let environment = fs::read_to_string(format!("/proc/{}/environ", second.pid())).unwrap();
        assert!(environment.contains("MARK=kept"));
        component.stop().await.unwrap();
        component.stop().await.unwrap();
        assert_eq!(machine.components().unwrap(), ["waits"]);

        component.start().await.unwrap();
        let last = component.process().unwrap();
        temporary.end().await;
        assert!(!last.is_alive(), "it outlives its machine");
    }

    #[tokio::test]
    async fn a_program_that_takes_too_long_is_ended_inside() {
        let temporary = temporary("bounded").await;
        let machine = temporary.machine.clone();
        let ended = machine
            .run(&["sleep", "1000"], "", Duration::from_secs(1))
            .await
            .unwrap();
        assert_eq!(ended.status.code(), Some(124), "timeout(1) says that it ended it");
        temporary.end().await;
    }
}
