//! Texts that are JSON, cut into objects without being read.
//!
//! The reader of YAML would take JSON too, but at a fiftieth of the speed, and the state of a large cluster is a JSON text of
//! a hundred megabytes.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use serde::Deserialize;
use serde::de::{Deserializer, Error, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::document::{Content, Document, Inherited};
use super::source::Text;

/// The most items of one list. Ten times what the largest clusters have, and still no burden.
const MAX_ITEMS: usize = 4_000_000;

/// The objects of a text that is one JSON object after another and nothing else; those of lists one by one. `None` for any
/// other text, one with a mistake in it too: the reader of YAML tells these.
pub(super) fn documents(text: &Text) -> Option<Vec<Document<'_>>> {
    let whole = str::from_utf8(&text.bytes).ok()?;
    if !whole.trim_start().starts_with('{') {
        return None;
    }
    let mut documents = Vec::new();
    let mut envelopes = serde_json::Deserializer::from_str(whole).into_iter::<Envelope<'_>>();
    let mut end = 0;
    let mut line = 1;
    let mut number = 0;
    while let Some(envelope) = envelopes.next() {
        let envelope = envelope.ok()?;
        let (start, passed) = (end, line);
        end = envelopes.byte_offset();
        let cut = whole.get(start..end)?;
        let object = cut.trim_start();
        let before = cut.len() - object.len();
        let first = passed + newlines(cut.get(..before)?);
        line = first + newlines(object);
        number += 1;
        let place = Place {
            text,
            whole,
            number,
            line: first,
        };
        match envelope.list() {
            None => documents.push(place.document(object, None, None)),
            Some((inherited, items)) => {
                let items = items.into_iter().enumerate();
                documents.extend(
                    items.map(|(index, item)| place.document(item.get(), Some(index), inherited.clone())),
                );
            }
        }
    }
    Some(documents)
}

fn newlines(text: &str) -> u64 {
    memchr::memchr_iter(b'\n', text.as_bytes()).count() as u64
}

/// Where an object of the text begins.
struct Place<'t> {
    text: &'t Text,
    whole: &'t str,
    number: usize,
    line: u64,
}

impl<'t> Place<'t> {
    fn document(
        &self,
        object: &'t str,
        item: Option<usize>,
        inherited: Option<Arc<Inherited>>,
    ) -> Document<'t> {
        let mut origin = self.text.origin(self.number);
        origin.line = Some(self.line);
        origin.item = item;
        // The object is a part of the text.
        let start = (object.as_ptr() as usize).saturating_sub(self.whole.as_ptr() as usize);
        Document {
            origin,
            content: Content::Text(object),
            span: Some(start..start + object.len()),
            inherited,
        }
    }
}

/// What tells a list from an object.
#[derive(Deserialize)]
struct Envelope<'t> {
    #[serde(borrow, rename = "apiVersion")]
    api_version: Option<Word<'t>>,
    #[serde(borrow)]
    kind: Option<Word<'t>>,
    #[serde(borrow, default, deserialize_with = "items")]
    items: Option<Vec<&'t RawValue>>,
}

/// A text, borrowed where it has no escapes.
#[derive(Deserialize)]
pub(super) struct Word<'t>(#[serde(borrow)] pub(super) Cow<'t, str>);

impl<'t> Envelope<'t> {
    /// What the items of a list inherit from it, and they. (A kind of somebody's own may be called `AllowList` and be no
    /// list.)
    fn list(self) -> Option<(Option<Arc<Inherited>>, Vec<&'t RawValue>)> {
        let kind = self.kind?;
        let of = kind.0.strip_suffix("List")?;
        if of.is_empty() {
            // The items of a `List` say themselves what they are.
            return Some((None, self.items.unwrap_or_default()));
        }
        let inherited = Inherited {
            kind: of.to_owned(),
            version: self.api_version.map(|version| version.0.into_owned()),
        };
        Some((Some(Arc::new(inherited)), self.items?))
    }
}

/// The items; those of a null, as some servers write an empty list, are none.
fn items<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Vec<&'de RawValue>>, D::Error> {
    deserializer.deserialize_option(Items).map(Some)
}

struct Items;

impl<'de> Visitor<'de> for Items {
    type Value = Vec<&'de RawValue>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Vec::new())
    }

    fn visit_none<E>(self) -> Result<Self::Value, E> {
        Ok(Vec::new())
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_seq(self)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut entries: A) -> Result<Self::Value, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = entries.next_element()? {
            if items.len() == MAX_ITEMS {
                return Err(A::Error::custom("too many items"));
            }
            items.push(item);
        }
        Ok(items)
    }
}
