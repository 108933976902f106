//! `palisade policy-audit status`.

use std::io::{self, Write};

use clap::{Args, ValueEnum};
use comfy_table::{ColumnConstraint, ContentArrangement, Table, TableStyle};
use palisade_audit::style::{Style, visible};
use serde::Serialize;

use crate::cli::{Exit, Streams};
use crate::enforced::{Difference, Enforcement, NodeState, PolicyState, Publication};
use crate::inventory::{self, Sources};

/// Say what nodes enforce of each policy
///
/// A policy is enforced on a node when what is published of it, of the pods in its groups and of the node's own pods is what
/// they mean now, and the node reports that its kernel has exactly that rule set and these policies. What should be published
/// is compiled anew from the objects. `verify` does not believe reports and reads the kernels themselves.
///
/// Exit code 1 where a policy is not enforced on every node of its pods, or a node has something to complain of.
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(super) struct Options {
    #[command(flatten)]
    sources: Sources,
    /// In which form
    #[arg(short, long, value_name = "FORM", default_value = "table")]
    output: Form,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Form {
    /// For people
    Table,
    /// The same, with the nodes that a policy has not reached
    Wide,
    /// All of it
    Json,
}

/// The form for programs.
#[derive(Serialize)]
struct Document<'a> {
    /// Another where a field changes its meaning.
    version: u32,
    #[serde(flatten)]
    enforcement: &'a Enforcement,
}

pub(super) fn run(options: &Options, streams: &mut Streams<'_>) -> io::Result<Exit> {
    let loaded = match inventory::load_published(&options.sources, streams) {
        Ok(loaded) => loaded,
        Err(error) => return error.tell(streams),
    };
    let published = &loaded.published;
    let enforcement = Enforcement::of(&loaded.inventory, published);
    match options.output {
        Form::Json => {
            let document = Document {
                version: 1,
                enforcement: &enforcement,
            };
            serde_json::to_writer_pretty(&mut *streams.output, &document)?;
            writeln!(streams.output)?;
        }
        Form::Table => tables(&enforcement, false, streams.style, &mut streams.text())?,
        Form::Wide => tables(&enforcement, true, streams.style, &mut streams.text())?,
    }
    summary(&enforcement, published.rule_sets.is_empty(), streams.errors)?;
    Ok(if enforcement.is_complete() {
        Exit::Success
    } else {
        Exit::Negative
    })
}

fn tables(enforcement: &Enforcement, wide: bool, style: Style, to: &mut dyn Write) -> io::Result<()> {
    if !enforcement.policies.is_empty() {
        let mut policies = table(
            &["POLICY", "PODS", "PUBLISHED", "NODES", "LAG", "NOT ENFORCED ON"],
            style,
        );
        for (key, state) in &enforcement.policies {
            let cells = [
                key.to_string(),
                state.pods.to_string(),
                publication(state),
                format!("{}/{}", state.enforced.len(), state.nodes.len()),
                lag(state.lag_milliseconds),
                missing(state),
            ];
            policies.add_row(cells);
        }
        if !wide && let Some(column) = policies.column_mut(5) {
            column.set_constraint(ColumnConstraint::Hidden);
        }
        print(&policies, to)?;
        writeln!(to)?;
    }
    let mut nodes = table(&["NODE", "REVISION", "OBSERVED", "PODS", "LAG", "STATE"], style);
    for (name, state) in &enforcement.nodes {
        nodes.add_row([
            name.to_string(),
            number(state.revision),
            number(state.observed),
            number(state.pods),
            lag(state.lag_milliseconds),
            words(state),
        ]);
    }
    print(&nodes, to)
}

/// Columns as `kubectl` has them. Long lines are left to the terminal, so that one line stays one thing.
fn table(heads: &[&str], style: Style) -> Table {
    let mut table = Table::new();
    table.load_style(TableStyle::new());
    table.set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(heads.iter().map(|head| style.bold(head).to_string()));
    for column in table.column_iter_mut() {
        column.set_padding((0, 3));
    }
    table
}

fn print(table: &Table, to: &mut dyn Write) -> io::Result<()> {
    table
        .lines()
        .try_for_each(|line| writeln!(to, "{}", line.trim_end()))
}

fn publication(state: &PolicyState) -> String {
    let word = state.publication.as_str();
    match state.defects {
        0 => word.to_owned(),
        defects => format!("{word}, {defects} not understood"),
    }
}

fn missing(state: &PolicyState) -> String {
    let missing = state.nodes.difference(&state.enforced);
    missing.map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

fn number(value: Option<u64>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| value.to_string())
}

fn lag(milliseconds: Option<u64>) -> String {
    milliseconds.map_or_else(|| "-".to_owned(), |value| format!("{value} ms"))
}

/// One line, whatever the node has to say.
fn words(state: &NodeState) -> String {
    let differences = state.differences.iter().map(ToString::to_string);
    let degraded = state
        .degraded
        .iter()
        .map(|message| format!("degraded: {message}"));
    let words = differences.chain(degraded);
    let words: Vec<String> = words.map(|words| visible(&words).into_owned()).collect();
    if words.is_empty() {
        "enforced".to_owned()
    } else {
        words.join("; ")
    }
}

fn summary(enforcement: &Enforcement, unpublished: bool, to: &mut dyn Write) -> io::Result<()> {
    if unpublished {
        writeln!(
            to,
            "note: nothing is published for any node; is Palisade installed, or are NodeRuleSets missing in the files?"
        )?;
    }
    let nodes = &enforcement.nodes;
    let mut differences = nodes.values().flat_map(|node| &node.differences);
    if !unpublished && differences.any(Difference::may_pass) {
        writeln!(
            to,
            "note: what was changed a moment ago may be on its way: ask again before you believe a difference"
        )?;
    }
    let policies = &enforcement.policies;
    let wanted = policies
        .values()
        .filter(|state| state.publication != Publication::Superfluous);
    let enforced = wanted.filter(|state| state.is_complete()).count();
    let differing = nodes.values().filter(|node| !node.differences.is_empty()).count();
    writeln!(
        to,
        "{enforced} of {} policies are enforced on every node of their pods; {differing} of {} nodes differ",
        policies.len(),
        nodes.len()
    )
}
