//! What is wrong, the worst first.

use super::super::Overview;
use super::super::html::Html;
use super::{object, policy_id};
use crate::inventory::{ObjectRef, Place};
use crate::lint::{Finding, Severity};

/// The most findings that are told; the summary counts all.
const MOST: usize = 3_000;

pub(in crate::report) fn findings(overview: &Overview<'_>, html: &mut Html) {
    if overview.findings.is_empty() {
        html.raw("<p>Nothing was found.</p>").line();
        return;
    }
    let told: Vec<&Finding> = overview.findings.iter().copied().take(MOST).collect();
    for of_code in told.chunk_by(|one, other| one.code == other.code) {
        code(overview, of_code, html);
    }
    let count = overview.findings.len();
    if count > MOST {
        html.raw("<p class=\"note\">");
        html.text(format_args!(
            "The first {MOST} of {count}, the worst first; `palisade policy-audit lint` tells all."
        ));
        html.raw("</p>").line();
    }
}

/// What a code means, and all that was found of it.
fn code(overview: &Overview<'_>, findings: &[&Finding], html: &mut Html) {
    let Some(entry) = findings.first().map(|finding| finding.code.entry()) else {
        return;
    };
    html.raw("<section class=\"finding-code\"><h3>");
    severity(entry.severity, html);
    html.raw(" ").element("span", &[], entry.title);
    html.raw(" ")
        .element("code", &[], format_args!("{} {}", entry.id, entry.name));
    html.raw("</h3>").line();
    html.element("p", &[("class", &"why")], sentence(entry.why))
        .line();
    // Where all of them are put right in the same way, it is said once.
    let fix = findings
        .iter()
        .all(|finding| finding.fix == entry.fix)
        .then_some(entry.fix);
    if let Some(fix) = fix {
        html.raw("<p><b>Fix:</b> ").text(sentence(fix)).raw("</p>").line();
    }
    html.raw("<ul class=\"findings\">").line();
    for finding in findings {
        one(overview, finding, fix, html);
    }
    html.raw("</ul></section>").line();
}

/// One finding; how to put it right unless that was said already.
fn one(overview: &Overview<'_>, finding: &Finding, said: Option<&str>, html: &mut Html) {
    let namespace = namespace(&finding.object);
    html.open("li", &[("class", &"finding"), ("data-namespace", &namespace)]);
    html.raw("<p class=\"finding-object\">");
    object(html, &finding.object);
    if let Some(field) = &finding.field {
        html.raw(" <code>").text(field).raw("</code>");
    }
    if let Some(Place { file, line }) = overview.places.place(&finding.object, finding.field.as_deref()) {
        html.raw(" <span class=\"place\">").text(file);
        if let Some(line) = line {
            html.raw(":").text(line);
        }
        html.raw("</span>");
    }
    html.raw("</p>").line();
    html.element("p", &[], sentence(&finding.message)).line();
    if said != Some(finding.fix.as_str()) {
        html.raw("<p><b>Fix:</b> ")
            .text(sentence(&finding.fix))
            .raw("</p>");
    }
    html.close("li").line();
}

/// The findings of a policy, in short, for its own section.
pub(super) fn of_policy(overview: &Overview<'_>, key: &palisade_policy::model::PolicyKey, html: &mut Html) {
    let findings = overview.findings_of_policy(key);
    if findings.is_empty() {
        return;
    }
    html.raw("<h4>Findings</h4>").line();
    html.open(
        "ul",
        &[
            ("class", &"notes"),
            ("id", &format!("{}/findings", policy_id(key))),
        ],
    );
    for finding in findings.iter().filter_map(|index| overview.findings.get(*index)) {
        html.raw("<li>");
        severity(finding.code.severity(), html);
        html.raw(" ").element("code", &[], finding.code);
        // The message goes on from the field.
        if let Some(field) = &finding.field {
            html.raw(" ").element("code", &[], field).raw(":");
        }
        html.raw(" ").text(sentence(&finding.message)).raw(" ");
        html.text(sentence(&finding.fix)).raw("</li>").line();
    }
    html.raw("</ul>").line();
}

fn severity(severity: Severity, html: &mut Html) {
    html.element(
        "span",
        &[("class", &format_args!("severity {severity}"))],
        severity,
    );
}

/// The namespace of an object, for the filter.
fn namespace(object: &ObjectRef) -> &str {
    match object {
        ObjectRef::Policy(key) => key.namespace.as_str(),
        ObjectRef::Pod(key) => key.namespace.as_str(),
        ObjectRef::Namespace(name) => name.as_str(),
        ObjectRef::Service(key) => key.namespace.as_str(),
        ObjectRef::Workload(key) => key.namespace.as_str(),
    }
}

/// With a capital and a full stop. What begins with no word of English, as the path of a field, keeps its spelling.
fn sentence(text: &str) -> String {
    let mut characters = text.chars();
    let Some(first) = characters.next() else {
        return String::new();
    };
    let word = text.split(' ').next().unwrap_or_default();
    let word = word.trim_end_matches([',', ':', ';']);
    let mut sentence: String = if word.chars().all(char::is_lowercase) {
        first.to_uppercase().chain(characters).collect()
    } else {
        text.to_owned()
    };
    if !sentence.ends_with(['.', '!', '?']) {
        sentence.push('.');
    }
    sentence
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sentence_begins_with_a_capital_unless_it_begins_with_a_field() {
        assert_eq!(sentence("no pod has it"), "No pod has it.");
        assert_eq!(sentence("pods, all of them."), "Pods, all of them.");
        assert_eq!(
            sentence("spec.egress[0] of it allows all"),
            "spec.egress[0] of it allows all."
        );
        assert_eq!(sentence("policyTypes is left out"), "policyTypes is left out.");
        assert_eq!(sentence(""), "");
    }
}
