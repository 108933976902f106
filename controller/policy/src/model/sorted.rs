//! Small sets, of which there are very many, and many the same.

use std::borrow::Borrow;
use std::ops::Deref;
use std::slice::Iter;
use std::sync::Arc;

/// A set that is made once, as a sorted slice.
///
/// Most label selectors have one requirement with one value, most pods one address. A node of a `BTreeSet` has room for eleven, some
/// 500 bytes; this is as large as what is in it, and copies are the same memory.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sorted<T>(Arc<[T]>);

impl<T: Ord> Sorted<T> {
    /// Whether an entry is in it.
    pub fn contains<Q: Ord + ?Sized>(&self, entry: &Q) -> bool
    where
        T: Borrow<Q>,
    {
        self.0.binary_search_by(|known| known.borrow().cmp(entry)).is_ok()
    }
}

impl<T> Default for Sorted<T> {
    fn default() -> Self {
        Self(Arc::from([]))
    }
}

impl<T> Deref for Sorted<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.0
    }
}

impl<T: Ord> FromIterator<T> for Sorted<T> {
    fn from_iter<I: IntoIterator<Item = T>>(entries: I) -> Self {
        let mut entries: Vec<T> = entries.into_iter().collect();
        entries.sort_unstable();
        entries.dedup();
        Self(entries.into())
    }
}

impl<T: Ord, const N: usize> From<[T; N]> for Sorted<T> {
    fn from(entries: [T; N]) -> Self {
        entries.into_iter().collect()
    }
}

impl<'s, T> IntoIterator for &'s Sorted<T> {
    type Item = &'s T;
    type IntoIter = Iter<'s, T>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_and_repeats_make_no_difference() {
        let one: Sorted<Arc<str>> = ["b", "a", "b"].into_iter().map(Arc::from).collect();
        let other = Sorted::from([Arc::from("a"), Arc::from("b")]);
        assert_eq!(one, other);
        assert_eq!(one.len(), 2);
        assert!(one.contains("a") && one.contains("b") && !one.contains("c"));
    }
}
