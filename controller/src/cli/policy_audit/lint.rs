//! `palisade policy-audit lint`.

use std::collections::BTreeSet;
use std::env;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use palisade_audit::inventory::{Inventory, ObjectRef, Place, Places};
use palisade_audit::lint::output::{self, Summary};
use palisade_audit::lint::{Code, Finding, Severity, lint};

use crate::cli::{Exit, Streams};
use crate::inventory::{self, Loaded, Origins, Sources};

/// Find what is wrong with policies, or likely to be
///
/// Each finding has a code that stays the same, the object and its field, where it is written if it comes from a file, why it
/// matters, and how to put it right. All codes with examples: docs/lint.md, --list, --explain CODE.
///
/// Exit codes: 0, nothing as bad as --fail-on was found; 1, something was; 2, it could not run.
#[derive(Debug, Args)]
pub(super) struct Options {
    #[command(flatten)]
    sources: Sources,
    /// In which form
    #[arg(short, long, value_name = "FORM", default_value = "text")]
    output: Form,
    /// The least severity that counts as a failure
    #[arg(long, value_name = "LEVEL", default_value = "warning")]
    fail_on: Level,
    /// Leave out findings of this code; may be repeated
    #[arg(long, value_name = "CODE", value_parser = code)]
    ignore: Vec<Code>,
    /// Only findings of this code; may be repeated
    #[arg(long, value_name = "CODE", value_parser = code)]
    only: Vec<Code>,
    /// Print all codes (with -o markdown as the page of the documentation), and look at nothing
    #[arg(long)]
    list: bool,
    /// Print one code with its examples, and look at nothing
    #[arg(long, value_name = "CODE", value_parser = code, conflicts_with = "list")]
    explain: Option<Code>,
}

/// The forms of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Form {
    /// For people
    Text,
    /// For programs
    Json,
    /// For code scanning: SARIF 2.1.0
    Sarif,
    /// Commands for the log of a GitHub workflow
    Github,
    /// With --list only: the page of the documentation
    #[value(hide = true)]
    Markdown,
}

/// What counts as a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Level {
    /// Errors
    Error,
    /// Warnings and errors
    Warning,
    /// Everything
    Info,
    /// Nothing
    Never,
}

impl Level {
    fn is_reached_by(self, severity: Severity) -> bool {
        match self {
            Self::Error => severity >= Severity::Error,
            Self::Warning => severity >= Severity::Warning,
            Self::Info => severity >= Severity::Info,
            Self::Never => false,
        }
    }
}

/// A code by its number or name.
fn code(text: &str) -> Result<Code, String> {
    Code::parse(text).ok_or_else(|| "there is no such code; --list prints all".to_owned())
}

pub(super) fn run(options: &Options, streams: &mut Streams<'_>) -> io::Result<Exit> {
    if let Some(code) = options.explain {
        write!(streams.output, "{}", output::explanation(code, streams.style))?;
        return Ok(Exit::Success);
    }
    match (options.list, options.output) {
        (true, Form::Text) => {
            write!(streams.output, "{}", output::list())?;
            return Ok(Exit::Success);
        }
        (true, Form::Markdown) => {
            write!(streams.output, "{}", output::page())?;
            return Ok(Exit::Success);
        }
        (true, Form::Json | Form::Sarif | Form::Github) => {
            writeln!(streams.errors, "error: --list is there as text and as markdown")?;
            return Ok(Exit::Failure);
        }
        (false, Form::Markdown) => {
            writeln!(
                streams.errors,
                "error: markdown is for --list; findings come as text, json, sarif or github"
            )?;
            return Ok(Exit::Failure);
        }
        (false, Form::Text | Form::Json | Form::Sarif | Form::Github) => {}
    }
    match inventory::load(&options.sources, streams) {
        Ok(loaded) => answer(options, &loaded, streams),
        Err(error) => error.tell(streams),
    }
}

/// Places of files as programs know them that work in a directory: relative to it where they are below.
struct Below<'a> {
    origins: &'a Origins,
    directory: Option<PathBuf>,
}

impl<'a> Below<'a> {
    /// Relative to where this process works.
    fn here(origins: &'a Origins) -> Self {
        Self {
            origins,
            directory: env::current_dir().ok(),
        }
    }
}

impl Places for Below<'_> {
    fn place(&self, object: &ObjectRef, field: Option<&str>) -> Option<Place> {
        let mut place = self.origins.place(object, field)?;
        let below = self.directory.as_ref();
        let below = below.and_then(|directory| Path::new(&place.file).strip_prefix(directory).ok());
        if let Some(below) = below.map(|below| below.display().to_string()) {
            place.file = below;
        }
        Some(place)
    }
}

/// What was not looked at because pods and namespaces are not among the objects.
fn unchecked(inventory: &Inventory) -> Option<&'static str> {
    let state = &inventory.state;
    if state.policies().is_empty() || !state.pods().is_empty() {
        return None;
    }
    let described = state.namespaces().len() > inventory.undescribed.len();
    Some(if described {
        "no pods were read: whom selectors select, ports by name, Services and defaults of namespaces were not checked"
    } else {
        "no pods and no Namespaces were read: whom selectors select, ports by name, Services and defaults of namespaces were \
         not checked"
    })
}

fn answer(options: &Options, loaded: &Loaded, streams: &mut Streams<'_>) -> io::Result<Exit> {
    let Loaded {
        inventory, origins, ..
    } = loaded;
    let only: BTreeSet<Code> = options.only.iter().copied().collect();
    let mut findings: Vec<Finding> = lint(inventory);
    findings.retain(|finding| only.is_empty() || only.contains(&finding.code));
    findings.retain(|finding| !options.ignore.contains(&finding.code));
    match options.output {
        Form::Text | Form::Markdown => {
            let text = output::text(&findings, origins, streams.style);
            streams.text().write_all(text.as_bytes())?;
        }
        Form::Json => writeln!(streams.output, "{}", output::json(&findings, origins)?)?,
        Form::Sarif => writeln!(
            streams.output,
            "{}",
            output::sarif(&findings, &Below::here(origins))?
        )?,
        Form::Github => write!(
            streams.text(),
            "{}",
            output::github(&findings, &Below::here(origins))
        )?,
    }
    if let Some(unread) = unchecked(inventory) {
        writeln!(streams.errors, "note: {unread}")?;
    }
    let policies = inventory.state.policies().len();
    let policies = format!("{policies} {}", if policies == 1 { "policy" } else { "policies" });
    writeln!(streams.errors, "{policies}: {}", Summary::of(&findings))?;
    let mut severities = findings.iter().map(|finding| finding.code.severity());
    let failed = severities.any(|severity| options.fail_on.is_reached_by(severity));
    Ok(if failed { Exit::Negative } else { Exit::Success })
}
