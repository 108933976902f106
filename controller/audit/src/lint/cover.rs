//! Whether one clause allows whatever another one does, whichever pods there are.
//!
//! It follows from the clauses alone (and from the labels of the policy's own namespace), so that a finding does not come and
//! go with pods. What cannot be told so counts as not covered.

use std::collections::BTreeSet;

use palisade_policy::model::{
    IpBlock, Labels, NamespaceName, NamespaceScope, Operator, Peer, Peers, PodPeer, PolicyPort, PortMatch,
    Ports, Requirement, Rule, Selector,
};

use super::addresses::covers;

/// The label of a namespace that is its name.
const NAME_LABEL: &str = "kubernetes.io/metadata.name";

/// The namespace that policies are in: what `podSelector` alone means.
#[derive(Clone, Copy)]
pub(super) struct Own<'a> {
    pub(super) name: &'a NamespaceName,
    pub(super) labels: &'a Labels,
}

/// Whether a rule allows nothing by its own text: all of its entries could not be understood.
pub(super) fn is_void(rule: &Rule) -> bool {
    matches!(&rule.peers, Peers::AnyOf(peers) if peers.is_empty())
        || matches!(&rule.ports, Ports::AnyOf(ports) if ports.is_empty())
}

/// Whether a rule is for everybody and everything.
pub(super) fn is_everything(rule: &Rule) -> bool {
    rule.ports == Ports::All && is_everybody(&rule.peers)
}

fn is_everybody(peers: &Peers) -> bool {
    let Peers::AnyOf(peers) = peers else { return true };
    let world = |v4: bool| {
        peers.iter().any(|peer| match peer {
            Peer::Pods(_) => false,
            Peer::Block(block) => {
                let cidr = block.cidr();
                cidr.prefix_len() == 0 && block.except().is_empty() && cidr.addr().is_ipv4() == v4
            }
        })
    };
    world(true) && world(false)
}

/// Whether `outer` allows all that `inner` allows.
pub(super) fn rule(inner: &Rule, outer: &Rule, own: Own<'_>) -> bool {
    ports(&inner.ports, &outer.ports) && peers(&inner.peers, &outer.peers, own)
}

fn peers(inner: &Peers, outer: &Peers, own: Own<'_>) -> bool {
    if is_everybody(outer) {
        return true;
    }
    match (inner, outer) {
        (Peers::AnyOf(inner), Peers::AnyOf(outer)) => inner
            .iter()
            .all(|inner| outer.iter().any(|outer| peer(inner, outer, own))),
        (_, Peers::All) | (Peers::All, Peers::AnyOf(_)) => false,
    }
}

/// Whether `outer` is for all that `inner` is for.
pub(super) fn peer(inner: &Peer, outer: &Peer, own: Own<'_>) -> bool {
    match (inner, outer) {
        (Peer::Pods(inner), Peer::Pods(outer)) => {
            selector(&inner.pods, &outer.pods) && namespaces(inner, outer, own)
        }
        (Peer::Block(inner), Peer::Block(outer)) => block(inner, outer),
        // A pod has addresses that nobody knows yet.
        (Peer::Pods(_), Peer::Block(_)) | (Peer::Block(_), Peer::Pods(_)) => false,
    }
}

fn namespaces(inner: &PodPeer, outer: &PodPeer, own: Own<'_>) -> bool {
    match (&inner.namespaces, &outer.namespaces) {
        (NamespaceScope::Own, NamespaceScope::Own) => true,
        (NamespaceScope::Own, NamespaceScope::Matching(outer)) => outer.matches(own.labels),
        (NamespaceScope::Matching(inner), NamespaceScope::Own) => {
            let name = Requirement::equals(NAME_LABEL, own.name.as_str());
            inner.requirements().any(|requirement| *requirement == name)
        }
        (NamespaceScope::Matching(inner), NamespaceScope::Matching(outer)) => selector(inner, outer),
    }
}

