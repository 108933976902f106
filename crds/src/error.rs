//! Why a document is refused.

use palisade_policy::model::{Direction, InvalidIpBlock, InvalidPortRange};
use palisade_policy::rules::{InvalidId, InvalidSliceId};
use thiserror::Error;

/// A document that is not what the controller publishes. Nothing of it may be used.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{field}: {problem}")]
pub struct DocumentError {
    /// The field, as a path from the object's root: `spec.policies[2].ingress[0].ports`.
    pub field: String,
    /// What is wrong with it.
    #[source]
    pub problem: Problem,
}

/// What can be wrong with a field of a document.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Problem {
    /// A required text is empty or absent.
    #[error("is missing")]
    Missing,
    /// The object's name is not the one that its content calls for.
    #[error("is {found:?} but the content is that of {expected:?}")]
    Name {
        /// The name that it has.
        found: String,
        /// The name that it should have.
        expected: String,
    },
    /// Not a group identifier.
    #[error(transparent)]
    Id(#[from] InvalidId),
    /// Not a slice identifier.
    #[error(transparent)]
    Slice(#[from] InvalidSliceId),
    /// Not `namespace/name`.
    #[error("{text:?} is not a namespace and a name")]
    Key {
        /// The refused text.
        text: String,
    },
    /// Not an address.
    #[error("{text:?} is no IP address")]
    Address {
        /// The refused text.
        text: String,
    },
    /// Not an address block.
    #[error("{text:?} is no CIDR")]
    Cidr {
        /// The refused text.
        text: String,
    },
    /// An except outside its block.
    #[error(transparent)]
    Except(#[from] InvalidIpBlock),
    /// A protocol that policies do not know.
    #[error("{text:?} is no protocol: it should be TCP, UDP or SCTP")]
    Protocol {
        /// The refused text.
        text: String,
    },
    /// An operator that selectors do not know.
    #[error("{text:?} is no operator: it should be In, NotIn, Exists or DoesNotExist")]
    Operator {
        /// The refused text.
        text: String,
    },
    /// A policy of another namespace.
    #[error("policy {policy} is not in namespace {namespace}")]
    Namespace {
        /// The policy.
        policy: String,
        /// The namespace of the slice.
        namespace: String,
    },
    /// A number that is no port.
    #[error("{number} is no port: it should be 1 to 65535")]
    Port {
        /// The refused number.
        number: u32,
    },
    /// A port range that ends before it begins.
    #[error(transparent)]
    Range(#[from] InvalidPortRange),
    /// The same key twice.
    #[error("{text:?} is there twice")]
    Duplicate {
        /// The key that repeats.
        text: String,
    },
    /// A list that must have entries has none.
    #[error("is empty")]
    Empty,
    /// Something that has a meaning in the other direction only.
    #[error("has no place among {direction} rules")]
    DirectionMismatch {
        /// The direction that it is used for.
        direction: Direction,
    },
    /// Two fields that exclude each other.
    #[error("excludes {other}")]
    Contradiction {
        /// The field that it cannot stand beside.
        other: &'static str,
    },
    /// The hash is not that of the content: the document was edited, cut, or is of another version.
    #[error("is {found}, but that of the content is {expected}")]
    Hash {
        /// The hash that the document gives.
        found: String,
        /// The hash of what it says.
        expected: String,
    },
}

impl Problem {
    /// A stable label for metrics and events.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Missing => "Missing",
            Self::Name { .. } => "WrongName",
            Self::Id(_) => "InvalidId",
            Self::Slice(_) => "InvalidSlice",
            Self::Key { .. } => "InvalidKey",
            Self::Address { .. } => "InvalidAddress",
            Self::Cidr { .. } => "InvalidCidr",
            Self::Except(_) => "ExceptOutsideCidr",
            Self::Protocol { .. } => "UnknownProtocol",
            Self::Operator { .. } => "UnknownOperator",
            Self::Namespace { .. } => "WrongNamespace",
            Self::Port { .. } => "InvalidPort",
            Self::Range(_) => "InvalidPortRange",
            Self::Duplicate { .. } => "Duplicate",
            Self::Empty => "Empty",
            Self::DirectionMismatch { .. } => "DirectionMismatch",
            Self::Contradiction { .. } => "Contradiction",
            Self::Hash { .. } => "HashMismatch",
        }
    }
}

/// Puts the field to what is wrong with it.
pub(crate) trait InField<T> {
    /// The value, or the problem together with its `field`.
    fn in_field(self, field: impl FnOnce() -> String) -> Result<T, DocumentError>;
}

impl<T, P: Into<Problem>> InField<T> for Result<T, P> {
    fn in_field(self, field: impl FnOnce() -> String) -> Result<T, DocumentError> {
        self.map_err(|problem| DocumentError {
            field: field(),
            problem: problem.into(),
        })
    }
}
