//! What to write next: a state machine without a clock, a network or a task of its own.
//!
//! ```text
//!   want, unwant ───────► ┌────────┐ ──► next: the writes that may begin now
//!   found, gone, listed ► │ Ledger │
//!   written, failed ────► └────────┘
//! ```
//!
//! What it holds to, whatever the order of what it is told:
//! - An object is written only when everything that it refers to, directly or through others, is there and says what it
//!   said when the object was asked for, or something newer.
//! - An object is deleted only when nothing that is there, or may be, refers to it.
//! - One write of an object at a time, and always the newest state; what came in between is never written.
//! - An attempt whose outcome is not known counts as done and as not done, whichever is the worse.

mod entry;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use entry::{Entry, Flight, Presence};

/// Which kind of object. Each refers to slices of its own kind and to objects of the kinds before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Kind {
    Slice,
    Policies,
    Pods,
    RuleSet,
}

/// An object: its kind and its name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Key {
    pub(crate) kind: Kind,
    pub(crate) name: Arc<str>,
}

impl Key {
    pub(crate) fn new(kind: Kind, name: impl Into<Arc<str>>) -> Self {
        Self {
            kind,
            name: name.into(),
        }
    }
}

impl Kind {
    pub(crate) const ALL: [Self; 4] = [Self::Slice, Self::Policies, Self::Pods, Self::RuleSet];

    /// The kind's name.
    pub(crate) fn resource(self) -> &'static str {
        match self {
            Self::Slice => "AddressGroup",
            Self::Policies => "PolicySlice",
            Self::Pods => "PodSlice",
            Self::RuleSet => "NodeRuleSet",
        }
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind.resource(), self.name)
    }
}

/// The objects that an object refers to.
pub(crate) type References = Arc<BTreeSet<Key>>;

/// An object as it should be.
#[derive(Clone, Debug)]
pub(crate) struct Wanted<C> {
    /// Equal content has equal marks.
    pub(crate) mark: String,
    /// The objects that it refers to.
    pub(crate) references: References,
    /// What to write.
    pub(crate) content: C,
}

/// An object as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Stored {
    /// The mark of what it says; `None` where that is not what anybody would have written.
    pub(crate) mark: Option<String>,
    /// The objects that it refers to.
    pub(crate) references: References,
    /// The revision that it carries.
    pub(crate) revision: u64,
    /// Its version (`metadata.resourceVersion`): a greater one is a later one.
    pub(crate) version: u64,
}

/// Something to do.
#[derive(Clone, Debug)]
pub(crate) struct Action<C> {
    pub(crate) key: Key,
    pub(crate) write: Write<C>,
}

/// What to do with an object.
#[derive(Clone, Debug)]
pub(crate) enum Write<C> {
    /// Write it, with this revision. Where `replace` gives a version, somebody else has put something into it that
    /// an apply leaves there.
    Put {
        wanted: Wanted<C>,
        revision: u64,
        replace: Option<u64>,
    },
    /// Delete it, if it is still of this version; whatever it is, where that is not known.
    Delete { version: Option<u64> },
}

/// See the [module](self).
#[derive(Clone, Debug)]
pub(crate) struct Ledger<C> {
    entries: BTreeMap<Key, Entry<C>>,
    /// What may have to be done, in the order in which it came up.
    queue: BTreeMap<u64, Key>,
    /// What has failed, and when it is tried again.
    later: BTreeSet<(Instant, Key)>,
    in_flight: usize,
    /// Counts what it was told.
    tick: u64,
    /// When the listing began that is going on.
    listing: BTreeMap<Kind, u64>,
}

impl<C> Default for Ledger<C> {
    fn default() -> Self {
        Self {
            entries: BTreeMap::new(),
            queue: BTreeMap::new(),
            later: BTreeSet::new(),
            in_flight: 0,
            tick: 0,
            listing: BTreeMap::new(),
        }
    }
}

impl<C: Clone> Ledger<C> {
    /// An object should be, and say this.
    pub(crate) fn want(&mut self, key: &Key, wanted: Wanted<C>) {
        self.change(key, Some(wanted));
    }

    /// An object should not be.
    pub(crate) fn unwant(&mut self, key: &Key) {
        self.change(key, None);
    }

    fn change(&mut self, key: &Key, wanted: Option<Wanted<C>>) {
        self.tick += 1;
        let tick = self.tick;
        let entry = self.entries.entry(key.clone()).or_default();
        entry.wanted = wanted;
        entry.changed = tick;
        if let Some(flight) = &mut entry.flight {
            flight.overtaken.get_or_insert(tick);
        }
        if entry.is_settled() && entry.flight.is_none() {
            entry.behind = None;
        } else {
            entry.behind.get_or_insert(tick);
        }
        self.wake(key);
        self.review(key);
    }

