//! Builders and strategies for tests, here and in the crates above.

pub mod builders;
mod config;
pub mod strategies;

pub use config::config;
