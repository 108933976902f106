//! The slices of a tree while things come and go: what [`spread`](super::tree::spread) says of all things at once, kept up to date.
//!
//! A change goes down the path of its hash and touches one slice, and its halves where a split or a merge is due. What a slice
//! was before it was touched is remembered until somebody asks for the [changes](Trie::take_changes); so changes that cancel each
//! other are none.

use std::collections::{BTreeMap, BTreeSet};

use super::tree::SliceId;

/// A thing and its place.
#[derive(Clone, Debug)]
struct Entry<T> {
    hash: u32,
    weight: u32,
    thing: T,
}

/// A slice and what is below it.
#[derive(Clone, Debug)]
enum Node<T> {
    /// Its things, in their order.
    Leaf(Vec<Entry<T>>),
    Split(Box<Fork<T>>),
}

#[derive(Clone, Debug)]
struct Fork<T> {
    weight: usize,
    count: usize,
    halves: [Node<T>; 2],
}

/// What a slice is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Cut<T> {
    /// Not there.
    Absent,
    /// Its things are in its halves.
    Split,
    /// These are its things, in their order.
    Holds(Vec<T>),
}

impl<T> Cut<T> {
    /// Whether it is split, and its own things; `None` where it is not there.
    pub(crate) fn open(self) -> Option<(bool, Vec<T>)> {
        match self {
            Self::Absent => None,
            Self::Split => Some((true, Vec::new())),
            Self::Holds(things) => Some((false, things)),
        }
    }
}

/// Things by their hashes, cut into slices of limited weight.
#[derive(Clone, Debug)]
pub(crate) struct Trie<T> {
    root: Node<T>,
    capacity: usize,
    before: Touched<T>,
}

/// The slices that were touched, as they were before; sorted. Mostly there is one.
type Touched<T> = Vec<(SliceId, Cut<T>)>;

impl<T: Clone + Ord> Trie<T> {
    /// Without things, and with one slice that is new.
    pub(crate) fn new(capacity: usize) -> Self {
        Self {
            root: Node::Leaf(Vec::new()),
            capacity,
            before: vec![(SliceId::WHOLE, Cut::Absent)],
        }
    }

    /// Adds a thing that is not there.
    pub(crate) fn insert(&mut self, hash: u32, weight: usize, thing: T) {
        let weight = u32::try_from(weight).unwrap_or(u32::MAX);
        let entry = Entry { hash, weight, thing };
        self.root
            .insert(SliceId::WHOLE, entry, self.capacity, &mut self.before);
    }

    /// Removes a thing; nothing happens where it is not there.
    pub(crate) fn remove(&mut self, hash: u32, thing: &T) {
        self.root
            .remove(SliceId::WHOLE, hash, thing, self.capacity, &mut self.before);
    }

    /// Whether there is nothing in it.
    pub(crate) fn is_empty(&self) -> bool {
        matches!(&self.root, Node::Leaf(entries) if entries.is_empty())
    }

    /// All things.
    pub(crate) fn things(&self) -> impl Iterator<Item = &T> {
        self.slices().into_values().flat_map(Node::things)
    }

    /// The first slice.
    pub(crate) fn first(&self) -> Cut<T> {
        self.root.cut()
    }

    /// All slices, in their order.
    pub(crate) fn cuts(&self) -> impl Iterator<Item = (SliceId, Cut<T>)> {
        self.slices().into_iter().map(|(slice, node)| (slice, node.cut()))
    }

    /// The slices that are other than when this was asked last, in their order. `same` tells whether two things say the same.
    pub(crate) fn take_changes(&mut self, same: impl Fn(&T, &T) -> bool) -> Vec<(SliceId, Cut<T>)> {
        let mut changes = Vec::new();
        for (slice, before) in std::mem::take(&mut self.before) {
            let now = self.root.find(SliceId::WHOLE, slice);
            let differs = match (&before, now) {
                (Cut::Absent, None) | (Cut::Split, Some(Node::Split(_))) => false,
                (Cut::Holds(held), Some(Node::Leaf(entries))) => {
                    let mut pairs = held.iter().zip(entries);
                    held.len() != entries.len() || !pairs.all(|(old, new)| same(old, &new.thing))
                }
                (Cut::Absent | Cut::Split | Cut::Holds(_), _) => true,
            };
            if differs {
                changes.push((slice, now.map_or(Cut::Absent, Node::cut)));
            }
        }
        changes
    }

