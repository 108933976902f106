//! `palisade policy-audit snapshot`.

use std::io;

use clap::Args;

use crate::cli::{Exit, Streams};
use crate::inventory::Sources;

/// Save the state of a cluster, to ask about it elsewhere
#[derive(Debug, Args)]
pub(super) struct Options {
    #[command(flatten)]
    sources: Sources,
}

pub(super) fn run(options: &Options, streams: &mut Streams<'_>) -> io::Result<Exit> {
    writeln!(streams.errors, "error: {:?} is not there yet", options.sources)?;
    Ok(Exit::Failure)
}
