//! The operations of a transaction, and how many they are.

use crate::nft::kernel::Stray;
use crate::nft::model::{Chain, Comment, Element, MapEntry, Name, Rule, Set, TableKey, VerdictMap};

/// What one transaction does, in order. Empty if there is nothing to do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Change<'a> {
    pub(super) operations: Vec<Operation<'a>>,
}

/// One step of a [`Change`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Operation<'a> {
    /// Create a table, which must not be there.
    CreateTable {
        /// The table.
        table: TableKey,
        /// Its comment.
        comment: Option<&'a Comment>,
    },
    /// Delete a table with all that is in it.
    DeleteTable {
        /// The table.
        table: TableKey,
    },
    /// Delete the rules of a chain.
    FlushChain {
        /// The table.
        table: TableKey,
        /// The chain.
        chain: &'a Name,
    },
    /// Delete the rules of a chain that is none of ours.
    FlushStray {
        /// The table.
        table: TableKey,
        /// The chain.
        chain: &'a str,
    },
    /// Delete an object that is none of ours and to which nothing refers.
    DeleteStray {
        /// The table.
        table: TableKey,
        /// The object.
        stray: &'a Stray,
    },
    /// Delete a chain to which nothing refers.
    DeleteChain {
        /// The table.
        table: TableKey,
        /// The chain.
        chain: &'a Name,
    },
    /// Create a chain; its rules come apart.
    CreateChain {
        /// The table.
        table: TableKey,
        /// The name.
        name: &'a Name,
        /// The chain.
        chain: &'a Chain,
    },
    /// Append rules to a chain.
    AddRules {
        /// The table.
        table: TableKey,
        /// The chain.
        chain: &'a Name,
        /// The rules, in order.
        rules: &'a [Rule],
    },
    /// Delete a set or a map to which nothing refers.
    DeleteSet {
        /// The table.
        table: TableKey,
        /// The set or map.
        name: &'a Name,
    },
    /// Create a set; its elements come apart.
    CreateSet {
        /// The table.
        table: TableKey,
        /// The name.
        name: &'a Name,
        /// The set.
        set: &'a Set,
    },
    /// Create a map; its entries come apart.
    CreateMap {
        /// The table.
        table: TableKey,
        /// The name.
        name: &'a Name,
        /// The map.
        map: &'a VerdictMap,
    },
    /// Add elements, none of which is there.
    AddElements {
        /// The table.
        table: TableKey,
        /// The set's name.
        name: &'a Name,
        /// The set.
        set: &'a Set,
        /// The elements.
        elements: Vec<&'a Element>,
    },
    /// Remove elements, all of which are there.
    RemoveElements {
        /// The table.
        table: TableKey,
        /// The set's name.
        name: &'a Name,
        /// The set.
        set: &'a Set,
        /// The elements.
        elements: Vec<&'a Element>,
    },
    /// Add map entries, for none of whose keys there is one.
    AddEntries {
        /// The table.
        table: TableKey,
        /// The map's name.
        name: &'a Name,
        /// The entries.
        entries: Vec<(&'a Element, &'a MapEntry)>,
    },
    /// Remove map entries, all of which are there.
    RemoveEntries {
        /// The table.
        table: TableKey,
        /// The map's name.
        name: &'a Name,
        /// Their keys.
        keys: Vec<&'a Element>,
    },
}

impl Operation<'_> {
    /// The table that it is about.
    pub fn table(&self) -> TableKey {
        match self {
            Self::CreateTable { table, .. }
            | Self::DeleteTable { table }
            | Self::FlushChain { table, .. }
            | Self::FlushStray { table, .. }
            | Self::DeleteStray { table, .. }
            | Self::DeleteChain { table, .. }
            | Self::CreateChain { table, .. }
            | Self::AddRules { table, .. }
            | Self::DeleteSet { table, .. }
            | Self::CreateSet { table, .. }
            | Self::CreateMap { table, .. }
            | Self::AddElements { table, .. }
            | Self::RemoveElements { table, .. }
            | Self::AddEntries { table, .. }
            | Self::RemoveEntries { table, .. } => *table,
        }
    }
}

/// How much a [`Change`] touches.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Tables created.
    pub tables_created: usize,
    /// Tables deleted, those that are created again included.
    pub tables_deleted: usize,
    /// Chains created.
    pub chains_created: usize,
    /// Chains deleted, those that are created again included.
    pub chains_deleted: usize,
    /// Chains whose rules are replaced or deleted.
    pub chains_flushed: usize,
    /// Rules written.
    pub rules_added: usize,
    /// Sets and maps created.
    pub sets_created: usize,
    /// Sets and maps deleted, those that are created again included.
    pub sets_deleted: usize,
    /// Set elements added.
    pub elements_added: usize,
    /// Set elements removed, apart from those that go with their set.
    pub elements_removed: usize,
    /// Map entries added.
    pub entries_added: usize,
    /// Map entries removed, apart from those that go with their map.
    pub entries_removed: usize,
    /// Objects of others deleted.
    pub strays_deleted: usize,
}

impl Counts {
    /// Elements of sets and entries of maps that are written or removed one by one.
    pub fn elements(&self) -> usize {
        self.elements_added + self.elements_removed + self.entries_added + self.entries_removed
    }
}

impl<'a> Change<'a> {
    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.operations.is_empty()
    }

    /// The steps, in order.
    pub fn operations(&self) -> &[Operation<'a>] {
        &self.operations
    }

    /// How much it touches.
    pub fn counts(&self) -> Counts {
        let mut counts = Counts::default();
        for operation in &self.operations {
            match operation {
                Operation::CreateTable { .. } => counts.tables_created += 1,
                Operation::DeleteTable { .. } => counts.tables_deleted += 1,
                Operation::FlushChain { .. } => counts.chains_flushed += 1,
                // Counted when it is deleted.
                Operation::FlushStray { .. } => {}
                Operation::DeleteStray { .. } => counts.strays_deleted += 1,
                Operation::DeleteChain { .. } => counts.chains_deleted += 1,
                Operation::CreateChain { .. } => counts.chains_created += 1,
                Operation::AddRules { rules, .. } => counts.rules_added += rules.len(),
                Operation::DeleteSet { .. } => counts.sets_deleted += 1,
                Operation::CreateSet { .. } | Operation::CreateMap { .. } => counts.sets_created += 1,
                Operation::AddElements { elements, .. } => counts.elements_added += elements.len(),
                Operation::RemoveElements { elements, .. } => counts.elements_removed += elements.len(),
                Operation::AddEntries { entries, .. } => counts.entries_added += entries.len(),
                Operation::RemoveEntries { keys, .. } => counts.entries_removed += keys.len(),
            }
        }
        counts
    }
}
