//! What a code is.

use std::fmt;

pub use super::table::Code;

/// How bad it is, the least first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// Worth knowing; it may well be meant.
    Info,
    /// Most likely not what was meant.
    Warning,
    /// Certainly not what was meant.
    Error,
}

impl Severity {
    /// Every severity, the worst first.
    pub const ALL: [Self; 3] = [Self::Error, Self::Warning, Self::Info];

    /// `error`, `warning`, `info`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What there is to say about a code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// What it is called for ever: `PA101`. The hundreds are the topic.
    pub id: &'static str,
    /// What it is called by people: `subject-selects-nothing`.
    pub name: &'static str,
    /// How bad it is.
    pub severity: Severity,
    /// What it is, in a few words.
    pub title: &'static str,
    /// Why it matters.
    pub why: &'static str,
    /// How to put it right.
    pub fix: &'static str,
    /// Manifests that have it.
    pub has: &'static str,
    /// Manifests that nearly have it.
    pub nearly: &'static str,
}

/// What codes are about, by the first digit of their number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Topic {
    /// The document and its fields.
    Documents,
    /// Labels, and whom they select.
    Selectors,
    /// Address blocks.
    Addresses,
    /// Ports.
    Ports,
    /// Rules and policies beside each other.
    Rules,
    /// What no policy speaks of.
    Coverage,
    /// Services of the pods that policies select.
    Services,
}

impl Topic {
    /// Every topic.
    pub(super) const ALL: [Self; 7] = [
        Self::Documents,
        Self::Selectors,
        Self::Addresses,
        Self::Ports,
        Self::Rules,
        Self::Coverage,
        Self::Services,
    ];

    /// A heading.
    pub(super) fn title(self) -> &'static str {
        match self {
            Self::Documents => "Documents",
            Self::Selectors => "Selectors",
            Self::Addresses => "Addresses",
            Self::Ports => "Ports",
            Self::Rules => "Rules and policies beside each other",
            Self::Coverage => "What no policy speaks of",
            Self::Services => "Services",
        }
    }

    /// The codes that are about it, in order.
    pub(super) fn codes(self) -> impl Iterator<Item = Code> {
        let prefix = match self {
            Self::Documents => "PA0",
            Self::Selectors => "PA1",
            Self::Addresses => "PA2",
            Self::Ports => "PA3",
            Self::Rules => "PA4",
            Self::Coverage => "PA5",
            Self::Services => "PA6",
        };
        Code::ALL
            .iter()
            .copied()
            .filter(move |code| code.entry().id.starts_with(prefix))
    }
}

impl Code {
    /// The code of a number or a name, in any case: `PA101`, `subject-selects-nothing`.
    pub fn parse(text: &str) -> Option<Self> {
        let same = |known: &str| known.eq_ignore_ascii_case(text);
        let mut codes = Self::ALL.iter().copied();
        codes.find(|code| same(code.entry().id) || same(code.entry().name))
    }

    /// How bad it is.
    pub fn severity(self) -> Severity {
        self.entry().severity
    }
}

impl fmt::Display for Code {
    /// `PA101`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.entry().id)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn codes_are_in_order_and_have_each_name_once() {
        let ids: Vec<&str> = Code::ALL.iter().map(|code| code.entry().id).collect();
        assert!(ids.is_sorted());
        let names: BTreeSet<&str> = Code::ALL.iter().map(|code| code.entry().name).collect();
        assert_eq!(names.len(), ids.len());
        let by_topic: Vec<Code> = Topic::ALL.into_iter().flat_map(Topic::codes).collect();
        assert_eq!(by_topic, Code::ALL, "each is about one topic");
    }

    #[test]
    fn codes_are_found_by_number_and_by_name() {
        for code in Code::ALL.iter().copied() {
            assert_eq!(Code::parse(code.entry().id), Some(code));
            assert_eq!(Code::parse(&code.entry().name.to_uppercase()), Some(code));
        }
        assert_eq!(Code::parse("PA999"), None);
    }
}
