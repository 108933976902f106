//! Finding what selects, and what is selected, without asking everybody.
//!
//! A selector with a positive requirement (`In`, `Exists`) can only match an object that has that label. One such
//! requirement is its *anchor*: the selector is filed under it, and an object is shown only the selectors filed under
//! labels that it has, and those without an anchor.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::map::Map;
use crate::model::{Labels, Operator, Selector};

/// Where a selector is filed.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Anchor {
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

/// Where selectors are filed that ask for a label that an object has.
fn anchors_of(labels: &Labels) -> impl Iterator<Item = Anchor> {
    labels.iter().flat_map(|(key, value)| {
        [
            Anchor::Value(key.clone(), value.clone()),
            Anchor::Key(key.clone()),
        ]
    })
}

/// With more items than this an index is a map. With fewer it is a list: most namespaces have some policies and some sorts of pods,
/// and a map of labels takes a kilobyte.
const FEW: usize = 8;

/// Selectors by what they can match: answers "which of you may select this object?".
#[derive(Clone, Debug)]
pub(crate) enum SelectorIndex<T> {
    Few(Vec<(Selector, T)>),
    Many(Map<Anchor, BTreeSet<T>>),
}

impl<T> Default for SelectorIndex<T> {
    fn default() -> Self {
        Self::Few(Vec::new())
    }
}

impl<T: Ord + Clone> SelectorIndex<T> {
    pub(crate) fn insert(&mut self, selector: &Selector, item: &T) {
        match self {
            Self::Few(items) if items.len() < FEW => items.push((selector.clone(), item.clone())),
            Self::Few(items) => {
                let items = std::mem::take(items);
                let mut many = Map::default();
                for (selector, item) in items.iter().map(|(selector, item)| (selector, item)) {
                    file(&mut many, anchors(selector), item);
                }
                file(&mut many, anchors(selector), item);
                *self = Self::Many(many);
            }
            Self::Many(by_anchor) => file(by_anchor, anchors(selector), item),
        }
    }

    pub(crate) fn remove(&mut self, selector: &Selector, item: &T) {
        match self {
            Self::Few(items) => items.retain(|(_, known)| known != item),
            Self::Many(by_anchor) => withdraw(by_anchor, anchors(selector), item),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        match self {
            Self::Few(items) => items.is_empty(),
            Self::Many(by_anchor) => by_anchor.is_empty(),
        }
    }

    /// Items whose selector may match `labels`: all that do, and some that do not.
    pub(crate) fn candidates(&self, labels: &Labels) -> impl Iterator<Item = &T> {
        let (few, many) = match self {
            Self::Few(items) => (items.as_slice(), None),
            Self::Many(by_anchor) => (&[][..], Some(by_anchor)),
        };
        let filed = many.map(|by_anchor| {
            let anchors = anchors_of(labels).chain([Anchor::Nothing]);
            anchors.filter_map(|anchor| by_anchor.get(&anchor)).flatten()
        });
        few.iter()
            .map(|(_, item)| item)
            .chain(filed.into_iter().flatten())
    }
}

/// Files an item under anchors.
fn file<T: Ord + Clone>(
    by_anchor: &mut Map<Anchor, BTreeSet<T>>,
    anchors: impl IntoIterator<Item = Anchor>,
    item: &T,
) {
    for anchor in anchors {
        by_anchor.entry(anchor).or_default().insert(item.clone());
    }
}

/// Takes an item from under anchors.
fn withdraw<T: Ord>(
    by_anchor: &mut Map<Anchor, BTreeSet<T>>,
    anchors: impl IntoIterator<Item = Anchor>,
    item: &T,
) {
    for anchor in anchors {
        if let Some(items) = by_anchor.get_mut(&anchor) {
            items.remove(item);
            if items.is_empty() {
                by_anchor.remove(&anchor);
            }
        }
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
        for anchor in anchors(scope) {
            self.0.entry(anchor).or_default().insert(selector, item);
        }
    }

    pub(crate) fn remove(&mut self, scope: &Selector, selector: &Selector, item: &T) {
        for anchor in anchors(scope) {
            if let Some(index) = self.0.get_mut(&anchor) {
                index.remove(selector, item);
                if index.is_empty() {
                    self.0.remove(&anchor);
                }
            }
        }
    }

    /// Items that may select pods with `labels` in a namespace with `scope`, which may be unknown.
    pub(crate) fn candidates(&self, scope: Option<&Labels>, labels: &Labels) -> impl Iterator<Item = &T> {
        let anchors = scope.into_iter().flat_map(anchors_of).chain([Anchor::Nothing]);
        let indexes = anchors.filter_map(|anchor| self.0.get(&anchor));
        indexes.flat_map(|index| index.candidates(labels))
    }
}

/// Objects by their labels: answers "which of you may this selector select?".
#[derive(Clone, Debug)]
pub(crate) enum LabelIndex<T> {
    Few(Vec<T>),
    Many(Map<Anchor, BTreeSet<T>>),
}

impl<T> Default for LabelIndex<T> {
    fn default() -> Self {
        Self::Few(Vec::new())
    }
}

impl<T: Ord + Clone> LabelIndex<T> {
    /// Adds an item. `known` tells the labels of one that is there already.
    pub(crate) fn insert<'l>(&mut self, labels: &Labels, item: &T, known: impl Fn(&T) -> Option<&'l Labels>) {
        match self {
            Self::Few(items) if items.len() < FEW => items.push(item.clone()),
            Self::Few(items) => {
                let items = std::mem::take(items);
                let mut many = Map::default();
                for item in &items {
                    let labels = known(item).into_iter().flat_map(anchors_of);
                    file(&mut many, labels.chain([Anchor::Nothing]), item);
                }
                file(&mut many, anchors_of(labels).chain([Anchor::Nothing]), item);
                *self = Self::Many(many);
            }
            Self::Many(by_anchor) => file(by_anchor, anchors_of(labels).chain([Anchor::Nothing]), item),
        }
    }

    pub(crate) fn remove(&mut self, labels: &Labels, item: &T) {
        match self {
            Self::Few(items) => items.retain(|known| known != item),
            Self::Many(by_anchor) => withdraw(by_anchor, anchors_of(labels).chain([Anchor::Nothing]), item),
        }
    }

    /// Items whose labels `selector` may match: all that it does, and some that it does not.
    pub(crate) fn candidates(&self, selector: &Selector) -> impl Iterator<Item = &T> {
        self.filed(anchors(selector))
    }

    /// All items.
    pub(crate) fn all(&self) -> impl Iterator<Item = &T> {
        self.filed([Anchor::Nothing])
    }

    fn filed(&self, anchors: impl IntoIterator<Item = Anchor>) -> impl Iterator<Item = &T> {
        let (few, many) = match self {
            Self::Few(items) => (items.as_slice(), None),
            Self::Many(by_anchor) => (&[][..], Some(by_anchor)),
        };
        let anchors = anchors.into_iter();
        let filed = many.map(|by_anchor| anchors.filter_map(|anchor| by_anchor.get(&anchor)).flatten());
        few.iter().chain(filed.into_iter().flatten())
    }

    pub(crate) fn is_empty(&self) -> bool {
        match self {
            Self::Few(items) => items.is_empty(),
            Self::Many(by_anchor) => by_anchor.is_empty(),
        }
    }
}
