//! Pods whose egress forgets DNS.
//!
//! Pods under the same policies are told once, at the first of these policies that allows anything.

use std::collections::{BTreeMap, BTreeSet};

use palisade_policy::model::{
    Direction, NamespaceScope, Peer, PodPeer, PolicyPort, PortMatch, Ports, Protocol, Transport,
};

use super::Code;
use super::finding::{Finding, Findings};
use super::offer::{Offers, targets};
use super::population::Class;
use super::scene::{Scene, Seen, SeenRule};
use super::wording::{counted, pod_count, pods};

/// The port of DNS (RFC 1035, 4.2).
const DNS: u16 = 53;

pub(super) fn check(scene: &Scene<'_>, findings: &mut Findings) {
    let mut profiles: BTreeMap<usize, Vec<&Class<'_>>> = BTreeMap::new();
    for class in scene.population.classes() {
        let profile = scene.profile_of(class, Direction::Egress);
        if !scene.profile(profile).is_empty() {
            profiles.entry(profile).or_default().push(class);
        }
    }
    let servers = servers(&scene.offers);
    for (profile, classes) in profiles {
        let policies: Vec<&Seen<'_>> = scene.at(scene.profile(profile)).collect();
        let rules = || policies.iter().flat_map(|seen| seen.rules(Direction::Egress));
        let names = rules().any(is_reached_by_name);
        let over = |protocol| rules().any(|rule| allows(rule, protocol, &servers));
        let (udp, tcp) = (over(Protocol::Udp), over(Protocol::Tcp));
        if (udp && tcp) || !(udp || tcp || names) {
            continue;
        }
        let (code, message) = match (udp, tcp) {
            (true, _) => (Code::DnsOverUdpOnly, "may ask DNS over UDP, but not over TCP"),
            (false, true) => (
                Code::NoDns,
                "may ask DNS over TCP, but not over UDP, which all ask first",
            ),
            (false, false) => (Code::NoDns, "may connect to others, but not to DNS on port 53"),
        };
        let mut speaking = policies
            .iter()
            .filter(|seen| !seen.rules(Direction::Egress).is_empty());
        let Some(first) = speaking.next() else { continue };
        let count = pod_count(classes.iter().copied());
        let message = format!("{} {message}: {}", counted(count, "pod"), pods(classes));
        let finding = Finding::of_policy(code, first.policy, message).at("spec.egress");
        findings.add(finding.related_to(speaking.map(|seen| seen.object())));
    }
}

/// The pods that answer DNS, with the ports that they do it on.
type Servers<'a> = Vec<(&'a Class<'a>, BTreeSet<(Protocol, u16)>)>;

/// The pods behind the Services of the system that have the port of DNS.
fn servers<'a>(offers: &Offers<'a>) -> Servers<'a> {
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
fn is_reached_by_name(rule: &SeenRule<'_>) -> bool {
    let by_name = |peer: &Peer| match peer {
        Peer::Pods(_) => true,
        Peer::Block(block) => block.cidr().prefix_len() == 0,
    };
    rule.is_for_everybody() || rule.peers.iter().any(|at| by_name(at.peer))
}

/// Whether a rule allows asking DNS over a protocol.
fn allows(rule: &SeenRule<'_>, protocol: Protocol, servers: &Servers<'_>) -> bool {
    let known = servers.iter().any(|(class, ports)| {
        let mut ports = ports.iter().filter(|(of, _)| *of == protocol);
        rule.includes(class) && {
            let allowed = class.allowed_ports(&rule.rule.ports);
            ports.any(|(_, number)| allowed.contains(Transport::Port(protocol, *number)))
        }
    });
    known
        || if names_dns(&rule.rule.ports, protocol) {
            // Somebody has thought of it. Where the servers are known, pods that are none of them do not count; addresses may
            // be those of a cache on each node.
            servers.is_empty()
                || rule.is_for_everybody()
                || rule.peers.iter().any(|at| matches!(at.peer, Peer::Block(_)))
        } else {
            let opens = rule.rule.ports == Ports::All || has_whole(&rule.rule.ports, protocol);
            opens
                && (rule.is_for_everybody()
                    || (servers.is_empty() && rule.peers.iter().any(|at| may_be_dns(at.peer))))
        }
}

/// Whether the ports of a rule name the port of DNS by its number.
fn names_dns(ports: &Ports, protocol: Protocol) -> bool {
    any_entry(
        ports,
        protocol,
        |entry| matches!(&entry.port, PortMatch::Range(range) if range.contains(DNS)),
    )
}

fn has_whole(ports: &Ports, protocol: Protocol) -> bool {
    any_entry(ports, protocol, |entry| entry.port == PortMatch::Any)
}

fn any_entry(ports: &Ports, protocol: Protocol, holds: impl Fn(&PolicyPort) -> bool) -> bool {
    match ports {
        Ports::All => false,
        Ports::AnyOf(entries) => entries
            .iter()
            .any(|entry| entry.protocol == protocol && holds(entry)),
    }
}

/// Whether servers that nobody knows may be among a peer: in other namespaces, or anywhere.
fn may_be_dns(peer: &Peer) -> bool {
    match peer {
        Peer::Pods(PodPeer { namespaces, pods }) => {
            matches!(namespaces, NamespaceScope::Matching(_)) && pods.is_everything()
        }
        Peer::Block(block) => block.cidr().prefix_len() == 0 && block.except().is_empty(),
    }
}
