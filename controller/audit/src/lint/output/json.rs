//! For programs.

use serde::Serialize;

use super::{Summary, name, place};
use crate::inventory::{ObjectRef, Places};
use crate::lint::Finding;

#[derive(Serialize)]
struct Report<'a> {
    version: u32,
    findings: Vec<Entry<'a>>,
    summary: Counts,
}

#[derive(Serialize)]
struct Counts {
    errors: usize,
    warnings: usize,
    infos: usize,
}

#[derive(Serialize)]
struct Entry<'a> {
    code: &'static str,
    name: &'static str,
    severity: &'static str,
    object: Object<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    field: Option<&'a str>,
    message: &'a str,
    why: &'static str,
    fix: &'a str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    related: Vec<Object<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    place: Option<Position>,
}

#[derive(Serialize)]
struct Object<'a> {
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    namespace: Option<&'a str>,
    name: &'a str,
}

#[derive(Serialize)]
struct Position {
    file: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<u64>,
}

/// Findings as one JSON object: `version` (another where a field changes its meaning), `findings`, and `summary` with how many there are.
pub fn json(findings: &[Finding], places: &dyn Places) -> serde_json::Result<String> {
    let Summary {
        errors,
        warnings,
        infos,
    } = Summary::of(findings);
    let report = Report {
        version: 1,
        findings: findings.iter().map(|finding| entry(finding, places)).collect(),
        summary: Counts {
            errors,
            warnings,
            infos,
        },
    };
    serde_json::to_string_pretty(&report)
}

fn entry<'a>(finding: &'a Finding, places: &dyn Places) -> Entry<'a> {
    let code = finding.code.entry();
    let place = place(finding, places);
    Entry {
        code: code.id,
        name: code.name,
        severity: code.severity.as_str(),
        object: object(&finding.object),
        field: finding.field.as_deref(),
        message: &finding.message,
        why: code.why,
        fix: &finding.fix,
        related: finding.related.iter().map(object).collect(),
        place: place.map(|place| Position {
            file: place.file,
            line: place.line,
        }),
    }
}

fn object(object: &ObjectRef) -> Object<'_> {
    let (kind, namespace, name) = name(object);
    Object {
        kind,
        namespace,
        name,
    }
}
