//! `palisade completions`: what a shell needs to complete commands and options.

use std::io;

use clap::{Args, Command};
use clap_complete::Shell;

use super::{Exit, Streams};

/// Print a script that lets a shell complete commands and options
///
/// For bash: source <(palisade completions bash). For zsh and fish, save the script where the shell looks for completions, as
/// _palisade or palisade.fish.
#[derive(Debug, Args)]
pub(super) struct Options {
    /// The shell
    shell: Shell,
}

pub(super) fn run(options: &Options, mut command: Command, streams: &mut Streams<'_>) -> io::Result<Exit> {
    // The generator panics where it cannot write, and may be written to a pipe that is closed.
    let mut script = Vec::new();
    let name = command.get_name().to_owned();
    clap_complete::generate(options.shell, &mut command, name, &mut script);
    streams.output.write_all(&script)?;
    Ok(Exit::Success)
}
