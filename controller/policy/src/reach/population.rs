//! The pods that take part in policy, as policies see them: by what they are labelled and where they are.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::numbering::Numbering;
use super::terms::{Looking, Terms};
use crate::cluster::ClusterState;
use crate::model::{Labels, NamespaceName, Pod};

/// What selectors see of a pod. They cannot tell pods of one kind apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Kind<'a> {
    pub(super) namespace: &'a NamespaceName,
    pub(super) labels: &'a Labels,
}

/// A pod with at most one address of each family. A pod with more has as many bodies.
#[derive(Clone, Copy, Debug)]
pub(super) struct Body<'a> {
    pub(super) pod: &'a Pod,
    /// The pod's kind.
    pub(super) kind: usize,
    pub(super) v4: Option<Ipv4Addr>,
    pub(super) v6: Option<Ipv6Addr>,
}

/// All bodies, by the UID of the pod.
#[derive(Debug)]
pub(super) struct Population<'a> {
    pub(super) kinds: Vec<Kind<'a>>,
    pub(super) bodies: Vec<Body<'a>>,
}

impl<'a> Population<'a> {
    /// The pods of a state that own an address.
    pub(super) fn of(state: &'a ClusterState) -> Self {
        let mut kinds = Numbering::default();
        let mut bodies = Vec::with_capacity(state.pods().len());
        for pod in state.pods().values() {
            let (v4, v6) = owned(state, pod);
            let count = v4.len().max(v6.len());
            if count == 0 {
                continue;
            }
            let kind = kinds.number(Kind {
                namespace: &pod.key.namespace,
                labels: &pod.labels,
            });
            bodies.extend((0..count).map(|nth| Body {
                pod,
                kind,
                v4: v4.get(nth).copied(),
                v6: v6.get(nth).copied(),
            }));
        }
        Self {
            kinds: kinds.into_values(),
            bodies,
        }
    }

    /// For each kind the number of the set of terms that select it, and these sets.
    pub(super) fn selected(&self, terms: &Terms<'a>, state: &ClusterState) -> (Vec<usize>, Vec<Vec<usize>>) {
        let mut by_namespace: HashMap<&NamespaceName, Looking<'_>> = HashMap::new();
        let mut sets = Numbering::default();
        let of_kinds = self.kinds.iter().map(|kind| {
            let looking = by_namespace
                .entry(kind.namespace)
                .or_insert_with(|| terms.looking_in(kind.namespace, state.namespaces().get(kind.namespace)));
            sets.number(looking.selecting(kind.labels))
        });
        (of_kinds.collect(), sets.into_values())
    }
}

/// The addresses that a pod owns, in the order in which it reports them.
fn owned(state: &ClusterState, pod: &Pod) -> (Vec<Ipv4Addr>, Vec<Ipv6Addr>) {
    let (mut v4, mut v6) = (Vec::new(), Vec::new());
    for address in &pod.addresses {
        if !state.owns(pod, *address) {
            continue;
        }
        match address {
            IpAddr::V4(address) if !v4.contains(address) => v4.push(*address),
            IpAddr::V6(address) if !v6.contains(address) => v6.push(*address),
            IpAddr::V4(_) | IpAddr::V6(_) => {}
        }
    }
    (v4, v6)
}
