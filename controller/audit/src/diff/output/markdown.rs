//! A difference for a pull request: what matters is in sight, the rest folds out, and it is never longer than a comment may
//! be.

use std::io::{self, Write};

use super::{Headline, Speech, family};
use crate::diff::{Diff, Effect};
use crate::relation::{Limits, ports};

const LIMITS: Limits = Limits { words: 5, excepts: 3 };

/// How many changes, and how many lines of anything else, are told. A comment of GitHub has 65,536 letters.
const CHANGES: usize = 60;
const LINES: usize = 60;

/// How long a cell may be.
const CELL: usize = 300;

/// How long a line of a list may be. It names policies, which nobody can do without.
const LINE: usize = 900;

pub(super) fn write(diff: &Diff<'_>, to: &mut dyn Write) -> io::Result<()> {
    let speech = Speech::of(diff);
    let headline = Headline(diff).to_string();
    let mark = if diff.is_empty() { "" } else { "**" };
    writeln!(
        to,
        "### Network policies\n\n{mark}{}{mark}",
        escaped(&capitalised(&headline), LINE)
    )?;
    if !diff.changes.is_empty() {
        writeln!(to, "\n| | From | To | Ports | Why |\n|---|---|---|---|---|")?;
        for change in diff.changes.iter().take(CHANGES) {
            let effect = match change.effect {
                Effect::Allowed => "**\\+** allowed",
                Effect::Denied => "**−** denied",
            };
            let on = format!("{}{}", ports(&change.ports), family(change.family));
            let why: Vec<String> = speech
                .reasons(change)
                .iter()
                .map(|reason| escaped(reason, CELL))
                .collect();
            writeln!(
                to,
                "| {effect} | {} | {} | {} | {} |",
                escaped(&speech.sources(change, LIMITS), CELL),
                escaped(&speech.destinations(&change.to, LIMITS), CELL),
                escaped(&on, CELL),
                why.join("<br>")
            )?;
        }
        if diff.changes.len() > CHANGES {
            writeln!(to, "\n… and {} more changes", diff.changes.len() - CHANGES)?;
        }
    }
    let isolation = diff
        .isolation
        .iter()
        .map(|isolation| speech.isolation(isolation, LIMITS));
    folded(to, "Isolation", &isolation.collect::<Vec<_>>())?;
    folded(to, "Edited", &speech.edits())?;
    folded(to, "Pods with another name", &speech.renamed())?;
    folded(to, "New pods", &speech.newcomers())?;
    folded(to, "Pods that are gone", &speech.gone())
}

fn folded(to: &mut dyn Write, title: &str, lines: &[String]) -> io::Result<()> {
    if lines.is_empty() {
        return Ok(());
    }
    writeln!(to, "\n<details><summary>{title} ({})</summary>\n", lines.len())?;
    for line in lines.iter().take(LINES) {
        writeln!(to, "- {}", escaped(line, LINE))?;
    }
    if lines.len() > LINES {
        writeln!(to, "- … and {} more", lines.len() - LINES)?;
    }
    writeln!(to, "\n</details>")
}

fn capitalised(text: &str) -> String {
    let mut letters = text.chars();
    let first = letters.next().map(|letter| letter.to_ascii_uppercase());
    first.into_iter().chain(letters).collect()
}

/// Text that means nothing to Markdown, on one line, and no longer than some letters.
fn escaped(text: &str, most: usize) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars().take(most) {
        match letter {
            '\\' | '`' | '*' | '_' | '{' | '}' | '[' | ']' | '<' | '>' | '#' | '|' | '~' | '&' | '!'
            | '@' => {
                escaped.push('\\');
                escaped.push(letter);
            }
            letter if letter.is_control() => escaped.push(' '),
            letter => escaped.push(letter),
        }
    }
    if text.chars().nth(most).is_some() {
        escaped.push('…');
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_stays_a_cell() {
        assert_eq!(escaped("a|b `c`\n<d>", CELL), "a\\|b \\`c\\` \\<d\\>");
        assert_eq!(escaped(&"x".repeat(1000), CELL).chars().count(), CELL + 1);
    }
}