    /// A listing of one kind begins.
    pub(crate) fn listing_started(&mut self, kind: Kind) {
        self.tick += 1;
        self.listing.insert(kind, self.tick);
    }

    /// The listing is whole: what it did not have is not there.
    pub(crate) fn listing_done(&mut self, kind: Kind) {
        let Some(began) = self.listing.remove(&kind) else {
            return;
        };
        let missing: Vec<Key> = self
            .entries
            .iter()
            .filter(|(key, entry)| {
                let stands = entry.presence != Presence::Absent || entry.buried;
                key.kind == kind && stands && entry.confirmed < began
            })
            .map(|(key, _)| key.clone())
            .collect();
        for key in missing {
            if let Some(entry) = self.entries.get_mut(&key) {
                entry.buried = false;
            }
            self.absent(&key);
        }
    }

    /// The API server has an object that says this.
    pub(crate) fn found(&mut self, key: &Key, stored: Stored) {
        self.tick += 1;
        let tick = self.tick;
        let entry = self.entries.entry(key.clone()).or_default();
        entry.confirmed = tick;
        let doubtful = entry.presence == Presence::Unsure && stored.version == entry.version;
        if entry.buried || doubtful || stored.version < entry.version {
            return;
        }
        self.store(key, stored);
        self.wake(key);
        self.review(key);
    }

    /// The API server says that an object is gone; this was its last version.
    pub(crate) fn gone(&mut self, key: &Key, version: u64) {
        let Some(entry) = self.entries.get_mut(key) else {
            return;
        };
        if version < entry.version {
            return;
        }
        entry.buried = false;
        if let Some(flight) = &mut entry.flight {
            flight.gone = true;
        }
        // A write whose outcome is not known may have made it again.
        if entry.presence != Presence::Unsure {
            self.absent(key);
        }
    }

    fn absent(&mut self, key: &Key) {
        self.tick += 1;
        let tick = self.tick;
        let Some(entry) = self.entries.get_mut(key) else {
            return;
        };
        entry.presence = Presence::Absent;
        entry.mark = None;
        entry.foreign = false;
        entry.behind = entry.wanted.as_ref().map(|_| tick);
        let held = std::mem::take(&mut entry.held);
        let doubts = std::mem::take(&mut entry.doubts);
        self.release(&held);
        for (_, references) in doubts {
            self.release(&references);
        }
        self.wake(key);
        self.review(key);
    }

    fn store(&mut self, key: &Key, stored: Stored) {
        self.grip(&stored.references);
        let Some(entry) = self.entries.get_mut(key) else {
            return;
        };
        entry.presence = Presence::Present;
        entry.version = stored.version;
        entry.revision = entry.revision.max(stored.revision);
        entry.mark = stored.mark;
        let (doubts, settled) = std::mem::take(&mut entry.doubts)
            .into_iter()
            .partition(|(revision, _)| *revision > stored.revision);
        entry.doubts = doubts;
        let mut references = stored.references;
        if entry.is_settled() {
            entry.behind = None;
            entry.foreign = false;
            // Equal marks have equal references: one copy is enough.
            references = entry
                .wanted
                .as_ref()
                .map_or(references, |wanted| wanted.references.clone());
        } else {
            // Not what we wrote last: nothing may rely on it, however long it has been waiting.
            entry.behind.get_or_insert(0);
        }
        let held = std::mem::replace(&mut entry.held, references);
        self.release(&held);
        for (_, references) in settled {
            self.release(&references);
        }
    }

    /// What may begin now, so that no more than `limit` are under way. Ask after everything that it was told.
    pub(crate) fn next(&mut self, now: Instant, limit: usize) -> Vec<Action<C>> {
        while let Some((until, _)) = self.later.first()
            && *until <= now
            && let Some((_, key)) = self.later.pop_first()
        {
            self.review(&key);
        }
        let mut actions = Vec::new();
        while self.in_flight < limit
            && let Some((_, key)) = self.queue.pop_first()
        {
            if let Some(entry) = self.entries.get_mut(&key) {
                entry.queued = None;
            }
            if let Some(write) = self.begin(&key, now) {
                actions.push(Action { key, write });
            }
        }
        actions
    }

    /// How many objects may have to be written or deleted.
    pub(crate) fn waiting(&self) -> usize {
        self.queue.len() + self.later.len() + self.in_flight
    }

    /// When something is to be tried again, if nothing else happens.
    pub(crate) fn wake_at(&self) -> Option<Instant> {
        self.later.first().map(|(until, _)| *until)
    }

