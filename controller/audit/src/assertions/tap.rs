//! The Test Anything Protocol, version 14 (<https://testanything.org/tap-version-14-specification.html>).

use std::fmt::Write;

use serde_json::Value;

use super::Checked;
use super::output::{explanation, message};
use crate::inventory::Places;
use crate::style::Style;

/// Outcomes as a TAP document: a plan, a point for each assertion, and of those that do not hold a YAML block.
pub fn tap(outcomes: &[Checked], places: &dyn Places) -> String {
    let mut text = format!("TAP version 14\n1..{}\n", outcomes.len());
    for (number, checked) in (1..).zip(outcomes) {
        let word = if checked.holds() { "ok" } else { "not ok" };
        // Text can always be written to.
        let _ = writeln!(text, "{word} {number} - {}", escaped(&checked.assertion.name));
        if !checked.holds() {
            diagnose(&mut text, checked, places);
        }
    }
    text
}

/// A description is one line, and `#` would begin a directive.
fn escaped(name: &str) -> String {
    let line: String = name
        .chars()
        .map(|letter| if letter.is_control() { ' ' } else { letter })
        .collect();
    line.trim_end().replace('\\', "\\\\").replace('#', "\\#")
}

fn diagnose(text: &mut String, checked: &Checked, places: &dyn Places) {
    // What JSON quotes, YAML reads.
    let quoted = |text: &str| Value::from(text).to_string();
    let _ = writeln!(text, "  ---");
    let _ = writeln!(text, "  message: {}", quoted(&message(checked)));
    if let Some(reason) = &checked.assertion.reason {
        let _ = writeln!(text, "  reason: {}", quoted(reason));
    }
    let _ = writeln!(text, "  at:");
    let _ = writeln!(text, "    file: {}", quoted(&checked.assertion.place.file));
    if let Some(line) = checked.assertion.place.line {
        let _ = writeln!(text, "    line: {line}");
    }
    if let Some(failure) = checked.failures.first() {
        let _ = writeln!(text, "  explanation: |");
        for line in explanation(failure, places, Style::PLAIN).trim_end().lines() {
            let indent = if line.is_empty() { "" } else { "    " };
            let _ = writeln!(text, "{indent}{line}");
        }
    }
    let _ = writeln!(text, "  ...");
}
