//! `AddressGroup`: one slice of a group of pods. The document form of [`palisade_policy::rules::Slice`].
#![expect(
    unreachable_pub,
    reason = "the schema derive repeats each struct inside a function"
)]

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::policy_slice::is_false;
use crate::schema;

/// A slice of a group of pods that rules refer to. Made by the controller, shared by the nodes that need it.
///
/// More members than the core ever puts into a slice are accepted, so that it may change its mind.
#[derive(CustomResource, KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[kube(
    group = "palisade.dev",
    version = "v1alpha1",
    kind = "AddressGroup",
    plural = "addressgroups",
    shortname = "ag",
    category = "palisade",
    derive = "PartialEq",
    doc = "A part of a group of pods that rules of NodeRuleSets refer to, with the pods' addresses.",
    validation = Rule::new("self.metadata.name == self.spec.group + '-' + self.spec.slice")
        .message("the object's name must be its group and its slice"),
    printcolumn(name = "Description", type_ = "string", json_path = ".spec.description"),
    printcolumn(name = "Slice", type_ = "string", json_path = ".spec.slice"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
pub struct AddressGroupSpec {
    /// Counts the changes of this object.
    #[schemars(schema_with = "schema::revision")]
    pub revision: u64,
    /// Identifies the members: equal slices have equal hashes, whatever their revision.
    #[schemars(schema_with = "schema::hash")]
    pub hash: String,
    /// The group.
    #[schemars(schema_with = "schema::id")]
    #[x_kube(validation = Rule::new("self == oldSelf").message("group is immutable"))]
    pub group: String,
    /// Which part of the group: `s` is the first slice, `s0` and `s1` its halves, and so on.
    #[schemars(schema_with = "schema::slice")]
    #[x_kube(validation = Rule::new("self == oldSelf").message("slice is immutable"))]
    pub slice: String,
    /// The group in words.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// The members are in the two halves of the slice, and none is here.
    #[serde(default, skip_serializing_if = "is_false")]
    pub split: bool,
    /// The members.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256))]
    pub members: Vec<MemberEntry>,
}

/// A pod in a group.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MemberEntry {
    /// Its namespace and name.
    #[schemars(schema_with = "schema::key")]
    pub pod: String,
    /// Its addresses that belong to the group.
    #[schemars(schema_with = "schema::some_addresses")]
    pub ips: Vec<String>,
    /// The numbers that it declares for the group's port name, where the group has one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::ports")]
    pub ports: Vec<u32>,
}
