//! Where questions about policies get their objects from: files, a live cluster, a snapshot of one.
//!
//! ```text
//!   -f FILE|DIR|- ──manifest──┐                        ┌─► Inventory   what is asked about
//!                             ├─► objects ──assemble───┼─► Origins     where it is written
//!   API server ─────live──────┘                        └─► Published   what Palisade made of it
//! ```
//!
//! A snapshot is a file like any other: the objects of a cluster with nothing in them but what is used.

mod assemble;
mod live;
mod origins;
mod placeholders;
mod snapshot;
mod workloads;

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use ipnet::IpNet;
use palisade_audit::inventory::{Inventory, WorkloadKey};
use palisade_crds::{AddressGroup, NodeRuleSet, PodSlice, PolicySlice};
use palisade_policy::model::{NamespaceName, Pod};
use thiserror::Error;

use crate::cli::{Exit, Streams};
use crate::error::chain;
use crate::manifest::{
    self, Collected, DEFAULT_NAMESPACE, Interest, InvalidManifests, Problem, Reading, Source, Strictness,
    Text,
};
use placeholders::Assigned;

pub use live::ClusterError;
pub(crate) use live::in_cluster;
pub use origins::Origins;
pub use snapshot::snapshot;

/// What the help puts these options under.
const HEADING: &str = "Where the objects are";

/// The options of [`Surroundings`] that say which cluster is asked: beside files they have no meaning.
pub(crate) const OF_A_CLUSTER: [&str; 5] = ["kubeconfig", "context", "cluster", "user", "impersonated"];

/// Which objects are asked about.
#[expect(clippy::doc_markdown, reason = "the help is read in a terminal")]
#[derive(Clone, Debug, Default, Args)]
pub struct Sources {
    /// A file, a directory (all .yaml, .yml and .json files in it and below it), or `-` for the standard input; without any,
    /// the cluster is asked
    ///
    /// Pods, Namespaces, Nodes, NetworkPolicies, Services and EndpointSlices are read, and what makes pods: of a Deployment,
    /// StatefulSet, DaemonSet, ReplicaSet, Job or CronJob whose pods are not there, one pod made from its template stands for
    /// all.
    #[arg(
        short,
        long = "filename",
        value_name = "FILE|DIR|-",
        conflicts_with_all = OF_A_CLUSTER,
        help_heading = HEADING
    )]
    pub filenames: Vec<PathBuf>,
    /// The cluster, and what is not known of the objects.
    #[command(flatten)]
    pub surroundings: Surroundings,
}

/// Which cluster is asked, and what stands for what is not known of its objects: the part of [`Sources`] that is the same
/// for all files.
#[expect(clippy::doc_markdown, reason = "the help is read in a terminal")]
#[derive(Clone, Debug, Default, Args)]
pub struct Surroundings {
    /// The kubeconfig file; by default that of $KUBECONFIG, ~/.kube/config, or the service account of the pod that this runs in
    #[arg(long, value_name = "FILE", help_heading = HEADING)]
    pub kubeconfig: Option<PathBuf>,
    /// The context of the kubeconfig, if not the current one
    #[arg(long, value_name = "NAME", help_heading = HEADING)]
    pub context: Option<String>,
    /// The kubeconfig's cluster, if not the context's
    #[arg(long, value_name = "NAME", help_heading = HEADING)]
    pub cluster: Option<String>,
    /// The kubeconfig's user, if not the context's
    #[arg(long, value_name = "NAME", help_heading = HEADING)]
    pub user: Option<String>,
    /// In whose name the cluster is asked; the user has to be allowed that
    #[arg(id = "impersonated", long = "as", value_name = "USER", help_heading = HEADING)]
    pub impersonated: Option<String>,
    /// The groups of the one of --as; may be repeated
    #[arg(long = "as-group", value_name = "GROUP", requires = "impersonated", help_heading = HEADING)]
    pub impersonated_groups: Vec<String>,
    /// The namespace of names that are given without one, and of objects in files that name none, as with `kubectl apply -n`;
    /// by default the context's, of files `default`
    #[arg(short, long, value_name = "NAME", help_heading = HEADING)]
    pub namespace: Option<String>,
    /// Where pods that have no address yet get one from, so that they can be asked about; once for IPv4, once for IPv6
    ///
    /// A pod from a template or one that is not running yet has no address. What is asked about it is answered with one of its
    /// node's pod network, or else of this one [default: 10.128.0.0/9, and fd00:10:128::/64 where there is IPv6].
    #[arg(long = "pod-network", value_name = "CIDR", help_heading = HEADING)]
    pub pod_networks: Vec<IpNet>,
}

