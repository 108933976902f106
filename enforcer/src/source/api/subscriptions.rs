//! Which trees are watched, and by which watch. No input or output: it says what to start and what to stop.
//!
//! A subscription is one watch on the slices of the trees of a fixed set of keys: groups, or namespaces. Keys that are new
//! get a subscription of their own, so that what is watched already is not listed again; when there are many small ones
//! they are replaced by few. What is replaced goes on until what replaces it is in sync: **a key that is in use is never
//! without a subscription, and never loses one that is in sync to one that is not.**

use std::collections::{BTreeMap, BTreeSet};

/// Keys of one subscription at the most. A selector travels in the URL of the request: this many groups are 2.4 KB, and
/// this many namespaces of the longest names 6.6 KB.
pub(super) const CAPACITY: usize = 100;

/// A subscription of which no more keys than this are in use is small.
const SMALL: usize = CAPACITY / 2;

/// More small ones than this are replaced. Each costs a connection; replacing costs a listing of all their slices.
const SMALL_ONES: usize = 8;

/// Identifies a subscription. Never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct SubscriptionId(u64);

/// What has to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step<K> {
    /// Watch the trees of these.
    Start(SubscriptionId, BTreeSet<K>),
    /// Nobody needs this any more.
    Stop(SubscriptionId),
}

#[derive(Debug)]
struct Subscription<K> {
    keys: BTreeSet<K>,
    /// Whether all that there is was listed once.
    in_sync: bool,
    /// Whether it ends as soon as others have what it has.
    retiring: bool,
}

/// The subscriptions of a node.
#[derive(Debug)]
pub(super) struct Subscriptions<K> {
    used: BTreeSet<K>,
    /// Those that were started and not stopped.
    running: BTreeMap<SubscriptionId, Subscription<K>>,
    next: u64,
}

impl<K> Default for Subscriptions<K> {
    fn default() -> Self {
        Self {
            used: BTreeSet::new(),
            running: BTreeMap::new(),
            next: 0,
        }
    }
}

impl<K: Clone + Ord> Subscriptions<K> {
    /// From now on these keys are in use, and no others.
    pub(super) fn want(&mut self, used: BTreeSet<K>) -> Vec<Step<K>> {
        if self.used == used {
            return Vec::new();
        }
        self.used = used;
        self.retire();
        let mut steps = self.start();
        steps.extend(self.stop());
        steps
    }

    /// A subscription has listed all that there is.
    pub(super) fn synced(&mut self, id: SubscriptionId) -> Vec<Step<K>> {
        if let Some(subscription) = self.running.get_mut(&id) {
            subscription.in_sync = true;
        }
        self.stop()
    }

    /// Whether all slices of a tree are known, as far as the API server has them.
    pub(super) fn is_in_sync(&self, key: &K) -> bool {
        let mut all = self.running.values();
        all.any(|subscription| subscription.in_sync && subscription.keys.contains(key))
    }

    /// A subscription to a tree, if there is one: the one that goes on longest.
    pub(super) fn of(&self, key: &K) -> Option<SubscriptionId> {
        let covering = self.running.iter().filter(|(_, one)| one.keys.contains(key));
        covering.max_by_key(|(_, one)| !one.retiring).map(|(id, _)| *id)
    }

    fn retire(&mut self) {
        let used = &self.used;
        let in_use = |subscription: &Subscription<K>| subscription.keys.intersection(used).count();
        let mut small = Vec::new();
        for subscription in self.running.values_mut().filter(|one| !one.retiring) {
            match in_use(subscription) {
                0 => subscription.retiring = true,
                count if count <= SMALL => small.push(subscription),
                _ => {}
            }
        }
        if small.len() > SMALL_ONES {
            for subscription in small {
                subscription.retiring = true;
            }
        }
    }

    fn start(&mut self) -> Vec<Step<K>> {
        let mut uncovered = self.used.clone();
        for subscription in self.running.values().filter(|one| !one.retiring) {
            uncovered.retain(|key| !subscription.keys.contains(key));
        }
        let mut steps = Vec::new();
        let mut uncovered = uncovered.into_iter().peekable();
        while uncovered.peek().is_some() {
            let keys: BTreeSet<K> = uncovered.by_ref().take(CAPACITY).collect();
            let id = SubscriptionId(self.next);
            self.next += 1;
            let subscription = Subscription {
                keys: keys.clone(),
                in_sync: false,
                retiring: false,
            };
            self.running.insert(id, subscription);
            steps.push(Step::Start(id, keys));
        }
        steps
    }

