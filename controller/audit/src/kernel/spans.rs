//! Sets of numbers, and functions of an address, both as few stretches as possible.
//!
//! Addresses and transports are numbers here. A set of them is [`Spans`]; what depends on the address of one end of a
//! connection is [`Pieces`]. Everything that the walk and the comparison do is arithmetic on these two, which is why their
//! answers hold for every address and every port, and not for a sample.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Debug;
use std::hash::Hash;
use std::sync::Arc;

/// What spans are made of.
pub trait Number: Copy + Ord + Hash + Debug {
    /// The number after this one, if there is one.
    fn next(self) -> Option<Self>;
    /// The number before this one, if there is one.
    fn previous(self) -> Option<Self>;
}

macro_rules! number {
    ($($number:ty),*) => {$(
        impl Number for $number {
            fn next(self) -> Option<Self> {
                self.checked_add(1)
            }
            fn previous(self) -> Option<Self> {
                self.checked_sub(1)
            }
        }
    )*};
}
number!(u32, u128);

/// A set of numbers: stretches in order that neither overlap nor touch. Equal sets are equal values; copies are cheap.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Spans<N>(Option<Arc<[(N, N)]>>);

impl<N> Default for Spans<N> {
    fn default() -> Self {
        Self(None)
    }
}

impl<N: Number> Spans<N> {
    /// The numbers from the first to the last, both included.
    pub fn one(first: N, last: N) -> Self {
        if first <= last {
            Self(Some(Arc::new([(first, last)])))
        } else {
            Self(None)
        }
    }

    /// The numbers of stretches in any order, overlapping as they may.
    pub fn of(mut stretches: Vec<(N, N)>) -> Self {
        stretches.retain(|(first, last)| first <= last);
        stretches.sort_unstable();
        Self::sorted(stretches)
    }

    /// The same, of stretches in order of their first number.
    fn sorted(stretches: Vec<(N, N)>) -> Self {
        let mut merged: Vec<(N, N)> = Vec::with_capacity(stretches.len());
        for (first, last) in stretches {
            match merged.last_mut() {
                Some((_, end)) if end.next().is_none_or(|after| first <= after) => *end = (*end).max(last),
                _ => merged.push((first, last)),
            }
        }
        if merged.is_empty() {
            Self(None)
        } else {
            Self(Some(merged.into()))
        }
    }

    /// Its stretches, in order.
    pub fn stretches(&self) -> &[(N, N)] {
        self.0.as_deref().unwrap_or_default()
    }

    /// Whether nothing is in it.
    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// Whether a number is in it.
    pub fn contains(&self, number: N) -> bool {
        let stretches = self.stretches();
        let after = stretches.partition_point(|(first, _)| *first <= number);
        let before = after.checked_sub(1).and_then(|at| stretches.get(at));
        before.is_some_and(|(_, last)| number <= *last)
    }

    /// What is in either.
    #[must_use]
    pub fn union(&self, other: &Self) -> Self {
        if other.is_empty() || self.is_same(other) {
            return self.clone();
        }
        if self.is_empty() {
            return other.clone();
        }
        let (mut ours, mut theirs) = (self.stretches(), other.stretches());
        let mut merged = Vec::with_capacity(ours.len() + theirs.len());
        loop {
            match (ours, theirs) {
                ([our, rest @ ..], [their, ..]) if our <= their => {
                    merged.push(*our);
                    ours = rest;
                }
                ([_, ..] | [], [their, rest @ ..]) => {
                    merged.push(*their);
                    theirs = rest;
                }
                ([our, rest @ ..], []) => {
                    merged.push(*our);
                    ours = rest;
                }
                ([], []) => return Self::sorted(merged),
            }
        }
    }

    /// What is in both.
    #[must_use]
    pub fn intersection(&self, other: &Self) -> Self {
        if self.is_empty() || self.is_same(other) {
            return self.clone();
        }
        if other.is_empty() {
            return other.clone();
        }
        let (mut ours, mut theirs) = (self.stretches(), other.stretches());
        let mut both = Vec::new();
        while let ([our, our_rest @ ..], [their, their_rest @ ..]) = (ours, theirs) {
            let (first, last) = (our.0.max(their.0), our.1.min(their.1));
            if first <= last {
                both.push((first, last));
            }
            if our.1 <= their.1 {
                ours = our_rest;
            } else {
                theirs = their_rest;
            }
        }
        if both == self.stretches() {
            return self.clone();
        }
        Self::sorted(both)
    }

    /// What is in this one and not in the other.
    #[must_use]
    pub fn difference(&self, other: &Self) -> Self {
        if self.is_empty() || other.is_empty() {
            return self.clone();
        }
        if self.is_same(other) {
            return Self(None);
        }
        let mut left = Vec::new();
        let mut theirs = other.stretches();
        for &(first, last) in self.stretches() {
            let mut from = Some(first);
            while let (Some(start), [(begin, end), rest @ ..]) = (from, theirs) {
                if *end < start {
                    theirs = rest;
                    continue;
                }
                if *begin > last {
                    break;
                }
                if let Some(before) = begin.previous().filter(|before| start <= *before) {
                    left.push((start, before));
                }
                from = end.next().filter(|after| *after <= last);
            }
            if let Some(start) = from {
                left.push((start, last));
            }
        }
        Self::sorted(left)
    }

