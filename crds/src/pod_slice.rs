//! `PodSlice`: some pods of a node that has too many for one object. The document form of [`palisade_policy::rules::PodSlice`].
#![expect(
    unreachable_pub,
    reason = "the schema derive repeats each struct inside a function"
)]

use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

use crate::node_rule_set::PodEntry;
use crate::policy_slice::is_false;
use crate::schema;

/// A slice of the pods of a node. Made by the controller where the node's `NodeRuleSet` says that it is split, read by that node
/// alone. Its name begins with what stands for the node ([`palisade_policy::rules::NodeId`]): the name of a node may be as
/// long as any object's.
#[derive(CustomResource, KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[kube(
    group = "palisade.dev",
    version = "v1alpha1",
    kind = "PodSlice",
    plural = "podslices",
    shortname = "pds",
    category = "palisade",
    derive = "PartialEq",
    doc = "A part of the pods of a node that has more than fit into its NodeRuleSet.",
    validation = Rule::new("self.metadata.name.endsWith('-' + self.spec.slice)")
        .message("the object's name must end with its slice"),
    printcolumn(name = "Node", type_ = "string", json_path = ".spec.node"),
    printcolumn(name = "Slice", type_ = "string", json_path = ".spec.slice"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
pub struct PodSliceSpec {
    /// Counts the changes of this object.
    #[schemars(schema_with = "schema::revision")]
    pub revision: u64,
    /// Identifies the pods: equal slices have equal hashes, whatever their revision.
    #[schemars(schema_with = "schema::hash")]
    pub hash: String,
    /// The node.
    #[schemars(schema_with = "schema::node")]
    #[x_kube(validation = Rule::new("self == oldSelf").message("node is immutable"))]
    pub node: String,
    /// Which part of its pods: `s0` and `s1` are the halves of what the `NodeRuleSet` would hold, and so on.
    #[schemars(schema_with = "schema::slice")]
    #[x_kube(validation = Rule::new("self == oldSelf").message("slice is immutable"))]
    pub slice: String,
    /// The pods are in the two halves of the slice, and none is here.
    #[serde(default, skip_serializing_if = "is_false")]
    pub split: bool,
    /// The namespaces of these pods that have policies. Their `PolicySlice`s are needed before anything is enforced.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::namespaces")]
    pub namespaces: Vec<String>,
    /// The pods.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 1024))]
    pub pods: Vec<PodEntry>,
}
