//! What a node has to enforce, put together from single documents.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use palisade_policy::assemble::{Assembler, SlicesByNamespace};
use palisade_policy::model::NamespaceName;
use palisade_policy::rules::{
    GroupId, NodeHead, NodeRules, PodSlice as Pods, PolicySlice as Policies, Residents, Slice, SliceId,
};

use crate::hash::digest;
use crate::{AddressGroup, DocumentError, NodeRuleSet, PodSlice, PolicySlice, Slices};

/// A rule set that was accepted, without anything that it refers to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AcceptedRules {
    /// What it says of the node, with its pods where they fit.
    pub head: Arc<NodeHead>,
    /// The revision of the document.
    pub revision: u64,
    /// The hash of the document.
    pub hash: String,
}

/// A slice of a node's pods that was accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AcceptedPods {
    /// The slice.
    pub slice: Arc<Pods>,
    /// The hash of the document.
    pub hash: String,
}

/// All pods of a node, without the policies that select them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AcceptedResidents {
    /// The node's pods.
    pub residents: Arc<Residents>,
    /// The revision of the rule set.
    pub revision: u64,
    /// The hash of the rule set; where that is split, one over it and all of its slices.
    pub hash: String,
}

/// A slice of policies that was accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AcceptedPolicies {
    /// The slice.
    pub slice: Arc<Policies>,
    /// The hash of the document.
    pub hash: String,
}

/// A slice of a group that was accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AcceptedSlice {
    /// The slice.
    pub slice: Arc<Slice>,
    /// The hash of the document.
    pub hash: String,
}

/// A node's pods with the policies that select them, without the members of groups. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selected {
    /// The rules.
    pub rules: Arc<NodeRules>,
    /// The revision of the rule set.
    pub revision: u64,
    /// The hash of the rule set, as in [`AcceptedResidents`].
    pub hash: String,
    /// One hash over all slices of policies.
    pub policies: String,
}

/// Everything that a node has to enforce. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleSet {
    /// The rules.
    pub rules: Arc<NodeRules>,
    /// The revision of the rule set.
    pub revision: u64,
    /// The hash of the rule set, as in [`AcceptedResidents`]; the slices of policies and groups have their own.
    pub hash: String,
    /// One hash over all slices of policies.
    pub policies: String,
    /// One hash over all documents: it tells whether anything at all has changed.
    pub content: String,
    /// The slices of the groups that the rules name, no more and no fewer.
    pub slices: Slices,
}

impl TryFrom<&NodeRuleSet> for AcceptedRules {
    type Error = DocumentError;

    fn try_from(document: &NodeRuleSet) -> Result<Self, DocumentError> {
        Ok(Self {
            head: Arc::new(NodeHead::try_from(document)?),
            revision: document.spec.revision,
            hash: document.spec.hash.clone(),
        })
    }
}

impl TryFrom<&PodSlice> for AcceptedPods {
    type Error = DocumentError;

    fn try_from(document: &PodSlice) -> Result<Self, DocumentError> {
        Ok(Self {
            slice: Arc::new(Pods::try_from(document)?),
            hash: document.spec.hash.clone(),
        })
    }
}

impl TryFrom<&PolicySlice> for AcceptedPolicies {
    type Error = DocumentError;

    fn try_from(document: &PolicySlice) -> Result<Self, DocumentError> {
        Ok(Self {
            slice: Arc::new(Policies::try_from(document)?),
            hash: document.spec.hash.clone(),
        })
    }
}

impl TryFrom<&AddressGroup> for AcceptedSlice {
    type Error = DocumentError;

    fn try_from(document: &AddressGroup) -> Result<Self, DocumentError> {
        Ok(Self {
            slice: Arc::new(Slice::try_from(document)?),
            hash: document.spec.hash.clone(),
        })
    }
}

impl AcceptedRules {
    /// Puts together the pods of the node, or returns why one of the slices is not to be had. None is asked for where the pods
    /// are in the rule set itself.
    pub fn unite<E>(
        &self,
        mut slice: impl FnMut(SliceId) -> Result<AcceptedPods, E>,
    ) -> Result<AcceptedResidents, E> {
        let (mut slices, mut hashes) = (Vec::new(), vec![self.hash.clone()]);
        walk(|id| {
            if id == SliceId::WHOLE {
                return Ok(self.head.pods.split);
            }
            let AcceptedPods { slice, hash } = slice(id)?;
            let split = slice.split;
            hashes.push(hash);
            slices.push(slice);
            Ok(split)
        })?;
        let whole = Residents::unite(&self.head, slices.iter().map(AsRef::as_ref));
        Ok(AcceptedResidents {
            residents: Arc::new(whole),
            revision: self.revision,
            hash: if slices.is_empty() {
                self.hash.clone()
            } else {
                digest(&hashes)
            },
        })
    }
}

impl AcceptedResidents {
    /// Finds out which policies select the node's pods, or returns why one of the slices is not to be had.
    pub fn select<E>(
        &self,
        slice: impl FnMut(&NamespaceName, SliceId) -> Result<AcceptedPolicies, E>,
    ) -> Result<Selected, E> {
        self.select_again(&mut Selection::default(), slice)
    }

