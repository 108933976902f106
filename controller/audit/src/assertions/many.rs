//! A field that is one text or a list of texts.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, Error, SeqAccess, Visitor};

/// Reads a text, a number, or a list of these. Numbers are ports.
pub(super) fn one_or_many<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    deserializer.deserialize_any(Many)
}

struct Many;

impl<'de> Visitor<'de> for Many {
    type Value = Vec<String>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text, a number or a list of these")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Vec<String>, E> {
        Ok(vec![text.to_owned()])
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Vec<String>, E> {
        Ok(vec![number.to_string()])
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Vec<String>, E> {
        Ok(vec![number.to_string()])
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut entries: A) -> Result<Vec<String>, A::Error> {
        let mut texts = Vec::new();
        while let Some(One(text)) = entries.next_element()? {
            texts.push(text);
        }
        Ok(texts)
    }
}

/// An entry of such a list.
struct One(String);

impl<'de> Deserialize<'de> for One {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Entry)
    }
}

struct Entry;

impl Visitor<'_> for Entry {
    type Value = One;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text or a number")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<One, E> {
        Ok(One(text.to_owned()))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<One, E> {
        Ok(One(number.to_string()))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<One, E> {
        Ok(One(number.to_string()))
    }
}
