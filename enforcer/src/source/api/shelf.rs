//! Slices of one kind, held by the watches that have told of them. No input or output.
//!
//! Two watches may hold one slice while one replaces the other, and either may be ahead. The newer version wins; the
//! slice is gone when it is told to be deleted, or when no watch holds it any more.

use std::collections::{BTreeMap, BTreeSet};

use kube::Resource;
use palisade_policy::rules::SliceId;

use super::ApiError;
use super::key::{Key, object, parse};
use super::subscriptions::{Step, SubscriptionId, Subscriptions};
use super::watch::{Document, Heard, Object, Refusal};

/// What is kept of a slice.
pub(super) type Content<K> = <<K as Key>::Slice as Document>::Accepted;

/// The slices of the trees that are in use.
#[derive(Debug)]
pub(super) struct Shelf<K: Key> {
    slices: BTreeMap<(K, SliceId), Held<Content<K>>>,
    subscriptions: Subscriptions<K>,
    /// The watches that have failed and are not there again: of what they watch, newer things may be unheard.
    silent: BTreeSet<SubscriptionId>,
}

#[derive(Debug)]
struct Held<T> {
    version: Option<u64>,
    content: Result<T, Refusal>,
    /// The watches that have told of it. Never empty.
    holders: Vec<SubscriptionId>,
}

impl<K: Key> Default for Shelf<K> {
    fn default() -> Self {
        Self {
            slices: BTreeMap::new(),
            subscriptions: Subscriptions::default(),
            silent: BTreeSet::new(),
        }
    }
}

impl<K: Key> Shelf<K> {
    /// From now on these trees are in use, and no others. Returns what to watch and what no more.
    pub(super) fn want(&mut self, used: BTreeSet<K>) -> Vec<Step<K>> {
        let steps = self.subscriptions.want(used);
        self.end(steps)
    }

    /// Remembers what a watch has told. Returns what to watch no more.
    pub(super) fn hear(&mut self, id: SubscriptionId, heard: Heard<Content<K>>) -> Vec<Step<K>> {
        if matches!(heard, Heard::Failed(_)) {
            self.silent.insert(id);
        } else {
            self.silent.remove(&id);
        }
        match heard {
            Heard::Listed(objects) => {
                let listed: BTreeSet<_> = objects.iter().filter_map(|object| parse(&object.name)).collect();
                self.release(id, |key| !listed.contains(key));
                for object in objects {
                    self.hold(id, object);
                }
                let steps = self.subscriptions.synced(id);
                self.end(steps)
            }
            Heard::Applied(object) => {
                self.hold(id, object);
                Vec::new()
            }
            Heard::Deleted { name, version } => {
                if let Some(key) = parse(&name)
                    && let Some(held) = self.slices.get(&key)
                    && !is_older(version, held.version)
                {
                    self.slices.remove(&key);
                }
                Vec::new()
            }
            Heard::Following | Heard::Failed(_) => Vec::new(),
        }
    }

    /// Remembers slices of a tree that were read besides its watch.
    pub(super) fn add(&mut self, key: &K, objects: Vec<Object<Content<K>>>) {
        if let Some(id) = self.subscriptions.of(key) {
            for object in objects {
                self.hold(id, object);
            }
        }
    }

    /// A slice, or why it is not to be had.
    pub(super) fn slice(&self, key: &K, id: SliceId) -> Result<Content<K>, ApiError> {
        let name = || format!("{} {}", K::Slice::kind(&()), object(key, id));
        match self.slices.get(&(key.clone(), id)).map(|held| &held.content) {
            Some(Ok(content)) => Ok(content.clone()),
            Some(Err(refusal)) => Err(ApiError::refused(name(), refusal)),
            None if self.subscriptions.is_in_sync(key) => Err(ApiError::MissingSlice { object: name() }),
            None => Err(ApiError::NotListed),
        }
    }

