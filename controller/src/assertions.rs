//! Assertions from files: YAML or JSON, a list of them, or one under `assertions`; what they mean is the matter of
//! [`palisade_audit::assertions`].

use std::fmt;
use std::io::Read;
use std::path::PathBuf;

use palisade_audit::assertions::{Assertion, InvalidAssertion, Prepared};
use palisade_audit::inventory::Place;
use serde::Deserialize;
use serde::de::{Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_saphyr::Spanned;
use thiserror::Error;

use crate::manifest::{self, Problem, Source, Text};

/// Everything that is wrong with some files of assertions.
#[derive(Debug, Error)]
#[error("{} problems in the assertions", problems.len())]
pub struct InvalidAssertions {
    /// Each with its file, and its line as far as that is known. Never empty.
    pub problems: Vec<String>,
}

/// Reads all assertions of some files, in their order; `stdin` is what `-` stands for.
pub fn read(files: &[PathBuf], stdin: &mut dyn Read) -> Result<Vec<Prepared>, InvalidAssertions> {
    let sources: Vec<Source> = files.iter().cloned().map(Source::from).collect();
    let mut unreadable: Vec<Problem> = Vec::new();
    let texts = manifest::texts(&sources, stdin, &mut unreadable);
    let mut problems: Vec<String> = unreadable.iter().map(ToString::to_string).collect();
    let mut assertions = Vec::new();
    for text in &texts {
        let (before, wrong) = (assertions.len(), problems.len());
        for found in of_text(text) {
            match found {
                Ok(prepared) => assertions.push(prepared),
                Err(problem) => problems.push(problem),
            }
        }
        if (before, wrong) == (assertions.len(), problems.len()) {
            problems.push(format!("{}: no assertions in it", text.file));
        }
    }
    if assertions.is_empty() && problems.is_empty() {
        problems.push("no assertions in these files".to_owned());
    }
    if problems.is_empty() {
        Ok(assertions)
    } else {
        Err(InvalidAssertions { problems })
    }
}

/// The assertions of all documents of a text, and what is wrong with it.
fn of_text(text: &Text) -> Vec<Result<Prepared, String>> {
    let mut bytes = text.bytes.as_slice();
    let options = manifest::options(bytes.len());
    let mut found = Vec::new();
    for document in serde_saphyr::read_with_options::<_, Option<Listed>>(&mut bytes, options) {
        match document {
            Ok(listed) => {
                let assertions = listed.map(|Listed(assertions)| assertions).unwrap_or_default();
                found.extend(assertions.into_iter().map(|assertion| {
                    let place = Place {
                        file: text.file.to_string(),
                        line: Some(assertion.referenced.line()),
                    };
                    let prepared = assertion.value.prepare(place);
                    prepared.map_err(|invalid: InvalidAssertion| invalid.to_string())
                }));
            }
            Err(error) => found.push(Err(format!("{}: {}", text.file, manifest::describe(&error)))),
        }
    }
    found
}

/// A list of assertions, or an object that has one.
struct Listed(Vec<Spanned<Assertion>>);

impl<'de> Deserialize<'de> for Listed {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Document)
    }
}

struct Document;

impl<'de> Visitor<'de> for Document {
    type Value = Listed;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of assertions")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut entries: A) -> Result<Listed, A::Error> {
        let mut assertions = Vec::new();
        while let Some(assertion) = entries.next_element()? {
            assertions.push(assertion);
        }
        Ok(Listed(assertions))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Listed, A::Error> {
        let mut assertions = None;
        while let Some(name) = fields.next_key::<String>()? {
            if name != "assertions" {
                return Err(A::Error::unknown_field(&name, &["assertions"]));
            }
            assertions = Some(fields.next_value()?);
        }
        let assertions = assertions.ok_or_else(|| A::Error::missing_field("assertions"))?;
        Ok(Listed(assertions))
    }
}
