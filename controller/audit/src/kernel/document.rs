//! What a node hands out of itself: its tables as the kernel has them, and what it knows of where its pods are.
//!
//! `palisade-enforcer tables` prints one such document. A plain listing of `nft -j` is taken as well; then where pods are is
//! what the tables say of it, and nobody contradicts them.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use palisade_policy::model::PodUid;
use serde::Deserialize;
use thiserror::Error;

use super::read::{self, Listing, Object, Unreadable};
use super::ruleset::{Family, NotUnderstood, Ruleset};
use crate::style::visible;

/// What was read of a node.
#[derive(Debug, Default)]
pub struct NodeTables {
    /// The node's name, where the document says it.
    pub node: Option<String>,
    /// The state of the kernel's tables that was read.
    pub generation: Option<u32>,
    /// The tables.
    pub(crate) ruleset: Ruleset,
    /// What the node itself knows; `None` of a plain listing.
    pub facts: Option<Facts>,
    /// What is in the tables and could not be said in the document.
    pub foreign: Vec<Foreign>,
}

/// What a node knows of its network.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// Where pods are attached.
    pub places: BTreeMap<PodUid, Place>,
    /// The bridges that pods are attached to, and the ports of each that lead elsewhere than to a pod.
    pub uplinks: BTreeMap<String, BTreeSet<String>>,
    /// The node's own addresses.
    pub addresses: BTreeSet<IpAddr>,
}

/// Where a pod is attached.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Place {
    /// The node's end of its veth.
    pub interface: String,
    /// The bridge that this end is a port of; `None` where it is routed.
    pub bridge: Option<String>,
    /// Its addresses.
    pub addresses: BTreeSet<IpAddr>,
}

/// Something in a table that the document cannot show.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
pub struct Foreign {
    /// The table's family.
    pub family: String,
    /// The chain that has such a rule; `None` where it is no rule.
    pub chain: Option<String>,
    /// What it is, in words.
    pub what: String,
}

