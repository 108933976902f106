//! A directory of the same documents that the cluster holds: what `palisade compile` writes and an enforcer with
//! `--rules` reads.
//!
//! ```text
//!   DIR/addressgroups/<group>-<slice>.json
//!   DIR/policyslices/<namespace>-<slice>.json
//!   DIR/podslices/<node's identifier>-<slice>.json
//!   DIR/noderulesets/<node>.json
//! ```
//!
//! A reader may look at any moment. Each file is replaced as a whole, what is referred to comes before what refers to it
//! and goes after, and [`read()`] returns a rule set only together with all that it refers to.

mod read;
mod write;

use std::path::{Path, PathBuf};

use palisade_policy::model::{NamespaceName, NodeName};
use palisade_policy::rules::{GroupId, NodeId, SliceId};

use crate::{AddressGroup, PodSlice, PolicySlice};

pub use read::{ReadError, read};
pub use write::{WriteError, Written, write};

/// The folder of the slices of groups.
pub const GROUPS: &str = "addressgroups";

/// The folder of the slices of policies.
pub const POLICIES: &str = "policyslices";

/// The folder of the slices of nodes' pods.
pub const PODS: &str = "podslices";

/// The folder of the rule sets.
pub const RULE_SETS: &str = "noderulesets";

/// The file of a node's rule set.
pub fn rule_set_path(directory: &Path, node: &NodeName) -> PathBuf {
    directory.join(RULE_SETS).join(file_name(node.as_str()))
}

/// The file of a slice of a node's pods.
pub fn pods_path(directory: &Path, node: &NodeId, slice: SliceId) -> PathBuf {
    directory
        .join(PODS)
        .join(file_name(&PodSlice::name_of(node, slice)))
}

/// The file of a slice of policies.
pub fn policies_path(directory: &Path, namespace: &NamespaceName, slice: SliceId) -> PathBuf {
    directory
        .join(POLICIES)
        .join(file_name(&PolicySlice::name_of(namespace, slice)))
}

/// The file of a slice of a group.
pub fn slice_path(directory: &Path, group: &GroupId, slice: SliceId) -> PathBuf {
    directory
        .join(GROUPS)
        .join(file_name(&AddressGroup::name_of(group, slice)))
}

fn file_name(object: &str) -> String {
    format!("{object}.json")
}
