//! What other processes commit, and whether it touches our tables.
//!
//! The kernel tells every listener of each object that a commit touched, and then of the new generation with the name
//! of the process. Each message carries the port of the socket that committed, so our own commits are told apart
//! exactly; process ids would not do, for they are those of threads, and of another pid namespace in a container.

use std::collections::VecDeque;
use std::sync::Arc;

use nlink::netlink::nftables::{
    Family, NFGENMSG_HDRLEN, NFNL_SUBSYS_NFTABLES, NFT_MSG_NEWGEN, NFTA_GEN_ID, NFTA_GEN_PROC_NAME,
    NFTA_GEN_PROC_PID,
};
use nlink::netlink::{AttrIter, MessageIter};

use super::ear::Ear;
use super::{family, not_read};
use crate::nft::kernel::{Generation, ReadError};
use crate::nft::model::TableKey;

/// The first attribute of every message about an object: its table's name (`NFTA_TABLE_NAME`, `NFTA_CHAIN_TABLE`, …).
const TABLE_NAME: u16 = 1;

/// A commit of another process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Edit {
    /// Another process changed something in one of our tables.
    Edited {
        /// The generation that its commit made.
        generation: Generation,
        /// Who it was, as far as the kernel says: the id of the thread in the first pid namespace.
        pid: Option<u32>,
        /// Its name, cut to 15 bytes by the kernel.
        process: Option<String>,
    },
    /// Another process made a generation without touching our tables: what is known of them holds for it too.
    Elsewhere {
        /// The generation that its commit made.
        generation: Generation,
    },
    /// More happened than could be kept. Read the tables.
    Missed,
}

/// The edits of others, from the moment of subscription.
pub struct Edits {
    ear: Arc<Ear>,
    /// The port of the socket whose commits are ours.
    own: u32,
    /// Whether the commit that is being told of touched one of our tables.
    touched: bool,
    ready: VecDeque<Edit>,
}

impl Edits {
    pub(super) fn new(ear: Arc<Ear>, own: u32) -> Self {
        Self {
            ear,
            own,
            touched: false,
            ready: VecDeque::new(),
        }
    }

    /// Waits for the next edit. Dropping the wait loses nothing.
    pub async fn next(&mut self) -> Result<Edit, ReadError> {
        loop {
            if let Some(edit) = self.ready.pop_front() {
                return Ok(edit);
            }
            match self.ear.connection().socket().recv_msg().await {
                Ok(datagram) => self.datagram(&datagram)?,
                Err(error) if error.is_no_buffer_space() || error.is_truncated() => {
                    self.touched = false;
                    return Ok(Edit::Missed);
                }
                Err(error) => return Err(not_read("ruleset events", error)),
            }
        }
    }

    fn datagram(&mut self, datagram: &[u8]) -> Result<(), ReadError> {
        for message in MessageIter::new(datagram) {
            let (header, payload) = message.map_err(|error| not_read("ruleset events", error))?;
            let [subsystem, kind] = header.nlmsg_type.to_be_bytes();
            if u16::from(subsystem) != NFNL_SUBSYS_NFTABLES || header.nlmsg_pid == self.own {
                continue;
            }
            let attributes = payload.get(NFGENMSG_HDRLEN..).unwrap_or_default();
            if kind == NFT_MSG_NEWGEN {
                let touched = std::mem::take(&mut self.touched);
                self.ready.push_back(committed(attributes, touched));
            } else {
                self.touched |= is_ours(payload.first().copied(), attributes);
            }
        }
        Ok(())
    }
}

fn is_ours(number: Option<u8>, attributes: &[u8]) -> bool {
    let family_is_ours = number
        .and_then(Family::from_u8)
        .is_some_and(|found| TableKey::ALL.into_iter().any(|key| family(key) == found));
    let name = AttrIter::new(attributes)
        .find(|(kind, _)| *kind == TABLE_NAME)
        .map(|(_, name)| name);
    family_is_ours && name.is_some_and(|name| text(name) == TableKey::NAME)
}

fn committed(attributes: &[u8], touched: bool) -> Edit {
    let mut generation = Generation::default();
    let mut pid = None;
    let mut process = None;
    for (kind, payload) in AttrIter::new(attributes) {
        let number = payload.first_chunk().map(|bytes| u32::from_be_bytes(*bytes));
        match kind {
            NFTA_GEN_ID => generation = Generation(number.unwrap_or_default()),
            NFTA_GEN_PROC_PID => pid = number,
            NFTA_GEN_PROC_NAME => process = Some(text(payload)),
            _ => {}
        }
    }
    if touched {
        Edit::Edited {
            generation,
            pid,
            process,
        }
    } else {
        Edit::Elsewhere { generation }
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).trim_end_matches('\0').to_owned()
}
