//! The kernel over netlink: the model as messages, and back.
//!
//! ```text
//!   Change ── transaction ──┬─ rule::encode      ─►  one batch at one generation
//!                           └─ element
//!   Loaded ◄── read ────────┬─ rule::decode      ◄─  dumps of our tables
//!                           └─ element
//!   Edit   ◄── events                            ◄─  what others commit
//! ```
//! Everything goes through the `nlink` crate, and nothing of it leaves this module. Structure uses its typed
//! messages; elements, of which there may be a hundred thousand, are encoded and decoded here.

mod dump;
mod ear;
mod element;
mod events;
mod read;
mod rule;
mod transaction;

use std::sync::{Arc, Weak};

use nlink::netlink::nftables::Family;
use nlink::netlink::{Connection, Nftables};
use rustix::net::sockopt;
use tokio::sync::Mutex;
use tokio::task::JoinHandle;

use ear::Ear;
use read::Rules;

pub use events::{Edit, Edits};

use super::diff::{Change, Operation};
use super::kernel::{CommitError, Counters, Generation, Kernel, Loaded, ReadError};
use super::model::TableKey;

/// Room for a transaction of half a million elements; the default refuses a few thousand (EMSGSIZE).
const SEND_BUFFER: usize = 64 << 20;

/// Room for the answers to many refused operations, or for events that nobody has read yet.
const RECEIVE_BUFFER: usize = 32 << 20;

/// Elements of a commit during which nobody listens. Leaving and coming back costs some microseconds.
const LARGE: usize = 100;

/// How often a reading starts again, or a deletion is planned again, when others keep changing the ruleset.
const ATTEMPTS: usize = 8;

/// The kernel of one network namespace.
pub struct Nlink {
    connection: Mutex<Connection<Nftables>>,
    port: u32,
    /// Hears what others commit, if somebody asked for that.
    ear: Mutex<Weak<Ear>>,
}

impl Nlink {
    /// The kernel of the calling thread's network namespace. Needs a tokio runtime and `CAP_NET_ADMIN`.
    pub fn open() -> Result<Self, ReadError> {
        Self::over(Connection::<Nftables>::new())
    }

    /// The kernel of another network namespace.
    pub fn open_in(namespace: &nlink::netlink::namespace::Netns) -> Result<Self, ReadError> {
        Self::over(Connection::<Nftables>::new_in(namespace))
    }

    fn over(connection: nlink::Result<Connection<Nftables>>) -> Result<Self, ReadError> {
        let connection = connection.map_err(|error| not_read("a netlink socket", error))?;
        widen(&connection).map_err(|error| not_read("the netlink socket's buffers", error))?;
        Ok(Self {
            port: connection.socket().pid(),
            connection: Mutex::new(connection),
            ear: Mutex::default(),
        })
    }

    /// Reads our tables in threads of its own, in the network namespace of the calling thread.
    pub fn read_apart() -> JoinHandle<Result<Loaded, ReadError>> {
        let failed = |error| not_read("our tables", error);
        apart(failed, async || {
            let connection = Self::open()?.connection.into_inner();
            read::ruleset(&connection, Rules::Apart).await
        })
    }

    /// What other processes commit to our tables from now on.
    pub async fn edits(&self) -> Result<Edits, ReadError> {
        let connection = self.connection.lock().await.sibling::<Nftables>();
        let connection = connection.map_err(|error| not_read("a netlink socket for events", error))?;
        widen(&connection).map_err(|error| not_read("the event socket's buffers", error))?;
        let ear = Arc::new(Ear::open(connection)?);
        *self.ear.lock().await = Arc::downgrade(&ear);
        Ok(Edits::new(ear, self.port))
    }
}

impl Kernel for Nlink {
    async fn read(&self) -> Result<Loaded, ReadError> {
        let connection = self.connection.lock().await;
        read::ruleset(&connection, Rules::InTurn).await
    }

    async fn commit(&self, change: &Change<'_>, expected: Generation) -> Result<Generation, CommitError> {
        let ear = self.ear.lock().await.upgrade();
        if let Some(ear) = &ear {
            ear.check().map_err(unsendable)?;
        }
        if change.is_empty() {
            return Ok(expected);
        }
        let connection = self.connection.lock().await;
        let is_large = change.counts().elements() > LARGE;
        let covered = ear.as_deref().filter(|_| is_large).and_then(Ear::cover);
        let made = transaction::commit(&connection, change.operations(), expected).await?;
        if covered.is_some() {
            drop(covered);
            let unknown = |message: String| CommitError::OutcomeUnknown { message };
            let generation = read::generation(&connection).await;
            let generation = generation.map_err(|error| unknown(error.to_string()))?;
            if generation != made {
                let message = format!("generation {generation} follows {expected}: others wrote as well");
                return Err(unknown(message));
            }
        }
        Ok(made)
    }

    async fn counters(&self) -> Result<Counters, ReadError> {
        let connection = self.connection.lock().await;
        read::counters(&connection).await
    }

    async fn delete_tables(&self) -> Result<Vec<TableKey>, CommitError> {
        let connection = self.connection.lock().await;
        let mut attempt = 0;
        loop {
            let expected = read::generation(&connection).await.map_err(unsendable)?;
            let tables = read::table_keys(&connection).await.map_err(unsendable)?;
            if tables.is_empty() {
                return Ok(tables);
            }
            let operations: Vec<_> = tables
                .iter()
                .map(|&table| Operation::DeleteTable { table })
                .collect();
            attempt += 1;
            match transaction::commit(&connection, &operations, expected).await {
                Err(CommitError::Stale { .. }) if attempt < ATTEMPTS => {}
                outcome => return outcome.map(|_| tables),
            }
        }
    }
}

#[expect(clippy::needless_pass_by_value, reason = "it is mapped over")]
fn unsendable(error: ReadError) -> CommitError {
    CommitError::Unsendable {
        message: error.to_string(),
    }
}

/// Does something in a thread of its own, which can wait for the kernel.
fn apart<T, E, F, W>(failed: fn(std::io::Error) -> E, work: W) -> JoinHandle<Result<T, E>>
where
    T: Send + 'static,
    E: Send + 'static,
    F: Future<Output = Result<T, E>>,
    W: FnOnce() -> F + Send + 'static,
{
    tokio::task::spawn_blocking(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.map_err(failed)?.block_on(work())
    })
}

fn widen(connection: &Connection<Nftables>) -> Result<(), rustix::io::Errno> {
    sockopt::set_socket_send_buffer_size_force(connection.socket(), SEND_BUFFER)?;
    sockopt::set_socket_recv_buffer_size_force(connection.socket(), RECEIVE_BUFFER)
}

fn not_read(what: impl Into<String>, error: impl std::fmt::Display) -> ReadError {
    ReadError::Netlink {
        what: what.into(),
        message: shortened(&error.to_string()),
    }
}

/// Error texts have a line for each refused operation; the first few say enough.
fn shortened(text: &str) -> String {
    const ENOUGH: usize = 600;
    if text.len() <= ENOUGH {
        return text.to_owned();
    }
    format!(
        "{}… ({} bytes)",
        text.get(..text.floor_char_boundary(ENOUGH)).unwrap_or_default(),
        text.len()
    )
}

fn family(table: TableKey) -> Family {
    match table {
        TableKey::Inet => Family::Inet,
        TableKey::Netdev => Family::Netdev,
        TableKey::Bridge => Family::Bridge,
    }
}
