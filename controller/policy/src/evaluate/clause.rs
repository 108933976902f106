//! The clauses of a rule: does a peer match, does a port match, and if not, what was missing.

use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;

use ipnet::IpNet;

use crate::cluster::ClusterState;
use crate::model::{
    Direction, IpBlock, Labels, NamespaceName, NamespaceScope, Packet, Peer, Peers, PodKey, PodPeer, Policy,
    PolicyPort, PortMatch, Ports, Protocol, Requirement, Selector, Transport,
};

/// Why a peer did not match.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PeerMiss {
    /// It selects pods; the other side's address is no pod's.
    NoPod(IpAddr),
    /// The other pod is in another namespace than the policy, and the peer has no `namespaceSelector`.
    OtherNamespace {
        /// The policy's namespace.
        own: NamespaceName,
        /// The pod.
        pod: PodKey,
    },
    /// Labels of the other pod or of its namespace do not satisfy requirements of the peer's selectors. At least one of the lists
    /// has an entry.
    Labels {
        /// The pod.
        pod: PodKey,
        /// What its namespace misses of the `namespaceSelector`.
        of_namespace: Vec<Unmet>,
        /// What it misses itself of the `podSelector`.
        of_pod: Vec<Unmet>,
    },
    /// The address is outside the block.
    OutsideBlock {
        /// The block.
        block: IpBlock,
        /// The address.
        address: IpAddr,
    },
    /// The address is inside the block, but excepted.
    Excepted {
        /// The except.
        except: IpNet,
        /// The address.
        address: IpAddr,
    },
    /// The rule had peers, but none could be understood.
    Undecodable,
}

/// A requirement of a selector that labels do not satisfy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unmet {
    /// The requirement.
    pub requirement: Requirement,
    /// What the label is there.
    pub found: Option<String>,
}

/// Why a port did not match.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PortMiss {
    /// The packet's protocol has no ports, and only rules without `ports` match it.
    NoPorts(u8),
    /// It is for another protocol.
    OtherProtocol {
        /// The entry.
        wanted: PolicyPort,
        /// The packet's protocol.
        found: Protocol,
    },
    /// The port is not in the entry's range.
    OtherPort {
        /// The entry.
        wanted: PolicyPort,
        /// The packet's destination port.
        found: u16,
    },
    /// The destination is no pod, so it declares no port names.
    NoDestinationPod(PolicyPort),
    /// The destination pod declares other numbers under that name, or none.
    OtherNumber {
        /// The entry.
        wanted: PolicyPort,
        /// The destination pod.
        pod: PodKey,
        /// The numbers that it declares.
        declared: BTreeSet<u16>,
    },
    /// The rule had ports, but none could be understood.
    Undecodable,
}

/// Which of a rule's peers is the first that matches the other side of the packet, `None` where it names none; or why none
/// of them does.
pub(super) fn peers(
    state: &ClusterState,
    policy: &Policy,
    peers: &Peers,
    direction: Direction,
    packet: &Packet,
) -> Result<Option<usize>, Vec<PeerMiss>> {
    let Peers::AnyOf(peers) = peers else {
        return Ok(None);
    };
    let address = match direction {
        Direction::Ingress => packet.source,
        Direction::Egress => packet.destination,
    };
    if peers.is_empty() {
        return Err(vec![PeerMiss::Undecodable]);
    }
    first(peers.iter().map(|peer| match peer {
        Peer::Pods(pods) => pod_peer(state, policy, pods, address),
        Peer::Block(block) => ip_block(block, address),
    }))
}

/// The place of the first that misses nothing, or else what each missed.
fn first<Miss>(answers: impl Iterator<Item = Option<Miss>>) -> Result<Option<usize>, Vec<Miss>> {
    let mut misses = Vec::new();
    for (place, answer) in answers.enumerate() {
        match answer {
            Some(miss) => misses.push(miss),
            None => return Ok(Some(place)),
        }
    }
    Err(misses)
}

