//! From paths to texts.

use std::fmt;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use palisade_audit::style::visible;

use super::{Origin, Problem};

/// How much is read, all files together. A snapshot of 100,000 pods has 114 MB, and with all that the API says of them they come
/// to a few hundred. What is made of a text takes a few times its size.
const MAX_BYTES: u64 = 512 << 20;

/// How much is read before it is looked at.
const PORTION: u64 = 1 << 20;

/// The extensions of the files in a directory that are manifests.
const EXTENSIONS: [&str; 3] = ["yaml", "yml", "json"];

/// Where manifests come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A file of any name, or a directory: all manifests in it and below it.
    Path(PathBuf),
    /// The standard input.
    Stdin,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Path(path) => f.write_str(&called(path)),
            Self::Stdin => f.write_str("<stdin>"),
        }
    }
}

/// A file's content.
#[derive(Debug)]
pub(crate) struct Text {
    pub(crate) file: Arc<str>,
    pub(crate) bytes: Vec<u8>,
}

impl Text {
    /// The place of one of its documents, of which the line is not known yet.
    pub(super) fn origin(&self, document: usize) -> Origin {
        Origin {
            file: Arc::clone(&self.file),
            document: Some(document),
            line: None,
            item: None,
        }
    }
}

/// All texts, those of a directory in the order of their names.
pub(crate) fn texts(sources: &[Source], stdin: &mut dyn Read, problems: &mut Vec<Problem>) -> Vec<Text> {
    let mut texts = Vec::new();
    let mut room = MAX_BYTES;
    let mut add = |found: Option<Text>, room: &mut u64| {
        if let Some(text) = found {
            *room = room.saturating_sub(text.bytes.len() as u64);
            texts.push(text);
        }
    };
    for source in sources {
        match source {
            Source::Stdin => {
                let found = text(source.to_string(), Ok((&mut *stdin, 0)), room, problems);
                add(found, &mut room);
            }
            Source::Path(path) => {
                for file in files(path, problems) {
                    let found = text(called(&file), open(&file), room, problems);
                    add(found, &mut room);
                }
            }
        }
    }
    texts
}

/// What a file is called where people read it: as it was asked for, but for a `./`, which programs that show findings at files do
/// not know.
fn called(path: &Path) -> String {
    let path = path.strip_prefix(".").unwrap_or(path);
    visible(&path.to_string_lossy()).into_owned()
}

/// A file, and how long it says it is.
fn open(path: &Path) -> io::Result<(File, u64)> {
    let file = File::open(path)?;
    let length = file.metadata()?.len();
    Ok((file, length))
}

/// The text of a file, of no more than `room` bytes.
fn text(
    file: String,
    opened: io::Result<(impl Read, u64)>,
    room: u64,
    problems: &mut Vec<Problem>,
) -> Option<Text> {
    let bytes = match opened.and_then(|(reader, length)| content(reader, length, room)) {
        Ok(Some(bytes)) => bytes,
        Ok(None) => {
            let all = if room == MAX_BYTES {
                "is"
            } else {
                "with the files before it is"
            };
            let message = format!("{all} larger than {} MiB", MAX_BYTES >> 20);
            problems.push(Problem::of_file(file, message));
            return None;
        }
        Err(error) => {
            problems.push(Problem::of_file(file, format!("cannot be read: {error}")));
            return None;
        }
    };
    if let Some((line, byte)) = strange(&bytes) {
        let mut problem = Problem::of_file(file, format!("cannot be read: the byte {byte:#04x} is no UTF-8"));
        problem.origin.line = Some(line);
        problems.push(problem);
        return None;
    }
    Some(Text {
        file: file.into(),
        bytes,
    })
}

/// The first byte that makes a text none, and its line. What has a NUL in it is told by the reader of what is before that.
fn strange(bytes: &[u8]) -> Option<(u64, u8)> {
    let error = str::from_utf8(bytes).err()?;
    let (before, rest) = bytes.split_at_checked(error.valid_up_to())?;
    if is_utf16(bytes) || memchr::memchr(0, bytes).is_some() {
        return None;
    }
    Some((
        1 + memchr::memchr_iter(b'\n', before).count() as u64,
        *rest.first()?,
    ))
}

/// All of a text, `None` of one with more than `most` bytes. What has a NUL in it is no text, and is read no further: there its
/// reader will stop.
fn content(reader: impl Read, length: u64, most: u64) -> io::Result<Option<Vec<u8>>> {
    let mut reader = reader.take(most + 1);
    // A vector that grows is copied a few times.
    let room = usize::try_from(length).ok().filter(|_| length <= most);
    let mut bytes = Vec::with_capacity(room.unwrap_or_default());
    loop {
        let start = bytes.len();
        let read = reader.by_ref().take(PORTION).read_to_end(&mut bytes)?;
        let portion = bytes.get(start..).unwrap_or_default();
        if portion.contains(&0) && !is_utf16(&bytes) {
            return Ok(Some(bytes));
        }
        // A file that is too long says so before it is read.
        if length > most || bytes.len() as u64 > most {
            return Ok(None);
        }
        if read == 0 {
            return Ok(Some(bytes));
        }
    }
}

/// YAML may be in UTF-16, which begins with a mark and has a NUL in every other byte.
fn is_utf16(bytes: &[u8]) -> bool {
    bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff])
}

/// A file itself, whatever its name; of a directory the manifests, sorted.
fn files(path: &Path, problems: &mut Vec<Problem>) -> Vec<PathBuf> {
    if !path.is_dir() {
        return vec![path.to_owned()];
    }
    let entries = fs::read_dir(path).and_then(|entries| {
        let mut paths = entries
            .map(|entry| entry.map(|entry| entry.path()))
            .collect::<io::Result<Vec<_>>>()?;
        paths.sort();
        Ok(paths)
    });
    let entries = entries.unwrap_or_else(|error| {
        problems.push(Problem::of_file(
            called(path),
            format!("cannot be listed: {error}"),
        ));
        Vec::new()
    });
    let wanted = |path: &PathBuf| {
        let extension = path.extension().and_then(|extension| extension.to_str());
        // A link to a directory may lead back to where we are.
        (path.is_dir() && !path.is_symlink())
            // A pipe or a device would be waited for. A link that leads nowhere is told when it is opened.
            || (extension.is_some_and(|extension| EXTENSIONS.contains(&extension))
                && (path.is_file() || !path.exists()))
    };
    entries
        .into_iter()
        .filter(wanted)
        .flat_map(|path| files(&path, problems))
        .collect()
}
