//! From what is loaded to what should be: the operations of one transaction, or of a few ([`Change::stages`]).
//!
//! ```text
//!   flush chains that change or go      nothing refers to what goes any more
//!   remove entries and elements
//!   delete maps, sets, chains           names are free again
//!   create sets, maps, chains           names are there to refer to
//!   add elements, rules, entries
//! ```
//! The kernel applies a transaction as a whole, so no packet sees a step of it; the order is what the kernel accepts.
//! An object whose kind, key, hook or comment differs cannot be changed in place: it is deleted and created, and every
//! chain and entry that refers to it is written again.

mod change;
mod stages;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

pub use change::{Change, Counts, Operation};

use super::kernel::{Foreign, Loaded, Stray};
use super::model::{
    Chain, Element, MapEntry, Match, Name, Rule, Ruleset, Set, Table, TableKey, Verdict, VerdictMap,
};

/// What turns `loaded` into `desired`, which must pass [`Ruleset::check`].
pub fn diff<'a>(loaded: &'a Ruleset, desired: &'a Ruleset) -> Change<'a> {
    static NONE: BTreeMap<TableKey, Foreign> = BTreeMap::new();
    compare(loaded, &NONE, desired)
}

/// What turns a kernel's tables into `desired`, whatever anybody else did to them.
pub fn repair<'a>(loaded: &'a Loaded, desired: &'a Ruleset) -> Change<'a> {
    compare(&loaded.ruleset, &loaded.foreign, desired)
}

/// Deletes every table of `loaded` and creates those of `desired`: the last resort when changes keep being refused.
pub fn rebuild<'a>(loaded: &Ruleset, desired: &'a Ruleset) -> Change<'a> {
    let mut operations: Vec<_> = loaded
        .tables
        .keys()
        .map(|&table| Operation::DeleteTable { table })
        .collect();
    for (&key, table) in &desired.tables {
        create_table(key, table, &mut operations);
    }
    Change { operations }
}

static NO_TABLE: Table = Table {
    comment: None,
    chains: BTreeMap::new(),
    sets: BTreeMap::new(),
    maps: BTreeMap::new(),
};

static NOT_FOREIGN: Foreign = Foreign {
    chains: BTreeSet::new(),
    strays: BTreeSet::new(),
    rest: Vec::new(),
};

/// Whether what others put into a table can be taken out of it piece by piece: not if it has a name that is needed.
fn is_repairable(foreign: &Foreign, new: &Table) -> bool {
    let is_in_the_way = |stray: &Stray| match stray {
        Stray::Chain(name) => new.chains.keys().any(|needed| needed.as_str() == name),
        Stray::Set(name) => new
            .sets
            .keys()
            .chain(new.maps.keys())
            .any(|needed| needed.as_str() == name),
        Stray::Object { .. } | Stray::Flowtable(_) => false,
    };
    foreign.rest.is_empty() && !foreign.strays.iter().any(is_in_the_way)
}

fn compare<'a>(
    loaded: &'a Ruleset,
    foreign: &'a BTreeMap<TableKey, Foreign>,
    desired: &'a Ruleset,
) -> Change<'a> {
    let mut operations = Vec::new();
    for key in TableKey::ALL {
        let foreign = foreign.get(&key).unwrap_or(&NOT_FOREIGN);
        match (loaded.tables.get(&key), desired.tables.get(&key)) {
            (None, None) => {}
            (None, Some(new)) => create_table(key, new, &mut operations),
            (Some(_), None) => operations.push(Operation::DeleteTable { table: key }),
            (Some(old), Some(new)) if old.comment != new.comment || !is_repairable(foreign, new) => {
                operations.push(Operation::DeleteTable { table: key });
                create_table(key, new, &mut operations);
            }
            (Some(old), Some(new)) => {
                let chains = foreign.strays.iter().filter_map(|stray| match stray {
                    Stray::Chain(chain) => Some(chain.as_str()),
                    Stray::Set(_) | Stray::Object { .. } | Stray::Flowtable(_) => None,
                });
                operations.extend(chains.map(|chain| Operation::FlushStray { table: key, chain }));
                TableDiff::new(key, old, new).write(&foreign.chains, &mut operations);
                let strays = foreign.strays.iter();
                operations.extend(strays.map(|stray| Operation::DeleteStray { table: key, stray }));
            }
        }
    }
    Change { operations }
}

