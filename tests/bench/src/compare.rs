//! Two reports side by side, as ratios.
//!
//! A figure is the same one where bench, case and name are. What changed most comes first, whichever way it changed; what only one
//! of the reports has comes last.

use std::collections::BTreeMap;
use std::fmt::Write;

use comfy_table::{CellAlignment, Table, TableStyle};

use crate::figure::Figure;
use crate::report::Report;

/// A figure of one report or of both.
#[derive(Clone, Copy, Debug)]
enum Compared<'a> {
    Both(&'a Figure, &'a Figure),
    OnlyFirst(&'a Figure),
    OnlySecond(&'a Figure),
}

/// Both reports in a table: the middle of each figure in the first and in the second, and how many times the first the second is.
pub(crate) fn show(first: &Report, second: &Report) -> String {
    let mut text = String::new();
    for (name, report) in [("A", first), ("B", second)] {
        // Writing to a string does not fail.
        let _infallible = writeln!(text, "{name}: {}, {}", report.date(), report.machine);
    }
    text.push('\n');
    text.push_str(&table(&pair(&first.figures, &second.figures)));
    text
}

/// Brings figures of one name together; what differs most first.
fn pair<'a>(first: &'a [Figure], second: &'a [Figure]) -> Vec<Compared<'a>> {
    let key = |figure: &'a Figure| (&*figure.bench, &*figure.case, &*figure.what);
    let mut others: BTreeMap<_, &Figure> = second.iter().map(|figure| (key(figure), figure)).collect();
    let mut compared: Vec<Compared<'_>> = first
        .iter()
        .map(|figure| match others.remove(&key(figure)) {
            Some(other) => Compared::Both(figure, other),
            None => Compared::OnlyFirst(figure),
        })
        .collect();
    compared.extend(others.into_values().map(Compared::OnlySecond));
    compared.sort_by(|one, other| other.distance().total_cmp(&one.distance()));
    compared
}

impl<'a> Compared<'a> {
    /// How many times the first the second is; 1 where both are nothing.
    fn ratio(&self) -> Option<f64> {
        match self {
            Self::Both(first, second) if first.spread.p50.total_cmp(&second.spread.p50).is_eq() => Some(1.0),
            Self::Both(first, second) => Some(second.spread.p50 / first.spread.p50),
            _ => None,
        }
    }

    /// How far apart the two are: half is as far as twice. Differences can be on both sides of zero, and are far apart then.
    fn distance(&self) -> f64 {
        match self.ratio() {
            Some(ratio) if ratio > 0.0 => ratio.ln().abs(),
            Some(_) => f64::MAX,
            None => -1.0,
        }
    }

    /// The figure that tells its name and unit.
    fn figure(&self) -> &'a Figure {
        match *self {
            Self::Both(figure, _) | Self::OnlyFirst(figure) | Self::OnlySecond(figure) => figure,
        }
    }
}

fn table(rows: &[Compared<'_>]) -> String {
    let mut table = Table::new();
    table.load_style(TableStyle::new());
    table.set_header(["case", "figure", "A", "B", "B / A"]);
    for row in rows {
        let figure = row.figure();
        let show = |figure: &Figure| figure.unit.show(figure.spread.p50);
        let (first, second, ratio) = match row {
            Compared::Both(first, second) => {
                let ratio = row.ratio().filter(|ratio| *ratio > 0.0 && ratio.is_finite());
                let ratio = ratio.map_or_else(|| "—".to_owned(), |ratio| format!("{ratio:.2}×"));
                (show(first), show(second), ratio)
            }
            Compared::OnlyFirst(figure) => (show(figure), String::new(), "only in A".to_owned()),
            Compared::OnlySecond(figure) => (String::new(), show(figure), "only in B".to_owned()),
        };
        let case = format!("{}/{}", figure.bench, figure.case);
        table.add_row([case, figure.what.clone(), first, second, ratio]);
    }
    for column in table.column_iter_mut().skip(2) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table.trim_fmt()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::figure::{Spread, Unit};

    fn figure(what: &str, unit: Unit, value: f64) -> Figure {
        Figure {
            bench: "compile".to_owned(),
            case: "W1".to_owned(),
            ..Figure::new(what, unit, Spread::of([value]))
        }
    }

    #[test]
    fn what_differs_most_comes_first_and_what_is_in_one_report_last() {
        let first = [
            figure("same", Unit::Seconds, 1.0),
            figure("a third more", Unit::Bytes, 3e6),
            figure("gone", Unit::Count, 4.0),
            figure("a quarter", Unit::Seconds, 2e-3),
            figure("nothing", Unit::Count, 0.0),
            figure("something", Unit::Count, 0.0),
        ];
        let second = [
            figure("new", Unit::Seconds, 5e-6),
            figure("a quarter", Unit::Seconds, 0.5e-3),
            figure("a third more", Unit::Bytes, 4e6),
            figure("same", Unit::Seconds, 1.0),
            figure("nothing", Unit::Count, 0.0),
            figure("something", Unit::Count, 2.0),
        ];
        let table = table(&pair(&first, &second));
        let lines: Vec<String> = table
            .lines()
            .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
            .collect();
        assert_eq!(
            lines,
            [
                "case figure A B B / A",
                "compile/W1 something 0 2 —",
                "compile/W1 a quarter 2.00 ms 500 µs 0.25×",
                "compile/W1 a third more 3.00 MB 4.00 MB 1.33×",
                "compile/W1 same 1.00 s 1.00 s 1.00×",
                "compile/W1 nothing 0 0 1.00×",
                "compile/W1 gone 4 only in A",
                "compile/W1 new 5.00 µs only in B",
            ]
        );
    }
}
