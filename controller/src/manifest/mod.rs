//! Kubernetes manifests from files: YAML or JSON, many documents to a file, lists, in any order.
//!
//! ```text
//!   FILE|DIR|- ──source──► texts ──document──► untyped objects ──object──► objects ──collect──► those that fit together
//! ```
//!
//! Everything that is wrong is found in one pass and told together, each [`Problem`] with its file, document, object
//! and field. The two steps of decoding are what makes that possible: an object whose type is wrong somewhere still
//! has a kind and a name.

mod collect;
mod document;
mod json;
mod kind;
mod lines;
mod object;
mod slim;
mod source;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io::Read;
use std::path::PathBuf;
use std::sync::Arc;

use palisade_audit::style::visible;
use palisade_policy::cluster::Event;
use palisade_policy::model::NamespaceName;
use thiserror::Error;

pub(crate) use collect::{Collected, Page};
pub(crate) use document::{describe, options};
pub(crate) use kind::{DEFAULT_NAMESPACE, Interest, Kind};
pub(crate) use lines::Lines;
pub(crate) use object::{Found, Object, Reading, undescribed};
pub use source::Source;
pub(crate) use source::{Text, texts};

/// What to do with a policy that has a part that cannot be understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strictness {
    /// It is an error, as is everything else that cannot be understood.
    Strict,
    /// It isolates what it selects, that part allows nothing, and the problem is a warning. What is wrong with other
    /// kinds of objects, or with the documents as such, is an error still.
    KeepGoing,
    /// It is the same with everything else: what cannot be understood is left out, and told. A cluster cannot be corrected
    /// like a file, and one odd object in it is no reason to say nothing about the others.
    Lenient,
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
    pub file: Arc<str>,
    /// Which of the file's documents, counted from 1; empty ones do not count.
    pub document: Option<usize>,
    /// The line at which the document begins.
    pub line: Option<u64>,
    /// Which item, if the document is a list, counted from 0.
    pub item: Option<usize>,
}

/// Reads what decides about packets from all `sources`; `stdin` is what [`Source::Stdin`] stands for.
pub fn read(
    sources: &[Source],
    stdin: &mut dyn Read,
    strictness: Strictness,
) -> Result<Manifests, InvalidManifests> {
    let reading = Reading {
        interest: Interest::Packets,
        slim: false,
        home: DEFAULT_NAMESPACE,
    };
    let mut problems = Vec::new();
    let texts = texts(sources, stdin, &mut problems);
    let collected = reading.read(sources, &texts, strictness, problems)?;
    let mut events: Vec<Event> = collected
        .found
        .into_iter()
        .filter_map(|found| event(*found))
        .collect();
    let described: BTreeSet<&NamespaceName> = events.iter().filter_map(described_namespace).collect();
    let used: BTreeSet<&NamespaceName> = events.iter().filter_map(used_namespace).collect();
    let missing: Vec<NamespaceName> = used.difference(&described).map(|name| (*name).clone()).collect();
    let missing = missing
        .iter()
        .map(|name| Event::NamespaceApplied(undescribed(name.as_str())));
    events.extend(missing);
    Ok(Manifests {
        events,
        skipped: collected.skipped,
        warnings: collected.warnings,
    })
}

impl Reading<'_> {
    /// Reads all `texts`, those of `sources`. `problems` is what was wrong so far.
    pub(crate) fn read(
        self,
        sources: &[Source],
        texts: &[Text],
        strictness: Strictness,
        mut problems: Vec<Problem>,
    ) -> Result<Collected, InvalidManifests> {
        let mut documents = Vec::new();
        for text in texts {
            match document::documents(text, &mut problems) {
                Ok(more) if documents.len() + more.len() > document::MAX_OBJECTS => {
                    problems.push(*document::too_many(text.origin(1)));
                    return Err(InvalidManifests { problems });
                }
                Ok(more) => documents.extend(more),
                Err(limit) => {
                    problems.push(*limit);
                    return Err(InvalidManifests { problems });
                }
            }
        }
        if documents.is_empty() && problems.is_empty() {
            let file = sources
                .iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>()
                .join(", ");
            problems.push(Problem::of_file(file, "no objects in it"));
        }
        let collected = self.collect(documents, strictness, &mut problems);
        if problems.is_empty() {
            Ok(collected)
        } else {
            Err(InvalidManifests { problems })
        }
    }
}

/// What an object means to the core.
fn event(found: Found) -> Option<Event> {
    match found.object? {
        Object::Namespace(namespace) => Some(Event::NamespaceApplied(namespace)),
        Object::Node(node) => Some(Event::NodeApplied(node)),
        Object::Pod { pod, .. } => Some(Event::PodApplied(pod)),
        Object::Policy { policy, .. } => Some(Event::PolicyApplied(policy)),
        Object::Service(_)
        | Object::Endpoints(_)
        | Object::Template(_)
        | Object::NodeRuleSet(_)
        | Object::PodSlice(_)
        | Object::PolicySlice(_)
        | Object::AddressGroup(_) => None,
    }
}

fn described_namespace(event: &Event) -> Option<&NamespaceName> {
    match event {
        Event::NamespaceApplied(namespace) => Some(&namespace.name),
        _ => None,
    }
}

fn used_namespace(event: &Event) -> Option<&NamespaceName> {
    match event {
        Event::PodApplied(pod) => Some(&pod.key.namespace),
        Event::PolicyApplied(policy) => Some(&policy.key.namespace),
        _ => None,
    }
}

impl Problem {
    fn of_file(file: String, message: impl Into<String>) -> Self {
        let origin = Origin {
            file: file.into(),
            document: None,
            line: None,
            item: None,
        };
        Self::at(origin, message)
    }

    /// What is wrong with something of which no more is known than where it is.
    fn at(origin: Origin, message: impl Into<String>) -> Self {
        Self {
            origin,
            object: None,
            field: None,
            message: message.into(),
        }
    }
}

impl fmt::Display for Origin {
    /// `policies.yaml: document 2 (line 14), item 3`; of a text that is none, `policies.yaml: line 14`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if let Some(document) = self.document {
            write!(f, ": document {document}")?;
        }
        match (self.document, self.line) {
            (Some(_), Some(line)) => write!(f, " (line {line})")?,
            (None, Some(line)) => write!(f, ": line {line}")?,
            (_, None) => {}
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
            write!(f, "{}: ", visible(part))?;
        }
        f.write_str(&visible(&self.message))
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
