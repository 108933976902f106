//! Classes: the pods of one namespace that no selector can tell apart.

use std::collections::BTreeMap;

use super::group::{GroupNumber, in_scope};
use super::pod::PodNumber;
use super::slots::Slots;
use crate::index::LabelIndex;
use crate::map::Map;
use crate::model::{Labels, Namespace, NamespaceName, Selector};
use crate::rules::{GroupSpec, Scope};

/// Stands for a class.
pub(super) type ClassNumber = u32;

/// What makes a class.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct ClassKey {
    pub(super) namespace: NamespaceName,
    pub(super) labels: Labels,
}

/// The pods of a class, and the groups whose selectors match it, as of the last flush.
#[derive(Clone, Debug)]
pub(super) struct Class {
    pub(super) key: ClassKey,
    pub(super) pods: Vec<PodNumber>,
    /// In the order of their numbers.
    pub(super) groups: Vec<GroupNumber>,
}

/// All classes that have pods.
#[derive(Clone, Debug, Default)]
pub(super) struct Classes {
    all: Slots<Class>,
    by_key: Map<ClassKey, ClassNumber>,
    by_label: Map<NamespaceName, LabelIndex<ClassNumber>>,
}

impl Classes {
    pub(super) fn get(&self, number: ClassNumber) -> Option<&Class> {
        self.all.get(number)
    }

    pub(super) fn get_mut(&mut self, number: ClassNumber) -> Option<&mut Class> {
        self.all.get_mut(number)
    }

    /// The class of pods with some labels, and whether it is new: without pods, and without groups yet.
    pub(super) fn enter(&mut self, key: ClassKey) -> (ClassNumber, bool) {
        if let Some(number) = self.by_key.get(&key) {
            return (*number, false);
        }
        let number = self.all.insert(Class {
            key: key.clone(),
            pods: Vec::new(),
            groups: Vec::new(),
        });
        let in_namespace = self.by_label.entry(key.namespace.clone()).or_default();
        in_namespace.insert(&key.labels, &number);
        self.by_key.insert(key, number);
        (number, true)
    }

    /// Forgets a class, if it has no pods any more.
    pub(super) fn retire(&mut self, number: ClassNumber) -> Option<Class> {
        if !self.get(number)?.pods.is_empty() {
            return None;
        }
        let class = self.all.remove(number)?;
        self.by_key.remove(&class.key);
        if let Some(index) = self.by_label.get_mut(&class.key.namespace) {
            index.remove(&class.key.labels, &number);
            if index.is_empty() {
                self.by_label.remove(&class.key.namespace);
            }
        }
        Some(class)
    }

    /// The classes of a namespace.
    pub(super) fn of_namespace(&self, name: &NamespaceName) -> impl Iterator<Item = ClassNumber> {
        let index = self.by_label.get(name);
        let all = Selector::everything();
        let classes = index.into_iter().flat_map(move |index| index.candidates(&all));
        classes.copied()
    }

    /// The classes that a group's selectors match.
    pub(super) fn matching(
        &self,
        spec: &GroupSpec,
        namespaces: &BTreeMap<NamespaceName, Namespace>,
    ) -> Vec<ClassNumber> {
        let indexes: Vec<&LabelIndex<ClassNumber>> = match &spec.scope {
            Scope::Namespace(name) => self.by_label.get(name).into_iter().collect(),
            Scope::Cluster(selector) => self
                .by_label
                .iter()
                .filter(|(name, _)| in_scope(selector, namespaces.get(*name)))
                .map(|(_, index)| index)
                .collect(),
        };
        let candidates = indexes.into_iter().flat_map(|index| index.candidates(&spec.pods));
        let matches = |number: &&ClassNumber| {
            let class = self.get(**number);
            class.is_some_and(|class| spec.pods.matches(&class.key.labels))
        };
        let mut matching: Vec<ClassNumber> = candidates.filter(matches).copied().collect();
        matching.sort_unstable();
        matching.dedup();
        matching
    }

    /// The pods of a namespace.
    pub(super) fn pods_of_namespace(&self, name: &NamespaceName) -> impl Iterator<Item = PodNumber> {
        let classes = self.of_namespace(name).filter_map(|number| self.get(number));
        classes.flat_map(|class| &class.pods).copied()
    }
}
