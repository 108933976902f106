//! Findings and codes as text: for people, for programs, for code scanning, for the log of a build.

mod codes;
mod github;
mod json;
mod sarif;
mod text;

use std::fmt;

use super::{Finding, Severity};
use crate::inventory::{ObjectRef, Place, Places};

pub use codes::{explanation, list, page};
pub use github::github;
pub use json::json;
pub use sarif::sarif;
pub use text::text;

/// How many findings there are of each severity.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Errors.
    pub errors: usize,
    /// Warnings.
    pub warnings: usize,
    /// What is worth knowing.
    pub infos: usize,
}

impl Summary {
    /// Counts findings.
    pub fn of(findings: &[Finding]) -> Self {
        let mut summary = Self::default();
        for finding in findings {
            *match finding.code.severity() {
                Severity::Error => &mut summary.errors,
                Severity::Warning => &mut summary.warnings,
                Severity::Info => &mut summary.infos,
            } += 1;
        }
        summary
    }
}

impl fmt::Display for Summary {
    /// `1 error, 2 warnings, 3 infos`, or `nothing found`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counts = [
            (self.errors, "error"),
            (self.warnings, "warning"),
            (self.infos, "info"),
        ];
        let counts = counts.into_iter().filter(|(count, _)| *count > 0);
        let counts: Vec<String> = counts
            .map(|(count, what)| format!("{count} {what}{}", if count == 1 { "" } else { "s" }))
            .collect();
        if counts.is_empty() {
            return f.write_str("nothing found");
        }
        f.write_str(&counts.join(", "))
    }
}

/// Where the field of a finding is written, or what is around it.
fn place(finding: &Finding, places: &dyn Places) -> Option<Place> {
    places.place(&finding.object, finding.field.as_deref())
}

/// Where a finding is shown: where it is written, or else where something is that has to do with it. A namespace is written
/// nowhere, as often as not, and what shows findings in files has no use for one without.
fn place_nearby(finding: &Finding, places: &dyn Places) -> Option<Place> {
    let mut related = finding.related.iter();
    place(finding, places).or_else(|| related.find_map(|object| places.place(object, None)))
}

/// Kind, namespace and name of an object.
fn name(object: &ObjectRef) -> (&'static str, Option<&str>, &str) {
    match object {
        ObjectRef::Policy(key) => ("NetworkPolicy", Some(key.namespace.as_str()), &key.name),
        ObjectRef::Pod(key) => ("Pod", Some(key.namespace.as_str()), &key.name),
        ObjectRef::Namespace(name) => ("Namespace", None, name.as_str()),
        ObjectRef::Service(key) => ("Service", Some(key.namespace.as_str()), &key.name),
        ObjectRef::Workload(key) => (key.kind.as_str(), Some(key.namespace.as_str()), &key.name),
    }
}

/// `spec.podSelector selects no pod`: the message with its field before it.
fn sentence(finding: &Finding) -> String {
    match &finding.field {
        Some(field) => format!("{field}: {}", finding.message),
        None => finding.message.clone(),
    }
}
