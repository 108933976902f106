//! Groups: who uses them, who is in them.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use super::class::{ClassKey, ClassNumber};
use super::pod::PodNumber;
use super::slots::{Slots, add, take};
use crate::index::{ScopedIndex, SelectorIndex};
use crate::map::Map;
use crate::model::{Namespace, NamespaceName, Selector, Sorted};
use crate::rules::{
    Cut, GroupId, GroupSpec, Member, NamedPort, Resident, SLICE_CAPACITY, Scope, Slice, SliceId, Trie,
    description, member_weight,
};

/// Stands for a group.
pub(super) type GroupNumber = u32;

/// A pod in a group. The order is that of the members of a slice.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct FiledMember {
    pub(super) member: Arc<Member>,
    pub(super) pod: PodNumber,
}

/// A group that some policy uses.
#[derive(Clone, Debug)]
pub(super) struct GroupRecord {
    pub(super) id: GroupId,
    pub(super) spec: Arc<GroupSpec>,
    /// The policies that use it.
    users: usize,
    /// The classes that it matches, in the order of their numbers.
    pub(super) classes: Vec<ClassNumber>,
    pub(super) members: Trie<FiledMember>,
}

/// All groups that some policy uses.
#[derive(Clone, Debug, Default)]
pub(super) struct Groups {
    all: Slots<GroupRecord>,
    by_spec: Map<Arc<GroupSpec>, GroupNumber>,
    by_id: Map<GroupId, GroupNumber>,
    /// Groups within one namespace, by their pod selector.
    by_namespace: Map<NamespaceName, SelectorIndex<GroupNumber>>,
    /// Groups over namespaces, by their namespace selector and their pod selector.
    by_scope: ScopedIndex<GroupNumber>,
    /// Groups that are new or whose members have changed.
    touched: BTreeSet<GroupNumber>,
}

/// Whether a namespace is in the scope of a selector. Of a namespace whose labels are not known, only the selector
/// that asks for none is sure.
pub(super) fn in_scope(selector: &Selector, namespace: Option<&Namespace>) -> bool {
    selector.is_everything() || namespace.is_some_and(|namespace| selector.matches(&namespace.labels))
}

/// A pod as a member of a group whose selectors match it; `None` where none of its addresses, or no port, belongs.
///
/// `plain` is what it is in groups that ask for no more.
fn member(pod: &Resident, plain: Option<&Arc<Member>>, spec: &GroupSpec) -> Option<Arc<Member>> {
    let plain = plain?;
    if spec.port.is_none() && spec.within.is_none() {
        return Some(plain.clone());
    }
    let within = |address: &&IpAddr| spec.within.as_ref().is_none_or(|block| block.contains(**address));
    let ports = |name: &NamedPort| pod.ports.get(name).cloned();
    let member = Member {
        pod: pod.key.clone(),
        addresses: pod.addresses.iter().filter(within).copied().collect(),
        ports: spec.port.as_ref().map_or(Some(Sorted::default()), ports)?,
    };
    (!member.addresses.is_empty()).then(|| Arc::new(member))
}

/// A pod, as groups see it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Candidate<'a> {
    pub(super) number: PodNumber,
    /// The hash of its UID, which tells into which slices it goes.
    pub(super) hash: u32,
    pub(super) resident: &'a Resident,
    /// What it is in most groups; `None` where it has no address.
    pub(super) plain: Option<&'a Arc<Member>>,
}

impl Groups {
    pub(super) fn get(&self, number: GroupNumber) -> Option<&GroupRecord> {
        self.all.get(number)
    }

