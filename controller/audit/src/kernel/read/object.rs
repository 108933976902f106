//! The objects of a listing, as `serde` sees them. What is not one of these is somebody else's matter.

use serde::Deserialize;
use serde::de::IgnoredAny;

use super::value::{Raw, RawType};

/// What `nft -j list` prints.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct Listing {
    /// Its objects, in order.
    #[serde(rename = "nftables")]
    pub(crate) objects: Vec<Object>,
}

/// One object: at most one of the fields is there.
#[derive(Debug, Deserialize)]
pub(crate) struct Object {
    pub(super) table: Option<Table>,
    pub(super) chain: Option<Chain>,
    pub(super) rule: Option<Rule>,
    pub(super) set: Option<Set>,
    pub(super) map: Option<Map>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Table {
    pub(super) family: String,
    pub(super) name: String,
    pub(super) flags: Option<IgnoredAny>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Chain {
    pub(super) family: String,
    pub(super) table: String,
    pub(super) name: String,
    #[serde(rename = "type")]
    pub(super) kind: Option<String>,
    pub(super) hook: Option<String>,
    pub(super) prio: Option<i64>,
    pub(super) policy: Option<String>,
    pub(super) dev: Option<Devices>,
}

/// One device, or in later versions of `nft` several.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum Devices {
    One(String),
    Many(Vec<String>),
}

impl Devices {
    pub(super) fn names(self) -> Vec<String> {
        match self {
            Self::One(name) => vec![name],
            Self::Many(names) => names,
        }
    }
}

#[derive(Debug, Deserialize)]
pub(super) struct Rule {
    pub(super) family: String,
    pub(super) table: String,
    pub(super) chain: String,
    pub(super) handle: Option<u64>,
    pub(super) comment: Option<String>,
    pub(super) expr: Vec<serde_json::Value>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Set {
    pub(super) family: String,
    pub(super) table: String,
    pub(super) name: String,
    #[serde(rename = "type")]
    pub(super) key: RawType,
    #[serde(default)]
    pub(super) flags: Flags,
    #[serde(default)]
    pub(super) elem: Vec<Raw>,
}

/// One flag, or several.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum Flags {
    One(String),
    Many(Vec<String>),
}

impl Default for Flags {
    fn default() -> Self {
        Self::Many(Vec::new())
    }
}

impl Flags {
    pub(super) fn names(&self) -> Vec<String> {
        match self {
            Self::One(name) => vec![name.clone()],
            Self::Many(names) => names.clone(),
        }
    }
}

#[derive(Debug, Deserialize)]
pub(super) struct Map {
    #[serde(flatten)]
    pub(super) set: Set,
    /// The type of its values.
    #[serde(rename = "map")]
    pub(super) data: String,
}
