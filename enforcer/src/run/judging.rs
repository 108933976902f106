//! When established flows are judged again, and by which rules.
//!
//! The node says what it has committed; a task of its own looks through conntrack. It always takes the last thing said,
//! so a change never waits for a sweep, and the last sweep comes after the last change.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ipnet::IpNet;
use palisade_policy::model::{Packet, PodUid};
use thiserror::Error;
use tokio::sync::mpsc::Sender;
use tokio::sync::{oneshot, watch};
use tokio::time::timeout;
use tracing::{debug, warn};

use super::RunError;
use super::node::{Input, with_sources};
use super::status::{Condition, Flows, microseconds};
use crate::facts::Observed;
use crate::flows::{self, Conntrack, ConntrackError, Cuts, Flow, Identity, Judge, Lost, Tally, View};
use crate::nft::model::{InvalidName, Ruleset};
use crate::plan::{Facts, Planner};

/// The shortest time from the beginning of a sweep to that of the next.
const PACE: Duration = Duration::from_millis(200);

/// How long the first failure is left alone; each further one twice as long, up to [`SLOWEST_RETRY`].
const RETRY: Duration = Duration::from_millis(100);
const SLOWEST_RETRY: Duration = Duration::from_secs(5);

/// How long a sweep waits for its cuts to be in the kernel.
const PATIENCE: Duration = Duration::from_secs(10);

/// By what to judge. Each has a number, one more than that before.
pub(super) type Wanted = Option<(u64, Arc<Judge>)>;

/// What came of a sweep.
#[derive(Debug)]
pub(super) struct Swept {
    number: u64,
    outcome: Result<Outcome, SweepError>,
}

/// Why flows may go on that should not.
#[derive(Debug, Error)]
enum SweepError {
    #[error(transparent)]
    Conntrack(#[from] ConntrackError),
    #[error("the kernel did not get what keeps ended flows from coming back")]
    NotCut,
}

/// What was found and done.
#[derive(Debug)]
struct Outcome {
    tally: Tally,
    deleted: u64,
    took: Duration,
}

impl Outcome {
    fn add_to(&self, status: &mut Flows) {
        let Self { tally, deleted, took } = self;
        status.sweeps += 1;
        status.judged += tally.judged;
        status.deleted += deleted;
        status.left_alone = tally.zoned + tally.unreadable;
        status.last_microseconds = microseconds(*took);
    }
}

/// Remembers what still has to be judged.
pub(super) struct Judging {
    wanted: watch::Sender<Wanted>,
    number: u64,
    /// The last sweep that ended, whatever came of it.
    ended: u64,
    /// Whether the rules may deny what they did not deny before. At the start nobody knows.
    tightened: bool,
    /// The pods that have each address.
    owners: BTreeMap<IpAddr, BTreeSet<PodUid>>,
    /// Addresses that a pod has lost, with the first sweep that knows it.
    gone: BTreeMap<IpAddr, u64>,
    /// Flows that were ended; `None` before it is known what an earlier process has ended.
    cuts: Option<Cuts>,
    /// Sweeps that wait for their cuts to be in the kernel, with what the rules allow meanwhile.
    waiting: Vec<(Cut, BTreeSet<Packet>)>,
    /// Whether cuts that the kernel has are no longer needed.
    ripe: bool,
}

/// Flows that a sweep is about to end. It goes on when the kernel drops their answers.
#[derive(Debug)]
pub(super) struct Cut {
    denied: Vec<Packet>,
    flows: Vec<Flow>,
    /// Gets what the rules allow again by now.
    done: oneshot::Sender<BTreeSet<Packet>>,
}

impl Judging {
    pub(super) fn new() -> (Self, watch::Receiver<Wanted>) {
        let (wanted, receiver) = watch::channel(None);
        let judging = Self {
            wanted,
            number: 0,
            ended: 0,
            tightened: true,
            owners: BTreeMap::new(),
            gone: BTreeMap::new(),
            cuts: None,
            waiting: Vec::new(),
            ripe: false,
        };
        (judging, receiver)
    }

