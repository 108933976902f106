//! Tables from files.

use std::fs::{self, File};
use std::io::Read as _;
use std::path::{Path, PathBuf};

use palisade_policy::model::NodeName;

use super::{LARGEST, Read, TablesError, parse};
use crate::cli::Streams;

/// Reads documents: files, all `.json` files of directories, `-` for the standard input. What a document does not say of
/// itself is `node`'s.
pub(crate) fn from_files(paths: &[PathBuf], node: Option<&NodeName>, streams: &mut Streams<'_>) -> Vec<Read> {
    let mut all = Vec::new();
    for path in paths {
        match files(path) {
            Ok(files) => all.extend(files.iter().map(|path| file(path, node, streams))),
            Err(error) => all.push(Read {
                of: path.display().to_string(),
                node: None,
                tables: Err(error),
            }),
        }
    }
    all
}

/// The files that a path stands for, in order.
fn files(path: &Path) -> Result<Vec<PathBuf>, TablesError> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let failed = |source| TablesError::File {
        path: path.to_owned(),
        source,
    };
    let mut files = Vec::new();
    for entry in fs::read_dir(path).map_err(failed)? {
        let file = entry.map_err(failed)?.path();
        if file.extension().is_some_and(|extension| extension == "json") {
            files.push(file);
        }
    }
    files.sort();
    Ok(files)
}

fn file(path: &Path, node: Option<&NodeName>, streams: &mut Streams<'_>) -> Read {
    let failed = |source| TablesError::File {
        path: path.to_owned(),
        source,
    };
    let mut bytes = Vec::new();
    let read = if path == Path::new("-") {
        streams.input.take(LARGEST + 1).read_to_end(&mut bytes)
    } else {
        File::open(path).and_then(|file| file.take(LARGEST + 1).read_to_end(&mut bytes))
    };
    let tables = read.map_err(failed).and_then(|_| parse(&bytes));
    let own = tables
        .as_ref()
        .ok()
        .and_then(|tables| tables.node.as_deref())
        .map(NodeName::from);
    Read {
        of: path.display().to_string(),
        node: own.or_else(|| node.cloned()),
        tables,
    }
}
