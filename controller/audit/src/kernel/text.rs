//! Findings for people.

use std::fmt::Write;
use std::net::IpAddr;

use palisade_policy::model::PodKey;
use palisade_policy::reach::Family;

use super::difference::{Difference, Finding, Judged, Kernel, NodeReport, SourceCheck, Stale, Witness};
use super::expected::{address, family, last};
use super::spans::Spans;
use super::walk::Step;

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
    text
}

fn line(text: &mut String, indent: usize, words: &str) {
    // Writing to a string cannot fail.
    let _ = writeln!(text, "{:indent$}{words}", "");
}

/// A finding in one line.
pub(super) fn headline(finding: &Finding) -> String {
    match finding {
        Finding::Difference(difference) => {
            let Difference { pods, carried, .. } = difference;
            let (pods, others) = (listed(pods), others(difference));
            let (from, to) = match difference.judged {
                Judged::Egress | Judged::Both => (pods, others),
                Judged::Ingress => (others, pods),
            };
            let verdict = match difference.kernel {
                Kernel::Allows => "the kernel allows, the API denies",
                Kernel::Denies => "the kernel denies, the API allows",
                Kernel::Unknown => "it cannot be said what the kernel does",
            };
            format!("{verdict}: {from} → {to}, {carried}")
        }
        Finding::Unplaced { pod, addresses } => {
            format!(
                "the API has {pod} ({}) on this node, the node does not know where: it is closed",
                comma(addresses)
            )
        }
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
        Finding::Unplaced { .. } | Finding::Foreign(_) => {}
        Finding::Stale(stale) => {
            if let Some(comment) = &stale.comment {
                fact("comment", comment);
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
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join("\n")
}

fn others(difference: &Difference) -> String {
    let of = family(difference.witness.source);
    let pods = &difference.others.pods;
    let stretches = difference.others.addresses.stretches();
    let blocks = blocks(&difference.others.addresses, of);
    if pods.is_empty() {
        blocks
    } else if stretches.len() <= pods.len() {
        listed(pods)
    } else {
        format!("{blocks} ({} and others)", listed(pods))
    }
}

fn listed(pods: &[PodKey]) -> String {
    let mut words: Vec<String> = pods.iter().take(SHOWN).map(ToString::to_string).collect();
    if pods.len() > SHOWN {
        words.push(format!("{} more", pods.len() - SHOWN));
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