/// What was found.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The objects.
    pub inventory: Inventory,
    /// Where they are written.
    pub origins: Origins,
    /// What Palisade has published.
    pub published: Published,
    /// Where names without a namespace are looked up.
    pub namespace: NamespaceName,
    /// The pods that workloads would make, as far as these are described.
    templates: BTreeMap<WorkloadKey, Pod>,
    /// The documents as a snapshot has them, if they were asked for: kind and title, and the document.
    documents: Vec<(manifest::Kind, Arc<str>, String)>,
}

/// What Palisade has published, as it is.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Published {
    /// What is published for each node, with what the node reports.
    pub rule_sets: Vec<NodeRuleSet>,
    /// The pods of nodes that have too many for their rule sets.
    pub pods: Vec<PodSlice>,
    /// The policies.
    pub policies: Vec<PolicySlice>,
    /// The groups of pods that policies refer to.
    pub groups: Vec<AddressGroup>,
}

/// Why there is nothing to ask.
#[derive(Debug, Error)]
pub enum LoadError {
    /// Manifests that cannot be understood.
    #[error(transparent)]
    Manifests(#[from] InvalidManifests),
    /// A cluster that does not answer.
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    /// The error output, on which there was something to tell.
    #[error("cannot write to the error output")]
    Tell(#[from] io::Error),
}

impl LoadError {
    /// Tells everything that is wrong: what a command does that cannot go on.
    pub fn tell(self, streams: &mut Streams<'_>) -> io::Result<Exit> {
        match self {
            Self::Manifests(invalid) => {
                for problem in &invalid.problems {
                    writeln!(streams.errors, "error: {problem}")?;
                }
            }
            Self::Cluster(error) => writeln!(streams.errors, "error: {}", chain(&error))?,
            Self::Tell(error) => return Err(error),
        }
        Ok(Exit::Failure)
    }
}

/// How much of a cluster is read. Files are always read whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wanted {
    /// What decides about connections.
    Objects,
    /// What Palisade made of it, too. In a large cluster that is as much again.
    Everything,
}

/// Reads what decides about connections from all that `sources` name. What is worth knowing goes to the error output.
pub fn load(sources: &Sources, streams: &mut Streams<'_>) -> Result<Loaded, LoadError> {
    read(sources, Wanted::Objects, false, streams)
}

/// Reads what [`load`] reads, and what is published of it.
pub fn load_published(sources: &Sources, streams: &mut Streams<'_>) -> Result<Loaded, LoadError> {
    read(sources, Wanted::Everything, false, streams)
}

/// Reads what [`load_published`] reads and keeps the documents for [`snapshot()`].
pub fn load_documents(sources: &Sources, streams: &mut Streams<'_>) -> Result<Loaded, LoadError> {
    read(sources, Wanted::Everything, true, streams)
}

fn read(
    sources: &Sources,
    wanted: Wanted,
    slim: bool,
    streams: &mut Streams<'_>,
) -> Result<Loaded, LoadError> {
    let Sources {
        filenames,
        surroundings,
    } = sources;
    let reading = Reading {
        interest: Interest::Everything,
        slim,
        home: surroundings.namespace.as_deref().unwrap_or(DEFAULT_NAMESPACE),
    };
    let (collected, texts, home) = if filenames.is_empty() {
        let live::Cluster { objects, namespace } = live::read(surroundings, wanted, reading, streams)?;
        (objects, Vec::new(), namespace)
    } else {
        let (objects, texts) = files(filenames, reading, streams)?;
        (objects, texts, DEFAULT_NAMESPACE.to_owned())
    };
    let mut loaded = Loaded {
        inventory: Inventory {
            whole: filenames.is_empty(),
            pod_networks: surroundings.pod_networks.clone(),
            ..Inventory::default()
        },
        origins: Origins::default(),
        published: Published::default(),
        namespace: surroundings.namespace.clone().unwrap_or(home).into(),
        templates: BTreeMap::new(),
        documents: Vec::new(),
    };
    loaded.put(collected, texts, streams)?;
    Ok(loaded)
}

/// The same inventory with the objects of some files put over it: those of the same kind, namespace and name are replaced,
/// others come to it. Of a workload whose template makes other pods than it has, one made from the new template stands for
/// these. Nothing is deleted.
pub fn overlay(base: &Loaded, filenames: &[PathBuf], streams: &mut Streams<'_>) -> Result<Loaded, LoadError> {
    let reading = Reading {
        interest: Interest::Everything,
        slim: false,
        home: base.namespace.as_str(),
    };
    let (collected, texts) = files(filenames, reading, streams)?;
    let mut loaded = base.clone();
    loaded.documents = Vec::new();
    loaded.put(collected, texts, streams)?;
    Ok(loaded)
}

/// The objects of files. A policy that cannot be understood in part goes on as the controller would let it.
fn files(
    filenames: &[PathBuf],
    reading: Reading<'_>,
    streams: &mut Streams<'_>,
) -> Result<(Collected, Vec<Text>), LoadError> {
    let sources: Vec<Source> = filenames.iter().cloned().map(Source::from).collect();
    let mut problems = Vec::new();
    let texts = manifest::texts(&sources, streams.input, &mut problems);
    let collected = reading.read(&sources, &texts, Strictness::KeepGoing, problems)?;
    Ok((collected, texts))
}

impl Loaded {
    /// How many documents a snapshot has.
    pub(crate) fn documents(&self) -> usize {
        self.documents.len()
    }

