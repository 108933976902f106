//! A thing under its key, as slices hold them.

use std::cmp::Ordering;

/// A thing in its place: the order is that of keys, whatever the things are.
#[derive(Clone, Debug)]
pub(super) struct Filed<K, T> {
    pub(super) key: K,
    pub(super) thing: T,
}

impl<K: Eq, T: Eq> Filed<K, T> {
    /// Whether not only the key is the same.
    pub(super) fn says_the_same(&self, other: &Self) -> bool {
        self.key == other.key && self.thing == other.thing
    }
}

impl<K: Eq, T> PartialEq for Filed<K, T> {
    fn eq(&self, other: &Self) -> bool {
        self.key == other.key
    }
}

impl<K: Eq, T> Eq for Filed<K, T> {}

impl<K: Ord, T> PartialOrd for Filed<K, T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<K: Ord, T> Ord for Filed<K, T> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.key.cmp(&other.key)
    }
}
