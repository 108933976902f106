//! The definitions are what an API server accepts: structural, bounded where a rule is evaluated.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests may fail like tests"
)]

use serde_json::Value;

fn schemas() -> Vec<(String, Value)> {
    let definitions = palisade_crds::crds().into_iter();
    definitions
        .map(|definition| {
            let definition = serde_json::to_value(definition).unwrap();
            let version = &definition["spec"]["versions"][0];
            assert_eq!(definition["spec"]["scope"], "Cluster");
            (
                definition["spec"]["names"]["kind"].as_str().unwrap().to_owned(),
                version["schema"]["openAPIV3Schema"].clone(),
            )
        })
        .collect()
}

/// Calls `visit` with every schema and whether every list and map on the way to it has a longest length.
fn walk(schema: &Value, path: &str, bounded: bool, visit: &mut impl FnMut(&Value, &str, bool)) {
    visit(schema, path, bounded);
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        walk(property, &format!("{path}.{name}"), bounded, visit);
    }
    if schema["items"].is_object() {
        walk(
            &schema["items"],
            &format!("{path}[]"),
            bounded && schema["maxItems"].is_u64(),
            visit,
        );
    }
    if schema["additionalProperties"].is_object() {
        let bounded = bounded && schema["maxProperties"].is_u64();
        walk(
            &schema["additionalProperties"],
            &format!("{path}{{}}"),
            bounded,
            visit,
        );
    }
}

#[test]
fn every_schema_is_structural() {
    for (kind, schema) in schemas() {
        walk(&schema, &kind, true, &mut |schema, path, _| {
            assert!(schema["type"].is_string(), "{path} has no type");
            for keyword in ["$ref", "oneOf", "anyOf", "allOf", "not"] {
                assert!(schema.get(keyword).is_none(), "{path} has {keyword}");
            }
        });
    }
}

#[test]
fn every_rule_is_evaluated_a_bounded_number_of_times() {
    let mut rules = 0;
    for (kind, schema) in schemas() {
        walk(&schema, &kind, true, &mut |schema, path, bounded| {
            if let Some(found) = schema["x-kubernetes-validations"].as_array() {
                rules += found.len();
                assert!(bounded, "{path} has rules below a list without maxItems");
                assert!(
                    schema["type"] != "string" || schema["maxLength"].is_u64(),
                    "{path} has no maxLength"
                );
            }
        });
    }
    assert_eq!(rules, 11);
}

#[test]
fn status_is_a_subresource_and_the_columns_tell_the_state() {
    let definitions = palisade_crds::crds();
    let rule_set = definitions
        .iter()
        .find(|definition| definition.spec.names.kind == "NodeRuleSet")
        .unwrap();
    let version = &rule_set.spec.versions[0];
    assert!(version.subresources.as_ref().unwrap().status.is_some());
    let columns: Vec<&str> = version
        .additional_printer_columns
        .iter()
        .flatten()
        .map(|column| column.name.as_str())
        .collect();
    assert_eq!(
        columns,
        ["Revision", "Observed", "Pods", "Programmed", "Degraded", "Age"]
    );
    assert_eq!(
        rule_set.metadata.name.as_deref(),
        Some("noderulesets.palisade.dev")
    );
}
