//! The real controller, in this process.

use anyhow::{Context, Result};
use kube::Client;
use palisade_controller::run::{RunError, control};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// The namespace of its Lease.
pub(crate) const NAMESPACE: &str = "palisade-system";

/// A controller that runs.
pub(crate) struct Controller {
    stop: oneshot::Sender<()>,
    task: JoinHandle<Result<(), RunError>>,
}

impl Controller {
    /// Starts one with a name among the replicas.
    pub(crate) fn start(client: Client, identity: &str) -> Self {
        let (stop, stopped) = oneshot::channel();
        let identity = identity.to_owned();
        let task = tokio::spawn(async move {
            control(client, NAMESPACE, identity, async {
                // A sender that is gone says the same.
                let _ = stopped.await;
            })
            .await
        });
        Self { stop, task }
    }

    /// Tells it to end, and waits until it has.
    pub(crate) async fn stop(self) -> Result<()> {
        // It may have ended by itself, which the task tells.
        let _ = self.stop.send(());
        self.task
            .await
            .context("the controller panicked")?
            .context("the controller ended")
    }
}
