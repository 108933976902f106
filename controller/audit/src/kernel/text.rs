//! Findings for people.

use std::fmt::Write;
use std::net::IpAddr;

use palisade_policy::model::PodKey;
use palisade_policy::reach::Family;

use super::difference::{
    Finding, Judged, Kernel, Lost, LostPackets, NodeReport, Others, SourceCheck, Stale, Witness, unreported,
};
use super::expected::{address, family, last};
use super::spans::Spans;
use super::walk::Step;
use crate::style::visible;

/// How many of a list are written out.
const SHOWN: usize = 6;

/// The reports of nodes as text: nothing for a node that agrees.
pub fn text(reports: &[NodeReport]) -> String {
    let mut text = String::new();
    for report in reports {
        if report.agrees() {
            let NodeReport { node, compared, .. } = report;
            let noun = if compared.pods == 1 { "pod" } else { "pods" };
            let agrees = format!(
                "node {node}: the kernel does what the API says, for {} {noun}",
                compared.pods
            );
            line(&mut text, 0, &agrees);
            continue;
        }
        let count = report.findings.len() + report.untold;
        let noun = if count == 1 { "finding" } else { "findings" };
        line(&mut text, 0, &format!("node {}: {count} {noun}", report.node));
        for (number, finding) in report.findings.iter().enumerate() {
            line(&mut text, 0, "");
            line(&mut text, 0, &format!("{}. {}", number + 1, headline(finding)));
            details(&mut text, finding);
        }
        if report.untold > 0 {
            line(&mut text, 0, "");
            line(
                &mut text,
                0,
                &format!("and {} more differences that were not followed up", report.untold),
            );
        }
        line(&mut text, 0, "");
    }
    let unreported = unreported(reports);
    if !unreported.is_empty() {
        let words = listed(unreported.into_iter());
        line(
            &mut text,
            0,
            &format!("not compared, although the API has pods there: {words}"),
        );
    }
    text
}

fn line(text: &mut String, indent: usize, words: &str) {
    // Writing to a string cannot fail.
    let _ = writeln!(text, "{:indent$}{}", "", visible(words));
}

/// A finding in one line.
pub(super) fn headline(finding: &Finding) -> String {
    match finding {
        Finding::Difference(difference) => {
            let verdict = match difference.kernel {
                Kernel::Allows => "the kernel allows, the API denies",
                Kernel::Denies => "the kernel denies, the API allows",
                Kernel::Unknown => "it cannot be said what the kernel does",
            };
            let ends = ends(
                &difference.pods,
                difference.judged,
                &difference.others,
                &difference.witness,
            );
            format!("{verdict}: {ends}, {}", difference.carried)
        }
        Finding::Lost(lost) => {
            let packets = match lost.packets {
                LostPackets::Replies => "the replies",
                LostPackets::Later => "the packets that follow",
            };
            let ends = ends(&lost.pods, lost.judged, &lost.others, &lost.witness);
            let carried = &lost.carried;
            match lost.kernel {
                Kernel::Allows | Kernel::Denies => {
                    format!("the kernel lets connections begin and drops {packets}: {ends}, {carried}")
                }
                Kernel::Unknown => format!(
                    "the kernel lets connections begin, it cannot be said what it does with {packets}: {ends}, {carried}"
                ),
            }
        }
        Finding::Unplaced { pod, addresses, open } => {
            let becomes = match open {
                None => "it is closed",
                Some(_) => "and it may be open",
            };
            format!(
                "the API has {pod} ({}) on this node, the node does not know where: {becomes}",
                comma(addresses)
            )
        }
        Finding::Unbound { family, chain, hook } => format!(
            "{family} palisade, chain {chain}: it is not told which interfaces it is on ({hook}), so not whose packets it drops"
        ),
        Finding::Stale(Stale {
            family,
            object,
            element,
            why,
            ..
        }) => match element {
            Some(element) => format!("{family} palisade, {object} has {element} for nobody: {why}"),
            None => format!("{family} palisade, {object} is for nobody: {why}"),
        },
        Finding::Source(SourceCheck {
            pod,
            interface,
            arp,
            sources,
            carried,
            kernel,
            witness,
            ..
        }) => {
            let what = if *arp {
                "ARP".to_owned()
            } else {
                carried.to_string()
            };
            let sources = blocks(sources, family(*witness));
            match kernel {
                Kernel::Allows => format!(
                    "{pod} can send from addresses that are not its own by {interface}: from {sources}, {what}"
                ),
                Kernel::Denies => {
                    format!("{pod} cannot send from its own address by {interface}: from {sources}, {what}")
                }
                Kernel::Unknown => {
                    format!("it cannot be said whether {pod} can send by {interface}: from {sources}, {what}")
                }
            }
        }
        Finding::Flood {
            pod,
            direction,
            carried,
            ..
        } => {
            let side = match direction {
                palisade_policy::model::Direction::Egress => "from",
                palisade_policy::model::Direction::Ingress => "to",
            };
            format!("its bridge floods packets {side} {pod}, which is isolated for {direction}: {carried}")
        }
        Finding::Foreign(foreign) => match &foreign.chain {
            Some(chain) => format!("{} palisade, chain {chain}: {}", foreign.family, foreign.what),
            None => format!("{} palisade: {}", foreign.family, foreign.what),
        },
    }
}