    /// The same, where `selection` has found it out before for other rules.
    pub fn select_again<E>(
        &self,
        selection: &mut Selection,
        mut slice: impl FnMut(&NamespaceName, SliceId) -> Result<AcceptedPolicies, E>,
    ) -> Result<Selected, E> {
        let used = &self.residents.namespaces;
        selection.slices.retain(|name, _| used.contains(name));
        selection.hashes.retain(|name, _| used.contains(name));
        for namespace in used {
            if selection.slices.contains_key(namespace) {
                continue;
            }
            let (mut slices, mut hashes) = (Vec::new(), Vec::new());
            walk(|id| {
                let AcceptedPolicies { slice, hash } = slice(namespace, id)?;
                let split = slice.split;
                hashes.push(hash);
                slices.push(slice);
                Ok(split)
            })?;
            selection.hashes.insert(namespace.clone(), digest(&hashes));
            selection.slices.insert(namespace.clone(), slices.into());
        }
        let hashes: Vec<&String> = selection.hashes.values().collect();
        Ok(Selected {
            rules: Arc::new(selection.assembler.assemble(&self.residents, &selection.slices)),
            revision: self.revision,
            hash: self.hash.clone(),
            policies: digest(&hashes),
        })
    }
}

/// What was found out about the policies of a node's namespaces, to be brought to the next rules.
#[derive(Debug, Default)]
pub struct Selection {
    assembler: Assembler,
    /// The namespaces whose slices are as they were.
    slices: SlicesByNamespace,
    /// One hash over the slices of each.
    hashes: BTreeMap<NamespaceName, String>,
}

impl Selection {
    /// Slices of a namespace have changed, or may have.
    pub fn forget(&mut self, namespace: &NamespaceName) {
        self.slices.remove(namespace);
        self.hashes.remove(namespace);
    }

    /// Those of any may have.
    pub fn forget_all(&mut self) {
        self.slices.clear();
        self.hashes.clear();
    }
}

impl RuleSet {
    /// Puts together `selected` and the members of its groups, or returns why one of the slices is not to be had.
    pub fn assemble<E>(
        selected: Selected,
        mut slice: impl FnMut(&GroupId, SliceId) -> Result<AcceptedSlice, E>,
    ) -> Result<Self, E> {
        let mut slices = Vec::new();
        for group in &selected.rules.groups {
            let tree = tree(group, &mut slice)?;
            slices.extend(tree.into_iter().map(|(id, slice)| ((*group, id), slice)));
        }
        Ok(Self::of(selected, slices.into_iter().collect()))
    }

    /// The same of what is other now: other rules, and `changed` groups, some of which may be in use. Where a slice is not to be had,
    /// nothing has changed.
    pub fn update<E>(
        &mut self,
        selected: Selected,
        changed: &BTreeSet<GroupId>,
        mut slice: impl FnMut(&GroupId, SliceId) -> Result<AcceptedSlice, E>,
    ) -> Result<(), E> {
        let used = &selected.rules.groups;
        let mut trees: BTreeMap<GroupId, Vec<(SliceId, AcceptedSlice)>> = BTreeMap::new();
        for group in changed.intersection(used) {
            trees.insert(*group, tree(group, &mut slice)?);
        }
        if !Arc::ptr_eq(&self.rules, &selected.rules) {
            for group in used.difference(&self.rules.groups) {
                trees.insert(*group, tree(group, &mut slice)?);
            }
            let gone = self.rules.groups.difference(used);
            trees.extend(gone.map(|group| (*group, Vec::new())));
        }
        let mut slices = self.slices.clone();
        slices.replace(trees);
        *self = Self::of(selected, slices);
        Ok(())
    }

    fn of(selected: Selected, slices: Slices) -> Self {
        let Selected {
            rules,
            revision,
            hash,
            policies,
        } = selected;
        Self {
            content: digest(&[&hash, &policies, &slices.hash()]),
            rules,
            revision,
            hash,
            policies,
            slices,
        }
    }
}

/// The slices of a group.
fn tree<E>(
    group: &GroupId,
    slice: &mut impl FnMut(&GroupId, SliceId) -> Result<AcceptedSlice, E>,
) -> Result<Vec<(SliceId, AcceptedSlice)>, E> {
    let mut slices = Vec::new();
    walk(|id| {
        let accepted = slice(group, id)?;
        let split = accepted.slice.split;
        slices.push((id, accepted));
        Ok(split)
    })?;
    Ok(slices)
}

/// Visits the slices of a tree, the first one and the halves of each that says that it is split: what is not visited belongs to
/// nothing, whatever it says.
pub fn walk<E>(mut is_split: impl FnMut(SliceId) -> Result<bool, E>) -> Result<(), E> {
    let mut open = vec![SliceId::WHOLE];
    while let Some(slice) = open.pop() {
        if is_split(slice)? {
            open.extend(slice.halves());
        }
    }
    Ok(())
}
