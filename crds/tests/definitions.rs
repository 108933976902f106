//! The definitions are what an API server accepts: structural, bounded where a rule is evaluated.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests may fail like tests"
)]

use std::collections::BTreeMap;

use serde_json::{Value, json};

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
    assert_eq!(rules, 15);
}

#[test]
fn there_is_a_definition_of_each_kind() {
    let definitions = palisade_crds::crds();
    let names: Vec<&str> = definitions
        .iter()
        .filter_map(|definition| definition.metadata.name.as_deref())
        .collect();
    assert_eq!(
        names,
        [
            "addressgroups.palisade.dev",
            "noderulesets.palisade.dev",
            "podslices.palisade.dev",
            "policyslices.palisade.dev"
        ]
    );
}

fn columns(kind: &str) -> Vec<String> {
    let definitions = palisade_crds::crds();
    let definition = definitions
        .iter()
        .find(|definition| definition.spec.names.kind == kind);
    let columns = &definition.unwrap().spec.versions[0].additional_printer_columns;
    columns
        .iter()
        .flatten()
        .map(|column| column.name.clone())
        .collect()
}

#[test]
fn only_a_rule_set_has_a_status_and_it_is_a_subresource() {
    for definition in palisade_crds::crds() {
        let version = &definition.spec.versions[0];
        let subresources = version.subresources.as_ref();
        let status = subresources.and_then(|subresources| subresources.status.as_ref());
        let kind = &definition.spec.names.kind;
        assert_eq!(status.is_some(), kind == "NodeRuleSet", "{kind}");
    }
}

#[test]
fn the_columns_tell_the_state() {
    assert_eq!(
        columns("NodeRuleSet"),
        ["Revision", "Observed", "Pods", "Programmed", "Degraded", "Age"]
    );
    assert_eq!(columns("PodSlice"), ["Node", "Slice", "Age"]);
    assert_eq!(columns("PolicySlice"), ["Namespace", "Slice", "Age"]);
    assert_eq!(columns("AddressGroup"), ["Description", "Slice", "Age"]);
}

#[test]
fn a_policy_without_a_selector_is_refused_by_the_schema() {
    let schemas: BTreeMap<String, Value> = schemas().into_iter().collect();
    let policy = &schemas["PolicySlice"]["properties"]["spec"]["properties"]["policies"]["items"];
    let required: Vec<&str> = policy["required"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(Value::as_str)
        .collect();
    assert_eq!(required, ["podSelector", "policy"]);
    let selector = &policy["properties"]["podSelector"];
    assert_eq!(selector["type"], "object");
    assert_eq!(
        selector["properties"]["matchExpressions"]["items"]["required"],
        json!(["key", "operator"])
    );
}
