//! `NodeRuleSet`: what is published for one node alone. The document form of [`palisade_policy::rules::NodeHead`].
#![expect(
    unreachable_pub,
    reason = "the schema derive repeats each struct inside a function"
)]

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::policy_slice::is_false;
use crate::schema;

/// What one node enforces policies on. Made by the controller, named after the node, read by that node alone.
#[derive(CustomResource, KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[kube(
    group = "palisade.dev",
    version = "v1alpha1",
    kind = "NodeRuleSet",
    plural = "noderulesets",
    shortname = "nrs",
    category = "palisade",
    status = "NodeRuleSetStatus",
    derive = "PartialEq",
    doc = "The pods of one node and where their policies are, made by Palisade's controller for the node of the same name.",
    validation = Rule::new("self.spec.node == self.metadata.name").message("spec.node must be the object's name"),
    printcolumn(name = "Revision", type_ = "integer", json_path = ".spec.revision"),
    printcolumn(name = "Observed", type_ = "integer", json_path = ".status.observedRevision"),
    printcolumn(name = "Pods", type_ = "integer", json_path = ".status.pods"),
    printcolumn(
        name = "Programmed",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Programmed\")].status"
    ),
    printcolumn(
        name = "Degraded",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Degraded\")].status"
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
pub struct NodeRuleSetSpec {
    /// Counts the changes of this object's rules.
    #[schemars(schema_with = "schema::revision")]
    pub revision: u64,
    /// Identifies what is said here: what is equal has equal hashes, whatever its revision.
    #[schemars(schema_with = "schema::hash")]
    pub hash: String,
    /// The node.
    #[schemars(schema_with = "schema::node")]
    #[x_kube(validation = Rule::new("self == oldSelf").message("node is immutable"))]
    pub node: String,
    /// Where the addresses of the node's pods come from.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::networks")]
    pub pod_networks: Vec<String>,
    /// The pods do not fit here: they and their namespaces are in `PodSlice`s, and none is here.
    #[serde(default, skip_serializing_if = "is_false")]
    pub split: bool,
    /// The namespaces of the node's pods that have policies. Their `PolicySlice`s are needed before anything is enforced.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::namespaces")]
    pub namespaces: Vec<String>,
    /// The node's pods.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 4096))]
    pub pods: Vec<PodEntry>,
}

/// A pod of the node.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PodEntry {
    /// Its UID.
    #[schemars(schema_with = "schema::uid")]
    pub uid: String,
    /// Its namespace and name.
    #[schemars(schema_with = "schema::key")]
    pub pod: String,
    /// Its addresses as far as the API server knows them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::addresses")]
    pub ips: Vec<String>,
    /// Its labels, by which policies select it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// What the port names in the ingress rules of policies stand for on it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub named_ports: Vec<NamedPortEntry>,
}

/// A port name and the numbers that it stands for.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NamedPortEntry {
    /// The name.
    #[schemars(length(min = 1))]
    pub name: String,
    /// The protocol.
    #[schemars(schema_with = "schema::protocol")]
    pub protocol: String,
    /// The numbers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::ports")]
    pub numbers: Vec<u32>,
}

/// What the node reports of its rule set.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NodeRuleSetStatus {
    /// The newest revision that the node has seen and decided about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::optional_count")]
    pub observed_revision: Option<u64>,
    /// The hash of the rule set that the kernel enforces; where it is split, one over it and all of its slices.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hash: Option<String>,
    /// One hash over the hashes of the policy slices that the kernel enforces.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policies: Option<String>,
    /// The pods that are enforced.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::optional_count")]
    pub pods: Option<u64>,
    /// Milliseconds from the publication of the observed revision until the kernel enforced it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::optional_count")]
    pub lag_milliseconds: Option<u64>,
    /// `Programmed`: the kernel enforces the observed revision. `Degraded`: something is wrong, by its reason.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
}
