//! What the node knows of its own pods: where each is attached, and with which addresses.
//!
//! ```text
//!   CNI results ── inotify ──► Attachment ─┐
//!                                          ├─ join ──► Observed { plan::Facts, … }
//!   links ─────── netlink ───► Links ──────┘
//! ```
//! The API learns a pod's address from the node, seconds late; the CNI writes it down before the pod's first
//! container starts. That its veth exists, and which bridge that is a port of, the kernel alone knows.

mod cni;
mod links;
mod place;
mod results;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::PathBuf;

use palisade_policy::model::PodUid;
use thiserror::Error;

use crate::nft::model::{Interface, InterfacePattern};
use crate::plan;
use crate::watch::{Changed, Watch, WatchError};
use links::LinkWatch;
use results::Results;

pub use links::LinkError;
pub(crate) use links::{can_filter_bridges, filter_bridge};

/// Where the facts come from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FactsSettings {
    /// The directory of CNI results.
    pub cni_results: PathBuf,
    /// Interfaces that belong to pods whether or not the pod is known.
    pub pod_interfaces: Vec<InterfacePattern>,
    /// Bridge ports that lead elsewhere than to a pod, although they are veths.
    pub uplinks: BTreeSet<Interface>,
}

/// What was found at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Observed {
    /// What the plan needs.
    pub facts: plan::Facts,
    /// The bridges in `facts`.
    pub bridges: BTreeMap<Interface, Bridge>,
    /// Pods that are here, but cannot be enforced, and why.
    pub unsupported: BTreeMap<PodUid, String>,
    /// CNI results whose interface is not here: another node's, or left over.
    pub elsewhere: usize,
    /// CNI results that cannot be used.
    pub unusable: usize,
}

/// A bridge that pods are attached to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bridge {
    /// Its number.
    pub index: u32,
    /// Whether what it bridges passes the inet tables.
    pub filtered: bool,
}

/// Why the facts are not known.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum FactsError {
    /// The directory of CNI results cannot be watched.
    #[error("the CNI results cannot be followed")]
    Watch(#[from] WatchError),
    /// The directory of CNI results cannot be listed.
    #[error("cannot list the CNI results in {}", directory.display())]
    List {
        /// The directory.
        directory: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The kernel does not tell the links.
    #[error("the node's links cannot be followed")]
    Links(#[from] LinkError),
}

/// Follows the facts of the network namespace that the calling thread is in.
pub struct FactsWatch {
    settings: FactsSettings,
    results: Results,
    directory: Watch,
    links: LinkWatch,
}

impl FactsWatch {
    /// Follows the facts from now on. Needs a tokio runtime.
    pub fn new(settings: FactsSettings) -> Result<Self, FactsError> {
        let directory = Watch::new(vec![settings.cni_results.clone()])?;
        let links = LinkWatch::open()?;
        let results = Results::new(settings.cni_results.clone());
        let mut watch = Self {
            settings,
            results,
            directory,
            links,
        };
        watch.update(&Changed::Anything)?;
        Ok(watch)
    }

    /// Waits until something may have changed. Dropping the wait loses nothing.
    pub async fn changed(&mut self) -> Result<(), FactsError> {
        tokio::select! {
            changed = self.directory.changed() => {
                let changed = changed?;
                self.update(&changed)
            }
            changed = self.links.changed() => Ok(changed?),
        }
    }

    /// The facts as they are now.
    pub async fn observe(&self) -> Result<Observed, FactsError> {
        let links = self.links.list().await?;
        let mut observed = place::join(self.results.attachments(), &links, &self.settings);
        observed.unusable = self.results.unusable();
        Ok(observed)
    }

    fn update(&mut self, changed: &Changed) -> Result<(), FactsError> {
        let listed = self.results.update(changed);
        listed.map_err(|source| FactsError::List {
            directory: self.settings.cni_results.clone(),
            source,
        })
    }
}
