//! Questions that are asked with packets, beside what the oracle says.

use std::net::IpAddr;

use anyhow::Result;
use palisade_policy::cluster::ClusterState;
use palisade_policy::evaluate::evaluate;
use palisade_policy::model::{Packet, Verdict};
use palisade_tests::probe::{Observation, Probe, Prober};

/// A question, what should become of it, and what did.
pub(crate) struct Answer {
    pub(crate) probe: Probe,
    pub(crate) expected: Verdict,
    pub(crate) seen: Observation,
}

impl Answer {
    /// Whether it is the oracle's.
    pub(crate) fn is_right(&self) -> bool {
        self.seen.agrees(self.expected)
    }
}

impl std::fmt::Display for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            probe,
            expected,
            seen,
        } = self;
        write!(f, "{probe}: expected {expected}, {seen}")
    }
}

/// Asks all questions, each from an address of who asks.
pub(crate) async fn ask(
    by: &Prober,
    state: &ClusterState,
    questions: Vec<(IpAddr, Probe)>,
) -> Result<Vec<Answer>> {
    let judged = questions.into_iter().map(|(source, probe)| {
        let packet = Packet {
            source,
            destination: probe.to,
            transport: probe.transport,
        };
        (probe, evaluate(state, &packet).verdict)
    });
    let (probes, expected): (Vec<Probe>, Vec<Verdict>) = judged.unzip();
    let seen = by.observe(&probes, &expected).await?;
    let answers = probes.into_iter().zip(expected).zip(seen);
    let answers = answers.map(|((probe, expected), seen)| Answer {
        probe,
        expected,
        seen,
    });
    Ok(answers.collect())
}

/// How many of the answers should allow.
pub(crate) fn allowed(answers: &[Answer]) -> usize {
    let allowed = answers.iter().filter(|answer| answer.expected == Verdict::Allow);
    allowed.count()
}
