//! A run as a table.

use std::fmt::Write;

use comfy_table::{Cell, CellAlignment, ContentLineStyle, LineStyle, Table, TableStyle};

use super::report::{Outcome, Report};

const STYLE: TableStyle = TableStyle::new()
    .header_lines(ContentLineStyle::none())
    .header_separator(LineStyle::none().fill('─'))
    .content_lines(ContentLineStyle::none());

/// What names of specs begin with.
const PREFIXES: [&str; 2] = [
    "[It] [sig-network] Netpol ",
    "NetworkPolicy between server and client should ",
];
/// What every name of a spec ends with.
const SUFFIX: &str = " [Feature:NetworkPolicy]";

/// The specs in lines, what failed in full, and a line that counts.
pub fn table(title: &str, report: &Report) -> String {
    let mut table = Table::new();
    table.load_style(STYLE).set_header(["seconds", title, "spec"]);
    for spec in &report.specs {
        let outcome = match &spec.outcome {
            Outcome::Passed => "passed".to_owned(),
            Outcome::Failed(_) => "FAILED".to_owned(),
            Outcome::Skipped(None) => "NOT RUN".to_owned(),
            Outcome::Skipped(Some(reason)) => format!("SKIPPED: {reason}"),
            Outcome::Excused(reason) => format!("skipped: {reason}"),
        };
        let seconds = Cell::new(format!("{:.1}", spec.seconds)).set_alignment(CellAlignment::Right);
        table.add_row([seconds, Cell::new(outcome), Cell::new(short(&spec.name))]);
    }
    let mut text = format!("{}\n", table.trim_fmt());
    for spec in &report.specs {
        if let Outcome::Failed(message) = &spec.outcome {
            // Writing to a string does not fail.
            let _ = writeln!(
                text,
                "FAILED {}\n  {}",
                short(&spec.name),
                message.replace('\n', "\n  ")
            );
        }
    }
    let count = report.count();
    let _ = writeln!(
        text,
        "{title}: {} passed, {} failed, {} skipped in {:.0} s",
        count.passed,
        count.failed,
        count.skipped + count.excused,
        report.elapsed.as_secs_f64()
    );
    text
}

fn short(name: &str) -> &str {
    let name = PREFIXES
        .iter()
        .fold(name, |name, prefix| name.strip_prefix(prefix).unwrap_or(name));
    name.strip_suffix(SUFFIX).unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::super::report::Spec;
    use super::*;

    #[test]
    fn a_failure_is_told_in_full_and_a_skip_with_its_reason() {
        let spec = |name: &str, outcome| Spec {
            name: format!("{}{name}{SUFFIX}", PREFIXES.concat()),
            outcome,
            seconds: 1.0,
        };
        let report = Report {
            specs: vec![
                spec("one", Outcome::Passed),
                spec("two", Outcome::Failed("wrong results".into())),
                spec("three", Outcome::Excused("no sockets".into())),
            ],
            ..Report::default()
        };
        let text = table("ptp", &report);
        assert!(text.contains("FAILED two\n  wrong results\n"));
        assert!(text.contains("skipped: no sockets"));
        assert!(text.ends_with("ptp: 1 passed, 1 failed, 1 skipped in 0 s\n"));
    }
}
