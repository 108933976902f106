//! `palisade policy-audit`: what policies mean, what is wrong with them, what a change would do, and whether the kernel
//! agrees.
//!
//! One file a subcommand: its options, and from them to an answer of [`palisade_audit`]. Exit codes: 0, nothing found; 1,
//! findings, differences, or a connection that is denied; 2, it could not run.

mod diff;
mod explain;
mod lint;
mod reach;
mod report;
mod snapshot;
mod status;
mod test;
mod verify;

use std::io;

use clap::{Args, Subcommand, ValueEnum};

use super::{Exit, Streams};

/// Answer questions about network policies
///
/// Whether a connection is allowed and why, who reaches whom, what is wrong with policies, what a change would mean, and
/// whether the nodes do what the API says. The objects come from files, from a snapshot of a cluster, or, without any -f,
/// from the cluster of the current context.
///
/// Exit codes: 0, nothing was found; 1, there are findings or differences, or the connection is denied; 2, it could not run.
/// Answers go to the standard output, everything else to the error output.
#[expect(clippy::doc_markdown, reason = "the help is read in a terminal")]
#[derive(Debug, Args)]
pub(super) struct Options {
    /// When to use colours; `auto` is on a terminal, unless NO_COLOR is set
    #[arg(long, value_name = "WHEN", global = true, default_value = "auto")]
    color: Colours,
    #[command(subcommand)]
    command: Command,
}

/// When to use colours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Colours {
    /// On a terminal, unless `NO_COLOR` is set
    Auto,
    /// Into files and pipes too
    Always,
    /// Not at all
    Never,
}

#[derive(Debug, Subcommand)]
enum Command {
    Explain(explain::Options),
    Reach(reach::Options),
    Lint(lint::Options),
    Diff(diff::Options),
    Status(status::Options),
    Verify(verify::Options),
    Report(report::Options),
    Test(test::Options),
    Snapshot(snapshot::Options),
}

pub(super) fn run(options: &Options, streams: &mut Streams<'_>) -> io::Result<Exit> {
    match options.color {
        Colours::Auto => {}
        Colours::Always => streams.style.colour = true,
        Colours::Never => streams.style.colour = false,
    }
    match &options.command {
        Command::Explain(options) => explain::run(options, streams),
        Command::Reach(options) => reach::run(options, streams),
        Command::Lint(options) => lint::run(options, streams),
        Command::Diff(options) => diff::run(options, streams),
        Command::Status(options) => status::run(options, streams),
        Command::Verify(options) => verify::run(options, streams),
        Command::Report(options) => report::run(options, streams),
        Command::Test(options) => test::run(options, streams),
        Command::Snapshot(options) => snapshot::run(options, streams),
    }
}
