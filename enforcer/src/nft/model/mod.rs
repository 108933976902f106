//! The part of nftables that a plan needs, as plain data: built once, compared, rendered and loaded elsewhere.
//!
//! Nothing here does I/O, and nothing depends on order of construction: every collection is sorted, so equal
//! rulesets are equal values and render to equal text.
//!
//! What a value allows by its type is what the other layers may rely on: a [`Name`] is never a keyword, a
//! [`Comment`] always fits, an [`Element`] holds the bytes that the kernel keeps. What spans several objects (a rule
//! refers to a set that exists, an element is as wide as its key) is what [`Ruleset::check`] says.

mod check;
mod element;
mod field;
mod names;
mod rule;
mod set;
mod table;

pub use check::Inconsistent;
pub use element::{Element, Part, Range, UnknownWidth, Value};
pub use field::{Field, KeyType};
pub use names::{Comment, Interface, InterfacePattern, InvalidName, Name};
pub use rule::{EtherType, Match, PacketType, Rule, Verdict};
pub(crate) use rule::{ICMP, ICMP_V6, implied_ether_types};
pub use set::{MapEntry, Set, VerdictMap};
pub use table::{Chain, Hook, Ruleset, Table, TableKey};