    /// Whether everything of this one is in the other.
    pub fn is_within(&self, other: &Self) -> bool {
        self.is_same(other) || self.difference(other).is_empty()
    }

    /// Whether both are the same value, as far as that can be told at a glance.
    fn is_same(&self, other: &Self) -> bool {
        match (&self.0, &other.0) {
            (Some(ours), Some(theirs)) => Arc::ptr_eq(ours, theirs),
            (None, None) => true,
            (Some(_), None) | (None, Some(_)) => false,
        }
    }
}

/// A function of an address: a value from each start up to the next. Neighbours have different values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pieces<T>(Vec<(u128, T)>);

impl<T: Clone + PartialEq> Pieces<T> {
    /// The same everywhere.
    pub(crate) fn constant(value: T) -> Self {
        Self(vec![(0, value)])
    }

    /// These values on these stretches, in order and without overlaps, and another value between them.
    pub(crate) fn on(stretches: impl IntoIterator<Item = (u128, u128, T)>, elsewhere: T) -> Self {
        let mut pieces = Builder::default();
        let mut next = Some(0);
        for (first, last, value) in stretches {
            if next.is_some_and(|start| start < first) {
                pieces.push(next.unwrap_or_default(), elsewhere.clone());
            }
            pieces.push(first, value);
            next = last.checked_add(1);
        }
        if let Some(start) = next {
            pieces.push(start, elsewhere);
        }
        pieces.done()
    }

    /// One value on a set of addresses, another elsewhere.
    pub(crate) fn within(spans: &Spans<u128>, inside: &T, outside: T) -> Self {
        let stretches = spans.stretches().iter();
        Self::on(
            stretches.map(|(first, last)| (*first, *last, inside.clone())),
            outside,
        )
    }

    /// The value at an address.
    pub(crate) fn at(&self, address: u128) -> Option<&T> {
        let after = self.0.partition_point(|(start, _)| *start <= address);
        after
            .checked_sub(1)
            .and_then(|at| self.0.get(at))
            .map(|(_, value)| value)
    }

    /// The value, where it is the same everywhere.
    pub(crate) fn is_constant(&self) -> Option<&T> {
        match self.0.as_slice() {
            [(_, value)] => Some(value),
            _ => None,
        }
    }

    /// First and last address of each piece, and its value, in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u128, u128, &T)> {
        let ends = self
            .0
            .iter()
            .skip(1)
            .map(|(start, _)| start - 1)
            .chain([u128::MAX]);
        self.0
            .iter()
            .zip(ends)
            .map(|((start, value), end)| (*start, end, value))
    }

    /// Another function of the value.
    pub(crate) fn map<U: Clone + PartialEq>(&self, of: impl Fn(&T) -> U) -> Pieces<U> {
        let mut pieces = Builder::default();
        for (start, value) in &self.0 {
            pieces.push(*start, of(value));
        }
        pieces.done()
    }

    /// A function of two values at the same address.
    pub(crate) fn zip<U, V>(&self, other: &Pieces<U>, of: impl Fn(&T, &U) -> V) -> Pieces<V>
    where
        U: Clone + PartialEq,
        V: Clone + PartialEq,
    {
        let mut pieces = Builder::default();
        let (mut ours, mut theirs) = (self.0.as_slice(), other.0.as_slice());
        let mut start = 0;
        while let ([(_, our), our_rest @ ..], [(_, their), their_rest @ ..]) = (ours, theirs) {
            pieces.push(start, of(our, their));
            let (our_next, their_next) = (
                our_rest.first().map(|piece| piece.0),
                their_rest.first().map(|piece| piece.0),
            );
            let until = match (our_next, their_next) {
                (Some(ours), Some(theirs)) => ours.min(theirs),
                (Some(only), None) | (None, Some(only)) => only,
                (None, None) => break,
            };
            if our_next == Some(until) {
                ours = our_rest;
            }
            if their_next == Some(until) {
                theirs = their_rest;
            }
            start = until;
        }
        pieces.done()
    }
}

/// Pieces in order of their start.
struct Builder<T>(Vec<(u128, T)>);

impl<T> Default for Builder<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T: PartialEq> Builder<T> {
    fn push(&mut self, start: u128, value: T) {
        if self.0.last().is_none_or(|(_, last)| *last != value) {
            self.0.push((start, value));
        }
    }

    fn done(self) -> Pieces<T> {
        Pieces(self.0)
    }
}

