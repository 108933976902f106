//! The command line: what was asked for goes to the standard output, everything else to the error output.
//!
//! Exit codes: 0; 1 for an answer that is "no"; 2 for a failure of any sort.

mod compile;
mod completions;
mod controller;
mod crds;
mod man;
mod output;
mod policy_audit;
mod streams;

use std::error::Error;
use std::ffi::OsString;
use std::io::{self, ErrorKind, Write};
use std::path::Path;
use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};

pub use crds::to_yaml;
pub use streams::Streams;
pub(crate) use streams::show_progress;

/// Palisade enforces Kubernetes network policies
#[derive(Debug, Parser)]
#[command(
    name = "palisade",
    version,
    max_term_width = 110,
    subcommand_required = true,
    arg_required_else_help = true
)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Compile(compile::Options),
    Controller(controller::Options),
    Crds(crds::Options),
    PolicyAudit(Box<policy_audit::Options>),
    Completions(completions::Options),
    Man(man::Options),
}

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// It did what was asked.
    Success,
    /// It did what was asked, and the answer is not what one would wish for.
    Negative,
    /// It did not; the error output says why.
    Failure,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        match exit {
            Exit::Success => Self::SUCCESS,
            Exit::Negative => Self::from(1),
            Exit::Failure => Self::from(2),
        }
    }
}

/// The whole of a program: runs what this process was called for, on its own streams.
pub fn main() -> ExitCode {
    let outcome = streams::with_standard(|streams| run(std::env::args_os(), streams));
    ended(outcome, &mut io::stderr()).into()
}

/// How a program ends whose streams may have failed. A full disk is told, where it can be.
fn ended(outcome: io::Result<Exit>, errors: &mut dyn Write) -> Exit {
    outcome.or_else(closed).unwrap_or_else(|error| {
        // There is nowhere left to tell that this cannot be told.
        _ = writeln!(errors, "error: cannot write: {error}");
        Exit::Failure
    })
}

/// Runs the command that `arguments` ask for, the first being the program's name.
///
/// An error means that a stream could not be written to. That somebody reads no further is none.
pub fn run(arguments: impl IntoIterator<Item = OsString>, streams: &mut Streams<'_>) -> io::Result<Exit> {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    let definition = definition(arguments.first());
    let outcome = streams.with_visible_errors(|streams| answer(arguments, definition, streams));
    outcome.or_else(closed)
}

/// The name of the program as a plugin of kubectl, and how it is called then.
const PLUGIN: (&str, &str) = ("kubectl-palisade", "kubectl palisade");

/// The definition of the command line, for a program that was called by this name.
fn definition(program: Option<&OsString>) -> clap::Command {
    let definition = Arguments::command();
    let name = program.and_then(|path| Path::new(path).file_stem());
    if name.is_some_and(|name| name == PLUGIN.0) {
        return definition.bin_name(PLUGIN.1).display_name(PLUGIN.0);
    }
    definition
}

fn answer(
    arguments: Vec<OsString>,
    definition: clap::Command,
    streams: &mut Streams<'_>,
) -> io::Result<Exit> {
    let matches = definition.clone().try_get_matches_from(arguments);
    match matches.and_then(|matches| Arguments::from_arg_matches(&matches)) {
        Ok(Arguments { command }) => match command {
            Command::Compile(options) => compile::run(&options, streams),
            Command::Controller(options) => controller::run(options, streams),
            Command::Crds(options) => crds::run(&options, streams),
            Command::PolicyAudit(options) => policy_audit::run(&options, streams),
            Command::Completions(options) => completions::run(&options, definition, streams),
            Command::Man(options) => man::run(&options, definition, streams),
        },
        Err(answer) if answer.use_stderr() => {
            write!(streams.errors, "{answer}")?;
            Ok(Exit::Failure)
        }
        Err(answer) => {
            write!(streams.output, "{answer}")?;
            Ok(Exit::Success)
        }
    }
}

/// Whoever closes a pipe has read enough: that is no failure.
fn closed(error: io::Error) -> io::Result<Exit> {
    match error.kind() {
        ErrorKind::BrokenPipe => Ok(Exit::Success),
        _ => Err(error),
    }
}

/// Tells why a command failed, with every cause.
fn failed(error: &dyn Error, streams: &mut Streams<'_>) -> io::Result<Exit> {
    write!(streams.errors, "error: {error}")?;
    let mut cause = error.source();
    while let Some(error) = cause {
        write!(streams.errors, ": {error}")?;
        cause = error.source();
    }
    writeln!(streams.errors)?;
    Ok(Exit::Failure)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_told_and_a_closed_pipe_is_not() {
        let told = |outcome: io::Result<Exit>| {
            let mut errors = Vec::new();
            let exit = ended(outcome, &mut errors);
            (exit, String::from_utf8_lossy(&errors).into_owned())
        };
        let full = io::Error::from(ErrorKind::StorageFull);
        assert_eq!(
            told(Err(full)),
            (
                Exit::Failure,
                "error: cannot write: no storage space\n".to_owned()
            )
        );
        let closed = io::Error::from(ErrorKind::BrokenPipe);
        assert_eq!(told(Err(closed)), (Exit::Success, String::new()));
        assert_eq!(told(Ok(Exit::Negative)), (Exit::Negative, String::new()));
    }
}
