//! A table as `kubectl` has them.

use std::collections::BTreeSet;
use std::io::{self, Write};

use comfy_table::{ColumnConstraint, ContentArrangement, Table, TableStyle};
use palisade_policy::model::PolicyKey;
use palisade_policy::reach::{Class, End};

use super::{Limits, Words, destinations, family, ports, sources};
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
    /// How much a cell has.
    fn limits(self) -> Limits {
        match self {
            Self::Short => Limits { words: 6, excepts: 4 },
            Self::Whole => Limits::NONE,
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
    let limits = detail.limits();
    let mut table = table(style);
    let mut by_family = false;
    for line in relation.lines(selection) {
        by_family |= line.family.is_some();
        let (from, on) = if line.from.is_empty() {
            ("nobody".to_owned(), "-".to_owned())
        } else {
            let from = words.said(&sources(&words, selection, &line), limits);
            (from, ports(&line.ports))
        };
        let targets = words.listed(&destinations(&words, selection, &line), limits);
        let mut cells = vec![from, targets, on, family(line.family).to_owned()];
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
    for (number, line) in table.lines().enumerate() {
        let line = line.trim_end();
        // Letters that make colours would count for the widths of columns.
        if number == 0 {
            writeln!(to, "{}", style.bold(line))?;
        } else {
            writeln!(to, "{line}")?;
        }
    }
    Ok(())
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
    table.set_header(HEADS);
    for column in table.column_iter_mut() {
        column.set_padding((0, 3));
    }
    table
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
