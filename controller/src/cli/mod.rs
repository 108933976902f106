//! The command line: what was asked for goes to the standard output, everything else to the error output.
//!
//! Exit codes: 0; 1 for an answer that is "no"; 2 for a failure of any sort.

mod compile;
mod controller;
mod crds;
mod policy_audit;

use std::error::Error;
use std::ffi::OsString;
use std::io::{self, Read, Write};
use std::process::ExitCode;

use clap::{Parser, Subcommand};

pub use crds::to_yaml;

/// Palisade enforces Kubernetes network policies.
#[derive(Debug, Parser)]
#[command(name = "palisade", version, about, max_term_width = 110)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Compile(compile::Options),
    Controller(controller::Options),
    Crds(crds::Options),
    PolicyAudit(policy_audit::Options),
}

/// The standard streams, or what stands for them in a test.
pub struct Streams<'a> {
    /// What `-` reads.
    pub input: &'a mut dyn Read,
    /// Where answers go.
    pub output: &'a mut dyn Write,
    /// Where everything else goes.
    pub errors: &'a mut dyn Write,
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

/// Runs the command that `arguments` ask for, the first being the program's name.
///
/// An error means that a stream could not be written to.
pub fn run(arguments: impl IntoIterator<Item = OsString>, streams: &mut Streams<'_>) -> io::Result<Exit> {
    match Arguments::try_parse_from(arguments) {
        Ok(Arguments { command }) => match command {
            Command::Compile(options) => compile::run(&options, streams),
            Command::Controller(options) => controller::run(options, streams),
            Command::Crds(options) => crds::run(&options, streams),
            Command::PolicyAudit(options) => policy_audit::run(&options, streams),
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
