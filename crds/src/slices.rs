//! All slices of a node's groups, handed on again and again with few of them changed.
//!
//! A copy costs nothing and a change as much as the part of the groups that it is in, of which there are [`PARTS`]: parts that have
//! not changed are the same memory in both, and are not looked at when two are compared or hashed. So one member that joins one of
//! ten thousand groups costs what it costs among a hundred.

use std::collections::BTreeMap;
use std::sync::Arc;

use palisade_policy::rules::{GroupId, Slice, SliceId};

use crate::hash::digest;
use crate::rule_set::AcceptedSlice;

/// With ten thousand groups a part has some eighty, and there are more hashes of parts than of the groups of a part.
const PARTS: usize = 128;

/// A slice of a group.
type Key = (GroupId, SliceId);

/// The slices of groups with their hashes, those that are split included.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slices {
    parts: Vec<Arc<Part>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Part {
    slices: BTreeMap<Key, AcceptedSlice>,
    /// Over the hashes of its slices.
    hash: String,
}

impl Part {
    fn new(slices: BTreeMap<Key, AcceptedSlice>) -> Self {
        let hashes: Vec<&String> = slices.values().map(|accepted| &accepted.hash).collect();
        Self {
            hash: digest(&hashes),
            slices,
        }
    }

    /// A slice with members.
    fn get(&self, key: &Key) -> Option<&Arc<Slice>> {
        self.slices.get(key).and_then(AcceptedSlice::with_members)
    }
}

impl Default for Slices {
    fn default() -> Self {
        let empty = Arc::new(Part::new(BTreeMap::new()));
        Self {
            parts: vec![empty; PARTS],
        }
    }
}

impl FromIterator<(Key, AcceptedSlice)> for Slices {
    fn from_iter<I: IntoIterator<Item = (Key, AcceptedSlice)>>(slices: I) -> Self {
        let mut parts = vec![BTreeMap::new(); PARTS];
        for (key, slice) in slices {
            if let Some(part) = parts.get_mut(part(&key.0)) {
                part.insert(key, slice);
            }
        }
        let parts = parts.into_iter();
        Self {
            parts: parts.map(|slices| Arc::new(Part::new(slices))).collect(),
        }
    }
}

impl Slices {
    /// Puts `slices` into the place of those of some groups.
    pub(crate) fn replace(&mut self, changed: BTreeMap<GroupId, Vec<(SliceId, AcceptedSlice)>>) {
        let mut by_part: BTreeMap<usize, Vec<_>> = BTreeMap::new();
        for (group, slices) in changed {
            by_part.entry(part(&group)).or_default().push((group, slices));
        }
        for (position, groups) in by_part {
            let Some(part) = self.parts.get_mut(position) else {
                continue;
            };
            let mut slices = part.slices.clone();
            for (group, new) in groups {
                let from_first = slices.range((group, SliceId::WHOLE)..);
                let old = from_first.map(|(key, _)| *key).take_while(|key| key.0 == group);
                for key in old.collect::<Vec<_>>() {
                    slices.remove(&key);
                }
                slices.extend(new.into_iter().map(|(id, slice)| ((group, id), slice)));
            }
            *part = Arc::new(Part::new(slices));
        }
    }

    /// The slices with members.
    pub fn iter(&self) -> impl Iterator<Item = (&Key, &Arc<Slice>)> {
        let all = self.parts.iter().flat_map(|part| &part.slices);
        all.filter_map(|(key, accepted)| Some((key, accepted.with_members()?)))
    }

    /// The slices with members, without what they are of.
    pub fn values(&self) -> impl Iterator<Item = &Arc<Slice>> {
        self.iter().map(|(_, slice)| slice)
    }

    /// Whether there is no slice with members.
    pub fn is_empty(&self) -> bool {
        self.iter().next().is_none()
    }

    /// The slices with members that are others than in `before`; `None` for those that are no more.
    pub fn since<'a>(&'a self, before: &'a Self) -> impl Iterator<Item = (Key, Option<&'a Arc<Slice>>)> {
        let parts = before.parts.iter().zip(&self.parts);
        let turned = parts.filter(|(before, after)| !Arc::ptr_eq(before, after));
        turned.flat_map(|(before, after)| {
            let differs = move |key: &&Key| match (before.get(key), after.get(key)) {
                (None, None) => false,
                (Some(before), Some(after)) => !Arc::ptr_eq(before, after) && before != after,
                (Some(_), None) | (None, Some(_)) => true,
            };
            let gone = before
                .slices
                .keys()
                .filter(|key| !after.slices.contains_key(*key));
            let keys = after.slices.keys().chain(gone);
            keys.filter(differs).map(|key| (*key, after.get(key)))
        })
    }

    /// One hash over all.
    pub(crate) fn hash(&self) -> String {
        let hashes: Vec<&String> = self.parts.iter().map(|part| &part.hash).collect();
        digest(&hashes)
    }
}

impl AcceptedSlice {
    fn with_members(&self) -> Option<&Arc<Slice>> {
        (!self.slice.split).then_some(&self.slice)
    }
}

/// The part of a group. Identifiers are hashes, so that any of their characters will do.
fn part(group: &GroupId) -> usize {
    let begin = group.as_str().bytes().take(3);
    begin.fold(0, |sum, byte| sum * 31 + usize::from(byte)) % PARTS
}
