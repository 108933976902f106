//! A listing is a difference: what it has and we have not is new, what we have and it has not is gone, and nothing is
//! taken in before it is whole.

use std::collections::BTreeSet;

use palisade_policy::cluster::{ClusterState, Event};

use crate::watch::{Kind, Observed, Step};

/// The listing of one kind, while it goes on.
#[derive(Clone, Debug)]
pub(super) struct Relist<T: Kind> {
    listing: Option<Listing<T>>,
    complete: bool,
}

#[derive(Clone, Debug)]
struct Listing<T: Kind> {
    seen: BTreeSet<T::Key>,
    changed: Vec<T>,
}

impl<T: Kind> Default for Relist<T> {
    fn default() -> Self {
        Self {
            listing: None,
            complete: false,
        }
    }
}

impl<T: Kind> Relist<T> {
    /// Whether there has been a whole listing.
    pub(super) fn is_complete(&self) -> bool {
        self.complete
    }

    /// What a step changes, compared with what is known.
    pub(super) fn take(&mut self, step: Step<T>, state: &ClusterState) -> Vec<Event> {
        let known = T::all(state);
        match step {
            Step::ListingStarted => {
                self.listing = Some(Listing {
                    seen: BTreeSet::new(),
                    changed: Vec::new(),
                });
                Vec::new()
            }
            Step::Listed(observed) => {
                let Some(listing) = &mut self.listing else {
                    return Vec::new();
                };
                if let Some((key, object)) = settle(observed, state)
                    && let Some(object) = object
                {
                    if known.get(&key) != Some(&object) {
                        listing.changed.push(object);
                    }
                    listing.seen.insert(key);
                }
                Vec::new()
            }
            Step::ListingDone => {
                let Some(Listing { seen, changed }) = self.listing.take() else {
                    return Vec::new();
                };
                self.complete = true;
                let gone = known.keys().filter(|key| !seen.contains(key));
                let gone = gone.cloned().map(T::deleted);
                gone.chain(changed.into_iter().map(T::applied)).collect()
            }
            Step::Applied(observed) => settle(observed, state)
                .map(|(key, object)| object.map_or_else(|| T::deleted(key), T::applied))
                .into_iter()
                .collect(),
            Step::Deleted(key) => vec![T::deleted(key)],
        }
    }
}

/// An object under its identity, or what stands for one that cannot be read.
fn settle<T: Kind>(observed: Observed<T>, state: &ClusterState) -> Option<(T::Key, Option<T>)> {
    let key = observed.key?;
    let object = observed
        .object
        .or_else(|| T::unreadable(&key, T::all(state).get(&key)));
    Some((key, object))
}
