//! How the members of a group are spread over slices.
//!
//! A slice is a node of a binary trie over a hash of the pod UIDs. It holds every member whose hash begins with its
//! prefix; a prefix with more than [`SLICE_CAPACITY`] members is split in two by the next bit. So the slices follow
//! from the members alone, in any order of coming and going; a change touches one slice, and one more only where a
//! split or a merge is due, and never moves anybody else.

use std::collections::BTreeMap;
use std::fmt;

use sha2::{Digest, Sha256};
use thiserror::Error;

use super::{Group, GroupId, Member};
use crate::model::PodUid;

/// Members of one slice at the most. Chosen so that a full slice stays below 10 KB when written as JSON.
pub const SLICE_CAPACITY: usize = 100;

/// The longest prefix, in bits. UIDs are random: 2^32 slices are never reached.
const MAX_DEPTH: u8 = 32;

/// Identifies a slice within its group: the first `depth` bits of the hash of each member's UID.
///
/// Written as `s` and the bits: `s` is the whole group, `s0` and `s1` its halves.
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
    /// The slice of a group that is not split.
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

    /// Whether a hash belongs here.
    fn holds(self, hash: u32) -> bool {
        let mask = u32::MAX
            .checked_shl(u32::from(MAX_DEPTH - self.depth))
            .unwrap_or(0);
        hash & mask == self.bits
    }

    /// The two slices that this one splits into.
    fn halves(self) -> [Self; 2] {
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

/// A part of a group as it is published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slice {
    /// The group.
    pub group: GroupId,
    /// Which part of it.
    pub id: SliceId,
    /// The group in words: [`super::GroupSpec`] as text.
    pub description: String,
    /// The members, sorted.
    pub members: Vec<Member>,
}

/// The slices of a group. At least one, so that even an empty group can be told from one that has not arrived.
pub fn slices(id: &GroupId, group: &Group) -> BTreeMap<SliceId, Slice> {
    let mut hashed: Vec<(u32, &Member)> = group
        .members
        .iter()
        .map(|(uid, member)| (hash(uid), member))
        .collect();
    hashed.sort_unstable();
    let description = group.spec.to_string();
    let mut slices = BTreeMap::new();
    let mut open = vec![SliceId::WHOLE];
    while let Some(slice) = open.pop() {
        let start = hashed.partition_point(|(hash, _)| *hash < slice.bits);
        let members: Vec<&Member> = hashed
            .iter()
            .skip(start)
            .take_while(|(hash, _)| slice.holds(*hash))
            .map(|(_, member)| *member)
            .collect();
        if members.len() > SLICE_CAPACITY && slice.depth < MAX_DEPTH {
            open.extend(slice.halves());
            continue;
        }
        let mut members: Vec<Member> = members.into_iter().cloned().collect();
        members.sort_unstable();
        slices.insert(
            slice,
            Slice {
                group: id.clone(),
                id: slice,
                description: description.clone(),
                members,
            },
        );
    }
    slices
}

fn hash(uid: &PodUid) -> u32 {
    let digest = Sha256::digest(uid.as_str().as_bytes());
    digest
        .iter()
        .take(4)
        .fold(0, |hash, byte| hash << 8 | u32::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{PodKey, Selector};
    use crate::rules::{GroupSpec, Scope};

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
    fn a_member_that_comes_changes_one_slice_or_splits_one() {
        let spec = GroupSpec {
            scope: Scope::Cluster(Selector::everything()),
            pods: Selector::everything(),
            port: None,
            within: None,
        };
        let id = spec.id();
        let mut group = Group {
            spec,
            members: BTreeMap::new(),
        };
        let mut before = slices(&id, &group);
        assert_eq!(
            before.keys().copied().collect::<Vec<_>>(),
            [SliceId::WHOLE],
            "an empty group has one empty slice"
        );
        for number in 0..600 {
            let pod = PodKey::new("shop", format!("web-{number}"));
            let member = Member {
                pod,
                addresses: ["10.0.0.1".parse().unwrap()].into(),
                ports: [].into(),
            };
            group.members.insert(format!("uid-{number}").into(), member);
            let after = slices(&id, &group);
            let written = after
                .iter()
                .filter(|(slice, content)| before.get(slice) != Some(content))
                .count();
            let deleted = before.keys().filter(|slice| !after.contains_key(slice)).count();
            assert!(
                (written, deleted) == (1, 0) || (written, deleted) == (2, 1),
                "wrote {written}, deleted {deleted}"
            );
            assert!(after.values().all(|slice| slice.members.len() <= SLICE_CAPACITY));
            assert_eq!(
                after.values().map(|slice| slice.members.len()).sum::<usize>(),
                group.members.len()
            );
            before = after;
        }
        assert!(before.len() > 4, "{} slices", before.len());
    }
}
