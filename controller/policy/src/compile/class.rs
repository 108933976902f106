//! Classes: the pods of one namespace that no selector can tell apart.

use std::collections::{BTreeMap, BTreeSet};

use crate::index::LabelIndex;
use crate::model::{Labels, Namespace, NamespaceName, PodUid, Selector};
use crate::rules::{GroupId, GroupSpec, Scope};

/// What makes a class.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ClassKey {
    pub(super) namespace: NamespaceName,
    pub(super) labels: Labels,
}

/// The pods of a class, and the groups that they belong to as of the last flush.
#[derive(Clone, Debug, Default)]
pub(super) struct Class {
    pub(super) pods: BTreeSet<PodUid>,
    pub(super) groups: BTreeSet<GroupId>,
}

/// All classes that have pods.
#[derive(Clone, Debug, Default)]
pub(super) struct Classes {
    known: BTreeMap<ClassKey, Class>,
    by_pod: BTreeMap<PodUid, ClassKey>,
    by_label: LabelIndex<ClassKey>,
}

impl Classes {
    /// The class of a pod.
    pub(super) fn of_pod(&self, uid: &PodUid) -> Option<&Class> {
        self.known.get(self.by_pod.get(uid)?)
    }

    /// Moves a pod to a class, or out of all; returns the class if it is new and has to be matched.
    pub(super) fn assign(&mut self, uid: &PodUid, class: Option<ClassKey>) -> Option<ClassKey> {
        if self.by_pod.get(uid) == class.as_ref() {
            return None;
        }
        if let Some(old) = self.by_pod.remove(uid)
            && let Some(members) = self.known.get_mut(&old)
        {
            members.pods.remove(uid);
            if members.pods.is_empty() {
                self.known.remove(&old);
                self.by_label.remove(&old.labels, &old);
            }
        }
        let class = class?;
        self.by_pod.insert(uid.clone(), class.clone());
        let is_new = !self.known.contains_key(&class);
        self.known
            .entry(class.clone())
            .or_default()
            .pods
            .insert(uid.clone());
        if is_new {
            self.by_label.insert(&class.labels, &class);
        }
        is_new.then_some(class)
    }

    /// Records the groups of a class; returns its pods if they have changed.
    pub(super) fn update(&mut self, key: &ClassKey, groups: BTreeSet<GroupId>) -> Option<&BTreeSet<PodUid>> {
        let class = self.known.get_mut(key)?;
        if class.groups == groups {
            return None;
        }
        class.groups = groups;
        Some(&class.pods)
    }

    /// A group is gone.
    pub(super) fn forget_group(&mut self, id: &GroupId) {
        for class in self.known.values_mut() {
            class.groups.remove(id);
        }
    }

    /// The classes of a namespace.
    pub(super) fn of_namespace(&self, name: &NamespaceName) -> impl Iterator<Item = ClassKey> {
        let first = ClassKey {
            namespace: name.clone(),
            labels: Labels::default(),
        };
        self.known
            .range(first..)
            .map(|(key, _)| key)
            .take_while(move |key| key.namespace == *name)
            .cloned()
    }

    /// The classes of a namespace that a selector selects.
    pub(super) fn selected<'a>(
        &'a self,
        namespace: &'a NamespaceName,
        selector: &'a Selector,
    ) -> impl Iterator<Item = ClassKey> + 'a {
        let in_namespace = selector
            .is_everything()
            .then(|| self.of_namespace(namespace))
            .into_iter()
            .flatten();
        let by_label = (!selector.is_everything())
            .then(|| self.by_label.candidates(selector))
            .into_iter()
            .flatten();
        let by_label = by_label
            .filter(move |key| key.namespace == *namespace && selector.matches(&key.labels))
            .cloned();
        in_namespace.chain(by_label)
    }

    /// The classes that may belong to a new group.
    pub(super) fn candidates(
        &self,
        spec: &GroupSpec,
        namespaces: &BTreeMap<NamespaceName, Namespace>,
    ) -> Vec<ClassKey> {
        match &spec.scope {
            Scope::Namespace(name) => self.selected(name, &spec.pods).collect(),
            Scope::Cluster(selector) => {
                let in_scope =
                    |key: &ClassKey| super::group::in_scope(selector, namespaces.get(&key.namespace));
                let candidates = self.by_label.candidates(&spec.pods);
                candidates
                    .filter(|key| in_scope(key) && spec.pods.matches(&key.labels))
                    .cloned()
                    .collect()
            }
        }
    }

    /// The pods of a namespace.
    pub(super) fn pods_of_namespace(&self, name: &NamespaceName) -> impl Iterator<Item = &PodUid> {
        let classes = self.of_namespace(name).filter_map(|key| self.known.get(&key));
        classes.flat_map(|class| &class.pods)
    }
}
