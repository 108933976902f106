//! A ruleset as `nft -j list table` prints it (nftables 1.0.6), without handles and counts.
//!
//! People read it (`--dry-run`, `show`), snapshots hold it, `nft --check -j -f -` takes it, and a test that lists what
//! was loaded by netlink compares it with this. The types are those of the `nftables` crate; what it cannot express,
//! a map of verdicts (upstream issue 237), is a type of our own.

mod element;
mod listing;
mod rule;

use nftables::schema::Table as NftTable;
use nftables::schema::{
    Chain as NftChain, NfListObject, Rule as NftRule, Set as NftSet, SetFlag, SetType, SetTypeValue,
};
use nftables::types::{NfChainPolicy, NfChainType, NfFamily, NfHook};
use serde::Serialize;
use serde_json::{Value, json};

pub use listing::normalise;

use super::model::{Chain, Comment, Hook, KeyType, Name, Rule, Ruleset, Set, TableKey, VerdictMap};

/// The ruleset as one nft JSON document: for each table the table, its chains, sets, maps and rules.
///
/// Comments on tables and chains are part of it, as later versions of `nft` list them; 1.0.6 takes and ignores them.
pub fn render(ruleset: &Ruleset) -> Result<Value, serde_json::Error> {
    let mut objects = Vec::new();
    for (&key, table) in &ruleset.tables {
        let family = family(key);
        let object = NftTable {
            family,
            name: TableKey::NAME.into(),
            handle: None,
        };
        objects.push(commented(NfListObject::Table(object), table.comment.as_ref())?);
        for (name, new) in &table.chains {
            objects.push(commented(
                NfListObject::Chain(chain(family, name, new)),
                new.comment.as_ref(),
            )?);
        }
        for (name, new) in &table.sets {
            objects.push(serde_json::to_value(NfListObject::Set(Box::new(set(
                family, name, new,
            ))))?);
        }
        for (name, new) in &table.maps {
            objects.push(json!({ "map": map(family, name, new) }));
        }
        for (name, new) in &table.chains {
            for new in &new.rules {
                objects.push(serde_json::to_value(NfListObject::Rule(rule(key, name, new)))?);
            }
        }
    }
    Ok(json!({ "nftables": objects }))
}

fn commented(object: NfListObject<'_>, comment: Option<&Comment>) -> Result<Value, serde_json::Error> {
    let mut value = serde_json::to_value(object)?;
    let fields = value
        .as_object_mut()
        .and_then(|object| object.values_mut().next())
        .and_then(Value::as_object_mut);
    if let (Some(fields), Some(comment)) = (fields, comment) {
        fields.insert("comment".into(), comment.as_str().into());
    }
    Ok(value)
}

fn family(table: TableKey) -> NfFamily {
    match table {
        TableKey::Inet => NfFamily::INet,
        TableKey::Netdev => NfFamily::NetDev,
        TableKey::Bridge => NfFamily::Bridge,
    }
}

fn chain<'a>(family: NfFamily, name: &'a Name, chain: &'a Chain) -> NftChain<'a> {
    let mut object = NftChain {
        family,
        table: TableKey::NAME.into(),
        name: name.as_str().into(),
        ..NftChain::default()
    };
    if let Some(hook) = &chain.hook {
        object._type = Some(NfChainType::Filter);
        object.prio = Some(hook.priority());
        object.policy = Some(NfChainPolicy::Accept);
        object.hook = Some(match hook {
            Hook::Forward { .. } => NfHook::Forward,
            Hook::Prerouting { .. } => NfHook::Prerouting,
            Hook::Postrouting { .. } => NfHook::Postrouting,
            Hook::Ingress { device, .. } => {
                object.dev = Some(device.as_str().into());
                NfHook::Ingress
            }
        });
    }
    object
}

fn rule<'a>(table: TableKey, chain: &'a Name, rule: &'a Rule) -> NftRule<'a> {
    NftRule {
        family: family(table),
        table: TableKey::NAME.into(),
        chain: chain.as_str().into(),
        expr: rule::statements(table, rule).into(),
        comment: rule.comment.as_ref().map(|comment| comment.as_str().into()),
        ..NftRule::default()
    }
}

fn set<'a>(family: NfFamily, name: &'a Name, set: &'a Set) -> NftSet<'a> {
    let elements: Vec<_> = set
        .elements
        .iter()
        .map(|found| element::expression(&set.key, found))
        .collect();
    NftSet {
        family,
        table: TableKey::NAME.into(),
        name: name.as_str().into(),
        set_type: key_type(&set.key),
        flags: set.interval.then(|| [SetFlag::Interval].into()),
        elem: (!elements.is_empty()).then(|| elements.into()),
        comment: set.comment.as_ref().map(|comment| comment.as_str().into()),
        ..NftSet::default()
    }
}

/// A map of verdicts as `nft` lists it.
#[derive(Serialize)]
struct NftVerdictMap<'a> {
    family: NfFamily,
    table: &'static str,
    name: &'a str,
    #[serde(rename = "type")]
    key: SetTypeValue<'static>,
    map: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    elem: Option<Vec<(Value, Value)>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    comment: Option<&'a str>,
}

fn map<'a>(family: NfFamily, name: &'a Name, map: &'a VerdictMap) -> NftVerdictMap<'a> {
    let entries: Vec<_> = map
        .elements
        .iter()
        .map(|(key, entry)| element::entry(&map.key, key, entry))
        .collect();
    NftVerdictMap {
        family,
        table: TableKey::NAME,
        name: name.as_str(),
        key: key_type(&map.key),
        map: "verdict",
        elem: (!entries.is_empty()).then_some(entries),
        comment: map.comment.as_ref().map(Comment::as_str),
    }
}

fn key_type(key: &[KeyType]) -> SetTypeValue<'static> {
    let part = |kind: &KeyType| match kind {
        KeyType::InterfaceName => SetType::Ifname,
        KeyType::Ipv4Address => SetType::Ipv4Addr,
        KeyType::Ipv6Address => SetType::Ipv6Addr,
        KeyType::Protocol => SetType::InetProto,
        KeyType::Port => SetType::InetService,
    };
    match key {
        [only] => SetTypeValue::Single(part(only)),
        parts => SetTypeValue::Concatenated(parts.iter().map(part).collect()),
    }
}
