//! The matrix as a table, for those who have no program run on the page. Where it runs, it makes its own in this one's place.

use super::super::Overview;
use super::super::ends::Grain;
use super::super::html::Html;
use super::super::matrix::Share;

/// The most rows of the table; beyond that it is no help without a filter.
const MOST: usize = 40;

/// What a row and a column stand for.
pub(in crate::report) fn matrix_rows(overview: &Overview<'_>, html: &mut Html) {
    html.raw(match overview.rows.grain {
        Grain::Classes => "pods that no policy tells apart are one",
        Grain::Namespaces => {
            "the pods of a namespace are one, as there are too many that policies tell apart"
        }
    });
}

pub(in crate::report) fn matrix(overview: &Overview<'_>, html: &mut Html) {
    let rows = &overview.rows.all;
    if rows.is_empty() {
        html.raw("<p>There are no pods.</p>").line();
        return;
    }
    if rows.len() > MOST {
        html.raw("<p class=\"note\">");
        html.text(format_args!(
            "The matrix has {} rows: it is shown where JavaScript may run.",
            rows.len()
        ));
        html.raw("</p>").line();
        return;
    }
    html.raw("<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"Matrix\">")
        .line();
    html.raw("<table class=\"matrix\"><thead><tr><th scope=\"col\" class=\"corner\">From ↓ to →</th>");
    for row in rows {
        html.raw("<th scope=\"col\" class=\"column\"><span>")
            .text(row.full_name())
            .raw("</span></th>");
    }
    html.raw("</tr></thead><tbody>").line();
    for (index, row) in rows.iter().enumerate() {
        html.raw("<tr>")
            .element("th", &[("scope", &"row")], row.full_name());
        for cell in overview.matrix.row(index) {
            let (class, text) = match cell.share {
                Share::All => ("all", "all"),
                Share::Some if cell.whole => ("some", cell.short.as_str()),
                Share::Some => ("some part", cell.short.as_str()),
                Share::None => ("none", "·"),
                Share::Inapplicable => ("inapplicable", ""),
            };
            html.open("td", &[("class", &class), ("title", &cell.text)])
                .text(text)
                .close("td");
        }
        html.raw("</tr>").line();
    }
    html.raw("</tbody></table></div>").line();
}
