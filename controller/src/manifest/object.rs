//! From untyped objects to events for the core.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;

use k8s_openapi::api::core::v1 as core;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use palisade_policy::cluster::Event;
use palisade_policy::model::{Defect, NamespaceName, PodUid, Policy};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::document::Document;
use super::{Manifests, Origin, Problem, Strictness};
use crate::decode::{self, Decoded, shortened, typed};

/// The objects of all documents. What is wrong goes to `problems`, and the outcome is of use only if nothing is.
pub(super) fn collect(
    documents: impl IntoIterator<Item = Document>,
    strictness: Strictness,
    problems: &mut Vec<Problem>,
) -> Manifests {
    let mut collector = Collector {
        strictness,
        problems,
        manifests: Manifests::default(),
        seen: BTreeMap::new(),
        uids: BTreeMap::new(),
    };
    for document in documents {
        collector.add(document);
    }
    let Collector { mut manifests, .. } = collector;
    let described: BTreeSet<&NamespaceName> =
        manifests.events.iter().filter_map(described_namespace).collect();
    let used: BTreeSet<&NamespaceName> = manifests.events.iter().filter_map(used_namespace).collect();
    let missing: Vec<NamespaceName> = used.difference(&described).map(|name| (*name).clone()).collect();
    manifests.events.extend(
        missing
            .into_iter()
            .map(|name| Event::NamespaceApplied(undescribed(&name))),
    );
    manifests
}

/// The kinds that decide about packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Namespace,
    Node,
    Pod,
    NetworkPolicy,
}

/// An object that can be named.
struct Object {
    origin: Origin,
    kind: Kind,
    /// `NetworkPolicy shop/web`.
    title: String,
    value: Value,
}

struct Collector<'a> {
    strictness: Strictness,
    problems: &'a mut Vec<Problem>,
    manifests: Manifests,
    /// Where each object was first seen, by its title.
    seen: BTreeMap<String, Origin>,
    uids: BTreeMap<PodUid, String>,
}

impl Collector<'_> {
    fn add(&mut self, document: Document) {
        let Some(object) = self.identify(document) else {
            return;
        };
        if let Some(first) = self.seen.get(&object.title) {
            let message = format!("is there twice, first in {first}");
            self.problems.push(object.problem(None, message));
            return;
        }
        self.seen.insert(object.title.clone(), object.origin.clone());
        let event = match object.kind {
            Kind::Namespace => self
                .decoded(&object, decode::namespace)
                .map(Event::NamespaceApplied),
            Kind::Node => self.decoded(&object, decode::node).map(Event::NodeApplied),
            Kind::Pod => self.decoded(&object, decode::pod).and_then(|pod| {
                let other = self.uids.insert(pod.uid.clone(), object.title.clone());
                let Some(other) = other else {
                    return Some(Event::PodApplied(pod));
                };
                let message = format!("{:?} is the UID of {other} too", pod.uid.as_str());
                self.problems.push(object.problem(Some("metadata.uid"), message));
                None
            }),
            Kind::NetworkPolicy => self.policy(&object).map(Event::PolicyApplied),
        };
        self.manifests.events.extend(event);
    }

    /// The object's kind and name; `None` if it is of no interest, or has none.
    fn identify(&mut self, document: Document) -> Option<Object> {
        let Document { origin, value } = document;
        let mut refuse = |field: Option<&str>, message: String| {
            let field = field.map(str::to_owned);
            self.problems.push(Problem {
                origin: origin.clone(),
                object: None,
                field,
                message,
            });
            None
        };
        if !value.is_object() {
            return refuse(None, "is no Kubernetes object".to_owned());
        }
        let version = match text(&value, "/apiVersion") {
            Ok(version) => version,
            Err(message) => return refuse(Some("apiVersion"), message),
        };
        let name = match text(&value, "/kind") {
            Ok(name) => name,
            Err(message) => return refuse(Some("kind"), message),
        };
        let kind = match (version, name) {
            ("v1", "Namespace") => Kind::Namespace,
            ("v1", "Node") => Kind::Node,
            ("v1", "Pod") => Kind::Pod,
            ("networking.k8s.io/v1", "NetworkPolicy") => Kind::NetworkPolicy,
            ("v1", _) => return self.skip(name.to_owned()),
            _ => return self.skip(format!("{name} ({version})")),
        };
        let title = match title(kind, &value) {
            Ok(title) => title,
            Err(Defect { field, message }) => {
                let object = Some(name.to_owned());
                self.problems.push(Problem {
                    origin,
                    object,
                    field: Some(field),
                    message,
                });
                return None;
            }
        };
        Some(Object {
            origin,
            kind,
            title,
            value,
        })
    }

    fn skip(&mut self, kind: String) -> Option<Object> {
        *self.manifests.skipped.entry(shortened(kind)).or_default() += 1;
        None
    }

    /// An object of a kind that must be right as a whole.
    fn decoded<K: DeserializeOwned, T>(
        &mut self,
        object: &Object,
        decode: impl Fn(&K) -> Decoded<T>,
    ) -> Option<T> {
        let typed: K = typed(&object.value)
            .map_err(|defect| self.problems.push(object.defect(defect)))
            .ok()?;
        let Decoded {
            object: decoded,
            defects,
        } = decode(&typed);
        let sound = defects.is_empty();
        self.problems
            .extend(defects.into_iter().map(|defect| object.defect(defect)));
        sound.then_some(decoded)
    }

    fn policy(&mut self, object: &Object) -> Option<Policy> {
        let policy = decode::policy_document(&object.value);
        let found = policy.defects.iter().map(|defect| object.defect(defect.clone()));
        match self.strictness {
            Strictness::KeepGoing => {
                self.manifests.warnings.extend(found);
                Some(policy)
            }
            Strictness::Strict => {
                self.problems.extend(found);
                decode::strict(policy).ok()
            }
        }
    }
}

