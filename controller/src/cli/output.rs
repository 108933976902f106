//! Files that answers go to.
//!
//! Whoever reads a file finds the old answer or the new one, and never half of one. What is there keeps what it is: a link leads
//! where it led, a file belongs to whom it belonged, and a pipe or a device is written to and not replaced.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;
use thiserror::Error;

/// How many links may lead to links: as many as Linux follows.
const MAX_LINKS: usize = 40;

/// Where links are that lead to what this process has open: what is behind them has no path of its own.
const OPEN_FILES: &str = "/proc";

/// An answer that cannot be kept.
#[derive(Debug, Error)]
#[error("cannot write {}", path.display())]
pub(super) struct WriteError {
    path: PathBuf,
    source: io::Error,
}

/// Writes an answer into a file. One that is new may only be read by its owner, as answers tell where a cluster is open.
pub(super) fn write(path: &Path, content: &str) -> Result<(), WriteError> {
    write_bytes(path, content.as_bytes()).map_err(|source| WriteError {
        path: path.to_owned(),
        source,
    })
}

fn write_bytes(path: &Path, content: &[u8]) -> io::Result<()> {
    // What may not be written to is not replaced either.
    let there = match OpenOptions::new().write(true).open(path) {
        Ok(file) => Some(file),
        Err(error) if error.kind() == ErrorKind::NotFound => None,
        Err(error) => return Err(error),
    };
    let Some(mut file) = there else {
        return replace(
            &behind_links(path)?.unwrap_or_else(|| path.to_owned()),
            None,
            content,
        );
    };
    if !file.metadata()?.is_file() {
        return file.write_all(content);
    }
    if let Some(target) = behind_links(path)? {
        return replace(&target, Some(&file), content);
    }
    file.set_len(0)?;
    file.write_all(content)
}

/// Writes a file beside where it shall be and puts it there as a whole.
fn replace(path: &Path, old: Option<&File>, content: &[u8]) -> io::Result<()> {
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    // Such a file has the permissions 0600 from the beginning.
    let mut new = NamedTempFile::new_in(directory.unwrap_or(Path::new(".")))?;
    new.write_all(content)?;
    if let Some(old) = old {
        resemble(new.as_file(), old)?;
    }
    new.as_file().sync_all()?;
    new.persist(path)?;
    Ok(())
}

/// Gives a file the owner and the permissions of another.
fn resemble(new: &File, old: &File) -> io::Result<()> {
    let (old, own) = (old.metadata()?, new.metadata()?);
    let mut mode = old.mode() & 0o777;
    let same = (old.uid(), old.gid()) == (own.uid(), own.gid());
    if !same && fchown(new, Some(old.uid()), Some(old.gid())).is_err() {
        // Only some may give files away. What the other group may do is not for this one.
        mode &= !0o070;
    }
    new.set_permissions(Permissions::from_mode(mode))
}

/// Where a path leads, whether or not something is there; `None` where that has no path.
fn behind_links(path: &Path) -> io::Result<Option<PathBuf>> {
    let mut path = path.to_owned();
    for _ in 0..MAX_LINKS {
        if path.starts_with(OPEN_FILES) {
            return Ok(None);
        }
        match fs::read_link(&path) {
            Ok(target) => path = path.parent().unwrap_or(Path::new("")).join(target),
            // It is no link, or not there.
            Err(_) => return Ok(Some(path)),
        }
    }
    Err(io::Error::other("too many links lead to one another"))
}
