//! The kernel's tables beside the API's objects: every packet that they treat differently.
//!
//! ```text
//!   tables ─► walk ─────┐
//!                       ├─► for each pod, side and stretch of addresses: what must pass, what may, what does
//!   API ───► Expected ──┘
//! ```
//! Both sides are functions of the address at the other end, so the comparison is exact: where neither changes, one stretch
//! stands for all of its addresses.
//!
//! Some things are closed or open whatever policies say, and are taken as the node means them: neighbour discovery passes; an
//! address of the node's pod networks that no pod has is closed; between bridged pods link-local addresses are closed; a pod
//! sends from its own addresses. What the node itself sends or receives is not forwarded and not compared.

mod path;
mod relation;
mod source;
mod stale;
mod witness;

use std::collections::BTreeSet;

use palisade_policy::cluster::ClusterState;
use palisade_policy::model::NodeName;

use super::difference::{Compared, Finding, NodeReport};
use super::document::NodeTables;
use super::expected::Expected;
use super::node::{Node, Source};
use super::ruleset::{Condition, Family, Hook, Part, SetRef, Table};
use super::walk::Walker;
use path::Paths;

/// How many differences are followed up; more of them are counted.
const FOLLOWED: usize = 2_000;

/// Compares what a node's kernel does with what the API says.
pub(crate) fn verify(
    state: &ClusterState,
    expected: &mut Expected<'_>,
    name: &NodeName,
    tables: &NodeTables,
) -> NodeReport {
    let node = Node::new(state, name, tables);
    let mut comparison = Comparison {
        state,
        tables,
        paths: Paths::new(&node, tables),
        walker: Walker::new(&tables.ruleset),
        expected,
        node,
        findings: Vec::new(),
        untold: 0,
        compared: Compared::default(),
    };
    let notes = comparison.notes();
    comparison.unplaced();
    comparison.relation();
    comparison.sources();
    comparison.floods();
    comparison.stale();
    let foreign = tables.foreign.iter().cloned().map(Finding::Foreign);
    comparison.findings.extend(foreign);
    let Comparison {
        findings,
        untold,
        mut compared,
        node,
        ..
    } = comparison;
    compared.pods = node.residents.len();
    NodeReport {
        node: node.name,
        generation: tables.generation,
        findings,
        untold,
        notes,
        compared,
    }
}

struct Comparison<'a, 'e> {
    state: &'a ClusterState,
    tables: &'a NodeTables,
    node: Node<'a>,
    paths: Paths,
    walker: Walker<'a>,
    expected: &'a mut Expected<'e>,
    findings: Vec<Finding>,
    untold: usize,
    compared: Compared,
}

impl Comparison<'_, '_> {
    /// Pods that the API names and nobody else knows.
    fn unplaced(&mut self) {
        let unplaced = self
            .node
            .residents
            .iter()
            .filter(|resident| resident.seat.is_none());
        let known = unplaced.filter(|resident| !resident.addresses.is_empty());
        self.findings.extend(known.map(|resident| Finding::Unplaced {
            pod: resident.pod.key.clone(),
            addresses: resident.addresses.clone(),
        }));
    }

    fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        let residents = &self.node.residents;
        let waiting = residents
            .iter()
            .filter(|resident| resident.addresses.is_empty())
            .count();
        if waiting > 0 {
            notes.push(format!(
                "{waiting} pods have no address of their own yet: nothing of them was compared"
            ));
        }
        if self.node.has_facts {
            let believed = |resident: &&super::node::Resident<'_>| {
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
        if !self.devices_are_known() {
            notes.push(
                "this listing does not say which interfaces netdev chains are on: sources were not compared"
                    .to_owned(),
            );
        }
        notes
    }

    /// How many source ports rules name in order to drop what comes from them.
    fn ended_flows(&self) -> usize {
        let inet = self.tables.ruleset.tables.get(&Family::Inet);
        let count = |table: &Table| {
            let rules = table.chains.iter().flat_map(|chain| &chain.rules);
            let conditions = rules
                .filter_map(|rule| rule.body.as_ref().ok())
                .flat_map(|body| &body.conditions);
            let sets = conditions.filter_map(|condition| match condition {
                Condition::Lookup(lookup) if lookup.asks_for_source_port() => match &lookup.set {
                    SetRef::Here(set) => Some(set),
                    SetRef::Named(name) => table.sets.get(name)?.as_ref().ok(),
                },
                Condition::Lookup(_) | Condition::OfNewConnections(_) => None,
            });
            sets.map(|set| set.elements.len()).sum::<usize>()
        };
        inet.map_or(0, count)
    }

    /// Whether the chains of the netdev table say where they are.
    fn devices_are_known(&self) -> bool {
        let netdev = self.tables.ruleset.tables.get(&Family::Netdev);
        let chains = netdev.into_iter().flat_map(|table| &table.chains);
        let mut bases = chains
            .filter_map(|chain| chain.base.as_ref())
            .filter(|base| base.hook == Hook::Ingress);
        bases.all(|base| base.devices.is_some())
    }
}

/// An interface that nothing in the tables names, as one would be that leads out of the node.
pub(super) const ELSEWHERE: &str = "?elsewhere";

/// The interfaces that the tables for forwarded packets name; a pattern stands for a name that it covers.
fn named(tables: &NodeTables) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    let Some(table) = tables.ruleset.tables.get(&Family::Inet) else {
        return names;
    };
    let mut add = |parts: &[Part]| {
        names.extend(parts.iter().filter_map(|part| match part {
            Part::Interface(name) => Some(name.to_string()),
            Part::Interfaces(stem) => Some(format!("{stem}?")),
            Part::Numbers(..) => None,
        }));
    };
    for set in table.sets.values().filter_map(|set| set.as_ref().ok()) {
        set.elements.iter().for_each(|element| add(&element.parts));
    }
    let rules = table.chains.iter().flat_map(|chain| &chain.rules);
    for body in rules.filter_map(|rule| rule.body.as_ref().ok()) {
        for condition in &body.conditions {
            if let Condition::Lookup(lookup) = condition
                && let SetRef::Here(set) = &lookup.set
            {
                set.elements.iter().for_each(|element| add(&element.parts));
            }
        }
    }
    names
}
