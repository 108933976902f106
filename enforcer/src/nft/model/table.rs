//! Tables, chains and the whole.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use super::names::{Comment, Interface, Name};
use super::rule::Rule;
use super::set::{Set, VerdictMap};

/// Everything that Palisade has, or should have, in the kernel.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ruleset {
    /// The tables that exist.
    pub tables: BTreeMap<TableKey, Table>,
}

/// One of our own tables. No other table can be named, so none can be touched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TableKey {
    /// `inet palisade`: what is forwarded.
    Inet,
    /// `netdev palisade`: what comes in by a pod's interface.
    Netdev,
    /// `bridge palisade`: what crosses a bridge without being routed.
    Bridge,
}

impl TableKey {
    /// Every table, in order.
    pub const ALL: [Self; 3] = [Self::Inet, Self::Netdev, Self::Bridge];

    /// The name, the same in each family.
    pub const NAME: &'static str = "palisade";

    /// The family as `nft` spells it.
    pub fn family(self) -> &'static str {
        match self {
            Self::Inet => "inet",
            Self::Netdev => "netdev",
            Self::Bridge => "bridge",
        }
    }
}

impl fmt::Display for TableKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.family(), Self::NAME)
    }
}

/// A table and what is in it. Sets and maps share one space of names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Table {
    /// A note for people.
    pub comment: Option<Comment>,
    /// The chains.
    pub chains: BTreeMap<Name, Chain>,
    /// The sets. A copy of a ruleset, as for those who judge by it, does not copy what is in them.
    pub sets: BTreeMap<Name, Arc<Set>>,
    /// The verdict maps.
    pub maps: BTreeMap<Name, VerdictMap>,
}

impl Table {
    /// A set, to be changed.
    pub fn set_mut(&mut self, name: &Name) -> Option<&mut Set> {
        self.sets.get_mut(name).map(Arc::make_mut)
    }
}

/// A list of rules.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Chain {
    /// Where packets enter it; `None` for a chain that others jump to.
    pub hook: Option<Hook>,
    /// A note for people.
    pub comment: Option<Comment>,
    /// The rules, in order.
    pub rules: Vec<Rule>,
}

/// Where packets enter a base chain. What no rule decides passes: the policy is always accept.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Hook {
    /// Packets that are routed through; only in the inet table.
    Forward {
        /// Lower runs earlier.
        priority: i32,
    },
    /// Packets that come in by one interface; only in the netdev table.
    Ingress {
        /// The interface.
        device: Interface,
        /// Lower runs earlier.
        priority: i32,
    },
    /// Frames that enter a bridge; only in the bridge table.
    Prerouting {
        /// Lower runs earlier.
        priority: i32,
    },
    /// Frames that leave a bridge; only in the bridge table.
    Postrouting {
        /// Lower runs earlier.
        priority: i32,
    },
}

impl Hook {
    /// The table whose chains may have this hook.
    pub fn table(&self) -> TableKey {
        match self {
            Self::Forward { .. } => TableKey::Inet,
            Self::Ingress { .. } => TableKey::Netdev,
            Self::Prerouting { .. } | Self::Postrouting { .. } => TableKey::Bridge,
        }
    }

    /// When it runs among the chains of the same hook; lower is earlier.
    pub fn priority(&self) -> i32 {
        match self {
            Self::Forward { priority }
            | Self::Ingress { priority, .. }
            | Self::Prerouting { priority }
            | Self::Postrouting { priority } => *priority,
        }
    }

    /// The hook as `nft` spells it.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Forward { .. } => "forward",
            Self::Ingress { .. } => "ingress",
            Self::Prerouting { .. } => "prerouting",
            Self::Postrouting { .. } => "postrouting",
        }
    }
}