    /// A change that may deny more than before is about to be committed.
    pub(super) fn tighten(&mut self) {
        self.tightened = true;
    }

    /// Learns who has which address.
    pub(super) fn observe(&mut self, observed: &Observed) {
        let mut owners: BTreeMap<IpAddr, BTreeSet<PodUid>> = BTreeMap::new();
        for (uid, place) in &observed.places {
            for address in &place.addresses {
                owners.entry(*address).or_default().insert(uid.clone());
            }
        }
        let next = self.number + 1;
        for (address, before) in &self.owners {
            if !owners.get(address).is_some_and(|now| before.is_subset(now)) {
                self.gone.insert(*address, next);
                self.tightened = true;
            }
        }
        self.owners = owners;
    }

    /// Whether it is still to be learned what an earlier process has ended.
    pub(super) fn is_new(&self) -> bool {
        self.cuts.is_none()
    }

    /// Learns what the kernel has from an earlier process.
    pub(super) fn adopt(&mut self, loaded: &Ruleset) {
        let mut cuts = Cuts::default();
        cuts.adopt(loaded, Instant::now());
        self.cuts = Some(cuts);
    }

    /// Flows are about to be ended.
    pub(super) fn cut(&mut self, cut: Cut) {
        self.waiting.push((cut, BTreeSet::new()));
    }

    /// Whether a sweep waits, or a cut has had its time.
    pub(super) fn is_due(&mut self) -> bool {
        let cuts = self.cuts.iter_mut();
        self.ripe |= cuts.map(|cuts| cuts.expire(Instant::now())).sum::<usize>() > 0;
        self.ripe || !self.waiting.is_empty()
    }

    /// When the next cut has had its time.
    pub(super) fn next_end(&self) -> Option<Instant> {
        self.cuts.as_ref().and_then(Cuts::next_end)
    }

    /// Lays over the plan what keeps ended flows from coming back.
    pub(super) fn plan_cuts(&mut self, facts: &Facts, planner: &mut Planner) -> Result<(), InvalidName> {
        self.ripe = false;
        let cuts = self.cuts.get_or_insert_default();
        if !cuts.is_empty() || !self.waiting.is_empty() {
            let now = Instant::now();
            for (cut, _) in &self.waiting {
                cuts.add(cut.flows.iter().copied(), now);
            }
            // What is laid over is none of the verdict on a flow.
            let ruleset = planner.draft().ruleset();
            let view = View::new(ruleset, facts)?;
            cuts.review(|packet| view.allows(ruleset, packet));
            for (cut, allowed) in &mut self.waiting {
                let denied = cut.denied.iter().copied();
                *allowed = denied.filter(|packet| view.allows(ruleset, *packet)).collect();
            }
        }
        planner.lay_over(|over| cuts.plan(over))
    }

    /// The planned cuts are in the kernel.
    pub(super) fn go_on(&mut self) {
        for (cut, allowed) in self.waiting.drain(..) {
            // A sweep that was given up is begun again.
            drop(cut.done.send(allowed));
        }
    }

    /// A ruleset is committed: asks for a sweep if one is due.
    pub(super) fn committed(
        &mut self,
        networks: &[IpNet],
        observed: &Observed,
        facts: &Facts,
        ruleset: &Ruleset,
    ) -> Result<(), InvalidName> {
        if !self.tightened {
            return Ok(());
        }
        let gone = self.gone.keys().copied().collect();
        let judge = Judge::new(
            ruleset,
            facts,
            networks.to_vec(),
            observed.addresses.clone(),
            gone,
        )?;
        self.number += 1;
        self.tightened = false;
        self.wanted.send_replace(Some((self.number, Arc::new(judge))));
        Ok(())
    }

