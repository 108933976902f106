//! What is published, put together from its documents.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::sync::Arc;

use palisade_crds::{
    AcceptedPods, AcceptedPolicies, AcceptedResidents, AcceptedRules, AcceptedSlice, AddressGroup,
    DocumentError, NodeRuleSet, PodSlice, PolicySlice, Selected, walk,
};
use palisade_policy::model::{NodeName, PolicyKey};
use palisade_policy::rules::{CompiledPolicy, GroupId, Member, NodeId};

use super::difference::Difference;
use crate::inventory::Published;

/// The slices that are stored, by their names.
pub(super) struct Stored {
    pods: Documents<AcceptedPods>,
    policies: Documents<AcceptedPolicies>,
    groups: Documents<AcceptedSlice>,
}

/// Documents as they were accepted, or why they were not.
type Documents<T> = BTreeMap<String, Result<T, DocumentError>>;

/// What a node is told of its pods.
pub(super) struct Told<'a> {
    pub(super) rule_set: &'a NodeRuleSet,
    pub(super) residents: Result<AcceptedResidents, Difference>,
}

/// One of the slices that are stored.
fn find<T: Clone>(slices: &Documents<T>, kind: &str, name: &str) -> Result<T, Difference> {
    match slices.get(name) {
        Some(Ok(accepted)) => Ok(accepted.clone()),
        Some(Err(error)) => Err(Difference::Unreadable(format!("{kind} {name}: {error}"))),
        None => Err(Difference::MissingSlice(format!("{kind} {name}"))),
    }
}

/// The documents of one kind.
fn documents<'d, D, T>(documents: &'d [D]) -> Documents<T>
where
    D: kube::Resource,
    T: TryFrom<&'d D, Error = DocumentError>,
{
    let named = documents.iter().map(|document| {
        let name = document.meta().name.clone().unwrap_or_default();
        (name, T::try_from(document))
    });
    named.collect()
}

impl Stored {
    pub(super) fn new(published: &Published) -> Self {
        Self {
            pods: documents(&published.pods),
            policies: documents(&published.policies),
            groups: documents(&published.groups),
        }
    }

    /// What a rule set and the slices below it say.
    pub(super) fn told<'a>(&self, rule_set: &'a NodeRuleSet) -> Told<'a> {
        let node = NodeId::of(&NodeName::from(rule_set.spec.node.as_str()));
        let accepted =
            AcceptedRules::try_from(rule_set).map_err(|error| Difference::Unreadable(error.to_string()));
        let residents = accepted
            .and_then(|rules| rules.unite(|id| find(&self.pods, "PodSlice", &PodSlice::name_of(&node, id))));
        Told { rule_set, residents }
    }

    /// The policies that are published. A slice that nothing refers to is of no account.
    pub(super) fn policies(&self) -> BTreeMap<PolicyKey, Arc<CompiledPolicy>> {
        let readable = self.policies.values().filter_map(|slice| slice.as_ref().ok());
        let namespaces: BTreeSet<_> = readable.map(|accepted| &accepted.slice.namespace).collect();
        let mut policies = BTreeMap::new();
        for namespace in namespaces {
            let visited: Result<(), Infallible> = walk(|id| {
                let slice = self.policies.get(&PolicySlice::name_of(namespace, id));
                let Some(Ok(AcceptedPolicies { slice, .. })) = slice else {
                    return Ok(false);
                };
                let found = slice.policies.iter();
                policies.extend(found.map(|(key, policy)| (key.clone(), Arc::clone(policy))));
                Ok(slice.split)
            });
            let Ok(()) = visited;
        }
        policies
    }

    /// What a node makes of its rule set and the policies that it needs.
    pub(super) fn select(&self, residents: &AcceptedResidents) -> Result<Selected, Difference> {
        residents.select(|namespace, slice| {
            let name = PolicySlice::name_of(namespace, slice);
            find(&self.policies, "PolicySlice", &name)
        })
    }

    /// The members of a group as they are published.
    pub(super) fn members(&self, group: &GroupId) -> Result<Vec<Arc<Member>>, Difference> {
        let mut members = Vec::new();
        walk(|id| {
            let name = AddressGroup::name_of(group, id);
            let AcceptedSlice { slice, .. } = find(&self.groups, "AddressGroup", &name)?;
            members.extend(slice.members.iter().map(Arc::clone));
            Ok(slice.split)
        })?;
        members.sort_unstable();
        Ok(members)
    }
}
