//! Objects that become what is kept of them while they are read.
//!
//! A watch holds a page of objects at a time, and each object may be large; here the page is made of what is kept. And
//! one object that is not what its kind should be never ends a watch: reading an object as JSON cannot fail, and what
//! it means is the [`Source`]'s to say.

use std::borrow::Cow;
use std::fmt::Debug;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Resource;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

/// What is kept of the objects of one kind.
pub(crate) trait Source: Clone + Debug + Send + 'static {
    /// The kind, as the API server knows it.
    type Resource: Resource<DynamicType = ()>;

    /// What is kept of an object.
    fn reduce(metadata: &ObjectMeta, document: &Value) -> Self;
}

/// An object of kind `S::Resource` of which `S` is kept, with the metadata that a watch needs.
#[derive(Clone, Debug)]
pub(crate) struct Reduced<S> {
    metadata: ObjectMeta,
    /// What is kept.
    pub(crate) kept: S,
}

impl<'de, S: Source> Deserialize<'de> for Reduced<S> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut document = Value::deserialize(deserializer)?;
        if let Some(metadata) = document.get_mut("metadata").and_then(Value::as_object_mut) {
            metadata.remove("managedFields");
        }
        let text = |field: &str| {
            let value = document.get("metadata").and_then(|metadata| metadata.get(field));
            value.and_then(Value::as_str).map(str::to_owned)
        };
        let metadata = ObjectMeta {
            name: text("name"),
            namespace: text("namespace"),
            uid: text("uid"),
            resource_version: text("resourceVersion"),
            ..ObjectMeta::default()
        };
        let kept = S::reduce(&metadata, &document);
        Ok(Self { metadata, kept })
    }
}

impl<S: Source> Resource for Reduced<S> {
    type DynamicType = ();
    type Scope = <S::Resource as Resource>::Scope;

    fn kind((): &()) -> Cow<'_, str> {
        S::Resource::kind(&())
    }

    fn group((): &()) -> Cow<'_, str> {
        S::Resource::group(&())
    }

    fn version((): &()) -> Cow<'_, str> {
        S::Resource::version(&())
    }

    fn plural((): &()) -> Cow<'_, str> {
        S::Resource::plural(&())
    }

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}
