//! From a text to untyped objects.

use std::ops::Range;
use std::sync::Arc;

use serde::de::IgnoredAny;
use serde_json::Value;
use serde_saphyr::{Error, Spanned};

use super::json::{self, NoJson};
use super::source::Text;
use super::{Origin, Problem};
use crate::decode::{Shape, is_known, shortened};

/// What aliases may add to a document over what it says itself: nodes, and bytes of text. Manifests use aliases for a
/// few labels.
const ALIAS_NODES: usize = 250_000;
const ALIAS_BYTES: usize = 16 << 20;

/// The most nodes of a text, in all of its documents. As a tree each takes a hundred bytes or so, as a text perhaps two. The
/// state of a cluster with 100,000 pods has ten million.
const MAX_NODES: usize = 12_000_000;

/// The largest text that is read as YAML, which takes fifty times as long as JSON and several times the memory.
const MAX_YAML: usize = 128 << 20;

/// The most documents of a text in YAML: each takes its reader some fifty microseconds, however small it is.
const MAX_DOCUMENTS: usize = 300_000;

/// The most objects of all texts. A cluster with 100,000 pods has some 300,000 that are of interest.
pub(super) const MAX_OBJECTS: usize = 1_000_000;

/// The largest object in JSON. API servers store none of more than some 2 MB.
pub(super) const MAX_OBJECT_BYTES: usize = 16 << 20;

/// So many problems are told; with more, the rest is not even looked for.
pub(super) const MAX_PROBLEMS: usize = 1000;

/// An object before its type is known.
pub(super) struct Document<'t> {
    pub(super) origin: Origin,
    pub(super) content: Content<'t>,
    /// Where in the text an object in JSON is, in bytes.
    pub(super) span: Option<Range<usize>>,
    /// What the list that it is in says of it.
    pub(super) inherited: Option<Arc<Inherited>>,
}

/// An object as it was found.
pub(super) enum Content<'t> {
    /// As JSON, with no mistake in its syntax.
    Text(&'t str),
    /// As a tree.
    Tree(Value),
}

/// What the items of a `PodList` may leave out because the list's own kind says it.
pub(super) struct Inherited {
    pub(super) kind: String,
    pub(super) version: Option<String>,
}

/// The objects of a text, the items of lists each as one. An error is a limit that was reached: nothing more is to be read then.
///
/// JSON is read as the YAML that it is where it is not cut into objects first. Only JSON objects one after another, without
/// a `---`, are no YAML.
pub(super) fn documents<'t>(
    text: &'t Text,
    problems: &mut Vec<Problem>,
) -> Result<Vec<Document<'t>>, Box<Problem>> {
    let why = match json::documents(text) {
        Ok(documents) => return Ok(documents),
        Err(NoJson::TooMuch(problem)) => return Err(problem),
        Err(NoJson::Mistake(words)) => Some(words),
        Err(NoJson::OtherText) => None,
    };
    if text.bytes.len() > MAX_YAML {
        let length = MAX_YAML >> 20;
        let message = match why {
            Some(words) => format!("cannot be read: {words}"),
            None => format!("is YAML of more than {length} MiB; JSON may be larger"),
        };
        return Err(Box::new(Problem::at(text.origin(1), message)));
    }
    trees(text, MAX_NODES, problems)
}

/// The documents of a text as trees of so many nodes together.
fn trees<'t>(
    text: &'t Text,
    nodes: usize,
    problems: &mut Vec<Problem>,
) -> Result<Vec<Document<'t>>, Box<Problem>> {
    let mut documents = Vec::new();
    let mut known = 0;
    let mut number = 0;
    let mut lines = 0;
    for mut part in parts(&text.bytes) {
        let first = lines;
        lines += part.split(|byte| *byte == b'\n').skip(1).count() as u64;
        let options = options(part.len());
        for value in serde_saphyr::read_with_options::<_, Spanned<Value>>(&mut part, options) {
            number += 1;
            let mut origin = text.origin(number);
            match value {
                Ok(Spanned { value, defined, .. }) => {
                    origin.line = Some(first + defined.line());
                    known += size(&value);
                    if known > nodes {
                        let message = format!("with this one, the documents have more than {nodes} values");
                        return Err(Box::new(Problem::at(origin, message)));
                    }
                    flatten(origin.clone(), value, &mut documents, problems);
                }
                Err(error) => problems.push(Problem::at(origin.clone(), describe(&error))),
            }
            if documents.len() > MAX_OBJECTS {
                return Err(too_many(origin));
            }
            if number > MAX_DOCUMENTS {
                let message = format!("there are more than {MAX_DOCUMENTS} documents; JSON may have more");
                return Err(Box::new(Problem::at(origin, message)));
            }
            if problems.len() >= MAX_PROBLEMS {
                return Err(Box::new(and_more(origin)));
            }
        }
    }
    Ok(documents)
}

/// What is said of the document that is one too many.
pub(super) fn too_many(origin: Origin) -> Box<Problem> {
    let message = format!("with this one, there are more than {MAX_OBJECTS} objects");
    Box::new(Problem::at(origin, message))
}

/// The last of very many problems.
pub(super) fn and_more(origin: Origin) -> Problem {
    let message = format!("there are more than {MAX_PROBLEMS} problems up to here; the rest is not read");
    Problem::at(origin, message)
}

/// How many nodes a tree has. It is no deeper than its reader allows.
fn size(tree: &Value) -> usize {
    match tree {
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => 1,
        Value::Array(entries) => 1 + entries.iter().map(size).sum::<usize>(),
        Value::Object(fields) => 1 + fields.values().map(|value| 1 + size(value)).sum::<usize>(),
    }
}

