//! What the node knows of its own pods: where each is attached, and with which addresses.
//!
//! ```text
//!   CNI results ── inotify ──► Attachment ─┐
//!                                          ├─ join ──► Observed ──► plan::Facts
//!   links ─────── netlink ───► Links ──────┤
//!   routes, … ─── netlink ───► Hints ──────┘  only for pods that have no result
//! ```
//! The API learns a pod's address from the node, seconds late; the CNI writes it down before the pod's first
//! container starts. That its veth exists, and which bridge that is a port of, the kernel alone knows.

mod cni;
mod hints;
mod links;
mod place;
mod results;
mod search;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Instant;

use ipnet::IpNet;
use palisade_policy::model::PodUid;
use thiserror::Error;

use crate::moment::reached;
use crate::nft::model::{Interface, InterfacePattern};
use crate::plan;
use crate::watch::{Changed, Watch, WatchError};
use links::LinkWatch;
use results::Results;
use search::Search;

pub use links::LinkError;
pub(crate) use links::{can_filter_bridges, filter_bridge};
pub use search::{NamedPods, SearchScope};

/// Where the facts come from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FactsSettings {
    /// The directory of CNI results.
    pub cni_results: PathBuf,
    /// Interfaces that belong to pods whether or not the pod is known.
    pub pod_interfaces: Vec<InterfacePattern>,
    /// Bridge ports that lead elsewhere than to a pod, although they are veths.
    pub uplinks: BTreeSet<Interface>,
    /// Where pods without a CNI result are looked for.
    pub search: SearchScope,
    /// A directory of the pods' network namespaces, to be looked into as well.
    pub pod_namespaces: Option<PathBuf>,
}

/// What was found at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Observed {
    /// Where each pod is attached.
    pub places: BTreeMap<PodUid, plan::Place>,
    /// The node's own addresses.
    pub addresses: BTreeSet<IpAddr>,
    /// All bridges of the node.
    pub bridges: BTreeMap<Interface, Bridge>,
    /// Pods that are here, but cannot be enforced, and why.
    pub unsupported: BTreeMap<PodUid, String>,
    /// Those of the places that no CNI result tells: found by the pod's addresses.
    pub searched: BTreeSet<PodUid>,
    /// CNI results whose interface is not here: another node's, or left over.
    pub elsewhere: usize,
    /// CNI results that cannot be used.
    pub unusable: usize,
}

/// A bridge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bridge {
    /// Its number.
    pub index: u32,
    /// Whether what it bridges passes the inet tables.
    pub filtered: bool,
    /// Whether a pod, or a port that may be a pod's, is attached to it.
    pub has_pods: bool,
    /// Its own addresses: its ports' gateway.
    pub addresses: BTreeSet<IpAddr>,
    /// The ports that lead elsewhere than to a pod.
    pub uplinks: BTreeSet<Interface>,
}

impl Bridge {
    /// Whether it is a bridge of pods. The gateway of the node's pod networks is one before its first pod is known.
    pub fn is_of_pods(&self, pod_networks: &[IpNet]) -> bool {
        let is_gateway = |address: &IpAddr| pod_networks.iter().any(|network| network.contains(address));
        self.has_pods || self.addresses.iter().any(is_gateway)
    }
}

impl Observed {
    /// The bridges of pods, where the node's pods have addresses from these networks.
    pub fn bridges_of_pods(&self, pod_networks: &[IpNet]) -> impl Iterator<Item = (&Interface, &Bridge)> {
        self.bridges
            .iter()
            .filter(|(_, bridge)| bridge.is_of_pods(pod_networks))
    }

    /// What the plan needs, where the node's pods have addresses from these networks.
    pub fn facts(&self, pod_networks: &[IpNet]) -> plan::Facts {
        let uplinks = self
            .bridges_of_pods(pod_networks)
            .map(|(name, bridge)| (name.clone(), bridge.uplinks.clone()));
        plan::Facts {
            places: self.places.clone(),
            uplinks: uplinks.collect(),
        }
    }
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
    search: Search,
    directory: Watch,
    links: LinkWatch,
}

impl FactsWatch {
    /// Follows the facts from now on. Needs a tokio runtime.
    pub fn new(settings: FactsSettings) -> Result<Self, FactsError> {
        let directory = Watch::new(vec![settings.cni_results.clone()])?;
        let links = LinkWatch::open()?;
        let results = Results::new(settings.cni_results.clone());
        let search = Search::new(settings.search);
        let mut watch = Self {
            settings,
            results,
            search,
            directory,
            links,
        };
        watch.update(&Changed::Anything)?;
        Ok(watch)
    }

    /// Says which pods there should be, so that those of them without a CNI result can be looked for.
    pub fn want(&mut self, wanted: NamedPods) {
        self.search.want(wanted, Instant::now());
    }

    /// Waits until something may have changed. Dropping the wait loses nothing.
    pub async fn changed(&mut self) -> Result<(), FactsError> {
        let search = self.search.next(&self.results.pods(), Instant::now());
        tokio::select! {
            () = reached(search) => Ok(()),
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
        let attachments = self.results.attachments();
        let mut observed = place::join(attachments.iter().copied(), &links, &self.settings);
        let lost = self.search.lost(&self.results.pods(), Instant::now());
        if !lost.is_empty() {
            let hints = hints::read(self.settings.search, self.settings.pod_namespaces.as_deref()).await?;
            let found = search::find(&lost, &hints, &links, observed.places.values());
            observed = place::join(attachments.into_iter().chain(&found), &links, &self.settings);
            observed.searched = found.into_iter().map(|attachment| attachment.uid).collect();
        }
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
