//! Reads what one node has to enforce: all of it, or an error that says what is missing.

use std::path::{Path, PathBuf};
use std::{fs, io};

use palisade_policy::model::NodeName;
use palisade_policy::rules::{GroupId, SliceId};
use serde::de::DeserializeOwned;
use thiserror::Error;

use super::{rule_set_path, slice_path};
use crate::rule_set::{AcceptedRules, AcceptedSlice};
use crate::{AddressGroup, DocumentError, NodeRuleSet, Problem, RuleSet};

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
    let rules = AcceptedRules::try_from(&document).and_then(|accepted| {
        expect_name(accepted.rules.node.as_str(), node.as_str())?;
        Ok(accepted)
    });
    let rules = rules.map_err(|source| ReadError::Document { path, source })?;
    RuleSet::assemble(rules, |group, id| slice(directory, group, id))
}

fn slice(directory: &Path, group: &GroupId, id: SliceId) -> Result<AcceptedSlice, ReadError> {
    let path = slice_path(directory, group, id);
    let Some(document) = document::<AddressGroup>(&path)? else {
        return Err(ReadError::MissingSlice {
            group: group.clone(),
            slice: id,
            path,
        });
    };
    let slice = AcceptedSlice::try_from(&document).and_then(|accepted| {
        expect_name(
            &AddressGroup::name_of(&accepted.slice.group, accepted.slice.id),
            &AddressGroup::name_of(group, id),
        )?;
        Ok(accepted)
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