fn block(inner: &IpBlock, outer: &IpBlock) -> bool {
    let in_reach = outer.cidr().contains(&inner.cidr());
    let mut holes = outer
        .except()
        .iter()
        .filter(|hole| hole.contains(&inner.cidr()) || inner.cidr().contains(*hole));
    in_reach
        && holes.all(|hole| {
            let shared = if hole.contains(&inner.cidr()) {
                inner.cidr()
            } else {
                *hole
            };
            covers(inner.except(), shared)
        })
}

/// Whether whatever fulfils `inner` fulfils `outer`.
pub(super) fn selector(inner: &Selector, outer: &Selector) -> bool {
    outer
        .requirements()
        .all(|outer| inner.requirements().any(|inner| implies(inner, outer)))
}

fn implies(inner: &Requirement, outer: &Requirement) -> bool {
    use Operator::{DoesNotExist, Exists, In, NotIn};
    inner.key == outer.key
        && match (&inner.operator, &outer.operator) {
            (In(inner), In(outer)) => inner.iter().all(|value| outer.contains(value)),
            (In(inner), NotIn(outer)) => !inner.iter().any(|value| outer.contains(value)),
            (NotIn(inner), NotIn(outer)) => outer.iter().all(|value| inner.contains(value)),
            (In(_) | Exists, Exists) | (DoesNotExist, DoesNotExist | NotIn(_)) => true,
            (In(_) | NotIn(_) | Exists, DoesNotExist)
            | (Exists | NotIn(_) | DoesNotExist, In(_))
            | (Exists, NotIn(_))
            | (NotIn(_) | DoesNotExist, Exists) => false,
        }
}

/// Whether `outer` has all ports that `inner` has.
pub(super) fn ports(inner: &Ports, outer: &Ports) -> bool {
    match (inner, outer) {
        (_, Ports::All) => true,
        (Ports::All, Ports::AnyOf(_)) => false,
        (Ports::AnyOf(inner), Ports::AnyOf(outer)) => {
            // Long lists that share entries are quick to compare by these.
            let same: BTreeSet<&PolicyPort> = outer.iter().collect();
            inner
                .iter()
                .all(|inner| same.contains(inner) || outer.iter().any(|outer| port(inner, outer)))
        }
    }
}

fn port(inner: &PolicyPort, outer: &PolicyPort) -> bool {
    inner.protocol == outer.protocol
        && match (&inner.port, &outer.port) {
            (_, PortMatch::Any) => true,
            (PortMatch::Range(inner), PortMatch::Range(outer)) => {
                outer.first() <= inner.first() && inner.last() <= outer.last()
            }
            (PortMatch::Named(inner), PortMatch::Named(outer)) => inner == outer,
            (PortMatch::Any | PortMatch::Named(_), PortMatch::Range(_))
            | (PortMatch::Any | PortMatch::Range(_), PortMatch::Named(_)) => false,
        }
}

#[cfg(test)]
mod tests {
    use palisade_policy::cluster::{ClusterState, Event};
    use palisade_policy::evaluate::evaluate;
    use palisade_policy::model::{Packet, Protocol, Transport, Verdict};
    use palisade_policy::testing::builders::{
        any_port, block, everybody, labels, named_port, namespace, pod, pods, pods_in, policy, port, ports,
        rule,
    };

    use super::*;

    fn covered(inner: &Rule, outer: &Rule) -> bool {
        let (name, labels) = ("shop".into(), labels(&[(NAME_LABEL, "shop"), ("team", "a")]));
        let own = Own {
            name: &name,
            labels: &labels,
        };
        super::rule(inner, outer, own)
    }

