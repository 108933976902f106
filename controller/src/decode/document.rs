//! Documents that are not typed yet.

use k8s_openapi::api::networking::v1::NetworkPolicy;
use palisade_policy::model::{Defect, Policy};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::survey::{NETWORK_POLICY, is_known, unknown_field};
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
    match unknown_field(value, &NETWORK_POLICY) {
        None => Ok(policy),
        Some(field) => Err(Defect {
            field: shortened(field),
            message: "there is no such field".to_owned(),
        }),
    }
}

/// The policy that a JSON text stands for, if every field of it is known and is there once. If not, [`policy_document`] says
/// what it is.
pub(crate) fn policy_text(text: &str) -> Option<NetworkPolicy> {
    let known = is_known(text, &NETWORK_POLICY).ok()?;
    serde_json::from_str(text).ok().filter(|_| known)
}
