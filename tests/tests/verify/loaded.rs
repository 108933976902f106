//! Finding things in a ruleset that was read back, to edit them as somebody with `nft` would.

use std::net::IpAddr;

use palisade_enforcer::nft::model::{
    Element, KeyType, Name, Range, Ruleset, Set, Table, TableKey, Value, Verdict, VerdictMap,
};

/// The table that forwarded packets pass.
pub(crate) fn inet(ruleset: &Ruleset) -> &Table {
    &ruleset.tables[&TableKey::Inet]
}

/// The name of the chain of a policy's pods.
pub(crate) fn chain<'t>(table: &'t Table, stem: &str) -> &'t Name {
    table
        .chains
        .keys()
        .find(|name| name.as_str().starts_with(stem))
        .unwrap()
}

/// A set of the chain of a policy's pods.
pub(crate) fn set<'t>(table: &'t Table, stem: &str, suffix: &str) -> (&'t Name, &'t Set) {
    let name = Name::new(format!("{}{suffix}", chain(table, stem))).unwrap();
    let found = table.sets.get_key_value(&name);
    let (name, set) = found.unwrap_or_else(|| panic!("no set {name}"));
    (name, set)
}

/// An element as `nft` takes it.
pub(crate) fn written(element: &Element, key: &[KeyType]) -> String {
    let parts = element.parts(key).unwrap();
    let part = |part: &Range| match (&part.first, &part.last) {
        (Value::Interface(name), _) => format!("\"{name}\""),
        _ => part.to_string(),
    };
    parts.iter().map(part).collect::<Vec<_>>().join(" . ")
}

/// The entry of a map for an address.
pub(crate) fn entry(map: &VerdictMap, address: IpAddr) -> (Element, String, String) {
    let found = map.elements.iter().find(|(element, _)| {
        element
            .parts(&map.key)
            .unwrap()
            .iter()
            .any(|part| part.first == Value::Address(address))
    });
    let (element, entry) = found.unwrap();
    let verdict = match &entry.verdict {
        Verdict::Accept => "accept".to_owned(),
        Verdict::Drop => "drop".to_owned(),
        Verdict::Goto(chain) => format!("goto {chain}"),
        other => panic!("{other:?}"),
    };
    (element.clone(), written(element, &map.key), verdict)
}

pub(crate) fn named<'m>(table: &'m Table, map: &str) -> &'m VerdictMap {
    &table.maps[&Name::new(map).unwrap()]
}
