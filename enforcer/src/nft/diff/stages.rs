//! A change in up to three transactions, of which packets see one.
//!
//! ```text
//!   prepare   what is new and nothing refers to yet: sets with their elements, chains with their rules
//!   turn      rules of chains that were there, entries, elements: all that packets see, at once
//!   clear     what nothing refers to any more
//! ```
//! One transaction is atomic for every packet that comes after it, but not for one that is on its way through the
//! rules at that moment: the kernel takes a packet's rules from the generation in which it entered, and the elements of
//! sets and maps from the generation at the time of the lookup (`nft_do_chain`, `nft_genmask_cur`). Such a packet would
//! find sets that go with the old rules empty, and chains that come with the new entries empty: allowed packets would
//! be lost, denied ones would pass the end of a chain. And ranges of several fields are there only a moment after the
//! rules that come with them (`nft_set_commit_update` runs last). Where nothing new is used before it is whole, and
//! nothing old goes while it is used, every packet meets either all of the old or all of the new.

use std::collections::BTreeSet;

use super::change::{Change, Operation};
use crate::nft::model::{Name, TableKey};

impl<'a> Change<'a> {
    /// The same change as transactions, to be committed one after the other. A table in which something goes and
    /// comes again under its name cannot be prepared for: all of its operations are in the second.
    pub fn stages(self) -> impl Iterator<Item = Change<'a>> {
        let objects = Objects::of(&self.operations);
        let mut stages = [Self::default(), Self::default(), Self::default()];
        let [prepare, turn, clear] = &mut stages;
        for operation in self.operations {
            let stage = match objects.stage(&operation) {
                Stage::Prepare => &mut *prepare,
                Stage::Turn => &mut *turn,
                Stage::Clear => &mut *clear,
            };
            stage.operations.push(operation);
        }
        stages.into_iter().filter(|stage| !stage.is_empty())
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Prepare,
    Turn,
    Clear,
}

type Object<'a> = (TableKey, Kind, &'a Name);

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Chain,
    Set,
}

/// What a change creates, and what it deletes.
#[derive(Default)]
struct Objects<'a> {
    /// Sets, maps, and chains without a hook.
    created: BTreeSet<Object<'a>>,
    deleted: BTreeSet<Object<'a>>,
    /// Tables in which something goes and comes again.
    recreated: BTreeSet<TableKey>,
}

impl<'a> Objects<'a> {
    fn of(operations: &[Operation<'a>]) -> Self {
        let mut objects = Self::default();
        let mut hooked = BTreeSet::new();
        for operation in operations {
            match *operation {
                Operation::CreateChain { table, name, chain } if chain.hook.is_some() => {
                    hooked.insert((table, Kind::Chain, name));
                }
                Operation::CreateChain { table, name, .. } => {
                    objects.created.insert((table, Kind::Chain, name));
                }
                Operation::CreateSet { table, name, .. } | Operation::CreateMap { table, name, .. } => {
                    objects.created.insert((table, Kind::Set, name));
                }
                Operation::DeleteChain { table, chain } => {
                    objects.deleted.insert((table, Kind::Chain, chain));
                }
                Operation::DeleteSet { table, name } => {
                    objects.deleted.insert((table, Kind::Set, name));
                }
                Operation::DeleteTable { table } => {
                    objects.recreated.insert(table);
                }
                Operation::CreateTable { .. }
                | Operation::FlushChain { .. }
                | Operation::FlushStray { .. }
                | Operation::DeleteStray { .. }
                | Operation::AddRules { .. }
                | Operation::AddElements { .. }
                | Operation::RemoveElements { .. }
                | Operation::AddEntries { .. }
                | Operation::RemoveEntries { .. } => {}
            }
        }
        let again = objects
            .created
            .iter()
            .chain(&hooked)
            .filter(|object| objects.deleted.contains(*object));
        let again: Vec<TableKey> = again.map(|(table, _, _)| *table).collect();
        objects.recreated.extend(again);
        objects
    }

    fn stage(&self, operation: &Operation<'a>) -> Stage {
        let created = |table, kind, name| {
            if self.created.contains(&(table, kind, name)) {
                Stage::Prepare
            } else {
                Stage::Turn
            }
        };
        let deleted = |table, kind, name| {
            if self.deleted.contains(&(table, kind, name)) {
                Stage::Clear
            } else {
                Stage::Turn
            }
        };
        let (table, stage) = match *operation {
            Operation::CreateTable { table, .. } => (table, Stage::Prepare),
            Operation::DeleteTable { table } => (table, Stage::Turn),
            // Not apart: a transaction that deletes no rule makes no generation.
            Operation::FlushStray { table, .. } | Operation::DeleteStray { table, .. } => {
                (table, Stage::Clear)
            }
            Operation::CreateChain { table, name, .. } => (table, created(table, Kind::Chain, name)),
            Operation::AddRules { table, chain, .. } => (table, created(table, Kind::Chain, chain)),
            Operation::CreateSet { table, name, .. }
            | Operation::CreateMap { table, name, .. }
            | Operation::AddElements { table, name, .. }
            | Operation::AddEntries { table, name, .. } => (table, created(table, Kind::Set, name)),
            Operation::RemoveElements { table, .. } | Operation::RemoveEntries { table, .. } => {
                (table, Stage::Turn)
            }
            Operation::FlushChain { table, chain } | Operation::DeleteChain { table, chain } => {
                (table, deleted(table, Kind::Chain, chain))
            }
            Operation::DeleteSet { table, name } => (table, deleted(table, Kind::Set, name)),
        };
        if self.recreated.contains(&table) {
            Stage::Turn
        } else {
            stage
        }
    }
}