fn details(text: &mut String, finding: &Finding) {
    let mut fact = |name: &str, words: &str| {
        for (position, part) in words.lines().enumerate() {
            let name = if position == 0 { name } else { "" };
            line(text, 3, &format!("{name:<9}{part}"));
        }
    };
    match finding {
        Finding::Difference(difference) => {
            fact("packet", &difference.witness.to_string());
            fact("kernel", &way(&difference.steps));
            fact("API", &difference.reason);
        }
        Finding::Lost(lost) => {
            let Lost { witness, packets, .. } = lost;
            let packet = match packets {
                LostPackets::Replies => format!("the reply to {witness}"),
                LostPackets::Later => format!("{witness}, of a connection that is there"),
            };
            fact("packet", &packet);
            fact("kernel", &way(&lost.steps));
        }
        Finding::Unplaced { open, .. } => {
            if let Some(witness) = open {
                fact("packet", &format!("{witness} may pass"));
            }
        }
        Finding::Unbound { .. } | Finding::Foreign(_) => {}
        Finding::Stale(stale) => {
            if let Some(comment) = &stale.comment {
                fact("comment", &visible(comment));
            }
            if let Some((witness, kernel)) = &stale.witness {
                let becomes = match kernel {
                    Kernel::Allows => "passes",
                    Kernel::Denies => "is dropped",
                    Kernel::Unknown => "comes to what is not understood",
                };
                fact("packet", &format!("{witness} {becomes}"));
            }
        }
        Finding::Source(source) => {
            fact(
                "packet",
                &format!("from {} by {}", source.witness, source.interface),
            );
            fact("kernel", &way(&source.steps));
        }
        Finding::Flood { witness, steps, .. } => {
            fact("packet", witness);
            fact("kernel", &way(steps));
        }
    }
}

impl std::fmt::Display for Witness {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} → {} {}", self.source, self.destination, self.carried)
    }
}

/// The rules that led a packet, one a line.
fn way(steps: &[Step]) -> String {
    if steps.is_empty() {
        return "no chain looks at it".to_owned();
    }
    steps
        .iter()
        .map(|step| visible(&step.to_string()).into_owned())
        .collect::<Vec<_>>()
        .join("\n")
}

/// Who sends, and to whom.
fn ends(own: &[PodKey], judged: Judged, other: &Others, witness: &Witness) -> String {
    let (own, others) = (listed(own.iter()), others(other, family(witness.source)));
    let (from, to) = match judged {
        Judged::Egress | Judged::Both => (own, others),
        Judged::Ingress => (others, own),
    };
    format!("{from} → {to}")
}

fn others(others: &Others, of: Family) -> String {
    let pods = &others.pods;
    let stretches = others.addresses.stretches();
    let blocks = blocks(&others.addresses, of);
    if pods.is_empty() {
        blocks
    } else if stretches.len() <= pods.len() {
        listed(pods.iter())
    } else {
        format!("{blocks} ({} and others)", listed(pods.iter()))
    }
}

fn listed<T: ToString>(names: impl ExactSizeIterator<Item = T>) -> String {
    let count = names.len();
    let mut words: Vec<String> = names.take(SHOWN).map(|name| name.to_string()).collect();
    if count > SHOWN {
        words.push(format!("{} more", count - SHOWN));
    }
    words.join(", ")
}

fn comma(addresses: &[IpAddr]) -> String {
    addresses
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(", ")
}

/// Addresses as blocks where they are, as ranges where they are not.
pub(super) fn blocks(addresses: &Spans<u128>, of: Family) -> String {
    let stretches = addresses.stretches();
    let mut words: Vec<String> = stretches
        .iter()
        .take(SHOWN)
        .map(|(first, last)| block(*first, *last, of))
        .collect();
    if stretches.len() > SHOWN {
        words.push(format!("{} more", stretches.len() - SHOWN));
    }
    words.join(", ")
}

/// `10.0.0.0/8`, `10.0.0.1`, `10.0.0.1-10.0.0.9`.
pub(super) fn block(first: u128, end: u128, of: Family) -> String {
    let end = end.min(last(of));
    if first == end {
        return address(first, of).to_string();
    }
    let host = first ^ end;
    let is_block = host & host.wrapping_add(1) == 0 && first & host == 0;
    if is_block {
        let width = last(of).count_ones();
        format!("{}/{}", address(first, of), width - host.count_ones())
    } else {
        format!("{}-{}", address(first, of), address(end, of))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_others_stay_on_their_line_and_say_nothing_to_a_terminal() {
        for (words, safe) in [
            ("shop/web → 10.0.0.1, “allowed”", "shop/web → 10.0.0.1, “allowed”"),
            ("a\nnode b: agrees", "a\\nnode b: agrees"),
            ("\u{1b}[31m", "\\u{1b}[31m"),
            ("a\u{202e}b\u{9b}c", "a\\u{202e}b\\u{9b}c"),
        ] {
            assert_eq!(visible(words), safe);
        }
    }
}