/// The text, or each of its JSON objects if it is several of these and nothing else.
fn parts(text: &[u8]) -> Vec<&[u8]> {
    let mut parts = Vec::new();
    let mut start = 0;
    let mut objects = serde_json::Deserializer::from_slice(text).into_iter::<IgnoredAny>();
    while let Some(object) = objects.next() {
        let end = objects.byte_offset();
        match (object, text.get(start..end)) {
            (Ok(_), Some(part)) => parts.push(part),
            _ => return vec![text],
        }
        start = end;
    }
    if parts.len() > 1 { parts } else { vec![text] }
}

/// Limits that no honest text reaches: each of its nodes has at least one byte.
pub(crate) fn options(length: usize) -> serde_saphyr::Options {
    let nodes = length.min(MAX_NODES).saturating_add(ALIAS_NODES);
    serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_reader_input_bytes: None,
            max_nodes: nodes,
            max_events: nodes.saturating_mul(2),
            max_total_scalar_bytes: length.saturating_add(ALIAS_BYTES),
            max_total_comment_bytes: length,
        },
        with_snippet: false,
    }
}

pub(crate) fn describe(error: &Error) -> String {
    let error = error.without_snippet();
    let place = || {
        let place = error.location();
        place.map_or_else(String::new, |place| {
            format!(" at line {}, column {}", place.line(), place.column())
        })
    };
    let text = match error {
        Error::DuplicateMappingKey { key, .. } => {
            let key = key
                .as_ref()
                .map_or_else(|| "a field".to_owned(), |key| format!("{key:?}"));
            format!("{key} is there twice{}", place())
        }
        Error::Budget { .. } => format!("it is deeper or larger than any honest text{}", place()),
        other => other.to_string(),
    };
    let first = text.lines().next().unwrap_or_default();
    shortened(format!("cannot be read: {first}"))
}

/// The words of the reader of JSON count lines from where the object begins, which would mislead.
fn cannot_be_read(words: &str) -> String {
    let words = words.split(" at line ").next().unwrap_or_default();
    shortened(format!("cannot be read: {words}"))
}

/// Puts an object to the others; of a list, its items. (A kind of somebody's own may be called `AllowList` and be no
/// list.)
fn flatten(origin: Origin, mut value: Value, documents: &mut Vec<Document<'_>>, problems: &mut Vec<Problem>) {
    let mut add = |origin, value, inherited| {
        documents.push(Document {
            origin,
            content: Content::Tree(value),
            span: None,
            inherited,
        });
    };
    let kind = value.get("kind").and_then(Value::as_str);
    let of = kind.and_then(|kind| kind.strip_suffix("List")).map(str::to_owned);
    let Some(of) = of.filter(|of| of.is_empty() || value.get("items").is_some()) else {
        add(origin, value, None);
        return;
    };
    let version = value.get("apiVersion").and_then(Value::as_str).map(str::to_owned);
    let items = match value.get_mut("items").map(Value::take) {
        None | Some(Value::Null) => Vec::new(),
        Some(Value::Array(items)) => items,
        Some(_) => {
            let message = "is no list".to_owned();
            problems.push(Problem {
                origin,
                object: None,
                field: Some("items".to_owned()),
                message,
            });
            return;
        }
    };
    // The items of a `List` say themselves what they are.
    let inherited = (!of.is_empty()).then(|| Arc::new(Inherited { kind: of, version }));
    for (index, value) in items.into_iter().enumerate() {
        let origin = Origin {
            item: Some(index),
            ..origin.clone()
        };
        add(origin, value, inherited.clone());
    }
}

impl Document<'_> {
    /// The object as a tree, with what it inherits. An error says why the text is none after all.
    pub(super) fn into_tree(self) -> (Origin, Result<Value, String>) {
        let tree = self.content.into_tree(self.inherited.as_deref());
        (self.origin, tree)
    }
}

impl Content<'_> {
    fn into_tree(self, inherited: Option<&Inherited>) -> Result<Value, String> {
        let mut tree = match self {
            Self::Tree(tree) => tree,
            Self::Text(text) if text.len() > MAX_OBJECT_BYTES => {
                let most = MAX_OBJECT_BYTES >> 20;
                return Err(format!("is larger than {most} MiB, as no object of a cluster is"));
            }
            Self::Text(text) => {
                // The reader of trees would take one of two fields of the same name.
                let tree = is_known(text, &Shape::Anything).and_then(|_| serde_json::from_str(text));
                tree.map_err(|error| cannot_be_read(&error.to_string()))?
            }
        };
        if let (Some(inherited), Some(object)) = (inherited, tree.as_object_mut()) {
            object
                .entry("kind")
                .or_insert_with(|| inherited.kind.as_str().into());
            if let Some(version) = &inherited.version {
                object
                    .entry("apiVersion")
                    .or_insert_with(|| version.as_str().into());
            }
        }
        Ok(tree)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_small_documents_are_bounded_like_a_large_one() {
        let text = Text {
            file: Arc::from("many.yaml"),
            bytes: b"---\na: [b, {c: d}]\n".repeat(100),
        };
        let mut problems = Vec::new();
        // Each has seven nodes: the object, its key, the list, two entries, and of the second a key and a value.
        assert_eq!(trees(&text, 700, &mut problems).ok().unwrap().len(), 100);
        let said = trees(&text, 699, &mut problems).err().unwrap().to_string();
        assert_eq!(
            said,
            "many.yaml: document 100 (line 200): with this one, the documents have more than 699 values"
        );
        assert_eq!(problems, []);
    }
}
