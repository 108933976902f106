//! Reads what one node has to enforce: all of it, or an error that says what is missing.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::{fs, io};

use palisade_policy::model::NodeName;
use palisade_policy::rules::{GroupId, NodeRules, Slice, SliceId};
use serde::de::DeserializeOwned;
use thiserror::Error;

use super::{rule_set_path, slice_path};
use crate::hash::digest;
use crate::{AddressGroup, DocumentError, NodeRuleSet, Problem};

/// A node's rules with every slice that they refer to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleSet {
    /// The rules.
    pub rules: NodeRules,
    /// The revision of the document.
    pub revision: u64,
    /// The hash of the document; the slices have their own.
    pub hash: String,
    /// One hash over the document and all of its slices: it tells whether anything at all has changed.
    pub content: String,
    /// The slices that [`NodeRules::groups`] names, no more and no fewer.
    pub slices: BTreeMap<(GroupId, SliceId), Slice>,
}

/// Why there is no rule set to enforce. What is enforced already should stay.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ReadError {
    /// There is no rule set of the node.
    #[error("there is no rule set {}", path.display())]
    NoRuleSet {
        /// Where it should be.
        path: PathBuf,
    },
    /// The rule set names a slice that is not there.
    #[error("slice {slice} of group {group} is not there: no file {}", path.display())]
    MissingSlice {
        /// The group.
        group: GroupId,
        /// The slice.
        slice: SliceId,
        /// Where it should be.
        path: PathBuf,
    },
    /// The file system refused.
    #[error("cannot read {}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file is not JSON of the right shape.
    #[error("cannot decode {}", path.display())]
    Decode {
        /// The file.
        path: PathBuf,
        /// Why.
        source: serde_json::Error,
    },
    /// The document is refused.
    #[error("{} is not what a controller publishes", path.display())]
    Document {
        /// The file.
        path: PathBuf,
        /// Why.
        source: DocumentError,
    },
}

impl ReadError {
    /// A stable label for metrics and events.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::NoRuleSet { .. } => "NoRuleSet",
            Self::MissingSlice { .. } => "MissingSlice",
            Self::Io { .. } => "Unreadable",
            Self::Decode { .. } => "Undecodable",
            Self::Document { source, .. } => source.problem.reason(),
        }
    }
}

/// The rule set of `node` in `directory`, with its slices.
pub fn read(directory: &Path, node: &NodeName) -> Result<RuleSet, ReadError> {
    let path = rule_set_path(directory, node);
    let Some(document) = document::<NodeRuleSet>(&path)? else {
        return Err(ReadError::NoRuleSet { path });
    };
    let rules = NodeRules::try_from(&document).and_then(|rules| {
        expect_name(rules.node.as_str(), node.as_str())?;
        Ok(rules)
    });
    let rules = rules.map_err(|source| ReadError::Document { path, source })?;

    let mut slices = BTreeMap::new();
    let mut hashes = vec![document.spec.hash.clone()];
    for (group, ids) in &rules.groups {
        for &id in ids {
            let (hash, slice) = slice(directory, group, id)?;
            hashes.push(hash);
            slices.insert((group.clone(), id), slice);
        }
    }
    Ok(RuleSet {
        content: digest(&hashes),
        rules,
        revision: document.spec.revision,
        hash: document.spec.hash,
        slices,
    })
}

/// A slice and its hash.
fn slice(directory: &Path, group: &GroupId, id: SliceId) -> Result<(String, Slice), ReadError> {
    let path = slice_path(directory, group, id);
    let Some(document) = document::<AddressGroup>(&path)? else {
        return Err(ReadError::MissingSlice {
            group: group.clone(),
            slice: id,
            path,
        });
    };
    let slice = Slice::try_from(&document).and_then(|slice| {
        expect_name(
            &AddressGroup::name_of(&slice.group, slice.id),
            &AddressGroup::name_of(group, id),
        )?;
        Ok((document.spec.hash.clone(), slice))
    });
    slice.map_err(|source| ReadError::Document { path, source })
}

/// A document of another name under this one's file is some mistake of a copy.
fn expect_name(found: &str, expected: &str) -> Result<(), DocumentError> {
    if found == expected {
        return Ok(());
    }
    let problem = Problem::Name {
        found: found.to_owned(),
        expected: expected.to_owned(),
    };
    Err(DocumentError {
        field: "metadata.name".to_owned(),
        problem,
    })
}

fn document<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, ReadError> {
    let text = match fs::read(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => {
            return Err(ReadError::Io {
                path: path.to_owned(),
                source,
            });
        }
    };
    serde_json::from_slice(&text)
        .map(Some)
        .map_err(|source| ReadError::Decode {
            path: path.to_owned(),
            source,
        })
}
