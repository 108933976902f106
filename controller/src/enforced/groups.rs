//! Whether the groups of pods that policies refer to are published as they are.

use std::collections::BTreeMap;
use std::sync::Arc;

use palisade_policy::compile::Published;
use palisade_policy::rules::{Group, GroupId, Member};

use super::difference::Difference;
use super::stored::Stored;

/// The groups that are not published as they are, and how.
pub(super) struct Groups(BTreeMap<GroupId, Flaw>);

/// What is wrong with a group.
enum Flaw {
    /// It has other members than it should.
    Members(String),
    /// It cannot be read.
    Document(Difference),
}

impl Groups {
    /// Compares the groups that policies refer to now.
    pub(super) fn of(compiled: &Published, stored: &Stored) -> Self {
        let flaws = compiled.groups.iter().filter_map(|(id, group)| {
            let flaw = match stored.members(id) {
                Ok(members) => Flaw::Members(difference(group, &members)?),
                Err(difference) => Flaw::Document(difference),
            };
            Some((*id, flaw))
        });
        Self(flaws.collect())
    }

    /// Whether a group is published as it is.
    pub(super) fn are_current<'a>(&self, mut groups: impl Iterator<Item = &'a GroupId>) -> bool {
        groups.all(|group| !self.0.contains_key(group))
    }

    /// What is wrong with those that a node needs.
    pub(super) fn differences<'a>(&self, groups: impl Iterator<Item = &'a GroupId>) -> Vec<Difference> {
        let (mut members, mut differences) = (Vec::new(), Vec::new());
        for flaw in groups.filter_map(|group| self.0.get(group)) {
            match flaw {
                Flaw::Members(words) => members.push(words),
                // A node does nothing without one that it needs, so the first says it all.
                Flaw::Document(difference) if differences.is_empty() => differences.push(difference.clone()),
                Flaw::Document(_) => {}
            }
        }
        if let Some(first) = members.first() {
            differences.push(Difference::OtherMembers {
                groups: members.len(),
                first: (*first).clone(),
            });
        }
        differences
    }
}

/// What is wrong with the members that are published, in words; `None` where nothing is.
fn difference(group: &Group, published: &[Arc<Member>]) -> Option<String> {
    let mut wanted: Vec<&Arc<Member>> = group.members.values().collect();
    wanted.sort_unstable();
    if wanted.iter().copied().eq(published) {
        return None;
    }
    let lacking = wanted
        .iter()
        .find(|member| published.binary_search(member).is_err());
    let left = published
        .iter()
        .find(|member| wanted.binary_search(member).is_err());
    let words = match (lacking, left) {
        (Some(lacking), _) if published.iter().any(|member| member.pod == lacking.pod) => {
            format!("has other addresses or ports of {}", lacking.pod)
        }
        (Some(lacking), _) => format!("lacks {}", lacking.pod),
        (None, Some(left)) => format!("still has {}", left.pod),
        (None, None) => "has a pod twice".to_owned(),
    };
    Some(format!("the group of {} {words}", group.spec))
}
