//! The YAML of a case, field by field. What it means is settled in [`super::build`].

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer};
use serde_json::Value;

/// One case: one document of a file under `tests/cases`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CaseDocument {
    pub(super) case: String,
    #[serde(default)]
    pub(super) row: Vec<u8>,
    pub(super) pitfall: Option<Pitfalls>,
    pub(super) why: String,
    #[serde(default)]
    pub(super) namespaces: BTreeMap<String, Option<BTreeMap<String, String>>>,
    #[serde(default)]
    pub(super) pods: BTreeMap<String, Option<PodDocument>>,
    #[serde(default)]
    pub(super) services: BTreeMap<String, BTreeMap<String, ServicePortDocument>>,
    #[serde(default)]
    pub(super) policies: Vec<PolicyDocument>,
    pub(super) probes: Vec<String>,
    #[serde(default)]
    pub(super) then: Vec<StepDocument>,
}

/// One phrase of the last section of the semantics, or several.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum Pitfalls {
    One(String),
    Several(Vec<String>),
}

impl Pitfalls {
    pub(super) fn phrases(&self) -> &[String] {
        match self {
            Self::One(phrase) => std::slice::from_ref(phrase),
            Self::Several(phrases) => phrases,
        }
    }
}

/// A change of the state and the probes after it. Objects are written whole; null deletes them.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct StepDocument {
    /// What happens, for the reader.
    pub(super) why: Option<String>,
    #[serde(default)]
    pub(super) namespaces: BTreeMap<String, Option<BTreeMap<String, String>>>,
    #[serde(default)]
    pub(super) pods: BTreeMap<String, Option<PodDocument>>,
    #[serde(default)]
    pub(super) policies: Vec<PolicyDocument>,
    pub(super) probes: Vec<String>,
}

/// A pod.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PodDocument {
    pub(super) node: String,
    #[serde(default)]
    pub(super) labels: BTreeMap<String, String>,
    /// `name/PROTOCOL: number`, or a list of numbers where several containers declare the name.
    #[serde(default)]
    pub(super) ports: BTreeMap<String, Numbers>,
    #[serde(rename = "hostNetwork", default)]
    pub(super) host_network: bool,
    #[serde(default)]
    pub(super) phase: Phase,
    /// Whether it has a deletionTimestamp. It changes nothing (row 10); cases say so by having it.
    #[serde(rename = "terminating", default)]
    pub(super) _terminating: bool,
    /// `metadata.creationTimestamp`; by default the number of the step that made the pod.
    pub(super) created: Option<i64>,
    /// Another pod whose addresses this one has.
    #[serde(rename = "address-of")]
    pub(super) address_of: Option<String>,
    /// Whether this is a new pod, with another UID, under the name of one that is deleted.
    #[serde(default)]
    pub(super) reborn: bool,
}

/// `status.phase` of a pod.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
pub(super) enum Phase {
    Pending,
    #[default]
    Running,
    Succeeded,
    Failed,
}

/// One number or several.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum Numbers {
    One(u16),
    Several(Vec<u16>),
}

impl Numbers {
    pub(super) fn numbers(&self) -> &[u16] {
        match self {
            Self::One(number) => std::slice::from_ref(number),
            Self::Several(numbers) => numbers,
        }
    }
}

/// One port of a service.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ServicePortDocument {
    pub(super) target: u16,
    pub(super) endpoints: Vec<String>,
    #[serde(rename = "nodePort")]
    pub(super) node_port: Option<u16>,
    #[serde(rename = "externalTrafficPolicy", default)]
    pub(super) external: super::ExternalTraffic,
}

/// A policy, its spec as it would stand in a manifest.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PolicyDocument {
    pub(super) name: String,
    pub(super) namespace: String,
    /// Null deletes the policy. Not to be left out: that would look like a policy without a spec.
    #[serde(deserialize_with = "null_or_present")]
    pub(super) spec: Option<Value>,
    /// Whether the spec holds something that cannot be understood, which has to be reported.
    #[serde(default)]
    pub(super) broken: bool,
}

/// A field that has to be there and may be null.
fn null_or_present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    Option::deserialize(deserializer)
}
