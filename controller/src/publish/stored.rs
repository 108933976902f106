//! Our own objects as the API server has them, reduced to what decides whether to write.

use std::collections::BTreeSet;
use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Resource;
use palisade_crds::address_group::AddressGroupSpec;
use palisade_crds::node_rule_set::NodeRuleSetSpec;
use palisade_crds::{AddressGroup, GROUP_LABEL, NodeRuleSet, SCOPE_LABEL};
use serde::Deserialize;
use serde_json::Value;

use super::ledger::{Key, Kind, Stored};
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
            key: Key {
                kind: D::KIND,
                name: name.into(),
            },
            stored: D::read(metadata, document),
            document: std::marker::PhantomData,
        }
    }
}

/// What tells one content of a slice from another: its hash, and the scope that enforcers subscribe by.
pub(super) fn slice_mark(spec: &AddressGroupSpec, scope: &str) -> String {
    format!("{} {scope}", spec.hash)
}

impl Document for AddressGroup {
    const KIND: Kind = Kind::Slice;

    fn read(metadata: &ObjectMeta, document: &Value) -> Stored {
        let spec = spec::<AddressGroupSpec>(document);
        let label = |name: &str| {
            let labels = document
                .get("metadata")
                .and_then(|metadata| metadata.get("labels"));
            labels.and_then(|labels| labels.get(name)).and_then(Value::as_str)
        };
        let sound =
            spec.filter(|spec| spec.hash == spec.content_hash() && label(GROUP_LABEL) == Some(&spec.group));
        Stored {
            mark: sound
                .zip(label(SCOPE_LABEL))
                .map(|(spec, scope)| slice_mark(&spec, scope)),
            references: Arc::default(),
            revision: 0,
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
            references: references(&spec),
            revision: spec.revision,
            version: version(metadata),
        }
    }
}

/// The names of the slices that a rule set refers to.
pub(super) fn references(spec: &NodeRuleSetSpec) -> Arc<BTreeSet<Arc<str>>> {
    let names = spec
        .groups
        .iter()
        .flat_map(|(group, slices)| slices.iter().map(move |slice| format!("{group}-{slice}").into()));
    Arc::new(names.collect())
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