    /// Learns what came of a sweep. Counts it, and returns what is wrong.
    pub(super) fn ended(&mut self, swept: &Swept, status: &mut Flows) -> Option<Condition> {
        self.ended = self.ended.max(swept.number);
        match &swept.outcome {
            Ok(outcome) => {
                // Sets that a judge holds would be copied by whoever changes them next.
                if self.number == swept.number {
                    self.wanted.send_replace(None);
                }
                self.gone.retain(|_, known| *known > swept.number);
                debug!(?outcome, "flows judged");
                outcome.add_to(status);
                None
            }
            Err(error) => Some(not_judged(error)),
        }
    }

    /// Whether every sweep that was asked for has ended, well or not.
    pub(super) fn is_settled(&self) -> bool {
        self.ended == self.number
    }
}

/// What to say when the flows cannot be judged.
pub(super) fn not_judged(error: &dyn std::error::Error) -> Condition {
    Condition {
        reason: "FlowsNotJudged",
        message: format!(
            "flows that are no longer allowed may go on: {}",
            with_sources(error)
        ),
    }
}

/// Sweeps whenever it is asked for, until nobody can ask any more.
pub(super) async fn follow_flows(
    mut conntrack: impl Conntrack,
    mut wanted: watch::Receiver<Wanted>,
    inputs: Sender<Input>,
) -> Result<(), RunError> {
    let mut failures = 0;
    let mut done = 0;
    loop {
        // What was said is compared with what was done: having been looked at, in a pause for instance, says nothing.
        if failures == 0 && wanted.wait_for(|wanted| is_newer(wanted, done)).await.is_err() {
            return Ok(());
        }
        let Some((number, judge)) = wanted.borrow().clone() else {
            continue;
        };
        let begin = Instant::now();
        let outcome = sweep(&mut conntrack, &judge, &inputs).await;
        drop(judge);
        let pause = match &outcome {
            Ok(_) => {
                failures = 0;
                PACE.saturating_sub(begin.elapsed())
            }
            Err(error) => {
                warn!(%error, failures, "flows were not judged; trying again");
                failures += 1;
                RETRY.saturating_mul(1 << failures.min(6)).min(SLOWEST_RETRY)
            }
        };
        done = number;
        if inputs
            .send(Input::Swept(Swept { number, outcome }))
            .await
            .is_err()
        {
            return Ok(());
        }
        // The next pod of an address does not wait.
        let urgent = wanted.wait_for(|wanted| is_newer(wanted, done) && is_urgent(wanted));
        drop(timeout(pause, urgent).await);
    }
}

fn is_newer(wanted: &Wanted, done: u64) -> bool {
    wanted.as_ref().is_some_and(|(number, _)| *number > done)
}

fn is_urgent(wanted: &Wanted) -> bool {
    wanted.as_ref().is_some_and(|(_, judge)| judge.is_urgent())
}

async fn sweep(
    conntrack: &mut impl Conntrack,
    judge: &Judge,
    inputs: &Sender<Input>,
) -> Result<Outcome, SweepError> {
    let begin = Instant::now();
    let found = flows::find(conntrack, judge).await?;
    let allowed = cut(&found.lost, inputs).await?;
    let allowed_again = |lost: &&Lost| lost.denied.is_some_and(|packet| allowed.contains(&packet));
    let lost = found.lost.iter().filter(|lost| !allowed_again(lost));
    let lost: Vec<Identity> = lost.map(|lost| lost.identity.clone()).collect();
    let deleted = conntrack.delete(&lost).await?;
    Ok(Outcome {
        tally: found.tally,
        deleted,
        took: begin.elapsed(),
    })
}

/// Has the answers of flows dropped before the flows are forgotten. Returns what the rules allow by now after all.
async fn cut(lost: &[Lost], inputs: &Sender<Input>) -> Result<BTreeSet<Packet>, SweepError> {
    if lost.is_empty() {
        return Ok(BTreeSet::new());
    }
    let denied = lost.iter().filter_map(|lost| lost.denied).collect();
    let flows = lost.iter().filter_map(|lost| lost.flow).collect();
    let (done, answer) = oneshot::channel();
    let sent = inputs.send(Input::Cut(Cut { denied, flows, done })).await;
    sent.map_err(|_| SweepError::NotCut)?;
    let answer = timeout(PATIENCE, answer).await;
    answer
        .map_err(|_| SweepError::NotCut)?
        .map_err(|_| SweepError::NotCut)
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use tokio::sync::mpsc;

    use super::*;
    use crate::flows::Entry;
    use crate::plan::Facts;

    /// Lists what it is told to, one answer a sweep.
    struct Fake(VecDeque<Result<(), ConntrackError>>);

    impl Conntrack for Fake {
        async fn list(&mut self, _: impl FnMut(&Entry<'_>) + Send) -> Result<u64, ConntrackError> {
            self.0.pop_front().unwrap_or(Ok(())).map(|()| 0)
        }

        async fn delete(&mut self, _: &[Identity]) -> Result<u64, ConntrackError> {
            Ok(0)
        }
    }

    fn judge() -> Arc<Judge> {
        let nothing = Ruleset::default();
        let judge = Judge::new(
            &nothing,
            &Facts::default(),
            Vec::new(),
            BTreeSet::new(),
            BTreeSet::new(),
        );
        Arc::new(judge.unwrap())
    }

    #[tokio::test]
    async fn a_sweep_that_fails_is_told_of_and_tried_again() {
        let answers = [Err(ConntrackError::new("listing", "no room")), Ok(())];
        let (mut judging, receiver) = Judging::new();
        let (inputs, mut inbox) = mpsc::channel(8);
        let task = tokio::spawn(follow_flows(Fake(answers.into()), receiver, inputs));
        judging.number = 1;
        judging.wanted.send_replace(Some((1, judge())));
        let mut status = Flows::default();
        let mut reasons = Vec::new();
        for _ in 0..2 {
            let Some(Input::Swept(swept)) = inbox.recv().await else {
                panic!("no sweep");
            };
            let condition = judging.ended(&swept, &mut status);
            reasons.push(condition.map(|condition| condition.reason));
        }
        assert_eq!(reasons, [Some("FlowsNotJudged"), None]);
        assert_eq!(status.sweeps, 1);
        drop((judging, inbox));
        task.await.unwrap().unwrap();
    }

    /// The pause after a sweep hides nothing: the last sweep comes after the last change.
    #[tokio::test]
    async fn what_is_asked_for_in_the_pause_after_a_sweep_is_swept() {
        let (judging, receiver) = Judging::new();
        let (inputs, mut inbox) = mpsc::channel(8);
        let task = tokio::spawn(follow_flows(Fake(VecDeque::new()), receiver, inputs));
        for asked in 1..4 {
            judging.wanted.send_replace(Some((asked, judge())));
            let swept = timeout(SLOWEST_RETRY, inbox.recv()).await;
            let Ok(Some(Input::Swept(swept))) = swept else {
                panic!("sweep {asked} did not come: {swept:?}");
            };
            assert_eq!(swept.number, asked);
        }
        drop((judging, inbox));
        task.await.unwrap().unwrap();
    }

    #[test]
    fn an_address_is_gone_until_a_sweep_that_knows_it_has_ended_well() {
        let (mut judging, _receiver) = Judging::new();
        let place = crate::plan::Place {
            interface: crate::nft::model::Interface::new("veth1").unwrap(),
            index: 1,
            bridge: None,
            addresses: ["10.0.0.1".parse().unwrap()].into(),
        };
        let there = Observed {
            places: [("a".into(), place)].into(),
            ..Observed::default()
        };
        judging.observe(&there);
        assert!(judging.gone.is_empty());
        judging.observe(&Observed::default());
        assert_eq!(judging.gone.len(), 1);
        let outcome = || Outcome {
            tally: Tally::default(),
            deleted: 0,
            took: Duration::ZERO,
        };
        for (number, left) in [(0, 1), (1, 0)] {
            let swept = Swept {
                number,
                outcome: Ok(outcome()),
            };
            assert!(judging.ended(&swept, &mut Flows::default()).is_none());
            assert_eq!(judging.gone.len(), left);
        }
    }
}
