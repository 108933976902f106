//! Reports as `JUnit` writes them, which is what most servers of continuous integration read: a suite for each file, a case
//! for each assertion.

use std::io;

use quick_xml::Writer;
use quick_xml::events::{BytesDecl, BytesText, Event};

use super::output::{explanation, message};
use super::{Checked, Failure};
use crate::inventory::Places;
use crate::style::Style;

/// Outcomes as an XML document.
pub fn junit(outcomes: &[Checked], places: &dyn Places) -> io::Result<String> {
    let mut writer = Writer::new_with_indent(Vec::new(), b' ', 2);
    writer.write_event(Event::Decl(BytesDecl::new("1.0", Some("UTF-8"), None)))?;
    writer
        .create_element("testsuites")
        .with_attributes(
            counts(outcomes)
                .iter()
                .map(|(name, count)| (*name, count.as_str())),
        )
        .write_inner_content(|writer| {
            for of_file in
                outcomes.chunk_by(|one, other| one.assertion.place.file == other.assertion.place.file)
            {
                suite(writer, of_file, places)?;
            }
            Ok(())
        })?;
    let mut text = String::from_utf8(writer.into_inner()).map_err(io::Error::other)?;
    text.push('\n');
    Ok(text)
}

fn counts(outcomes: &[Checked]) -> [(&'static str, String); 2] {
    let failed = outcomes.iter().filter(|checked| !checked.holds()).count();
    [
        ("tests", outcomes.len().to_string()),
        ("failures", failed.to_string()),
    ]
}

fn suite(writer: &mut Writer<Vec<u8>>, outcomes: &[Checked], places: &dyn Places) -> io::Result<()> {
    let file = outcomes
        .first()
        .map(|checked| allowed(&checked.assertion.place.file));
    let file = file.unwrap_or_default();
    writer
        .create_element("testsuite")
        .with_attribute(("name", file.as_str()))
        .with_attributes(
            counts(outcomes)
                .iter()
                .map(|(name, count)| (*name, count.as_str())),
        )
        .write_inner_content(|writer| {
            outcomes
                .iter()
                .try_for_each(|checked| case(writer, checked, places))
        })?;
    Ok(())
}

fn case(writer: &mut Writer<Vec<u8>>, checked: &Checked, places: &dyn Places) -> io::Result<()> {
    let (name, file) = (
        allowed(&checked.assertion.name),
        allowed(&checked.assertion.place.file),
    );
    let line = checked.assertion.place.line.map(|line| line.to_string());
    let element = writer
        .create_element("testcase")
        .with_attribute(("name", name.as_str()))
        .with_attribute(("classname", file.as_str()))
        .with_attribute(("file", file.as_str()))
        .with_attributes(line.iter().map(|line| ("line", line.as_str())));
    let Some(failure) = checked.failures.first() else {
        element.write_empty()?;
        return Ok(());
    };
    let kind = match failure {
        Failure::Otherwise(_) => "verdict",
        Failure::Nobody(_) => "nobody",
        Failure::TooMany(_) => "too many",
    };
    let mut text = explanation(failure, places, Style::PLAIN);
    if let Some(reason) = &checked.assertion.reason {
        text = format!("it matters because: {reason}\n{text}");
    }
    let (message, text) = (allowed(&message(checked)), allowed(&text));
    element.write_inner_content(|writer| {
        writer
            .create_element("failure")
            .with_attribute(("message", message.as_str()))
            .with_attribute(("type", kind))
            .write_text_content(BytesText::new(&text))?;
        Ok(())
    })?;
    Ok(())
}

/// The text without the characters that XML 1.0 cannot have in any form (section 2.2, `Char`).
fn allowed(text: &str) -> String {
    let allowed = |letter: char| {
        matches!(letter, '\t' | '\n' | '\r')
            || !letter.is_control() && !matches!(letter, '\u{fffe}' | '\u{ffff}')
    };
    let letters = text.chars().map(|letter| {
        if allowed(letter) {
            letter
        } else {
            char::REPLACEMENT_CHARACTER
        }
    });
    letters.collect()
}
