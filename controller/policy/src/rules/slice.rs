//! What is published in slices for several nodes: the members of a group, the policies of a namespace.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::tree::{SliceId, hash, spread};
use super::{CompiledPeers, CompiledPolicy, CompiledPorts, CompiledRule, Group, GroupId, GroupSpec, Member};
use crate::model::{NamespaceName, PolicyKey};

/// Members of one slice at the most. Chosen so that a full slice stays below 10 KB when written as JSON; a member with many
/// numbers for one name of a port counts for several.
pub const SLICE_CAPACITY: usize = 100;

/// Numbers of a name of a port that take as much as a member without any.
const NUMBERS: usize = 16;

/// Bytes of the words for a group, at the most: every slice of the group repeats them, and a selector may have thousands of
/// values.
const WORDS: usize = 1_000;

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
    /// The group in words: [`super::GroupSpec`] as text, or how that begins.
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
        .map(|(uid, member)| (hash(uid.as_str()), member_weight(member), member));
    let description = description(&group.spec);
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

/// What a member weighs, of [`SLICE_CAPACITY`].
pub(crate) fn member_weight(member: &Member) -> usize {
    1 + member.ports.len() / NUMBERS
}

/// A group in words, as far as there is room for them.
pub(crate) fn description(spec: &GroupSpec) -> String {
    let mut words = spec.to_string();
    if words.len() > WORDS {
        words.truncate(words.floor_char_boundary(WORDS));
        words.push('…');
    }
    words
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
    1 + policy.subject.entries() + policy.rules.defects.len() + rules.map(rule).sum::<usize>()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Operator, PodKey, Requirement, Selector};
    use crate::rules::{PolicyRules, Scope};

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

    #[test]
    fn members_with_many_numbers_and_groups_with_many_words_make_no_large_slices() {
        let values = (0..5_000).map(|number| format!("value-{number}").into());
        let spec = GroupSpec {
            scope: Scope::Cluster(Selector::everything()),
            pods: Selector::from_iter([Requirement {
                key: "key".into(),
                operator: Operator::In(values.collect()),
            }]),
            port: None,
            within: None,
        };
        let member = |number: usize| Member {
            pod: PodKey::new("shop", format!("web-{number}")),
            addresses: ["10.0.0.1".parse().unwrap()].into(),
            ports: (1..400).collect(),
        };
        let members = (0..100).map(|number| (format!("uid-{number}").into(), member(number).into()));
        let group = Group {
            spec,
            members: members.collect(),
        };
        for slice in slices(&group.spec.id(), &group).values() {
            let numbers: usize = slice.members.iter().map(|member| member.ports.len()).sum();
            assert!(numbers <= SLICE_CAPACITY * NUMBERS, "{numbers} numbers");
            assert!(slice.description.len() < WORDS + 10, "{}", slice.description);
        }
    }

    #[test]
    fn the_values_of_the_selector_of_a_policy_weigh() {
        let subject = |count: usize| {
            let values = (0..count).map(|number| format!("value-{number}").into());
            Selector::from_iter([Requirement {
                key: "key".into(),
                operator: Operator::In(values.collect()),
            }])
        };
        let policy = |subject| CompiledPolicy {
            subject,
            rules: PolicyRules::default(),
        };
        assert_eq!(weight(&policy(subject(1))), 2);
        assert!(
            weight(&policy(subject(9_000))) > 9_000,
            "two of these do not fit into one slice"
        );
    }
}
