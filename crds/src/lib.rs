//! The custom resources that carry compiled rules from the controller to the enforcers.
//!
//! ```text
//!   palisade_policy::rules ──publish──► NodeRuleSet, PodSlice,    ──accept──► palisade_policy::rules
//!        (controller)                   PolicySlice, AddressGroup                 (enforcer)
//!                                       (API server, or files)
//! ```
//!
//! A document mirrors the core's types without loss; what it says is covered by a hash, so that one that was cut,
//! edited or pruned on its way is refused rather than enforced in part. Publishing never fails, accepting checks
//! everything ([`DocumentError`]).
//!
//! ```text
//!   NodeRuleSet ──namespaces──► PolicySlice ──groups──► AddressGroup
//!   (a node's pods)             (policies)              (pods as peers)
//!        └──pods that do not fit──► PodSlice ──namespaces──► PolicySlice
//! ```
//!
//! A reference is to the first slice of a tree; a slice that is split refers to its halves. Order, wherever documents are
//! kept: what is referred to before what refers to it; deletion in reverse. [`files`] keeps it for directories.

mod accept;
pub mod address_group;
mod error;
pub mod files;
mod hash;
pub mod node_rule_set;
pub mod pod_slice;
pub mod policy_slice;
mod publish;
mod rule_set;
mod schema;
mod slices;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt;

pub use address_group::AddressGroup;
pub use error::{DocumentError, Problem};
pub use node_rule_set::{NodeRuleSet, NodeRuleSetStatus};
pub use pod_slice::PodSlice;
pub use policy_slice::PolicySlice;
pub use rule_set::{
    AcceptedPods, AcceptedPolicies, AcceptedResidents, AcceptedRules, AcceptedSlice, RuleSet, Selected,
    Selection, walk,
};
pub use slices::Slices;

/// The label of an [`AddressGroup`] that gives its group, whichever slice it is.
pub const GROUP_LABEL: &str = "palisade.dev/group";

/// The label of a [`PodSlice`] that stands for its node ([`palisade_policy::rules::NodeId`]), whichever slice it is: the value of
/// a label has 63 characters, the name of a node up to 253.
pub const NODE_LABEL: &str = "palisade.dev/node";

/// The label of a [`PolicySlice`] that gives its namespace, whichever slice it is.
pub const NAMESPACE_LABEL: &str = "palisade.dev/namespace";

/// The label of an [`AddressGroup`] that gives the namespace that all its pods are in, or [`SCOPE_CLUSTER`]: for people
/// who look for groups.
pub const SCOPE_LABEL: &str = "palisade.dev/scope";

/// The value of [`SCOPE_LABEL`] for groups over several namespaces.
pub const SCOPE_CLUSTER: &str = "cluster";

/// The annotation that tells when an object was written: RFC 3339, UTC, milliseconds. The lag that a node reports counts
/// from here.
pub const PUBLISHED_AT: &str = "palisade.dev/published-at";

/// The definitions of all resources, as `palisade crds` prints them.
pub fn crds() -> Vec<CustomResourceDefinition> {
    vec![
        AddressGroup::crd(),
        NodeRuleSet::crd(),
        PodSlice::crd(),
        PolicySlice::crd(),
    ]
}
