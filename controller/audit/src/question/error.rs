//! Why a question has no answer: it cannot be understood, or it asks about what is not there.

use std::fmt;

use palisade_policy::model::{NamespaceName, PortName};
use palisade_policy::reach::Family;
use thiserror::Error;

use super::{End, Kind, Port};
use crate::inventory::ServiceKey;

/// A text that is no end of a connection.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum InvalidQuestion {
    /// Nothing at all.
    #[error(
        "an end is missing: it should be NAMESPACE/POD, KIND/NAME, LABEL=VALUE, an address, a CIDR or any"
    )]
    Empty,
    /// More parts than a name has, or an empty one.
    #[error(
        "{0:?} is no end: it should be NAMESPACE/POD, KIND/NAME, NAMESPACE/KIND/NAME, LABEL=VALUE, an address, a CIDR or any"
    )]
    NoEnd(String),
    /// A name with letters that no name has.
    #[error("{0:?} is no name: it should have letters, digits, dashes and dots only")]
    NoName(String),
    /// Something that is nearly an address.
    #[error("{0:?} looks like an address and is none")]
    NoAddress(String),
    /// Labels that cannot be read.
    #[error("{0:?} should have labels: LABEL=VALUE[,LABEL=VALUE…] or NAMESPACE/LABEL=VALUE[,LABEL=VALUE…]")]
    NoLabels(String),
    /// A kind that does not exist, or has no pods.
    #[error("{text:?}: {kind:?} is no kind of object that can be asked about{}", meant(hint.as_deref()))]
    UnknownKind {
        /// The end.
        text: String,
        /// What stands in the place of the kind.
        kind: String,
        /// A kind that is nearly called so.
        hint: Option<String>,
    },
    /// A node or a namespace within a namespace.
    #[error("{0:?}: a {1} is in no namespace")]
    Namespaced(String, Kind),
    /// A source with a port.
    #[error("{0:?}: a source has no port; only the destination has")]
    SourcePort(String),
    /// An IPv6 address with a port, without brackets.
    #[error("{0:?}: an IPv6 address with a port is written in brackets, as in [fd00::1]:443")]
    Brackets(String),
    /// What stands after the colon is no port.
    #[error("{0:?} is no port: it should be a number from 1 to 65535, a range, a name of a port, or icmp")]
    NoPort(String),
    /// What stands after the port is no protocol.
    #[error("{0:?} is no protocol: it should be TCP, UDP or SCTP")]
    NoProtocol(String),
}

/// An end that leads to no address.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Unresolved {
    /// No object is called so.
    #[error("there is no {}{}", title(*kind, namespace.as_ref(), name), meant(hint.as_deref()))]
    NotFound {
        /// Its kind, if one was named.
        kind: Option<Kind>,
        /// Where it was looked for; `None` for what is in no namespace.
        namespace: Option<NamespaceName>,
        /// Its name.
        name: String,
        /// What is nearly called so.
        hint: Option<String>,
    },
    /// No pod has these labels, or the namespace has no pods.
    #[error("no pod is meant by {0}")]
    NoPod(End),
    /// It is there, and has no pod with an address of its own.
    #[error("{title} cannot be asked about{}", because(reasons))]
    NobodyThere {
        /// Who, in words.
        title: String,
        /// Why each pod is left out.
        reasons: Vec<String>,
    },
    /// A Service that is another name for something else.
    #[error("Service {0} is of type ExternalName: who answers for it is not known; ask about an address")]
    ExternalName(ServiceKey),
    /// A Service without a selector and without endpoints.
    #[error(
        "Service {0} has no selector, and no EndpointSlice of it is there: who answers for it is not known"
    )]
    NoEndpoints(ServiceKey),
    /// A Service that has no such port.
    #[error("Service {service} has no port {port}; it has {}", listed(known))]
    NoServicePort {
        /// The Service.
        service: ServiceKey,
        /// What was asked for.
        port: Port,
        /// The ports that it has.
        known: Vec<String>,
    },
    /// A Service that is asked for ICMP.
    #[error("Service {0} passes on its ports only: ask its pods about ICMP")]
    ServiceWithoutPorts(ServiceKey),
    /// No destination declares a port of that name.
    #[error("{title} declares no port {port}; declared are {}", listed(known))]
    NoNamedPort {
        /// Who, in words.
        title: String,
        /// The name.
        port: PortName,
        /// The names that are declared there.
        known: Vec<String>,
    },
    /// The ends have addresses of different families only, or none of the one that is asked for.
    #[error("{from} and {to} do not both have an address {}", of_family(*family))]
    NoCommonFamily {
        /// The source, in words.
        from: String,
        /// The destination, in words.
        to: String,
        /// The family, if one was asked for.
        family: Option<Family>,
    },
}

/// `; did you mean web?`
fn meant(hint: Option<&str>) -> String {
    hint.map_or_else(String::new, |hint| format!("; did you mean {hint}?"))
}

fn title(kind: Option<Kind>, namespace: Option<&NamespaceName>, name: &str) -> String {
    let kind: &dyn fmt::Display = match &kind {
        Some(kind) => kind,
        None => &"pod, workload or Service",
    };
    match namespace {
        Some(namespace) => format!("{kind} {namespace}/{name}"),
        None => format!("{kind} {name}"),
    }
}

fn of_family(family: Option<Family>) -> &'static str {
    match family {
        None => "in the same family",
        Some(Family::V4) => "in IPv4",
        Some(Family::V6) => "in IPv6",
    }
}

fn because(reasons: &[String]) -> String {
    match reasons {
        [] => String::new(),
        [reason] => format!(": {reason}"),
        [reason, more @ ..] => format!(": {reason} ({} more likewise)", more.len()),
    }
}

fn listed(known: &[String]) -> String {
    if known.is_empty() {
        "none".to_owned()
    } else {
        known.join(", ")
    }
}
