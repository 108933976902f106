//! Our own objects as the API server has them, reduced to what decides whether to write.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Resource;
use palisade_crds::address_group::AddressGroupSpec;
use palisade_crds::node_rule_set::NodeRuleSetSpec;
use palisade_crds::pod_slice::PodSliceSpec;
use palisade_crds::policy_slice::PolicySliceSpec;
use palisade_crds::{
    AddressGroup, GROUP_LABEL, NAMESPACE_LABEL, NODE_LABEL, NodeRuleSet, PodSlice, PolicySlice, SCOPE_LABEL,
};
use palisade_policy::model::NodeName;
use palisade_policy::rules::{NodeId, SliceId};
use serde::Deserialize;
use serde_json::Value;

use super::ledger::{Key, Kind, References, Stored};
use crate::watch::Source;

/// A kind of object that is published.
pub(crate) trait Document: Resource<DynamicType = ()> + Clone + Send + Sync + 'static {
    /// Which.
    const KIND: Kind;

    /// What a stored object says.
    fn read(metadata: &ObjectMeta, document: &Value) -> Stored;
}

/// A stored object under its name.
#[derive(Clone, Debug)]
pub(crate) struct Copy<D> {
    pub(crate) key: Key,
    pub(crate) stored: Stored,
    document: std::marker::PhantomData<fn() -> D>,
}

impl<D: Document + std::fmt::Debug> Source for Copy<D> {
    type Resource = D;

    fn reduce(metadata: &ObjectMeta, document: &Value) -> Self {
        let name = metadata.name.as_deref().unwrap_or_default();
        Self {
            key: Key::new(D::KIND, name),
            stored: D::read(metadata, document),
            document: std::marker::PhantomData,
        }
    }
}

/// What tells one content of a slice of a group from another: its hash, and the scope that people look for it by.
pub(super) fn slice_mark(spec: &AddressGroupSpec, scope: &str) -> String {
    format!("{} {scope}", spec.hash)
}

impl Document for AddressGroup {
    const KIND: Kind = Kind::Slice;

    fn read(metadata: &ObjectMeta, document: &Value) -> Stored {
        let spec = spec::<AddressGroupSpec>(document).unwrap_or_default();
        let sound = spec.hash == spec.content_hash() && label(document, GROUP_LABEL) == Some(&spec.group);
        let scope = label(document, SCOPE_LABEL).filter(|_| sound);
        Stored {
            mark: scope.map(|scope| slice_mark(&spec, scope)),
            references: group_references(&spec),
            revision: spec.revision,
            version: version(metadata),
        }
    }
}

impl Document for PolicySlice {
    const KIND: Kind = Kind::Policies;

    fn read(metadata: &ObjectMeta, document: &Value) -> Stored {
        let spec = spec::<PolicySliceSpec>(document).unwrap_or_default();
        let sound =
            spec.hash == spec.content_hash() && label(document, NAMESPACE_LABEL) == Some(&spec.namespace);
        Stored {
            mark: sound.then(|| spec.hash.clone()),
            references: policy_references(&spec),
            revision: spec.revision,
            version: version(metadata),
        }
    }
}

impl Document for PodSlice {
    const KIND: Kind = Kind::Pods;

    fn read(metadata: &ObjectMeta, document: &Value) -> Stored {
        let spec = spec::<PodSliceSpec>(document).unwrap_or_default();
        let node = node_id(&spec.node);
        let sound = spec.hash == spec.content_hash() && label(document, NODE_LABEL) == Some(node.as_str());
        Stored {
            mark: sound.then(|| spec.hash.clone()),
            references: pod_references(&spec),
            revision: spec.revision,
            version: version(metadata),
        }
    }
}

impl Document for NodeRuleSet {
    const KIND: Kind = Kind::RuleSet;

    fn read(metadata: &ObjectMeta, document: &Value) -> Stored {
        let spec = spec::<NodeRuleSetSpec>(document).unwrap_or_default();
        Stored {
            mark: (spec.hash == spec.content_hash()).then(|| spec.hash.clone()),
            references: node_references(&spec),
            revision: spec.revision,
            version: version(metadata),
        }
    }
}

/// What a slice of a group refers to: its halves, if it is split.
pub(super) fn group_references(spec: &AddressGroupSpec) -> References {
    References::new(halves(Kind::Slice, &spec.group, &spec.slice, spec.split).collect())
}

/// What a slice of policies refers to: its halves, if it is split, or the groups of its rules.
pub(super) fn policy_references(spec: &PolicySliceSpec) -> References {
    let rules = spec
        .policies
        .iter()
        .flat_map(|policy| policy.ingress.iter().chain(&policy.egress));
    let groups = rules.flatten().flat_map(|rule| &rule.groups);
    let groups = groups.map(|group| first(Kind::Slice, group));
    let halves = halves(Kind::Policies, &spec.namespace, &spec.slice, spec.split);
    References::new(halves.chain(groups).collect())
}

/// What a slice of pods refers to: its halves, if it is split, or the policies of its pods' namespaces.
pub(super) fn pod_references(spec: &PodSliceSpec) -> References {
    let halves = halves(Kind::Pods, node_id(&spec.node).as_str(), &spec.slice, spec.split);
    References::new(halves.chain(policies_of(&spec.namespaces)).collect())
}

/// What the rule set of a node refers to: the same, as it is the first slice of its pods.
pub(super) fn node_references(spec: &NodeRuleSetSpec) -> References {
    let (node, whole) = (node_id(&spec.node), SliceId::WHOLE.to_string());
    let halves = halves(Kind::Pods, node.as_str(), &whole, spec.split);
    References::new(halves.chain(policies_of(&spec.namespaces)).collect())
}

fn policies_of(namespaces: &[String]) -> impl Iterator<Item = Key> {
    namespaces.iter().map(|name| first(Kind::Policies, name))
}

fn node_id(node: &str) -> NodeId {
    NodeId::of(&NodeName::from(node))
}

/// The first slice of a tree.
fn first(kind: Kind, tree: &str) -> Key {
    Key::new(kind, format!("{tree}-{}", SliceId::WHOLE))
}

fn halves(kind: Kind, tree: &str, slice: &str, split: bool) -> impl Iterator<Item = Key> + use<> {
    let tree = tree.to_owned();
    let halves = SliceId::parse(slice).ok().filter(|_| split).map(SliceId::halves);
    halves
        .into_iter()
        .flatten()
        .map(move |half| Key::new(kind, format!("{tree}-{half}")))
}

fn label<'a>(document: &'a Value, name: &str) -> Option<&'a str> {
    let labels = document.get("metadata")?.get("labels")?;
    labels.get(name)?.as_str()
}

/// The specification, if it can be read.
fn spec<S: for<'de> Deserialize<'de>>(document: &Value) -> Option<S> {
    S::deserialize(document.get("spec")?).ok()
}

/// Versions are numbers that grow (from Kubernetes 1.35 on that is promised; before, it has always been so).
fn version(metadata: &ObjectMeta) -> u64 {
    metadata
        .resource_version
        .as_deref()
        .and_then(|version| version.parse().ok())
        .unwrap_or_default()
}
