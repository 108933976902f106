//! Stable identifiers, made from what they identify.
//!
//! An identifier is the first 100 bits of a SHA-256 over a canonical text, in base 32: short enough to read, and
//! long enough that nobody who may write policies can make two selectors share one.

use std::fmt;
use std::sync::Arc;

use sha2::{Digest, Sha256};
use thiserror::Error;

use super::{GroupSpec, Profile, Scope};

/// The characters of an identifier: digits and lowercase letters without `i l o u`, as in Crockford's base 32.
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// Characters of an identifier: 20 × 5 = 100 bits.
const LENGTH: usize = 20;

/// A text that is no identifier.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{text:?} is no identifier: it should be 20 digits and lowercase letters")]
pub struct InvalidId {
    /// The refused text.
    pub text: String,
}

macro_rules! id {
    ($(#[$doc:meta])* $id:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $id(Arc<str>);

        impl $id {
            /// Reads an identifier back.
            pub fn parse(text: &str) -> Result<Self, InvalidId> {
                let valid = text.len() == LENGTH && text.bytes().all(|byte| ALPHABET.contains(&byte));
                valid.then(|| Self(text.into())).ok_or_else(|| InvalidId { text: text.to_owned() })
            }

            /// The identifier as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $id {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $id {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

id!(
    /// Identifies a group by its [`GroupSpec`].
    GroupId
);
id!(
    /// Identifies a profile by its direction, its policies' names and its port names: it stays the same while
    /// the policies' rules change.
    ProfileId
);

impl GroupSpec {
    /// The group's identifier.
    pub fn id(&self) -> GroupId {
        GroupId(digest(&format!("{self:?}")))
    }
}

impl Profile {
    /// The profile's identifier.
    pub fn id(&self) -> ProfileId {
        ProfileId(digest(&format!("{self:?}")))
    }
}

/// The digest of a canonical text. `Debug` of the specs is canonical: it is derived from their structure and
/// quotes every string.
fn digest(text: &str) -> Arc<str> {
    let hash = Sha256::digest(text.as_bytes());
    let bits = hash
        .iter()
        .take(16)
        .fold(0_u128, |bits, byte| bits << 8 | u128::from(*byte));
    let character = |position: usize| {
        let index = (bits >> (123 - 5 * position)) as usize & 31;
        ALPHABET.get(index).map(|&character| char::from(character))
    };
    (0..LENGTH).filter_map(character).collect::<String>().into()
}

impl fmt::Display for GroupSpec {
    /// `pods role=web of namespace shop`, with the port name or the block where there is one.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.pods.is_everything() {
            f.write_str("all pods")?;
        } else {
            write!(f, "pods {}", self.pods)?;
        }
        match &self.scope {
            Scope::Namespace(name) => write!(f, " of namespace {name}")?,
            Scope::Cluster(selector) if selector.is_everything() => f.write_str(" of all namespaces")?,
            Scope::Cluster(selector) => write!(f, " of namespaces {selector}")?,
        }
        if let Some(port) = &self.port {
            write!(f, " that declare port {port}")?;
        }
        if let Some(block) = &self.within {
            write!(f, " within {block}")?;
        }
        Ok(())
    }
}

impl fmt::Display for super::NamedPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.name, self.protocol)
    }
}
