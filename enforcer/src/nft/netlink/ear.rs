//! The socket that commits of others are heard on, and when it is better not to listen.
//!
//! As long as anybody listens, the kernel writes a message for each element that a commit touches: a fifth to a third of what large
//! commits take, and then they have to be read. So nobody listens during a large one of ours. What others commit meanwhile is noticed
//! by the generation: it is not the one that ours made.

use std::sync::atomic::{AtomicBool, Ordering};

use nlink::netlink::nftables::NFNLGRP_NFTABLES;
use nlink::netlink::{Connection, Nftables};

use super::not_read;
use crate::nft::kernel::ReadError;

/// A socket for ruleset events.
pub(super) struct Ear {
    connection: Connection<Nftables>,
    /// Whether it should hear and does not.
    deaf: AtomicBool,
}

/// While this is there nothing is heard.
pub(super) struct Covered<'a>(&'a Ear);

impl Ear {
    /// Hears from now on.
    pub(super) fn open(connection: Connection<Nftables>) -> Result<Self, ReadError> {
        let ear = Self {
            connection,
            deaf: AtomicBool::new(false),
        };
        ear.listen()?;
        Ok(ear)
    }

    pub(super) fn connection(&self) -> &Connection<Nftables> {
        &self.connection
    }

    /// Makes sure that it hears. What happened while it did not is not known.
    pub(super) fn check(&self) -> Result<(), ReadError> {
        if self.deaf.load(Ordering::Relaxed) {
            self.listen()?;
        }
        Ok(())
    }

    /// Hears nothing for a while; `None` if it goes on hearing.
    pub(super) fn cover(&self) -> Option<Covered<'_>> {
        let left = self.connection.socket().drop_membership(NFNLGRP_NFTABLES);
        left.is_ok().then_some(Covered(self))
    }

    fn listen(&self) -> Result<(), ReadError> {
        let joined = self.connection.socket().add_membership(NFNLGRP_NFTABLES);
        self.deaf.store(joined.is_err(), Ordering::Relaxed);
        joined.map_err(|error| not_read("a subscription to ruleset events", error))
    }
}

impl Drop for Covered<'_> {
    fn drop(&mut self) {
        // If it fails, the next commit says so.
        let _ = self.0.listen();
    }
}