/// Within one peer, the namespace and the pod must both match.
fn pod_peer(state: &ClusterState, policy: &Policy, peer: &PodPeer, address: IpAddr) -> Option<PeerMiss> {
    let Some(pod) = state.owner(address) else {
        return Some(PeerMiss::NoPod(address));
    };
    let of_namespace = match &peer.namespaces {
        NamespaceScope::Own if pod.key.namespace == policy.key.namespace => Vec::new(),
        NamespaceScope::Own => {
            return Some(PeerMiss::OtherNamespace {
                own: policy.key.namespace.clone(),
                pod: pod.key.clone(),
            });
        }
        NamespaceScope::Matching(selector) => {
            let known = state.namespaces().get(&pod.key.namespace);
            unmet(selector, known.map(|namespace| &namespace.labels))
        }
    };
    let of_pod = unmet(&peer.pods, Some(&pod.labels));
    (!of_namespace.is_empty() || !of_pod.is_empty()).then(|| PeerMiss::Labels {
        pod: pod.key.clone(),
        of_namespace,
        of_pod,
    })
}

/// What labels miss of a selector. Labels that are not known satisfy no requirement, not even `NotIn`.
fn unmet(selector: &Selector, known: Option<&Labels>) -> Vec<Unmet> {
    let misses = |requirement: &&Requirement| !known.is_some_and(|labels| requirement.matches(labels));
    let unmet = selector.requirements().filter(misses).map(|requirement| Unmet {
        requirement: requirement.clone(),
        found: known.and_then(|labels| labels.get(&requirement.key).map(str::to_owned)),
    });
    unmet.collect()
}

fn ip_block(block: &IpBlock, address: IpAddr) -> Option<PeerMiss> {
    if !block.cidr().contains(&address) {
        return Some(PeerMiss::OutsideBlock {
            block: block.clone(),
            address,
        });
    }
    let except = block.except().iter().find(|except| except.contains(&address))?;
    Some(PeerMiss::Excepted {
        except: *except,
        address,
    })
}

/// Which of a rule's ports is the first that matches the packet, `None` where it names none; or why none of them does.
pub(super) fn ports(
    state: &ClusterState,
    ports: &Ports,
    packet: &Packet,
) -> Result<Option<usize>, Vec<PortMiss>> {
    let Ports::AnyOf(ports) = ports else {
        return Ok(None);
    };
    let (protocol, number) = match packet.transport {
        Transport::Port(protocol, number) => (protocol, number),
        Transport::Other(number) => return Err(vec![PortMiss::NoPorts(number)]),
    };
    if ports.is_empty() {
        return Err(vec![PortMiss::Undecodable]);
    }
    first(
        ports
            .iter()
            .map(|wanted| port(state, wanted, (protocol, number), packet)),
    )
}

fn port(
    state: &ClusterState,
    wanted: &PolicyPort,
    (protocol, number): (Protocol, u16),
    packet: &Packet,
) -> Option<PortMiss> {
    if wanted.protocol != protocol {
        return Some(PortMiss::OtherProtocol {
            wanted: wanted.clone(),
            found: protocol,
        });
    }
    match &wanted.port {
        PortMatch::Any => None,
        PortMatch::Range(range) if range.contains(number) => None,
        PortMatch::Range(_) => Some(PortMiss::OtherPort {
            wanted: wanted.clone(),
            found: number,
        }),
        PortMatch::Named(name) => {
            let Some(pod) = state.owner(packet.destination) else {
                return Some(PortMiss::NoDestinationPod(wanted.clone()));
            };
            let same = pod
                .ports
                .iter()
                .filter(|port| port.name == *name && port.protocol == protocol);
            let declared: BTreeSet<u16> = same.map(|port| port.number).collect();
            (!declared.contains(&number)).then(|| PortMiss::OtherNumber {
                wanted: wanted.clone(),
                pod: pod.key.clone(),
                declared,
            })
        }
    }
}

