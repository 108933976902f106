//! The interfaces that tables name and that are no pod's, and what may become of packets by them.
//!
//! Which of a node's interfaces lead out of it is nowhere written. So each one that a rule names is taken for one that does, and
//! must be neither more open nor more closed than any other. Only what the tables themselves take for a pod's may be closed: the
//! enforcer closes the interfaces whose names begin as it was told, in both directions, until it knows the pod behind them.

use std::collections::{BTreeMap, BTreeSet};

use crate::kernel::document::NodeTables;
use crate::kernel::node::{Node, pair};
use crate::kernel::ruleset::{
    Body, Condition, Family, Field, Lookup, Outcome, Part, Rule, SetRef, Table, Verdict,
};

use super::path::Standing;

/// What tables name.
pub(super) struct Names {
    /// Interfaces by a name that stands for them; a pattern by one that it covers.
    all: BTreeSet<String>,
    /// Patterns that are closed in both directions, and the name that stands for each.
    closed: BTreeMap<String, String>,
    /// Interfaces of pods and of bridges of pods.
    own: BTreeSet<String>,
    /// Interfaces that somebody says are a pod's.
    of_pods: BTreeSet<String>,
}

/// A name that a pattern covers.
fn example(stem: &str) -> String {
    format!("{stem}?")
}

impl Names {
    pub(super) fn of(node: &Node<'_>, tables: &NodeTables) -> Self {
        let seats = node
            .residents
            .iter()
            .filter_map(|resident| resident.seat.as_ref());
        let mut own: BTreeSet<String> = seats
            .flat_map(|seat| [seat.forwarding().to_owned(), seat.veth.clone()])
            .collect();
        own.extend(node.facts.uplinks.keys().cloned());
        let places = node.facts.places.values();
        let mut found = Self {
            all: BTreeSet::new(),
            closed: BTreeMap::new(),
            own,
            of_pods: places.map(|place| place.interface.clone()).collect(),
        };
        let of_interfaces = [Family::Inet, Family::Netdev];
        let of_interfaces = of_interfaces
            .iter()
            .filter_map(|family| tables.ruleset.tables.get(family));
        // Where the node tells its interfaces, a chain on one that no pod has is a finding of its own.
        for table in of_interfaces.filter(|_| !node.has_facts) {
            found.believe(table);
        }
        if let Some(table) = tables.ruleset.tables.get(&Family::Inet) {
            found.add(table);
        }
        found
    }

    /// Takes what a table says of interfaces for what is so: nobody contradicts it.
    fn believe(&mut self, table: &Table) {
        let bases = table.chains.iter().filter_map(|chain| chain.base.as_ref());
        self.all
            .extend(bases.filter_map(|base| base.devices.clone()).flatten());
        for set in table.sets.values().filter_map(|set| set.as_ref().ok()) {
            let pairs = set
                .elements
                .iter()
                .filter_map(|element| pair(&set.key, &element.parts));
            self.of_pods
                .extend(pairs.map(|(interface, _)| interface.to_owned()));
        }
    }

    fn add(&mut self, table: &Table) {
        for set in table.sets.values().filter_map(|set| set.as_ref().ok()) {
            set.elements.iter().for_each(|element| self.parts(&element.parts));
        }
        let rules = || table.chains.iter().flat_map(|chain| &chain.rules);
        for body in rules().filter_map(|rule| rule.body.as_ref().ok()) {
            let lookups = body.conditions.iter().filter_map(|condition| match condition {
                Condition::Lookup(lookup) => Some(&lookup.set),
                Condition::OfConnections { .. } => None,
            });
            let map = match &body.outcome {
                Outcome::Mapped { map, .. } => Some(map),
                Outcome::Always(_) => None,
            };
            for set in lookups.chain(map) {
                if let SetRef::Here(set) = set {
                    set.elements.iter().for_each(|element| self.parts(&element.parts));
                }
            }
        }
        let closed = |of: Field| rules().filter_map(move |rule| closed(rule, of)).collect();
        let [inputs, outputs]: [BTreeSet<&str>; 2] = [Field::Input, Field::Output].map(closed);
        let both = inputs.intersection(&outputs);
        self.closed = both.map(|stem| (example(stem), format!("{stem}*"))).collect();
    }

    fn parts(&mut self, parts: &[Part]) {
        self.all.extend(parts.iter().filter_map(|part| match part {
            Part::Interface(name) => Some(name.to_string()),
            Part::Interfaces(stem) => Some(example(stem)),
            Part::Numbers(..) => None,
        }));
    }

    /// The ways out of the node that have a name.
    pub(super) fn outsides(&self) -> impl Iterator<Item = (String, Standing)> {
        let others = self.all.iter().filter(|name| !self.own.contains(*name));
        others.map(|name| {
            let is_unknown = self.closed.contains_key(name) || self.of_pods.contains(name);
            let standing = if is_unknown {
                Standing::Unknown
            } else {
                Standing::Used
            };
            (name.clone(), standing)
        })
    }

    /// Patterns of interfaces that are closed, of which no pod of the node has one: what else they cover is not known here.
    pub(super) fn closed_without_pods(&self) -> impl Iterator<Item = &str> {
        let without = self.closed.values().filter(|pattern| {
            let stem = pattern.trim_end_matches('*');
            let mut own = self.own.iter().chain(&self.of_pods);
            !own.any(|name| name.starts_with(stem))
        });
        without.map(String::as_str)
    }

    /// Names that an interface of a pod may have that nobody knows.
    pub(super) fn unknown(&self) -> impl Iterator<Item = &str> {
        self.closed.keys().map(String::as_str)
    }
}

/// The stem of the interfaces that a rule closes, where it asks for nothing else.
fn closed(rule: &Rule, of: Field) -> Option<&str> {
    let Ok(Body { conditions, outcome }) = &rule.body else {
        return None;
    };
    match (conditions.as_slice(), outcome) {
        (
            [
                Condition::Lookup(Lookup {
                    key,
                    set: SetRef::Here(set),
                    negated: false,
                }),
            ],
            Outcome::Always(Verdict::Drop),
        ) if *key == [of] => match set.elements.as_slice() {
            [only] => match &*only.parts {
                [Part::Interfaces(stem)] => Some(stem),
                _ => None,
            },
            _ => None,
        },
        _ => None,
    }
}
