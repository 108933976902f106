//! For the log of a GitHub workflow: commands that it turns into annotations of the changed lines.

use super::{place_nearby, sentence};
use crate::inventory::Places;
use crate::lint::{Finding, Severity};

/// Findings as workflow commands, one a line.
pub fn github(findings: &[Finding], places: &dyn Places) -> String {
    findings.iter().map(|finding| command(finding, places)).collect()
}

fn command(finding: &Finding, places: &dyn Places) -> String {
    let code = finding.code.entry();
    let command = match code.severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
        Severity::Info => "notice",
    };
    let mut properties = Vec::new();
    if let Some(place) = place_nearby(finding, places) {
        properties.push(format!("file={}", property(&place.file)));
        properties.extend(place.line.map(|line| format!("line={line}")));
    }
    properties.push(format!(
        "title={}",
        property(&format!("{} {}", code.id, code.name))
    ));
    let text = format!(
        "{}: {}\n{}\nFix: {}",
        finding.object,
        sentence(finding),
        code.why,
        finding.fix
    );
    format!("::{command} {}::{}\n", properties.join(","), data(&text))
}

/// What stands after the last `::`. (The runner's own escapes, as its toolkit writes them.)
fn data(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

/// A property's value, in which colons and commas are separators.
fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_separates_is_escaped() {
        assert_eq!(data("100%\r\na:b,c"), "100%25%0D%0Aa:b,c");
        assert_eq!(property("a:b,c%\n"), "a%3Ab%2Cc%25%0A");
    }
}