impl PeerMiss {
    /// How far the peer was from matching, 0 being nearest: for choosing what to tell first.
    pub fn distance(&self) -> u8 {
        match self {
            Self::Labels { of_namespace, .. } if of_namespace.is_empty() => 0,
            Self::Labels { of_pod, .. } if of_pod.is_empty() => 1,
            Self::Excepted { .. } => 0,
            Self::OtherNamespace { .. } => 1,
            Self::Labels { .. } | Self::OutsideBlock { .. } => 2,
            Self::NoPod(_) | Self::Undecodable => 3,
        }
    }
}

impl PortMiss {
    /// How far the port was from matching, 0 being nearest.
    pub fn distance(&self) -> u8 {
        match self {
            Self::OtherPort { .. } | Self::OtherNumber { .. } => 0,
            Self::OtherProtocol { .. } | Self::NoPorts(_) => 1,
            Self::NoDestinationPod(_) => 2,
            Self::Undecodable => 3,
        }
    }
}

impl fmt::Display for PeerMiss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoPod(address) => write!(f, "the peer selects pods, and {address} is no pod's address"),
            Self::OtherNamespace { own, pod } => write!(
                f,
                "the peer selects pods of namespace {own}, and {pod} is in another"
            ),
            Self::Labels {
                pod,
                of_namespace,
                of_pod,
            } => {
                f.write_str("the peer wants ")?;
                if !of_namespace.is_empty() {
                    unmet_words(
                        f,
                        "namespace",
                        of_namespace,
                        &format!("namespace {}", pod.namespace),
                    )?;
                }
                if !of_namespace.is_empty() && !of_pod.is_empty() {
                    f.write_str("; and ")?;
                }
                if !of_pod.is_empty() {
                    unmet_words(f, "pod", of_pod, &pod.to_string())?;
                }
                Ok(())
            }
            Self::OutsideBlock { block, address } => write!(f, "{address} is outside {block}"),
            Self::Excepted { except, address } => write!(f, "{address} is in the except {except}"),
            Self::Undecodable => f.write_str("none of the rule's peers could be understood"),
        }
    }
}

/// `a pod with app=web and tier, and shop/a has app=db and no label tier`
fn unmet_words(f: &mut fmt::Formatter<'_>, what: &str, all: &[Unmet], who: &str) -> fmt::Result {
    let wanted: Vec<String> = all.iter().map(|unmet| unmet.requirement.to_string()).collect();
    let found = all.iter().map(|Unmet { requirement, found }| match found {
        Some(value) => format!("{}={value}", requirement.key),
        None => format!("no label {}", requirement.key),
    });
    let found: Vec<String> = found.collect();
    write!(
        f,
        "a {what} with {}, and {who} has {}",
        wanted.join(" and "),
        found.join(" and ")
    )
}

impl fmt::Display for PortMiss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoPorts(number) => {
                write!(
                    f,
                    "the rule names ports, and {} has none",
                    Transport::Other(*number)
                )
            }
            Self::OtherProtocol { wanted, found } => write!(f, "the rule allows {wanted}, not {found}"),
            Self::OtherPort { wanted, found } => write!(f, "the rule allows {wanted}, not {found}"),
            Self::NoDestinationPod(wanted) => write!(
                f,
                "the rule allows {wanted} by name, and the destination is no pod"
            ),
            Self::OtherNumber {
                wanted,
                pod,
                declared,
            } if declared.is_empty() => {
                write!(f, "the rule allows {wanted}, and {pod} declares no such port")
            }
            Self::OtherNumber {
                wanted,
                pod,
                declared,
            } => {
                let numbers: Vec<String> = declared.iter().map(u16::to_string).collect();
                write!(
                    f,
                    "the rule allows {wanted}, which is {} on {pod}",
                    numbers.join(" and ")
                )
            }
            Self::Undecodable => f.write_str("none of the rule's ports could be understood"),
        }
    }
}
