//! Documents that are not typed yet.

use k8s_openapi::api::networking::v1::NetworkPolicy;
use palisade_policy::model::{Defect, Policy};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::unknown::unknown_field;
use super::{broken_policy, policy, shortened};

/// The object in its type. An error names the field whose type is wrong.
pub(crate) fn typed<K: DeserializeOwned>(value: &Value) -> Result<K, Defect> {
    serde_path_to_error::deserialize(value).map_err(|error| {
        let path = error.path().to_string();
        let field = if path == "." { String::new() } else { path };
        Defect {
            field: shortened(field),
            message: shortened(error.into_inner().to_string()),
        }
    })
}

/// The policy that a document stands for: what of it cannot be read allows nothing.
pub fn policy_document(document: &Value) -> Policy {
    match known_fields(document) {
        Ok(object) => policy(&object),
        Err(defect) => broken_policy(document, defect),
    }
}

/// The policy, if it has no field but the API's.
fn known_fields(value: &Value) -> Result<NetworkPolicy, Defect> {
    let policy: NetworkPolicy = typed(value)?;
    let understood = json!({ "spec": policy.spec });
    let mut given = value.clone();
    // Not compared: what every object has, and the `status` that older clusters gave to policies.
    if let Some(object) = given.as_object_mut() {
        object.retain(|field, _| !matches!(field.as_str(), "apiVersion" | "kind" | "metadata" | "status"));
    }
    match unknown_field(&given, &understood) {
        None => Ok(policy),
        Some(field) => Err(Defect {
            field: shortened(field),
            message: "there is no such field".to_owned(),
        }),
    }
}