fn create_table<'a>(key: TableKey, table: &'a Table, to: &mut Vec<Operation<'a>>) {
    to.push(Operation::CreateTable {
        table: key,
        comment: table.comment.as_ref(),
    });
    TableDiff::new(key, &NO_TABLE, table).write(&BTreeSet::new(), to);
}

/// One table before and after, with what cannot stay as it is: it goes, and may come again under its name.
struct TableDiff<'a> {
    key: TableKey,
    old: &'a Table,
    new: &'a Table,
    gone_chains: BTreeSet<&'a Name>,
    gone_sets: BTreeSet<&'a Name>,
}

impl<'a> TableDiff<'a> {
    fn new(key: TableKey, old: &'a Table, new: &'a Table) -> Self {
        let gone_chains = old.chains.iter().filter(|(name, chain)| {
            let same = |new: &Chain| new.hook == chain.hook && new.comment == chain.comment;
            !new.chains.get(*name).is_some_and(same)
        });
        let gone_sets = old.sets.iter().filter(|(name, set)| {
            let same = |new: &Arc<Set>| {
                new.key == set.key && new.interval == set.interval && new.comment == set.comment
            };
            !new.sets.get(*name).is_some_and(same)
        });
        let gone_maps = old.maps.iter().filter(|(name, map)| {
            let same = |new: &VerdictMap| new.key == map.key && new.comment == map.comment;
            !new.maps.get(*name).is_some_and(same)
        });
        Self {
            key,
            old,
            new,
            gone_chains: gone_chains.map(|(name, _)| name).collect(),
            gone_sets: gone_sets
                .map(|(name, _)| name)
                .chain(gone_maps.map(|(name, _)| name))
                .collect(),
        }
    }

    fn write(&self, foreign: &BTreeSet<Name>, to: &mut Vec<Operation<'a>>) {
        let table = self.key;
        let rewritten = self.rewritten_chains(foreign);
        let flushed = self.old.chains.iter().filter(|(name, chain)| {
            let has_rules = !chain.rules.is_empty() || foreign.contains(*name);
            has_rules && (rewritten.contains(name) || self.gone_chains.contains(name))
        });
        to.extend(flushed.map(|(chain, _)| Operation::FlushChain { table, chain }));

        let mut added = Vec::new();
        self.maps(to, &mut added);
        self.sets(to, &mut added);
        to.extend(
            self.gone_sets
                .iter()
                .map(|&name| Operation::DeleteSet { table, name }),
        );
        to.extend(
            self.gone_chains
                .iter()
                .map(|&chain| Operation::DeleteChain { table, chain }),
        );

        let sets = self
            .new
            .sets
            .iter()
            .filter(|(name, _)| !self.stays(self.old.sets.contains_key(*name), name));
        to.extend(sets.map(|(name, set)| Operation::CreateSet { table, name, set }));
        let maps = self
            .new
            .maps
            .iter()
            .filter(|(name, _)| !self.stays(self.old.maps.contains_key(*name), name));
        to.extend(maps.map(|(name, map)| Operation::CreateMap { table, name, map }));
        let chains = || self.new.chains.iter();
        let created = |name: &Name| self.gone_chains.contains(name) || !self.old.chains.contains_key(name);
        let new_chains = chains().filter(|(name, _)| created(name));
        to.extend(new_chains.map(|(name, chain)| Operation::CreateChain { table, name, chain }));

        let written = chains()
            .filter(|(name, chain)| !chain.rules.is_empty() && (created(name) || rewritten.contains(name)));
        to.extend(written.map(|(chain, new)| Operation::AddRules {
            table,
            chain,
            rules: &new.rules,
        }));
        to.append(&mut added);
    }

