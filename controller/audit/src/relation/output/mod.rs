//! The forms of a relation.

mod csv;
mod dot;
mod graph;
mod html;
mod json;
mod mermaid;
mod table;
mod transports;

use std::io::{self, Write};

use palisade_policy::reach::{End, Family};

use super::words::{Limits, Saying, Word, Words, ports};
use super::{Line, Relation, Selection};
use crate::style::Style;

pub(crate) use transports::Transports;

/// In which form a relation is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// A table for people: long lists are cut short, and say so.
    Table,
    /// The table with everything, and the policies that isolate.
    Wide,
    /// A document for programs: `docs/policy-audit-json.md` has its fields.
    Json,
    /// A line for each pair of ends.
    Csv,
    /// A graph for Graphviz.
    Dot,
    /// A graph that Markdown pages can show.
    Mermaid,
    /// A page of its own.
    Html,
}

/// Writes what is allowed between the ends of a selection.
pub fn write(
    relation: &Relation<'_>,
    selection: &Selection,
    form: Form,
    style: Style,
    to: &mut dyn Write,
) -> io::Result<()> {
    match form {
        Form::Table => table::write(relation, selection, table::Detail::Short, style, to),
        Form::Wide => table::write(relation, selection, table::Detail::Whole, style, to),
        Form::Json => json::write(relation, selection, to),
        Form::Csv => csv::write(relation, selection, to),
        Form::Dot => dot::write(relation, selection, to),
        Form::Mermaid => mermaid::write(relation, selection, to),
        Form::Html => html::write(relation, selection, to),
    }
}

/// What is worth knowing about a form of a selection, if anything is.
pub fn warning(relation: &Relation<'_>, selection: &Selection, form: Form) -> Option<String> {
    match form {
        Form::Mermaid => {
            let edges = mermaid::excess(relation, selection)?;
            Some(format!(
                "{edges} edges are more than the 500 that Mermaid draws by default: ask for less with --from and --to"
            ))
        }
        Form::Table | Form::Wide | Form::Json | Form::Csv | Form::Dot | Form::Html => None,
    }
}

/// The sources of a line, as shortly as they can be said.
fn sources(words: &Words<'_>, selection: &Selection, line: &Line) -> Saying {
    // Of what was asked for by name, nothing is "all".
    if !selection.has_all_sources() {
        return Saying {
            all: None,
            words: words.each(&line.from, selection.sources_within()),
        };
    }
    words.say_sources(&line.from, &line.to, line.family)
}

/// The destinations of a line: a class, or addresses outside.
fn destinations(words: &Words<'_>, selection: &Selection, line: &Line) -> Vec<Word> {
    match line.to.as_slice() {
        [End::Pods(class)] => vec![Word::Class(*class)],
        ends if selection.has_all_destinations() => words.destinations(ends),
        ends => words.each(ends, selection.destinations_within()),
    }
}

/// The family of a line that is about one alone.
fn family(family: Option<Family>) -> &'static str {
    match family {
        None => "",
        Some(Family::V4) => "IPv4",
        Some(Family::V6) => "IPv6",
    }
}
