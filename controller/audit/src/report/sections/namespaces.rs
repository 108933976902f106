//! How far the pods of each namespace are isolated.

use std::fmt::Display;

use super::super::Overview;
use super::super::figures::percent;
use super::super::html::Html;
use super::number;

pub(in crate::report) fn namespaces(overview: &Overview<'_>, html: &mut Html) {
    html.raw("<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"Isolation by namespace\">")
        .line();
    html.raw("<table class=\"coverage\"><thead><tr><th scope=\"col\">Namespace</th>");
    html.raw("<th scope=\"col\" class=\"number\">Pods</th><th scope=\"col\" class=\"number\">Policies</th>");
    html.raw("<th scope=\"col\">Isolated for ingress</th><th scope=\"col\">Isolated for egress</th>");
    html.raw("</tr></thead><tbody>").line();
    for (name, coverage) in &overview.coverage {
        html.open(
            "tr",
            &[
                ("data-namespace", name),
                ("data-ingress", &Isolated::of(coverage.ingress, coverage.pods)),
                ("data-egress", &Isolated::of(coverage.egress, coverage.pods)),
            ],
        );
        html.element("th", &[("scope", &"row")], name);
        number(html, coverage.pods);
        number(html, coverage.policies);
        bar(html, coverage.ingress, coverage.pods);
        bar(html, coverage.egress, coverage.pods);
        html.raw("</tr>").line();
    }
    html.raw("</tbody></table></div>").line();
}

/// The namespaces to choose from.
pub(in crate::report) fn namespace_options(overview: &Overview<'_>, html: &mut Html) {
    for name in overview.coverage.keys() {
        html.element("option", &[("value", name)], name);
    }
}

fn bar(html: &mut Html, part: u64, whole: u64) {
    html.raw("<td class=\"bar\">");
    if whole == 0 {
        html.raw("<span class=\"share\">no pods</span></td>");
        return;
    }
    let width = format!("{:.2}%", share(part, whole));
    html.raw("<svg class=\"meter\" aria-hidden=\"true\" focusable=\"false\"><rect class=\"track\" width=\"100%\" height=\"100%\"/>");
    html.open(
        "rect",
        &[("class", &"fill"), ("width", &width), ("height", &"100%")],
    )
    .close("rect");
    html.raw("</svg> <span class=\"share\">");
    html.element("b", &[], percent(part, whole));
    html.element("small", &[], format_args!("{part} of {whole}"));
    html.raw("</span></td>");
}

#[expect(clippy::cast_precision_loss, reason = "the width of a bar")]
fn share(part: u64, whole: u64) -> f64 {
    100.0 * part as f64 / whole as f64
}

/// For the filter.
enum Isolated {
    All,
    Some,
    None,
}

impl Isolated {
    fn of(part: u64, whole: u64) -> Self {
        match part {
            0 => Self::None,
            part if part == whole => Self::All,
            _ => Self::Some,
        }
    }
}

impl Display for Isolated {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::All => "all",
            Self::Some => "some",
            Self::None => "none",
        })
    }
}
