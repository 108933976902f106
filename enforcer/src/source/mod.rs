//! Where a node's rules come from.

mod api;
mod client;
mod files;

use std::time::{Instant, SystemTime};

use palisade_crds::RuleSet;
use palisade_crds::files::ReadError;
use thiserror::Error;

use crate::watch::WatchError;

pub use api::{Api, ApiError, Failures, fetch};
pub(crate) use api::{Backoff, UNREACHABLE, spread};
pub use client::{ClientError, client, client_with};
pub use files::Files;

/// A source of rule sets.
pub enum Source {
    /// The API server.
    Api(Box<Api>),
    /// A directory of the documents that the API would hold.
    Files(Box<Files>),
}

/// What a source says: the newest rule set whole, or why there is none.
#[derive(Debug)]
pub struct Delivery {
    /// When the first sign of it was seen.
    pub received: Instant,
    /// When the controller wrote what is new, by its clock; `None` where it does not say, or where it was not seen to
    /// change.
    pub published: Option<SystemTime>,
    /// The object of the rule set, whether it can be enforced or not.
    pub document: Option<Document>,
    /// The rule set. After an error, the one that was delivered before stays in force.
    pub rules: Result<RuleSet, Incomplete>,
}

/// An object of a rule set at the API server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Document {
    /// The revision, if that can be read.
    pub revision: Option<u64>,
    /// The generation that the API server gives it.
    pub generation: Option<i64>,
    /// When the controller wrote it, if it was seen to change.
    pub published: Option<SystemTime>,
}

/// Why there is no rule set to enforce.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum Incomplete {
    /// The directory has none, or has it in part.
    #[error(transparent)]
    Files(#[from] ReadError),
    /// The API server has none, or has it in part, or does not say.
    #[error(transparent)]
    Api(#[from] ApiError),
}

impl Incomplete {
    /// A stable word for metrics and conditions.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Files(error) => error.reason(),
            Self::Api(error) => error.reason(),
        }
    }
}

/// A source that has ended, and will not tell of changes any more.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SourceError {
    /// The directory cannot be watched.
    #[error("the rules cannot be followed")]
    Watch(#[from] WatchError),
    /// A task that reads did not finish.
    #[error("the task that reads the rules has failed")]
    Task(#[from] tokio::task::JoinError),
}

impl Source {
    /// The next delivery: the state at the start, then whenever it may have changed.
    pub async fn next(&mut self) -> Result<Delivery, SourceError> {
        match self {
            Self::Api(api) => api.next().await,
            Self::Files(files) => files.next().await,
        }
    }
}
