//! The table of codes: as a list, one by one, and as the page of the documentation.

use std::fmt::Write;

use super::text::wrapped;
use crate::lint::code::Topic;
use crate::lint::{Code, Severity};
use crate::style::Style;

/// The columns of lines where the width of the terminal is not known.
const WIDTH: u16 = 100;

/// All codes, one a line.
pub fn list() -> String {
    let names = Code::ALL.iter().map(|code| code.entry().name.len());
    let longest = names.max().unwrap_or_default();
    let lines = Code::ALL.iter().map(|code| {
        let entry = code.entry();
        let severity = entry.severity.as_str();
        format!(
            "{}  {:longest$}  {severity:7}  {}\n",
            entry.id, entry.name, entry.title
        )
    });
    lines.collect()
}

/// One code, with its examples.
pub fn explanation(code: Code, style: Style) -> String {
    let entry = code.entry();
    let width = usize::from(style.width.unwrap_or(WIDTH))
        .saturating_sub(5)
        .max(20);
    let paragraph = |word: &str, text: &str| {
        let lines = wrapped(text, width).join("\n     ");
        format!("{}  {lines}\n", style.bold(word))
    };
    let severity = match entry.severity {
        Severity::Error => style.red(entry.severity).to_string(),
        Severity::Warning => style.yellow(entry.severity).to_string(),
        Severity::Info => style.bold(entry.severity).to_string(),
    };
    [
        format!(
            "{} {} ({severity})\n",
            style.bold(entry.id),
            style.bold(entry.name)
        ),
        format!("{}\n\n", entry.title),
        paragraph("why", entry.why),
        paragraph("fix", entry.fix),
        format!("\n{}\n\n{}", style.bold("These have it:"), indented(entry.has)),
        format!("\n{}\n\n{}", style.bold("These do not:"), indented(entry.nearly)),
    ]
    .concat()
}

fn indented(text: &str) -> String {
    let lines = text.lines().map(|line| match line {
        "" => "\n".to_owned(),
        line => format!("    {line}\n"),
    });
    lines.collect()
}

const HEAD: &str = "# Lint

What `palisade policy-audit lint` finds. An *error* is certainly not what was meant, a *warning* most likely not, an *info* is
worth knowing and may well be meant. With `--fail-on` (default `warning`) the command ends with 1 if anything as bad or
worse was found. `--ignore` and `--only` take codes or names; `--explain` shows one code with its examples.

This page is generated from the table of codes: `make docs`.

";

/// The page of the documentation, in Markdown.
pub fn page() -> String {
    let mut page = HEAD.to_owned();
    for topic in Topic::ALL {
        // Text can always be written to, here and below.
        let _ = write!(
            page,
            "## {}\n\n| code | name | severity | what it is |\n|---|---|---|---|\n",
            topic.title()
        );
        for code in topic.codes() {
            let entry = code.entry();
            let anchor = format!("{}-{}", entry.id.to_lowercase(), entry.name);
            let _ = writeln!(
                page,
                "| [{}](#{anchor}) | {} | {} | {} |",
                entry.id, entry.name, entry.severity, entry.title
            );
        }
        page.push('\n');
    }
    for code in Code::ALL {
        let entry = code.entry();
        let _ = write!(
            page,
            "### {} {}\n\n**{}: {}.** {}\n\n**Fix:** {}\n\n<details><summary>Examples</summary>\n\nThese have it:\n\n\
             ```yaml\n{}```\n\nThese do not:\n\n```yaml\n{}```\n\n</details>\n\n",
            entry.id,
            entry.name,
            capital(entry.severity.as_str()),
            entry.title,
            entry.why,
            entry.fix,
            entry.has,
            entry.nearly
        );
    }
    page.truncate(page.trim_end().len());
    page.push('\n');
    page
}

fn capital(word: &str) -> String {
    let mut letters = word.chars();
    letters
        .next()
        .map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}