    /// Whether everything that is in use is being followed, as far as is known.
    pub(super) fn is_followed(&self) -> bool {
        self.silent.is_empty()
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.slices.is_empty()
    }

    fn hold(&mut self, id: SubscriptionId, object: Object<Content<K>>) {
        // What has another kind of name can be referred to by nothing.
        let Some(key) = parse(&object.name) else { return };
        match self.slices.get_mut(&key) {
            None => {
                let held = Held {
                    version: object.version,
                    content: object.content,
                    holders: vec![id],
                };
                self.slices.insert(key, held);
            }
            Some(held) => {
                if !held.holders.contains(&id) {
                    held.holders.push(id);
                }
                if !is_older(object.version, held.version) {
                    held.version = object.version;
                    held.content = object.content;
                }
            }
        }
    }

    /// Forgets what only the watches held that end.
    fn end(&mut self, steps: Vec<Step<K>>) -> Vec<Step<K>> {
        for step in &steps {
            if let Step::Stop(id) = step {
                self.silent.remove(id);
                self.release(*id, |_| true);
            }
        }
        steps
    }

    /// A watch does not hold these any more.
    fn release(&mut self, id: SubscriptionId, gone: impl Fn(&(K, SliceId)) -> bool) {
        self.slices.retain(|key, held| {
            if gone(key) {
                held.holders.retain(|holder| *holder != id);
            }
            !held.holders.is_empty()
        });
    }
}

/// Whether one version was replaced by another. Without numbers the order of arrival counts.
fn is_older(version: Option<u64>, than: Option<u64>) -> bool {
    version.zip(than).is_some_and(|(version, than)| version < than)
}

#[cfg(test)]
mod tests {
    use palisade_crds::AcceptedPolicies;
    use palisade_policy::model::NamespaceName;
    use palisade_policy::rules::PolicySlice;

    use super::*;

    fn whole(namespace: &str, version: u64) -> Object<AcceptedPolicies> {
        let slice = PolicySlice {
            namespace: namespace.into(),
            id: SliceId::WHOLE,
            split: false,
            policies: BTreeMap::new(),
        };
        let content = AcceptedPolicies {
            slice: slice.into(),
            hash: version.to_string(),
        };
        Object {
            name: format!("{namespace}-s"),
            version: Some(version),
            generation: None,
            published: None,
            content: Ok(content),
        }
    }

    fn hash(shelf: &Shelf<NamespaceName>) -> Result<String, &'static str> {
        let slice = shelf.slice(&"shop".into(), SliceId::WHOLE);
        slice
            .map(|accepted| accepted.hash)
            .map_err(|error| error.reason())
    }

    #[test]
    fn a_slice_stays_as_long_as_one_of_its_watches_holds_it() {
        let mut shelf = Shelf::<NamespaceName>::default();
        let mut ids = Vec::new();
        for used in [vec!["shop"], vec!["shop", "bank"]] {
            for step in shelf.want(used.into_iter().map(Into::into).collect()) {
                let Step::Start(id, _) = step else {
                    panic!("{step:?}")
                };
                ids.push(id);
            }
        }
        let [first, second] = ids[..] else {
            panic!("{ids:?}")
        };
        assert_eq!(hash(&shelf), Err("NotListed"));
        shelf.hear(first, Heard::Listed(vec![whole("shop", 2)]));
        shelf.hear(second, Heard::Listed(vec![whole("shop", 1)]));
        assert_eq!(hash(&shelf).as_deref(), Ok("2"), "the other watch is behind");
        shelf.hear(second, Heard::Applied(whole("shop", 3)));
        assert_eq!(hash(&shelf).as_deref(), Ok("3"));
        shelf.hear(first, Heard::Listed(Vec::new()));
        assert_eq!(hash(&shelf).as_deref(), Ok("3"), "the other watch holds it");
        shelf.hear(second, Heard::Listed(Vec::new()));
        assert_eq!(hash(&shelf), Err("MissingSlice"));
    }
}