/// Why a document could not be taken.
#[derive(Debug, Error)]
pub enum InvalidDocument {
    /// It is no JSON, or not of this form.
    #[error("neither a document of palisade-enforcer nor a listing of nft -j")]
    Form(#[source] serde_json::Error),
    /// The tables make no sense.
    #[error(transparent)]
    Tables(#[from] Unreadable),
}

/// Either form: a listing has its objects at the top, a document below `tables`.
#[derive(Deserialize)]
struct Written {
    nftables: Option<Vec<Object>>,
    node: Option<String>,
    generation: Option<u32>,
    tables: Option<Listing>,
    #[serde(flatten)]
    rest: Rest,
}

#[derive(Deserialize)]
struct Rest {
    #[serde(default)]
    places: Option<Vec<WrittenPlace>>,
    #[serde(default)]
    uplinks: BTreeMap<String, BTreeSet<String>>,
    #[serde(default)]
    addresses: BTreeSet<IpAddr>,
    #[serde(default)]
    foreign: Vec<Foreign>,
}

#[derive(Deserialize)]
struct WrittenPlace {
    uid: String,
    #[serde(flatten)]
    place: Place,
}

impl NodeTables {
    /// Reads a document, or a listing.
    pub fn parse(json: &[u8]) -> Result<Self, InvalidDocument> {
        let written: Written = serde_json::from_slice(json).map_err(InvalidDocument::Form)?;
        if let Some(objects) = written.nftables {
            return Ok(Self::listed(read::read(Listing { objects })?)?);
        }
        let Rest {
            places,
            uplinks,
            addresses,
            mut foreign,
        } = written.rest;
        let mut ruleset = read::read(written.tables.unwrap_or_default())?;
        close(&mut ruleset, &foreign);
        foreign.extend(flagged(&ruleset));
        let facts = places.map(|places| Facts {
            places: places
                .into_iter()
                .map(|written| (PodUid::from(written.uid), written.place))
                .collect(),
            uplinks,
            addresses,
        });
        Ok(Self {
            node: written.node,
            generation: written.generation,
            ruleset,
            facts,
            foreign,
        })
    }

    /// What `nft` has listed. An enforcer looks by itself into whether a set grew while it was listed.
    fn listed(ruleset: Ruleset) -> Result<Self, Unreadable> {
        for (family, table) in &ruleset.tables {
            if let Some(set) = table.repeating() {
                let set = visible(set).into_owned();
                return Err(Unreadable::Torn { family: *family, set });
            }
        }
        Ok(Self {
            foreign: flagged(&ruleset).collect(),
            ruleset,
            ..Self::default()
        })
    }
}

/// The tables that have flags.
fn flagged(ruleset: &Ruleset) -> impl Iterator<Item = Foreign> {
    let flagged = ruleset.tables.iter().filter(|(_, table)| table.has_flags);
    flagged.map(|(family, _)| Foreign {
        family: family.to_string(),
        chain: None,
        what: "the table has flags, which nobody of us gives it; one that is dormant filters nothing"
            .to_owned(),
    })
}

/// Of a chain with a rule that the document cannot show, not even the place of that rule is known: nothing can be said of
/// any of its rules.
fn close(ruleset: &mut Ruleset, foreign: &[Foreign]) {
    for found in foreign {
        let family = Family::parse(&found.family);
        let Some(table) = family.and_then(|family| ruleset.tables.get_mut(&family)) else {
            continue;
        };
        let chains = table
            .chains
            .iter_mut()
            .filter(|chain| found.chain.as_ref() == Some(&chain.name));
        for rule in chains.flat_map(|chain| &mut chain.rules) {
            rule.body = Err(NotUnderstood(found.what.clone()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LISTING: &str = r#"{"nftables": [
        {"metainfo": {"json_schema_version": 1}},
        {"table": {"family": "inet", "name": "palisade", "handle": 1}},
        {"table": {"family": "ip", "name": "nat", "handle": 2}},
        {"chain": {"family": "inet", "table": "palisade", "name": "forwarded", "type": "filter", "hook": "forward", "prio": -5, "policy": "accept"}},
        {"rule": {"family": "inet", "table": "palisade", "chain": "forwarded", "handle": 4, "expr": [{"accept": null}]}}
    ]}"#;

    #[test]
    fn a_listing_has_no_facts_and_no_name() {
        let tables = NodeTables::parse(LISTING.as_bytes()).unwrap();
        assert_eq!((tables.node, tables.facts), (None, None));
        assert_eq!((tables.ruleset.tables.len(), tables.ruleset.others), (1, 1));
    }

    #[test]
    fn a_document_has_both_and_closes_chains_that_it_cannot_show() {
        let document = format!(
            r#"{{"node": "a", "generation": 7, "tables": {LISTING}, "addresses": ["192.0.2.1"],
                "places": [{{"uid": "u", "interface": "veth1", "index": 4, "bridge": null, "addresses": ["10.0.0.1"]}}],
                "foreign": [{{"family": "inet", "chain": "forwarded", "what": "a rule of another form"}}]}}"#
        );
        let tables = NodeTables::parse(document.as_bytes()).unwrap();
        assert_eq!((tables.node.as_deref(), tables.generation), (Some("a"), Some(7)));
        let facts = tables.facts.unwrap();
        assert_eq!(facts.places[&PodUid::from("u")].interface, "veth1");
        let chain = &tables.ruleset.tables[&Family::Inet].chains[0];
        assert!(chain.rules[0].body.is_err());
    }

    #[test]
    fn flags_of_a_table_are_foreign() {
        let dormant = LISTING.replace(r#""handle": 1}"#, r#""handle": 1, "flags": "inet"}"#);
        let tables = NodeTables::parse(dormant.as_bytes()).unwrap();
        assert_eq!(tables.foreign.len(), 1);
        let document = format!(r#"{{"node": "a", "tables": {dormant}, "places": []}}"#);
        assert_eq!(NodeTables::parse(document.as_bytes()).unwrap().foreign.len(), 1);
        assert!(NodeTables::parse(LISTING.as_bytes()).unwrap().foreign.is_empty());
    }

    #[test]
    fn a_listing_of_a_set_that_grew_meanwhile_is_refused() {
        let listing = |elements: &str| {
            let set = format!(
                r#"{{"set": {{"family": "inet", "table": "palisade", "name": "peers", "type": "ipv4_addr", "elem": [{elements}]}}}},"#
            );
            let at = LISTING.find(r#"{"chain""#).unwrap();
            format!("{}{set}{}", &LISTING[..at], &LISTING[at..])
        };
        assert!(NodeTables::parse(listing(r#""10.0.0.1", "10.0.0.2""#).as_bytes()).is_ok());
        let torn = NodeTables::parse(listing(r#""10.0.0.1", "10.0.0.2", "10.0.0.1""#).as_bytes());
        match torn.unwrap_err() {
            InvalidDocument::Tables(Unreadable::Torn { set, .. }) => assert_eq!(set, "peers"),
            other => panic!("{other}"),
        }
    }

    #[test]
    fn what_is_neither_is_refused() {
        for text in ["", "[]", "{\"nftables\": 3}", "\u{0}"] {
            assert!(NodeTables::parse(text.as_bytes()).is_err(), "{text:?}");
        }
    }
}
