//! Where a node's rules come from.

mod files;

use std::time::Instant;

use palisade_crds::files::{ReadError, RuleSet};
use thiserror::Error;

use crate::watch::WatchError;

pub use files::Files;

/// A source of rule sets. The API server will be another.
pub enum Source {
    /// A directory of the documents that the API would hold.
    Files(Files),
}

/// What a source says: the newest rule set whole, or why there is none.
#[derive(Debug)]
pub struct Delivery {
    /// When the first sign of it was seen.
    pub received: Instant,
    /// The rule set. After an error, the one that was delivered before stays in force.
    pub rules: Result<RuleSet, Incomplete>,
}

/// Why there is no rule set to enforce.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum Incomplete {
    /// The directory has none, or has it in part.
    #[error(transparent)]
    Files(#[from] ReadError),
}

impl Incomplete {
    /// A stable word for metrics and conditions.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Files(error) => error.reason(),
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
            Self::Files(files) => files.next().await,
        }
    }
}