/// What holds at each address, where numbers from one to another hold on stretches of addresses: first and last address, first
/// and last number.
pub(crate) fn overlaid<N: Number>(mut held: Vec<(u128, u128, (N, N))>) -> Pieces<Spans<N>> {
    held.retain(|(first, last, (from, to))| first <= last && from <= to);
    held.sort_unstable();
    // Few different sets hold at many addresses: those that are equal are one.
    let mut known: HashMap<Vec<(N, N)>, Spans<N>> = HashMap::new();
    let groups = held.chunk_by(|(first, last, _), (other_first, other_last, _)| {
        (first, last) == (other_first, other_last)
    });
    let stretches: Vec<(u128, u128, Spans<N>)> = groups
        .filter_map(|group| {
            let (first, last, _) = group.first()?;
            let parts: Vec<(N, N)> = group.iter().map(|(_, _, part)| *part).collect();
            let set = match known.get(&parts) {
                Some(set) => set.clone(),
                None => known.entry(parts.clone()).or_insert(Spans::of(parts)).clone(),
            };
            Some((*first, *last, set))
        })
        .collect();
    if stretches.is_sorted_by(|(_, last, _), (first, _, _)| last < first) {
        Pieces::on(stretches, Spans::default())
    } else {
        swept(stretches.into_iter())
    }
}

/// The same for stretches that overlap: cut wherever one begins or ends.
fn swept<N: Number>(stretches: impl Iterator<Item = (u128, u128, Spans<N>)>) -> Pieces<Spans<N>> {
    #[derive(Clone, Copy)]
    enum Change {
        Begins,
        Ends,
    }
    let mut cuts: BTreeMap<u128, Vec<(Change, usize)>> = BTreeMap::from([(0, Vec::new())]);
    let mut sets = Vec::new();
    for (position, (first, last, set)) in stretches.enumerate() {
        cuts.entry(first).or_default().push((Change::Begins, position));
        if let Some(after) = last.checked_add(1) {
            cuts.entry(after).or_default().push((Change::Ends, position));
        }
        sets.push(set);
    }
    let mut active: BTreeMap<usize, &Spans<N>> = BTreeMap::new();
    let mut pieces = Builder::default();
    for (start, changes) in cuts {
        for (change, position) in changes {
            match (change, sets.get(position)) {
                (Change::Begins, Some(set)) => {
                    active.insert(position, set);
                }
                (Change::Ends, _) | (Change::Begins, None) => {
                    active.remove(&position);
                }
            }
        }
        let parts = active.values().flat_map(|set| set.stretches());
        pieces.push(start, Spans::of(parts.copied().collect()));
    }
    pieces.done()
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn stretches() -> impl Strategy<Value = Vec<(u32, u32)>> {
        vec((0_u32..50, 0_u32..9), 0..6).prop_map(|spans| {
            spans
                .into_iter()
                .map(|(first, width)| (first, first + width))
                .collect()
        })
    }

    proptest! {
        #[test]
        fn spans_behave_as_sets(a in stretches(), b in stretches()) {
            let holds = |all: &[(u32, u32)], number| all.iter().any(|(first, last)| (*first..=*last).contains(&number));
            let (x, y) = (Spans::of(a.clone()), Spans::of(b.clone()));
            for number in 0..70 {
                let (in_a, in_b) = (holds(&a, number), holds(&b, number));
                prop_assert_eq!(x.contains(number), in_a);
                prop_assert_eq!(x.union(&y).contains(number), in_a || in_b);
                prop_assert_eq!(x.intersection(&y).contains(number), in_a && in_b);
                prop_assert_eq!(x.difference(&y).contains(number), in_a && !in_b);
            }
            prop_assert_eq!(x.difference(&y).union(&x.intersection(&y)), x.clone());
            prop_assert_eq!(x.is_within(&y), x.difference(&y).is_empty());
        }

        #[test]
        fn what_is_overlaid_holds_at_each_address_what_any_of_it_holds(
            held in vec((0_u128..40, 0_u128..9, 0_u32..50, 0_u32..9), 0..12)
        ) {
            let held: Vec<_> = held.into_iter().map(|(first, width, from, more)| (first, first + width, (from, from + more))).collect();
            let pieces = overlaid(held.clone());
            for address in 0..60 {
                let here = held.iter().filter(|(first, last, _)| (*first..=*last).contains(&address));
                let expected = Spans::of(here.map(|(_, _, numbers)| *numbers).collect());
                prop_assert_eq!(pieces.at(address), Some(&expected));
            }
            let doubled = pieces.zip(&pieces.map(|set| set.stretches().len()), |set, count| (set.clone(), *count));
            for (first, last, (set, count)) in doubled.iter() {
                prop_assert_eq!(set.stretches().len(), *count);
                prop_assert_eq!(pieces.at(first), pieces.at(last));
            }
        }
    }

    #[test]
    fn the_ends_of_the_numbers_are_numbers_like_others() {
        let all = Spans::one(0, u128::MAX);
        assert_eq!(all.difference(&Spans::one(0, 4)), Spans::one(5, u128::MAX));
        assert_eq!(all.difference(&Spans::one(5, u128::MAX)), Spans::one(0, 4));
        assert_eq!(Spans::one(0, 4).union(&Spans::one(5, u128::MAX)), all);
        assert!(Pieces::within(&all, &true, false).is_constant() == Some(&true));
    }
}
