//! Groups: who uses them, who is in them.

use std::collections::{BTreeMap, BTreeSet};

use super::class::ClassKey;
use crate::index::{SelectorIndex, link, unlink};
use crate::model::{Namespace, NamespaceName, PodUid, PolicyKey, Selector};
use crate::rules::{Group, GroupId, GroupSpec, Member, Scope};

/// All groups that some policy uses.
#[derive(Clone, Debug, Default)]
pub(super) struct Groups {
    by_id: BTreeMap<GroupId, Group>,
    users: BTreeMap<GroupId, BTreeSet<PolicyKey>>,
    /// Groups within one namespace, by their pod selector.
    by_namespace: BTreeMap<NamespaceName, SelectorIndex<GroupId>>,
    /// Groups over namespaces, by their pod selector.
    by_pods: SelectorIndex<GroupId>,
    /// Groups over namespaces that take any pod, by their namespace selector.
    by_scope: SelectorIndex<GroupId>,
}

/// Whether a namespace is in the scope of a selector. Of a namespace whose labels are not known, only the selector
/// that asks for none is sure.
pub(super) fn in_scope(selector: &Selector, namespace: Option<&Namespace>) -> bool {
    selector.is_everything() || namespace.is_some_and(|namespace| selector.matches(&namespace.labels))
}

impl Groups {
    /// Lets a policy use a group; whether nobody did before.
    pub(super) fn hold(&mut self, id: &GroupId, spec: &GroupSpec, policy: &PolicyKey) -> bool {
        link(&mut self.users, id.clone(), policy.clone());
        if self.by_id.contains_key(id) {
            return false;
        }
        match &spec.scope {
            Scope::Namespace(name) => self
                .by_namespace
                .entry(name.clone())
                .or_default()
                .insert(&spec.pods, id),
            Scope::Cluster(scope) if spec.pods.is_everything() => self.by_scope.insert(scope, id),
            Scope::Cluster(_) => self.by_pods.insert(&spec.pods, id),
        }
        self.by_id.insert(
            id.clone(),
            Group {
                spec: spec.clone(),
                members: BTreeMap::new(),
            },
        );
        true
    }

    /// A policy no longer uses a group; whether nobody does.
    pub(super) fn release(&mut self, id: &GroupId, policy: &PolicyKey) -> bool {
        unlink(&mut self.users, id, policy);
        !self.users.contains_key(id)
    }

    /// Removes a group; returns the pods that were in it.
    pub(super) fn remove(&mut self, id: &GroupId) -> BTreeSet<PodUid> {
        let Some(group) = self.by_id.remove(id) else {
            return BTreeSet::new();
        };
        let spec = group.spec;
        match &spec.scope {
            Scope::Namespace(name) => {
                if let Some(index) = self.by_namespace.get_mut(name) {
                    index.remove(&spec.pods, id);
                    if index.is_empty() {
                        self.by_namespace.remove(name);
                    }
                }
            }
            Scope::Cluster(scope) if spec.pods.is_everything() => self.by_scope.remove(scope, id),
            Scope::Cluster(_) => self.by_pods.remove(&spec.pods, id),
        }
        group.members.into_keys().collect()
    }

    /// The groups whose selectors match a class.
    pub(super) fn containing(&self, class: &ClassKey, namespace: Option<&Namespace>) -> BTreeSet<GroupId> {
        let local = self
            .by_namespace
            .get(&class.namespace)
            .into_iter()
            .flat_map(|index| index.candidates(&class.labels));
        let by_pods = self.by_pods.candidates(&class.labels);
        let no_labels = crate::model::Labels::default();
        let scope_labels = namespace.map_or(&no_labels, |namespace| &namespace.labels);
        let by_scope = self.by_scope.candidates(scope_labels);
        let matching = local.chain(by_pods).chain(by_scope).filter(|id| {
            self.by_id.get(*id).is_some_and(|group| {
                let in_scope = match &group.spec.scope {
                    Scope::Namespace(name) => *name == class.namespace,
                    Scope::Cluster(selector) => in_scope(selector, namespace),
                };
                in_scope && group.spec.pods.matches(&class.labels)
            })
        });
        matching.cloned().collect()
    }

    /// A group.
    pub(super) fn get(&self, id: &GroupId) -> Option<&Group> {
        self.by_id.get(id)
    }

    /// All groups.
    pub(super) fn published(&self) -> BTreeMap<GroupId, Group> {
        self.by_id.clone()
    }

    /// Replaces a pod's memberships; returns the groups that have changed by it.
    pub(super) fn move_member(
        &mut self,
        uid: &PodUid,
        old: Option<&BTreeMap<GroupId, Member>>,
        new: Option<&BTreeMap<GroupId, Member>>,
    ) -> BTreeSet<GroupId> {
        let mut changed = BTreeSet::new();
        for (id, _) in old
            .into_iter()
            .flatten()
            .filter(|(id, _)| new.is_none_or(|new| !new.contains_key(id)))
        {
            if let Some(group) = self.by_id.get_mut(id) {
                group.members.remove(uid);
                changed.insert(id.clone());
            }
        }
        for (id, member) in new
            .into_iter()
            .flatten()
            .filter(|(id, member)| old.and_then(|old| old.get(id)) != Some(member))
        {
            if let Some(group) = self.by_id.get_mut(id) {
                group.members.insert(uid.clone(), member.clone());
                changed.insert(id.clone());
            }
        }
        changed
    }
}
