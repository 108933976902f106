//! What the rest of the enforcer may ask of conntrack, and the kernel's answer over netlink.

use std::fmt::Display;
use std::future::Future;
use std::io;
use std::time::Duration;

use nlink::netlink::message::{MessageIter, NLM_F_ACK, NLM_F_DUMP, NLM_F_REQUEST};
use nlink::netlink::{Connection, MessageBuilder, Netfilter};
use rustix::net::sockopt;
use thiserror::Error;
use tokio::time::timeout;

use super::entry::{CTA_ID, CTA_TUPLE_ORIG, Entry, Identity};

/// How long the kernel may take for the next piece of an answer; it answers from memory.
const PATIENCE: Duration = Duration::from_secs(10);

/// Room for a piece of a listing, and for an error for each entry of a piece of a deletion.
const RECEIVE_BUFFER: usize = 8 << 20;

/// Entries that are deleted with one system call.
const PIECE: usize = 256;

/// `NFNL_SUBSYS_CTNETLINK`, and `IPCTNL_MSG_CT_GET` and `IPCTNL_MSG_CT_DELETE` of it.
const GET: u16 = 1 << 8 | 1;
const DELETE: u16 = 1 << 8 | 2;

/// `NLA_F_NESTED`
const NESTED: u16 = 1 << 15;

/// `struct nfgenmsg`: family, version, resource. Without a family it asks for all of them.
const ANY_FAMILY: [u8; 4] = [0; 4];

/// What remembers connections.
pub trait Conntrack: Send {
    /// Shows every entry, piece by piece. Returns how many could not be read.
    fn list(
        &mut self,
        see: impl FnMut(&Entry<'_>) + Send,
    ) -> impl Future<Output = Result<u64, ConntrackError>> + Send;

    /// Deletes entries. Returns how many were still there.
    fn delete(&mut self, entries: &[Identity]) -> impl Future<Output = Result<u64, ConntrackError>> + Send;
}

/// Why the flows are not known.
#[derive(Debug, Error)]
#[error("{attempt}: {message}")]
pub struct ConntrackError {
    attempt: &'static str,
    message: String,
}

impl ConntrackError {
    pub(crate) fn new(attempt: &'static str, message: impl Display) -> Self {
        Self {
            attempt,
            message: message.to_string(),
        }
    }
}

/// Conntrack of one network namespace.
pub struct Netlink {
    connection: Connection<Netfilter>,
}

impl Netlink {
    /// That of the calling thread's network namespace. Needs a tokio runtime and `CAP_NET_ADMIN`.
    pub fn open() -> Result<Self, ConntrackError> {
        Self::over(Connection::<Netfilter>::new())
    }

    /// That of another network namespace.
    pub fn open_in(namespace: &nlink::netlink::namespace::Netns) -> Result<Self, ConntrackError> {
        Self::over(Connection::<Netfilter>::new_in(namespace))
    }

    fn over(connection: nlink::Result<Connection<Netfilter>>) -> Result<Self, ConntrackError> {
        let failed = |error: &dyn Display| ConntrackError::new("opening a netlink socket", error);
        let connection = connection.map_err(|error| failed(&error))?;
        sockopt::set_socket_recv_buffer_size_force(connection.socket(), RECEIVE_BUFFER)
            .map_err(|error| failed(&error))?;
        Ok(Self { connection })
    }

    async fn send(&self, attempt: &'static str, messages: &[u8]) -> Result<(), ConntrackError> {
        let sent = self.connection.socket().send(messages).await;
        sent.map_err(|error| ConntrackError::new(attempt, error))
    }

    async fn receive(&self, attempt: &'static str) -> Result<Vec<u8>, ConntrackError> {
        let received = timeout(PATIENCE, self.connection.socket().recv_unicast()).await;
        received
            .map_err(|late| ConntrackError::new(attempt, late))?
            .map_err(|error| ConntrackError::new(attempt, error))
    }

    fn request(&self, kind: u16, flags: u16, sequence: u32) -> MessageBuilder {
        let mut message = MessageBuilder::new(kind, NLM_F_REQUEST | flags);
        message.set_seq(sequence);
        message.set_pid(self.connection.socket().pid());
        message
    }

