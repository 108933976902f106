//! The clauses of a rule: does a peer match, does a port match, and if not, what was missing.

use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;

use ipnet::IpNet;

use crate::cluster::ClusterState;
use crate::model::{
    Direction, IpBlock, Labels, NamespaceName, NamespaceScope, Packet, Peer, Peers, Pod, PodKey, PodPeer,
    Policy, PolicyPort, PortMatch, Ports, Protocol, Requirement, Transport,
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
    /// The labels of the other pod's namespace do not satisfy a requirement of the `namespaceSelector`.
    NamespaceLabel {
        /// The requirement.
        requirement: Requirement,
        /// The namespace.
        namespace: NamespaceName,
        /// What the label is there.
        found: Option<String>,
    },
    /// The other pod's labels do not satisfy a requirement of the `podSelector`.
    PodLabel {
        /// The requirement.
        requirement: Requirement,
        /// The pod.
        pod: PodKey,
        /// What the label is there.
        found: Option<String>,
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
    namespace(state, policy, &peer.namespaces, pod).or_else(|| {
        let requirement = peer
            .pods
            .requirements()
            .find(|requirement| !requirement.matches(&pod.labels))?;
        Some(PeerMiss::PodLabel {
            found: found(&pod.labels, requirement),
            requirement: requirement.clone(),
            pod: pod.key.clone(),
        })
    })
}

fn namespace(state: &ClusterState, policy: &Policy, scope: &NamespaceScope, pod: &Pod) -> Option<PeerMiss> {
    match scope {
        NamespaceScope::Own if pod.key.namespace == policy.key.namespace => None,
        NamespaceScope::Own => Some(PeerMiss::OtherNamespace {
            own: policy.key.namespace.clone(),
            pod: pod.key.clone(),
        }),
        NamespaceScope::Matching(selector) => {
            // A namespace that is not known satisfies no requirement, not even NotIn.
            let known = state
                .namespaces()
                .get(&pod.key.namespace)
                .map(|namespace| &namespace.labels);
            let misses =
                |requirement: &&Requirement| !known.is_some_and(|labels| requirement.matches(labels));
            let requirement = selector.requirements().find(misses)?;
            Some(PeerMiss::NamespaceLabel {
                found: known.and_then(|labels| found(labels, requirement)),
                requirement: requirement.clone(),
                namespace: pod.key.namespace.clone(),
            })
        }
    }
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

fn found(labels: &Labels, requirement: &Requirement) -> Option<String> {
    labels.get(&requirement.key).map(str::to_owned)
}

impl PeerMiss {
    /// How far the peer was from matching, 0 being nearest: for choosing what to tell first.
    pub fn distance(&self) -> u8 {
        match self {
            Self::PodLabel { .. } | Self::Excepted { .. } => 0,
            Self::NamespaceLabel { .. } | Self::OtherNamespace { .. } => 1,
            Self::OutsideBlock { .. } => 2,
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
        let has = |found: &Option<String>, key: &str| match found {
            Some(value) => format!("has {key}={value}"),
            None => format!("has no label {key}"),
        };
        match self {
            Self::NoPod(address) => write!(f, "the peer selects pods, and {address} is no pod's address"),
            Self::OtherNamespace { own, pod } => write!(
                f,
                "the peer selects pods of namespace {own}, and {pod} is in another"
            ),
            Self::NamespaceLabel {
                requirement,
                namespace,
                found,
            } => {
                write!(
                    f,
                    "the peer wants a namespace with {requirement}, and namespace {namespace} {}",
                    has(found, &requirement.key)
                )
            }
            Self::PodLabel {
                requirement,
                pod,
                found,
            } => {
                write!(
                    f,
                    "the peer wants a pod with {requirement}, and {pod} {}",
                    has(found, &requirement.key)
                )
            }
            Self::OutsideBlock { block, address } => write!(f, "{address} is outside {block}"),
            Self::Excepted { except, address } => write!(f, "{address} is in the except {except}"),
            Self::Undecodable => f.write_str("none of the rule's peers could be understood"),
        }
    }
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
