//! `palisade-enforcer tables`: what the kernel has and what the node knows, as one document for whoever checks this node.
//!
//! Everything in it was read just now, from the kernel and from the CNI: nothing of what the enforcer planned or was told by
//! the API. `palisade policy-audit verify` compares it with the API's objects. The form is this module's; the reader has
//! types of its own, and a test holds the two together.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use palisade_policy::model::NodeName;
use serde::Serialize;
use serde_json::Value;

use crate::facts::Observed;
use crate::nft::model::TableKey;
use crate::nft::{Foreign, Loaded, Stray, json};
use crate::plan::Place;

/// One document.
#[derive(Debug, Serialize)]
pub struct Tables {
    /// The node.
    node: String,
    /// The state of the kernel's tables that was read.
    generation: u32,
    /// Our tables as `nft -j list table` prints them.
    #[serde(rename = "tables")]
    listing: Value,
    /// Where pods are attached.
    places: Vec<PlaceOfPod>,
    /// The bridges that pods are attached to, and the ports of each that lead elsewhere than to a pod.
    uplinks: BTreeMap<String, BTreeSet<String>>,
    /// The node's own addresses.
    addresses: BTreeSet<IpAddr>,
    /// What is in our tables and cannot be shown in `tables`: somebody else put it there.
    foreign: Vec<ForeignObject>,
}

#[derive(Debug, Serialize)]
struct PlaceOfPod {
    uid: String,
    interface: String,
    index: u32,
    bridge: Option<String>,
    addresses: BTreeSet<IpAddr>,
}

#[derive(Debug, Serialize)]
struct ForeignObject {
    family: &'static str,
    /// The chain that has a rule that cannot be shown; of the chain's rules only the others are.
    chain: Option<String>,
    what: String,
}

impl Tables {
    /// Puts together what was read.
    pub fn new(node: &NodeName, loaded: &Loaded, observed: &Observed) -> Result<Self, serde_json::Error> {
        let places = observed.places.iter().map(|(uid, place)| {
            let Place {
                interface,
                index,
                bridge,
                addresses,
            } = place;
            PlaceOfPod {
                uid: uid.to_string(),
                interface: interface.to_string(),
                index: *index,
                bridge: bridge.as_ref().map(ToString::to_string),
                addresses: addresses.clone(),
            }
        });
        // A bridge is one of pods by its ports or by its address; whoever reads this knows the pod networks from the API.
        let uplinks = observed.bridges.iter().map(|(name, bridge)| {
            let ports = bridge.uplinks.iter().map(ToString::to_string);
            (name.to_string(), ports.collect())
        });
        let foreign = loaded.foreign.iter();
        Ok(Self {
            node: node.to_string(),
            generation: loaded.generation.0,
            listing: json::render(&loaded.ruleset)?,
            places: places.collect(),
            uplinks: uplinks.collect(),
            addresses: observed.addresses.clone(),
            foreign: foreign
                .flat_map(|(table, found)| foreign_objects(*table, found))
                .collect(),
        })
    }
}

fn foreign_objects(table: TableKey, found: &Foreign) -> Vec<ForeignObject> {
    let object = |chain, what| ForeignObject {
        family: table.family(),
        chain,
        what,
    };
    let chains = found.chains.iter().map(|chain| {
        object(
            Some(chain.to_string()),
            "a rule of a form that the enforcer never writes".to_owned(),
        )
    });
    let strays = found.strays.iter().map(|stray| {
        object(
            None,
            match stray {
                Stray::Chain(name) => format!("chain {name}, with all of its rules"),
                Stray::Set(name) => format!("set {name}"),
                Stray::Object { name, .. } => format!("object {name}"),
                Stray::Flowtable(name) => format!("flowtable {name}"),
            },
        )
    });
    let rest = found.rest.iter().map(|what| object(None, what.clone()));
    chains.chain(strays).chain(rest).collect()
}
