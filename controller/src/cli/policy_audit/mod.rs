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

use clap::{Args, Subcommand};

use super::{Exit, Streams};

/// Answer questions about network policies
#[derive(Debug, Args)]
pub(super) struct Options {
    #[command(subcommand)]
    command: Command,
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
