//! Who answers DNS, and which rules allow asking.
//!
//! Where the servers are among the objects that were read, a rule has to be for them. Where they are not, any rule will do that
//! may be meant for them: it names a port that they go by, or allows all ports to somebody who may be one of them.

use std::collections::BTreeSet;

use palisade_policy::model::{
    NamespaceName, NamespaceScope, Operator, Peer, PodPeer, PolicyPort, PortMatch, Ports, Protocol, Selector,
    Transport,
};

use super::super::addresses::may_be_inside;
use super::super::offer::{Offers, targets};
use super::super::population::Class;
use super::super::scene::SeenRule;
use super::super::selectors::NAME_LABEL;
use crate::ports::named;

/// The port of DNS (RFC 1035, 4.2).
const DNS: u16 = 53;

/// The port that the servers of `OpenShift` listen on.
const DNS_OF_OPENSHIFT: u16 = 5353;

/// What the servers call their ports.
const NAMES: [&str; 2] = ["dns", "dns-tcp"];

/// Where the servers are, but for those of `OpenShift`.
const SYSTEM: &str = "kube-system";

/// Where the servers of `OpenShift` are, and what the keys of their labels begin with.
const OPENSHIFT: (&str, &str) = ("openshift-dns", "dns.operator.openshift.io/");

/// What the names and labels of servers have in them: `kube-dns`, `coredns`, `node-local-dns`.
const WORD: &str = "dns";

/// The pods that answer DNS, with the ports that they do it on.
pub(super) type Servers<'a> = Vec<(&'a Class<'a>, BTreeSet<(Protocol, u16)>)>;

/// The pods behind the Services of the system that have the port of DNS.
pub(super) fn servers<'a>(offers: &Offers<'a>) -> Servers<'a> {
    let services = offers.services().iter();
    let services = services.filter(|served| {
        let key = &served.service.key;
        // kube-dns in kube-system is the name that kubelets look for; OpenShift has a namespace of its own.
        matches!(
            (key.namespace.as_str(), key.name.as_ref()),
            ("kube-system", "kube-dns" | "coredns") | ("openshift-dns", "dns-default")
        )
    });
    let pods = services.flat_map(|served| {
        served.classes.iter().map(|class| {
            let ports = served.service.ports.iter().filter(|port| port.port == DNS);
            let ports = ports.flat_map(|port| {
                let targets = targets(port, class).into_iter();
                targets.map(|target| (port.protocol, target))
            });
            (*class, ports.collect())
        })
    });
    pods.collect()
}

/// Whether a rule is for somebody whom one looks up by name: pods, or the world.
pub(super) fn is_reached_by_name(rule: &SeenRule<'_>) -> bool {
    let by_name = |peer: &Peer| match peer {
        Peer::Pods(_) => true,
        Peer::Block(block) => block.cidr().prefix_len() == 0,
    };
    rule.is_for_everybody() || rule.peers.iter().any(|at| by_name(at.peer))
}

/// Whether a rule of a policy in a namespace allows asking DNS over a protocol.
pub(super) fn allows(
    rule: &SeenRule<'_>,
    own: &NamespaceName,
    protocol: Protocol,
    servers: &Servers<'_>,
) -> bool {
    let known = servers.iter().any(|(class, ports)| {
        let mut ports = ports.iter().filter(|(of, _)| *of == protocol);
        rule.includes(class) && {
            let allowed = named(&rule.rule.ports, class.ports);
            ports.any(|(_, number)| allowed.contains(Transport::Port(protocol, *number)))
        }
    });
    let peer = |holds: &dyn Fn(&Peer) -> bool| rule.peers.iter().any(|at| holds(at.peer));
    let whole = rule.rule.ports == Ports::All
        || any_entry(&rule.rule.ports, protocol, |port| *port == PortMatch::Any);
    let is_block = |peer: &Peer| matches!(peer, Peer::Block(_));
    if known || (rule.is_for_everybody() && (whole || has_number(&rule.rule.ports, protocol, DNS))) {
        return true;
    }
    if !servers.is_empty() {
        // Somebody has thought of it: addresses may be those of a cache on each node.
        return has_number(&rule.rule.ports, protocol, DNS) && peer(&is_block);
    }
    has_number(&rule.rule.ports, protocol, DNS)
        || (has_name(&rule.rule.ports, protocol)
            && (rule.is_for_everybody() || peer(&|peer| !is_block(peer))))
        || (has_number(&rule.rule.ports, protocol, DNS_OF_OPENSHIFT) && peer(&may_be_of_openshift))
        || (whole && peer(&|peer| may_be_dns(peer, own)))
}