impl Object {
    fn problem(&self, field: Option<&str>, message: String) -> Problem {
        let field = field.map(str::to_owned);
        Problem {
            origin: self.origin.clone(),
            object: Some(self.title.clone()),
            field,
            message,
        }
    }

    fn defect(&self, Defect { field, message }: Defect) -> Problem {
        let field = (!field.is_empty()).then_some(field);
        Problem {
            origin: self.origin.clone(),
            object: Some(self.title.clone()),
            field,
            message,
        }
    }
}

/// A required text.
fn text<'a>(value: &'a Value, pointer: &str) -> Result<&'a str, String> {
    match value.pointer(pointer) {
        None | Some(Value::Null) => Err("is missing".to_owned()),
        Some(Value::String(text)) if text.is_empty() => Err("is empty".to_owned()),
        Some(Value::String(text)) => Ok(text),
        Some(other) => Err(shortened(format!("{other} is no text"))),
    }
}

/// Kind, namespace and name.
fn title(kind: Kind, value: &Value) -> Result<String, Defect> {
    let defect = |field: &str, message: String| Defect {
        field: field.to_owned(),
        message: shortened(message),
    };
    let name = text(value, "/metadata/name").map_err(|message| defect("metadata.name", message))?;
    let valid = if kind == Kind::Namespace {
        decode::is_label(name)
    } else {
        decode::is_subdomain(name)
    };
    if !valid {
        return Err(defect(
            "metadata.name",
            format!("{name:?} is no name: it should be a lowercase DNS name"),
        ));
    }
    if matches!(kind, Kind::Namespace | Kind::Node) {
        return Ok(format!("{kind:?} {name}"));
    }
    let namespace = match value.pointer("/metadata/namespace") {
        None | Some(Value::Null) => "default",
        Some(Value::String(text)) if text.is_empty() => "default",
        Some(Value::String(text)) if decode::is_label(text) => text,
        Some(other) => {
            return Err(defect(
                "metadata.namespace",
                format!("{other} is no name of a namespace"),
            ));
        }
    };
    Ok(format!("{kind:?} {namespace}/{name}"))
}

fn described_namespace(event: &Event) -> Option<&NamespaceName> {
    match event {
        Event::NamespaceApplied(namespace) => Some(&namespace.name),
        _ => None,
    }
}

fn used_namespace(event: &Event) -> Option<&NamespaceName> {
    match event {
        Event::PodApplied(pod) => Some(&pod.key.namespace),
        Event::PolicyApplied(policy) => Some(&policy.key.namespace),
        _ => None,
    }
}

/// A namespace of which only the name is known.
fn undescribed(name: &impl Display) -> palisade_policy::model::Namespace {
    let metadata = ObjectMeta {
        name: Some(name.to_string()),
        ..ObjectMeta::default()
    };
    decode::namespace(&core::Namespace {
        metadata,
        ..core::Namespace::default()
    })
    .object
}
