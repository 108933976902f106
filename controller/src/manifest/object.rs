//! From one document to one object.

use std::ops::Range;
use std::sync::Arc;

use k8s_openapi::api::apps::v1::{DaemonSet, Deployment, ReplicaSet, StatefulSet};
use k8s_openapi::api::batch::v1::{CronJob, Job};
use k8s_openapi::api::core::v1 as core;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use palisade_audit::inventory::{ObjectRef, Service, WorkloadKey, WorkloadKind};
use palisade_audit::style::visible;
use palisade_crds::{AddressGroup, NodeRuleSet, PodSlice, PolicySlice};
use palisade_policy::model::{Defect, Direction, Namespace, NamespaceName, Node, Pod, Policy};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::document::{Content, Document, MAX_OBJECT_BYTES};
use super::json::Word;
use super::kind::{self, Interest, Kind};
use super::{Origin, Problem, slim};
use crate::decode::{self, Decoded, Endpoints, Shape, Template, is_known, policy_text, shortened, typed};

/// An object of a kind that means something to us.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Object {
    Namespace(Namespace),
    Node(Node),
    Pod {
        pod: Pod,
        /// What made it, as it says itself.
        owner: Option<WorkloadKey>,
    },
    Policy {
        policy: Policy,
        /// Whether it leaves `policyTypes` to their default.
        untyped: bool,
        /// The directions that it has a section for although its `policyTypes` do not name them.
        idle: Vec<Direction>,
    },
    Service(Service),
    Endpoints(Endpoints),
    Template(Box<Template>),
    NodeRuleSet(Box<NodeRuleSet>),
    PodSlice(Box<PodSlice>),
    PolicySlice(Box<PolicySlice>),
    AddressGroup(Box<AddressGroup>),
}

/// An object, and what there is to say about it.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    pub(crate) origin: Origin,
    /// Where in the text an object in JSON is, in bytes.
    pub(crate) span: Option<Range<usize>>,
    pub(crate) kind: Kind,
    /// `NetworkPolicy shop/web`.
    pub(crate) title: Arc<str>,
    /// The object; `None` where it cannot be read.
    pub(crate) object: Option<Object>,
    /// What could not be understood of it.
    pub(super) defects: Vec<Defect>,
    /// What a snapshot keeps of its document, if that is wanted.
    pub(crate) slim: Option<String>,
}

/// What a document turned out to be.
#[derive(Debug)]
pub(super) enum Outcome {
    /// An object of another kind.
    Skipped(Skipped),
    /// Nothing that has a name.
    Refused(Problem),
    /// An object.
    Found(Box<Found>),
}

/// An object of a kind that means nothing to us.
#[derive(Debug)]
pub(super) struct Skipped {
    /// How the kind is counted.
    pub(super) kind: String,
    /// Its namespace, if it is of a kind that may make pods.
    pub(super) making_pods_in: Option<NamespaceName>,
}

/// What is made of documents.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reading<'a> {
    /// Which kinds are read.
    pub(crate) interest: Interest,
    /// Whether documents are kept as a snapshot has them.
    pub(crate) slim: bool,
    /// The namespace of objects that name none, as with `kubectl apply -n`.
    pub(crate) home: &'a str,
}

