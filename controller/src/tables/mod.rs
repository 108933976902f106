//! Where `policy-audit verify` gets the tables of nodes from.
//!
//! ```text
//!   --tables FILE|DIR|- ──files──────┐
//!   --local ─────────────local (nft)─┼─► NodeTables of each node
//!   the cluster ─────────enforcers───┘   `palisade-enforcer tables` in each enforcer's pod
//! ```

mod enforcers;
mod files;
mod local;

use std::io;
use std::path::PathBuf;

use palisade_audit::kernel::{InvalidDocument, NodeTables};
use palisade_policy::model::NodeName;
use thiserror::Error;

pub(crate) use enforcers::{Enforcers, from_enforcers};
pub(crate) use files::from_files;
pub(crate) use local::from_this_machine;

/// The largest document that is read. A node with a million elements in its sets has one of 60 MB.
const LARGEST: u64 = 512 << 20;

/// The tables of one node, or why they are not there.
pub(crate) struct Read {
    /// Which node, or, where that is not known, which document.
    pub(crate) of: String,
    /// The node, where it is known.
    pub(crate) node: Option<NodeName>,
    /// The tables.
    pub(crate) tables: Result<NodeTables, TablesError>,
}

/// Why tables are not there.
#[derive(Debug, Error)]
pub(crate) enum TablesError {
    /// A file cannot be read.
    #[error("cannot read {}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// There is more than can be the tables of a node.
    #[error("more than {} MB are not the tables of a node", LARGEST >> 20)]
    TooLarge,
    /// It is something else.
    #[error(transparent)]
    Invalid(#[from] InvalidDocument),
    /// A command cannot be run, or fails.
    #[error("{command}: {problem}")]
    Command {
        /// The command.
        command: String,
        /// What is wrong.
        problem: String,
    },
    /// The API server refuses, or cannot be reached.
    #[error("cannot run palisade-enforcer tables in pod {pod}")]
    Exec {
        /// The pod.
        pod: String,
        /// Why.
        source: Box<kube::Error>,
    },
    /// An enforcer does not answer.
    #[error("palisade-enforcer tables in pod {pod} has not ended within {seconds} seconds")]
    Silent {
        /// The pod.
        pod: String,
        /// How long it was waited for.
        seconds: u64,
    },
    /// It is not known which enforcer is where.
    #[error("cannot list the pods of enforcers in namespace {namespace}")]
    List {
        /// The namespace.
        namespace: String,
        /// Why.
        source: Box<kube::Error>,
    },
    /// There is none.
    #[error("no enforcer runs on this node")]
    NoEnforcer,
    /// The cluster cannot be asked at all.
    #[error(transparent)]
    Cluster(#[from] crate::inventory::ClusterError),
}

/// Reads a document.
fn parse(bytes: &[u8]) -> Result<NodeTables, TablesError> {
    if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > LARGEST {
        return Err(TablesError::TooLarge);
    }
    Ok(NodeTables::parse(bytes)?)
}
