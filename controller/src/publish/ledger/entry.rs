//! What is known of one object.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use super::{Key, References, Wanted, Write};
use crate::backoff::Backoff;

/// The pauses after failed writes of one object.
const PAUSES: Backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(10));

/// After so many failures an object that is in use anyway no longer holds up others.
const PATIENCE: u32 = 3;

/// Whether an object is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Presence {
    Absent,
    Present,
    /// A write whose outcome is not known may have made it, or deleted it.
    Unsure,
}

#[derive(Clone, Debug)]
pub(super) struct Entry<C> {
    pub(super) wanted: Option<Wanted<C>>,
    /// When `wanted` changed last.
    pub(super) changed: u64,
    pub(super) presence: Presence,
    pub(super) mark: Option<String>,
    pub(super) revision: u64,
    pub(super) version: u64,
    /// When the API server last told of it.
    pub(super) confirmed: u64,
    /// The oldest change that the stored object does not have, if there is one.
    pub(super) behind: Option<u64>,
    /// What the stored object may refer to.
    pub(super) held: References,
    /// What it refers to if a write was done whose outcome is not known, with the revision of that write.
    pub(super) doubts: Vec<(u64, References)>,
    pub(super) flight: Option<Flight>,
    pub(super) failures: Option<Failures>,
    /// Whether somebody else has put something into it that an apply leaves there.
    pub(super) foreign: bool,
    /// Whether it was deleted and the watch has not told yet: what it tells until then is older.
    pub(super) buried: bool,
    /// Its place in the queue.
    pub(super) queued: Option<u64>,
    /// How many objects hold on to it.
    pub(super) users: usize,
    /// What waits for it.
    pub(super) waiters: BTreeSet<Key>,
}

#[derive(Clone, Debug)]
pub(super) struct Flight {
    /// The mark that is being written; `None` for a deletion.
    pub(super) mark: Option<String>,
    pub(super) references: References,
    pub(super) revision: u64,
    /// Whether the watch has told meanwhile that the object is gone.
    pub(super) gone: bool,
    /// The first change since it began.
    pub(super) overtaken: Option<u64>,
}

#[derive(Clone, Debug)]
pub(super) struct Failures {
    pub(super) pauses: Backoff,
    pub(super) count: u32,
    pub(super) until: Instant,
}

impl<C> Default for Entry<C> {
    fn default() -> Self {
        Self {
            wanted: None,
            changed: 0,
            presence: Presence::Absent,
            mark: None,
            revision: 0,
            version: 0,
            confirmed: 0,
            behind: None,
            held: References::default(),
            doubts: Vec::new(),
            flight: None,
            failures: None,
            foreign: false,
            buried: false,
            queued: None,
            users: 0,
            waiters: BTreeSet::new(),
        }
    }
}

impl<C: Clone> Entry<C> {
    /// Whether the stored object says what it should, as far as is known.
    pub(super) fn is_settled(&self) -> bool {
        match &self.wanted {
            None => self.presence == Presence::Absent,
            Some(wanted) => {
                let same = self.mark.as_deref() == Some(wanted.mark.as_str());
                self.presence == Presence::Present && same && self.doubts.is_empty()
            }
        }
    }

    /// Whether there is nothing to do about it, whatever the time.
    pub(super) fn is_idle(&self) -> bool {
        let needed = self.wanted.is_none() && self.users > 0;
        self.flight.is_some() || self.is_settled() || needed
    }

    /// The write that brings it to where it should be.
    pub(super) fn takeoff(&self) -> (Write<C>, Flight) {
        let Some(wanted) = &self.wanted else {
            let known = self.presence == Presence::Present && self.version > 0;
            let write = Write::Delete {
                version: known.then_some(self.version),
            };
            let flight = Flight {
                mark: None,
                references: References::default(),
                revision: self.revision,
                gone: false,
                overtaken: None,
            };
            return (write, flight);
        };
        let revision = self.revision.saturating_add(1);
        let replace = self.foreign && self.presence == Presence::Present;
        let write = Write::Put {
            wanted: wanted.clone(),
            revision,
            replace: replace.then_some(self.version),
        };
        let flight = Flight {
            mark: Some(wanted.mark.clone()),
            references: wanted.references.clone(),
            revision,
            gone: false,
            overtaken: None,
        };
        (write, flight)
    }

    /// Whether an object that changed at `changed` may refer to this one.
    pub(super) fn serves(&self, changed: u64) -> bool {
        let going = self.flight.as_ref().is_some_and(|flight| flight.mark.is_none());
        if self.presence != Presence::Present || going {
            return false;
        }
        let patient = self
            .failures
            .as_ref()
            .is_none_or(|failures| failures.count < PATIENCE);
        self.behind.is_none_or(|behind| behind > changed) || (!patient && self.users > 0)
    }

    pub(super) fn fail(&mut self, now: Instant) {
        let failures = self.failures.get_or_insert(Failures {
            pauses: PAUSES,
            count: 0,
            until: now,
        });
        failures.count = failures.count.saturating_add(1);
        failures.until = now + failures.pauses.pause();
    }

    pub(super) fn retry(&self, key: &Key) -> Option<(Instant, Key)> {
        self.failures
            .as_ref()
            .map(|failures| (failures.until, key.clone()))
    }

    /// Whether nothing at all is to be remembered of it.
    pub(super) fn is_forgotten(&self) -> bool {
        self.wanted.is_none()
            && self.presence == Presence::Absent
            && self.flight.is_none()
            && self.users == 0
            && self.waiters.is_empty()
            && !self.buried
            && self.queued.is_none()
    }
}