/// Whether the ports of a rule have this one by its number.
fn has_number(ports: &Ports, protocol: Protocol, number: u16) -> bool {
    any_entry(
        ports,
        protocol,
        |port| matches!(port, PortMatch::Range(range) if range.contains(number)),
    )
}

/// Whether the ports of a rule have a name that servers give to theirs.
fn has_name(ports: &Ports, protocol: Protocol) -> bool {
    any_entry(
        ports,
        protocol,
        |port| matches!(port, PortMatch::Named(name) if NAMES.contains(&name.as_str())),
    )
}

fn any_entry(ports: &Ports, protocol: Protocol, holds: impl Fn(&PortMatch) -> bool) -> bool {
    let Ports::AnyOf(entries) = ports else {
        return false;
    };
    let mut entries = entries.iter().filter(|entry| entry.protocol == protocol);
    entries.any(|PolicyPort { port, .. }| holds(port))
}

/// Whether servers that nobody knows may be among a peer.
fn may_be_dns(peer: &Peer, own: &NamespaceName) -> bool {
    match peer {
        Peer::Pods(PodPeer { namespaces, pods }) => {
            let there = match namespaces {
                NamespaceScope::Own => is_of_servers(own.as_str()),
                NamespaceScope::Matching(selector) => may_be_of_servers(selector),
            };
            there
                && pods
                    .requirements()
                    .all(|requirement| may_have(&requirement.key, &requirement.operator))
        }
        Peer::Block(block) => may_be_inside(block),
    }
}

fn is_of_servers(namespace: &str) -> bool {
    namespace == SYSTEM || namespace.contains(WORD)
}

/// Whether the servers' namespace may be among those of a selector. Which labels it has beside its name is not known.
fn may_be_of_servers(namespaces: &Selector) -> bool {
    let names = namespaces
        .requirements()
        .filter(|requirement| requirement.key.as_ref() == NAME_LABEL);
    names
        .map(|requirement| &requirement.operator)
        .all(|operator| match operator {
            Operator::In(names) => names.iter().any(|name| is_of_servers(name)),
            Operator::NotIn(names) => !names.iter().any(|name| name.as_ref() == SYSTEM),
            Operator::Exists => true,
            Operator::DoesNotExist => false,
        })
}

/// Whether servers may fulfil a requirement on their labels.
fn may_have(key: &str, operator: &Operator) -> bool {
    let speaks = |values: &[&str]| key.contains(WORD) || values.iter().any(|value| value.contains(WORD));
    match operator {
        Operator::In(values) => speaks(&values.iter().map(AsRef::as_ref).collect::<Vec<&str>>()),
        Operator::NotIn(values) => !speaks(&values.iter().map(AsRef::as_ref).collect::<Vec<&str>>()),
        Operator::Exists | Operator::DoesNotExist => true,
    }
}

/// Whether a peer may be the servers of `OpenShift`, which listen on a port of their own.
fn may_be_of_openshift(peer: &Peer) -> bool {
    let (name, domain) = OPENSHIFT;
    match peer {
        Peer::Block(block) => may_be_inside(block),
        Peer::Pods(PodPeer { namespaces, pods }) => {
            let by_name = match namespaces {
                NamespaceScope::Own => false,
                NamespaceScope::Matching(selector) => selector.requirements().any(|requirement| {
                    let names = matches!(&requirement.operator, Operator::In(values) if values.iter().any(|value| value.as_ref() == name));
                    requirement.key.as_ref() == NAME_LABEL && names
                }),
            };
            by_name
                || pods
                    .requirements()
                    .any(|requirement| requirement.key.starts_with(domain))
        }
    }
}
