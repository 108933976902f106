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
        let ratio = figure.is_met().map(|is_met| {
            let margin = figure.margin().map(|margin| format!("{margin:.1}×"));
            let words = [margin.as_deref(), (!is_met).then_some("missed")];
            let words: Vec<&str> = words.into_iter().flatten().collect();
            if words.is_empty() {
                "met".to_owned()
            } else {
                words.join(" ")
            }
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
            ratio.unwrap_or_default(),
        ]);
    }
    for column in table.column_iter_mut().skip(2) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table.trim_fmt()
}