    /// Deletes some entries: one request each, of which the kernel acknowledges the last and says what failed.
    async fn delete_piece(&self, entries: &[Identity]) -> Result<u64, ConntrackError> {
        const ATTEMPT: &str = "deleting conntrack entries";
        let mut messages = Vec::new();
        let mut last = 0;
        for (position, Identity { family, tuple, id }) in entries.iter().enumerate() {
            let acknowledge = if position + 1 == entries.len() {
                NLM_F_ACK
            } else {
                0
            };
            last = self.connection.socket().next_seq();
            let mut message = self.request(DELETE, acknowledge, last);
            message.append_bytes(&[*family, 0, 0, 0]);
            message.append_attr(CTA_TUPLE_ORIG | NESTED, tuple);
            if let Some(id) = id {
                message.append_attr_u32_be(CTA_ID, *id);
            }
            messages.extend(message.finish());
        }
        if messages.is_empty() {
            return Ok(0);
        }
        self.send(ATTEMPT, &messages).await?;
        let mut deleted = u64::try_from(entries.len()).unwrap_or(u64::MAX);
        let mut refused = None;
        loop {
            let answer = self.receive(ATTEMPT).await?;
            for message in MessageIter::new(&answer) {
                let (header, payload) = message.map_err(|error| ConntrackError::new(ATTEMPT, error))?;
                // Sequence numbers wrap; what is left of an earlier request that was given up lies outside.
                if last.wrapping_sub(header.nlmsg_seq) as usize >= entries.len() || !header.is_error() {
                    continue;
                }
                match outcome(payload) {
                    0 => {}
                    errno => {
                        deleted = deleted.saturating_sub(1);
                        let error = io::Error::from_raw_os_error(errno);
                        // It ended by itself.
                        if error.kind() != io::ErrorKind::NotFound {
                            refused = Some(error);
                        }
                    }
                }
                if header.nlmsg_seq == last {
                    return refused.map_or(Ok(deleted), |error| Err(ConntrackError::new(ATTEMPT, error)));
                }
            }
        }
    }
}

impl Conntrack for Netlink {
    async fn list(&mut self, mut see: impl FnMut(&Entry<'_>) + Send) -> Result<u64, ConntrackError> {
        const ATTEMPT: &str = "listing conntrack entries";
        let sequence = self.connection.socket().next_seq();
        let mut request = self.request(GET, NLM_F_DUMP, sequence);
        request.append_bytes(&ANY_FAMILY);
        self.send(ATTEMPT, &request.finish()).await?;
        let mut unreadable = 0;
        loop {
            let piece = self.receive(ATTEMPT).await?;
            for message in MessageIter::new(&piece) {
                let (header, payload) = message.map_err(|error| ConntrackError::new(ATTEMPT, error))?;
                if header.nlmsg_seq != sequence {
                    continue;
                }
                if header.is_dump_interrupted() {
                    return Err(ConntrackError::new(ATTEMPT, "it changed meanwhile"));
                }
                if header.is_done() || header.is_error() {
                    return match outcome(payload) {
                        0 => Ok(unreadable),
                        errno => Err(ConntrackError::new(ATTEMPT, io::Error::from_raw_os_error(errno))),
                    };
                }
                match Entry::decode(payload) {
                    Some(entry) => see(&entry),
                    None => unreadable += 1,
                }
            }
            // The kernel has the next piece ready at once: without this nothing else would run meanwhile.
            tokio::task::yield_now().await;
        }
    }

    async fn delete(&mut self, entries: &[Identity]) -> Result<u64, ConntrackError> {
        let mut deleted = 0;
        for piece in entries.chunks(PIECE) {
            deleted += self.delete_piece(piece).await?;
        }
        Ok(deleted)
    }
}

/// The error number of an answer, positive; 0 if it went well.
fn outcome(payload: &[u8]) -> i32 {
    payload
        .first_chunk()
        .map_or(0, |bytes| i32::from_ne_bytes(*bytes).saturating_neg())
}