    fn stays(&self, existed: bool, name: &Name) -> bool {
        existed && !self.gone_sets.contains(name)
    }

    /// The chains that stay, but not with their rules.
    fn rewritten_chains(&self, foreign: &BTreeSet<Name>) -> BTreeSet<&'a Name> {
        let chains = self.old.chains.iter().filter_map(|(name, old)| {
            let new = self
                .new
                .chains
                .get(name)
                .filter(|_| !self.gone_chains.contains(name))?;
            let changed = old.rules != new.rules
                || foreign.contains(name)
                || old.rules.iter().any(|rule| self.refers_to_gone(rule));
            changed.then_some(name)
        });
        chains.collect()
    }

    fn refers_to_gone(&self, rule: &Rule) -> bool {
        if self.gone_chains.is_empty() && self.gone_sets.is_empty() {
            return false;
        }
        let in_matches = rule.matches.iter().any(|condition| match condition {
            Match::InSet { set, .. } => self.gone_sets.contains(set),
            _ => false,
        });
        in_matches || self.verdict_refers_to_gone(&rule.verdict)
    }

    fn verdict_refers_to_gone(&self, verdict: &Verdict) -> bool {
        match verdict {
            Verdict::Jump(chain) | Verdict::Goto(chain) => self.gone_chains.contains(chain),
            Verdict::Map { map, .. } => self.gone_sets.contains(map),
            Verdict::Accept | Verdict::Drop | Verdict::Continue => false,
        }
    }

    fn maps(&self, removals: &mut Vec<Operation<'a>>, additions: &mut Vec<Operation<'a>>) {
        let table = self.key;
        for (name, map) in &self.new.maps {
            let old = self.old.maps.get(name).filter(|_| !self.gone_sets.contains(name));
            let Some(old) = old else {
                if !map.elements.is_empty() {
                    let entries = map.elements.iter().collect();
                    additions.push(Operation::AddEntries { table, name, entries });
                }
                continue;
            };
            let moved = |entry: &MapEntry| self.verdict_refers_to_gone(&entry.verdict);
            let keeps = |entries: &'a BTreeMap<Element, MapEntry>, key: &Element, entry: &MapEntry| {
                entries.get(key) == Some(entry) && !moved(entry)
            };
            let keys: Vec<_> = old
                .elements
                .iter()
                .filter(|(key, entry)| !keeps(&map.elements, key, entry))
                .map(|(key, _)| key)
                .collect();
            let entries: Vec<_> = map
                .elements
                .iter()
                .filter(|(key, entry)| !keeps(&old.elements, key, entry))
                .collect();
            if !keys.is_empty() {
                removals.push(Operation::RemoveEntries { table, name, keys });
            }
            if !entries.is_empty() {
                additions.push(Operation::AddEntries { table, name, entries });
            }
        }
    }

    fn sets(&self, removals: &mut Vec<Operation<'a>>, additions: &mut Vec<Operation<'a>>) {
        static NOTHING: BTreeSet<Element> = BTreeSet::new();
        let table = self.key;
        for (name, set) in &self.new.sets {
            let old = self.old.sets.get(name).filter(|_| !self.gone_sets.contains(name));
            if old.is_some_and(|old| Arc::ptr_eq(old, set)) {
                continue;
            }
            let old = old.map_or(&NOTHING, |old| &old.elements);
            if *old == set.elements {
                continue;
            }
            let removed: Vec<_> = old.difference(&set.elements).collect();
            let added: Vec<_> = set.elements.difference(old).collect();
            if !removed.is_empty() {
                removals.push(Operation::RemoveElements {
                    table,
                    name,
                    set,
                    elements: removed,
                });
            }
            if !added.is_empty() {
                additions.push(Operation::AddElements {
                    table,
                    name,
                    set,
                    elements: added,
                });
            }
        }
    }
}

#[cfg(test)]
mod tests;
