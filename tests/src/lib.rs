//! Nodes and pods as network namespaces, one case table, real packets.
//!
//! [`bed`] makes the network, [`probe`] asks it, [`cases`] says what must be answered, and [`stage`] runs the product in
//! between. [`live`] asks the same of a running cluster.

pub mod bed;
pub mod cases;
pub mod cluster;
pub mod demo;
pub mod latency;
pub mod live;
pub mod probe;
pub mod stage;
