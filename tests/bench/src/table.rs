//! Figures for people.

use comfy_table::{CellAlignment, Table, TableStyle};

use crate::figure::Figure;

/// A table of figures, each beside its target.
pub(crate) fn of(figures: &[Figure]) -> String {
    let mut table = Table::new();
    table.load_style(TableStyle::new());
    table.set_header([
        "case", "figure", "n", "min", "p50", "p99", "max", "target", "ratio",
    ]);
    for figure in figures {
        let spread = figure.spread;
        let show = |value| figure.unit.show(value);
        let target = figure
            .target
            .map(|target| format!("{} ≤ {}", target.part, show(target.most)));
        let margin = figure.margin().map(|margin| {
            let missed = if margin < 1.0 { " missed" } else { "" };
            format!("{margin:.1}×{missed}")
        });
        table.add_row([
            format!("{}/{}", figure.bench, figure.case),
            figure.what.clone(),
            spread.count.to_string(),
            show(spread.min),
            show(spread.p50),
            show(spread.p99),
            show(spread.max),
            target.unwrap_or_default(),
            margin.unwrap_or_default(),
        ]);
    }
    for column in table.column_iter_mut().skip(2) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table.trim_fmt()
}
