//! What each policy selects, and whom its rules let in or out.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::rc::Rc;

use palisade_policy::cluster::ClusterState;
use palisade_policy::model::{
    Direction, NamespaceName, NamespaceScope, Peer, Peers, Pod, PodPeer, Policy, PolicyKey,
};
use palisade_policy::reach::{Class, Outside, Reach};

use super::names;

/// The most spans of rows that a page holds about rules. A cluster beyond that has more rules than somebody reads on a page.
const MOST_SPANS: usize = 400_000;

/// The classes that each policy selects, as indexes into [`Reach::classes`].
pub(super) fn subjects(reach: &Reach) -> BTreeMap<&PolicyKey, Vec<usize>> {
    let mut subjects: BTreeMap<&PolicyKey, Vec<usize>> = BTreeMap::new();
    for (index, class) in reach.classes().iter().enumerate() {
        for key in class.ingress.union(&class.egress) {
            subjects.entry(key).or_default().push(index);
        }
    }
    subjects
}

/// First and last of some rows of the matrix that are beside each other, where rows are classes and ranges.
pub(super) type Spans = Rc<[(usize, usize)]>;

/// Whom each rule of a policy speaks of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Scope {
    pub(super) ingress: Option<Vec<Spans>>,
    pub(super) egress: Option<Vec<Spans>>,
}

/// Whom the rules of each policy speak of; `None` where that would be too much for a page.
pub(super) fn scopes(state: &ClusterState, reach: &Reach) -> Option<Vec<Scope>> {
    let mut peers = PeerEnds::of(state, reach);
    let mut spans = 0;
    let mut scopes = Vec::with_capacity(state.policies().len());
    for policy in state.policies().values() {
        let mut scope = |direction| {
            let rules = policy.rules(direction)?.iter();
            Some(
                rules
                    .map(|rule| peers.rule(policy, &rule.peers))
                    .collect::<Vec<Spans>>(),
            )
        };
        let scope = Scope {
            ingress: scope(Direction::Ingress),
            egress: scope(Direction::Egress),
        };
        let rules = scope.ingress.iter().chain(&scope.egress).flatten();
        spans += rules.map(|spans| spans.len()).sum::<usize>();
        if spans > MOST_SPANS {
            return None;
        }
        scopes.push(scope);
    }
    Some(scopes)
}

/// Which ends a peer speaks of. Policies often say the same.
struct PeerEnds<'a> {
    state: &'a ClusterState,
    reach: &'a Reach,
    /// A pod of each class, which speaks for all.
    pods: Vec<Option<&'a Pod>>,
    known: HashMap<(Option<NamespaceName>, Peers), Spans>,
}

impl<'a> PeerEnds<'a> {
    fn of(state: &'a ClusterState, reach: &'a Reach) -> Self {
        let first = |class: &Class| {
            class
                .members
                .first()
                .and_then(|member| state.pods().get(&member.uid))
        };
        Self {
            state,
            reach,
            pods: reach.classes().iter().map(first).collect(),
            known: HashMap::new(),
        }
    }

    fn rule(&mut self, policy: &Policy, peers: &Peers) -> Spans {
        let own = match peers {
            Peers::All => false,
            Peers::AnyOf(peers) => peers.iter().any(|peer| match peer {
                Peer::Pods(pods) => pods.namespaces == NamespaceScope::Own,
                Peer::Block(_) => false,
            }),
        };
        let key = (own.then(|| policy.key.namespace.clone()), peers.clone());
        if let Some(known) = self.known.get(&key) {
            return known.clone();
        }
        let classes = self.reach.classes().iter().zip(&self.pods);
        let classes = classes.map(|(class, pod)| {
            pod.is_some_and(|pod| any(peers, |peer| self.speaks_of_pods(policy, peer, class, pod)))
        });
        let outside = names::ranges(self.reach);
        let outside = outside.map(|(_, range)| any(peers, |peer| speaks_of_range(peer, range)));
        let spans = spans(classes.chain(outside));
        self.known.insert(key, spans.clone());
        spans
    }

    fn speaks_of_pods(&self, policy: &Policy, peer: &Peer, class: &Class, pod: &Pod) -> bool {
        match peer {
            Peer::Pods(peer) => {
                self.in_scope(policy, peer, &class.namespace) && peer.pods.matches(&pod.labels)
            }
            Peer::Block(block) => class.members.first().is_some_and(|member| {
                let v4 = member.v4.map(IpAddr::from);
                let v6 = member.v6.map(IpAddr::from);
                v4.into_iter().chain(v6).any(|address| block.contains(address))
            }),
        }
    }

    fn in_scope(&self, policy: &Policy, peer: &PodPeer, namespace: &NamespaceName) -> bool {
        match &peer.namespaces {
            NamespaceScope::Own => *namespace == policy.key.namespace,
            NamespaceScope::Matching(selector) => match self.state.namespaces().get(namespace) {
                Some(namespace) => selector.matches(&namespace.labels),
                // A namespace that is not known satisfies no requirement, not even NotIn.
                None => selector.is_everything(),
            },
        }
    }
}

fn any(peers: &Peers, speaks: impl Fn(&Peer) -> bool) -> bool {
    match peers {
        Peers::All => true,
        Peers::AnyOf(peers) => peers.iter().any(speaks),
    }
}

/// No policy tells the addresses of a range apart, so that the first one speaks for all.
fn speaks_of_range(peer: &Peer, range: &Outside) -> bool {
    match peer {
        Peer::Pods(_) => false,
        Peer::Block(block) => range
            .blocks
            .first()
            .is_some_and(|net| block.contains(net.network())),
    }
}

fn spans(members: impl Iterator<Item = bool>) -> Spans {
    let mut spans: Vec<(usize, usize)> = Vec::new();
    for (index, _) in members.enumerate().filter(|(_, member)| *member) {
        match spans.last_mut() {
            Some((_, last)) if *last + 1 == index => *last = index,
            _ => spans.push((index, index)),
        }
    }
    spans.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_in_a_row_is_one_span() {
        let members = [true, true, false, true, false, false, true, true];
        assert_eq!(*spans(members.into_iter()), [(0, 1), (3, 3), (6, 7)]);
        assert!(spans([false].into_iter()).is_empty());
    }
}
