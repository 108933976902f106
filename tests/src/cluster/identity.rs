//! Which process is meant: its number, and when it started.
//!
//! A number alone is given again when its process has ended. Nothing of a cluster is signalled by number alone.

use std::fmt;
use std::fs;
use std::io;
use std::str::FromStr;

use anyhow::{Context, Result, anyhow};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

/// Where `/proc/PID/stat` keeps the start time, counted from the field after the name (proc(5): field 22).
const START_TIME_AFTER_NAME: usize = 19;

/// A process, told apart from any other that ever has its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    pid: i32,
    started: u64,
}

impl Identity {
    /// The process that has the number now.
    pub fn of(pid: i32) -> io::Result<Self> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
        let started = start_time(&stat).ok_or(io::ErrorKind::InvalidData)?;
        Ok(Self { pid, started })
    }

    /// Its number.
    pub fn pid(self) -> i32 {
        self.pid
    }

    /// Whether it still runs.
    pub fn is_alive(self) -> bool {
        // A process that has ended and is not yet waited for is in state Z.
        let Ok(stat) = fs::read_to_string(format!("/proc/{}/stat", self.pid)) else {
            return false;
        };
        start_time(&stat) == Some(self.started)
            && !after_name(&stat).is_some_and(|rest| rest.starts_with('Z'))
    }

    /// Sends it a signal; nothing happens when it has ended.
    pub fn signal(self, signal: Signal) -> Result<()> {
        let pid = Pid::from_raw(self.pid).with_context(|| format!("{self} is no process"))?;
        // The descriptor holds the number: what is checked after it was opened is what the signal reaches.
        let process = match pidfd_open(pid, PidfdFlags::empty()) {
            Ok(process) => process,
            Err(Errno::SRCH) => return Ok(()),
            Err(error) => return Err(error).with_context(|| format!("opening process {self}")),
        };
        if !self.is_alive() {
            return Ok(());
        }
        match pidfd_send_signal(&process, signal) {
            Ok(()) | Err(Errno::SRCH) => Ok(()),
            Err(error) => Err(error).with_context(|| format!("sending {signal:?} to process {self}")),
        }
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} {}", self.pid, self.started)
    }
}

impl FromStr for Identity {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let (pid, started) = text
            .trim()
            .split_once(' ')
            .ok_or_else(|| anyhow!("{text:?} is not a process number and a start time"))?;
        Ok(Self {
            pid: pid
                .parse()
                .with_context(|| format!("{pid:?} is no process number"))?,
            started: started
                .parse()
                .with_context(|| format!("{started:?} is no start time"))?,
        })
    }
}

/// What follows the name in `/proc/PID/stat`. The name may hold spaces and parentheses, nothing after it does.
fn after_name(stat: &str) -> Option<&str> {
    stat.rsplit_once(") ").map(|(_, rest)| rest)
}

fn start_time(stat: &str) -> Option<u64> {
    after_name(stat)?
        .split_ascii_whitespace()
        .nth(START_TIME_AFTER_NAME)?
        .parse()
        .ok()
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn a_start_time_is_found_behind_any_name() {
        let stat = "42 (a) b (c)) S 1 42 42 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 98765 1000 2";
        assert_eq!(start_time(stat), Some(98765));
    }

    #[test]
    fn an_identity_reads_back_as_it_is_written() {
        let own = Identity::of(i32::try_from(std::process::id()).unwrap()).unwrap();
        assert_eq!(own.to_string().parse::<Identity>().unwrap(), own);
        assert!(own.is_alive());
        assert!("12".parse::<Identity>().is_err());
    }

    #[test]
    fn a_number_with_another_start_time_is_left_alone() {
        let mut child = Command::new("sleep").arg("60").spawn().unwrap();
        let real = Identity::of(i32::try_from(child.id()).unwrap()).unwrap();
        let other = Identity {
            started: real.started + 1,
            ..real
        };
        assert!(!other.is_alive());
        other.signal(Signal::KILL).unwrap();
        assert!(real.is_alive());
        real.signal(Signal::KILL).unwrap();
        child.wait().unwrap();
        assert!(!real.is_alive());
        real.signal(Signal::KILL).unwrap();
    }
}
