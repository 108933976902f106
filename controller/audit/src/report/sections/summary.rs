//! The figures that somebody reads first.

use std::fmt::Display;

use super::super::Overview;
use super::super::figures::{Coverage, percent};
use super::super::html::Html;
use super::counted;
use crate::lint::Severity;

pub(in crate::report) fn summary(overview: &Overview<'_>, html: &mut Html) {
    let mut total = Coverage::default();
    for coverage in overview.coverage.values() {
        total += *coverage;
    }
    let Coverage {
        pods,
        ingress,
        egress,
        exempt,
        policies,
    } = total;
    let connectivity = &overview.connectivity;
    let namespaces = overview.coverage.len();
    html.raw("<dl class=\"figures\">").line();
    figure(
        html,
        "Pods",
        pods,
        format!("in {}", counted(namespaces, "namespace", "namespaces")),
    );
    figure(html, "Policies", policies, selecting(overview));
    figure(
        html,
        "Isolated for ingress",
        percent(ingress, pods),
        format!("{ingress} of {pods} pods"),
    );
    figure(
        html,
        "Isolated for egress",
        percent(egress, pods),
        format!("{egress} of {pods} pods"),
    );
    figure(
        html,
        "Pairs that may connect",
        percent(connectivity.connected, connectivity.pairs),
        format!(
            "{} of {} pairs of pods",
            connectivity.connected, connectivity.pairs
        ),
    );
    figure(
        html,
        "Open to addresses outside",
        connectivity.from_outside,
        format!("of {pods} pods; {} may connect to some", connectivity.to_outside),
    );
    html.raw("</dl>").line();

    let count = |severity| {
        overview
            .findings
            .iter()
            .filter(|it| it.code.severity() == severity)
            .count()
    };
    html.raw("<p class=\"tally\">");
    if overview.findings.is_empty() {
        html.text("Nothing was found to be wrong with the policies.");
    } else {
        html.text("Findings: ");
        for (position, severity) in Severity::ALL.into_iter().enumerate() {
            html.raw(if position == 0 { "" } else { ", " });
            let many = match severity {
                Severity::Error => counted(count(severity), "error", "errors"),
                Severity::Warning => counted(count(severity), "warning", "warnings"),
                Severity::Info => format!("{} for information", count(severity)),
            };
            html.element("strong", &[], many);
        }
        html.raw(". <a href=\"#findings\">See what they are</a>.");
    }
    html.raw("</p>").line();
    if exempt > 0 {
        let pods = counted(usize::try_from(exempt).unwrap_or(usize::MAX), "pod", "pods");
        html.raw("<p class=\"note\">");
        html.text(pods).raw(
            " on the network of a node: no policy can select or name these, and they are not counted above.",
        );
        html.raw("</p>").line();
    }
}

/// How many policies select anything.
fn selecting(overview: &Overview<'_>) -> String {
    let policies = overview.inventory.state.policies().len();
    match policies - overview.subjects.len() {
        _ if policies == 0 => "every connection is allowed".to_owned(),
        _ if !overview.has_pods() => "no pods were read for them to select".to_owned(),
        0 => "each selects some pod".to_owned(),
        1 => "1 selects no pod".to_owned(),
        count => format!("{count} select no pod"),
    }
}

fn figure(html: &mut Html, title: &str, value: impl Display, explanation: impl Display) {
    html.raw("<div>");
    html.element("dt", &[], title);
    html.open("dd", &[]).element("strong", &[], value);
    html.element("span", &[], explanation).close("dd");
    html.raw("</div>").line();
}
