//! `palisade man`: the manual pages.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use clap::{Args, Command};
use clap_mangen::Man;

use super::{Exit, Streams, failed};

/// Print the manual page, or write all of them into a directory
#[derive(Debug, Args)]
pub(super) struct Options {
    /// The directory for the pages, one for each command; without it, the page of `palisade` itself is printed
    #[arg(short, long, value_name = "DIR")]
    output: Option<PathBuf>,
}

/// A page that cannot be kept.
#[derive(Debug, thiserror::Error)]
#[error("cannot write {}", path.display())]
struct ManError {
    path: PathBuf,
    source: io::Error,
}

pub(super) fn run(options: &Options, mut command: Command, streams: &mut Streams<'_>) -> io::Result<Exit> {
    command.build();
    let Some(directory) = &options.output else {
        streams.output.write_all(&page(&command)?.1)?;
        return Ok(Exit::Success);
    };
    match write(directory, &command) {
        Ok(()) => Ok(Exit::Success),
        Err(error) => failed(&error, streams),
    }
}

fn write(directory: &Path, command: &Command) -> Result<(), ManError> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| ManError { path, source }
    };
    fs::create_dir_all(directory).map_err(failed(directory))?;
    for command in with_descendants(command) {
        let (name, text) = page(command).map_err(failed(directory))?;
        let path = directory.join(name);
        fs::write(&path, text).map_err(failed(&path))?;
    }
    Ok(())
}

/// The command and everything below it, but not what is only there to help.
fn with_descendants(command: &Command) -> Vec<&Command> {
    let below = command
        .get_subcommands()
        .filter(|below| below.get_name() != "help" && !below.is_hide_set());
    std::iter::once(command)
        .chain(below.flat_map(with_descendants))
        .collect()
}

/// A page and its file name: `palisade-policy-audit-lint.1`.
fn page(command: &Command) -> io::Result<(String, Vec<u8>)> {
    let man = Man::new(command.clone());
    let mut text = Vec::new();
    man.render(&mut text)?;
    Ok((man.get_filename(), text))
}
