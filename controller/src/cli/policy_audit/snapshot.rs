//! `palisade policy-audit snapshot`.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use clap::Args;
use tempfile::NamedTempFile;
use thiserror::Error;

use crate::cli::{Exit, Streams, failed};
use crate::inventory::{self, Sources};

/// Save the state of a cluster, to ask about it elsewhere
///
/// The file is a List of Kubernetes objects in JSON that -f reads again, and that kubectl reads too. In it is what decides about
/// connections and nothing else: names, labels, addresses, ports, policies, Services, and what Palisade's nodes report. No
/// Secrets or ConfigMaps are read; environments, arguments, images and annotations are left out. Only its owner may read the
/// file.
#[expect(clippy::doc_markdown, reason = "the help is read in a terminal")]
#[derive(Debug, Args)]
pub(super) struct Options {
    #[command(flatten)]
    sources: Sources,
    /// The file, or `-` for the standard output. A file that is there is replaced once the new one is whole
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
}

/// A snapshot that cannot be kept.
#[derive(Debug, Error)]
#[error("cannot write {}", path.display())]
struct SnapshotError {
    path: PathBuf,
    source: io::Error,
}

pub(super) fn run(options: &Options, streams: &mut Streams<'_>) -> io::Result<Exit> {
    let loaded = match inventory::load_documents(&options.sources, streams) {
        Ok(loaded) => loaded,
        Err(error) => return error.tell(streams),
    };
    let text = inventory::snapshot(&loaded);
    if options.output.as_os_str() == "-" {
        streams.output.write_all(text.as_bytes())?;
        return Ok(Exit::Success);
    }
    match write(&options.output, &text) {
        Ok(()) => {
            let objects = loaded.documents();
            writeln!(
                streams.errors,
                "{objects} objects in {}",
                options.output.display()
            )?;
            Ok(Exit::Success)
        }
        Err(source) => {
            let path = options.output.clone();
            failed(&SnapshotError { path, source }, streams)
        }
    }
}

/// Writes the file beside where it shall be, readable by its owner only, and puts it there as a whole.
fn write(path: &Path, text: &str) -> io::Result<()> {
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    // Such a file has the permissions 0600 from the beginning.
    let mut file = NamedTempFile::new_in(directory.unwrap_or(Path::new(".")))?;
    file.write_all(text.as_bytes())?;
    file.as_file().sync_all()?;
    let file: File = file.persist(path)?;
    drop(file);
    Ok(())
}
