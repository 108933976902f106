//! What the table has to cover: every row and every pitfall of the semantics.

use std::collections::BTreeSet;
use std::fmt;
use std::ops::RangeInclusive;

use super::Case;

/// The rows of the semantics.
pub const ROWS: RangeInclusive<u8> = 1..=20;

/// The last section of the semantics, "Where production enforcers get it wrong", word by word.
pub const PITFALLS: [&str; 24] = [
    "named port becomes the whole protocol",
    "port-less entry dropped beside a numbered one",
    "excepts pooled across peers, rules or policies",
    "named port union over all selected pods",
    "named port resolved on the wrong side",
    "egress named port without peers ignored",
    "overlapping CIDRs crash or loop",
    "`::/0` rewritten to global unicast",
    "endPort ignored",
    "removed policyType leaves old rules",
    "first accept ends evaluation when both pods share the node",
    "finished Job pod's reused IP",
    "pods that share a name prefix share state",
    "own-node exemption by uid 0 (ICMP, non-root daemons blocked)",
    "all ICMPv6 accepted, or neighbour discovery blocked",
    "echo accepted despite default-deny",
    "only status.podIP used, second family ignored",
    "hostNetwork peer lets the whole node in",
    "slices of one policy applied one by one",
    "rules left after uninstall keep blocking",
    "rules of other components rewritten",
    "agent gone means traffic unfiltered, or all cut",
    "new pod talks before its policy is there, or its first replies are lost when it arrives late",
    "private conntrack that expires what the kernel still tracks",
];

/// A part of the semantics that no state, packet and verdict can express.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotState {
    /// The phrase of [`PITFALLS`], or the row and its part.
    pub subject: &'static str,
    /// The test that covers it.
    pub test: &'static str,
    /// Why it is no case.
    pub reason: &'static str,
}

impl fmt::Display for NotState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} ({})", self.subject, self.test, self.reason)
    }
}

/// What other tests cover in place of the table, most of them with packets.
pub const NOT_STATE_CASES: [NotState; 11] = [
    NotState {
        subject: "rules left after uninstall keep blocking",
        test: "enforcer_cleanup",
        reason: "it is about what is in the kernel once nothing is wanted any more",
    },
    NotState {
        subject: "rules of other components rewritten",
        test: "foreign_tables",
        reason: "it is about tables that no verdict shows",
    },
    NotState {
        subject: "agent gone means traffic unfiltered, or all cut",
        test: "enforcer_killed",
        reason: "it is about verdicts that stay the same while the enforcer is not there",
    },
    NotState {
        subject: "new pod talks before its policy is there, or its first replies are lost when it arrives late",
        test: "new_pod_closed",
        reason: "it is about the time before a state is known on the node",
    },
    NotState {
        subject: "private conntrack that expires what the kernel still tracks",
        test: "established_flows",
        reason: "it is about packets after the first one of a connection",
    },
    NotState {
        subject: "row 6, names that init containers declare",
        test: "decode of palisade-controller",
        reason: "the core's pods have ports and no containers; the decoder gathers them",
    },
    NotState {
        subject: "row 14, sources that a proxy replaces on its way",
        test: "every packet run of services.yaml",
        reason: "the table states what the forward hook sees; that it does see it is shown by packets",
    },
    NotState {
        subject: "row 15, errors that belong to an allowed flow",
        test: "established_flows",
        reason: "a related packet has no meaning without the connection that it belongs to",
    },
    NotState {
        subject: "row 15, neighbour discovery and MLD",
        test: "every packet run over IPv6",
        reason: "a packet of the core has no ICMPv6 type; no IPv6 probe can pass without neighbour discovery",
    },
    NotState {
        subject: "row 17, flows that are no longer allowed stop",
        test: "established_flows",
        reason: "cases are about new connections; the old ones are counted there",
    },
    NotState {
        subject: "row 19, allowed connections do not reset when a policy is removed",
        test: "established_flows",
        reason: "cases are about new connections",
    },
];

/// The rows and pitfalls that neither a case nor [`NOT_STATE_CASES`] covers. Empty, or the table has a hole.
pub fn missing(cases: &[Case]) -> Vec<String> {
    let rows: BTreeSet<u8> = cases.iter().flat_map(|case| &case.rows).copied().collect();
    let stated = cases.iter().flat_map(|case| &case.pitfalls).copied();
    let pitfalls: BTreeSet<&str> = stated
        .chain(NOT_STATE_CASES.map(|not_state| not_state.subject))
        .collect();
    let rows = ROWS
        .filter(|row| !rows.contains(row))
        .map(|row| format!("row {row}"));
    rows.chain(
        PITFALLS
            .into_iter()
            .filter(|phrase| !pitfalls.contains(phrase))
            .map(str::to_owned),
    )
    .collect()
}

#[cfg(test)]
mod tests {
    use palisade_policy::model::Verdict;

    use super::super::{Addresses, Family, load};
    use super::*;

    fn cases() -> Vec<Case> {
        load(&Addresses::documentation())
            .map_err(anyhow::Error::from)
            .unwrap()
    }

    #[test]
    fn every_row_and_every_pitfall_has_a_case_or_a_packet_test() {
        for not_state in NOT_STATE_CASES {
            println!("{not_state}");
        }
        assert_eq!(missing(&cases()), Vec::<String>::new());
    }

    #[test]
    fn every_case_has_probes_that_pass_and_probes_that_do_not() {
        for case in cases() {
            for verdict in [Verdict::Allow, Verdict::Deny] {
                assert!(
                    case.probes().any(|probe| probe.expect == verdict),
                    "{}: no {verdict}",
                    case.name
                );
            }
        }
    }

    #[test]
    fn every_case_probes_both_families() {
        for case in cases() {
            for family in Family::ALL {
                assert!(
                    case.probes().any(|probe| probe.family == family),
                    "{}: no {family:?}",
                    case.name
                );
            }
        }
    }

    #[test]
    fn no_packet_is_said_to_pass_and_not_to_pass() {
        for case in cases() {
            for step in &case.steps {
                for probe in &step.probes {
                    let other = step.probes.iter().find(|other| {
                        other.expect != probe.expect
                            && other.packets.iter().any(|it| probe.packets.contains(it))
                    });
                    assert!(other.is_none(), "{}: {probe} and {other:?}", case.name);
                }
            }
        }
    }
}
