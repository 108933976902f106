//! Where in an object we are, turned into text only when there is something to say about it.

use std::fmt;

use palisade_policy::model::Defect;

/// The longest piece of somebody's text that a message repeats.
const QUOTE_LENGTH: usize = 64;

/// The longest message, or field path, that is made from somebody's document.
const MESSAGE_LENGTH: usize = 256;

/// The path of a field from the object's root.
#[derive(Clone, Copy)]
pub(super) enum Field<'a> {
    Root(&'static str),
    Named(&'a Field<'a>, &'static str),
    Entry(&'a Field<'a>, usize),
}

impl<'a> Field<'a> {
    /// The field `name` of this object.
    pub(super) fn name(&'a self, name: &'static str) -> Self {
        Self::Named(self, name)
    }

    /// The entry at `index` of this list.
    pub(super) fn entry(&'a self, index: usize) -> Self {
        Self::Entry(self, index)
    }

    /// What is wrong here.
    pub(super) fn defect(&self, message: impl Into<String>) -> Defect {
        Defect {
            field: self.to_string(),
            message: message.into(),
        }
    }
}

impl fmt::Display for Field<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Root(name) => f.write_str(name),
            Self::Named(parent, name) => write!(f, "{parent}.{name}"),
            Self::Entry(parent, index) => write!(f, "{parent}[{index}]"),
        }
    }
}

/// Somebody's text as a message repeats it: in quotes, and not longer than is good to read.
pub(super) fn quoted(text: &str) -> String {
    match text.char_indices().nth(QUOTE_LENGTH) {
        None => format!("{text:?}"),
        Some((end, _)) => format!("{:?}…", text.get(..end).unwrap_or_default()),
    }
}

/// A text that grew from somebody's document, not longer than is good to read.
pub(crate) fn shortened(mut text: String) -> String {
    if let Some((end, _)) = text.char_indices().nth(MESSAGE_LENGTH) {
        text.truncate(end);
        text.push('…');
    }
    text
}
