//! The four kinds of objects that decide about packets, and what the core makes of each.

use std::collections::BTreeMap;
use std::fmt::Debug;

use k8s_openapi::api::core::v1 as core;
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Resource;
use palisade_policy::cluster::{ClusterState, Event};
use palisade_policy::model::{
    Defect, Labels, Namespace, NamespaceName, Node, NodeName, Pod, PodUid, Policy, PolicyKey,
};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::decode::{self, Decoded, typed};

/// A kind of object of the core.
pub(crate) trait Kind: Clone + Debug + PartialEq + Send + Sync + Sized + 'static {
    /// What the API server calls it.
    type Resource: Resource<DynamicType = ()> + Clone + Debug + Send + Sync + 'static;
    /// Its identity.
    type Key: Ord + Clone + Debug + Send + Sync;
    /// The kind's name, as metrics and logs give it.
    const NAME: &'static str;

    /// The identity of an object; `None` where the metadata has none.
    fn key(metadata: &ObjectMeta) -> Option<Self::Key>;
    /// The object, or nothing where it cannot be read at all; and what could not be understood of it.
    fn decode(document: &Value) -> (Option<Self>, Vec<Defect>);
    /// What stands for an object that cannot be read, where its absence would not be the closed state.
    fn unreadable(key: &Self::Key, last: Option<&Self>) -> Option<Self> {
        let _ = (key, last);
        None
    }
    /// All objects of this kind.
    fn all(state: &ClusterState) -> &BTreeMap<Self::Key, Self>;
    /// The event that brings it.
    fn applied(self) -> Event;
    /// The event that takes it away.
    fn deleted(key: Self::Key) -> Event;
}

/// Reads a document by way of its API type.
fn by_type<K: DeserializeOwned, T>(
    document: &Value,
    decode: impl Fn(&K) -> Decoded<T>,
) -> (Option<T>, Vec<Defect>) {
    match typed(document) {
        Ok(object) => {
            let Decoded { object, defects } = decode(&object);
            (Some(object), defects)
        }
        Err(defect) => (None, vec![defect]),
    }
}

impl Kind for Pod {
    type Resource = core::Pod;
    type Key = PodUid;
    const NAME: &'static str = "Pod";

    fn key(metadata: &ObjectMeta) -> Option<PodUid> {
        metadata
            .uid
            .as_deref()
            .filter(|uid| !uid.is_empty())
            .map(Into::into)
    }

    /// A pod that cannot be read is no pod, nor is one that says too much: its node closes an address that no pod has.
    fn decode(document: &Value) -> (Option<Self>, Vec<Defect>) {
        let (pod, defects) = by_type(document, decode::pod);
        match pod.as_ref().and_then(decode::excess) {
            Some(excess) => (None, vec![excess]),
            None => (pod, defects),
        }
    }

    fn all(state: &ClusterState) -> &BTreeMap<PodUid, Self> {
        state.pods()
    }

    fn applied(self) -> Event {
        Event::PodApplied(self)
    }

    fn deleted(key: PodUid) -> Event {
        Event::PodDeleted(key)
    }
}

impl Kind for Namespace {
    type Resource = core::Namespace;
    type Key = NamespaceName;
    const NAME: &'static str = "Namespace";

    fn key(metadata: &ObjectMeta) -> Option<NamespaceName> {
        metadata.name.as_deref().map(Into::into)
    }

    /// Of a namespace that cannot be read no labels are known: no namespace selector that asks for any finds it.
    fn decode(document: &Value) -> (Option<Self>, Vec<Defect>) {
        by_type(document, decode::namespace)
    }

    fn unreadable(key: &NamespaceName, _: Option<&Self>) -> Option<Self> {
        Some(Self {
            name: key.clone(),
            labels: Labels::default(),
        })
    }

    fn all(state: &ClusterState) -> &BTreeMap<NamespaceName, Self> {
        state.namespaces()
    }

    fn applied(self) -> Event {
        Event::NamespaceApplied(self)
    }

    fn deleted(key: NamespaceName) -> Event {
        Event::NamespaceDeleted(key)
    }
}

impl Kind for Policy {
    type Resource = NetworkPolicy;
    type Key = PolicyKey;
    const NAME: &'static str = "NetworkPolicy";

    fn key(metadata: &ObjectMeta) -> Option<PolicyKey> {
        Some(PolicyKey::new(
            metadata.namespace.as_deref()?,
            metadata.name.as_deref()?,
        ))
    }

    /// A policy that cannot be read isolates all the same.
    fn decode(document: &Value) -> (Option<Self>, Vec<Defect>) {
        let policy = decode::policy_document(document);
        let defects = policy.defects.clone();
        (Some(policy), defects)
    }

    fn all(state: &ClusterState) -> &BTreeMap<PolicyKey, Self> {
        state.policies()
    }

    fn applied(self) -> Event {
        Event::PolicyApplied(self)
    }

    fn deleted(key: PolicyKey) -> Event {
        Event::PolicyDeleted(key)
    }
}

impl Kind for Node {
    type Resource = core::Node;
    type Key = NodeName;
    const NAME: &'static str = "Node";

    fn key(metadata: &ObjectMeta) -> Option<NodeName> {
        metadata.name.as_deref().map(Into::into)
    }

    fn decode(document: &Value) -> (Option<Self>, Vec<Defect>) {
        by_type(document, decode::node)
    }

    /// A node without pod networks closes less: the last that is known of them holds.
    fn unreadable(key: &NodeName, last: Option<&Self>) -> Option<Self> {
        Some(last.cloned().unwrap_or_else(|| Self {
            name: key.clone(),
            addresses: Vec::new(),
            pod_networks: Vec::new(),
        }))
    }

    fn all(state: &ClusterState) -> &BTreeMap<NodeName, Self> {
        state.nodes()
    }

    fn applied(self) -> Event {
        Event::NodeApplied(self)
    }

    fn deleted(key: NodeName) -> Event {
        Event::NodeDeleted(key)
    }
}
