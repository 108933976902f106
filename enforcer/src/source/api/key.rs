//! By what the slices of a tree are watched: the namespace of policies, the group of members, the node of pods.

use std::fmt::{Debug, Display};

use palisade_crds::{AddressGroup, GROUP_LABEL, NAMESPACE_LABEL, NODE_LABEL, PodSlice, PolicySlice};
use palisade_policy::model::NamespaceName;
use palisade_policy::rules::{GroupId, NodeId, SliceId};

use super::watch::Document;

/// Names one tree. All of its slices have it as the value of one label, and before the slice in their names.
pub(super) trait Key: Clone + Debug + Display + Ord {
    /// The kind of the slices.
    type Slice: Document<Accepted: Clone>;

    /// The label of the slices.
    const LABEL: &str;

    /// Reads a key; `None` for a text that is none.
    fn parse(text: &str) -> Option<Self>;
}

impl Key for NamespaceName {
    type Slice = PolicySlice;

    const LABEL: &str = NAMESPACE_LABEL;

    fn parse(text: &str) -> Option<Self> {
        Some(text.into())
    }
}

impl Key for GroupId {
    type Slice = AddressGroup;

    const LABEL: &str = GROUP_LABEL;

    fn parse(text: &str) -> Option<Self> {
        Self::parse(text).ok()
    }
}

impl Key for NodeId {
    type Slice = PodSlice;

    const LABEL: &str = NODE_LABEL;

    fn parse(text: &str) -> Option<Self> {
        Self::parse(text).ok()
    }
}

/// Key and slice of an object, from its name; `None` for one that nothing can refer to.
pub(super) fn parse<K: Key>(object: &str) -> Option<(K, SliceId)> {
    let (key, slice) = object.rsplit_once('-')?;
    Some((K::parse(key)?, SliceId::parse(slice).ok()?))
}

/// The name of the object that holds a slice.
pub(super) fn object<K: Key>(key: &K, slice: SliceId) -> String {
    format!("{key}-{slice}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_are_named_as_they_are_published() {
        let (namespace, slice) = (NamespaceName::from("big-shop"), SliceId::WHOLE.halves()[1]);
        let name = PolicySlice::name_of(&namespace, slice);
        assert_eq!(object(&namespace, slice), name);
        assert_eq!(parse(&name), Some((namespace, slice)));
        let group = <GroupId as Key>::parse("0123456789abcdefghjk").unwrap();
        let name = AddressGroup::name_of(&group, slice);
        assert_eq!(object(&group, slice), name);
        assert_eq!(parse(&name), Some((group, slice)));
        let node = NodeId::of(&"a-node.of-a.long-name".into());
        let name = PodSlice::name_of(&node, slice);
        assert_eq!(object(&node, slice), name);
        assert_eq!(parse(&name), Some((node, slice)));
    }

    #[test]
    fn what_has_another_kind_of_name_is_no_slice() {
        assert_eq!(parse::<NamespaceName>("shop"), None);
        assert_eq!(parse::<NamespaceName>("shop-x"), None);
        assert_eq!(parse::<GroupId>("shop-s"), None);
    }
}
