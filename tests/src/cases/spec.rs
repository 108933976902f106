//! The policies of a case: symbols become addresses, and the decoder of the product reads the rest.

use k8s_openapi::api::networking::v1::{NetworkPolicy, NetworkPolicySpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use palisade_policy::model::{Policy, PolicyKey};
use serde_json::Value;

use super::error::Problem;

/// Decodes a spec as the product does. `broken` says whether it has defects.
pub(super) fn policy(
    key: &PolicyKey,
    spec: &Value,
    broken: bool,
    symbol: impl Fn(&str) -> Result<String, Problem>,
) -> Result<Policy, Problem> {
    let name = key.to_string();
    let mut written = spec.clone();
    substitute(&mut written, &symbol)?;
    let shape = |source| Problem::Spec {
        name: name.clone(),
        source,
    };
    let spec: NetworkPolicySpec = serde_json::from_value(written.clone()).map_err(shape)?;
    let read = serde_json::to_value(&spec).map_err(shape)?;
    if let Some(field) = unknown_field("spec", &written, &read) {
        return Err(Problem::Field { name, field });
    }
    let metadata = ObjectMeta {
        name: Some(key.name.to_string()),
        namespace: Some(key.namespace.to_string()),
        ..ObjectMeta::default()
    };
    let policy = palisade_controller::decode::policy(&NetworkPolicy {
        metadata,
        spec: Some(spec),
    });
    if policy.defects.is_empty() == broken {
        let defects = policy.defects.iter().map(ToString::to_string).collect();
        return Err(Problem::Broken {
            name,
            marked: broken,
            defects,
        });
    }
    Ok(policy)
}

/// Replaces every `${symbol}` in every string.
fn substitute(value: &mut Value, symbol: &impl Fn(&str) -> Result<String, Problem>) -> Result<(), Problem> {
    match value {
        Value::String(text) => {
            while let Some((before, rest)) = text.split_once("${") {
                let (name, after) = rest
                    .split_once('}')
                    .ok_or_else(|| Problem::Symbol(rest.to_owned()))?;
                *text = format!("{before}{}{after}", symbol(name)?);
            }
            Ok(())
        }
        Value::Array(items) => items.iter_mut().try_for_each(|item| substitute(item, symbol)),
        Value::Object(fields) => fields
            .values_mut()
            .try_for_each(|field| substitute(field, symbol)),
        _ => Ok(()),
    }
}

/// The first field that was written and not read: the API's types skip what they do not know. Null reads as absent.
fn unknown_field(path: &str, written: &Value, read: &Value) -> Option<String> {
    match (written, read) {
        (Value::Object(written), Value::Object(read)) => written.iter().find_map(|(name, written)| {
            let path = format!("{path}.{name}");
            match read.get(name) {
                Some(read) => unknown_field(&path, written, read),
                None => (!written.is_null()).then_some(path),
            }
        }),
        (Value::Array(written), Value::Array(read)) => {
            let pairs = written.iter().zip(read).enumerate();
            pairs.into_iter().find_map(|(index, (written, read))| {
                unknown_field(&format!("{path}[{index}]"), written, read)
            })
        }
        _ => None,
    }
}
