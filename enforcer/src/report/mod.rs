//! What the enforcer tells others about itself.
//!
//! ```text
//!   status of the node ──┬──► file (--status)
//!                        ├──► /readyz, /metrics
//!                        └──► status of the NodeRuleSet, at most once a second
//! ```
//! A [`Report`] is told of each state of the node and passes it on. None of this can stop the enforcement.

mod conditions;
mod metrics;
mod publish;

use std::path::PathBuf;

use palisade_health::{Readiness, Task};
use prometheus_client::registry::Registry;
use tokio::sync::watch;
use tracing::warn;

use crate::run::status::{self, Status};
use crate::source::{Failures, UNREACHABLE};
use metrics::Metrics;

pub(crate) use conditions::Claim;
pub(crate) use publish::publish;

/// Where a node's status goes.
pub(crate) struct Report {
    path: Option<PathBuf>,
    written: Option<Status>,
    metrics: Metrics,
    tasks: Tasks,
    claim: watch::Sender<Option<Claim>>,
}

/// What has to be there before the node is ready.
struct Tasks {
    rules: Task,
    facts: Task,
    kernel: Task,
}

impl Report {
    /// Reports to a file, if there is a path, and to whoever asks the registry, the readiness and the receiver.
    pub(crate) fn new(
        path: Option<PathBuf>,
        readiness: &Readiness,
        registry: &mut Registry,
        failures: &Failures,
    ) -> (Self, watch::Receiver<Option<Claim>>) {
        let (claim, claims) = watch::channel(None);
        let tasks = Tasks {
            rules: readiness.task("rules"),
            facts: readiness.task("facts"),
            kernel: readiness.task("kernel"),
        };
        let report = Self {
            path,
            written: None,
            metrics: Metrics::new(registry, failures),
            tasks,
            claim,
        };
        (report, claims)
    }

    /// Reports the state of the node.
    pub(crate) fn tell(&mut self, status: &Status) {
        self.metrics.observe(status);
        self.tasks.rules.set(status.informed.rules);
        self.tasks.facts.set(status.informed.facts);
        self.tasks.kernel.set(status.ready);
        self.claim(status);
        self.write(status);
    }

    /// Hands on what is to be written to the API server: nothing while that does not answer, as it is over by the time
    /// that it can be told.
    fn claim(&self, status: &Status) {
        if status
            .hindrance
            .as_ref()
            .is_some_and(|hindrance| hindrance.reason == UNREACHABLE)
        {
            return;
        }
        let claim = Claim::of(status);
        self.claim.send_if_modified(|told| {
            let news = *told != claim;
            if news {
                *told = claim;
            }
            news
        });
    }

    /// Writes what is new. A file that cannot be written does not stop the enforcement.
    fn write(&mut self, status: &Status) {
        let Some(path) = &self.path else { return };
        if self.written.as_ref() == Some(status) {
            return;
        }
        match status::write(path, status) {
            Ok(()) => self.written = Some(status.clone()),
            Err(error) => warn!(file = %path.display(), %error, "cannot write the status"),
        }
    }
}
