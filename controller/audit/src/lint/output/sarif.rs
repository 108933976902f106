//! For code scanning: SARIF 2.1.0 (OASIS), one run with all rules.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde::Serialize;

use super::{name, sentence};
use crate::inventory::{ObjectRef, Places};
use crate::lint::{Code, Entry, Finding, Severity};

const SCHEMA: &str =
    "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json";

#[derive(Serialize)]
struct Log<'a> {
    #[serde(rename = "$schema")]
    schema: &'static str,
    version: &'static str,
    runs: [Run<'a>; 1],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Run<'a> {
    tool: Tool,
    column_kind: &'static str,
    results: Vec<Outcome<'a>>,
}

#[derive(Serialize)]
struct Tool {
    driver: Driver,
}

#[derive(Serialize)]
struct Driver {
    name: &'static str,
    version: &'static str,
    rules: Vec<Rule>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Rule {
    id: &'static str,
    name: &'static str,
    short_description: Text<&'static str>,
    full_description: Text<&'static str>,
    help: Help,
    default_configuration: Configuration,
}

#[derive(Serialize)]
struct Text<T> {
    text: T,
}

#[derive(Serialize)]
struct Help {
    text: String,
    markdown: String,
}

#[derive(Serialize)]
struct Configuration {
    level: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Outcome<'a> {
    rule_id: &'static str,
    rule_index: usize,
    level: &'static str,
    message: Text<String>,
    locations: [Location<'a>; 1],
    #[serde(skip_serializing_if = "Vec::is_empty")]
    related_locations: Vec<Location<'a>>,
    /// What stays the same when lines move.
    partial_fingerprints: BTreeMap<&'static str, String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Location<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    physical_location: Option<PhysicalLocation>,
    logical_locations: [LogicalLocation<'a>; 1],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct PhysicalLocation {
    artifact_location: ArtifactLocation,
    #[serde(skip_serializing_if = "Option::is_none")]
    region: Option<Region>,
}

#[derive(Serialize)]
struct ArtifactLocation {
    uri: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Region {
    start_line: u64,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct LogicalLocation<'a> {
    name: &'a str,
    fully_qualified_name: String,
    kind: &'static str,
}

/// Findings as a SARIF log.
pub fn sarif(findings: &[Finding], places: &dyn Places) -> serde_json::Result<String> {
    let driver = Driver {
        name: "palisade policy-audit",
        version: env!("CARGO_PKG_VERSION"),
        rules: Code::ALL.iter().map(|code| rule(code.entry())).collect(),
    };
    let log = Log {
        schema: SCHEMA,
        version: "2.1.0",
        runs: [Run {
            tool: Tool { driver },
            column_kind: "unicodeCodePoints",
            results: findings.iter().map(|finding| result(finding, places)).collect(),
        }],
    };
    serde_json::to_string_pretty(&log)
}

fn rule(entry: &'static Entry) -> Rule {
    Rule {
        id: entry.id,
        name: entry.name,
        short_description: Text { text: entry.title },
        full_description: Text { text: entry.why },
        help: Help {
            text: format!("{} {}", entry.why, entry.fix),
            markdown: format!(
                "{}\n\n**Fix:** {}\n\n```yaml\n{}```\n",
                entry.why, entry.fix, entry.has
            ),
        },
        default_configuration: Configuration {
            level: level(entry.severity),
        },
    }
}

fn level(severity: Severity) -> &'static str {
    match severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
        Severity::Info => "note",
    }
}

fn result<'a>(finding: &'a Finding, places: &dyn Places) -> Outcome<'a> {
    let entry = finding.code.entry();
    let field = finding.field.as_deref().unwrap_or_default();
    let fingerprint = format!("{} {} {field}", entry.id, finding.object);
    let related = finding.related.iter();
    Outcome {
        rule_id: entry.id,
        rule_index: Code::ALL
            .iter()
            .position(|code| *code == finding.code)
            .unwrap_or_default(),
        level: level(entry.severity),
        message: Text {
            text: format!("{}: {}\nFix: {}", finding.object, sentence(finding), finding.fix),
        },
        locations: [location(&finding.object, finding.field.as_deref(), places)],
        related_locations: related.map(|object| location(object, None, places)).collect(),
        partial_fingerprints: BTreeMap::from([("palisade/v1", fingerprint.trim_end().to_owned())]),
    }
}

fn location<'a>(object: &'a ObjectRef, field: Option<&str>, places: &dyn Places) -> Location<'a> {
    let place = places.place(object, field);
    let (_, _, name) = name(object);
    Location {
        physical_location: place.map(|place| PhysicalLocation {
            artifact_location: ArtifactLocation {
                uri: uri(&place.file),
            },
            // Lines count from 1; the schema refuses others.
            region: place
                .line
                .filter(|line| *line > 0)
                .map(|start_line| Region { start_line }),
        }),
        logical_locations: [LogicalLocation {
            name,
            fully_qualified_name: field
                .map_or_else(|| object.to_string(), |field| format!("{object} {field}")),
            kind: "resource",
        }],
    }
}

/// A path as a URI reference (RFC 3986), a full one as that of a file.
fn uri(path: &str) -> String {
    let mut uri = String::new();
    if path.starts_with('/') {
        uri.push_str("file://");
    }
    for byte in path.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte) {
            uri.push(char::from(byte));
        } else {
            // Text can always be written to.
            let _ = write!(uri, "%{byte:02X}");
        }
    }
    uri
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_become_references() {
        assert_eq!(uri("policies/web.yaml"), "policies/web.yaml");
        assert_eq!(uri("/tmp/a b:ü.yaml"), "file:///tmp/a%20b%3A%C3%BC.yaml");
        assert_eq!(uri("<stdin>"), "%3Cstdin%3E");
    }
}
