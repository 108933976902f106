//! Established flows: what the kernel remembers of connections, judged again when rules tighten.
//!
//! ```text
//!   the ruleset just committed ─┐
//!   who has which address ──────┼─► Judge ─┐
//!   the node's own addresses ───┘          ├─ sweep ──► what is denied now ──► deleted
//!   conntrack ── netlink, piece by piece ──┘
//! ```
//! A packet of a known connection passes without meeting a policy. So the connections themselves have to be judged: each
//! one as the packet that opened it, as the forward hook saw it, by the very ruleset that the kernel has. What
//! stays allowed is not touched. What cannot be read, is in a zone of its own or does not concern a pod of this node is
//! not touched either.

mod conntrack;
mod cut;
mod entry;
mod judge;
mod sweep;
mod tighten;

pub use conntrack::{Conntrack, ConntrackError, Netlink};
pub use cut::{Cuts, Flow};
pub use entry::{Entry, Identity, Tuple};
pub use judge::{Judge, Judgement, Kept, Reason, View};
pub use sweep::{Found, Lost, Tally, find};
pub use tighten::tightens;
