//! `palisade compile`: from manifests to the documents that the cluster would hold.

use std::io;
use std::path::PathBuf;

use clap::Args;
use palisade_crds::files::{self, WriteError, Written};
use palisade_policy::cluster::ClusterState;
use palisade_policy::compile;
use palisade_policy::model::NodeName;
use thiserror::Error;

use super::{Exit, Streams, failed};
use crate::manifest::{self, Manifests, Source, Strictness};

/// Compile manifests into the rule sets that nodes enforce
///
/// Reads Namespaces, Nodes, Pods and `NetworkPolicies` in YAML or JSON and skips other kinds. Namespaces that are not
/// described have their name as only label. The output directory holds the outcome and nothing else: documents that
/// do not change are not touched, those that nothing calls for any more are deleted.
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(super) struct Options {
    /// A file, a directory (all .yaml, .yml and .json files in it and below it), or `-` for the standard input
    #[arg(short, long = "filename", value_name = "FILE|DIR|-", required = true, num_args = 1..)]
    filenames: Vec<PathBuf>,
    /// Only the rule set of this node, and what it refers to
    #[arg(long)]
    node: Option<String>,
    /// The directory for the documents
    #[arg(short, long, value_name = "DIR")]
    output: PathBuf,
    /// Let a policy that cannot be understood isolate what it selects and allow nothing by what is wrong in it
    #[arg(long)]
    keep_going: bool,
}

pub(super) fn run(options: &Options, streams: &mut Streams<'_>) -> io::Result<Exit> {
    let sources: Vec<Source> = options.filenames.iter().cloned().map(Source::from).collect();
    let strictness = if options.keep_going {
        Strictness::KeepGoing
    } else {
        Strictness::Strict
    };
    let manifests = match manifest::read(&sources, streams.input, strictness) {
        Ok(manifests) => manifests,
        Err(invalid) => {
            for problem in &invalid.problems {
                writeln!(streams.errors, "error: {problem}")?;
            }
            writeln!(
                streams.errors,
                "{}; nothing was written",
                counted(invalid.problems.len(), "error")
            )?;
            return Ok(Exit::Failure);
        }
    };
    for warning in &manifests.warnings {
        writeln!(streams.errors, "warning: {warning}; this allows nothing")?;
    }
    for (kind, count) in &manifests.skipped {
        writeln!(streams.errors, "skipped {count} {kind}")?;
    }
    match write(options, manifests) {
        Ok(Written {
            written,
            unchanged,
            deleted,
        }) => {
            let documents = counted(written + unchanged, "document");
            writeln!(
                streams.errors,
                "{documents}: {written} written, {unchanged} unchanged; {deleted} deleted"
            )?;
            Ok(Exit::Success)
        }
        Err(error) => failed(&error, streams),
    }
}

/// Why manifests without a problem could not be compiled into the directory.
#[derive(Debug, Error)]
enum CompileError {
    #[error("there is no node {node} in the manifests, only: {known}")]
    UnknownNode { node: NodeName, known: String },
    #[error(transparent)]
    Write(#[from] WriteError),
}

fn write(options: &Options, manifests: Manifests) -> Result<Written, CompileError> {
    let mut published = compile::compile(&ClusterState::from_events(manifests.events));
    if let Some(node) = options.node.as_deref().map(NodeName::from) {
        let Some(of_node) = published.for_node(&node) else {
            let known: Vec<&str> = published.nodes.keys().map(NodeName::as_str).collect();
            let known = known.join(", ");
            return Err(CompileError::UnknownNode { node, known });
        };
        published = of_node;
    }
    Ok(files::write(&options.output, &published)?)
}

fn counted(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}