    pub(super) fn by_id(&self, id: &GroupId) -> Option<&GroupRecord> {
        self.get(*self.by_id.get(id)?)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &GroupRecord> {
        self.all.iter()
    }

    /// The group of a spec. Where there is none it is made, without users; `fresh` is told.
    pub(super) fn enter(&mut self, spec: GroupSpec, fresh: &mut Vec<GroupNumber>) -> (GroupId, GroupNumber) {
        if let Some(number) = self.by_spec.get(&spec)
            && let Some(group) = self.all.get(*number)
        {
            return (group.id, *number);
        }
        let (id, spec) = (spec.id(), Arc::new(spec));
        let number = self.all.insert(GroupRecord {
            id,
            spec: spec.clone(),
            users: 0,
            classes: Vec::new(),
            members: Trie::new(SLICE_CAPACITY),
        });
        match &spec.scope {
            Scope::Namespace(name) => {
                let index = self.by_namespace.entry(name.clone()).or_default();
                index.insert(&spec.pods, &number);
            }
            Scope::Cluster(scope) => self.by_scope.insert(scope, &spec.pods, &number),
        }
        self.by_spec.insert(spec, number);
        self.by_id.insert(id, number);
        self.touched.insert(number);
        fresh.push(number);
        (id, number)
    }

    /// One policy more uses a group.
    pub(super) fn hold(&mut self, number: GroupNumber) {
        if let Some(group) = self.all.get_mut(number) {
            group.users += 1;
        }
    }

    /// One policy less uses a group; whether none is left.
    pub(super) fn release(&mut self, number: GroupNumber) -> bool {
        let Some(group) = self.all.get_mut(number) else {
            return false;
        };
        group.users = group.users.saturating_sub(1);
        group.users == 0
    }

    /// Removes a group that nobody uses.
    pub(super) fn retire(&mut self, number: GroupNumber) -> Option<GroupRecord> {
        if self.get(number)?.users > 0 {
            return None;
        }
        let group = self.all.remove(number)?;
        let spec = &group.spec;
        match &spec.scope {
            Scope::Namespace(name) => {
                if let Some(index) = self.by_namespace.get_mut(name) {
                    index.remove(&spec.pods, &number);
                    if index.is_empty() {
                        self.by_namespace.remove(name);
                    }
                }
            }
            Scope::Cluster(scope) => self.by_scope.remove(scope, &spec.pods, &number),
        }
        self.by_spec.remove(spec);
        self.by_id.remove(&group.id);
        self.touched.remove(&number);
        Some(group)
    }

    /// The groups whose selectors match a class, in the order of their numbers.
    pub(super) fn containing(
        &self,
        class: &ClassKey,
        namespaces: &BTreeMap<NamespaceName, Namespace>,
    ) -> Vec<GroupNumber> {
        // Where no group looks beyond its namespace nobody asks what a namespace is like.
        let reaching = Some(&self.by_scope).filter(|index| !index.is_empty());
        let namespace = reaching.and_then(|_| namespaces.get(&class.namespace));
        let local = self.by_namespace.get(&class.namespace).into_iter();
        let local = local.flat_map(|index| index.candidates(&class.labels));
        let labels = namespace.map(|namespace| &namespace.labels);
        let by_scope = self.by_scope.candidates(labels, &class.labels);
        let matches = |number: &&GroupNumber| {
            self.get(**number).is_some_and(|group| {
                let in_scope = match &group.spec.scope {
                    Scope::Namespace(name) => *name == class.namespace,
                    Scope::Cluster(selector) => in_scope(selector, namespace),
                };
                in_scope && group.spec.pods.matches(&class.labels)
            })
        };
        let mut containing: Vec<GroupNumber> = local.chain(by_scope).filter(matches).copied().collect();
        containing.sort_unstable();
        containing.dedup();
        containing.shrink_to_fit();
        containing
    }

    /// A group matches a class, or no longer.
    pub(super) fn set_class(&mut self, number: GroupNumber, class: ClassNumber, matches: bool) {
        if let Some(group) = self.all.get_mut(number) {
            if matches {
                add(&mut group.classes, class);
            } else {
                take(&mut group.classes, class);
            }
        }
    }

    /// A pod of a class that a group matches was this and is that; `None` where it was or is no pod of such a class.
    pub(super) fn turn(
        &mut self,
        number: GroupNumber,
        was: Option<Candidate<'_>>,
        is: Option<Candidate<'_>>,
    ) {
        let Some(group) = self.all.get_mut(number) else {
            return;
        };
        let member = |pod: &Candidate<'_>| member(pod.resident, pod.plain, &group.spec);
        let [before, after] = [was, is].map(|pod| pod.and_then(|pod| Some((pod, member(&pod)?))));
        if before.as_ref().map(|(_, member)| member) == after.as_ref().map(|(_, member)| member) {
            return;
        }
        if let Some((pod, member)) = before {
            let filed = FiledMember {
                member,
                pod: pod.number,
            };
            group.members.remove(pod.hash, &filed);
        }
        if let Some((pod, member)) = after {
            let filed = FiledMember {
                member,
                pod: pod.number,
            };
            group
                .members
                .insert(pod.hash, member_weight(&filed.member), filed);
        }
        self.touched.insert(number);
    }

    /// The slices that have changed, under the names of their groups.
    pub(super) fn take_changes(&mut self) -> Vec<((GroupId, SliceId), Option<Slice>)> {
        let mut changes = Vec::new();
        for number in std::mem::take(&mut self.touched) {
            let Some(group) = self.all.get_mut(number) else {
                continue;
            };
            let cuts = group
                .members
                .take_changes(|one, other| one.member == other.member);
            changes.reserve(cuts.len());
            for (id, cut) in cuts {
                changes.push(((group.id, id), group.slice(id, cut)));
            }
        }
        changes
    }
}

impl GroupRecord {
    fn slice(&self, id: SliceId, cut: Cut<FiledMember>) -> Option<Slice> {
        let (split, filed) = cut.open()?;
        Some(Slice {
            group: self.id,
            id,
            description: description(&self.spec),
            split,
            members: filed.into_iter().map(|filed| filed.member).collect(),
        })
    }
}
