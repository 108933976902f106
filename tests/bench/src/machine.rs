//! What a report was measured on.

use std::fmt;
use std::fs;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A machine and what else it had to do.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Machine {
    /// Model of the processor, as the kernel calls it.
    processor: String,
    /// Processors that this process may use.
    processors: usize,
    /// Bytes of memory.
    memory: u64,
    /// Release of the kernel.
    kernel: String,
    /// Load when it began (proc(5), `loadavg`).
    load: String,
}

impl Machine {
    /// This one.
    pub(crate) fn this() -> Self {
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let field = |text: &str, name: &str| {
            let line = text
                .lines()
                .find(|line| line.starts_with(name))
                .unwrap_or_default();
            let (_, value) = line.split_once(':').unwrap_or_default();
            value.trim().to_owned()
        };
        let memory = field(&read("/proc/meminfo"), "MemTotal");
        let kilobytes: u64 = memory.trim_end_matches(" kB").parse().unwrap_or_default();
        Self {
            processor: field(&read("/proc/cpuinfo"), "model name"),
            processors: std::thread::available_parallelism().map_or(0, Into::into),
            memory: kilobytes * 1024,
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
            load: read("/proc/loadavg").trim().to_owned(),
        }
    }
}

impl Machine {
    /// Its processor and kernel.
    pub(crate) fn short(&self) -> String {
        format!("{} × {}, Linux {}", self.processors, self.processor, self.kernel)
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            processor,
            processors,
            memory,
            kernel,
            load,
        } = self;
        let gigabytes = memory >> 30;
        write!(
            f,
            "{processor}, {processors} processors, {gigabytes} GiB, Linux {kernel}, load {load}"
        )
    }
}

/// How long this process has had a processor (proc(5), `schedstat`): what another process takes does not count.
pub(crate) fn processor() -> Duration {
    let stat = fs::read_to_string("/proc/self/schedstat").unwrap_or_default();
    let nanoseconds = stat.split(' ').next().and_then(|word| word.parse().ok());
    Duration::from_nanos(nanoseconds.unwrap_or_default())
}

/// How long a process with all its threads has had processors, in steps of 10 ms (proc(5), `stat`: fields 14 and 15).
pub(crate) fn processor_of(process: u32) -> Duration {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    // The name may hold spaces and parentheses; nothing after it does.
    let (_, rest) = stat.rsplit_once(") ").unwrap_or_default();
    let times = rest.split_ascii_whitespace().skip(11).take(2);
    let ticks: u64 = times.filter_map(|word| word.parse::<u64>().ok()).sum();
    Duration::from_millis(ticks * 10)
}

/// The memory that a process has, in bytes (proc(5), `VmRSS`).
pub(crate) fn resident_of(process: u32) -> f64 {
    field(&format!("/proc/{process}/status"), "VmRSS")
}

/// The most memory that this process has had, in bytes (proc(5), `VmHWM`).
pub(crate) fn peak() -> f64 {
    status("VmHWM")
}

/// The memory that this process has, in bytes (proc(5), `VmRSS`).
pub(crate) fn resident() -> f64 {
    status("VmRSS")
}

fn status(name: &str) -> f64 {
    field("/proc/self/status", name)
}

/// A field in kilobytes of a file of the kernel's, in bytes; zero if it is not there.
pub(crate) fn field(path: &str, name: &str) -> f64 {
    let text = fs::read_to_string(path).unwrap_or_default();
    let line = text
        .lines()
        .find(|line| line.starts_with(name))
        .unwrap_or_default();
    let kilobytes = line
        .split_whitespace()
        .nth(1)
        .and_then(|word| word.parse::<f64>().ok());
    kilobytes.unwrap_or_default() * 1024.0
}
