//! Fields: those that the API does not have, and those that are given twice.
//!
//! A reader that ignores fields takes `form:` for no `from:` at all, and so for everybody. `kubectl` refuses such a policy,
//! and so do we. Of a field that is given twice one would count and the other would not, and nobody could say which.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

/// The fields that an object may have.
#[derive(Debug)]
pub(crate) enum Shape {
    /// Any: it is a plain value, or not ours to judge.
    Anything,
    /// These, each with its own fields.
    Fields(&'static [(&'static str, Shape)]),
    /// It is a list, each entry with these fields.
    Each(&'static Shape),
}

use Shape::{Anything, Each, Fields};

/// A `NetworkPolicy` of `networking.k8s.io/v1`. Not judged: what every object has, and the `status` that older clusters gave
/// to policies.
pub(crate) const NETWORK_POLICY: Shape = Fields(&[
    ("apiVersion", Anything),
    ("kind", Anything),
    ("metadata", Anything),
    ("status", Anything),
    (
        "spec",
        Fields(&[
            ("podSelector", SELECTOR),
            ("policyTypes", Anything),
            (
                "ingress",
                Each(&Fields(&[("from", Each(&PEER)), ("ports", Each(&PORT))])),
            ),
            (
                "egress",
                Each(&Fields(&[("to", Each(&PEER)), ("ports", Each(&PORT))])),
            ),
        ]),
    ),
]);

const PEER: Shape = Fields(&[
    ("ipBlock", Fields(&[("cidr", Anything), ("except", Anything)])),
    ("namespaceSelector", SELECTOR),
    ("podSelector", SELECTOR),
]);

const PORT: Shape = Fields(&[("endPort", Anything), ("port", Anything), ("protocol", Anything)]);

const SELECTOR: Shape = Fields(&[
    (
        "matchExpressions",
        Each(&Fields(&[
            ("key", Anything),
            ("operator", Anything),
            ("values", Anything),
        ])),
    ),
    ("matchLabels", Anything),
]);

impl Shape {
    /// The shape of a field, if there is such a field.
    fn field(&self, name: &str) -> Option<&'static Shape> {
        match self {
            Fields(fields) => fields
                .iter()
                .find(|(field, _)| *field == name)
                .map(|(_, shape)| shape),
            Anything | Each(_) => Some(&Anything),
        }
    }

    /// The shape of the entries of a list.
    fn entry(&self) -> &'static Shape {
        match self {
            Each(shape) => shape,
            Anything | Fields(_) => &Anything,
        }
    }
}

