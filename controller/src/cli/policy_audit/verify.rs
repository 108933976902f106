//! `palisade policy-audit verify`.

use std::collections::BTreeSet;
use std::io::{self, Write};
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use palisade_audit::kernel::{self, NodeReport, Verifier};
use palisade_policy::cluster::ClusterState;
use palisade_policy::model::NodeName;

use crate::cli::{Exit, Streams};
use crate::enforced::{Difference, Enforcement};
use crate::error::chain;
use crate::inventory::{self, Loaded, Sources};
use crate::tables::{self, Enforcers, Read};

/// Compare the tables in the kernels of nodes with what the API says
///
/// Reads the loaded rules back, turns them into who reaches whom without any help of what wrote them, and compares that with
/// what the policies mean: for every pod of the node, every address and every port. Each difference comes with a packet that
/// shows it, the rules that decide about it, and the policies.
///
/// The tables come from the enforcers of the cluster (this runs `palisade-enforcer tables` in their pods, which takes the right
/// to create pods/exec), from files that this command has printed, or from `nft -j list ruleset`.
///
/// Exit codes: 0, no difference; 1, there are differences, or a node could not be read; 2, nothing could be read.
#[derive(Debug, Args)]
pub(super) struct Options {
    #[command(flatten)]
    sources: Sources,
    /// Only this node; with --local, and with files that do not say it, whose tables these are
    #[arg(long, value_name = "NAME", value_parser = |name: &str| Ok::<_, String>(NodeName::from(name)))]
    node: Option<NodeName>,
    /// A document of `palisade-enforcer tables` or a listing of `nft -j`, a directory of such files (.json), or `-`
    #[arg(long, value_name = "FILE|DIR|-")]
    tables: Vec<PathBuf>,
    /// The tables of this machine, as its own `nft` lists them
    #[arg(long, conflicts_with = "tables", requires = "node")]
    local: bool,
    /// The namespace of the enforcers' pods
    #[arg(long, value_name = "NAME", default_value = "palisade-system")]
    enforcer_namespace: String,
    /// In which form
    #[arg(short, long, value_name = "FORM", default_value = "text")]
    output: Form,
}

/// The forms of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Form {
    /// For people
    Text,
    /// For programs
    Json,
}

pub(super) fn run(options: &Options, streams: &mut Streams<'_>) -> io::Result<Exit> {
    let from_cluster = options.tables.is_empty() && !options.local;
    if from_cluster && !options.sources.filenames.is_empty() {
        writeln!(
            streams.errors,
            "error: with -f there is no cluster to ask: where are the tables? (--tables, --local)"
        )?;
        return Ok(Exit::Failure);
    }
    let loaded = match inventory::load_published(&options.sources, streams) {
        Ok(loaded) => loaded,
        Err(error) => return error.tell(streams),
    };
    let state = loaded.inventory.without_placeholders();
    let read = if from_cluster {
        let enforcers = Enforcers {
            surroundings: &options.sources.surroundings,
            namespace: &options.enforcer_namespace,
            nodes: nodes(&state, options.node.as_ref()),
        };
        match tables::from_enforcers(&enforcers) {
            Ok(read) => read,
            Err(error) => {
                writeln!(streams.errors, "error: {}", chain(&error))?;
                return Ok(Exit::Failure);
            }
        }
    } else if let (true, Some(node)) = (options.local, &options.node) {
        vec![tables::from_this_machine(node)]
    } else {
        tables::from_files(&options.tables, options.node.as_ref(), streams)
    };
    verify(options, &loaded, &state, read, streams)
}

/// The nodes whose tables are wanted: those that have pods, or one.
fn nodes(state: &ClusterState, only: Option<&NodeName>) -> BTreeSet<NodeName> {
    if let Some(node) = only {
        return [node.clone()].into();
    }
    let of_pods = state
        .pods()
        .values()
        .filter(|pod| pod.is_workload())
        .filter_map(|pod| pod.node.clone());
    of_pods.chain(state.nodes().keys().cloned()).collect()
}

fn verify(
    options: &Options,
    loaded: &Loaded,
    state: &ClusterState,
    read: Vec<Read>,
    streams: &mut Streams<'_>,
) -> io::Result<Exit> {
    let mut verifier = Verifier::new(state);
    let mut reports = Vec::new();
    let mut unread = 0;
    let published = &loaded.published;
    let enforcement =
        (!published.rule_sets.is_empty()).then(|| Enforcement::of(&loaded.inventory, published));
    for Read { of, node, tables } in read {
        if options.node.is_some() && node.is_some() && node != options.node {
            continue;
        }
        let problem = match (tables, node) {
            (Ok(tables), Some(node)) if is_known(state, &node) => {
                let report = verifier.verify(&node, &tables);
                notes(&report, enforcement.as_ref(), streams)?;
                reports.push(report);
                continue;
            }
            (Ok(_), Some(node)) => format!("the API has no node {node}"),
            (Ok(_), None) => "it does not say whose tables these are: --node does".to_owned(),
            (Err(error), _) => chain(&error),
        };
        unread += 1;
        writeln!(streams.errors, "error: {of}: {problem}")?;
    }
    match options.output {
        Form::Text => streams.text().write_all(kernel::text(&reports).as_bytes())?,
        Form::Json => {
            serde_json::to_writer_pretty(&mut *streams.output, &kernel::json(&reports))?;
            writeln!(streams.output)?;
        }
    }
    if reports.is_empty() {
        if unread == 0 {
            writeln!(streams.errors, "error: there are no tables")?;
        }
        return Ok(Exit::Failure);
    }
    summary(&reports, streams)?;
    let agrees = reports.iter().all(NodeReport::agrees);
    Ok(if agrees && unread == 0 {
        Exit::Success
    } else {
        Exit::Negative
    })
}

fn is_known(state: &ClusterState, node: &NodeName) -> bool {
    state.nodes().contains_key(node) || state.pods().values().any(|pod| pod.node.as_ref() == Some(node))
}

/// What is worth knowing of a node, and no difference. A change that is on its way explains differences; it does not hide them.
fn notes(
    report: &NodeReport,
    enforcement: Option<&Enforcement>,
    streams: &mut Streams<'_>,
) -> io::Result<()> {
    let node = &report.node;
    for note in &report.notes {
        writeln!(streams.errors, "note: node {node}: {note}")?;
    }
    let state = enforcement.and_then(|enforcement| enforcement.nodes.get(node));
    let mut differences = state.into_iter().flat_map(|state| &state.differences);
    if differences.any(Difference::may_pass) {
        writeln!(
            streams.errors,
            "note: node {node}: a change is on its way: what is published, or reported by the node, is older than the API"
        )?;
    }
    Ok(())
}

fn summary(reports: &[NodeReport], streams: &mut Streams<'_>) -> io::Result<()> {
    let sum = |of: fn(&NodeReport) -> usize| reports.iter().map(of).sum::<usize>();
    let findings = sum(|report| report.findings.len() + report.untold);
    writeln!(
        streams.errors,
        "{} nodes, {} pods, {} pairs of pods on one node and {} stretches of other addresses compared: {findings} findings",
        reports.len(),
        sum(|report| report.compared.pods),
        sum(|report| report.compared.pairs),
        sum(|report| report.compared.stretches),
    )
}
