//! A ruleset that is brought from one state to the next, with what was touched on the way.
//!
//! Whoever plans makes each change here, and so the way from what is loaded is known without a comparison of everything: the
//! touched objects before and after are two small rulesets, and [`diff`](super::diff()) between them is the diff between the whole
//! ones. Nothing is kept twice: what is loaded is the draft without what was touched since.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::model::{Chain, Comment, Element, Name, Ruleset, Set, Table, TableKey, VerdictMap};

/// A ruleset and what was touched since the kernel got it.
#[derive(Debug, Default)]
pub struct Draft {
    ruleset: Ruleset,
    touched: BTreeMap<TableKey, Touched>,
}

/// The touched objects of a ruleset, before and after. Of a set that stays only the elements that come or go.
#[derive(Debug)]
pub struct Edit {
    /// As they were.
    pub before: Ruleset,
    /// As they are.
    pub after: Ruleset,
}

/// What was touched of a table, as it was.
#[derive(Debug)]
struct Touched {
    /// Whether there was a table, and its comment.
    existed: bool,
    comment: Option<Comment>,
    chains: BTreeMap<Name, Option<Chain>>,
    sets: BTreeMap<Name, TouchedSet>,
    maps: BTreeMap<Name, Option<VerdictMap>>,
}

#[derive(Debug)]
enum TouchedSet {
    /// It was this; `None` if it was not there.
    Whole(Option<Arc<Set>>),
    /// It had not these, and had those.
    Elements {
        added: BTreeSet<Element>,
        removed: BTreeSet<Element>,
    },
}

impl Draft {
    /// What there should be.
    pub fn ruleset(&self) -> &Ruleset {
        &self.ruleset
    }

    /// What there should be, at the end.
    pub fn into_ruleset(self) -> Ruleset {
        self.ruleset
    }

    /// The kernel has it as it is now.
    pub fn settle(&mut self) {
        self.touched.clear();
    }

    /// Brings what is in `before` to what is in `after`, of which neither need be all that there is.
    pub fn turn(&mut self, before: &Ruleset, after: &Ruleset) {
        static NONE: Table = Table {
            comment: None,
            chains: BTreeMap::new(),
            sets: BTreeMap::new(),
            maps: BTreeMap::new(),
        };
        for key in TableKey::ALL {
            let (old, new) = (before.tables.get(&key), after.tables.get(&key));
            if let Some(new) = new {
                self.table(key, new.comment.as_ref());
            }
            let [old_table, new_table] = [old, new].map(|table| table.unwrap_or(&NONE));
            for name in old_table
                .chains
                .keys()
                .filter(|name| !new_table.chains.contains_key(*name))
            {
                self.chain(key, name, None);
            }
            for (name, chain) in &new_table.chains {
                if old_table.chains.get(name) != Some(chain) {
                    self.chain(key, name, Some(chain.clone()));
                }
            }
            for name in old_table
                .sets
                .keys()
                .filter(|name| !new_table.sets.contains_key(*name))
            {
                self.set(key, name, None);
            }
            for (name, set) in &new_table.sets {
                if old_table.sets.get(name) != Some(set) {
                    self.set(key, name, Some(set.clone()));
                }
            }
            for name in old_table
                .maps
                .keys()
                .filter(|name| !new_table.maps.contains_key(*name))
            {
                self.map(key, name, None);
            }
            for (name, map) in &new_table.maps {
                if old_table.maps.get(name) != Some(map) {
                    self.map(key, name, Some(map.clone()));
                }
            }
            if old.is_some() && new.is_none() {
                self.drop_table(key);
            }
        }
    }

    /// There is a table with this comment.
    fn table(&mut self, key: TableKey, comment: Option<&Comment>) {
        let known = self.ruleset.tables.get(&key);
        if known.is_none_or(|table| table.comment.as_ref() != comment) {
            self.touch(key);
            self.ruleset.tables.entry(key).or_default().comment = comment.cloned();
        }
    }

    fn drop_table(&mut self, key: TableKey) {
        self.touch(key);
        self.ruleset.tables.remove(&key);
    }

    /// There is this chain, or none of this name.
    pub fn chain(&mut self, key: TableKey, name: &Name, chain: Option<Chain>) {
        let (touched, table) = self.touch(key);
        if table.chains.get(name) == chain.as_ref() {
            return;
        }
        let old = replace(&mut table.chains, name, chain);
        touched.chains.entry(name.clone()).or_insert(old);
    }

    /// There is this map, or none of this name.
    pub fn map(&mut self, key: TableKey, name: &Name, map: Option<VerdictMap>) {
        let (touched, table) = self.touch(key);
        if table.maps.get(name) == map.as_ref() {
            return;
        }
        let old = replace(&mut table.maps, name, map);
        touched.maps.entry(name.clone()).or_insert(old);
    }

    /// There is this set, or none of this name.
    pub fn set(&mut self, key: TableKey, name: &Name, set: Option<Arc<Set>>) {
        let (touched, table) = self.touch(key);
        if table.sets.get(name) == set.as_ref() {
            return;
        }
        let old = replace(&mut table.sets, name, set);
        let old = match touched.sets.remove(name) {
            None => old,
            Some(TouchedSet::Whole(first)) => first,
            Some(TouchedSet::Elements { added, removed }) => old.map(|mut old| {
                let set = Arc::make_mut(&mut old);
                set.elements.retain(|element| !added.contains(element));
                set.elements.extend(removed);
                old
            }),
        };
        touched.sets.insert(name.clone(), TouchedSet::Whole(old));
    }

