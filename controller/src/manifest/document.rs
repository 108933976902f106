//! From a text to untyped objects.

use serde::de::IgnoredAny;
use serde_json::Value;
use serde_saphyr::{Error, Spanned};

use super::source::Text;
use super::{Origin, Problem};
use crate::decode::shortened;

/// What aliases may add to a document over what it says itself: nodes, and bytes of text. Manifests use aliases for a
/// few labels.
const ALIAS_NODES: usize = 250_000;
const ALIAS_BYTES: usize = 16 << 20;

/// An object before its type is known.
pub(super) struct Document {
    pub(super) origin: Origin,
    pub(super) value: Value,
}

/// The objects of a text, the items of lists each as one.
///
/// JSON is read as the YAML that it is. Only JSON objects one after another, without a `---`, are no YAML.
pub(super) fn documents(text: &Text, problems: &mut Vec<Problem>) -> Vec<Document> {
    let mut documents = Vec::new();
    let mut number = 0;
    let mut lines = 0;
    for mut part in parts(&text.bytes) {
        let first = lines;
        lines += part.split(|byte| *byte == b'\n').skip(1).count() as u64;
        let options = options(part.len());
        for value in serde_saphyr::read_with_options::<_, Spanned<Value>>(&mut part, options) {
            number += 1;
            let file = text.file.clone();
            let mut origin = Origin {
                file,
                document: Some(number),
                line: None,
                item: None,
            };
            match value {
                Ok(Spanned { value, defined, .. }) => {
                    origin.line = Some(first + defined.line());
                    flatten(Document { origin, value }, &mut documents, problems);
                }
                Err(error) => {
                    problems.push(Problem {
                        origin,
                        object: None,
                        field: None,
                        message: describe(&error),
                    });
                }
            }
        }
    }
    documents
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
fn options(length: usize) -> serde_saphyr::Options {
    serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_reader_input_bytes: None,
            max_nodes: length.saturating_add(ALIAS_NODES),
            max_events: length.saturating_add(ALIAS_NODES).saturating_mul(2),
            max_total_scalar_bytes: length.saturating_add(ALIAS_BYTES),
            max_total_comment_bytes: length,
        },
        with_snippet: false,
    }
}

fn describe(error: &Error) -> String {
    let text = error.without_snippet().to_string();
    let first = text.lines().next().unwrap_or_default();
    shortened(format!("cannot be read: {first}"))
}

/// Puts an object to the others; of a list, its items. (A kind of somebody's own may be called `AllowList` and be no
/// list.)
fn flatten(document: Document, documents: &mut Vec<Document>, problems: &mut Vec<Problem>) {
    let kind = document.value.get("kind").and_then(Value::as_str);
    let of = kind.and_then(|kind| kind.strip_suffix("List")).map(str::to_owned);
    let Some(of) = of.filter(|of| of.is_empty() || document.value.get("items").is_some()) else {
        documents.push(document);
        return;
    };
    let Document { origin, mut value } = document;
    let version = value.get("apiVersion").cloned();
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
    for (index, mut value) in items.into_iter().enumerate() {
        // The items of a `PodList` may leave out what the list's own kind says; those of a `List` may not.
        if let (false, Some(object)) = (of.is_empty(), value.as_object_mut()) {
            object.entry("kind").or_insert_with(|| of.as_str().into());
            object
                .entry("apiVersion")
                .or_insert_with(|| version.clone().unwrap_or_default());
        }
        let origin = Origin {
            item: Some(index),
            ..origin.clone()
        };
        documents.push(Document { origin, value });
    }
}
