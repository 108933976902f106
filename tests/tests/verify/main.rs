//! `policy-audit verify` finds what is wrong in a node's tables, and nothing where nothing is.
//!
//! The tables come from the enforcer's planner, which verification knows nothing of, or from a kernel that the enforcer's
//! program has written to.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "all of this is tests"
)]

mod live;
mod loaded;
mod mutation;
mod planned;
mod program;
mod world;
