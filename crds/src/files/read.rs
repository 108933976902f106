//! Reads what one node has to enforce: all of it, or an error that says what is missing.

use std::path::{Path, PathBuf};
use std::{fs, io};

use kube::Resource;
use palisade_policy::model::NodeName;
use palisade_policy::rules::NodeId;
use serde::de::DeserializeOwned;
use thiserror::Error;

use super::{pods_path, policies_path, rule_set_path, slice_path};
use crate::rule_set::{AcceptedPods, AcceptedPolicies, AcceptedRules, AcceptedSlice};
use crate::{AddressGroup, DocumentError, NodeRuleSet, PodSlice, PolicySlice, Problem, RuleSet};

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
    /// Something refers to a slice that is not there.
    #[error("a slice is not there: no file {}", path.display())]
    MissingSlice {
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

/// The rule set of `node` in `directory`, with all that it refers to.
pub fn read(directory: &Path, node: &NodeName) -> Result<RuleSet, ReadError> {
    let path = rule_set_path(directory, node);
    let Some(document) = document::<NodeRuleSet>(&path)? else {
        return Err(ReadError::NoRuleSet { path });
    };
    let rules = accept::<_, AcceptedRules>(&path, &document, node.as_str())?;
    let own = NodeId::of(node);
    let residents = rules.unite(|id| -> Result<AcceptedPods, ReadError> {
        let path = pods_path(directory, &own, id);
        slice::<PodSlice, _>(path, &PodSlice::name_of(&own, id))
    })?;
    let selected = residents.select(|namespace, id| -> Result<AcceptedPolicies, ReadError> {
        let path = policies_path(directory, namespace, id);
        slice::<PolicySlice, _>(path, &PolicySlice::name_of(namespace, id))
    })?;
    RuleSet::assemble(selected, |group, id| -> Result<AcceptedSlice, ReadError> {
        let path = slice_path(directory, group, id);
        slice::<AddressGroup, _>(path, &AddressGroup::name_of(group, id))
    })
}

fn slice<D, T>(path: PathBuf, name: &str) -> Result<T, ReadError>
where
    D: Resource + DeserializeOwned,
    T: for<'d> TryFrom<&'d D, Error = DocumentError>,
{
    let Some(document) = document::<D>(&path)? else {
        return Err(ReadError::MissingSlice { path });
    };
    accept(&path, &document, name)
}

/// What a document says, if it is the one of this name.
fn accept<D, T>(path: &Path, document: &D, name: &str) -> Result<T, ReadError>
where
    D: Resource,
    T: for<'d> TryFrom<&'d D, Error = DocumentError>,
{
    let found = document.meta().name.as_deref().unwrap_or_default();
    let accepted = expect_name(found, name).and_then(|()| T::try_from(document));
    accepted.map_err(|source| ReadError::Document {
        path: path.to_owned(),
        source,
    })
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
