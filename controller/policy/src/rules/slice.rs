//! What is published in slices for several nodes: the members of a group, the policies of a namespace.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::tree::{SliceId, hash, spread};
use super::{CompiledPeers, CompiledPolicy, CompiledPorts, CompiledRule, Group, GroupId, Member};
use crate::model::{NamespaceName, PolicyKey};

/// Members of one slice at the most. Chosen so that a full slice stays below 10 KB when written as JSON.
pub const SLICE_CAPACITY: usize = 100;

/// What the policies of one slice may weigh together, in entries of lists: some 3 KB when written as JSON. An API server
/// takes about a millisecond for each KB of an object that it writes.
pub const POLICY_CAPACITY: usize = 64;

/// A part of a group as it is published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slice {
    /// The group.
    pub group: GroupId,
    /// Which part of it.
    pub id: SliceId,
    /// The group in words: [`super::GroupSpec`] as text.
    pub description: String,
    /// Whether the members are in its halves.
    pub split: bool,
    /// The members, sorted; none if it is split.
    pub members: Vec<Arc<Member>>,
}

/// A part of the policies of a namespace as it is published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicySlice {
    /// The namespace.
    pub namespace: NamespaceName,
    /// Which part of its policies.
    pub id: SliceId,
    /// Whether the policies are in its halves.
    pub split: bool,
    /// The policies; none if it is split.
    pub policies: BTreeMap<PolicyKey, Arc<CompiledPolicy>>,
}

/// The slices of a group. At least one, so that even an empty group can be told from one that has not arrived.
pub fn slices(id: &GroupId, group: &Group) -> BTreeMap<SliceId, Slice> {
    let members = group
        .members
        .iter()
        .map(|(uid, member)| (hash(uid.as_str()), 1, member));
    let description = group.spec.to_string();
    let slices = spread(members, SLICE_CAPACITY).into_iter();
    let slices = slices.map(|(slice, members)| {
        let split = members.is_none();
        let mut members: Vec<Arc<Member>> = members.into_iter().flatten().cloned().collect();
        members.sort_unstable();
        let slice = Slice {
            group: *id,
            id: slice,
            description: description.clone(),
            split,
            members,
        };
        (slice.id, slice)
    });
    slices.collect()
}

/// Entries of lists in a policy, each some 50 bytes when written.
pub(crate) fn weight(policy: &CompiledPolicy) -> usize {
    let rule = |rule: &CompiledRule| {
        let peers = match &rule.peers {
            CompiledPeers::All => 0,
            CompiledPeers::AnyOf { groups, blocks } => {
                groups.len() + blocks.iter().map(|block| 1 + block.except().len()).sum::<usize>()
            }
        };
        let ports = match &rule.ports {
            CompiledPorts::All | CompiledPorts::OfMembers(_) => 0,
            CompiledPorts::AnyOf(ports) => ports.len(),
        };
        2 + peers + ports
    };
    let rules = policy.rules.ingress.iter().chain(&policy.rules.egress).flatten();
    1 + policy.subject.requirements().count() + policy.rules.defects.len() + rules.map(rule).sum::<usize>()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{PodKey, Selector};
    use crate::rules::{GroupSpec, Scope};

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
            group
                .members
                .insert(format!("uid-{number}").into(), member.into());
            let after = slices(&id, &group);
            let written = after
                .iter()
                .filter(|(slice, content)| before.get(slice) != Some(content))
                .count();
            let deleted = before.keys().filter(|slice| !after.contains_key(slice)).count();
            // The slice, or also its halves.
            assert!(
                (written, deleted) == (1, 0) || (written, deleted) == (3, 0),
                "wrote {written}, deleted {deleted}"
            );
            assert!(after.values().all(|slice| slice.members.len() <= SLICE_CAPACITY));
            assert_eq!(
                after.values().map(|slice| slice.members.len()).sum::<usize>(),
                group.members.len()
            );
            before = after;
        }
        let leaves = before.values().filter(|slice| !slice.split).count();
        assert!(leaves > 4, "{leaves} slices with members");
    }
}