impl Reading<'_> {
    /// Reads one document.
    pub(super) fn interpret(self, document: Document<'_>) -> Outcome {
        self.at_once(&document)
            .unwrap_or_else(|| self.with_care(document))
    }

    /// An object from a text, without a tree in between; `None` where there is anything to say about it.
    fn at_once(self, document: &Document<'_>) -> Option<Outcome> {
        let Content::Text(text) = document.content else {
            return None;
        };
        if self.slim || text.len() > MAX_OBJECT_BYTES {
            return None;
        }
        let head: Head<'_> = serde_json::from_str(text).ok()?;
        let inherited = document.inherited.as_deref();
        let inherited_version = inherited.and_then(|inherited| inherited.version.as_deref());
        let version = head
            .api_version
            .as_ref()
            .map(|word| word.0.as_ref())
            .or(inherited_version)?;
        let name = head.kind.as_ref().map(|word| word.0.as_ref());
        let name = name.or(inherited.map(|inherited| inherited.kind.as_str()))?;
        if version.is_empty() || name.is_empty() {
            return None;
        }
        let metadata = head.metadata.as_ref();
        let namespace = metadata.and_then(|metadata| metadata.namespace.as_ref());
        let namespace = namespace.map(|word| word.0.as_ref());
        let kind = match self.kind(version, name, namespace) {
            Ok(kind) => kind,
            Err(skipped) => return Some(Outcome::Skipped(skipped)),
        };
        let metadata = head.metadata.as_ref()?;
        if self.is_homeless(kind, namespace) {
            return None;
        }
        let title = kind::title(kind, &metadata.name.as_ref()?.0, namespace).ok()?;
        let (object, defects) = if kind == Kind::NetworkPolicy {
            policy(&policy_text(text)?)
        } else {
            is_known(text, &Shape::Anything).ok()?;
            decoded(kind, &text)
                .ok()
                .filter(|(object, _)| excess(object).is_none())?
        };
        Some(Outcome::Found(Box::new(Found {
            origin: document.origin.clone(),
            span: document.span.clone(),
            kind,
            title: title.into(),
            object: Some(object),
            defects,
            slim: None,
        })))
    }

    /// An object by way of a tree, from which everything that is wrong can be told.
    fn with_care(self, document: Document<'_>) -> Outcome {
        let span = document.span.clone();
        let (origin, tree) = document.into_tree();
        let refuse = |origin, object: Option<&str>, field: Option<&str>, message| {
            Outcome::Refused(Problem {
                origin,
                object: object.map(str::to_owned),
                field: field.map(str::to_owned),
                message,
            })
        };
        let mut value = match tree {
            Ok(value) => value,
            Err(message) => return refuse(origin, None, None, message),
        };
        if !value.is_object() {
            return refuse(origin, None, None, "is no Kubernetes object".to_owned());
        }
        let version = match kind::text(&value, "/apiVersion") {
            Ok(version) => version,
            Err(message) => return refuse(origin, None, Some("apiVersion"), message),
        };
        let name = match kind::text(&value, "/kind") {
            Ok(name) => name,
            Err(message) => return refuse(origin, None, Some("kind"), message),
        };
        let namespace = value.pointer("/metadata/namespace").and_then(Value::as_str);
        let kind = match self.kind(version, name, namespace) {
            Ok(kind) => kind,
            Err(skipped) => return Outcome::Skipped(skipped),
        };
        self.take_home(kind, &mut value);
        let name = value.get("kind").and_then(Value::as_str).unwrap_or_default();
        let title = match kind::title_of(kind, &value) {
            Ok(title) => title,
            Err(Defect { field, message }) => return refuse(origin, Some(name), Some(&field), message),
        };
        let (object, defects) = if kind == Kind::NetworkPolicy {
            let policy = decode::policy_document(&value);
            let untyped = match value.pointer("/spec/policyTypes") {
                None | Some(Value::Null) => true,
                Some(types) => types.as_array().is_some_and(Vec::is_empty),
            };
            let types = value.pointer("/spec/policyTypes").and_then(Value::as_array);
            let types = types.into_iter().flatten().filter_map(Value::as_str);
            let idle = idle(types, |direction| {
                let section = value.pointer(&format!("/spec/{direction}"));
                section.is_some_and(Value::is_array)
            });
            let policy = Object::Policy {
                policy,
                untyped,
                idle,
            };
            (Some(policy), Vec::new())
        } else {
            match decoded(kind, &&value) {
                Ok((object, defects)) => match excess(&object) {
                    Some(excess) => (None, vec![excess]),
                    None => (Some(object), defects),
                },
                Err(defect) => (None, vec![defect]),
            }
        };
        Outcome::Found(Box::new(Found {
            origin,
            span,
            kind,
            title: title.into(),
            object,
            defects,
            slim: self.slim.then(|| slim::slimmed(kind, value)),
        }))
    }

    /// Whether an object is to be in another namespace than what is decoded without one.
    fn is_homeless(self, kind: Kind, namespace: Option<&str>) -> bool {
        kind.is_namespaced() && self.home != kind::DEFAULT_NAMESPACE && namespace.is_none_or(str::is_empty)
    }

    /// Puts an object that names no namespace into the one of those.
    fn take_home(self, kind: Kind, value: &mut Value) {
        let named = match value.pointer("/metadata/namespace") {
            None | Some(Value::Null) => None,
            Some(Value::String(text)) => Some(text.as_str()),
            // That it is no name is told later.
            Some(_) => return,
        };
        if self.is_homeless(kind, named)
            && let Some(metadata) = value.get_mut("metadata").and_then(Value::as_object_mut)
        {
            metadata.insert("namespace".to_owned(), self.home.into());
        }
    }

    /// The kind that is called so, if it is of interest; if not, what is noted of an object of it.
    fn kind(self, version: &str, name: &str, namespace: Option<&str>) -> Result<Kind, Skipped> {
        let kind = Kind::of(version, name).filter(|kind| self.interest.includes(*kind));
        kind.ok_or_else(|| Skipped {
            kind: shortened(match version {
                "v1" => visible(name).into_owned(),
                _ => visible(&format!("{name} ({version})")).into_owned(),
            }),
            making_pods_in: kind::may_make_pods(version, name).then(|| {
                let namespace = namespace.filter(|namespace| !namespace.is_empty());
                NamespaceName::from(namespace.unwrap_or(self.home))
            }),
        })
    }
}

