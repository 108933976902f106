//! What is worth knowing of a comparison and no difference.

use std::net::IpAddr;

use palisade_policy::model::PodKey;

use super::Comparison;
use crate::kernel::node::{Resident, Source};
use crate::kernel::ruleset::{Condition, End, Family, Hook, SetRef, Table};
use crate::style::visible;

/// How many of a list are named.
const NAMED: usize = 3;

impl Comparison<'_, '_> {
    pub(super) fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        let residents = &self.node.residents;
        let waiting = residents
            .iter()
            .filter(|resident| resident.judged().next().is_none());
        let waiting = waiting.count();
        if waiting > 0 {
            notes.push(format!(
                "{waiting} pods have no address of their own yet: nothing of them was compared"
            ));
        }
        notes.extend(self.of_addresses());
        if self.node.has_facts {
            let believed = |resident: &&Resident<'_>| {
                resident
                    .seat
                    .as_ref()
                    .is_some_and(|seat| seat.source == Source::Tables)
            };
            let believed = residents.iter().filter(believed).count();
            if believed > 0 {
                notes.push(format!(
                    "of {believed} pods the node does not say where they are: the tables are believed"
                ));
            }
        } else {
            notes.push("the tables alone say which interface is whose: they are believed".to_owned());
        }
        if self.tables.ruleset.tables.is_empty() {
            notes.push("there is no table named palisade: nothing is enforced".to_owned());
        }
        if self.tables.ruleset.others > 0 {
            notes.push(format!(
                "{} tables of others were left out",
                self.tables.ruleset.others
            ));
        }
        let ended = self.ended_flows();
        if ended > 0 {
            notes.push(format!(
                "{ended} flows with single source ports are dropped: they were ended, and new connections are not concerned"
            ));
        }
        let closed: Vec<String> = self
            .names
            .closed_without_pods()
            .map(|name| visible(name).into_owned())
            .collect();
        if !closed.is_empty() {
            notes.push(format!(
                "interfaces named {} are closed in both directions, as those of pods that are not known; no pod of this node has \
                 such a one: if one of them leads out of the node, nothing passes by it",
                closed.join(", ")
            ));
        }
        if !self.tells_devices() {
            notes.push(
                "this listing does not say which interfaces netdev chains are on: sources were not compared"
                    .to_owned(),
            );
        }
        notes
    }

    /// Addresses of pods that the node and the API do not both know.
    fn of_addresses(&self) -> Vec<String> {
        let named = |found: &[(&PodKey, IpAddr)]| {
            let words = found
                .iter()
                .take(NAMED)
                .map(|(pod, address)| format!("{address} ({pod})"));
            let mut words: Vec<String> = words.collect();
            if found.len() > NAMED {
                words.push(format!("{} more", found.len() - NAMED));
            }
            words.join(", ")
        };
        let (mut unreported, mut others) = (Vec::new(), Vec::new());
        for resident in &self.node.residents {
            let pod = &resident.pod.key;
            unreported.extend(resident.unreported.iter().map(|address| (pod, *address)));
            let given = resident.seat.iter().flat_map(|seat| &seat.addresses);
            let given = given.filter(|address| !resident.judged().any(|own| own == **address));
            others.extend(given.map(|address| (pod, *address)));
        }
        let mut notes = Vec::new();
        if !unreported.is_empty() {
            notes.push(format!(
                "the node knows addresses of pods that the API does not have: {}; they were judged by the pods' policies",
                named(&unreported)
            ));
        }
        if !others.is_empty() {
            notes.push(format!(
                "the node gives pods addresses that the API gives to others, or that two claim: {}; they were not judged as theirs",
                named(&others)
            ));
        }
        notes
    }

    /// How many single flows rules name in order to drop them.
    fn ended_flows(&self) -> usize {
        let inet = self.tables.ruleset.tables.get(&Family::Inet);
        let count = |table: &Table| {
            let rules = table.chains.iter().flat_map(|chain| &chain.rules);
            let conditions = rules
                .filter_map(|rule| rule.body.as_ref().ok())
                .flat_map(|body| &body.conditions);
            let sets = conditions.filter_map(|condition| match condition {
                Condition::Lookup(lookup) => {
                    let set = match &lookup.set {
                        SetRef::Here(set) => set,
                        SetRef::Named(name) => table.sets.get(name)?.as_ref().ok()?,
                    };
                    lookup.is_of_ended_flows(set, End::Source).then_some(set)
                }
                Condition::OfConnections { .. } => None,
            });
            sets.map(|set| set.elements.len()).sum::<usize>()
        };
        inet.map_or(0, count)
    }

    /// Whether the listing is one that tells which interfaces chains are on. Some versions of `nft` never do.
    pub(super) fn tells_devices(&self) -> bool {
        let netdev = self.tables.ruleset.tables.get(&Family::Netdev);
        let chains = netdev.into_iter().flat_map(|table| &table.chains);
        let mut bases = chains
            .filter_map(|chain| chain.base.as_ref())
            .filter(|base| base.hook == Hook::Ingress)
            .peekable();
        let is_listing = self.tables.node.is_none() && !self.node.has_facts;
        !is_listing || bases.peek().is_none() || bases.any(|base| base.devices.is_some())
    }
}
