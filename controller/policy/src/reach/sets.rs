//! Sets of numbers of which most differ by little from another.
//!
//! Each is a binary tree over the bits of its members. Equal trees are one tree and have one name, so that sets are compared
//! by name, and a set that differs from another by one member shares all but one path with it.

use std::collections::HashMap;

/// The name of a set. Equal sets have equal names.
pub(super) type Set = usize;

/// All sets.
#[derive(Clone, Debug, Default)]
pub(super) struct Sets {
    /// How many bits a member has.
    height: u32,
    /// The halves of each tree, that of members without the bit first. The first two stand for nothing and for one member.
    trees: Vec<(Set, Set)>,
    names: HashMap<(Set, Set), Set>,
}

impl Sets {
    /// The empty set.
    pub(super) const EMPTY: Set = 0;
    /// The tree of no bits that has a member.
    const MEMBER: Set = 1;

    /// Room for sets of numbers below `limit`.
    pub(super) fn below(limit: usize) -> Self {
        Self {
            height: usize::BITS - limit.leading_zeros(),
            trees: vec![(Self::EMPTY, Self::EMPTY); 2],
            names: HashMap::new(),
        }
    }

    /// The set with `member` put in, or taken out where it was in.
    pub(super) fn toggle(&mut self, set: Set, member: usize) -> Set {
        self.toggle_at(self.height, set, member)
    }

    fn toggle_at(&mut self, height: u32, set: Set, member: usize) -> Set {
        let Some(below) = height.checked_sub(1) else {
            return if set == Self::EMPTY {
                Self::MEMBER
            } else {
                Self::EMPTY
            };
        };
        let (without, with) = self.halves(set);
        let halves = if bit(member, below) {
            (without, self.toggle_at(below, with, member))
        } else {
            (self.toggle_at(below, without, member), with)
        };
        if halves == (Self::EMPTY, Self::EMPTY) {
            return Self::EMPTY;
        }
        let next = self.trees.len();
        let name = *self.names.entry(halves).or_insert(next);
        if name == next {
            self.trees.push(halves);
        }
        name
    }

    /// Whether `member` is in the set.
    pub(super) fn contains(&self, set: Set, member: usize) -> bool {
        let leaf = (0..self.height).rev().fold(set, |set, below| {
            let (without, with) = self.halves(set);
            if bit(member, below) { with } else { without }
        });
        leaf != Self::EMPTY
    }

    /// The members in order.
    pub(super) fn members(&self, set: Set) -> Vec<usize> {
        let mut members = Vec::new();
        let mut open = vec![(set, self.height, 0)];
        while let Some((set, height, prefix)) = open.pop() {
            match height.checked_sub(1) {
                _ if set == Self::EMPTY => {}
                None => members.push(prefix),
                Some(below) => {
                    let (without, with) = self.halves(set);
                    open.push((with, below, prefix | (1 << below)));
                    open.push((without, below, prefix));
                }
            }
        }
        members
    }

    fn halves(&self, set: Set) -> (Set, Set) {
        self.trees.get(set).copied().unwrap_or_default()
    }
}

fn bit(member: usize, position: u32) -> bool {
    member >> position & 1 == 1
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn sets_behave_as_sets_whatever_the_way_to_them(toggles in vec(0_usize..20, 0..40)) {
            let mut sets = Sets::below(20);
            let (mut set, mut expected) = (Sets::EMPTY, BTreeSet::new());
            for member in toggles {
                set = sets.toggle(set, member);
                if !expected.remove(&member) {
                    expected.insert(member);
                }
            }
            prop_assert!((0..20).all(|member| sets.contains(set, member) == expected.contains(&member)));
            prop_assert_eq!(sets.members(set), expected.iter().copied().collect::<Vec<_>>());
            let straight = expected.iter().rev().fold(Sets::EMPTY, |set, member| sets.toggle(set, *member));
            prop_assert_eq!(straight, set);
        }
    }
}
