//! Fields that the API does not have.
//!
//! A reader that ignores them takes `form:` for no `from:` at all, and so for everybody. `kubectl` refuses such a
//! policy, and so do we.

use serde_json::Value;

/// The path of the first field in `given` that is not in `understood`, the same object as it reads back after
/// decoding. Nulls mean nothing and may go.
pub(super) fn unknown_field(given: &Value, understood: &Value) -> Option<String> {
    match (given, understood) {
        (Value::Object(given), Value::Object(understood)) => {
            let mut stated = given.iter().filter(|(_, value)| !value.is_null());
            stated.find_map(|(key, value)| match understood.get(key) {
                None => Some(key.clone()),
                Some(understood) => unknown_field(value, understood).map(|path| join(key, &path)),
            })
        }
        (Value::Array(given), Value::Array(understood)) => {
            let mut pairs = given.iter().zip(understood).enumerate();
            pairs.find_map(|(index, (given, understood))| {
                unknown_field(given, understood).map(|path| join(&format!("[{index}]"), &path))
            })
        }
        _ => None,
    }
}

fn join(parent: &str, path: &str) -> String {
    if path.starts_with('[') {
        format!("{parent}{path}")
    } else {
        format!("{parent}.{path}")
    }
}
