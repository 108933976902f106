//! Who is meant: ends of a connection as people name them.
//!
//! ```text
//!   "shop/web:http" ──parse──► Question ──resolve──► Resolved      addresses, and ports on each of them
//! ```
//!
//! # Grammar
//!
//! | end | means |
//! |---|---|
//! | `web` | what is called so in the default namespace |
//! | `shop/web` | what is called so in the namespace `shop` |
//! | `deployment/web`, `deploy/web` | an object of that kind in the default namespace, by the names and short names of `kubectl` |
//! | `shop/deployment/web` | an object of that kind in a namespace |
//! | `namespace/shop`, `node/a` | all pods of a namespace; the addresses of a node |
//! | `app=web,tier=front`, `shop/app=web` | the pods with all of these labels, in all namespaces or in one |
//! | `shop/*` | all pods of a namespace, named as their class is |
//! | `10.0.0.1`, `fd00::1` | an address, whoever has it |
//! | `10.0.0.0/8` | every address of a block, pods' among them |
//! | `any` | everybody: every pod, and every address that no pod has |
//!
//! A Service is also meant by its addresses, within the cluster or from outside, and by `node/a:PORT` or a node's address where
//! the port is one that it has on every node.
//!
//! A destination may end in `:PORT` or `:PORT/PROTOCOL`: a number, a range (`8000-8999`), the name of a port, or `icmp`. The
//! protocol is TCP if none is named; a name without one stands for every port that is declared under it. An IPv6 address with
//! a port is written in brackets: `[fd00::1]:443`.
//!
//! A name without a kind is that of a pod, or else of a Deployment, `StatefulSet`, `DaemonSet`, `ReplicaSet`, Job, `CronJob` or
//! Service, the first of these that is there. The first of two words is a kind if it is a word for one, and a namespace
//! otherwise: a pod in a namespace that is called `job` is `job/pod/NAME`. Before labels, a first word with a dot is the domain of
//! a key (`app.kubernetes.io/name=web`), and one without is a namespace.

mod entrance;
mod error;
mod labels;
mod object;
mod parse;
mod port;
mod resolve;
mod service;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;
use palisade_policy::model::{NamespaceName, NodeName, PodKey, PortName, PortRange, Protocol, Selector};
use palisade_policy::reach::{Family, PortSet};

use crate::inventory::{ServiceKey, WorkloadKey, WorkloadKind};

pub use error::{InvalidQuestion, Unresolved};
pub(crate) use port::protocol;
pub use resolve::resolve;
pub(crate) use resolve::sources;

/// A connection that is asked about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// Who makes it.
    pub from: End,
    /// Who answers.
    pub to: End,
    /// On which port.
    pub port: Port,
}

/// One end, as it is named.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum End {
    /// Every pod and every address.
    Anybody,
    /// An address, whoever has it.
    Address(IpAddr),
    /// Every address of a block, host bits cleared.
    Block(IpNet),
    /// Pods by their labels.
    Labelled {
        /// Their namespace; `None`: any.
        namespace: Option<NamespaceName>,
        /// What their labels are. Everything, written `*`: all pods of the namespace.
        selector: Selector,
    },
    /// An object.
    Named {
        /// Its namespace, if it is not the default one.
        namespace: Option<NamespaceName>,
        /// Its kind, if it is said.
        kind: Option<Kind>,
        /// Its name.
        name: Arc<str>,
    },
}

/// The kinds of objects that have pods or addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A pod.
    Pod,
    /// What makes pods.
    Workload(WorkloadKind),
    /// A Service.
    Service,
    /// A namespace.
    Namespace,
    /// A node.
    Node,
}

/// The ports that are asked about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Port {
    /// All: which of them are open?
    Every,
    /// Some by number.
    Numbers(Protocol, PortRange),
    /// What each pod, or a Service, declares under this name, in one protocol or in any.
    Named(PortName, Option<Protocol>),
    /// ICMP, or its form for IPv6.
    Icmp,
}

