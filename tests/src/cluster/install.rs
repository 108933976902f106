//! Palisade on the cluster, as a user installs it: images on the nodes, one manifest applied.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Result;
use futures::future::try_join_all;

use super::Cluster;
use super::node;

const APPLY_PATIENCE: Duration = Duration::from_secs(30);
const READY_PATIENCE: Duration = Duration::from_mins(2);
const NAMESPACE: &str = "--namespace=palisade-system";
const WORKLOADS: &[&str] = &["daemonset/palisade-enforcer", "deployment/palisade-controller"];

/// What is installed.
#[derive(Clone, Debug, Default)]
pub struct Installation {
    /// Archives of images.
    pub images: Vec<PathBuf>,
    /// What is applied.
    pub manifest: Option<PathBuf>,
}

impl Cluster {
    /// Gives every node an image from an archive.
    pub async fn load(&self, archive: &Path) -> Result<()> {
        let nodes = self.nodes()?;
        try_join_all(nodes.iter().map(|machine| node::import(machine, archive))).await?;
        Ok(())
    }

    /// Applies a manifest of Palisade and waits until all of it is ready.
    pub async fn install(&self, manifest: &Path) -> Result<()> {
        let manifest = format!("--filename={}", manifest.display());
        self.kubectl(&["apply", "--server-side", &manifest], "", APPLY_PATIENCE)
            .await?;
        let timeout = format!("--timeout={}s", READY_PATIENCE.as_secs());
        for workload in WORKLOADS {
            let words = ["rollout", "status", NAMESPACE, &timeout, workload];
            if let Err(error) = self.kubectl(&words, "", READY_PATIENCE + APPLY_PATIENCE).await {
                let told = self.describe(workload).await;
                return Err(error.context(format!("{workload} is not ready; it says:\n{told}")));
            }
        }
        Ok(())
    }

    /// What there is to know of a workload that does not get ready.
    async fn describe(&self, workload: &str) -> String {
        let pods = ["get", "pods", NAMESPACE, "--output=wide"];
        let logs = ["logs", NAMESPACE, "--all-pods", "--prefix", "--tail=20", workload];
        let mut told = Vec::new();
        for words in [pods.as_slice(), &logs] {
            let answer = self.kubectl(words, "", APPLY_PATIENCE).await;
            told.push(answer.unwrap_or_else(|error| format!("{error:#}")));
        }
        told.join("\n")
    }
}