/// What a document calls itself.
#[derive(Deserialize)]
struct Head<'t> {
    #[serde(borrow, rename = "apiVersion")]
    api_version: Option<Word<'t>>,
    #[serde(borrow)]
    kind: Option<Word<'t>>,
    #[serde(borrow)]
    metadata: Option<Name<'t>>,
}

#[derive(Deserialize)]
struct Name<'t> {
    #[serde(borrow)]
    name: Option<Word<'t>>,
    #[serde(borrow)]
    namespace: Option<Word<'t>>,
}

/// A document that can be read as any type that it fits.
trait Typed {
    type Error;

    fn typed<K: DeserializeOwned>(&self) -> Result<K, Self::Error>;
}

impl Typed for &str {
    type Error = serde_json::Error;

    fn typed<K: DeserializeOwned>(&self) -> Result<K, Self::Error> {
        serde_json::from_str(self)
    }
}

impl Typed for &Value {
    type Error = Defect;

    fn typed<K: DeserializeOwned>(&self) -> Result<K, Defect> {
        typed(self)
    }
}

/// What a pod says too much.
fn excess(object: &Object) -> Option<Defect> {
    match object {
        Object::Pod { pod, .. } => decode::excess(pod),
        Object::Namespace(_)
        | Object::Node(_)
        | Object::Policy { .. }
        | Object::Service(_)
        | Object::Endpoints(_)
        | Object::Template(_)
        | Object::NodeRuleSet(_)
        | Object::PodSlice(_)
        | Object::PolicySlice(_)
        | Object::AddressGroup(_) => None,
    }
}

/// The object that a document of any kind but `NetworkPolicy` stands for, and what of it was left out.
fn decoded<D: Typed>(kind: Kind, document: &D) -> Result<(Object, Vec<Defect>), D::Error> {
    fn with<T>(decoded: Decoded<T>, object: impl FnOnce(T) -> Object) -> (Object, Vec<Defect>) {
        (object(decoded.object), decoded.defects)
    }
    fn template(decoded: Decoded<Template>) -> (Object, Vec<Defect>) {
        with(decoded, |template| Object::Template(Box::new(template)))
    }
    Ok(match kind {
        Kind::Namespace => with(decode::namespace(&document.typed()?), Object::Namespace),
        Kind::Node => with(decode::node(&document.typed()?), Object::Node),
        Kind::Pod => {
            let typed: core::Pod = document.typed()?;
            let owner = decode::owner(&typed.metadata);
            with(decode::pod(&typed), |pod| Object::Pod { pod, owner })
        }
        Kind::NetworkPolicy => policy(&document.typed()?),
        Kind::Service => with(decode::service(&document.typed()?), Object::Service),
        Kind::EndpointSlice => {
            let typed: EndpointSlice = document.typed()?;
            with(decode::endpoints(&typed), Object::Endpoints)
        }
        Kind::Workload(WorkloadKind::Deployment) => {
            template(decode::workload::<Deployment>(&document.typed()?))
        }
        Kind::Workload(WorkloadKind::StatefulSet) => {
            template(decode::workload::<StatefulSet>(&document.typed()?))
        }
        Kind::Workload(WorkloadKind::DaemonSet) => {
            template(decode::workload::<DaemonSet>(&document.typed()?))
        }
        Kind::Workload(WorkloadKind::ReplicaSet) => {
            template(decode::workload::<ReplicaSet>(&document.typed()?))
        }
        Kind::Workload(WorkloadKind::Job) => template(decode::workload::<Job>(&document.typed()?)),
        Kind::Workload(WorkloadKind::CronJob) => template(decode::workload::<CronJob>(&document.typed()?)),
        Kind::NodeRuleSet => (Object::NodeRuleSet(Box::new(document.typed()?)), Vec::new()),
        Kind::PodSlice => (Object::PodSlice(Box::new(document.typed()?)), Vec::new()),
        Kind::PolicySlice => (Object::PolicySlice(Box::new(document.typed()?)), Vec::new()),
        Kind::AddressGroup => (Object::AddressGroup(Box::new(document.typed()?)), Vec::new()),
    })
}