/// A question in terms of addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolved {
    /// Who is asked about, in words: `Deployment shop/web (3 pods)`.
    pub from: String,
    /// The same for the destination.
    pub to: String,
    /// On which port, in words; empty for all.
    pub port: String,
    /// Where connections come from.
    pub sources: Crowd,
    /// Where they go, in one or several ways. Never empty.
    pub ways: Vec<Way>,
    /// Whether both ends are named as one and the same pod.
    pub itself: bool,
    /// What is worth knowing about the ends.
    pub notes: BTreeSet<Note>,
}

/// Some addresses, and all addresses of some blocks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Crowd {
    /// Each one is asked about.
    pub addresses: BTreeSet<IpAddr>,
    /// What is in them is asked about as far as it is no pod's address.
    pub blocks: BTreeSet<IpNet>,
}

/// Some destinations that are reached alike: directly, or by one port of a Service.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Way {
    /// Through which port of which Service, if through one: `port 80/TCP of Service shop/web (targetPort http)`.
    pub by: Option<String>,
    /// The addresses, each with the ports that are asked about there.
    pub addresses: BTreeMap<IpAddr, PortSet>,
    /// The blocks, as in [`Crowd`].
    pub blocks: BTreeSet<IpNet>,
    /// The ports that are asked about in the blocks.
    pub block_ports: PortSet,
}

/// Something that is worth knowing about an end.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Note {
    /// Pods of which something is to be known.
    Pods {
        /// What.
        what: PodNote,
        /// The first of them.
        pod: PodKey,
        /// How many there are.
        count: usize,
    },
    /// One pod that stands for all of a workload.
    Representative {
        /// The workload.
        workload: WorkloadKey,
        /// How many pods it wants, if that is known.
        replicas: Option<u32>,
    },
    /// Whose address was asked about.
    AddressOf(IpAddr, PodKey),
    /// An address of a node.
    NodeAddress(IpAddr, NodeName),
    /// The address of a Service: it was asked about instead.
    ServiceAddress(IpAddr, ServiceKey),
    /// A port of every node that leads to a Service: it was asked about instead.
    NodePort(u16, Protocol, ServiceKey),
    /// The address of a Service as a source.
    ServiceAsSource(IpAddr, ServiceKey),
    /// A Service without a selector, whose endpoints are known.
    EndpointsOnly(ServiceKey),
    /// A headless Service: its name leads to its pods' own ports.
    Headless(ServiceKey),
    /// A Service with a port that none of its pods has.
    DeadPort(ServiceKey, String),
    /// A Service that may hide where connections from outside come from.
    SourceLost(ServiceKey),
}

/// What is to be known of a pod.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum PodNote {
    /// It lives in its node's network.
    HostNetwork,
    /// It has finished, and is left out.
    Finished,
    /// It has no address of its own, and is left out.
    NoAddress,
    /// Its address is a placeholder.
    Placeholder,
    /// It does not declare the port that is asked for, and is left out.
    Undeclared(PortName),
}

impl End {
    /// Reads an end without a port.
    pub fn parse(text: &str) -> Result<Self, InvalidQuestion> {
        parse::source(text)
    }
}

impl Question {
    /// Reads a source, and a destination that may name a port.
    pub fn parse(from: &str, to: &str) -> Result<Self, InvalidQuestion> {
        let from = End::parse(from)?;
        let (to, port) = parse::destination(to)?;
        Ok(Self { from, to, port })
    }
}

