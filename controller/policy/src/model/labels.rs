//! Labels of pods and namespaces.

use std::sync::Arc;

use crate::shared::Share;

/// The labels of one object, sorted by key.
///
/// A slice, as they are few and read far more often than they are made. Copies are the same memory: a large cluster has a hundred
/// thousand pods, of which most have the labels of others.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Labels(Arc<[(Arc<str>, Arc<str>)]>);

impl Default for Labels {
    fn default() -> Self {
        Self(Arc::from([]))
    }
}

impl Labels {
    /// The value under `key`, if the label is there.
    pub fn get(&self, key: &str) -> Option<&str> {
        let position = self.position(key).ok()?;
        self.0.get(position).map(|(_, value)| value.as_ref())
    }

    /// Adds or replaces one label.
    pub fn insert(&mut self, key: impl Into<Arc<str>>, value: impl Into<Arc<str>>) {
        let known = self.iter().map(|(key, value)| (key.clone(), value.clone()));
        *self = known.chain([(key.into(), value.into())]).collect();
    }

    /// All labels in the order of their keys.
    pub fn iter(&self) -> impl Iterator<Item = (&Arc<str>, &Arc<str>)> {
        self.0.iter().map(|(key, value)| (key, value))
    }

    /// Where the label of a key is, or would be.
    fn position(&self, key: &str) -> Result<usize, usize> {
        self.0.binary_search_by(|(known, _)| known.as_ref().cmp(key))
    }
}

impl Share for Labels {
    fn is_shared(&self) -> bool {
        Arc::strong_count(&self.0) > 1
    }
}

impl<K: Into<Arc<str>>, V: Into<Arc<str>>> FromIterator<(K, V)> for Labels {
    /// Of several labels with one key the last counts.
    fn from_iter<I: IntoIterator<Item = (K, V)>>(labels: I) -> Self {
        let labels = labels.into_iter();
        let mut labels: Vec<_> = labels.map(|(key, value)| (key.into(), value.into())).collect();
        labels.sort_by(|(one, _), (other, _)| one.cmp(other));
        labels.dedup_by(|later, earlier| {
            let same = later.0 == earlier.0;
            if same {
                std::mem::swap(later, earlier);
            }
            same
        });
        Self(labels.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_label_of_a_key_counts() {
        let labels: Labels = [("b", "1"), ("a", "2"), ("b", "3"), ("b", "4")]
            .into_iter()
            .collect();
        let mut other = Labels::default();
        for (key, value) in [("b", "4"), ("a", "1"), ("a", "2")] {
            other.insert(key, value);
        }
        assert_eq!(labels, other);
        assert_eq!(labels.iter().count(), 2);
        assert_eq!((labels.get("b"), labels.get("c")), (Some("4"), None));
    }
}
