//! Kinds of objects, and how objects are called.

use std::fmt;

use palisade_audit::inventory::WorkloadKind;
use palisade_policy::model::Defect;
use serde_json::Value;

use crate::decode::{self, shortened, workload_kind};

/// Where an object of a namespaced kind is that names no namespace, as with `kubectl`.
pub(crate) const DEFAULT_NAMESPACE: &str = "default";

/// The kinds of objects that mean something to us.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Kind {
    Namespace,
    Node,
    Pod,
    NetworkPolicy,
    Service,
    EndpointSlice,
    Workload(WorkloadKind),
    NodeRuleSet,
    PodSlice,
    PolicySlice,
    AddressGroup,
}

/// Which kinds are read; objects of others are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Interest {
    /// Those that decide about packets.
    Packets,
    /// Every [`Kind`].
    Everything,
}

impl Kind {
    /// The kind that is called so.
    pub(super) fn of(version: &str, name: &str) -> Option<Self> {
        match (version, name) {
            ("v1", "Namespace") => Some(Self::Namespace),
            ("v1", "Node") => Some(Self::Node),
            ("v1", "Pod") => Some(Self::Pod),
            ("v1", "Service") => Some(Self::Service),
            ("networking.k8s.io/v1", "NetworkPolicy") => Some(Self::NetworkPolicy),
            ("discovery.k8s.io/v1", "EndpointSlice") => Some(Self::EndpointSlice),
            ("palisade.dev/v1alpha1", "NodeRuleSet") => Some(Self::NodeRuleSet),
            ("palisade.dev/v1alpha1", "PodSlice") => Some(Self::PodSlice),
            ("palisade.dev/v1alpha1", "PolicySlice") => Some(Self::PolicySlice),
            ("palisade.dev/v1alpha1", "AddressGroup") => Some(Self::AddressGroup),
            _ => {
                let (group, "v1") = version.split_once('/')? else {
                    return None;
                };
                workload_kind(group, name).map(Self::Workload)
            }
        }
    }

    fn as_str(self) -> &'static str {
        match self {
            Self::Namespace => "Namespace",
            Self::Node => "Node",
            Self::Pod => "Pod",
            Self::NetworkPolicy => "NetworkPolicy",
            Self::Service => "Service",
            Self::EndpointSlice => "EndpointSlice",
            Self::Workload(kind) => kind.as_str(),
            Self::NodeRuleSet => "NodeRuleSet",
            Self::PodSlice => "PodSlice",
            Self::PolicySlice => "PolicySlice",
            Self::AddressGroup => "AddressGroup",
        }
    }

    pub(super) fn is_namespaced(self) -> bool {
        match self {
            Self::Namespace
            | Self::Node
            | Self::NodeRuleSet
            | Self::PodSlice
            | Self::PolicySlice
            | Self::AddressGroup => false,
            Self::Pod | Self::NetworkPolicy | Self::Service | Self::EndpointSlice | Self::Workload(_) => true,
        }
    }
}

impl Interest {
    /// Whether objects of this kind are read.
    pub(super) fn includes(self, kind: Kind) -> bool {
        match self {
            Self::Everything => true,
            Self::Packets => matches!(
                kind,
                Kind::Namespace | Kind::Node | Kind::Pod | Kind::NetworkPolicy
            ),
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The namespace of an object that says this of it.
pub(super) fn namespace_or_default(namespace: Option<&str>) -> &str {
    namespace
        .filter(|namespace| !namespace.is_empty())
        .unwrap_or(DEFAULT_NAMESPACE)
}

/// How kinds end that are known to make no pods, whoever defines them.
const WITHOUT_PODS: [&str; 9] = [
    "Certificate",
    "Issuer",
    "Monitor",
    "Policy",
    "Route",
    "Rule",
    "Secret",
    "SecretStore",
    "VirtualService",
];

/// Whether objects of a kind that is not read may make pods: those of the API's own groups only if they are workloads of
/// another version, those of others unless it is known better.
pub(super) fn may_make_pods(version: &str, name: &str) -> bool {
    let Some((group, _)) = version.split_once('/') else {
        return name == "ReplicationController";
    };
    match group {
        "apps" | "batch" | "extensions" => WorkloadKind::ALL.iter().any(|kind| kind.as_str() == name),
        "autoscaling" | "policy" | "palisade.dev" => false,
        _ => !group.ends_with(".k8s.io") && !WITHOUT_PODS.iter().any(|end| name.ends_with(end)),
    }
}

/// Kind, namespace and name: `NetworkPolicy shop/web`.
pub(super) fn title(kind: Kind, name: &str, namespace: Option<&str>) -> Result<String, Defect> {
    let valid = if kind == Kind::Namespace {
        decode::is_label(name)
    } else {
        decode::is_subdomain(name)
    };
    if !valid {
        let message = format!("{name:?} is no name: it should be a lowercase DNS name");
        return Err(defect("metadata.name", message));
    }
    if !kind.is_namespaced() {
        return Ok(format!("{kind} {name}"));
    }
    match namespace_or_default(namespace) {
        namespace if decode::is_label(namespace) => Ok(format!("{kind} {namespace}/{name}")),
        other => {
            let message = format!("{other:?} is no name of a namespace");
            Err(defect("metadata.namespace", message))
        }
    }
}

/// The title that a document gives itself.
pub(super) fn title_of(kind: Kind, value: &Value) -> Result<String, Defect> {
    let name = text(value, "/metadata/name").map_err(|message| defect("metadata.name", message))?;
    let namespace = match value.pointer("/metadata/namespace") {
        None | Some(Value::Null) => None,
        Some(Value::String(text)) => Some(text.as_str()),
        Some(_) if !kind.is_namespaced() => None,
        Some(other) => {
            let message = format!("{other} is no name of a namespace");
            return Err(defect("metadata.namespace", message));
        }
    };
    title(kind, name, namespace)
}

/// A required text.
pub(super) fn text<'a>(value: &'a Value, pointer: &str) -> Result<&'a str, String> {
    match value.pointer(pointer) {
        None | Some(Value::Null) => Err("is missing".to_owned()),
        Some(Value::String(text)) if text.is_empty() => Err("is empty".to_owned()),
        Some(Value::String(text)) => Ok(text),
        Some(other) => Err(shortened(format!("{other} is no text"))),
    }
}

fn defect(field: &str, message: String) -> Defect {
    Defect {
        field: field.to_owned(),
        message: shortened(message),
    }
}
