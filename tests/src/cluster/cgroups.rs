//! The control groups of a machine: one in each hierarchy of the kernel, with all groups of its containers below.
//!
//! A group holds every process that was ever started in the machine and its descendants, so it also tells what is left
//! to end, even when nothing else is known any more.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::process::Signal;

use super::identity::Identity;
use super::run::wait_for;

const HIERARCHIES: &str = "/sys/fs/cgroup";
const PATIENCE: Duration = Duration::from_secs(20);

/// The groups of one machine.
#[derive(Clone, Debug)]
pub(crate) struct Cgroups {
    /// Names of the hierarchies, as directories below [`HIERARCHIES`].
    controllers: Vec<String>,
    /// The group's path in each of them.
    group: PathBuf,
}

impl Cgroups {
    /// The groups with this path in each hierarchy of version 1.
    pub(crate) fn new(group: PathBuf) -> Result<Self> {
        let mounts = fs::read_to_string("/proc/mounts").context("reading /proc/mounts")?;
        let controllers = controllers(&mounts);
        if controllers.is_empty() {
            bail!("no control groups of version 1 below {HIERARCHIES}: not supported yet");
        }
        Ok(Self { controllers, group })
    }

    /// Makes the groups.
    pub(crate) fn create(&self) -> Result<()> {
        for directory in self.directories() {
            fs::create_dir_all(&directory).with_context(|| format!("making {}", directory.display()))?;
        }
        // A new group of this hierarchy takes no process before it is told processors and memory.
        let root = Path::new(HIERARCHIES).join("cpuset");
        if self.controllers.iter().any(|name| name == "cpuset") {
            let mut group = root.clone();
            for part in &self.group {
                group.push(part);
                for file in ["cpuset.cpus", "cpuset.mems"] {
                    let value = fs::read(root.join(file)).with_context(|| format!("reading {file}"))?;
                    fs::write(group.join(file), value).with_context(|| format!("writing {file}"))?;
                }
            }
        }
        Ok(())
    }

    /// The names of the hierarchies, separated by spaces.
    pub(crate) fn controllers(&self) -> String {
        self.controllers.join(" ")
    }

    /// The files that take a process into the groups, separated by spaces.
    pub(crate) fn procs(&self) -> String {
        let files = self.directories().map(|directory| directory.join("cgroup.procs"));
        files
            .map(|file| file.display().to_string())
            .collect::<Vec<_>>()
            .join(" ")
    }

    /// Ends every process in the groups and removes them.
    pub(crate) async fn remove(&self) -> Result<()> {
        for directory in self.directories() {
            wait_for(
                &format!("removing {}", directory.display()),
                PATIENCE,
                async || sweep(&directory).ok(),
            )
            .await?;
        }
        Ok(())
    }

    fn directories(&self) -> impl Iterator<Item = PathBuf> {
        let root = Path::new(HIERARCHIES);
        self.controllers
            .iter()
            .map(move |controller| root.join(controller).join(&self.group))
    }
}

/// Ends what runs in a group and removes it, with the groups below it first; fails while something is still ending.
fn sweep(group: &Path) -> Result<()> {
    let entries = match fs::read_dir(group) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            sweep(&entry.path())?;
        }
    }
    let procs = fs::read_to_string(group.join("cgroup.procs"))?;
    for pid in procs.lines().filter_map(|line| line.parse().ok()) {
        if let Ok(process) = Identity::of(pid) {
            process.signal(Signal::KILL)?;
        }
    }
    Ok(fs::remove_dir(group)?)
}

/// The hierarchies of version 1, by the names of their directories.
fn controllers(mounts: &str) -> Vec<String> {
    let lines = mounts.lines().filter_map(|line| {
        let mut fields = line.split(' ').skip(1);
        let directory = fields.next()?;
        let kind = fields.next()?;
        (kind == "cgroup").then_some(directory)
    });
    let names = lines.filter_map(|directory| directory.strip_prefix(HIERARCHIES)?.strip_prefix('/'));
    let mut names: Vec<String> = names.map(str::to_owned).collect();
    names.sort();
    names.dedup();
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hierarchies_of_version_1_are_found_once() {
        let mounts = "tmpfs /sys/fs/cgroup tmpfs rw 0 0\n\
                      cgroup /sys/fs/cgroup/cpu,cpuacct cgroup rw,cpu,cpuacct 0 0\n\
                      cgroup /sys/fs/cgroup/systemd cgroup rw,name=systemd 0 0\n\
                      cgroup /elsewhere/memory cgroup rw,memory 0 0\n\
                      cgroup /sys/fs/cgroup/systemd cgroup rw,name=systemd 0 0\n\
                      cgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0\n";
        assert_eq!(controllers(mounts), ["cpu,cpuacct", "systemd"]);
    }
}
