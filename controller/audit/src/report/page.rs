//! What is around the sections: the document, its style and its program.

use std::fmt::Display;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use sha2::{Digest, Sha256};

use super::data::Data;
use super::html::{self, Html};
use super::{Overview, sections};

const DOCUMENT: &str = include_str!("page/page.html");
const STYLE: &str = concat!(
    include_str!("page/base.css"),
    include_str!("page/sections.css"),
    include_str!("page/media.css"),
);
/// One program, whose parts know each other's names and nobody else's.
const PROGRAM: &str = concat!(
    "(() => {\n\"use strict\";\n",
    include_str!("page/addresses.js"),
    include_str!("page/model.js"),
    include_str!("page/dom.js"),
    include_str!("page/search.js"),
    include_str!("page/filter.js"),
    include_str!("page/details.js"),
    include_str!("page/matrix.js"),
    include_str!("page/layout.js"),
    include_str!("page/graph.js"),
    include_str!("page/canvas.js"),
    include_str!("page/scrolling.js"),
    include_str!("page/print.js"),
    include_str!("page/main.js"),
    "})();\n",
);

/// Writes the whole page.
pub(super) fn write(overview: &Overview<'_>) -> Result<String, serde_json::Error> {
    let data = html::json(&Data::of(overview))?;
    let mut page = String::with_capacity(STYLE.len() + PROGRAM.len() + 2 * data.len());
    // Each slot is filled once and what fills it is not looked at again, whatever it contains.
    for (index, part) in DOCUMENT.split("{{").enumerate() {
        if index == 0 {
            page.push_str(part);
            continue;
        }
        let (slot, rest) = part.split_once("}}").unwrap_or((part, ""));
        match slot {
            "policy" => page.push_str(&security_policy()),
            "style" => page.push_str(STYLE),
            "program" => page.push_str(PROGRAM),
            "data" => page.push_str(&data),
            "source" => html::write(&mut page, &overview.about.source),
            "time" => html::write(&mut page, &overview.about.time),
            "version" => html::write(&mut page, env!("CARGO_PKG_VERSION")),
            "summary" => section(&mut page, overview, sections::summary),
            "findings" => section(&mut page, overview, sections::findings),
            "namespaces" => section(&mut page, overview, sections::namespaces),
            "matrix-rows" => section(&mut page, overview, sections::matrix_rows),
            "matrix" => section(&mut page, overview, sections::matrix),
            "policies" => section(&mut page, overview, sections::policies),
            "namespace-options" => section(&mut page, overview, sections::namespace_options),
            unknown => debug_assert!(false, "the document has a slot {unknown}"),
        }
        page.push_str(rest);
    }
    Ok(page)
}

fn section(page: &mut String, overview: &Overview<'_>, write: impl Fn(&Overview<'_>, &mut Html)) {
    let mut html = Html::default();
    write(overview, &mut html);
    page.push_str(&html.into_string());
}

/// What a browser is to refuse, even if something on the page asked for it: everything but this style and this program. Data
/// in a `<script>` of another type is not run and needs no leave.
fn security_policy() -> String {
    format!(
        "default-src 'none'; style-src '{}'; script-src '{}'; base-uri 'none'; form-action 'none'",
        hash(STYLE),
        hash(PROGRAM),
    )
}

/// As browsers compare it (CSP level 2, `hash-source`).
fn hash(text: &str) -> impl Display {
    format!("sha256-{}", BASE64_STANDARD.encode(Sha256::digest(text)))
}
