//! A difference for people.

use std::io::{self, Write};

use super::{Headline, Speech, bounded, family, sign};
use crate::diff::{Diff, Effect};
use crate::relation::{Limits, ports};
use crate::style::Style;

const LIMITS: Limits = Limits { words: 8, excepts: 4 };

/// How many pods are named.
const PODS: usize = 20;

pub(super) fn write(diff: &Diff<'_>, style: Style, to: &mut dyn Write) -> io::Result<()> {
    let speech = Speech::of(diff);
    writeln!(to, "{}", style.bold(Headline(diff)))?;
    for effect in [Effect::Allowed, Effect::Denied] {
        let mut changes = diff
            .changes
            .iter()
            .filter(|change| change.effect == effect)
            .peekable();
        if changes.peek().is_some() {
            writeln!(to, "\nbecomes {effect}")?;
        }
        for change in changes {
            let line = format!(
                "{} {} → {}: {}{}",
                sign(effect),
                speech.sources(change, LIMITS),
                speech.destinations(&change.to, LIMITS),
                ports(&change.ports),
                family(change.family)
            );
            match effect {
                Effect::Allowed => writeln!(to, "  {}", style.green(line))?,
                Effect::Denied => writeln!(to, "  {}", style.red(line))?,
            }
            for reason in speech.reasons(change) {
                writeln!(to, "      {reason}")?;
            }
        }
    }
    section(
        to,
        "isolation",
        diff.isolation
            .iter()
            .map(|isolation| speech.isolation(isolation, LIMITS)),
    )?;
    section(to, "edited", speech.edits().into_iter())?;
    for (title, pods) in [
        ("pods with another name", speech.renamed()),
        ("new pods", speech.newcomers()),
        ("pods that are gone", speech.gone()),
    ] {
        if !pods.is_empty() {
            writeln!(to, "\n{title}\n  {}", bounded(pods.into_iter(), PODS))?;
        }
    }
    Ok(())
}

fn section(to: &mut dyn Write, title: &str, lines: impl Iterator<Item = String>) -> io::Result<()> {
    let mut lines = lines.peekable();
    if lines.peek().is_some() {
        writeln!(to, "\n{title}")?;
    }
    lines.into_iter().try_for_each(|line| writeln!(to, "  {line}"))
}
