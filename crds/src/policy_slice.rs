//! `PolicySlice`: some policies of a namespace. The document form of [`palisade_policy::rules::PolicySlice`].
//!
//! Absence never opens. A rule that allows everybody says `anyPeer`, one that allows every port says `anyPort`; a
//! rule that says neither and lists nothing allows nothing.
#![expect(
    unreachable_pub,
    reason = "the schema derive repeats each struct inside a function"
)]

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::schema;

/// A slice of the policies of a namespace. Made by the controller, shared by the nodes that have pods there.
#[derive(CustomResource, KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "palisade.dev",
    version = "v1alpha1",
    kind = "PolicySlice",
    plural = "policyslices",
    shortname = "psl",
    category = "palisade",
    derive = "PartialEq",
    doc = "A part of the network policies of a namespace, with references to groups of pods in the place of selectors of peers.",
    // `namespace` is a word of CEL; fields that are called like one are written so.
    validation = Rule::new("self.metadata.name == self.spec.__namespace__ + '-' + self.spec.slice")
        .message("the object's name must be its namespace and its slice"),
    printcolumn(name = "Namespace", type_ = "string", json_path = ".spec.namespace"),
    printcolumn(name = "Slice", type_ = "string", json_path = ".spec.slice"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
pub struct PolicySliceSpec {
    /// Counts the changes of this object.
    #[schemars(schema_with = "schema::revision")]
    pub revision: u64,
    /// Identifies the policies: equal slices have equal hashes, whatever their revision.
    #[schemars(schema_with = "schema::hash")]
    pub hash: String,
    /// The namespace.
    #[schemars(schema_with = "schema::namespace")]
    #[x_kube(validation = Rule::new("self == oldSelf").message("namespace is immutable"))]
    pub namespace: String,
    /// Which part of its policies: `s` is the first slice, `s0` and `s1` its halves, and so on.
    #[schemars(schema_with = "schema::slice")]
    #[x_kube(validation = Rule::new("self == oldSelf").message("slice is immutable"))]
    pub slice: String,
    /// The policies are in the two halves of the slice, and none is here.
    #[serde(default, skip_serializing_if = "is_false")]
    pub split: bool,
    /// The policies.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub policies: Vec<PolicyEntry>,
}

/// One policy.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PolicyEntry {
    /// Its namespace and name.
    #[schemars(schema_with = "schema::key")]
    pub policy: String,
    /// The pods of the namespace that it isolates.
    pub pod_selector: LabelSelector,
    /// Its ingress rules. Absent: it does not isolate for ingress. Empty: nothing is allowed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ingress: Option<Vec<RuleEntry>>,
    /// Its egress rules. Absent: it does not isolate for egress. Empty: nothing is allowed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub egress: Option<Vec<RuleEntry>>,
    /// What could not be understood of the policy and therefore allows nothing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub defects: Vec<DefectEntry>,
}

/// A rule: a connection is allowed where both a peer and a port match.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
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
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
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
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
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
    /// A port name; the pod gives its numbers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// A part of a policy that could not be understood.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DefectEntry {
    /// The field.
    pub field: String,
    /// What is wrong with it.
    pub message: String,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
pub(crate) fn is_false(value: &bool) -> bool {
    !value
}
