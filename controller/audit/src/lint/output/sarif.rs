//! For code scanning: SARIF 2.1.0 (OASIS), one run with all rules.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde::Serialize;

use super::{name, place_nearby, sentence};
use crate::inventory::{ObjectRef, Place, Places};
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
    locations: Vec<Location<'a>>,
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
            results: results(findings, places),
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

fn results<'a>(findings: &'a [Finding], places: &dyn Places) -> Vec<Outcome<'a>> {
    // What reads the log refuses all of it for one result in no file. Of a cluster nothing is in any.
    let in_files = findings
        .iter()
        .any(|finding| place_nearby(finding, places).is_some());
    let mut told: BTreeMap<String, usize> = BTreeMap::new();
    let results = findings.iter().map(|finding| {
        let field = finding.field.as_deref().unwrap_or_default();
        let fingerprint = format!("{} {} {field}", finding.code.entry().id, finding.object);
        let fingerprint = fingerprint.trim_end().to_owned();
        let count = told.entry(fingerprint.clone()).or_default();
        *count += 1;
        let fingerprint = match count {
            1 => fingerprint,
            count => format!("{fingerprint} #{count}"),
        };
        result(finding, fingerprint, places, in_files)
    });
    results.collect()
}

fn result<'a>(finding: &'a Finding, fingerprint: String, places: &dyn Places, in_files: bool) -> Outcome<'a> {
    let entry = finding.code.entry();
    let is_shown = |place: &Option<Place>| place.is_some() || !in_files;
    let place = Some(place_nearby(finding, places)).filter(is_shown);
    let location_of_it = place.map(|place| location(&finding.object, finding.field.as_deref(), place));
    let related = finding.related.iter().filter_map(|object| {
        let place = Some(places.place(object, None)).filter(is_shown)?;
        Some(location(object, None, place))
    });
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
        locations: location_of_it.into_iter().collect(),
        related_locations: related.collect(),
        partial_fingerprints: BTreeMap::from([("palisade/v1", fingerprint)]),
    }
}

fn location<'a>(object: &'a ObjectRef, field: Option<&str>, place: Option<Place>) -> Location<'a> {
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
    use palisade_policy::testing::builders::{pod, policy};

    use super::*;

    #[test]
    fn paths_become_references() {
        assert_eq!(uri("policies/web.yaml"), "policies/web.yaml");
        assert_eq!(uri("/tmp/a b:ü.yaml"), "file:///tmp/a%20b%3A%C3%BC.yaml");
        assert_eq!(uri("<stdin>"), "%3Cstdin%3E");
    }
    /// Policies are in files called like them; everything else is in none.
    struct PoliciesInFiles;

    impl Places for PoliciesInFiles {
        fn place(&self, object: &ObjectRef, _: Option<&str>) -> Option<Place> {
            let ObjectRef::Policy(key) = object else {
                return None;
            };
            Some(Place {
                file: format!("{}.yaml", key.name),
                line: None,
            })
        }
    }

    struct Nowhere;

    impl Places for Nowhere {
        fn place(&self, _: &ObjectRef, _: Option<&str>) -> Option<Place> {
            None
        }
    }

    fn of_namespace(message: &str) -> Finding {
        let namespace = ObjectRef::Namespace("shop".into());
        let policy = ObjectRef::Policy(policy("shop/web").key);
        let pod = ObjectRef::Pod(pod("shop/web").key);
        Finding::new(Code::OpenIngress, namespace, message).related_to([policy, pod])
    }

    fn locations(findings: &[Finding], places: &dyn Places) -> Vec<(Vec<Option<String>>, usize)> {
        let uri = |location: &Location<'_>| {
            let physical = location.physical_location.as_ref();
            physical.map(|physical| physical.artifact_location.uri.clone())
        };
        let results = results(findings, places);
        let of = |result: &Outcome<'_>| {
            (
                result.locations.iter().map(uri).collect(),
                result.related_locations.len(),
            )
        };
        results.iter().map(of).collect()
    }

    #[test]
    fn what_is_in_no_file_is_shown_at_what_is_related() {
        let findings = [of_namespace("is open")];
        let in_file = vec![Some("web.yaml".to_owned())];
        assert_eq!(locations(&findings, &PoliciesInFiles), [(in_file, 1)]);
        assert_eq!(locations(&findings, &Nowhere), [(vec![None], 2)]);
    }

    #[test]
    fn findings_at_one_place_have_fingerprints_of_their_own() {
        let findings = [of_namespace("one"), of_namespace("other")];
        let results = results(&findings, &Nowhere);
        let fingerprints: Vec<&str> = results
            .iter()
            .flat_map(|result| result.partial_fingerprints.values().map(String::as_str))
            .collect();
        assert_eq!(fingerprints, ["PA501 Namespace shop", "PA501 Namespace shop #2"]);
    }
}
