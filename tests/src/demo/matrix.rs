//! The matrix: who reaches whom, as expected and as observed, side by side.

use comfy_table::{ContentLineStyle, LineStyle, Table, TableStyle};
use palisade_policy::model::{Transport, Verdict};

use super::screen::{DROPPED, LOUD, PASSES};
use super::sweep::Finding;
use crate::cases::Family;

/// What one column of a group takes: a space, and up to four characters. A group ends with a space.
const CELL: usize = 5;

const STYLE: TableStyle = TableStyle::new()
    .header_lines(ContentLineStyle::none().junction('│'))
    .header_separator(LineStyle::none().fill('─').junction('┼'))
    .content_lines(ContentLineStyle::none().junction('│'));

/// Which half of the matrix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Half {
    Expected,
    Observed,
}

/// Those whom a column is about: a position in the cast, a name, and the transports by which they are called.
pub(super) type Group<'a> = (usize, &'a str, &'a [Transport]);

/// The lines of the matrix. `rows` are names by position in the cast.
pub(super) fn lines(rows: &[&str], groups: &[Group<'_>], findings: &[Finding]) -> Vec<String> {
    let mut table = Table::new();
    table.load_style(STYLE);
    let width = |group: &Group<'_>| (group.2.len() * CELL).max(group.1.chars().count() + 1) + 1;
    let pad = |text: String, group: &Group<'_>| format!("{text:<width$}", width = width(group));
    let heads = || {
        groups.iter().map(|group| {
            let (upper, lower): (Vec<_>, Vec<_>) = group.2.iter().map(|transport| head(*transport)).unzip();
            [format!(" {}", group.1), upper.concat(), lower.concat()]
                .map(|line| pad(line, group))
                .join("\n")
        })
    };
    let label = rows
        .iter()
        .map(|row| row.chars().count())
        .max()
        .unwrap_or_default()
        + 1;
    let corner = format!("{:label$}\n{:label$}\n{:<label$}", "", "", "from");
    table.set_header(
        [corner]
            .into_iter()
            .chain(heads())
            .chain([" ".to_owned()])
            .chain(heads()),
    );
    for (from, name) in rows.iter().enumerate() {
        let half = |half: Half| {
            groups.iter().map(move |group| {
                let cells = group
                    .2
                    .iter()
                    .map(|transport| cell(half, from, group.0, *transport, findings));
                pad(cells.collect(), group)
            })
        };
        let row = [format!("{name:<label$}")]
            .into_iter()
            .chain(half(Half::Expected));
        table.add_row(row.chain([" ".to_owned()]).chain(half(Half::Observed)));
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, 0));
    }
    let span: usize = groups.iter().map(|group| width(group) + 1).sum();
    let title = format!(
        "{:label$}  {:<span$}  {}",
        "", "expected, by the oracle", "observed, by packets"
    );
    [title].into_iter().chain(table.lines()).collect()
}

/// A transport in two lines.
fn head(transport: Transport) -> (String, String) {
    let (upper, lower) = match transport {
        Transport::Port(protocol, port) => (port.to_string(), protocol.as_str()),
        Transport::Other(_) => ("ICMP".to_owned(), ""),
    };
    (format!(" {upper:<4}"), format!(" {lower:<4}"))
}

/// The marks of both families: IPv4, then IPv6.
fn cell(half: Half, from: usize, to: usize, transport: Transport, findings: &[Finding]) -> String {
    if from == to {
        return "  –  ".to_owned();
    }
    let mut marks = String::new();
    let mut agrees = true;
    for family in Family::ALL {
        let finding = findings.iter().find(|finding| {
            (finding.from, finding.to, finding.transport, finding.family) == (from, to, transport, family)
        });
        let Some(finding) = finding else {
            marks.push(' ');
            continue;
        };
        agrees &= finding.agrees;
        let passes = match half {
            Half::Expected => finding.expected == Verdict::Allow,
            Half::Observed => finding.passed,
        };
        marks.push(if passes { PASSES } else { DROPPED });
    }
    let [open, close] = LOUD;
    if agrees || half == Half::Expected {
        format!("  {marks} ")
    } else {
        format!(" {open}{marks}{close}")
    }
}

#[cfg(test)]
mod tests {
    use palisade_policy::model::{Packet, Protocol};

    use super::*;

    fn finding(family: Family, expected: Verdict, passed: bool) -> Finding {
        let address = std::net::Ipv4Addr::LOCALHOST.into();
        let transport = Transport::Port(Protocol::Tcp, 80);
        Finding {
            from: 0,
            to: 1,
            transport,
            family,
            packet: Packet {
                source: address,
                destination: address,
                transport,
            },
            expected,
            passed,
            agrees: passed == (expected == Verdict::Allow),
            seen: String::new(),
        }
    }

    #[test]
    fn a_mismatch_stands_out_among_what_is_observed() {
        let findings = [
            finding(Family::V4, Verdict::Deny, true),
            finding(Family::V6, Verdict::Allow, true),
        ];
        let lines = lines(
            &["here", "there"],
            &[(1, "there", &[Transport::Port(Protocol::Tcp, 80)])],
            &findings,
        );
        assert_eq!(
            lines,
            [
                "        expected, by the oracle  observed, by packets",
                "      │ there │ │ there ",
                "      │ 80    │ │ 80    ",
                "from  │ TCP   │ │ TCP   ",
                "──────┼───────┼─┼───────",
                "here  │  ✘✔   │ │ ▶✔✔◀  ",
                "there │  –    │ │  –    ",
            ]
        );
    }
}