    /// Ends those that retire and of which every key that is in use is in sync elsewhere.
    fn stop(&mut self) -> Vec<Step<K>> {
        let elsewhere = |key: &K| {
            let mut others = self.running.values();
            others.any(|one| !one.retiring && one.in_sync && one.keys.contains(key))
        };
        let replaced = |subscription: &Subscription<K>| {
            subscription.retiring && subscription.keys.intersection(&self.used).all(elsewhere)
        };
        let done: Vec<SubscriptionId> = self
            .running
            .iter()
            .filter(|(_, subscription)| replaced(subscription))
            .map(|(id, _)| *id)
            .collect();
        for id in &done {
            self.running.remove(id);
        }
        done.into_iter().map(Step::Stop).collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::{btree_set, vec};
    use proptest::prelude::*;

    use super::*;

    /// What a history of steps has left running, as whoever carries them out sees it.
    #[derive(Default)]
    struct Running(BTreeMap<SubscriptionId, BTreeSet<u16>>);

    #[derive(Clone, Debug)]
    enum Event {
        Want(BTreeSet<u16>),
        /// One of those that are not in sync becomes so.
        Sync(prop::sample::Index),
    }

    fn keys(numbers: impl IntoIterator<Item = u16>) -> BTreeSet<u16> {
        numbers.into_iter().collect()
    }

    impl Running {
        fn carry_out(&mut self, steps: Vec<Step<u16>>) -> usize {
            let count = steps.len();
            for step in steps {
                match step {
                    Step::Start(id, keys) => {
                        assert!(!keys.is_empty() && keys.len() <= CAPACITY);
                        assert!(self.0.insert(id, keys).is_none(), "started twice");
                    }
                    Step::Stop(id) => assert!(self.0.remove(&id).is_some(), "not running"),
                }
            }
            count
        }

        fn covers(&self, key: u16) -> bool {
            self.0.values().any(|keys| keys.contains(&key))
        }

        fn sync_all(&mut self, subscriptions: &mut Subscriptions<u16>) {
            for id in self.0.keys().copied().collect::<Vec<_>>() {
                let steps = subscriptions.synced(id);
                self.carry_out(steps);
            }
        }
    }

    fn events() -> impl Strategy<Value = Vec<Event>> {
        let event = prop_oneof![
            btree_set(0_u16..400, 0..400).prop_map(Event::Want),
            btree_set(0_u16..400, 0..12).prop_map(Event::Want),
            any::<prop::sample::Index>().prop_map(Event::Sync),
            any::<prop::sample::Index>().prop_map(Event::Sync),
        ];
        vec(event, 1..60)
    }

    proptest! {
        #[test]
        fn a_key_in_use_always_has_a_subscription_and_stays_in_sync(events in events()) {
            let (mut subscriptions, mut running) = (Subscriptions::<u16>::default(), Running::default());
            let mut pending: Vec<SubscriptionId> = Vec::new();
            for event in events {
                let before = subscriptions.used.clone();
                let synced: BTreeSet<u16> =
                    before.iter().filter(|key| subscriptions.is_in_sync(key)).copied().collect();
                let steps = match event {
                    Event::Want(used) => subscriptions.want(used),
                    Event::Sync(_) if pending.is_empty() => Vec::new(),
                    Event::Sync(index) => subscriptions.synced(pending.remove(index.index(pending.len()))),
                };
                pending.extend(steps.iter().filter_map(|step| match step {
                    Step::Start(id, _) => Some(*id),
                    Step::Stop(_) => None,
                }));
                running.carry_out(steps);
                pending.retain(|id| running.0.contains_key(id));
                for key in &subscriptions.used {
                    prop_assert!(running.covers(*key), "{key} is in use and not watched");
                    if before.contains(key) && synced.contains(key) {
                        prop_assert!(subscriptions.is_in_sync(key), "{key} was in sync");
                    }
                }
            }
            running.sync_all(&mut subscriptions);
            let used = subscriptions.used.len();
            prop_assert!(running.0.len() <= SMALL_ONES + 1 + used / SMALL, "{} for {used}", running.0.len());
        }
    }

    #[test]
    fn what_is_watched_already_is_not_listed_again() {
        let (mut subscriptions, mut running) = (Subscriptions::default(), Running::default());
        assert_eq!(running.carry_out(subscriptions.want(keys(0..10))), 1);
        assert_eq!(running.carry_out(subscriptions.want(keys(0..10))), 0);
        assert_eq!(running.carry_out(subscriptions.want(keys(5..10))), 0);
        let steps = subscriptions.want(keys(0..12));
        assert!(matches!(steps.as_slice(), [Step::Start(_, new)] if *new == keys(10..12)));
    }

    #[test]
    fn many_small_ones_are_replaced_by_one_once_that_is_in_sync() {
        let (mut subscriptions, mut running) = (Subscriptions::default(), Running::default());
        for number in 1..=9 {
            let steps = subscriptions.want(keys(0..number));
            running.carry_out(steps);
        }
        running.sync_all(&mut subscriptions);
        assert_eq!(running.0.len(), 9);
        let steps = subscriptions.want(keys(0..10));
        let [Step::Start(merged, all)] = steps.as_slice() else {
            panic!("{steps:?}");
        };
        assert_eq!(*all, keys(0..10));
        let merged = *merged;
        running.carry_out(steps);
        assert_eq!(running.0.len(), 10, "the old ones go on");
        running.carry_out(subscriptions.synced(merged));
        assert_eq!(running.0.keys().collect::<Vec<_>>(), [&merged]);
    }

    #[test]
    fn what_nobody_uses_ends_at_once() {
        let (mut subscriptions, mut running) = (Subscriptions::default(), Running::default());
        running.carry_out(subscriptions.want(keys(0..3)));
        running.carry_out(subscriptions.want(keys(3..6)));
        assert_eq!(running.0.values().collect::<Vec<_>>(), [&keys(3..6)]);
    }
}
