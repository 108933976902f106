//! Builders and strategies for tests, here and in the crates above.

pub mod builders;
mod config;
pub mod strategies;
pub mod workloads;

pub use config::config;
