//! Sets and verdict maps, with what they hold.

use std::collections::{BTreeMap, BTreeSet};

use super::element::Element;
use super::field::KeyType;
use super::names::Comment;
use super::rule::Verdict;

/// A set that rules look up by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Set {
    /// The types of the key's parts, in order.
    pub key: Vec<KeyType>,
    /// Whether elements may be ranges. Ranges of one set must not overlap: the kernel refuses them.
    pub interval: bool,
    /// What it holds.
    pub elements: BTreeSet<Element>,
    /// A note for people.
    pub comment: Option<Comment>,
}

impl Set {
    /// An empty hash set.
    pub fn hash(key: impl IntoIterator<Item = KeyType>) -> Self {
        Self {
            key: key.into_iter().collect(),
            interval: false,
            elements: BTreeSet::new(),
            comment: None,
        }
    }

    /// An empty set of ranges.
    pub fn interval(key: impl IntoIterator<Item = KeyType>) -> Self {
        Self {
            interval: true,
            ..Self::hash(key)
        }
    }
}

/// A map from keys to verdicts, always a hash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerdictMap {
    /// The types of the key's parts, in order.
    pub key: Vec<KeyType>,
    /// What it holds.
    pub elements: BTreeMap<Element, MapEntry>,
    /// A note for people.
    pub comment: Option<Comment>,
}

impl VerdictMap {
    /// An empty map.
    pub fn new(key: impl IntoIterator<Item = KeyType>) -> Self {
        Self {
            key: key.into_iter().collect(),
            elements: BTreeMap::new(),
            comment: None,
        }
    }
}

/// What a map holds under one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MapEntry {
    /// Accept, drop, jump or goto.
    pub verdict: Verdict,
    /// A note for people: whose address it is.
    pub comment: Option<Comment>,
}
