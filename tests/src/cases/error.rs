//! Why a case cannot be loaded.

use palisade_policy::model::{InvalidPortRange, PodKey};
use thiserror::Error;

use super::addresses::AddressError;

/// A case table that cannot be loaded. Every variant names the file, and the case where there is one.
#[derive(Debug, Error)]
pub enum CaseError {
    /// The file is no case table.
    #[error("{file}: case {case}")]
    Yaml {
        /// The file's name.
        file: &'static str,
        /// The last case that begins before the fault.
        case: String,
        /// What the parser says.
        source: Box<serde_saphyr::Error>,
    },
    /// A case says something that has no meaning.
    #[error("{file}: case {case}")]
    Case {
        /// The file's name.
        file: &'static str,
        /// The case's name.
        case: String,
        /// What is wrong with it.
        source: Problem,
    },
    /// The addresses are not what cases rely on.
    #[error("the addresses do not suit the cases")]
    Addresses(#[from] AddressError),
}

/// What is wrong with a case.
#[derive(Debug, Error)]
pub enum Problem {
    /// Two cases have one name.
    #[error("another case has this name")]
    Repeated,
    /// The name is not made of lowercase words with hyphens.
    #[error("the name is not in kebab-case")]
    Name,
    /// The case does not say what it is a case of.
    #[error("it names neither a row of the semantics nor a pitfall")]
    Unrelated,
    /// A row that the semantics do not have.
    #[error("the semantics have no row {0}")]
    Row(u8),
    /// A phrase that the semantics do not have.
    #[error("the semantics have no pitfall {0:?}")]
    Pitfall(String),
    /// A step without probes.
    #[error("step {0} has no probes")]
    NoProbes(usize),
    /// A probe that cannot be read.
    #[error("probe {line:?}: {what}")]
    Probe {
        /// The probe.
        line: String,
        /// What is wrong with it.
        what: &'static str,
    },
    /// A name that is not `namespace/name`.
    #[error("{0:?} is not namespace/name")]
    Key(String),
    /// An object that is not there.
    #[error("there is no {kind} {name:?}")]
    Unknown {
        /// The kind of object.
        kind: &'static str,
        /// Its name.
        name: String,
    },
    /// A `${…}` that stands for nothing.
    #[error("`${{{0}}}` stands for nothing")]
    Symbol(String),
    /// More pods on one node than a bed has room for.
    #[error("pod {0} finds no free slot on its node")]
    Full(PodKey),
    /// A declared port that is none.
    #[error("{0:?} is no port of the form name/PROTOCOL or number/PROTOCOL")]
    Port(String),
    /// A port number that is none.
    #[error("a declared port is none")]
    PortNumber(#[from] InvalidPortRange),
    /// A policy that is not even the shape of one.
    #[error("policy {name}: the spec is not the shape of a NetworkPolicySpec")]
    Spec {
        /// The policy's name.
        name: String,
        /// What the decoder says.
        source: serde_json::Error,
    },
    /// A field of a policy that the API does not have: a slip, since an unknown field is ignored silently.
    #[error("policy {name}: the API has no field {field}")]
    Field {
        /// The policy's name.
        name: String,
        /// The path of the field.
        field: String,
    },
    /// A policy whose `broken` does not tell the truth.
    #[error("policy {name} is marked broken: {marked}, but its defects are {defects:?}")]
    Broken {
        /// The policy's name.
        name: String,
        /// Whether the case says that it is broken.
        marked: bool,
        /// What the decoder found.
        defects: Vec<String>,
    },
}
