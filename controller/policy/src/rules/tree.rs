//! How many things are spread over slices that are each small.
//!
//! A slice is a node of a binary trie over a hash of the things' names. It holds every thing whose hash begins with its
//! prefix; when these weigh more than a slice may, it says that it is split, and its two halves hold them, by the next
//! bit. So the slices follow from the things alone, in any order of coming and going; a change touches one slice, and some
//! more only where a split or a merge is due, and never moves anything else.
//!
//! **A tree is whole when its first slice is there, and both halves of each slice that is split.** Nobody has to list the
//! slices: whoever refers to a tree refers to its first slice, and a split is done by the write of one slice, after its
//! halves were written.

use std::collections::BTreeMap;
use std::fmt;

use sha2::{Digest, Sha256};
use thiserror::Error;

/// The longest prefix, in bits. More names than fit into a slice never share so many.
const MAX_DEPTH: u8 = 32;

/// Identifies a slice within its tree: the first `depth` bits of the hash of each name in it.
///
/// Written as `s` and the bits: `s` is the first slice, `s0` and `s1` its halves.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SliceId {
    /// The prefix in the highest bits, zeros below.
    bits: u32,
    depth: u8,
}

/// A text that is no slice identifier.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{text:?} is no slice: it should be `s` and at most 32 binary digits")]
pub struct InvalidSliceId {
    /// The refused text.
    pub text: String,
}

impl SliceId {
    /// The first slice of a tree.
    pub const WHOLE: Self = Self { bits: 0, depth: 0 };

    /// Reads a slice identifier back.
    pub fn parse(text: &str) -> Result<Self, InvalidSliceId> {
        let invalid = || InvalidSliceId {
            text: text.to_owned(),
        };
        let digits = text.strip_prefix('s').ok_or_else(invalid)?;
        let depth = u8::try_from(digits.len())
            .ok()
            .filter(|depth| *depth <= MAX_DEPTH)
            .ok_or_else(invalid)?;
        if depth == 0 {
            return Ok(Self::WHOLE);
        }
        if !digits.bytes().all(|digit| matches!(digit, b'0' | b'1')) {
            return Err(invalid());
        }
        let value = u32::from_str_radix(digits, 2).map_err(|_| invalid())?;
        Ok(Self {
            bits: value << (MAX_DEPTH - depth),
            depth,
        })
    }

    /// Whether a hash that belongs here belongs to the second half.
    pub(super) fn is_second(self, hash: u32) -> bool {
        let bit = 31_u32.checked_sub(self.depth.into());
        bit.is_some_and(|bit| hash >> bit & 1 == 1)
    }

    /// Whether it may be split.
    pub(super) fn is_divisible(self) -> bool {
        self.depth < MAX_DEPTH
    }

    /// Whether a hash belongs here.
    fn holds(self, hash: u32) -> bool {
        let mask = u32::MAX
            .checked_shl(u32::from(MAX_DEPTH - self.depth))
            .unwrap_or(0);
        hash & mask == self.bits
    }

    /// Whether a slice is this one or below it.
    pub(super) fn contains(self, slice: Self) -> bool {
        slice.depth >= self.depth && self.holds(slice.bits)
    }

    /// The two slices that this one splits into.
    ///
    /// Of a slice of the longest prefix, which is never split, itself.
    pub fn halves(self) -> [Self; 2] {
        if self.depth >= MAX_DEPTH {
            return [self; 2];
        }
        let depth = self.depth + 1;
        [self.bits, self.bits | 1 << (MAX_DEPTH - depth)].map(|bits| Self { bits, depth })
    }
}

impl fmt::Display for SliceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("s")?;
        for bit in 0..self.depth {
            f.write_str(if self.bits >> (MAX_DEPTH - 1 - bit) & 1 == 1 {
                "1"
            } else {
                "0"
            })?;
        }
        Ok(())
    }
}

impl fmt::Debug for SliceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Spreads things over slices; `None` stands for a slice that is split. At least one slice, so that even nothing can be
/// told from what has not arrived.
///
/// `capacity` is the most that the things of a slice may weigh together. A thing that weighs more has a slice of its own.
pub(super) fn spread<T: Clone>(
    things: impl IntoIterator<Item = (u32, usize, T)>,
    capacity: usize,
) -> BTreeMap<SliceId, Option<Vec<T>>> {
    let mut things: Vec<(u32, usize, T)> = things.into_iter().collect();
    things.sort_by_key(|(hash, _, _)| *hash);
    let mut slices = BTreeMap::new();
    let mut open = vec![SliceId::WHOLE];
    while let Some(slice) = open.pop() {
        let start = things.partition_point(|(hash, _, _)| *hash < slice.bits);
        let rest = things.get(start..).unwrap_or_default();
        let held = rest
            .get(..rest.partition_point(|(hash, _, _)| slice.holds(*hash)))
            .unwrap_or_default();
        let weight: usize = held.iter().map(|(_, weight, _)| weight).sum();
        if weight > capacity && held.len() > 1 && slice.is_divisible() {
            open.extend(slice.halves());
            slices.insert(slice, None);
        } else {
            slices.insert(
                slice,
                Some(held.iter().map(|(_, _, thing)| thing.clone()).collect()),
            );
        }
    }
    slices
}

/// The hash by which a name is put into a slice.
pub(crate) fn hash(name: &str) -> u32 {
    let digest = Sha256::digest(name.as_bytes());
    digest
        .iter()
        .take(4)
        .fold(0, |hash, byte| hash << 8 | u32::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slice_identifier_reads_back_as_it_was_written() {
        for text in ["s", "s0", "s1", "s0110", "s11111111111111111111111111111111"] {
            assert_eq!(SliceId::parse(text).map(|id| id.to_string()).as_deref(), Ok(text));
        }
        for text in ["", "0", "s2", "s+1", "s011111111111111111111111111111111"] {
            assert!(SliceId::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn what_is_too_heavy_for_any_slice_has_one_of_its_own() {
        let things = (0..50_u32).map(|number| (hash(&number.to_string()), 100, number));
        let slices = spread(things, 10);
        let leaves: Vec<&Vec<u32>> = slices.values().flatten().collect();
        assert!(leaves.iter().all(|leaf| leaf.len() <= 1), "{slices:?}");
        assert_eq!(leaves.iter().map(|leaf| leaf.len()).sum::<usize>(), 50);
    }

    #[test]
    fn each_half_of_a_split_slice_is_there_and_nothing_else() {
        let things = (0..300_u32).map(|number| (hash(&number.to_string()), 1, number));
        let slices = spread(things, 20);
        let mut reached = vec![SliceId::WHOLE];
        let mut count = 0;
        while let Some(id) = reached.pop() {
            count += 1;
            if slices[&id].is_none() {
                reached.extend(id.halves());
            }
        }
        assert_eq!(count, slices.len());
    }
}
