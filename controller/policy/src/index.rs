//! Finding what selects, and what is selected, without asking everybody.
//!
//! A selector with a positive requirement (`In`, `Exists`) can only match an object that has that label. One such
//! requirement is its *anchor*: the selector is filed under it, and an object is shown only the selectors filed under
//! labels that it has, and those without an anchor. The other way round objects are filed under all their labels, and a selector is
//! shown those under its anchor: either side finds the other under the anchors that both have.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::map::Map;
use crate::model::{Labels, Operator, Selector};

/// Where something is filed.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Anchor {
    /// Under labels with one of some values.
    Value(Arc<str>, Arc<str>),
    /// Under labels with any value.
    Key(Arc<str>),
    /// Under nothing: a selector that may match an object without labels, and every object.
    Nothing,
}

/// What can be filed, and looked up by what it is filed under.
pub(crate) trait Anchored: Clone {
    /// Where it is filed. A selector that matches an object has one of its anchors at least.
    fn anchors(&self) -> Vec<Anchor>;
}

impl Anchored for Selector {
    /// Those of its narrowest positive requirement.
    fn anchors(&self) -> Vec<Anchor> {
        let fewest = self
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
}

impl Anchored for Labels {
    /// All that a selector that matches them can have.
    fn anchors(&self) -> Vec<Anchor> {
        let by_label = self.iter().flat_map(|(key, value)| {
            [
                Anchor::Value(key.clone(), value.clone()),
                Anchor::Key(key.clone()),
            ]
        });
        by_label.chain([Anchor::Nothing]).collect()
    }
}

/// With more items than this an index is a map. With fewer it is a list: most namespaces have some policies and some sorts of pods,
/// and a map of labels takes a kilobyte.
const FEW: usize = 8;

/// Items by selectors or by labels: answers "which of you may match this?" to the other of the two.
#[derive(Clone, Debug)]
pub(crate) enum Index<K, T> {
    Few(Vec<(K, T)>),
    Many(Map<Anchor, BTreeSet<T>>),
}

/// Selectors by what they can match: answers "which of you may select this object?".
pub(crate) type SelectorIndex<T> = Index<Selector, T>;

/// Objects by their labels: answers "which of you may this selector select?".
pub(crate) type LabelIndex<T> = Index<Labels, T>;

impl<K, T> Default for Index<K, T> {
    fn default() -> Self {
        Self::Few(Vec::new())
    }
}

impl<K: Anchored, T: Ord + Clone> Index<K, T> {
    pub(crate) fn insert(&mut self, key: &K, item: &T) {
        match self {
            Self::Few(items) if items.len() < FEW => items.push((key.clone(), item.clone())),
            Self::Few(items) => {
                let items = std::mem::take(items);
                *self = Self::Many(Map::default());
                for (known, item) in items
                    .iter()
                    .map(|(known, item)| (known, item))
                    .chain([(key, item)])
                {
                    self.insert(known, item);
                }
            }
            Self::Many(by_anchor) => {
                for anchor in key.anchors() {
                    by_anchor.entry(anchor).or_default().insert(item.clone());
                }
            }
        }
    }

    pub(crate) fn remove(&mut self, key: &K, item: &T) {
        match self {
            Self::Few(items) => items.retain(|(_, known)| known != item),
            Self::Many(by_anchor) => {
                for anchor in key.anchors() {
                    if let Some(items) = by_anchor.get_mut(&anchor) {
                        items.remove(item);
                        if items.is_empty() {
                            by_anchor.remove(&anchor);
                        }
                    }
                }
            }
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        match self {
            Self::Few(items) => items.is_empty(),
            Self::Many(by_anchor) => by_anchor.is_empty(),
        }
    }

    /// Items that may match: all that do, and some that do not.
    pub(crate) fn candidates<'i, B: Anchored>(
        &'i self,
        by: &B,
    ) -> impl Iterator<Item = &'i T> + use<'i, K, T, B> {
        let (few, filed) = match self {
            Self::Few(items) => (items.as_slice(), None),
            Self::Many(by_anchor) => {
                let anchors = by.anchors().into_iter();
                let filed = anchors.filter_map(|anchor| by_anchor.get(&anchor)).flatten();
                (&[][..], Some(filed))
            }
        };
        few.iter()
            .map(|(_, item)| item)
            .chain(filed.into_iter().flatten())
    }
}

/// Items of two selectors, one of namespaces and one of pods: answers "which of you may select a pod of this namespace?".
#[derive(Clone, Debug)]
pub(crate) struct ScopedIndex<T>(Map<Anchor, SelectorIndex<T>>);

impl<T> Default for ScopedIndex<T> {
    fn default() -> Self {
        Self(Map::default())
    }
}

impl<T: Ord + Clone> ScopedIndex<T> {
    pub(crate) fn insert(&mut self, scope: &Selector, selector: &Selector, item: &T) {
        for anchor in scope.anchors() {
            self.0.entry(anchor).or_default().insert(selector, item);
        }
    }

    pub(crate) fn remove(&mut self, scope: &Selector, selector: &Selector, item: &T) {
        for anchor in scope.anchors() {
            if let Some(index) = self.0.get_mut(&anchor) {
                index.remove(selector, item);
                if index.is_empty() {
                    self.0.remove(&anchor);
                }
            }
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Items that may select pods with `labels` in a namespace with `scope`, which may be unknown.
    pub(crate) fn candidates(&self, scope: Option<&Labels>, labels: &Labels) -> impl Iterator<Item = &T> {
        let anchors = scope
            .map_or_else(|| vec![Anchor::Nothing], Anchored::anchors)
            .into_iter();
        let indexes = anchors.filter_map(|anchor| self.0.get(&anchor));
        indexes.flat_map(|index| index.candidates(labels))
    }
}