/// A policy that could be read. Its defects are its own.
fn policy(object: &NetworkPolicy) -> (Object, Vec<Defect>) {
    let types = object.spec.as_ref().and_then(|spec| spec.policy_types.as_ref());
    let untyped = types.is_none_or(Vec::is_empty);
    let types = types.into_iter().flatten().map(String::as_str);
    let spec = object.spec.as_ref();
    let idle = idle(types, |direction| match direction {
        Direction::Ingress => spec.is_some_and(|spec| spec.ingress.is_some()),
        Direction::Egress => spec.is_some_and(|spec| spec.egress.is_some()),
    });
    let policy = decode::policy(object);
    (
        Object::Policy {
            policy,
            untyped,
            idle,
        },
        Vec::new(),
    )
}

/// The directions that have a section, even an empty one, and are not among the types. Without types, all are that have one.
fn idle<'t>(types: impl Iterator<Item = &'t str>, has_section: impl Fn(Direction) -> bool) -> Vec<Direction> {
    let types: Vec<&str> = types.collect();
    let directions = [(Direction::Ingress, "Ingress"), (Direction::Egress, "Egress")].into_iter();
    let idle = directions
        .filter(|(direction, name)| !types.is_empty() && !types.contains(name) && has_section(*direction));
    idle.map(|(direction, _)| direction).collect()
}

impl Object {
    /// The object as questions and findings name it; `None` for kinds that nothing is said about.
    pub(crate) fn reference(&self) -> Option<ObjectRef> {
        match self {
            Self::Namespace(namespace) => Some(ObjectRef::Namespace(namespace.name.clone())),
            Self::Pod { pod, .. } => Some(ObjectRef::Pod(pod.key.clone())),
            Self::Policy { policy, .. } => Some(ObjectRef::Policy(policy.key.clone())),
            Self::Service(service) => Some(ObjectRef::Service(service.key.clone())),
            Self::Template(template) => Some(ObjectRef::Workload(template.key.clone())),
            Self::Node(_)
            | Self::Endpoints(_)
            | Self::NodeRuleSet(_)
            | Self::PodSlice(_)
            | Self::PolicySlice(_)
            | Self::AddressGroup(_) => None,
        }
    }
}

impl Found {
    pub(super) fn problem(&self, field: Option<&str>, message: String) -> Problem {
        let field = field.map(str::to_owned);
        Problem {
            origin: self.origin.clone(),
            object: Some(self.title.to_string()),
            field,
            message,
        }
    }

    pub(super) fn defect(&self, Defect { field, message }: Defect) -> Problem {
        let field = (!field.is_empty()).then_some(field);
        self.problem(field.as_deref(), message)
    }
}

/// A namespace of which only the name is known.
pub(crate) fn undescribed(name: &str) -> Namespace {
    let metadata = ObjectMeta {
        name: Some(name.to_owned()),
        ..ObjectMeta::default()
    };
    decode::namespace(&core::Namespace {
        metadata,
        ..core::Namespace::default()
    })
    .object
}