    /// The slices that were there when changes were asked for last.
    pub(crate) fn into_slices_before(self) -> Vec<SliceId> {
        let mut slices: BTreeSet<SliceId> = self.slices().into_keys().collect();
        for (slice, before) in &self.before {
            match before {
                Cut::Absent => slices.remove(slice),
                Cut::Split | Cut::Holds(_) => slices.insert(*slice),
            };
        }
        slices.into_iter().collect()
    }

    fn slices(&self) -> BTreeMap<SliceId, &Node<T>> {
        let mut slices = BTreeMap::new();
        let mut open = vec![(SliceId::WHOLE, &self.root)];
        while let Some((slice, node)) = open.pop() {
            slices.insert(slice, node);
            if let Node::Split(fork) = node {
                open.extend(slice.halves().into_iter().zip(&fork.halves));
            }
        }
        slices
    }
}

/// Remembers a slice that is touched for the first time.
fn remember<T>(before: &mut Touched<T>, slice: SliceId, was: impl FnOnce() -> Cut<T>) {
    if let Err(position) = before.binary_search_by(|(known, _)| known.cmp(&slice)) {
        before.insert(position, (slice, was()));
    }
}

impl<T: Clone + Ord> Node<T> {
    fn insert(&mut self, slice: SliceId, entry: Entry<T>, capacity: usize, before: &mut Touched<T>) {
        match self {
            Self::Split(fork) => {
                fork.weight += entry.weight as usize;
                fork.count += 1;
                let (half, id) = fork.half(slice, entry.hash);
                half.insert(id, entry, capacity, before);
            }
            Self::Leaf(entries) => {
                remember(before, slice, || Cut::Holds(held(entries)));
                // At first things mostly come in their order.
                let is_last = entries.last().is_none_or(|last| last.thing < entry.thing);
                let position = if is_last {
                    entries.len()
                } else {
                    entries.partition_point(|known| known.thing < entry.thing)
                };
                entries.insert(position, entry);
                self.split(slice, capacity, before);
            }
        }
    }

    /// Splits a slice that holds too much, and its halves likewise.
    fn split(&mut self, slice: SliceId, capacity: usize, before: &mut Touched<T>) {
        let Self::Leaf(entries) = self else { return };
        let weight = weight(entries);
        let count = entries.len();
        if weight <= capacity || count <= 1 || !slice.is_divisible() {
            return;
        }
        let entries = std::mem::take(entries);
        let (second, first) = entries.into_iter().partition(|entry| slice.is_second(entry.hash));
        let mut halves = [Self::Leaf(first), Self::Leaf(second)];
        for (half, id) in halves.iter_mut().zip(slice.halves()) {
            remember(before, id, || Cut::Absent);
            half.split(id, capacity, before);
        }
        *self = Self::Split(Box::new(Fork {
            weight,
            count,
            halves,
        }));
    }

    /// Whether the thing was there.
    fn remove(
        &mut self,
        slice: SliceId,
        hash: u32,
        thing: &T,
        capacity: usize,
        before: &mut Touched<T>,
    ) -> Option<u32> {
        match self {
            Self::Leaf(entries) => {
                let position = entries.binary_search_by(|known| known.thing.cmp(thing)).ok()?;
                remember(before, slice, || Cut::Holds(held(entries)));
                Some(entries.remove(position).weight)
            }
            Self::Split(fork) => {
                let (half, id) = fork.half(slice, hash);
                let weight = half.remove(id, hash, thing, capacity, before)?;
                fork.weight -= weight as usize;
                fork.count -= 1;
                if fork.weight <= capacity || fork.count <= 1 {
                    self.join(slice, before);
                }
                Some(weight)
            }
        }
    }

