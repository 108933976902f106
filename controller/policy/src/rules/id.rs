//! Stable identifiers, made from what they identify.
//!
//! An identifier is the first 100 bits of a SHA-256 over bytes that say what it stands for, in base 32: short enough to read, and
//! long enough that nobody who may write policies can make two selectors share one.

use std::cmp::Ordering;
use std::fmt;

use sha2::{Digest, Sha256};
use thiserror::Error;

use super::canonical::Canonical;
use super::{GroupSpec, Profile, Scope};
use crate::model::NodeName;

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

/// Numbers in the order of the characters: two compares in place of a call, when a hundred thousand are sorted.
fn order(characters: &[u8; LENGTH]) -> (u128, u32) {
    let first = characters
        .first_chunk()
        .map_or(0, |bytes| u128::from_be_bytes(*bytes));
    let last = characters
        .last_chunk()
        .map_or(0, |bytes| u32::from_be_bytes(*bytes));
    (first, last)
}

macro_rules! id {
    ($(#[$doc:meta])* $id:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash)]
        pub struct $id([u8; LENGTH]);

        impl Ord for $id {
            fn cmp(&self, other: &Self) -> Ordering {
                order(&self.0).cmp(&order(&other.0))
            }
        }

        impl PartialOrd for $id {
            fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
                Some(self.cmp(other))
            }
        }

        impl $id {
            /// Reads an identifier back.
            pub fn parse(text: &str) -> Result<Self, InvalidId> {
                let invalid = || InvalidId { text: text.to_owned() };
                let characters = <[u8; LENGTH]>::try_from(text.as_bytes()).map_err(|_| invalid())?;
                let valid = characters.iter().all(|byte| ALPHABET.contains(byte));
                valid.then_some(Self(characters)).ok_or_else(invalid)
            }

            /// The identifier as text.
            pub fn as_str(&self) -> &str {
                // The characters of the alphabet are always text.
                std::str::from_utf8(&self.0).unwrap_or_default()
            }
        }

        impl fmt::Display for $id {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl fmt::Debug for $id {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

id!(
    /// Identifies a group by its [`GroupSpec`].
    GroupId
);
id!(
    /// Stands for a node where its name, of up to 253 characters, is too long.
    NodeId
);
id!(
    /// Identifies a profile by its direction, its policies' names and its port names: it stays the same while
    /// the policies' rules change.
    ProfileId
);

impl GroupSpec {
    /// The group's identifier.
    pub fn id(&self) -> GroupId {
        GroupId(digest(&Canonical::of_group(self)))
    }
}

impl NodeId {
    /// The identifier of a node.
    pub fn of(node: &NodeName) -> Self {
        Self(digest(node.as_str().as_bytes()))
    }
}

impl Profile {
    /// The profile's identifier.
    pub fn id(&self) -> ProfileId {
        ProfileId(digest(&Canonical::of_profile(self)))
    }
}

fn digest(bytes: &[u8]) -> [u8; LENGTH] {
    let digest = Sha256::digest(bytes);
    let bits = digest
        .iter()
        .take(16)
        .fold(0_u128, |bits, byte| bits << 8 | u128::from(*byte));
    let mut characters = [b'0'; LENGTH];
    for (position, place) in characters.iter_mut().enumerate() {
        let index = (bits >> (123 - 5 * position)) as usize & 31;
        *place = ALPHABET.get(index).copied().unwrap_or_default();
    }
    characters
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
