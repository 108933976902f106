//! All pairs, all transports, both families: what is expected and what the packets say.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::Result;
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
        let (pages, others): (Vec<_>, Vec<_>) =
            questions(cast).into_iter().partition(|it| web && it.to_web());
        let mut requests = JoinSet::new();
        for (number, question) in pages.iter().enumerate() {
            let (from, family) = (question.from.1.clone(), question.family);
            let (at, expected) = (
                SocketAddr::new(question.packet.destination, WEB_PORT),
                question.expected,
            );
            requests.spawn(async move { (number, web::fetch(&from, family, at, expected).await) });
        }
        let sent: Vec<Probe> = others.iter().map(Question::probe).collect();
        let verdicts: Vec<Verdict> = others.iter().map(|question| question.expected).collect();
        let observations = prober.observe(&sent, &verdicts).await?;
        let mut findings: Vec<Finding> = others
            .iter()
            .zip(&observations)
            .map(|(question, observation)| question.observed(observation))
            .collect();
        let mut count = 0;
        while let Some(done) = requests.join_next().await {
            let (number, answer) = done?;
            let answer = answer?;
            count += u64::from(answer.attempts);
            findings.extend(pages.get(number).map(|question| question.answered(&answer)));
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
    expected: Verdict,
}

impl Question<'_> {
    fn to_web(&self) -> bool {
        self.to.1.name == WEB && self.transport == Transport::Port(Protocol::Tcp, WEB_PORT)
    }

    fn probe(&self) -> Probe {
        Probe {
            from: self.from.1.endpoint(self.family),
            to: self.packet.destination,
            transport: self.packet.transport,
        }
    }

    fn observed(&self, observation: &Observation) -> Finding {
        let reached = match &observation.outcome {
            Outcome::Passed { who } | Outcome::Unanswered { who } => who == self.to.1.signature(),
            Outcome::Dropped => true,
        };
        let agrees = reached && observation.agrees(self.expected);
        self.finding(observation.passed(), agrees, observation.to_string())
    }

    fn answered(&self, answer: &Answer) -> Finding {
        let agrees = agrees(answer, self.to.1, self.expected);
        self.finding(answer.page.is_some(), agrees, describe(answer))
    }

    fn finding(&self, passed: bool, agrees: bool, seen: String) -> Finding {
        Finding {
            from: self.from.0,
            to: self.to.0,
            transport: self.transport,
            family: self.family,
            packet: self.packet,
            expected: self.expected,
            passed,
            agrees,
            seen,
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
                questions.extend(Family::ALL.map(|family| {
                    let packet = packet(from.1, to.1, transport, family);
                    Question {
                        from,
                        to,
                        transport,
                        family,
                        packet,
                        expected: evaluate(&cast.state, &packet).verdict,
                    }
                }));
            }
        }
    }
    questions
}