    /// Puts objects to the others, and tells what is worth knowing of them.
    fn put(&mut self, collected: Collected, texts: Vec<Text>, streams: &mut Streams<'_>) -> io::Result<()> {
        let Collected {
            mut found,
            skipped,
            unread,
            warnings,
        } = collected;
        tell_warnings(&warnings, streams)?;
        let skipped: Vec<String> = skipped
            .iter()
            .map(|(kind, count)| format!("{count} {kind}"))
            .collect();
        if !skipped.is_empty() {
            writeln!(streams.errors, "skipped {}", skipped.join(", "))?;
        }
        for (namespace, kinds) in unread {
            self.inventory.unread.entry(namespace).or_default().extend(kinds);
        }
        self.origins.add(&found, texts);
        for found in &mut found {
            if let Some(document) = found.slim.take() {
                self.documents
                    .push((found.kind, Arc::clone(&found.title), document));
            }
        }
        let objects = found.into_iter().filter_map(|found| found.object);
        let replaced = assemble::add(
            objects,
            &mut self.inventory,
            &mut self.published,
            &mut self.templates,
        );
        for (workload, pods) in replaced {
            let plural = if pods == 1 { "" } else { "s" };
            writeln!(
                streams.errors,
                "note: the template of {workload} has changed: one pod made from it stands for {pods} new pod{plural}"
            )?;
        }
        let assigned = placeholders::assign(&mut self.inventory);
        tell_placeholders(&assigned, streams)
    }
}

fn tell_warnings(warnings: &[Problem], streams: &mut Streams<'_>) -> io::Result<()> {
    for warning in warnings {
        let policy = warning
            .object
            .as_ref()
            .is_some_and(|object| object.starts_with("NetworkPolicy "));
        let outcome = if policy {
            "this allows nothing"
        } else {
            "this is left out"
        };
        writeln!(streams.errors, "warning: {warning}; {outcome}")?;
    }
    Ok(())
}

fn tell_placeholders(assigned: &Assigned, streams: &mut Streams<'_>) -> io::Result<()> {
    let pods = |count: usize| format!("{count} pod{}", if count == 1 { "" } else { "s" });
    if assigned.pods > 0 {
        let networks: Vec<String> = assigned.networks.iter().map(ToString::to_string).collect();
        let (pods, networks) = (pods(assigned.pods), networks.join(", "));
        writeln!(
            streams.errors,
            "note: {pods} without an address: placeholders from {networks} stand for them"
        )?;
    }
    if assigned.without > 0 {
        let pods = pods(assigned.without);
        writeln!(
            streams.errors,
            "warning: {pods} without an address, and --pod-network has none left"
        )?;
    }
    Ok(())
}