    /// A set gets an element. Returns whether it is new; nothing happens where there is no such set.
    pub fn add(&mut self, key: TableKey, name: &Name, element: &Element) -> bool {
        self.element(key, name, element, true)
    }

    /// A set loses an element. Returns whether it had it.
    pub fn remove(&mut self, key: TableKey, name: &Name, element: &Element) -> bool {
        self.element(key, name, element, false)
    }

    fn element(&mut self, key: TableKey, name: &Name, element: &Element, is_new: bool) -> bool {
        let (touched, table) = self.touch(key);
        let Some(set) = table.sets.get_mut(name) else {
            return false;
        };
        if set.elements.contains(element) == is_new {
            return false;
        }
        let no_elements = || TouchedSet::Elements {
            added: BTreeSet::new(),
            removed: BTreeSet::new(),
        };
        let before = touched.sets.entry(name.clone()).or_insert_with(no_elements);
        if let TouchedSet::Elements { added, removed } = before {
            let (one, other) = if is_new {
                (added, removed)
            } else {
                (removed, added)
            };
            if !other.remove(element) {
                one.insert(element.clone());
            }
        }
        let elements = &mut Arc::make_mut(set).elements;
        if is_new {
            elements.insert(element.clone())
        } else {
            elements.remove(element)
        }
    }

    fn touch(&mut self, key: TableKey) -> (&mut Touched, &mut Table) {
        let known = self.ruleset.tables.get(&key);
        let touched = self.touched.entry(key).or_insert_with(|| Touched {
            existed: known.is_some(),
            comment: known.and_then(|table| table.comment.clone()),
            chains: BTreeMap::new(),
            sets: BTreeMap::new(),
            maps: BTreeMap::new(),
        });
        (touched, self.ruleset.tables.entry(key).or_default())
    }

    /// What was touched since the kernel got it. `None` where something was made anew under its name, which others may refer to:
    /// only a comparison of everything finds these.
    pub fn edit(&self) -> Option<Edit> {
        let mut edit = Edit {
            before: Ruleset::default(),
            after: Ruleset::default(),
        };
        for (&key, touched) in &self.touched {
            let table = self.ruleset.tables.get(&key);
            if touched.existed {
                edit.before.tables.insert(key, touched.before(table));
            }
            if let Some(table) = table {
                edit.after.tables.insert(key, touched.after(table));
            }
        }
        let remade = edit.before.tables.iter().any(|(key, before)| {
            let after = edit.after.tables.get(key);
            after.is_some_and(|after| is_remade(before, after))
        });
        (!remade).then_some(edit)
    }
}

impl Touched {
    fn before(&self, now: Option<&Table>) -> Table {
        let some = |(name, chain): (&Name, &Option<_>)| Some((name.clone(), chain.clone()?));
        let sets = self.sets.iter().filter_map(|(name, touched)| match touched {
            TouchedSet::Whole(set) => Some((name.clone(), set.clone()?)),
            TouchedSet::Elements { removed, .. } => {
                let set = now?.sets.get(name)?;
                Some((name.clone(), with(set, removed)))
            }
        });
        Table {
            comment: self.comment.clone(),
            chains: self.chains.iter().filter_map(some).collect(),
            sets: sets.collect(),
            maps: self
                .maps
                .iter()
                .filter_map(|(name, map)| Some((name.clone(), map.clone()?)))
                .collect(),
        }
    }

    fn after(&self, now: &Table) -> Table {
        let sets = self.sets.iter().filter_map(|(name, touched)| {
            let set = now.sets.get(name)?;
            let set = match touched {
                TouchedSet::Whole(_) => set.clone(),
                TouchedSet::Elements { added, .. } => with(set, added),
            };
            Some((name.clone(), set))
        });
        let chains = self.chains.keys();
        let maps = self.maps.keys();
        Table {
            comment: now.comment.clone(),
            chains: chains
                .filter_map(|name| Some((name.clone(), now.chains.get(name)?.clone())))
                .collect(),
            sets: sets.collect(),
            maps: maps
                .filter_map(|name| Some((name.clone(), now.maps.get(name)?.clone())))
                .collect(),
        }
    }
}

/// A set with only these elements.
fn with(set: &Set, elements: &BTreeSet<Element>) -> Arc<Set> {
    Arc::new(Set {
        key: set.key.clone(),
        interval: set.interval,
        elements: elements.clone(),
        comment: set.comment.clone(),
    })
}

/// Whether something that rules or entries can refer to stays by its name only.
fn is_remade(before: &Table, after: &Table) -> bool {
    let chains = before.chains.iter().any(|(name, old)| {
        let new = after.chains.get(name);
        new.is_some_and(|new| old.hook.is_none() && (old.comment != new.comment || new.hook.is_some()))
    });
    let sets = before.sets.iter().any(|(name, old)| {
        let new = after.sets.get(name);
        new.is_some_and(|new| {
            (&old.key, old.interval, &old.comment) != (&new.key, new.interval, &new.comment)
        })
    });
    let maps = before.maps.iter().any(|(name, old)| {
        let new = after.maps.get(name);
        new.is_some_and(|new| (&old.key, &old.comment) != (&new.key, &new.comment))
    });
    chains || sets || maps
}

fn replace<V>(map: &mut BTreeMap<Name, V>, name: &Name, value: Option<V>) -> Option<V> {
    match value {
        Some(value) => map.insert(name.clone(), value),
        None => map.remove(name),
    }
}
