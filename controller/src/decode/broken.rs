//! Policies whose very shape is wrong.

use k8s_openapi::api::networking::v1::NetworkPolicy;
use palisade_policy::model::{Defect, Policy};
use serde::Deserialize;
use serde_json::{Value, json};

use super::policy;

/// The policy that stands for a document that cannot be read as a `NetworkPolicy`, for instance because a list stands
/// where a number should, or a field is not known.
///
/// It allows nothing. It applies to the pods and directions that the document names, where at least that much can be
/// read, and to the whole namespace in both directions where not.
pub fn broken_policy(document: &Value, defect: Defect) -> Policy {
    let part = |path: &str| document.pointer(path).cloned().unwrap_or_default();
    // An `egress` section isolates by being there, whatever is in it.
    let egress = if part("/spec/egress").is_null() {
        Value::Null
    } else {
        json!([])
    };
    let metadata = json!({ "namespace": part("/metadata/namespace"), "name": part("/metadata/name") });
    let spec = json!({
        "podSelector": part("/spec/podSelector"),
        "policyTypes": part("/spec/policyTypes"),
        "egress": egress,
    });
    let everything = json!({ "podSelector": {}, "policyTypes": ["Ingress", "Egress"] });
    let read = |spec: &Value| NetworkPolicy::deserialize(json!({ "metadata": metadata, "spec": spec })).ok();
    let known = document
        .pointer("/spec")
        .and_then(Value::as_object)
        .filter(|spec| spec.keys().all(|field| is_known(field)));
    let object = known
        .and_then(|_| read(&spec))
        .or_else(|| read(&everything))
        .unwrap_or_default();
    let mut policy = policy(&object);
    policy.defects.insert(0, defect);
    policy
}

/// A field of another name may have been meant for one of these.
fn is_known(field: &str) -> bool {
    matches!(field, "podSelector" | "policyTypes" | "ingress" | "egress")
}
