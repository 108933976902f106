//! Kubernetes manifests from files: YAML or JSON, many documents to a file, lists, in any order.
//!
//! ```text
//!   FILE|DIR|- ──source──► texts ──document──► untyped objects ──object──► events for the core
//! ```
//!
//! Everything that is wrong is found in one pass and told together, each [`Problem`] with its file, document, object
//! and field. The two steps of decoding are what makes that possible: an object whose type is wrong somewhere still
//! has a kind and a name.

mod document;
mod object;
mod source;

use std::collections::BTreeMap;
use std::fmt;
use std::io::Read;
use std::path::PathBuf;

use palisade_policy::cluster::Event;
use thiserror::Error;

pub use source::Source;

/// What to do with a policy that has a part that cannot be understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strictness {
    /// It is an error, as is everything else that cannot be understood.
    Strict,
    /// It isolates what it selects, that part allows nothing, and the problem is a warning. What is wrong with other
    /// kinds of objects, or with the documents as such, is an error still.
    KeepGoing,
}

/// What manifests say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Manifests {
    /// The objects. Namespaces that something is in but that no document describes are among them.
    pub events: Vec<Event>,
    /// How many objects of each other kind were skipped.
    pub skipped: BTreeMap<String, usize>,
    /// What allows nothing because it could not be understood. Empty if [`Strictness::Strict`].
    pub warnings: Vec<Problem>,
}

/// Everything that is wrong with some manifests.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{} problems in the manifests", problems.len())]
pub struct InvalidManifests {
    /// The problems in the order of the files. Never empty.
    pub problems: Vec<Problem>,
}

/// Something that is wrong, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Where the object stands.
    pub origin: Origin,
    /// The object, as far as it can be told: `NetworkPolicy shop/web`.
    pub object: Option<String>,
    /// The field, as a path from the object's root.
    pub field: Option<String>,
    /// What is wrong.
    pub message: String,
}

/// Where an object stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// The file, or `<stdin>`.
    pub file: String,
    /// Which of the file's documents, counted from 1; empty ones do not count.
    pub document: Option<usize>,
    /// The line at which the document begins.
    pub line: Option<u64>,
    /// Which item, if the document is a list, counted from 0.
    pub item: Option<usize>,
}

/// Reads all `sources`; `stdin` is what [`Source::Stdin`] stands for.
pub fn read(
    sources: &[Source],
    stdin: &mut dyn Read,
    strictness: Strictness,
) -> Result<Manifests, InvalidManifests> {
    let mut problems = Vec::new();
    let mut documents = Vec::new();
    for text in source::texts(sources, stdin, &mut problems) {
        documents.extend(document::documents(&text, &mut problems));
    }
    if documents.is_empty() && problems.is_empty() {
        let file = sources
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .join(", ");
        problems.push(Problem::of_file(file, "no objects in it"));
    }
    let manifests = object::collect(documents, strictness, &mut problems);
    if problems.is_empty() {
        Ok(manifests)
    } else {
        Err(InvalidManifests { problems })
    }
}

impl Problem {
    fn of_file(file: String, message: impl Into<String>) -> Self {
        let origin = Origin {
            file,
            document: None,
            line: None,
            item: None,
        };
        Self {
            origin,
            object: None,
            field: None,
            message: message.into(),
        }
    }
}

impl fmt::Display for Origin {
    /// `policies.yaml: document 2 (line 14), item 3`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if let Some(document) = self.document {
            write!(f, ": document {document}")?;
        }
        if let Some(line) = self.line {
            write!(f, " (line {line})")?;
        }
        if let Some(item) = self.item {
            write!(f, ", item {item}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.origin)?;
        for part in [&self.object, &self.field].into_iter().flatten() {
            write!(f, "{part}: ")?;
        }
        f.write_str(&self.message)
    }
}

impl From<PathBuf> for Source {
    /// `-` is the standard input.
    fn from(path: PathBuf) -> Self {
        if path.as_os_str() == "-" {
            Self::Stdin
        } else {
            Self::Path(path)
        }
    }
}
