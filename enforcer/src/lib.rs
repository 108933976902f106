//! The node side.

pub mod cli;
pub mod facts;
pub mod flows;
mod moment;
pub mod nft;
pub mod plan;
mod report;
pub mod run;
pub mod show;
pub mod source;
pub mod tables;
pub mod walk;
mod watch;
