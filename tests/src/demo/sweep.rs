//! All pairs, all transports, both families: what is expected and what the packets say.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::Result;
use palisade_policy::cluster::ClusterState;
use palisade_policy::evaluate::evaluate;
use palisade_policy::model::{Packet, Protocol, Transport, Verdict};
use tokio::task::JoinSet;

use super::cast::{Cast, Member, packet};
use super::story::{WEB, WEB_PORT, measured};
use super::web::{self, Answer};
use crate::cases::Family;
use crate::probe::{Observation, Outcome, Probe, Prober};

/// One probe and what came of it.
#[derive(Clone, Debug)]
pub(super) struct Finding {
    /// Who sent it, by position in the cast.
    pub(super) from: usize,
    /// Whom it was sent to.
    pub(super) to: usize,
    /// What it carried; ICMP is 1 in both families.
    pub(super) transport: Transport,
    /// Its family.
    pub(super) family: Family,
    /// The packet that policies see.
    pub(super) packet: Packet,
    /// What the oracle says.
    pub(super) expected: Verdict,
    /// Whether it arrived and its answer came back.
    pub(super) passed: bool,
    /// Whether both agree, and the answer came from whom it should.
    pub(super) agrees: bool,
    /// What was seen, in words.
    pub(super) seen: String,
}

/// A state of the cluster, measured.
#[derive(Clone, Debug)]
pub(super) struct Sweep {
    /// All probes.
    pub(super) findings: Vec<Finding>,
    /// How long it took.
    pub(super) took: Duration,
    /// Pages that were asked for, every attempt counted. Other packets are counted by the prober.
    pub(super) requests: u64,
}

impl Sweep {
    /// Sends everything and waits for what comes of it. With `web` the web server's port is asked for a page; without,
    /// it is one that responders listen on.
    pub(super) async fn run(cast: &Cast, prober: &Prober, web: bool) -> Result<Self> {
        let begin = Instant::now();
        let questions = questions(cast);
        let (pages, probes): (Vec<_>, Vec<_>) = questions.into_iter().partition(|it| web && it.to_web());
        let (sent, verdicts): (Vec<_>, Vec<_>) = probes
            .iter()
            .map(|it| (it.probe(), it.expected(&cast.state)))
            .unzip();
        let mut requests = JoinSet::new();
        for question in pages {
            let expected = question.expected(&cast.state);
            let from = question.from.1.clone();
            let at = SocketAddr::new(question.packet.destination, WEB_PORT);
            let to = question.to.1.clone();
            let (from_at, to_at) = (question.from.0, question.to.0);
            let (family, transport, packet) = (question.family, question.transport, question.packet);
            requests.spawn(async move {
                let answer = web::fetch(&from, family, at, expected).await?;
                let finding = Finding {
                    from: from_at,
                    to: to_at,
                    transport,
                    family,
                    packet,
                    expected,
                    passed: answer.page.is_some(),
                    agrees: agrees(&answer, &to, expected),
                    seen: describe(&answer),
                };
                anyhow::Ok((finding, answer.attempts))
            });
        }
        let observations = prober.observe(&sent, &verdicts).await?;
        let mut findings: Vec<Finding> = probes
            .iter()
            .zip(verdicts)
            .zip(observations)
            .map(|((question, expected), observation)| question.finding(expected, &observation))
            .collect();
        let mut count = 0;
        while let Some(done) = requests.join_next().await {
            let (finding, attempts) = done??;
            findings.push(finding);
            count += u64::from(attempts);
        }
        Ok(Self {
            findings,
            took: begin.elapsed(),
            requests: count,
        })
    }

    /// How many probes pass or are dropped now that were not before, in words.
    pub(super) fn since(&self, last: &Self) -> String {
        let passing = |sweep: &Self| -> BTreeSet<_> {
            let passed = sweep.findings.iter().filter(|finding| finding.passed);
            passed.map(|finding| finding.packet).collect()
        };
        let (now, before) = (passing(self), passing(last));
        let (opened, closed) = (now.difference(&before).count(), before.difference(&now).count());
        format!(" · {opened} opened, {closed} closed")
    }

    /// The probes that did not do as expected.
    pub(super) fn mismatches(&self) -> impl Iterator<Item = &Finding> {
        self.findings.iter().filter(|finding| !finding.agrees)
    }
}

/// Whether a page came if it should, and from the right server.
pub(super) fn agrees(answer: &Answer, to: &Member, expected: Verdict) -> bool {
    match (&answer.page, expected) {
        (Some((_, page)), Verdict::Allow) => page.contains(&format!("I am {}.", to.name)),
        (None, Verdict::Deny) => true,
        _ => false,
    }
}

/// A page in words.
pub(super) fn describe(answer: &Answer) -> String {
    match &answer.page {
        Some((status, page)) => format!("{status}, {page:?}"),
        None => format!("no answer to {} requests", answer.attempts),
    }
}

/// A probe before it is sent.
struct Question<'c> {
    from: (usize, &'c Member),
    to: (usize, &'c Member),
    transport: Transport,
    family: Family,
    packet: Packet,
}

impl Question<'_> {
    fn to_web(&self) -> bool {
        self.to.1.name == WEB && self.transport == Transport::Port(Protocol::Tcp, WEB_PORT)
    }

    fn expected(&self, state: &ClusterState) -> Verdict {
        evaluate(state, &self.packet).verdict
    }

    fn probe(&self) -> Probe {
        Probe {
            from: self.from.1.endpoint(self.family),
            to: self.packet.destination,
            transport: self.packet.transport,
        }
    }

    fn finding(&self, expected: Verdict, observation: &Observation) -> Finding {
        let reached = match &observation.outcome {
            Outcome::Passed { who } | Outcome::Unanswered { who } => who == self.to.1.signature(),
            Outcome::Dropped => true,
        };
        Finding {
            from: self.from.0,
            to: self.to.0,
            transport: self.transport,
            family: self.family,
            packet: self.packet,
            expected,
            passed: observation.passed(),
            agrees: reached && observation.agrees(expected),
            seen: observation.to_string(),
        }
    }
}

/// Everybody to everybody else. Two clients have no node between them, and are left out.
fn questions(cast: &Cast) -> Vec<Question<'_>> {
    let mut questions = Vec::new();
    for from in cast.members.iter().enumerate() {
        for to in cast.members.iter().enumerate() {
            if from.0 == to.0 || (from.1.pod.is_none() && to.1.pod.is_none()) {
                continue;
            }
            let mut transports = measured();
            if to.1.name == WEB {
                transports.push(Transport::Port(Protocol::Tcp, WEB_PORT));
            }
            for transport in transports {
                questions.extend(Family::ALL.map(|family| Question {
                    from,
                    to,
                    transport,
                    family,
                    packet: packet(from.1, to.1, transport, family),
                }));
            }
        }
    }
    questions
}
