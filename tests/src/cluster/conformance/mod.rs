//! The network-policy specs of Kubernetes' own suite, run against a cluster.
//!
//! The suite runs in the control plane's network, as [`Cluster::command`] gives it. Its report is read back: a
//! run is good when every spec passed, or was left out for a reason that is known beforehand.

mod report;
mod table;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::net::{AddressFamily, SocketType, ipproto, socket};
use tokio::time::{interval, timeout};

pub use report::{Outcome, Report, Spec};
pub use table::table;

use super::{Cluster, Progress};

/// The suite's name for its network-policy specs.
const FOCUS: &str = "Netpol";
/// Its name for those that open SCTP sockets themselves.
const SCTP: &str = "SCTPConnectivity";
const NO_SCTP: &str = "the kernel has no SCTP sockets";
const JUNIT: &str = "junit_01.xml";
const PATIENCE: Duration = Duration::from_mins(40);
const TELL: Duration = Duration::from_secs(20);

/// What is run.
#[derive(Clone, Debug)]
pub struct Conformance {
    /// Which specs: a regular expression. Without it, all network-policy specs.
    pub focus: Option<String>,
    /// How many specs run at a time.
    pub processes: u8,
    /// Where report and log go.
    pub directory: PathBuf,
}

impl Conformance {
    /// Runs the specs; fails when there is no report, not when a spec fails.
    pub async fn run(&self, cluster: &Cluster, progress: &mut Progress) -> Result<Report> {
        fs::create_dir_all(&self.directory)
            .with_context(|| format!("making {}", self.directory.display()))?;
        let junit = self.directory.join(JUNIT);
        if junit.exists() {
            fs::remove_file(&junit).with_context(|| format!("removing {}", junit.display()))?;
        }
        let sctp = has_sctp();
        let begin = Instant::now();
        self.suite(cluster, sctp, progress).await?;
        let text = fs::read_to_string(&junit)
            .with_context(|| format!("the suite left no report; see {}", self.log().display()))?;
        let mut report = Report::read(&text)?;
        report.elapsed = begin.elapsed();
        if self.focus.is_none() {
            report.keep(|name| name.contains(FOCUS));
        } else {
            report.forget_unselected();
        }
        if !sctp {
            report.excuse(|name| name.contains(SCTP), NO_SCTP);
        }
        Ok(report)
    }

    /// The file with what the suite printed.
    pub fn log(&self) -> PathBuf {
        self.directory.join("log")
    }

    /// Runs the suite to its end. Its exit status says no more than the report.
    async fn suite(&self, cluster: &Cluster, sctp: bool, progress: &mut Progress) -> Result<()> {
        let mut command = cluster.command("ginkgo")?;
        let program = cluster.layout().programs().join("e2e.test");
        let nodes = cluster.plan().nodes;
        command
            .args(self.arguments(sctp, &program, &cluster.kubeconfig(), nodes))
            .current_dir(&self.directory)
            .stdin(Stdio::null())
            .kill_on_drop(true);
        let log = fs::File::create(self.log()).context("making the log")?;
        command.stdout(log.try_clone()?).stderr(log);
        let mut suite = command.spawn().context("starting the suite")?;
        let wait = async {
            let mut ticks = interval(TELL);
            ticks.tick().await;
            loop {
                tokio::select! {
                    ended = suite.wait() => return ended,
                    _ = ticks.tick() => progress.say(&format!("{} specs have run", self.finished())),
                }
            }
        };
        match timeout(PATIENCE, wait).await {
            Ok(ended) => ended.map(drop).context("waiting for the suite"),
            Err(_) => bail!(
                "the suite has not ended within {PATIENCE:?}; see {}",
                self.log().display()
            ),
        }
    }

    fn arguments(&self, sctp: bool, program: &Path, kubeconfig: &Path, nodes: u8) -> Vec<String> {
        let mut words = vec![
            format!("--procs={}", self.processes),
            format!("--focus={}", self.focus.as_deref().unwrap_or(FOCUS)),
        ];
        if !sctp {
            // Their servers cannot start, and the suite waits five minutes for each of them.
            words.push(format!("--skip={SCTP}"));
        }
        words.extend([
            "--no-color".to_owned(),
            format!("--timeout={}s", PATIENCE.as_secs()),
            program.display().to_string(),
            "--".to_owned(),
            "--provider=skeleton".to_owned(),
            format!("--kubeconfig={}", kubeconfig.display()),
            format!("--num-nodes={nodes}"),
            format!("--report-dir={}", self.directory.display()),
        ]);
        words
    }

    /// How many specs have ended so far: the suite prints a dot for each.
    fn finished(&self) -> usize {
        let log = fs::read(self.log()).unwrap_or_default();
        String::from_utf8_lossy(&log).matches('•').count()
    }
}

/// Whether a program can open an SCTP socket here.
fn has_sctp() -> bool {
    socket(AddressFamily::INET, SocketType::STREAM, Some(ipproto::SCTP)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn specs_with_sctp_sockets_are_left_out_only_where_there_are_none() {
        let run = Conformance {
            focus: None,
            processes: 2,
            directory: "/report".into(),
        };
        let words = |sctp| {
            run.arguments(sctp, Path::new("/e2e.test"), Path::new("/admin.conf"), 2)
                .join(" ")
        };
        assert!(words(false).contains("--skip=SCTPConnectivity"));
        assert!(!words(true).contains("--skip"));
        assert!(words(true).starts_with("--procs=2 --focus=Netpol "));
        // What follows the two dashes is for the suite, not for its runner.
        assert!(words(true).contains("/e2e.test -- --provider=skeleton --kubeconfig=/admin.conf"));
    }
}
