//! A table as `kubectl` has them.

use std::collections::BTreeSet;
use std::io::{self, Write};

use comfy_table::{ColumnConstraint, ContentArrangement, Table, TableStyle};
use palisade_policy::model::PolicyKey;
use palisade_policy::reach::{Class, End};

use super::{Spoken, Word, Words, family, ports};
use crate::relation::{Line, Relation, Selection};
use crate::style::Style;

/// How much a table tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Detail {
    /// As much as fits.
    Short,
    /// Everything.
    Whole,
}

impl Detail {
    /// How many words a cell has, and how many excepts a word.
    fn limits(self) -> (usize, usize) {
        match self {
            Self::Short => (6, 4),
            Self::Whole => (usize::MAX, usize::MAX),
        }
    }
}

const HEADS: [&str; 7] = [
    "FROM",
    "TO",
    "PORTS",
    "FAMILY",
    "PODS",
    "EGRESS POLICIES",
    "INGRESS POLICIES",
];

/// The column of the families: shown where any line is about one alone.
const FAMILY: usize = 3;

pub(super) fn write(
    relation: &Relation<'_>,
    selection: &Selection,
    detail: Detail,
    style: Style,
    to: &mut dyn Write,
) -> io::Result<()> {
    let words = Words::of(relation.ends());
    let (most, excepts) = detail.limits();
    let mut table = table(style);
    let mut by_family = false;
    for line in relation.lines(selection) {
        let spoken = Spoken::of(&words, selection, &line);
        let say = |list: &[Word], empty: &str| match list {
            [] => empty.to_owned(),
            list => said(&words, list, most, excepts),
        };
        by_family |= line.family.is_some();
        let on = if line.ports.is_empty() {
            style.dim("-").to_string()
        } else {
            ports(&line.ports)
        };
        let mut cells = vec![
            say(&spoken.from, "nobody"),
            say(&spoken.to, "-"),
            on,
            family(line.family).to_owned(),
        ];
        if detail == Detail::Whole {
            cells.extend(more(relation, &line));
        }
        table.add_row(cells);
    }
    if !by_family && let Some(column) = table.column_mut(FAMILY) {
        column.set_constraint(ColumnConstraint::Hidden);
    }
    if detail == Detail::Short {
        for index in FAMILY + 1..HEADS.len() {
            if let Some(column) = table.column_mut(index) {
                column.set_constraint(ColumnConstraint::Hidden);
            }
        }
    }
    table
        .lines()
        .try_for_each(|line| writeln!(to, "{}", line.trim_end()))
}

fn table(style: Style) -> Table {
    let mut table = Table::new();
    table.load_style(TableStyle::new());
    match style.width {
        Some(width) => table
            .set_content_arrangement(ContentArrangement::Dynamic)
            .set_width(width),
        None => table.set_content_arrangement(ContentArrangement::Disabled),
    };
    table.set_header(HEADS.iter().map(|head| style.bold(head).to_string()));
    for column in table.column_iter_mut() {
        column.set_padding((0, 3));
    }
    table
}

fn said(words: &Words<'_>, list: &[Word], most: usize, excepts: usize) -> String {
    let mut parts: Vec<String> = list
        .iter()
        .take(most)
        .map(|word| words.text(word, excepts))
        .collect();
    if list.len() > most {
        parts.push(format!("and {} more", list.len() - most));
    }
    parts.join(", ")
}

/// The cells of the wide form: how many pods, and which policies isolate them.
fn more(relation: &Relation<'_>, line: &Line) -> [String; 3] {
    let pods = |ends: &[End]| {
        let counts: Vec<u64> = ends.iter().filter_map(|end| relation.names.pods(*end)).collect();
        if counts.is_empty() {
            "-".to_owned()
        } else {
            counts.iter().sum::<u64>().to_string()
        }
    };
    let policies = |ends: &[End], of: fn(&Class) -> &BTreeSet<PolicyKey>| {
        let classes = ends.iter().filter_map(|end| match end {
            End::Pods(class) => relation.reach.classes().get(*class),
            End::Outside(_) => None,
        });
        let found: BTreeSet<String> = classes.flat_map(of).map(ToString::to_string).collect();
        if found.is_empty() {
            "-".to_owned()
        } else {
            found.into_iter().collect::<Vec<_>>().join(", ")
        }
    };
    [
        format!("{} → {}", pods(&line.from), pods(&line.to)),
        policies(&line.from, |class| &class.egress),
        policies(&line.to, |class| &class.ingress),
    ]
}
