//! On which line each field of a document is.
//!
//! Nothing but findings asks for that, and only for few of the objects that were read. So it is not noted while reading: the
//! document in question is read a second time, with the place of every node.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::Spanned;

use super::document::options;

/// The lines of a document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Lines {
    /// Where this part begins; that is the field's name where it has one. Counted from 1, in the text that was read.
    pub(crate) line: u64,
    parts: Parts,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Parts {
    None,
    Fields(Vec<(Box<str>, Lines)>),
    Entries(Vec<Lines>),
}

impl Lines {
    /// The lines of the first document of a text; `None` where it cannot be read.
    pub(crate) fn of(mut text: &[u8]) -> Option<Self> {
        let options = options(text.len());
        let mut documents = serde_saphyr::read_with_options::<_, Spanned<Parts>>(&mut text, options);
        documents.next()?.ok().map(|document| at(document, None))
    }

    /// The line of the field at `path`, or of the nearest that is around it.
    pub(crate) fn find(&self, path: &str) -> u64 {
        let path = path.strip_prefix('.').unwrap_or(path);
        match &self.parts {
            Parts::None => self.line,
            Parts::Fields(fields) => {
                // Names may have dots in them, as labels do: the longest that fits is meant.
                let rest = |name: &str| {
                    let rest = path.strip_prefix(name)?;
                    (rest.is_empty() || rest.starts_with(['.', '['])).then_some(rest)
                };
                let named = fields
                    .iter()
                    .filter_map(|(name, field)| Some((name, field, rest(name)?)));
                match named.max_by_key(|(name, ..)| name.len()) {
                    Some((_, field, rest)) => field.find(rest),
                    None => self.line,
                }
            }
            Parts::Entries(entries) => {
                let index = path.strip_prefix('[').and_then(|path| path.split_once(']'));
                let entry =
                    index.and_then(|(index, rest)| Some((entries.get(index.parse::<usize>().ok()?)?, rest)));
                entry.map_or(self.line, |(entry, rest)| entry.find(rest))
            }
        }
    }

    /// The lines of one item of a list of objects.
    pub(crate) fn item(&self, index: usize) -> Option<&Self> {
        let Parts::Fields(fields) = &self.parts else {
            return None;
        };
        let (_, items) = fields.iter().find(|(name, _)| &**name == "items")?;
        match &items.parts {
            Parts::Entries(entries) => entries.get(index),
            Parts::None | Parts::Fields(_) => None,
        }
    }
}

/// A part at its place: that of its name, if it has one. An alias counts where it is used, not where its anchor is.
fn at(part: Spanned<Parts>, name: Option<u64>) -> Lines {
    Lines {
        line: name.unwrap_or_else(|| part.referenced.line()),
        parts: part.value,
    }
}

impl<'de> Deserialize<'de> for Parts {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Reader)
    }
}

struct Reader;

impl<'de> Visitor<'de> for Reader {
    type Value = Parts;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_bool<E>(self, _: bool) -> Result<Parts, E> {
        Ok(Parts::None)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Parts, E> {
        Ok(Parts::None)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Parts, E> {
        Ok(Parts::None)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Parts, E> {
        Ok(Parts::None)
    }

    fn visit_str<E>(self, _: &str) -> Result<Parts, E> {
        Ok(Parts::None)
    }

    fn visit_unit<E>(self) -> Result<Parts, E> {
        Ok(Parts::None)
    }

    fn visit_none<E>(self) -> Result<Parts, E> {
        Ok(Parts::None)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Parts, D::Error> {
        deserializer.deserialize_any(self)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut entries: A) -> Result<Parts, A::Error> {
        let mut parts = Vec::new();
        while let Some(entry) = entries.next_element::<Spanned<Parts>>()? {
            parts.push(at(entry, None));
        }
        Ok(Parts::Entries(parts))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Parts, A::Error> {
        let mut parts = Vec::new();
        while let Some(name) = fields.next_key::<Spanned<Box<str>>>()? {
            let line = name.referenced.line();
            parts.push((name.value, at(fields.next_value()?, Some(line))));
        }
        Ok(Parts::Fields(parts))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BLOCK: &str = "\
# A comment.
kind: NetworkPolicy
metadata:
  labels: &l
    app.kubernetes.io/name: web
    app: web
spec:
  podSelector:
    matchLabels: *l
  ingress:
  - from:
    - podSelector: {}
    -
      namespaceSelector:
        matchLabels: {a: b}
  - {}
";

    #[test]
    fn a_field_is_where_its_name_is() {
        let lines = Lines::of(BLOCK.as_bytes()).unwrap();
        for (path, line) in [
            ("kind", 2),
            ("metadata.labels", 4),
            ("metadata.labels.app", 6),
            ("metadata.labels.app.kubernetes.io/name", 5),
            ("spec.podSelector.matchLabels", 9),
            ("spec.ingress", 10),
            ("spec.ingress[0].from", 11),
            ("spec.ingress[0].from[0]", 12),
            ("spec.ingress[0].from[1]", 14),
            ("spec.ingress[0].from[1].namespaceSelector.matchLabels.a", 15),
            ("spec.ingress[1]", 16),
        ] {
            assert_eq!(lines.find(path), line, "{path}");
        }
    }

    #[test]
    fn a_field_that_is_not_there_is_where_the_nearest_around_it_is() {
        let lines = Lines::of(BLOCK.as_bytes()).unwrap();
        for (path, line) in [
            ("spec.policyTypes", 7),
            ("spec.ingress[7].from", 10),
            ("spec.ingress[0].from[0].podSelector.matchLabels", 12),
            ("spec.ingress[x]", 10),
            ("nothing", 2),
        ] {
            assert_eq!(lines.find(path), line, "{path}");
        }
    }

    #[test]
    fn json_has_lines_too() {
        let text = "{\n\t\"kind\": \"List\",\n\t\"items\": [\n\t\t{\"kind\": \"a\"},\n\t\t{\n\t\t\t\"kind\": \"b\"\n\t\t}\n\t]\n}";
        let lines = Lines::of(text.as_bytes()).unwrap();
        assert_eq!(lines.item(0).unwrap().find("kind"), 4);
        assert_eq!(lines.item(1).unwrap().line, 5);
        assert_eq!(lines.item(1).unwrap().find("kind"), 6);
        assert_eq!(lines.item(2), None);
    }
}
