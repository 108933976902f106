//! What is wrong, the worst first.

use super::super::Overview;
use super::super::html::Html;
use super::{object, policy_id};
use crate::inventory::{ObjectRef, Place};
use crate::lint::Finding;

/// The most findings that are told; the summary counts all.
const MOST: usize = 3_000;

pub(in crate::report) fn findings(overview: &Overview<'_>, html: &mut Html) {
    if overview.findings.is_empty() {
        html.raw("<p>Nothing was found.</p>").line();
        return;
    }
    html.raw("<ol class=\"findings\">").line();
    for finding in overview.findings.iter().take(MOST) {
        one(overview, finding, html);
    }
    html.raw("</ol>").line();
    let count = overview.findings.len();
    if count > MOST {
        html.raw("<p class=\"note\">");
        html.text(format_args!(
            "The first {MOST} of {count}, the worst first; `palisade policy-audit lint` tells all."
        ));
        html.raw("</p>").line();
    }
}

fn one(overview: &Overview<'_>, finding: &Finding, html: &mut Html) {
    let entry = finding.code.entry();
    let namespace = namespace(&finding.object);
    html.open("li", &[("class", &"finding"), ("data-namespace", &namespace)]);
    html.raw("<p class=\"finding-head\">");
    severity(finding, html);
    html.raw(" ").element("code", &[], entry.id);
    html.raw(" ").element("span", &[("class", &"title")], entry.title);
    html.raw("</p>").line();
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
    html.raw("<p class=\"fix\"><b>Fix:</b> ")
        .text(sentence(&finding.fix))
        .raw("</p>");
    html.raw("<p class=\"why\"><b>Why it matters:</b> ")
        .text(sentence(entry.why))
        .raw("</p>");
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
        severity(finding, html);
        html.raw(" ").element("code", &[], finding.code);
        html.raw(" ").text(sentence(&finding.message)).raw(" ");
        html.text(sentence(&finding.fix)).raw("</li>").line();
    }
    html.raw("</ul>").line();
}

fn severity(finding: &Finding, html: &mut Html) {
    let severity = finding.code.severity();
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

/// With a capital and a full stop.
fn sentence(text: &str) -> String {
    let mut characters = text.chars();
    let Some(first) = characters.next() else {
        return String::new();
    };
    let mut sentence: String = first.to_uppercase().chain(characters).collect();
    if !sentence.ends_with(['.', '!', '?']) {
        sentence.push('.');
    }
    sentence
}
