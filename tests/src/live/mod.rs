//! A running cluster, asked with packets.
//!
//! ```text
//!   manifests ─► API server ─► controller ─► enforcers ─► kernels
//!                    │                                      │
//!                    └─► oracle: what is expected    prober: what is observed
//! ```
//! Objects are applied as a user would. Pods run for real; their network namespaces are entered from outside, so that
//! the prober can send and listen in them whatever their image is. What is expected follows from the objects that the
//! API server holds at that moment, decoded as the controller does, and asked of the oracle.
//!
//! A process that uses this has to run in a network namespace from which the API server can be reached, with
//! `KUBECONFIG` set; `make e2e` sees to that.

mod city;
mod node;
mod objects;
mod sandbox;
mod vigil;

pub use city::{City, PodEnd, ask, between};
pub use node::NodeEnd;
pub use objects::{Namespaced, Objects, until};
pub use vigil::Vigil;