    fn clauses() -> Vec<Rule> {
        let web = || port(Protocol::Tcp, 80);
        let peers = [
            pods(&[]),
            pods(&[("app", "web")]),
            pods(&[("app", "web"), ("tier", "a")]),
            pods_in(&[], &[]),
            pods_in(&[], &[("app", "web")]),
            pods_in(&[("team", "a")], &[]),
            pods_in(&[(NAME_LABEL, "shop")], &[("app", "web")]),
            block("10.0.0.0/8", &[]),
            block("10.0.0.0/8", &["10.0.0.0/31"]),
            block("10.0.0.0/30", &["10.0.0.0/31"]),
            block("10.0.0.0/31", &[]),
            block("0.0.0.0/0", &[]),
        ];
        let rules = peers.into_iter().flat_map(|peer| {
            let on = |ports: Vec<PolicyPort>| rule([peer.clone()]).on_ports(ports);
            [
                rule([peer.clone()]),
                on(vec![web()]),
                on(vec![ports(Protocol::Tcp, 80, 90), port(Protocol::Udp, 53)]),
                on(vec![any_port(Protocol::Tcp)]),
                on(vec![named_port(Protocol::Tcp, "http")]),
            ]
        });
        rules
            .chain([everybody(), everybody().on_ports([web()])])
            .collect()
    }

    /// What a rule allows to a pod, of the packets from some pods and addresses.
    fn allowed(rule: &Rule) -> Vec<bool> {
        let state = ClusterState::from_events([
            Event::NamespaceApplied(namespace("shop", &[("team", "a")])),
            Event::NamespaceApplied(namespace("ops", &[("team", "b")])),
            Event::PodApplied(
                pod("shop/me")
                    .at("10.9.9.9")
                    .declaring("http", Protocol::Tcp, 8080),
            ),
            Event::PodApplied(pod("shop/web").at("10.0.0.0").labelled(&[("app", "web")])),
            Event::PodApplied(
                pod("shop/both")
                    .at("10.0.0.1")
                    .labelled(&[("app", "web"), ("tier", "a")]),
            ),
            Event::PodApplied(pod("shop/other").at("10.0.0.2")),
            Event::PodApplied(pod("ops/web").at("10.0.0.3").labelled(&[("app", "web")])),
            Event::PolicyApplied(policy("shop/p").allowing_from([rule.clone()])),
        ]);
        let sources = [
            "10.0.0.0",
            "10.0.0.1",
            "10.0.0.2",
            "10.0.0.3",
            "10.0.0.4",
            "192.0.2.1",
        ];
        let transports = [
            Transport::Port(Protocol::Tcp, 80),
            Transport::Port(Protocol::Tcp, 85),
            Transport::Port(Protocol::Tcp, 8080),
            Transport::Port(Protocol::Udp, 53),
            Transport::Other(1),
        ];
        let packets = sources.into_iter().flat_map(|source| {
            transports.map(|transport| Packet {
                source: source.parse().unwrap(),
                destination: "10.9.9.9".parse().unwrap(),
                transport,
            })
        });
        packets
            .map(|packet| evaluate(&state, &packet).verdict == Verdict::Allow)
            .collect()
    }

    #[test]
    fn what_is_covered_allows_no_packet_that_the_other_does_not() {
        let clauses: Vec<(Rule, Vec<bool>)> = clauses()
            .into_iter()
            .map(|rule| (rule.clone(), allowed(&rule)))
            .collect();
        let mut pairs = 0;
        for (inner, inner_allows) in &clauses {
            for (outer, outer_allows) in &clauses {
                if covered(inner, outer) {
                    pairs += 1;
                    let more = inner_allows
                        .iter()
                        .zip(outer_allows)
                        .any(|(inner, outer)| *inner && !*outer);
                    assert!(!more, "{inner:?} allows more than {outer:?}");
                }
            }
            assert!(covered(inner, inner) && covered(inner, &everybody()), "{inner:?}");
        }
        assert!(pairs > 3 * clauses.len(), "{pairs} pairs");
    }

    #[test]
    fn excepts_of_the_outer_block_must_be_excepts_of_the_inner_one() {
        let of = |cidr: &str, except: &[&str]| rule([block(cidr, except)]);
        let narrow = of("10.0.0.0/16", &[]);
        assert!(covered(&narrow, &of("10.0.0.0/8", &["10.1.0.0/16"])));
        assert!(!covered(&narrow, &of("10.0.0.0/8", &["10.0.1.0/24"])));
        assert!(covered(
            &of("10.0.0.0/16", &["10.0.0.0/23"]),
            &of("10.0.0.0/8", &["10.0.1.0/24"])
        ));
    }
}
