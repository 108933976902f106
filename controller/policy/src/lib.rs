//! What a `NetworkPolicy` means, and nothing else.
//!
//! This crate is the pure core of Palisade: no Kubernetes client, no clock, no files, no threads. Everything
//! that it says depends on the objects that it was given, in whatever order they came.
//!
//! ```text
//!   model ──► cluster ──► compile ──► rules ──► assemble    what is published, and what a node makes of it
//!     │          │                                  │
//!     │          └──► evaluate                      └──► judge
//!     │               (oracle: the API                   (a node's rules, read back as verdicts)
//!     │                documentation)
//!     └─ validated types; nil and empty are told apart here, once
//! ```
//!
//! [`evaluate`] and [`compile`] answer the same question in two ways that share no code: the oracle walks the
//! policies as the API documentation reads, the compiler builds groups and slices and keeps them up to date, a node
//! assembles profiles of them.
//! Tests hold the two together, and both to the packets.

pub mod assemble;
pub mod cluster;
pub mod compile;
pub mod evaluate;
mod index;
pub mod judge;
mod map;
pub mod model;
pub mod reach;
pub mod rules;
mod shared;
#[cfg(feature = "testing")]
pub mod testing;
