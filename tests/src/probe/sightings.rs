//! Who saw what: attempts wait here for the sightings that responders report under the attempt's tag.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

/// All attempts that wait.
#[derive(Debug, Default)]
pub(super) struct Sightings(Mutex<Table>);

#[derive(Debug, Default)]
struct Table {
    last: u32,
    waiting: HashMap<u32, Entry>,
}

#[derive(Debug, Default)]
struct Entry {
    seen: Seen,
    changed: Arc<Notify>,
}

/// What is known of an attempt.
#[derive(Clone, Debug, Default)]
pub(super) struct Seen {
    /// Whom the request has reached.
    pub(super) heard: Option<String>,
    /// Whether an answer came back to a responder of the sender instead of a socket of the attempt's own. The
    /// kernel answers echo requests; who it was is who has heard it.
    pub(super) answered: bool,
}

/// An attempt's place in the table, given up when dropped.
#[derive(Debug)]
pub(super) struct Ticket {
    tag: u32,
    changed: Arc<Notify>,
    sightings: Arc<Sightings>,
}

impl Sightings {
    /// A place under a tag of its own.
    pub(super) fn ticket(self: &Arc<Self>) -> Ticket {
        let mut table = self.table();
        // Zero is no initiate tag of SCTP.
        let tag = table.last.wrapping_add(1).max(1);
        table.last = tag;
        let changed = table.waiting.entry(tag).or_default().changed.clone();
        drop(table);
        Ticket {
            tag,
            changed,
            sightings: self.clone(),
        }
    }

    /// The request under `tag` has reached `who`.
    pub(super) fn heard(&self, tag: u32, who: &str) {
        self.note(tag, |seen| seen.heard = Some(who.to_owned()));
    }

    /// The request under `tag` has been answered.
    pub(super) fn answered(&self, tag: u32) {
        self.note(tag, |seen| seen.answered = true);
    }

    fn note(&self, tag: u32, note: impl FnOnce(&mut Seen)) {
        if let Some(entry) = self.table().waiting.get_mut(&tag) {
            note(&mut entry.seen);
            entry.changed.notify_one();
        }
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ticket {
    /// The tag for the packets of the attempt.
    pub(super) fn tag(&self) -> u32 {
        self.tag
    }

    /// What is known so far.
    pub(super) fn seen(&self) -> Seen {
        self.sightings
            .table()
            .waiting
            .get(&self.tag)
            .map(|entry| entry.seen.clone())
            .unwrap_or_default()
    }

    /// Waits for a sighting that `wanted` finds.
    pub(super) async fn wait<T>(&self, wanted: impl Fn(Seen) -> Option<T>) -> T {
        loop {
            let changed = self.changed.notified();
            if let Some(found) = wanted(self.seen()) {
                return found;
            }
            changed.await;
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.sightings.table().waiting.remove(&self.tag);
    }
}
