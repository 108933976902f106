//! Answers about network policies.
//!
//! ```text
//!   Inventory ──► question ──► explain      one packet: allowed or denied, and why
//!  (what is     ├─► relation              who reaches whom on which ports
//!   there)      ├─► lint                  what is wrong, and how to put it right
//!               ├─► diff                  what a change would mean
//!               ├─► kernel                does the kernel do what the API says
//!               ├─► assertions            what a team wants to stay true
//!               └─► report                all of it on one page
//! ```
//!
//! Everything here is a function from an [`Inventory`](inventory::Inventory) to data or text. Where the objects come from
//! (files, a cluster, a snapshot of one) is the matter of `palisade_controller`; what they mean is the matter of
//! [`palisade_policy`], whose oracle and reachability all answers come from.

pub mod assertions;
pub mod diff;
pub mod explain;
pub mod inventory;
pub mod kernel;
pub mod lint;
mod ports;
pub mod question;
pub mod relation;
pub mod report;
pub mod style;
pub mod words;
