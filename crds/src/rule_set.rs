//! A node's rules together with all that they refer to, put together from single documents.

use std::collections::BTreeMap;
use std::sync::Arc;

use palisade_policy::rules::{GroupId, NodeRules, Slice, SliceId};

use crate::hash::digest;
use crate::{AddressGroup, DocumentError, NodeRuleSet};

/// A node's rules with every slice that they refer to. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleSet {
    /// The rules.
    pub rules: Arc<NodeRules>,
    /// The revision of the document.
    pub revision: u64,
    /// The hash of the document; the slices have their own.
    pub hash: String,
    /// One hash over the document and all of its slices: it tells whether anything at all has changed.
    pub content: String,
    /// The slices that [`NodeRules::groups`] names, no more and no fewer.
    pub slices: BTreeMap<(GroupId, SliceId), Arc<Slice>>,
}

/// A rule set that was accepted, without its slices.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AcceptedRules {
    /// The rules.
    pub rules: Arc<NodeRules>,
    /// The revision of the document.
    pub revision: u64,
    /// The hash of the document.
    pub hash: String,
}

/// A slice that was accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AcceptedSlice {
    /// The slice.
    pub slice: Arc<Slice>,
    /// The hash of the document.
    pub hash: String,
}

impl TryFrom<&NodeRuleSet> for AcceptedRules {
    type Error = DocumentError;

    fn try_from(document: &NodeRuleSet) -> Result<Self, DocumentError> {
        Ok(Self {
            rules: Arc::new(NodeRules::try_from(document)?),
            revision: document.spec.revision,
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

impl RuleSet {
    /// Puts together `rules` and each of the slices that they name, or returns why one of these is not to be had.
    pub fn assemble<E>(
        AcceptedRules {
            rules,
            revision,
            hash,
        }: AcceptedRules,
        mut slice: impl FnMut(&GroupId, SliceId) -> Result<AcceptedSlice, E>,
    ) -> Result<Self, E> {
        let mut slices = BTreeMap::new();
        let mut hashes = vec![hash.clone()];
        for (group, ids) in &rules.groups {
            for &id in ids {
                let accepted = slice(group, id)?;
                hashes.push(accepted.hash);
                slices.insert((group.clone(), id), accepted.slice);
            }
        }
        Ok(Self {
            content: digest(&hashes),
            rules,
            revision,
            hash,
            slices,
        })
    }
}
