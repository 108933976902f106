//! The kernel layer against a real kernel: what is written is what `nft` lists and what is read back, whatever goes
//! wrong in between.
//!
//! Each test makes a network namespace of its own, without a name, that ends with the test. Root is needed, and the
//! `nft` and `unshare` commands; without them the tests fail and say so.

#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test says what it expects, in the functions that tests share too"
)]

mod edits;
mod failure;
mod flows;
mod load;
mod namespace;
mod random;
mod sample;
