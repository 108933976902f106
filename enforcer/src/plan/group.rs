//! The groups that a node uses: their members, and who comes and goes.

use std::collections::BTreeMap;
use std::sync::Arc;

use palisade_policy::rules::{GroupId, Member, Slice, SliceId};

/// Addresses in a group above which it is a set of its own, shared by all profiles that use it. A copy of a group costs
/// an element in each profile's set for every address, and again for every change; a shared set costs each profile a
/// rule, 60–85 ns for every packet that comes so far.
pub(super) const LARGE_GROUP: usize = 2_000;

/// The groups by their slices.
#[derive(Debug, Default)]
pub(super) struct Groups(BTreeMap<GroupId, Group>);

#[derive(Debug, Default)]
struct Group {
    slices: BTreeMap<SliceId, Arc<Slice>>,
    /// Addresses of all members.
    addresses: usize,
}

/// What has changed of a group.
#[derive(Debug, Default)]
pub(super) struct Turn {
    pub(super) gone: Vec<Arc<Member>>,
    pub(super) come: Vec<Arc<Member>>,
    /// Whether it was large.
    was_large: bool,
}

impl Groups {
    /// Takes in a slice, or that there is none. Adds to `turn` what that changes.
    pub(super) fn take(
        &mut self,
        (id, slice): (GroupId, SliceId),
        after: Option<&Arc<Slice>>,
        turns: &mut BTreeMap<GroupId, Turn>,
    ) {
        let group = self.0.entry(id).or_default();
        let turn = turns.entry(id).or_insert_with(|| Turn {
            was_large: group.addresses > LARGE_GROUP,
            ..Turn::default()
        });
        let before = match after {
            Some(after) => group.slices.insert(slice, Arc::clone(after)),
            None => group.slices.remove(&slice),
        };
        let [before, after] =
            [before.as_ref(), after].map(|slice| slice.map_or(&[][..], |slice| &slice.members));
        let (gone, come) = difference(before, after);
        let addresses =
            |members: &[Arc<Member>]| members.iter().map(|member| member.addresses.len()).sum::<usize>();
        group.addresses = group.addresses + addresses(&come) - addresses(&gone);
        turn.gone.extend(gone);
        turn.come.extend(come);
        if group.slices.is_empty() {
            self.0.remove(&id);
        }
    }

    /// Whether a group's members are too many to copy.
    pub(super) fn is_large(&self, id: &GroupId) -> bool {
        self.0.get(id).is_some_and(|group| group.addresses > LARGE_GROUP)
    }

    /// Whether a group has become large, or is not any more.
    pub(super) fn has_turned(&self, id: &GroupId, turn: &Turn) -> bool {
        self.is_large(id) != turn.was_large
    }

    pub(super) fn members(&self, id: &GroupId) -> impl Iterator<Item = &Arc<Member>> {
        let slices = self.0.get(id).into_iter().flat_map(|group| group.slices.values());
        slices.flat_map(|slice| &slice.members)
    }
}

/// Who is in the first list only, and who in the second only. Most of both is the same in the same place.
fn difference(before: &[Arc<Member>], after: &[Arc<Member>]) -> (Vec<Arc<Member>>, Vec<Arc<Member>>) {
    let same = |(one, other): &(&Arc<Member>, &Arc<Member>)| one == other;
    let begin = before.iter().zip(after).take_while(same).count();
    let [before, after] = [before, after].map(|members| members.get(begin..).unwrap_or_default());
    let end = before
        .iter()
        .rev()
        .zip(after.iter().rev())
        .take_while(same)
        .count();
    let [before, after] =
        [before, after].map(|members| members.get(..members.len() - end).unwrap_or_default());
    let mut counts: BTreeMap<&Arc<Member>, (usize, usize)> = BTreeMap::new();
    for member in before {
        counts.entry(member).or_default().0 += 1;
    }
    for member in after {
        counts.entry(member).or_default().1 += 1;
    }
    let (mut gone, mut come) = (Vec::new(), Vec::new());
    for (member, (old, new)) in counts {
        gone.extend(std::iter::repeat_n(member, old.saturating_sub(new)).cloned());
        come.extend(std::iter::repeat_n(member, new.saturating_sub(old)).cloned());
    }
    (gone, come)
}
