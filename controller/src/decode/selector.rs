//! Label selectors.
//!
//! No label has a control character. One that asks for such a label is read as asking for what is shown of it, which no pod has
//! either.

use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, LabelSelectorRequirement};
use palisade_audit::style::visible;
use palisade_policy::model::{Defect, Operator, Requirement, Selector};

use super::field::{Field, quoted};

/// A selector. One bad requirement spoils it: without that requirement it would select more.
pub(super) fn selector(object: &LabelSelector, field: &Field<'_>) -> Result<Selector, Defect> {
    let labels = object.match_labels.iter().flatten();
    let labels = labels.map(|(key, value)| Ok(Requirement::equals(visible(key), visible(value))));
    let expressions = object.match_expressions.iter().flatten().enumerate();
    let expressions =
        expressions.map(|(index, entry)| requirement(entry, &field.name("matchExpressions").entry(index)));
    labels.chain(expressions).collect()
}

fn requirement(entry: &LabelSelectorRequirement, field: &Field<'_>) -> Result<Requirement, Defect> {
    if entry.key.is_empty() {
        return Err(field.name("key").defect("a label key is missing"));
    }
    let values = entry.values.as_deref().unwrap_or_default();
    let set = || values.iter().map(|value| Arc::from(visible(value))).collect();
    let operator = match entry.operator.as_str() {
        "In" => Operator::In(set()),
        "NotIn" => Operator::NotIn(set()),
        "Exists" => Operator::Exists,
        "DoesNotExist" => Operator::DoesNotExist,
        other => {
            let message = format!(
                "{} is no operator: it should be In, NotIn, Exists or DoesNotExist",
                quoted(other)
            );
            return Err(field.name("operator").defect(message));
        }
    };
    let takes_values = matches!(operator, Operator::In(_) | Operator::NotIn(_));
    match (takes_values, values.is_empty()) {
        (true, true) => Err(field
            .name("values")
            .defect(format!("{} needs values", entry.operator))),
        (false, false) => Err(field
            .name("values")
            .defect(format!("{} takes no values", entry.operator))),
        _ => Ok(Requirement {
            key: visible(&entry.key).into(),
            operator,
        }),
    }
}
