//! Which groups are watched, and by which watch. No input or output: it says what to start and what to stop.
//!
//! A subscription is one watch on the slices of a fixed set of groups. Groups that are new get a subscription of their
//! own, so that what is watched already is not listed again; when there are many small ones they are replaced by few.
//! What is replaced goes on until what replaces it is in sync: **a group that is in use is never without a
//! subscription, and never loses one that is in sync to one that is not.**

use std::collections::{BTreeMap, BTreeSet};

use palisade_policy::rules::GroupId;

/// Groups of one subscription at the most. A selector travels in the URL of the request: this many are 2.4 KB.
pub(super) const CAPACITY: usize = 100;

/// A subscription of which no more groups than this are in use is small.
const SMALL: usize = CAPACITY / 2;

/// More small ones than this are replaced. Each costs a connection; replacing costs a listing of all their groups.
const SMALL_ONES: usize = 8;

/// Identifies a subscription. Never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct SubscriptionId(u64);

/// What has to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Watch these groups.
    Start(SubscriptionId, BTreeSet<GroupId>),
    /// Nobody needs this any more.
    Stop(SubscriptionId),
}

#[derive(Debug)]
struct Subscription {
    groups: BTreeSet<GroupId>,
    /// Whether all that there is was listed once.
    in_sync: bool,
    /// Whether it ends as soon as others have what it has.
    retiring: bool,
}

/// The subscriptions of a node.
#[derive(Debug, Default)]
pub(super) struct Subscriptions {
    used: BTreeSet<GroupId>,
    subscriptions: BTreeMap<SubscriptionId, Subscription>,
    next: u64,
}

impl Subscriptions {
    /// From now on these groups are in use, and no others.
    pub(super) fn want(&mut self, used: BTreeSet<GroupId>) -> Vec<Step> {
        self.used = used;
        self.retire();
        let mut steps = self.start();
        steps.extend(self.stop());
        steps
    }

    /// A subscription has listed all that there is.
    pub(super) fn synced(&mut self, id: SubscriptionId) -> Vec<Step> {
        if let Some(subscription) = self.subscriptions.get_mut(&id) {
            subscription.in_sync = true;
        }
        self.stop()
    }

    /// Whether all slices of a group are known, as far as the API server has them.
    pub(super) fn is_in_sync(&self, group: &GroupId) -> bool {
        let mut all = self.subscriptions.values();
        all.any(|subscription| subscription.in_sync && subscription.groups.contains(group))
    }

    fn retire(&mut self) {
        let used = &self.used;
        let in_use = |subscription: &Subscription| subscription.groups.intersection(used).count();
        let mut small = Vec::new();
        for subscription in self.subscriptions.values_mut().filter(|one| !one.retiring) {
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

    fn start(&mut self) -> Vec<Step> {
        let mut uncovered = self.used.clone();
        for subscription in self.subscriptions.values().filter(|one| !one.retiring) {
            uncovered.retain(|group| !subscription.groups.contains(group));
        }
        let mut steps = Vec::new();
        let mut uncovered = uncovered.into_iter().peekable();
        while uncovered.peek().is_some() {
            let groups: BTreeSet<GroupId> = uncovered.by_ref().take(CAPACITY).collect();
            let id = SubscriptionId(self.next);
            self.next += 1;
            let subscription = Subscription {
                groups: groups.clone(),
                in_sync: false,
                retiring: false,
            };
            self.subscriptions.insert(id, subscription);
            steps.push(Step::Start(id, groups));
        }
        steps
    }

    /// Ends those that retire and of which every group that is in use is in sync elsewhere.
    fn stop(&mut self) -> Vec<Step> {
        let elsewhere = |group: &GroupId| {
            let mut others = self.subscriptions.values();
            others.any(|one| !one.retiring && one.in_sync && one.groups.contains(group))
        };
        let replaced = |subscription: &Subscription| {
            subscription.retiring && subscription.groups.intersection(&self.used).all(elsewhere)
        };
        let done: Vec<SubscriptionId> = self
            .subscriptions
            .iter()
            .filter(|(_, subscription)| replaced(subscription))
            .map(|(id, _)| *id)
            .collect();
        for id in &done {
            self.subscriptions.remove(id);
        }
        done.into_iter().map(Step::Stop).collect()
    }
}
