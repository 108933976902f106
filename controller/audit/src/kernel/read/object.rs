//! The objects of a listing, as `serde` sees them. What is not one of these is somebody else's matter.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, Error as _, IgnoredAny, MapAccess, Visitor};

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
    pub(super) map: Option<Set>,
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

/// A set, or a map.
#[derive(Debug)]
pub(super) struct Set {
    pub(super) family: String,
    pub(super) table: String,
    pub(super) name: String,
    pub(super) key: RawType,
    pub(super) flags: Flags,
    pub(super) elem: Vec<Raw>,
    /// The type of a map's values, in words.
    pub(super) data: Option<String>,
    /// Something that it has and that may change what it holds, by its name.
    pub(super) unknown: Option<String>,
}

impl<'de> Deserialize<'de> for Set {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(SetVisitor)
    }
}

struct SetVisitor;

impl<'de> Visitor<'de> for SetVisitor {
    type Value = Set;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a set of nftables")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Set, A::Error> {
        let (mut family, mut table, mut name, mut key) = (None, None, None, None);
        let mut flags = Flags::default();
        let mut elem = Vec::new();
        let (mut data, mut unknown) = (None, None);
        while let Some(field) = map.next_key::<String>()? {
            match field.as_str() {
                "family" => family = Some(map.next_value()?),
                "table" => table = Some(map.next_value()?),
                "name" => name = Some(map.next_value()?),
                "type" => key = Some(map.next_value()?),
                "flags" => flags = map.next_value()?,
                "elem" => elem = map.next_value()?,
                "map" => {
                    let of: serde_json::Value = map.next_value()?;
                    data = Some(of.as_str().map_or_else(|| of.to_string(), str::to_owned));
                }
                // How it is kept, and what is told of it.
                "handle" | "comment" | "size" | "policy" | "gc-interval" | "auto-merge" => {
                    map.next_value::<IgnoredAny>()?;
                }
                "stmt" => {
                    let statements: serde_json::Value = map.next_value()?;
                    if !statements.as_array().is_some_and(|all| all.iter().all(counts)) {
                        unknown = Some(field);
                    }
                }
                _ => {
                    map.next_value::<IgnoredAny>()?;
                    unknown = Some(field);
                }
            }
        }
        let missing = A::Error::missing_field;
        Ok(Set {
            family: family.ok_or_else(|| missing("family"))?,
            table: table.ok_or_else(|| missing("table"))?,
            name: name.ok_or_else(|| missing("name"))?,
            key: key.ok_or_else(|| missing("type"))?,
            flags,
            elem,
            data,
            unknown,
        })
    }
}

/// Whether a statement counts, and does nothing else.
fn counts(statement: &serde_json::Value) -> bool {
    let fields = statement.as_object();
    fields.is_some_and(|fields| fields.keys().all(|name| name == "counter"))
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
