//! The forms of a relation.

mod csv;
mod dot;
mod graph;
mod html;
mod json;
mod mermaid;
mod table;

use std::io::{self, Write};

use palisade_policy::reach::{End, Family};

use super::words::{Word, Words, ports};
use super::{Line, Relation, Selection};
use crate::style::Style;

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

/// A line with its ends in words.
struct Spoken {
    from: Vec<Word>,
    to: Vec<Word>,
}

impl Spoken {
    fn of(words: &Words<'_>, selection: &Selection, line: &Line) -> Self {
        Self {
            // Of what was asked for by name, nothing is "all".
            from: if selection.has_all_sources() {
                words.sources(&line.from, &line.to, line.family)
            } else {
                words.each(&line.from, selection.sources_within())
            },
            to: match line.to.as_slice() {
                [End::Pods(class)] => vec![Word::Class(*class)],
                ends if selection.has_all_destinations() => words.destinations(ends),
                ends => words.each(ends, selection.destinations_within()),
            },
        }
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
