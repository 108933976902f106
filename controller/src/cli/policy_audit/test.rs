//! `palisade policy-audit test`.

use std::io::{self, Write};
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use palisade_audit::assertions::{self, Checked};

use crate::assertions as files;
use crate::cli::{Exit, Streams};
use crate::inventory::{self, Loaded, Sources};

/// Check what should be allowed and what should not
///
/// A file is a list of assertions, or has one under `assertions`:
///
///   - name: the shop is open to the world
///     from: any
///     to: [shop/web, shop/service/checkout]
///     port: 443
///     expect: allow
///
/// Ends and ports are written as for `explain`; each may be a list. `expect: allow` holds if every connection is allowed,
/// `deny` if every one is denied. There are also `protocol` (of ports that say none), `family` (4 or 6) and `reason` (told on
/// failure). An end that leads nowhere is a failure.
///
/// Exit codes: 0, all hold; 1, some do not; 2, it could not run.
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(super) struct Options {
    /// A file of assertions, a directory of them, or `-` for the standard input
    #[arg(value_name = "FILE", required = true)]
    assertions: Vec<PathBuf>,
    #[command(flatten)]
    sources: Sources,
    /// In which form
    #[arg(short, long, value_name = "FORM", default_value = "tap")]
    output: Form,
}

/// The forms of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Form {
    /// The Test Anything Protocol, version 14
    Tap,
    /// XML, as servers of continuous integration read it
    Junit,
    /// For people
    Text,
    /// For programs
    Json,
}

pub(super) fn run(options: &Options, streams: &mut Streams<'_>) -> io::Result<Exit> {
    let wanted = match files::read(&options.assertions, streams.input) {
        Ok(wanted) => wanted,
        Err(invalid) => {
            for problem in &invalid.problems {
                writeln!(streams.errors, "error: {problem}")?;
            }
            return Ok(Exit::Failure);
        }
    };
    let loaded = match inventory::load(&options.sources, streams) {
        Ok(loaded) => loaded,
        Err(error) => return error.tell(streams),
    };
    let Loaded {
        inventory,
        origins,
        namespace,
        ..
    } = &loaded;
    let outcomes = assertions::check(inventory, namespace, wanted);
    match options.output {
        Form::Tap => write!(streams.text(), "{}", assertions::tap(&outcomes, origins))?,
        Form::Junit => write!(streams.output, "{}", assertions::junit(&outcomes, origins)?)?,
        Form::Text => {
            let text = assertions::text(&outcomes, origins, streams.style);
            streams.text().write_all(text.as_bytes())?;
        }
        Form::Json => writeln!(streams.output, "{:#}", assertions::json(&outcomes, origins))?,
    }
    let failed = outcomes.iter().filter(|checked| !checked.holds()).count();
    let total = outcomes.len();
    let assertions = if total == 1 { "assertion" } else { "assertions" };
    writeln!(streams.errors, "{total} {assertions}, {failed} failed")?;
    let all_hold = outcomes.iter().all(Checked::holds);
    Ok(if all_hold { Exit::Success } else { Exit::Negative })
}
