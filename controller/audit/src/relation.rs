//! Who reaches whom on which ports, in the forms in which it is asked for.
//!
//! ```text
//!   Reach::flows (IPv4) ─┐         ┌─► lines ─┬─► table, wide, html     for people: ends in words
//!                        ├─► rows ─┤          └─► dot, mermaid          the same as a graph
//!   Reach::flows (IPv6) ─┘         └─► json, csv                        for programs: all of it, as it comes
//! ```
//!
//! [`Relation`] is a reachability and what its ends are called. Everything is made as it is written, so that a large answer
//! costs no more memory than what it is made from.

mod name;
pub mod output;
mod range;
mod row;
mod selection;
mod summary;
mod words;

use palisade_policy::reach::{Class, Outside, Reach};

use crate::inventory::Inventory;

pub use name::Names;
pub use range::{Addresses, Part};
pub use row::{Line, Row};
pub use selection::{Host, Selection};
pub use summary::Summary;
pub use words::{Limits, Saying, Word, Words, ports};

pub(crate) use name::{is_noise, is_plain, members};

/// The reachability of an inventory, with names for its ends.
#[derive(Clone, Debug)]
pub struct Relation<'a> {
    /// What it is the reachability of.
    pub inventory: &'a Inventory,
    /// The reachability.
    pub reach: Reach,
    /// What its ends are called.
    pub names: Names,
}

/// The ends of a relation, and what they are called.
#[derive(Clone, Copy, Debug)]
pub struct Ends<'a> {
    /// Where the pods are described.
    pub inventory: &'a Inventory,
    /// The classes of pods.
    pub classes: &'a [Class],
    /// The ranges of addresses outside.
    pub outside: &'a [Outside],
    /// What they are called.
    pub names: &'a Names,
}

impl<'a> Relation<'a> {
    /// Works out who reaches whom in an inventory.
    pub fn of(inventory: &'a Inventory) -> Self {
        let reach = Reach::of(&inventory.state);
        let names = Names::of(inventory, reach.classes(), reach.outside());
        Self {
            inventory,
            reach,
            names,
        }
    }

    /// Its ends.
    pub fn ends(&self) -> Ends<'_> {
        Ends {
            inventory: self.inventory,
            classes: self.reach.classes(),
            outside: self.reach.outside(),
            names: &self.names,
        }
    }

    /// What is allowed between ends of a selection: by destination, then by ports.
    pub fn rows<'b>(&'b self, selection: &'b Selection) -> impl Iterator<Item = Row> + 'b {
        row::rows(self, selection)
    }

    /// The same as people read it: destinations outside that have the same sources and ports are joined, and pods that
    /// nobody reaches are told too, unless only some sources are asked for.
    pub fn lines<'b>(&'b self, selection: &'b Selection) -> impl Iterator<Item = Line> + 'b {
        row::lines(self, selection)
    }
}
