//! How the product behaves while things change: no gap, nothing early, nothing of others', nothing half done.
//!
//! Each module is a promise; each test starts a [`town::Town`], plays a story on it and asks with packets.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::indexing_slicing,
    reason = "all of this file is tests"
)]

mod cost;
mod drift;
mod ends;
mod enforcer_cleanup;
mod enforcer_killed;
mod established_flows;
mod flooding;
mod foreign_tables;
mod gaps;
mod new_pod_closed;
mod refusals;
mod restart;
mod searched;
mod spoofing;
mod town;

use std::time::Duration;

use tokio::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard};

/// No wait takes longer.
const PATIENCE: Duration = Duration::from_secs(20);

/// The port that everybody listens on.
const PORT: u16 = 80;

/// Tests that count single packets have the machine for themselves.
static MACHINE: RwLock<()> = RwLock::const_new(());

/// A test that may run beside others.
async fn beside_others() -> RwLockReadGuard<'static, ()> {
    MACHINE.read().await
}

/// A test that counts single packets at a pace.
async fn alone() -> RwLockWriteGuard<'static, ()> {
    MACHINE.write().await
}