    /// Takes everything below into the slice itself.
    fn join(&mut self, slice: SliceId, before: &mut Touched<T>) {
        let mut entries = Vec::new();
        let mut open = vec![(slice, std::mem::replace(self, Self::Leaf(Vec::new())))];
        while let Some((slice, node)) = open.pop() {
            match node {
                Self::Leaf(mut held_here) => {
                    remember(before, slice, || Cut::Holds(held(&held_here)));
                    entries.append(&mut held_here);
                }
                Self::Split(fork) => {
                    remember(before, slice, || Cut::Split);
                    open.extend(slice.halves().into_iter().zip(fork.halves));
                }
            }
        }
        entries.sort_unstable_by(|one, other| one.thing.cmp(&other.thing));
        *self = Self::Leaf(entries);
    }

    fn find(&self, at: SliceId, slice: SliceId) -> Option<&Self> {
        if at == slice {
            return Some(self);
        }
        let Self::Split(fork) = self else { return None };
        let mut halves = at.halves().into_iter().zip(&fork.halves);
        let (id, half) = halves.find(|(id, _)| id.contains(slice))?;
        half.find(id, slice)
    }

    fn cut(&self) -> Cut<T> {
        match self {
            Self::Leaf(entries) => Cut::Holds(held(entries)),
            Self::Split(_) => Cut::Split,
        }
    }

    fn things(&self) -> impl Iterator<Item = &T> {
        let entries = match self {
            Self::Leaf(entries) => entries.as_slice(),
            Self::Split(_) => &[],
        };
        entries.iter().map(|entry| &entry.thing)
    }
}

impl<T> Fork<T> {
    fn half(&mut self, slice: SliceId, hash: u32) -> (&mut Node<T>, SliceId) {
        let [first, second] = &mut self.halves;
        let [first_id, second_id] = slice.halves();
        if slice.is_second(hash) {
            (second, second_id)
        } else {
            (first, first_id)
        }
    }
}

fn held<T: Clone>(entries: &[Entry<T>]) -> Vec<T> {
    entries.iter().map(|entry| entry.thing.clone()).collect()
}

fn weight<T>(entries: &[Entry<T>]) -> usize {
    entries.iter().map(|entry| entry.weight as usize).sum()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::tree::{hash, spread};
    use super::*;

    const CAPACITY: usize = 20;

    proptest! {
        #[test]
        fn whatever_comes_and_goes_the_slices_are_those_of_what_is_there(
            steps in prop::collection::vec((0_u32..120, any::<bool>(), any::<bool>()), 0..400)
        ) {
            let weight = |number: u32| number as usize % 7 + 1;
            let mut trie = Trie::new(CAPACITY);
            let mut there = BTreeSet::new();
            let mut known: BTreeMap<SliceId, Cut<u32>> = BTreeMap::new();
            for (number, comes, asks) in steps {
                let at = hash(&number.to_string());
                if comes && there.insert(number) {
                    trie.insert(at, weight(number), number);
                } else if !comes {
                    there.remove(&number);
                    trie.remove(at, &number);
                }
                if asks {
                    for (slice, cut) in trie.take_changes(|one, other| one == other) {
                        if cut == Cut::Absent {
                            prop_assert!(known.remove(&slice).is_some(), "{slice} was not there");
                        } else {
                            prop_assert_ne!(known.insert(slice, cut.clone()), Some(cut), "an idle change");
                        }
                    }
                    let things = there.iter().map(|number| (hash(&number.to_string()), weight(*number), *number));
                    let sorted = |mut things: Vec<u32>| {
                        things.sort_unstable();
                        Cut::Holds(things)
                    };
                    let expected: BTreeMap<_, _> = spread(things, CAPACITY)
                        .into_iter()
                        .map(|(slice, things)| (slice, things.map_or(Cut::Split, sorted)))
                        .collect();
                    prop_assert_eq!(&known, &expected);
                    prop_assert_eq!(trie.cuts().collect::<BTreeMap<_, _>>(), expected);
                    prop_assert_eq!(trie.things().copied().collect::<BTreeSet<_>>(), there.clone());
                }
            }
            prop_assert_eq!(trie.into_slices_before(), known.into_keys().collect::<Vec<_>>());
        }
    }
}
