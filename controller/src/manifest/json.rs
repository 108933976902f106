//! Texts that are JSON, cut into objects without being read.
//!
//! The reader of YAML would take JSON too, but at a fiftieth of the speed, and the state of a large cluster is a JSON text of
//! a hundred megabytes.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use serde::Deserialize;
use serde::de::{Deserializer, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::document::{Content, Document, Inherited, MAX_OBJECTS, too_many};
use super::source::Text;
use super::{Origin, Problem};

/// Why a text is not cut into objects.
pub(super) enum NoJson {
    /// It does not begin like one in JSON, or is in something else than objects.
    OtherText,
    /// It begins like one. The reader of YAML tells more, if it takes texts of this size.
    Mistake(String),
    /// It has too many objects: it is not to be read at all.
    TooMuch(Box<Problem>),
}

/// The objects of a text that is one JSON object after another and nothing else; those of lists one by one.
pub(super) fn documents(text: &Text) -> Result<Vec<Document<'_>>, NoJson> {
    let whole = str::from_utf8(&text.bytes).map_err(|_| NoJson::OtherText)?;
    if !whole.trim_start().starts_with('{') {
        return Err(NoJson::OtherText);
    }
    let mut documents = Vec::new();
    let mut envelopes = serde_json::Deserializer::from_str(whole).into_iter::<Envelope<'_>>();
    let mut end = 0;
    let mut line = 1;
    let mut number = 0;
    while let Some(envelope) = envelopes.next() {
        let envelope = envelope.map_err(|error| NoJson::Mistake(error.to_string()))?;
        let (start, passed) = (end, line);
        end = envelopes.byte_offset();
        let cut = whole.get(start..end).unwrap_or_default();
        let object = cut.trim_start();
        let before = cut.len() - object.len();
        let first = passed + newlines(cut.get(..before).unwrap_or_default());
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
                let items = items.0.into_iter().enumerate();
                documents.extend(
                    items.map(|(index, item)| place.document(item.get(), Some(index), inherited.clone())),
                );
            }
        }
        if documents.len() > MAX_OBJECTS {
            return Err(NoJson::TooMuch(too_many(place.origin(None))));
        }
    }
    Ok(documents)
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
    fn origin(&self, item: Option<usize>) -> Origin {
        let mut origin = self.text.origin(self.number);
        origin.line = Some(self.line);
        origin.item = item;
        origin
    }

    fn document(
        &self,
        object: &'t str,
        item: Option<usize>,
        inherited: Option<Arc<Inherited>>,
    ) -> Document<'t> {
        let origin = self.origin(item);
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
    items: Option<Items<'t>>,
}

/// A text, borrowed where it has no escapes.
#[derive(Deserialize)]
pub(super) struct Word<'t>(#[serde(borrow)] pub(super) Cow<'t, str>);

impl<'t> Envelope<'t> {
    /// What the items of a list inherit from it, and they. (A kind of somebody's own may be called `AllowList` and be no
    /// list.)
    fn list(self) -> Option<(Option<Arc<Inherited>>, Items<'t>)> {
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
fn items<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Items<'de>>, D::Error> {
    deserializer.deserialize_option(Reader).map(Some)
}

/// The items of a list; of too many, the first ones and one more.
#[derive(Default)]
struct Items<'t>(Vec<&'t RawValue>);

struct Reader;

impl<'de> Visitor<'de> for Reader {
    type Value = Items<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Items::default())
    }

    fn visit_none<E>(self) -> Result<Self::Value, E> {
        Ok(Items::default())
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_seq(self)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut entries: A) -> Result<Self::Value, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = entries.next_element()? {
            if items.len() <= MAX_OBJECTS {
                items.push(item);
            }
        }
        Ok(Items(items))
    }
}
