//! What may be there although nobody has read it.
//!
//! Files are a part of a cluster, as a rule: the namespaces of others are not among them, nor pods that an operator makes. A
//! selector that only such pods fulfil is no mistake, and whom it allows may well be somebody.

use std::collections::HashSet;

use palisade_policy::model::{NamespaceName, Operator, Peer, Selector};

use super::population::{Class, Population, asks_for_added};
use super::scene::{Seen, SeenPeer};
use super::selectors::{NAME_LABEL, namespace_selector};
use crate::inventory::Inventory;

/// A namespace that every cluster has, with pods in it.
const SYSTEM: &str = "kube-system";

/// What is known of how much was read.
#[derive(Clone, Copy)]
pub(super) struct Unread<'a> {
    inventory: &'a Inventory,
    population: &'a Population<'a>,
    whole: bool,
}

/// Why pods that nobody has read may be among a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Doubt {
    /// Namespaces that were not read may fulfil its `namespaceSelector`, whichever they are.
    AnyNamespaces,
    /// Namespaces that were not read may have the labels that it asks for, as some have that were read.
    LikeNamespaces,
    /// None of the namespaces that were read fulfils its `namespaceSelector`.
    NoNamespace,
    /// Its namespaces may have other pods than those that were read.
    Pods,
    /// Pods that stand for others may get the labels that it asks for when they are made.
    Labels,
}

impl<'a> Unread<'a> {
    pub(super) fn of(inventory: &'a Inventory, population: &'a Population<'a>) -> Self {
        let system = NamespaceName::from(SYSTEM);
        let described =
            inventory.state.namespaces().contains_key(&system) && !inventory.undescribed.contains(&system);
        Self {
            inventory,
            population,
            // Many a file describes the namespace just to label it, or has a workload for it.
            whole: inventory.whole
                || (described
                    && !population
                        .of_namespace(&system)
                        .iter()
                        .all(Class::is_of_templates)),
        }
    }

    /// Whether the objects are those of a whole cluster, so that what is not among them is not there.
    pub(super) fn is_nothing(self) -> bool {
        self.whole
    }

    /// Whether namespaces that were not read, or of which only the name is known, may fulfil a selector.
    pub(super) fn namespaces(self, selector: &Selector) -> bool {
        let by_name = is_by_name(selector);
        if self.whole && (by_name || self.inventory.undescribed.is_empty()) {
            return false;
        }
        let named = selector
            .requirements()
            .filter(|requirement| requirement.key.as_ref() == NAME_LABEL);
        let mut named = named.filter_map(|requirement| match &requirement.operator {
            Operator::In(values) => Some(values),
            Operator::NotIn(_) | Operator::Exists | Operator::DoesNotExist => None,
        });
        named.all(|values| {
            values.iter().any(|value| {
                let name = NamespaceName::from(value.as_ref());
                !self.inventory.state.namespaces().contains_key(&name)
                    || (!by_name && self.inventory.undescribed.contains(&name))
            })
        })
    }

    /// Whether a namespace may have pods that were not read: something in it was skipped that may make them, none was read, or
    /// it is that of the system, whose pods come with the cluster.
    pub(super) fn pods_of(self, namespace: &NamespaceName) -> bool {
        self.inventory.unread.contains_key(namespace)
            || (!self.whole
                && (namespace.as_str() == SYSTEM || self.population.of_namespace(namespace).is_empty()))
    }

    /// Whether the pods of some namespaces may yet get labels that a selector asks for.
    pub(super) fn labels<'n>(
        self,
        namespaces: impl IntoIterator<Item = &'n NamespaceName>,
        pods: &Selector,
    ) -> bool {
        let mut classes = namespaces
            .into_iter()
            .flat_map(|name| self.population.of_namespace(name));
        asks_for_added(pods) && classes.any(|class| class.may_match(pods))
    }

    /// Why pods may be among a peer that were not read; `None` where all are known.
    pub(super) fn doubt(self, seen: &Seen<'_>, at: &SeenPeer<'_>) -> Option<Doubt> {
        let Peer::Pods(peer) = at.peer else { return None };
        let own = HashSet::from([&seen.policy.key.namespace]);
        let selected = at.namespaces.as_deref().unwrap_or(&own);
        if self.labels(selected.iter().copied(), &peer.pods) {
            return Some(Doubt::Labels);
        }
        let unread = namespace_selector(peer).filter(|selector| self.namespaces(selector));
        let like = match unread {
            Some(_) if selected.is_empty() => return Some(Doubt::NoNamespace),
            Some(selector) if !asks_for_something(selector) => return Some(Doubt::AnyNamespaces),
            Some(_) => Some(Doubt::LikeNamespaces),
            None => None,
        };
        let pods = selected.iter().any(|name| self.pods_of(name));
        pods.then_some(Doubt::Pods).or(like)
    }

    /// Whether a peer is for somebody, as far as is known and as far as is not.
    pub(super) fn has_somebody(self, seen: &Seen<'_>, at: &SeenPeer<'_>) -> bool {
        match at.peer {
            Peer::Block(_) => true,
            Peer::Pods(_) => !at.found.workloads.is_empty() || self.doubt(seen, at).is_some(),
        }
    }
}

/// Whether a selector of namespaces asks for their names alone, which are known of all that were read.
pub(super) fn is_by_name(selector: &Selector) -> bool {
    selector
        .requirements()
        .all(|requirement| requirement.key.as_ref() == NAME_LABEL)
}

/// Whether a selector asks for a label that is there: who fulfils it was given the label for that.
fn asks_for_something(selector: &Selector) -> bool {
    selector
        .requirements()
        .any(|requirement| match requirement.operator {
            Operator::In(_) | Operator::Exists => true,
            Operator::NotIn(_) | Operator::DoesNotExist => false,
        })
}
