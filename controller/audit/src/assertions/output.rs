//! Outcomes for people and for programs of their own. For harnesses see [`super::tap`](super::tap()) and
//! [`super::junit`](super::junit()).

use std::fmt::Write;

use serde_json::{Value, json as value};

use super::{Checked, Failure};
use crate::explain;
use crate::inventory::Places;
use crate::style::Style;

/// The explanation of what is not as it should be, with what became of the first question that is not.
pub(super) fn explanation(failure: &Failure, places: &dyn Places, style: Style) -> String {
    match failure {
        Failure::Otherwise(answer) => explain::text(answer, places, style),
        Failure::Nobody(_) | Failure::TooMany(_) => format!("{failure}\n"),
    }
}

/// What to say of a failure in one line: what was expected, and what came instead.
pub(super) fn message(checked: &Checked) -> String {
    let expected = format!("expected {}", checked.assertion.expect);
    match checked.failures.as_slice() {
        [] => format!("{expected}: holds"),
        [failure] => format!("{expected}: {failure}"),
        [failure, more @ ..] => format!("{expected}: {failure} (and {} more)", more.len()),
    }
}

/// For people: a line for each assertion, with the explanation of those that do not hold.
pub fn text(outcomes: &[Checked], places: &dyn Places, style: Style) -> String {
    let mut text = String::new();
    for checked in outcomes {
        let word = if checked.holds() {
            style.green("holds").to_string()
        } else {
            style.red("fails").to_string()
        };
        // Text can always be written to.
        let _ = writeln!(text, "{word}  {}", checked.assertion.name);
        if checked.holds() {
            continue;
        }
        let _ = writeln!(text, "  {}: {}", checked.assertion.place, message(checked));
        if let Some(reason) = &checked.assertion.reason {
            let _ = writeln!(text, "  it matters because: {reason}");
        }
        for line in checked
            .failures
            .first()
            .map(|failure| explanation(failure, places, style))
            .iter()
            .flat_map(|explanation| explanation.lines())
        {
            let indent = if line.is_empty() { "" } else { "    " };
            let _ = writeln!(text, "{indent}{line}");
        }
    }
    text
}

/// For programs: every assertion with its outcome, and the whole answer to each question that is not as expected (see
/// [`explain::json`]).
pub fn json(outcomes: &[Checked], places: &dyn Places) -> Value {
    let failure = |failure: &Failure| match failure {
        Failure::Otherwise(answer) => value!({
            "message": failure.to_string(),
            "answer": explain::json(answer, places),
        }),
        Failure::Nobody(_) | Failure::TooMany(_) => value!({
            "message": failure.to_string(),
            "answer": null,
        }),
    };
    let assertions = outcomes.iter().map(|checked| {
        let assertion = &checked.assertion;
        value!({
            "name": assertion.name,
            "file": assertion.place.file,
            "line": assertion.place.line,
            "expect": assertion.expect.to_string(),
            "reason": assertion.reason,
            "holds": checked.holds(),
            "failures": checked.failures.iter().map(failure).collect::<Vec<Value>>(),
        })
    });
    let failed = outcomes.iter().filter(|checked| !checked.holds()).count();
    value!({
        "version": 1,
        "total": outcomes.len(),
        "failed": failed,
        "assertions": assertions.collect::<Vec<Value>>(),
    })
}
