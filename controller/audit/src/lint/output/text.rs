//! For people: by object, each finding with why it matters and how to put it right.

use std::collections::BTreeSet;
use std::fmt::Write;

use super::{place, sentence};
use crate::inventory::Places;
use crate::lint::{Finding, Severity};
use crate::style::Style;

/// The columns of lines where the width of the terminal is not known.
const WIDTH: u16 = 100;

/// What stands before lines that explain a finding.
const INDENT: &str = "    ";

/// Findings as text, empty without any. A line with a place begins with `file:line:`, as editors know it.
pub fn text(findings: &[Finding], places: &dyn Places, style: Style) -> String {
    let mut text = String::new();
    let mut known = BTreeSet::new();
    let mut object = None;
    for finding in findings {
        if object != Some(&finding.object) {
            if object.is_some() {
                text.push('\n');
            }
            let title = finding.object.to_string();
            line(&mut text, format_args!("{}", style.bold(title)));
            object = Some(&finding.object);
        }
        let place = place(finding, places).map_or_else(String::new, |place| match place.line {
            Some(line) => format!("{}:{line}: ", place.file),
            None => format!("{}: ", place.file),
        });
        let code = finding.code.entry();
        let severity = match code.severity {
            Severity::Error => style.red(code.severity).to_string(),
            Severity::Warning => style.yellow(code.severity).to_string(),
            Severity::Info => style.bold(code.severity).to_string(),
        };
        line(
            &mut text,
            format_args!(
                "{place}{severity} {} {}: {}",
                code.id,
                code.name,
                sentence(finding)
            ),
        );
        // What may well be meant is explained once: of a large cluster there can be much of it.
        if known.insert(finding.code) || code.severity > Severity::Info {
            explain(&mut text, "why", code.why, style);
            explain(&mut text, "fix", &finding.fix, style);
        }
        if !finding.related.is_empty() {
            let related: Vec<String> = finding.related.iter().map(ToString::to_string).collect();
            explain(&mut text, "see", &related.join(", "), style);
        }
    }
    text
}

fn line(text: &mut String, line: std::fmt::Arguments<'_>) {
    // Text can always be written to.
    let _ = writeln!(text, "{line}");
}

/// A word and what it introduces, wrapped and hanging.
fn explain(text: &mut String, word: &str, sentence: &str, style: Style) {
    let width = usize::from(style.width.unwrap_or(WIDTH))
        .saturating_sub(INDENT.len() + 5)
        .max(20);
    for (number, part) in wrapped(sentence, width).iter().enumerate() {
        let word = if number == 0 { word } else { "   " };
        line(text, format_args!("{INDENT}{}  {part}", style.dim(word)));
    }
}

/// Lines of at most `width` columns, except where a word is longer.
pub(super) fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}
