//! Findings for programs.

use std::net::IpAddr;

use serde_json::{Value, json};

use super::difference::{Finding, Kernel, LostPackets, NodeReport, Others, Witness, unreported};
use super::expected::family;
use super::spans::Spans;
use super::text::{block, headline};
use super::walk::Step;

/// The reports of nodes as one document.
pub fn json(reports: &[NodeReport]) -> Value {
    let nodes: Vec<Value> = reports.iter().map(report).collect();
    json!({ "version": 1, "nodes": nodes, "notCompared": strings(&unreported(reports)) })
}

fn report(report: &NodeReport) -> Value {
    let findings: Vec<Value> = report.findings.iter().map(finding).collect();
    json!({
        "node": report.node.as_str(),
        "generation": report.generation,
        "agrees": report.agrees(),
        "findings": findings,
        "untold": report.untold,
        "notes": report.notes,
        "compared": {
            "pods": report.compared.pods,
            "pairs": report.compared.pairs,
            "stretches": report.compared.stretches,
        },
    })
}

fn finding(finding: &Finding) -> Value {
    let mut value = match finding {
        Finding::Difference(difference) => json!({
            "kind": "difference",
            "judged": difference.judged.as_str(),
            "pods": strings(&difference.pods),
            "others": others(&difference.others, &difference.witness),
            "transports": difference.carried.to_string(),
            "kernel": kernel(difference.kernel),
            "witness": witness(&difference.witness),
            "rules": steps(&difference.steps),
            "api": difference.reason,
            "policies": strings(&difference.policies),
        }),
        Finding::Lost(lost) => json!({
            "kind": "lost",
            "packets": match lost.packets {
                LostPackets::Replies => "replies",
                LostPackets::Later => "later",
            },
            "judged": lost.judged.as_str(),
            "pods": strings(&lost.pods),
            "others": others(&lost.others, &lost.witness),
            "transports": lost.carried.to_string(),
            "kernel": kernel(lost.kernel),
            "witness": witness(&lost.witness),
            "rules": steps(&lost.steps),
        }),
        Finding::Unplaced { pod, addresses, open } => json!({
            "kind": "unplaced",
            "pods": [pod.to_string()],
            "addresses": addresses,
            "open": open.as_ref().map(witness),
        }),
        Finding::Unbound { family, chain, hook } => json!({
            "kind": "unbound",
            "table": family.as_str(),
            "chain": chain,
            "hook": hook,
        }),
        Finding::Stale(stale) => json!({
            "kind": "stale",
            "table": stale.family.as_str(),
            "object": stale.object,
            "element": stale.element,
            "comment": stale.comment,
            "why": stale.why,
            "witness": stale.witness.as_ref().map(|(packet, _)| witness(packet)),
            "kernel": stale.witness.as_ref().map(|(_, does)| kernel(*does)),
        }),
        Finding::Source(source) => json!({
            "kind": "source",
            "pods": [source.pod.to_string()],
            "interface": source.interface,
            "arp": source.arp,
            "sources": blocks(&source.sources, source.witness),
            "transports": source.carried.to_string(),
            "kernel": kernel(source.kernel),
            "witness": { "source": source.witness },
            "rules": steps(&source.steps),
        }),
        Finding::Flood {
            pod,
            direction,
            carried,
            witness,
            steps: met,
        } => json!({
            "kind": "flood",
            "pods": [pod.to_string()],
            "direction": direction.to_string(),
            "transports": carried.to_string(),
            "witness": witness,
            "rules": steps(met),
        }),
        Finding::Foreign(foreign) => json!({
            "kind": "foreign",
            "table": foreign.family,
            "chain": foreign.chain,
            "what": foreign.what,
        }),
    };
    if let Some(fields) = value.as_object_mut() {
        fields.insert("summary".to_owned(), headline(finding).into());
    }
    value
}

fn kernel(kernel: Kernel) -> &'static str {
    match kernel {
        Kernel::Allows => "allow",
        Kernel::Denies => "deny",
        Kernel::Unknown => "unknown",
    }
}

fn strings<T: ToString>(values: &[T]) -> Vec<String> {
    values.iter().map(ToString::to_string).collect()
}

/// Addresses of the family that one of them is of.
fn blocks(addresses: &Spans<u128>, like: IpAddr) -> Vec<String> {
    let of = family(like);
    addresses
        .stretches()
        .iter()
        .map(|(first, last)| block(*first, *last, of))
        .collect()
}

fn others(others: &Others, like: &Witness) -> Value {
    json!({
        "addresses": blocks(&others.addresses, like.source),
        "pods": strings(&others.pods),
    })
}

fn witness(witness: &Witness) -> Value {
    json!({
        "source": witness.source,
        "destination": witness.destination,
        "transport": witness.carried.to_string(),
    })
}

fn steps(steps: &[Step]) -> Vec<Value> {
    let step = |step: &Step| {
        json!({
            "table": step.family.as_str(),
            "chain": step.chain,
            "rule": step.rule,
            "handle": step.handle,
            "comment": step.comment,
            "verdict": step.verdict,
        })
    };
    steps.iter().map(step).collect()
}
