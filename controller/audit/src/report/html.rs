//! Writing HTML so that no input can become markup.
//!
//! Tags and attribute names are `&'static str`: text of the program. Whatever comes from objects goes through
//! [`Html::text`] or an attribute's value, and both escape.

use std::fmt::{self, Display, Write};

/// A piece of a page.
#[derive(Debug, Default)]
pub(super) struct Html(String);

/// The attributes of an element.
pub(super) type Attributes<'a> = &'a [(&'static str, &'a dyn Display)];

impl Html {
    /// Markup of the program itself.
    pub(super) fn raw(&mut self, markup: &'static str) -> &mut Self {
        self.0.push_str(markup);
        self
    }

    /// Text, escaped.
    pub(super) fn text(&mut self, text: impl Display) -> &mut Self {
        write(&mut self.0, &text);
        self
    }

    /// `<tag attributes>`
    pub(super) fn open(&mut self, tag: &'static str, attributes: Attributes<'_>) -> &mut Self {
        self.0.push('<');
        self.0.push_str(tag);
        for (name, value) in attributes {
            self.0.push(' ');
            self.0.push_str(name);
            self.0.push_str("=\"");
            write(&mut self.0, value);
            self.0.push('"');
        }
        self.0.push('>');
        self
    }

    /// `</tag>`
    pub(super) fn close(&mut self, tag: &'static str) -> &mut Self {
        self.0.push_str("</");
        self.0.push_str(tag);
        self.0.push('>');
        self
    }

    /// An element with nothing but text in it.
    pub(super) fn element(
        &mut self,
        tag: &'static str,
        attributes: Attributes<'_>,
        text: impl Display,
    ) -> &mut Self {
        self.open(tag, attributes).text(text).close(tag)
    }

    /// A line's end: a page may be read in an editor as well.
    pub(super) fn line(&mut self) -> &mut Self {
        self.0.push('\n');
        self
    }

    pub(super) fn into_string(self) -> String {
        self.0
    }
}

/// JSON that may stand in a `<script>`: no text in it can end the element, or begin a comment in it.
pub(super) fn json(value: &impl serde::Serialize) -> Result<String, serde_json::Error> {
    let json = serde_json::to_string(value)?;
    let mut safe = String::with_capacity(json.len());
    for character in json.chars() {
        match character {
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => {
                // Outside of strings, JSON has none of these; in one, this is how it may spell them.
                let written = write!(safe, "\\u{:04x}", u32::from(character));
                debug_assert!(written.is_ok(), "a String takes everything");
            }
            _ => safe.push(character),
        }
    }
    Ok(safe)
}

/// Text for attributes and for between tags.
pub(super) fn write(into: &mut String, text: &(impl Display + ?Sized)) {
    let written = write!(Escaping(into), "{text}");
    debug_assert!(written.is_ok(), "a String takes everything");
}

/// Escapes what is written through it.
struct Escaping<'a>(&'a mut String);

impl Write for Escaping<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for character in text.chars() {
            match character {
                '&' => self.0.push_str("&amp;"),
                '<' => self.0.push_str("&lt;"),
                '>' => self.0.push_str("&gt;"),
                '"' => self.0.push_str("&quot;"),
                '\'' => self.0.push_str("&#39;"),
                // What would turn the direction of the text that follows, or be no character of HTML.
                '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => self.0.push('\u{fffd}'),
                '\n' | '\t' => self.0.push(character),
                _ if character.is_control() => self.0.push('\u{fffd}'),
                _ => self.0.push(character),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn input_becomes_neither_tags_nor_attributes() {
        let mut html = Html::default();
        html.element("a", &[("href", &"#\" onclick='x'")], "<script>&\u{0}\u{202e}");
        insta::assert_snapshot!(html.into_string(), @r##"<a href="#&quot; onclick=&#39;x&#39;">&lt;script&gt;&amp;��</a>"##);
    }

    #[test]
    fn json_cannot_end_its_element_and_stays_what_it_is() {
        let hostile = ["</script><!--<script>", "\u{2028}&"];
        let json = json(&hostile).unwrap();
        assert!(!json.contains(['<', '>', '&', '\u{2028}']), "{json}");
        let back: Vec<String> = serde_json::from_str(&json).unwrap();
        assert_eq!(back, hostile);
    }
}
