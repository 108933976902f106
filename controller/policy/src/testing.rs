//! Builders and strategies for tests, here and in the crates above.

pub mod builders;
pub mod strategies;
