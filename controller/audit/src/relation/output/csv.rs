//! A line for each pair of ends, for spreadsheets and `awk`: RFC 4180, with a head.

use std::io::{self, Write};

use ::csv::WriterBuilder;

use super::family;
use crate::relation::{Relation, Selection};

pub(super) fn write(relation: &Relation<'_>, selection: &Selection, to: &mut dyn Write) -> io::Result<()> {
    let names = &relation.names;
    let mut table = WriterBuilder::new().from_writer(to);
    table.write_record(["from", "from_pods", "to", "to_pods", "family", "ports"])?;
    for row in relation.rows(selection) {
        let ports = row.ports.to_string();
        let pods = |end| names.pods(end).map(|pods| pods.to_string()).unwrap_or_default();
        for from in row.from.iter() {
            // A pod reaches itself in any case.
            if *from == row.to && names.is_single(*from) {
                continue;
            }
            table.write_record([
                plain(names.end(*from)).as_str(),
                &pods(*from),
                &plain(names.end(row.to)),
                &pods(row.to),
                family(row.family),
                &plain(&ports),
            ])?;
        }
    }
    table.flush()
}

/// A text that no spreadsheet takes for a formula (OWASP: CSV injection).
fn plain(text: &str) -> String {
    if text.starts_with(['=', '+', '-', '@', '\t', '\r', '\n']) {
        format!("'{text}")
    } else {
        text.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_looks_like_a_formula_becomes_text() {
        assert_eq!(plain("=1+1"), "'=1+1");
        assert_eq!(plain("@a"), "'@a");
        assert_eq!(plain("shop/app=web"), "shop/app=web");
    }
}
