//! A line for each pair of ends, for spreadsheets and `awk`: RFC 4180, with a head.

use std::io::{self, Write};

use ::csv::{Error, ErrorKind, WriterBuilder};
use ipnet::IpNet;
use palisade_policy::reach::End;

use super::{Limits, Words, family};
use crate::relation::{Relation, Selection};

pub(super) fn write(relation: &Relation<'_>, selection: &Selection, to: &mut dyn Write) -> io::Result<()> {
    table(relation, selection, to).map_err(|error| match error.into_kind() {
        // Whoever reads may have gone, and only the error itself tells.
        ErrorKind::Io(error) => error,
        other => io::Error::other(format!("{other:?}")),
    })
}

fn table(relation: &Relation<'_>, selection: &Selection, to: &mut dyn Write) -> Result<(), Error> {
    let names = &relation.names;
    let words = Words::of(relation.ends());
    // Of a range only what was asked for.
    let name = |end: End, within: Option<&[IpNet]>| match (end, within) {
        (End::Outside(_), Some(_)) => words.listed(&words.each(&[end], within), Limits::NONE),
        (End::Outside(_), None) | (End::Pods(_), _) => names.end(end).to_owned(),
    };
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
                plain(&name(*from, selection.sources_within())).as_str(),
                &pods(*from),
                &plain(&name(row.to, selection.destinations_within())),
                &pods(row.to),
                family(row.family),
                &plain(&ports),
            ])?;
        }
    }
    Ok(table.flush()?)
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
