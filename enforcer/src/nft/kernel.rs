//! What the rest of the enforcer may ask of a kernel, so that a test can put something else in its place.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::future::Future;

use thiserror::Error;

use super::diff::Change;
use super::model::{Name, Ruleset, TableKey};

/// A kernel that holds our tables.
pub trait Kernel: Send + Sync {
    /// Reads our tables, all at one generation, and no others.
    fn read(&self) -> impl Future<Output = Result<Loaded, ReadError>> + Send;

    /// Makes a change, whole or not at all, provided that nobody changed any table since `expected`. Returns the
    /// generation that the change made. An empty change sends nothing and returns `expected`.
    fn commit(
        &self,
        change: &Change<'_>,
        expected: Generation,
    ) -> impl Future<Output = Result<Generation, CommitError>> + Send;

    /// What the rules of our chains counted since they were loaded.
    fn counters(&self) -> impl Future<Output = Result<Counters, ReadError>> + Send;

    /// Deletes our tables. Returns those that were there; sends nothing if none was.
    fn delete_tables(&self) -> impl Future<Output = Result<Vec<TableKey>, CommitError>> + Send;
}

/// The number that the kernel gives to the state of all tables of a network namespace; each commit by anybody moves it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Generation(pub u32);

impl Generation {
    /// The generation after one more commit (`nf_tables_commit` skips 0).
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0.checked_add(1).unwrap_or(1))
    }
}

impl fmt::Display for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What was found in the kernel.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Loaded {
    /// The generation that it was read at.
    pub generation: Generation,
    /// Our tables, as far as the model can say what is in them.
    pub ruleset: Ruleset,
    /// What it cannot say. Somebody else put it there.
    pub foreign: BTreeMap<TableKey, Foreign>,
}

/// What is in one of our tables and is none of ours.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Foreign {
    /// Chains of the model with a rule that is not. They are written again.
    pub chains: BTreeSet<Name>,
    /// Objects that the model does not have. They are deleted one by one.
    pub strays: BTreeSet<Stray>,
    /// Anything else, in words. It takes writing the whole table again, in one transaction.
    pub rest: Vec<String>,
}

/// An object that is none of ours.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stray {
    /// A chain.
    Chain(String),
    /// A set or a map.
    Set(String),
    /// A named object that rules may use.
    Object {
        /// Its kind.
        kind: ObjectKind,
        /// Its name.
        name: String,
    },
    /// A flowtable.
    Flowtable(String),
}

/// The kinds of named objects that can be deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ObjectKind {
    /// `counter`
    Counter,
    /// `quota`
    Quota,
    /// `ct helper`
    CtHelper,
    /// `limit`
    Limit,
    /// `secmark`
    Secmark,
}

/// Packets and bytes that met a rule.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// Packets.
    pub packets: u64,
    /// Bytes, from the network header on.
    pub bytes: u64,
}

/// For each chain what its rules counted, in order; `None` for a rule that does not count.
pub type Counters = BTreeMap<TableKey, BTreeMap<String, Vec<Option<Count>>>>;

/// Why the kernel's tables could not be read.
#[derive(Debug, Error)]
pub enum ReadError {
    /// Other processes kept changing the ruleset while it was read.
    #[error("reading the tables: the ruleset changed during each of {attempts} attempts")]
    Unstable {
        /// How often it was tried.
        attempts: usize,
    },
    /// The kernel refused, or said something that cannot be understood.
    #[error("reading {what}: {message}")]
    Netlink {
        /// What was asked for.
        what: String,
        /// What came back.
        message: String,
    },
}

impl ReadError {
    /// A stable word for metrics and conditions.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Unstable { .. } => "Unstable",
            Self::Netlink { .. } => "ReadFailed",
        }
    }
}

/// Why a change did not reach the kernel, or may not have.
#[derive(Debug, Error)]
pub enum CommitError {
    /// Somebody changed a table since the change was planned. Nothing was done; plan again.
    #[error("the ruleset is no longer at generation {expected}")]
    Stale {
        /// The generation that the change was planned against.
        expected: Generation,
    },
    /// The kernel refused an operation, and with it the whole change. Nothing was done.
    #[error("{operation} was refused (errno {errno}): {message}")]
    Refused {
        /// What was attempted, on what.
        operation: String,
        /// What it was attempted on, where the kernel names it.
        object: String,
        /// The kernel's error number.
        errno: i32,
        /// The kernel's words, cut to a readable length.
        message: String,
    },
    /// The kernel did not say what became of the change. Read the tables before anything else.
    #[error("the kernel did not answer: {message}")]
    OutcomeUnknown {
        /// What happened instead.
        message: String,
    },
    /// The change cannot be put into messages. Nothing was done.
    #[error("the change cannot be sent: {message}")]
    Unsendable {
        /// Why.
        message: String,
    },
}

impl CommitError {
    /// A stable word for metrics and conditions.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Stale { .. } => "Stale",
            Self::Refused { .. } => "Refused",
            Self::OutcomeUnknown { .. } => "OutcomeUnknown",
            Self::Unsendable { .. } => "Unsendable",
        }
    }
}
