//! The kernel's tables: what they should hold, how to get there, and what they do hold.
//!
//! ```text
//!            plan ──► model::Ruleset ──┬──► json      for people, snapshots and nft --check
//!                          ▲           │
//!                          │        diff(loaded, desired) = Change
//!                          │           │
//!    kernel::Loaded ◄── read ─┐        ▼
//!                           netlink ◄── commit        one transaction at one generation
//!    Edit (by others) ◄───────┘
//! ```
//! [`model`] is plain data. [`diff`](mod@diff) compares two of them without I/O. [`netlink`] is the only module that talks
//! to a kernel, behind the trait [`Kernel`]; it reads, lists and writes our own tables and no other. [`json`] is the
//! same ruleset as `nft` would list it, which is how tests hold the two forms together.

pub mod diff;
mod draft;
pub mod json;
pub mod kernel;
pub mod model;
pub mod netlink;

pub use diff::{Change, Counts, Operation, diff, rebuild, repair};
pub use draft::{Draft, Edit as DraftEdit};
pub use kernel::{
    CommitError, Count, Counters, Foreign, Generation, Kernel, Loaded, ObjectKind, ReadError, Stray,
};
pub use netlink::{Edit, Edits, Nlink};
