//! The command line: data to the standard output, everything else to the error output.
//!
//! Exit codes: 0; 1 for a failure; 2 for a command line that makes no sense, or a pod that is not known.

mod cleanup;
mod run;
mod show;
mod tables;

use std::env;
use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;

use anyhow::Context;
use clap::{CommandFactory, Parser, Subcommand};
use tracing_subscriber::EnvFilter;

/// The node side of Palisade: turns a node's rule set into nftables.
#[derive(Debug, Parser)]
#[command(name = "palisade-enforcer", version, about, max_term_width = 110)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Run(run::Arguments),
    Cleanup(cleanup::Arguments),
    Show(show::Arguments),
    Tables(tables::Arguments),
}

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Exit {
    Success,
    /// It did not do what was asked; the error output says why.
    Failure,
    /// What was asked for makes no sense here.
    Usage,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(match exit {
            Exit::Success => 0,
            Exit::Failure => 1,
            Exit::Usage => 2,
        })
    }
}

/// The arguments that the program knows.
pub fn command() -> clap::Command {
    Arguments::command()
}

/// Runs the command that the process was started with.
///
/// An error means that the command could not be started, or that the terminal could not be written to.
pub fn run() -> anyhow::Result<ExitCode> {
    let Arguments { command } = Arguments::parse();
    log_to_stderr()?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let mut output = io::stdout().lock();
    let outcome = runtime.block_on(async {
        match command {
            Command::Run(arguments) => run::run(arguments, &mut output).await,
            Command::Cleanup(arguments) => cleanup::run(&arguments, &mut output).await,
            Command::Show(arguments) => show::run(arguments, &mut output).await,
            Command::Tables(arguments) => tables::run(arguments, &mut output).await,
        }
    });
    let exit = match outcome {
        Ok(exit) => exit,
        Err(error) => {
            writeln!(io::stderr(), "error: {error:#}")?;
            Exit::Failure
        }
    };
    output.flush()?;
    Ok(exit.into())
}

fn log_to_stderr() -> anyhow::Result<()> {
    let filter = match env::var("PALISADE_LOG") {
        Ok(wanted) => EnvFilter::try_new(wanted).context("PALISADE_LOG makes no sense")?,
        Err(_) => EnvFilter::new("warn,palisade_enforcer=info"),
    };
    let to = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(io::stderr().is_terminal());
    to.with_writer(io::stderr).init();
    Ok(())
}
