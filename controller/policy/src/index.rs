//! Finding what selects, and what is selected, without asking everybody.
//!
//! A selector with a positive requirement (`In`, `Exists`) can only match an object that has that label. One such
//! requirement is its *anchor*: the selector is filed under it, and an object is shown only the selectors filed under
//! labels that it has, and those without an anchor.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use crate::model::{Labels, Operator, Selector};

/// Where a selector is filed.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Anchor {
    /// Under labels with one of some values.
    Value(Arc<str>, Arc<str>),
    /// Under labels with any value.
    Key(Arc<str>),
    /// Under nothing: it may match an object without labels.
    Nothing,
}

/// The anchors of a selector: those of its narrowest positive requirement.
fn anchors(selector: &Selector) -> Vec<Anchor> {
    let fewest = selector
        .requirements()
        .filter_map(|requirement| match &requirement.operator {
            Operator::In(values) => Some((values.len(), &requirement.key, Some(values))),
            Operator::Exists => Some((usize::MAX, &requirement.key, None)),
            Operator::NotIn(_) | Operator::DoesNotExist => None,
        })
        .min_by_key(|(width, _, _)| *width);
    match fewest {
        Some((_, key, Some(values))) => values
            .iter()
            .map(|value| Anchor::Value(key.clone(), value.clone()))
            .collect(),
        Some((_, key, None)) => vec![Anchor::Key(key.clone())],
        None => vec![Anchor::Nothing],
    }
}

/// Selectors by what they can match: answers "which of you may select this object?".
#[derive(Clone, Debug)]
pub(crate) struct SelectorIndex<T>(HashMap<Anchor, BTreeSet<T>>);

impl<T> Default for SelectorIndex<T> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<T: Ord + Clone> SelectorIndex<T> {
    pub(crate) fn insert(&mut self, selector: &Selector, item: &T) {
        for anchor in anchors(selector) {
            self.0.entry(anchor).or_default().insert(item.clone());
        }
    }

    pub(crate) fn remove(&mut self, selector: &Selector, item: &T) {
        for anchor in anchors(selector) {
            if let Some(items) = self.0.get_mut(&anchor) {
                items.remove(item);
                if items.is_empty() {
                    self.0.remove(&anchor);
                }
            }
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Items whose selector may match `labels`: all that do, and some that do not.
    pub(crate) fn candidates(&self, labels: &Labels) -> impl Iterator<Item = &T> {
        let by_label = labels.iter().flat_map(|(key, value)| {
            [
                Anchor::Value(key.clone(), value.clone()),
                Anchor::Key(key.clone()),
            ]
        });
        by_label
            .chain([Anchor::Nothing])
            .filter_map(|anchor| self.0.get(&anchor))
            .flatten()
    }
}

/// Objects by their labels: answers "which of you may this selector select?".
#[derive(Clone, Debug)]
pub(crate) struct LabelIndex<T> {
    by_anchor: HashMap<Anchor, BTreeSet<T>>,
}

impl<T> Default for LabelIndex<T> {
    fn default() -> Self {
        Self {
            by_anchor: HashMap::new(),
        }
    }
}

impl<T: Ord + Clone> LabelIndex<T> {
    pub(crate) fn insert(&mut self, labels: &Labels, item: &T) {
        for anchor in Self::anchors_of(labels) {
            self.by_anchor.entry(anchor).or_default().insert(item.clone());
        }
    }

    pub(crate) fn remove(&mut self, labels: &Labels, item: &T) {
        for anchor in Self::anchors_of(labels) {
            if let Some(items) = self.by_anchor.get_mut(&anchor) {
                items.remove(item);
                if items.is_empty() {
                    self.by_anchor.remove(&anchor);
                }
            }
        }
    }

    /// Items whose labels `selector` may match: all that it does, and some that it does not.
    pub(crate) fn candidates(&self, selector: &Selector) -> impl Iterator<Item = &T> {
        anchors(selector)
            .into_iter()
            .filter_map(|anchor| self.by_anchor.get(&anchor))
            .flatten()
    }

    fn anchors_of(labels: &Labels) -> impl Iterator<Item = Anchor> {
        let by_label = labels.iter().flat_map(|(key, value)| {
            [
                Anchor::Value(key.clone(), value.clone()),
                Anchor::Key(key.clone()),
            ]
        });
        by_label.chain([Anchor::Nothing])
    }
}

/// Adds `item` under `key`.
pub(crate) fn link<K: Ord, T: Ord>(map: &mut BTreeMap<K, BTreeSet<T>>, key: K, item: T) {
    map.entry(key).or_default().insert(item);
}

/// Removes `item` from under `key`, and `key` with its last item.
pub(crate) fn unlink<K: Ord, T: Ord>(map: &mut BTreeMap<K, BTreeSet<T>>, key: &K, item: &T) {
    if let Some(items) = map.get_mut(key) {
        items.remove(item);
        if items.is_empty() {
            map.remove(key);
        }
    }
}
