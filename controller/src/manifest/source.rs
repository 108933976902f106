//! From paths to texts.

use std::fmt;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{Origin, Problem};

/// The largest file that is read. A cluster's pods with everything in them come to a few hundred megabytes.
const MAX_BYTES: u64 = 1 << 30;

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
            Self::Path(path) => path.display().fmt(f),
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
    for source in sources {
        match source {
            Source::Stdin => texts.extend(text(source.to_string(), Ok((&mut *stdin, 0)), problems)),
            Source::Path(path) => {
                for file in files(path, problems) {
                    texts.extend(text(name(&file), open(&file), problems));
                }
            }
        }
    }
    texts
}

/// What a file is called: as it was asked for, but for a `./`, which programs that show findings at files do not know.
fn name(path: &Path) -> String {
    path.strip_prefix(".").unwrap_or(path).display().to_string()
}

/// A file, and how long it says it is.
fn open(path: &Path) -> io::Result<(File, u64)> {
    let file = File::open(path)?;
    let length = file.metadata()?.len();
    Ok((file, length))
}

fn text(file: String, opened: io::Result<(impl Read, u64)>, problems: &mut Vec<Problem>) -> Option<Text> {
    match opened.and_then(|(reader, length)| content(reader, length)) {
        Ok(bytes) if bytes.len() as u64 > MAX_BYTES => {
            problems.push(Problem::of_file(file, "is larger than 1 GiB"));
            None
        }
        Ok(bytes) => Some(Text {
            file: file.into(),
            bytes,
        }),
        Err(error) => {
            problems.push(Problem::of_file(file, format!("cannot be read: {error}")));
            None
        }
    }
}

/// All of a text, of one that is too large a little more than is allowed. What has a NUL in it is no text, and is read no
/// further: there its reader will stop.
fn content(reader: impl Read, length: u64) -> io::Result<Vec<u8>> {
    let mut reader = reader.take(MAX_BYTES + 1);
    // A vector that grows is copied a few times. Of what is too long not everything is read.
    let room = usize::try_from(length).ok().filter(|_| length <= MAX_BYTES);
    let mut bytes = Vec::with_capacity(room.unwrap_or_default());
    loop {
        let start = bytes.len();
        let length = reader.by_ref().take(PORTION).read_to_end(&mut bytes)?;
        let portion = bytes.get(start..).unwrap_or_default();
        let binary = portion.contains(&0) && !is_utf16(&bytes);
        if binary || length == 0 {
            return Ok(bytes);
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
            path.display().to_string(),
            format!("cannot be listed: {error}"),
        ));
        Vec::new()
    });
    let wanted = |path: &PathBuf| {
        let extension = path.extension().and_then(|extension| extension.to_str());
        // A link to a directory may lead back to where we are.
        (path.is_dir() && !path.is_symlink())
            || extension.is_some_and(|extension| EXTENSIONS.contains(&extension))
    };
    entries
        .into_iter()
        .filter(wanted)
        .flat_map(|path| files(&path, problems))
        .collect()
}
