//! From the Kubernetes API's objects to the core's types, once, at the boundary.
//!
//! Nothing here fails. What cannot be understood is left out in the way that allows less, and is told as a
//! [`Defect`] with the path of its field: a peer, a port or a block with one bad part does not match anything, a
//! subject that cannot be read is every pod of the namespace, a `policyTypes` that cannot be read isolates both
//! directions. A list that was given never becomes the "all" of a list that was not, however little of it is left.
//!
//! The controller goes on with what it has and reports the defects; for the command line they are errors
//! ([`strict`]).

mod address;
mod broken;
mod document;
mod field;
mod name;
mod object;
mod peer;
mod policy;
mod port;
mod selector;
mod service;
mod survey;
mod workload;

use std::fmt;

use palisade_policy::model::{Defect, Policy};
use thiserror::Error;

pub use broken::broken_policy;
pub use document::policy_document;
pub(crate) use document::{policy_text, typed};
pub(crate) use field::shortened;
pub use name::{is_label, is_subdomain};
pub use object::{excess, namespace, node, pod};
pub use policy::policy;
pub use service::{Endpoints, endpoints, service};
pub(crate) use survey::{Shape, is_known};
pub(crate) use workload::workload_kind;
pub use workload::{MakesPods, Template, owner, workload};

/// An object together with what could not be understood of it and was left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decoded<T> {
    /// The object.
    pub object: T,
    /// What is missing from it.
    pub defects: Vec<Defect>,
}

/// An object that has defects where none are acceptable.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub struct Invalid {
    /// The defects. Never empty.
    pub defects: Vec<Defect>,
}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, defect) in self.defects.iter().enumerate() {
            write!(f, "{}{defect}", if position == 0 { "" } else { "; " })?;
        }
        Ok(())
    }
}

impl<T> Decoded<T> {
    /// The object, if nothing of it was left out.
    pub fn strict(self) -> Result<T, Invalid> {
        if self.defects.is_empty() {
            Ok(self.object)
        } else {
            Err(Invalid {
                defects: self.defects,
            })
        }
    }
}

/// The policy, if nothing of it was left out.
pub fn strict(policy: Policy) -> Result<Policy, Invalid> {
    if policy.defects.is_empty() {
        Ok(policy)
    } else {
        Err(Invalid {
            defects: policy.defects,
        })
    }
}

/// The value, or `None` with the defect put to the others.
fn keep<T>(result: Result<T, Defect>, defects: &mut Vec<Defect>) -> Option<T> {
    result.map_err(|defect| defects.push(defect)).ok()
}