impl Resolved {
    /// The same within one address family.
    pub fn within(mut self, family: Family) -> Result<Self, Unresolved> {
        let belongs = |address: IpAddr| address.is_ipv4() == (family == Family::V4);
        self.sources.addresses.retain(|address| belongs(*address));
        self.sources.blocks.retain(|block| belongs(block.addr()));
        for way in &mut self.ways {
            way.addresses.retain(|address, _| belongs(*address));
            way.blocks.retain(|block| belongs(block.addr()));
        }
        if self.ways.iter().any(|way| resolve::meet(&self.sources, way)) {
            return Ok(self);
        }
        Err(Unresolved::NoCommonFamily {
            from: self.from,
            to: self.to,
            family: Some(family),
        })
    }
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Anybody => f.write_str("any"),
            Self::Address(address) => address.fmt(f),
            Self::Block(block) => block.fmt(f),
            Self::Labelled { namespace, selector } => {
                if let Some(namespace) = namespace {
                    write!(f, "{namespace}/")?;
                }
                if selector.is_everything() {
                    f.write_str("*")
                } else {
                    selector.fmt(f)
                }
            }
            Self::Named {
                namespace,
                kind,
                name,
            } => {
                if let Some(namespace) = namespace {
                    write!(f, "{namespace}/")?;
                }
                if let Some(kind) = kind {
                    write!(f, "{}/", kind.word())?;
                }
                f.write_str(name)
            }
        }
    }
}

impl fmt::Display for Port {
    /// As it is written after the colon.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Every => f.write_str("every port"),
            Self::Numbers(protocol, range) => write!(f, "{range}/{protocol}"),
            Self::Named(name, None) => name.fmt(f),
            Self::Named(name, Some(protocol)) => write!(f, "{name}/{protocol}"),
            Self::Icmp => f.write_str("ICMP"),
        }
    }
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pods { what, pod, count: 1 } => write!(f, "Pod {pod} {what}"),
            Self::Pods { what, pod, count } => {
                write!(f, "each of {count} pods (Pod {pod} and others) {what}")
            }
            Self::Representative {
                workload,
                replicas: Some(replicas),
            } => write!(f, "one pod stands for the {replicas} of {workload}"),
            Self::Representative {
                workload,
                replicas: None,
            } => write!(f, "one pod stands for all of {workload}"),
            Self::AddressOf(address, pod) => write!(f, "{address} is the address of Pod {pod}"),
            Self::NodeAddress(address, node) => write!(
                f,
                "{address} is an address of Node {node}: between it and the pods that run there everything is allowed"
            ),
            Self::NodePort(port, protocol, service) => write!(
                f,
                "port {port}/{protocol} of every node leads to Service {service}: its pods are asked about"
            ),
            Self::ServiceAddress(address, service) => {
                write!(
                    f,
                    "{address} is the address of Service {service}: its pods are asked about"
                )
            }
            Self::ServiceAsSource(address, service) => write!(
                f,
                "{address} is the address of Service {service}: no connection comes from it"
            ),
            Self::EndpointsOnly(service) => write!(
                f,
                "Service {service} has no selector: what its EndpointSlices list is asked about"
            ),
            Self::Headless(service) => write!(
                f,
                "Service {service} is headless: its name leads to its pods, on their own ports"
            ),
            Self::DeadPort(service, port) => write!(
                f,
                "nobody answers on port {port} of Service {service}: none of its pods declares the port that it is for"
            ),
            Self::SourceLost(service) => write!(
                f,
                "Service {service} has externalTrafficPolicy Cluster: a connection from outside, or by a port of a node, may come \
                 from a node's address instead of its own"
            ),
        }
    }
}

impl fmt::Display for PodNote {
    /// What a pod does, as it follows on its name.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::HostNetwork => {
                f.write_str("lives in its node's network: no policy selects it, and its packets are the node's")
            }
            Self::Finished => {
                f.write_str("has finished and is left out: its address may be another pod's by now")
            }
            Self::NoAddress => f.write_str("has no address of its own and is left out"),
            Self::Placeholder => f.write_str(
                "has an address that is not known: a placeholder stands for it, and ipBlocks may treat the true one otherwise",
            ),
            Self::Undeclared(port) => write!(f, "declares no port {port} and is left out"),
        }
    }
}
