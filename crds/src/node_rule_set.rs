//! `NodeRuleSet`: what one node enforces. The document form of [`palisade_policy::rules::NodeRules`].
//!
//! Absence never opens. A rule that allows everybody says `anyPeer`, one that allows every port says `anyPort`; a
//! rule that says neither and lists nothing allows nothing.
#![expect(
    unreachable_pub,
    reason = "the schema derive repeats each struct inside a function"
)]

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::schema;

/// The rules of one node. Made by the controller, named after the node, enforced by that node alone.
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
    doc = "The network policy rules of one node, made by Palisade's controller and enforced by the node of the same name.",
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
    /// Identifies the rules: equal rules have equal hashes, whatever their revision.
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
    /// The node's pods.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 4096))]
    pub pods: Vec<PodEntry>,
    /// The profiles that the pods use.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub profiles: Vec<ProfileEntry>,
    /// The policies that the profiles use.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub policies: Vec<PolicyEntry>,
    /// The address groups that the policies use, each with the slices that make it whole.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "schema::slices_by_group")]
    pub groups: BTreeMap<String, Vec<String>>,
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
    /// The profile for connections to it. Absent: not isolated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::optional_id")]
    pub ingress: Option<String>,
    /// The profile for connections from it. Absent: not isolated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::optional_id")]
    pub egress: Option<String>,
}

/// The policies that isolate some pods in one direction.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ProfileEntry {
    /// Its identifier.
    #[schemars(schema_with = "schema::id")]
    pub id: String,
    /// `Ingress` or `Egress`.
    #[schemars(schema_with = "schema::direction")]
    pub direction: String,
    /// The policies, by namespace and name.
    #[schemars(schema_with = "schema::keys")]
    pub policies: Vec<String>,
    /// What the port names in the policies' ingress rules stand for on these pods.
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

/// The rules of one policy.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PolicyEntry {
    /// Its namespace and name.
    #[schemars(schema_with = "schema::key")]
    pub policy: String,
    /// Its ingress rules, where a profile uses them. Empty: nothing is allowed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ingress: Option<Vec<RuleEntry>>,
    /// Its egress rules, where a profile uses them. Empty: nothing is allowed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub egress: Option<Vec<RuleEntry>>,
    /// What could not be understood of the policy and therefore allows nothing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub defects: Vec<DefectEntry>,
}

/// A rule: a connection is allowed where both a peer and a port match.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RuleEntry {
    /// Which rule of the policy's list this comes from, counted from 0.
    #[schemars(schema_with = "schema::count")]
    pub index: usize,
    /// Everybody is a peer. Then `groups` and `blocks` are empty.
    #[serde(default, skip_serializing_if = "is_false")]
    pub any_peer: bool,
    /// The address groups whose members are peers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::ids")]
    pub groups: Vec<String>,
    /// The address blocks that are peers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub blocks: Vec<BlockEntry>,
    /// Every port of every protocol, and protocols without ports. Then `ports` and `memberPorts` are absent.
    #[serde(default, skip_serializing_if = "is_false")]
    pub any_port: bool,
    /// The ports.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ports: Vec<PortEntry>,
    /// The numbers that each member of the groups declares, in this protocol. Then the only peers are groups.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::optional_protocol")]
    pub member_ports: Option<String>,
}

/// An address block without some of its parts.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BlockEntry {
    /// The block.
    #[schemars(schema_with = "schema::cidr")]
    pub cidr: String,
    /// What is taken out of it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::cidrs")]
    pub except: Vec<String>,
}

/// A port entry, as in a `NetworkPolicy`: neither `port` nor `name` is every port of the protocol.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PortEntry {
    /// The protocol.
    #[schemars(schema_with = "schema::protocol")]
    pub protocol: String,
    /// The port, or the first of a range.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::optional_port")]
    pub port: Option<u32>,
    /// The last port of a range.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::optional_port")]
    pub end_port: Option<u32>,
    /// A port name; the profile gives its numbers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// A part of a policy that could not be understood.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DefectEntry {
    /// The field.
    pub field: String,
    /// What is wrong with it.
    pub message: String,
}

/// What the node reports of its rule set.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NodeRuleSetStatus {
    /// The newest revision that the node has seen and decided about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::optional_count")]
    pub observed_revision: Option<u64>,
    /// The hash of the rules that the kernel enforces.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hash: Option<String>,
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

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_false(value: &bool) -> bool {
    !value
}