/// The path of the first field of an object that is not of its shape. Nulls mean nothing and may stand anywhere; what is of
/// the wrong type is the matter of those who read it.
pub(crate) fn unknown_field(object: &Value, shape: &Shape) -> Option<String> {
    match object {
        Value::Object(fields) => {
            let mut stated = fields.iter().filter(|(_, value)| !value.is_null());
            stated.find_map(|(key, value)| match shape.field(key) {
                None => Some(key.clone()),
                Some(shape) => unknown_field(value, shape).map(|path| join(key, &path)),
            })
        }
        Value::Array(entries) => {
            let mut entries = entries.iter().enumerate();
            entries.find_map(|(index, entry)| {
                unknown_field(entry, shape.entry()).map(|path| join(&format!("[{index}]"), &path))
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

/// Whether all fields of a JSON text are of this shape. An error is that of the text; a field that is there twice is one.
pub(crate) fn is_known(text: &str, shape: &'static Shape) -> Result<bool, serde_json::Error> {
    let mut known = true;
    let mut reader = serde_json::Deserializer::from_str(text);
    Survey {
        shape,
        known: &mut known,
    }
    .deserialize(&mut reader)?;
    reader.end()?;
    Ok(known)
}

/// Walks over a value and keeps nothing of it.
struct Survey<'a> {
    shape: &'static Shape,
    known: &'a mut bool,
}

impl<'de> DeserializeSeed<'de> for Survey<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

/// A key, borrowed from the text where it has no escapes.
#[derive(Deserialize)]
struct Key<'t>(#[serde(borrow)] Cow<'t, str>);

impl<'de> Visitor<'de> for Survey<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut entries: A) -> Result<(), A::Error> {
        let shape = self.shape.entry();
        while let Some(()) = entries.next_element_seed(Survey {
            shape,
            known: &mut *self.known,
        })? {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<(), A::Error> {
        let mut keys = Vec::new();
        while let Some(Key(key)) = fields.next_key::<Key<'de>>()? {
            match self.shape.field(&key) {
                Some(shape) => fields.next_value_seed(Survey {
                    shape,
                    known: &mut *self.known,
                })?,
                None => *self.known &= fields.next_value::<Option<IgnoredAny>>()?.is_none(),
            }
            keys.push(key);
        }
        keys.sort_unstable();
        match keys.windows(2).find_map(|pair| match pair {
            [one, other] if one == other => Some(one),
            _ => None,
        }) {
            None => Ok(()),
            Some(twice) => Err(A::Error::custom(format_args!(
                "{:?} is there twice",
                super::shortened(twice.to_string())
            ))),
        }
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::networking::v1::NetworkPolicy;
    use serde_json::json;

    use super::*;

    /// A policy with every field that the API has.
    fn full() -> Value {
        let selector = json!({
            "matchLabels": {"a": "b"},
            "matchExpressions": [{"key": "a", "operator": "In", "values": ["b"]}],
        });
        let peers = json!([
            {"podSelector": selector, "namespaceSelector": selector},
            {"ipBlock": {"cidr": "10.0.0.0/8", "except": ["10.1.0.0/16"]}},
        ]);
        let ports = json!([{"protocol": "TCP", "port": 1, "endPort": 2}]);
        json!({"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": {"name": "a"}, "spec": {
            "podSelector": selector,
            "policyTypes": ["Ingress", "Egress"],
            "ingress": [{"from": peers, "ports": ports}],
            "egress": [{"to": peers, "ports": ports}],
        }})
    }

    #[test]
    fn the_fields_of_policies_are_those_of_the_api() {
        let policy = full();
        let typed: NetworkPolicy = serde_json::from_value(policy.clone()).unwrap();
        assert_eq!(
            serde_json::to_value(typed).unwrap(),
            policy,
            "the example has a field that is none"
        );
        assert_eq!(unknown_field(&policy, &NETWORK_POLICY), None);
        assert!(is_known(&policy.to_string(), &NETWORK_POLICY).unwrap());
    }

    #[test]
    fn a_field_that_is_none_is_found_wherever_it_is() {
        for (place, path) in [
            ("", "other"),
            ("/spec", "spec.other"),
            ("/spec/podSelector", "spec.podSelector.other"),
            ("/spec/ingress/0", "spec.ingress[0].other"),
            (
                "/spec/egress/0/to/1/ipBlock",
                "spec.egress[0].to[1].ipBlock.other",
            ),
            ("/spec/egress/0/ports/0", "spec.egress[0].ports[0].other"),
        ] {
            let mut policy = full();
            policy.pointer_mut(place).unwrap()["other"] = json!(null);
            assert_eq!(
                unknown_field(&policy, &NETWORK_POLICY),
                None,
                "a null means nothing"
            );
            assert!(is_known(&policy.to_string(), &NETWORK_POLICY).unwrap());
            policy.pointer_mut(place).unwrap()["other"] = json!(7);
            assert_eq!(unknown_field(&policy, &NETWORK_POLICY).as_deref(), Some(path));
            assert!(!is_known(&policy.to_string(), &NETWORK_POLICY).unwrap());
        }
    }

    #[test]
    fn a_field_that_is_there_twice_is_an_error_at_any_depth() {
        for text in [r#"{"a": 1, "b": 2, "a": 3}"#, r#"[{"b": {"a": 1, "\u0061": 3}}]"#] {
            let error = is_known(text, &Anything).unwrap_err().to_string();
            assert!(error.contains("\"a\" is there twice"), "{error}");
        }
    }
}
