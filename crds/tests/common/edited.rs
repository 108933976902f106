//! Documents with one of everything in which one field is replaced, and how they are refused.

use palisade_crds::{AddressGroup, DocumentError, NodeRuleSet, PodSlice, PolicySlice};
use palisade_policy::rules::{NodeHead, PodSlice as Pods, PolicySlice as Policies, Slice, SliceId, slices};
use serde_json::Value;

use super::{frontends, full_node, full_pods, full_policies};

const POLICY: &str = "/spec/policies/0";

/// The full node's document with one field replaced (or, by null, removed) and the hash made right again.
pub(crate) fn node_with(pointer: &str, value: Value) -> Result<NodeHead, DocumentError> {
    let document = serde_json::to_value(NodeRuleSet::publish(&full_node(), 1)).unwrap();
    let mut document: NodeRuleSet = serde_json::from_value(replaced(document, pointer, value)).unwrap();
    document.spec.hash = document.spec.content_hash();
    NodeHead::try_from(&document)
}

pub(crate) fn pods_with(pointer: &str, value: Value) -> Result<Pods, DocumentError> {
    let document = serde_json::to_value(PodSlice::publish(&full_pods(), 1)).unwrap();
    let mut document: PodSlice = serde_json::from_value(replaced(document, pointer, value)).unwrap();
    document.spec.hash = document.spec.content_hash();
    Pods::try_from(&document)
}

pub(crate) fn policies_with(pointer: &str, value: Value) -> Result<Policies, DocumentError> {
    let document = serde_json::to_value(PolicySlice::publish(&full_policies(), 1)).unwrap();
    let mut document: PolicySlice = serde_json::from_value(replaced(document, pointer, value)).unwrap();
    document.spec.hash = document.spec.content_hash();
    Policies::try_from(&document)
}

pub(crate) fn group() -> AddressGroup {
    let (id, group) = frontends(2);
    AddressGroup::publish(&slices(&id, &group)[&SliceId::WHOLE], &group.spec.scope, 1)
}

pub(crate) fn group_with(pointer: &str, value: Value) -> Result<Slice, DocumentError> {
    let document = serde_json::to_value(group()).unwrap();
    let mut document: AddressGroup = serde_json::from_value(replaced(document, pointer, value)).unwrap();
    document.spec.hash = document.spec.content_hash();
    Slice::try_from(&document)
}

pub(crate) fn replaced(mut document: Value, pointer: &str, value: Value) -> Value {
    let (parent, field) = pointer.rsplit_once('/').unwrap();
    match document.pointer_mut(parent).unwrap() {
        Value::Object(object) => {
            object.insert(field.to_owned(), value);
            object.retain(|_, value| !value.is_null());
        }
        Value::Array(array) => array[field.parse::<usize>().unwrap()] = value,
        other => panic!("no place for {field} in {other}"),
    }
    document
}

#[track_caller]
pub(crate) fn refused<T: std::fmt::Debug>(result: Result<T, DocumentError>, field: &str, reason: &str) {
    let error = result.unwrap_err();
    assert_eq!(
        (error.field.as_str(), error.problem.reason()),
        (field, reason),
        "{error}"
    );
}

#[track_caller]
pub(crate) fn node_refused(pointer: &str, value: Value, field: &str, reason: &str) {
    refused(node_with(pointer, value), field, reason);
}

/// The full policy with a field replaced is refused, for a field below `spec.policies[0]`.
#[track_caller]
pub(crate) fn policy_refused(pointer: &str, value: Value, field: &str, reason: &str) {
    refused(
        policies_with(&format!("{POLICY}{pointer}"), value),
        &format!("spec.policies[0].{field}"),
        reason,
    );
}

#[track_caller]
pub(crate) fn group_refused(pointer: &str, value: Value, field: &str, reason: &str) {
    refused(group_with(pointer, value), field, reason);
}
