//! `palisade policy-audit diff`.

use std::io;

use clap::Args;

use crate::cli::{Exit, Streams};
use crate::inventory::Sources;

/// Say what a change would mean
#[derive(Debug, Args)]
pub(super) struct Options {
    #[command(flatten)]
    sources: Sources,
}

pub(super) fn run(options: &Options, streams: &mut Streams<'_>) -> io::Result<Exit> {
    writeln!(streams.errors, "error: {:?} is not there yet", options.sources)?;
    Ok(Exit::Failure)
}
