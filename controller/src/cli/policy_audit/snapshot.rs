//! `palisade policy-audit snapshot`.

use std::io;
use std::path::PathBuf;

use clap::Args;

use crate::cli::{Exit, Streams, failed, output};
use crate::inventory::{self, Sources};

/// Save the state of a cluster, to ask about it elsewhere
///
/// The file is a List of Kubernetes objects in JSON that -f reads again, and that kubectl reads too. In it is what decides about
/// connections and nothing else: names, labels, addresses, ports, policies, Services, and what Palisade's nodes report. No
/// Secrets or ConfigMaps are read; environments, arguments, images and annotations are left out. Only its owner may read a
/// new file; one that is there keeps its permissions.
#[expect(clippy::doc_markdown, reason = "the help is read in a terminal")]
#[derive(Debug, Args)]
pub(super) struct Options {
    #[command(flatten)]
    sources: Sources,
    /// The file, or `-` for the standard output. A file that is there is replaced once the new one is whole, and keeps its
    /// permissions; a new one may only be read by its owner
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
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
    match output::write(&options.output, &text) {
        Ok(()) => {
            let objects = loaded.documents();
            writeln!(
                streams.errors,
                "{objects} objects in {}",
                options.output.display()
            )?;
            Ok(Exit::Success)
        }
        Err(error) => failed(&error, streams),
    }
}