    fn begin(&mut self, key: &Key, now: Instant) -> Option<Write<C>> {
        let entry = self.entries.get(key)?;
        let pausing = entry
            .failures
            .as_ref()
            .is_some_and(|failures| failures.until > now);
        if entry.is_idle() || pausing {
            return None;
        }
        let lacking = entry
            .wanted
            .as_ref()
            .and_then(|wanted| self.lacking(wanted, entry.changed));
        if let Some(lacking) = lacking {
            self.entries
                .entry(lacking)
                .or_default()
                .waiters
                .insert(key.clone());
            return None;
        }
        let (write, flight) = entry.takeoff();
        self.grip(&flight.references);
        if let Some(entry) = self.entries.get_mut(key) {
            entry.flight = Some(flight);
        }
        self.in_flight += 1;
        Some(write)
    }

    /// What an object that changed at `changed` has to wait for, however far away.
    fn lacking(&self, wanted: &Wanted<C>, changed: u64) -> Option<Key> {
        let mut open: Vec<&Key> = wanted.references.iter().collect();
        let mut seen = BTreeSet::new();
        while let Some(key) = open.pop() {
            if !seen.insert(key) {
                continue;
            }
            let Some(entry) = self.entries.get(key).filter(|entry| entry.serves(changed)) else {
                return Some(key.clone());
            };
            open.extend(entry.wanted.iter().flat_map(|wanted| wanted.references.iter()));
        }
        None
    }

    /// A write is done, and this is what is stored now.
    pub(crate) fn written(&mut self, key: &Key, stored: Stored, now: Instant) {
        let Some(flight) = self.land(key) else { return };
        self.tick += 1;
        let tick = self.tick;
        let Some(entry) = self.entries.get_mut(key) else {
            return;
        };
        entry.confirmed = tick;
        entry.revision = entry.revision.max(flight.revision);
        let ours = stored.mark == flight.mark;
        if ours {
            entry.failures = None;
        } else {
            entry.fail(now);
            self.later.extend(entry.retry(key));
        }
        // The watch may have told of a later version already.
        if stored.version >= entry.version {
            entry.foreign = !ours;
            entry.buried = false;
            entry.behind = flight.overtaken;
            self.store(key, stored);
        }
        self.release(&flight.references);
        self.wake(key);
        self.review(key);
    }

    /// A deletion is done, or the object was gone already.
    pub(crate) fn deleted(&mut self, key: &Key) {
        let Some(flight) = self.land(key) else { return };
        self.tick += 1;
        if let Some(entry) = self.entries.get_mut(key) {
            entry.confirmed = self.tick;
            entry.failures = None;
            entry.buried = !flight.gone;
        }
        self.release(&flight.references);
        self.absent(key);
    }

    /// A write has failed. `unsure`: it may have been done all the same.
    pub(crate) fn failed(&mut self, key: &Key, now: Instant, unsure: bool) {
        let Some(flight) = self.land(key) else { return };
        self.tick += 1;
        let tick = self.tick;
        if let Some(entry) = self.entries.get_mut(key) {
            entry.fail(now);
            self.later.extend(entry.retry(key));
            if unsure {
                // A listing that is going on may be older than this.
                entry.confirmed = tick;
                entry.presence = Presence::Unsure;
                entry.mark = None;
                entry.revision = entry.revision.max(flight.revision);
                entry.behind.get_or_insert(tick);
                entry.doubts.push((flight.revision, flight.references));
            } else {
                self.release(&flight.references);
            }
        }
        self.wake(key);
        self.review(key);
    }

    fn land(&mut self, key: &Key) -> Option<Flight> {
        let flight = self.entries.get_mut(key)?.flight.take()?;
        self.in_flight -= 1;
        Some(flight)
    }

    /// One more object, or one more state of one, may refer to these.
    fn grip(&mut self, references: &References) {
        for key in references.iter() {
            self.entries.entry(key.clone()).or_default().users += 1;
        }
    }

    /// One less.
    fn release(&mut self, references: &References) {
        for key in references.iter() {
            let Some(entry) = self.entries.get_mut(key) else {
                continue;
            };
            entry.users = entry.users.saturating_sub(1);
            if entry.users == 0 {
                self.review(key);
            }
        }
    }

    /// Puts an object into the queue, or takes it out, as there is something to do about it or not.
    fn review(&mut self, key: &Key) {
        let Some(entry) = self.entries.get_mut(key) else {
            return;
        };
        match (entry.is_idle(), entry.queued) {
            (false, None) => {
                self.tick += 1;
                entry.queued = Some(self.tick);
                self.queue.insert(self.tick, key.clone());
            }
            (true, Some(place)) => {
                entry.queued = None;
                self.queue.remove(&place);
            }
            (false, Some(_)) | (true, None) => {}
        }
        if entry.is_forgotten() {
            self.entries.remove(key);
        }
    }

    /// Has everything looked at again that waits for an object.
    fn wake(&mut self, key: &Key) {
        let Some(entry) = self.entries.get_mut(key) else {
            return;
        };
        for waiter in std::mem::take(&mut entry.waiters) {
            self.review(&waiter);
        }
    }
}
