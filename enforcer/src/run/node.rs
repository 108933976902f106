//! The state of a node, and the one place where it is brought to the kernel.
//!
//! [`Node::take`] is cheap and remembers; [`Node::flush`] plans, compares and commits.
//!
//! ```text
//!   refused ──► read back, plan again ──► refused ──► rebuild ──► refused ──► the end: the kernel keeps what it has
//!   stale, or no answer ──► read back, plan again
//! ```

mod bridges;
mod kernel;
mod start;

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use palisade_crds::RuleSet;
use tokio::sync::watch;
use tracing::{debug, info, warn};

use super::desired::{Desired, Unplannable};
use super::judging::{Cut, Judging, Swept, Wanted, not_judged};
use super::status::{
    Condition, Conditions, IgnoredResults, Informed, LastEdit, Origin, Sizes, Status, Timing, microseconds,
};
use crate::facts::{NamedPods, Observed};
use crate::nft::model::InvalidName;
use crate::nft::{Counts, Edit, Generation, Kernel};
use crate::plan::{Facts, Settings};
use crate::source::{Delivery, Incomplete};
use kernel::{Known, Remedy};

pub use kernel::Refused;

/// How long something that went wrong is left alone. New facts that explain it may arrive meanwhile.
const RETRY: Duration = Duration::from_millis(100);

/// The same for what takes somebody's hand to change.
const SLOW_RETRY: Duration = Duration::from_secs(5);

/// Something new.
#[derive(Debug)]
pub(super) enum Input {
    Rules(Delivery, Instant),
    Observed {
        observed: Observed,
        received: Instant,
        decoded: Instant,
    },
    Edit(Edit),
    Cut(Cut),
    Swept(Swept),
}

/// Everything that is known of a node.
pub(super) struct Node<K> {
    kernel: K,
    settings: Settings,
    /// Tells whoever finds the pods which there should be.
    named: watch::Sender<NamedPods>,
    rules: Option<RuleSet>,
    observed: Option<Observed>,
    /// Where these pods are; `None` until that is asked of the facts.
    facts: Option<Facts>,
    /// What the kernel should have.
    desired: Desired,
    /// What the kernel has.
    known: Known,
    remedy: Remedy,
    /// The first input that is not applied yet: when there was a sign of it, when it was there.
    pending: Option<(Instant, Instant)>,
    /// When the first rules that are not applied yet were published.
    published: Option<SystemTime>,
    /// When to try again what went wrong.
    retry: Option<Instant>,
    conditions: Conditions,
    status: Status,
    judging: Judging,
}

/// What a node asks others for.
pub(super) struct Asked {
    /// The pods that there should be.
    pub(super) pods: watch::Receiver<NamedPods>,
    /// Judgements on established flows.
    pub(super) flows: watch::Receiver<Wanted>,
}

impl<K: Kernel> Node<K> {
    /// A node of which nothing is known, and what it will ask others for.
    pub(super) fn new(kernel: K, settings: Settings, status: Status) -> (Self, Asked) {
        let (judging, flows) = Judging::new();
        let (named, pods) = watch::channel(NamedPods::new());
        let node = Self {
            kernel,
            desired: Desired::new(settings.clone()),
            settings,
            named,
            rules: None,
            observed: None,
            facts: None,
            known: Known::default(),
            remedy: Remedy::default(),
            pending: None,
            published: None,
            retry: None,
            conditions: Conditions::default(),
            status,
            judging,
        };
        (node, Asked { pods, flows })
    }

    pub(super) fn status(&self) -> &Status {
        &self.status
    }

    /// When [`flush`](Self::flush) should be called although nothing is new.
    pub(super) fn retry(&self) -> Option<Instant> {
        let ends = self.judging.next_end();
        self.retry.into_iter().chain(ends).min()
    }

    /// Whether there was something from every input.
    pub(super) fn is_informed(&self) -> bool {
        self.observed.is_some() && (self.rules.is_some() || self.conditions.has(Origin::Rules))
    }

    /// Whether everything that was taken is dealt with, as far as it can be.
    pub(super) fn is_settled(&self) -> bool {
        (self.pending.is_none() && self.judging.is_settled()) || self.rules.is_none()
    }

    /// Remembers an input.
    pub(super) fn take(&mut self, input: Input) {
        match input {
            Input::Rules(delivery, decoded) => {
                self.status.document = delivery.document;
                match delivery.rules {
                    Ok(rules) => {
                        self.say(Origin::Rules, None);
                        let same = |known: &RuleSet| Arc::ptr_eq(&known.rules, &rules.rules);
                        if !self.rules.as_ref().is_some_and(same) {
                            let named = named(&rules);
                            self.named
                                .send_if_modified(|before| std::mem::replace(before, named.clone()) != named);
                            self.facts = None;
                        }
                        if self.rules.replace(rules).is_none() {
                            // Facts that waited for the first rules tell nothing about how long these took.
                            self.pending = None;
                        }
                        self.pending.get_or_insert((delivery.received, decoded));
                        self.published = self.published.or(delivery.published);
                    }
                    Err(incomplete) => self.say(Origin::Rules, Some(incomplete_rules(&incomplete))),
                }
            }
            Input::Observed {
                observed,
                received,
                decoded,
            } => {
                self.report(&observed);
                self.judging.observe(&observed);
                self.observed = Some(observed);
                self.facts = None;
                self.pending.get_or_insert((received, decoded));
            }
            Input::Edit(edit) => match &mut self.known {
                Known::Awaited(edits) => edits.push(edit),
                Known::Nothing | Known::Read(_) | Known::Planned(_) => self.edited(edit),
            },
            Input::Cut(cut) => self.judging.cut(cut),
            Input::Swept(swept) => {
                let condition = self.judging.ended(&swept, &mut self.status.flows);
                self.say(Origin::Flows, condition);
            }
        }
    }

    fn report(&mut self, observed: &Observed) {
        let unsupported: Vec<String> = observed
            .unsupported
            .iter()
            .map(|(uid, problem)| format!("pod {uid}: {problem}"))
            .collect();
        let pods = (!unsupported.is_empty()).then(|| Condition {
            reason: "UnsupportedInterface",
            message: unsupported.join("; "),
        });
        self.say(Origin::Pods, pods);
        self.status.searched = observed.searched.len();
        let results = (observed.unusable > 0).then(|| Condition {
            reason: "UnusableResults",
            message: format!(
                "{} CNI results cannot be used; their pods stay closed",
                observed.unusable
            ),
        });
        self.say(Origin::CniResults, results);
        self.status.ignored_results = IgnoredResults {
            elsewhere: observed.elsewhere,
            unusable: observed.unusable,
        };
    }

    fn edited(&mut self, edit: Edit) {
        let generation = match edit {
            Edit::Edited {
                generation,
                pid,
                process,
            } => {
                warn!(pid, process, %generation, "our tables were edited");
                self.status.edits.count += 1;
                self.status.edits.last = Some(LastEdit { pid, process });
                Some(generation)
            }
            // Without this a commit of anybody would make the next one of ours stale, and cost reading all back.
            Edit::Elsewhere { generation } => {
                if let Some(known) = self.known.generation_mut()
                    && known.next() == generation
                {
                    *known = generation;
                }
                return;
            }
            Edit::Missed => {
                warn!("ruleset events were lost");
                None
            }
        };
        let known = self.known.generation();
        let seen = known
            .zip(generation)
            .is_some_and(|(known, edit)| !is_newer(edit, known));
        if !seen {
            self.known = Known::Nothing;
            let now = Instant::now();
            self.pending.get_or_insert((now, now));
        }
    }

    /// Brings the kernel to what is known. Does nothing before there are rules and facts.
    pub(super) async fn flush(&mut self) -> Result<(), Refused> {
        let outcome = self.apply().await;
        self.status.degraded = self.conditions.list();
        self.status.hindrance = self.conditions.hindrance().cloned();
        self.status.informed = Informed {
            rules: self.rules.is_some(),
            facts: self.observed.is_some(),
        };
        self.status.flows.pending = !self.judging.is_settled() || self.conditions.has(Origin::Flows);
        let ready = self.conditions.allow_readiness() && self.status.revision.is_some();
        if ready != self.status.ready {
            info!(ready, revision = self.status.revision, "readiness changed");
        }
        self.status.ready = ready;
        outcome
    }

    async fn apply(&mut self) -> Result<(), Refused> {
        if self.rules.is_none() || self.observed.is_none() {
            return Ok(());
        }
        if self.pending.is_none() && self.retry.is_none() && !self.judging.is_due() {
            return Ok(());
        }
        if matches!(self.known, Known::Awaited(_)) {
            self.prepare();
            return Ok(());
        }
        if self.judging.is_new() && !self.adopt().await {
            self.retry = Some(Instant::now() + RETRY);
            return Ok(());
        }
        let started = Instant::now();
        let (received, decoded) = self.pending.unwrap_or((started, started));
        self.retry = None;
        if let Err(error) = self.plan() {
            // What was planned in part is of no use, and what is loaded cannot be told by it any more.
            self.desired = Desired::new(self.settings.clone());
            self.known = Known::Nothing;
            self.pending = None;
            self.say(Origin::Plan, Some(unplannable(&error)));
            return Ok(());
        }
        self.say(Origin::Plan, None);
        let planned = Instant::now();
        self.filter_bridges().await;
        let Some((counts, generation)) = self.bring().await? else {
            self.retry = Some(Instant::now() + RETRY);
            return Ok(());
        };
        let committed = Instant::now();
        self.judging.go_on();
        let is_news = self.pending.take().is_some();
        let published = self.published.take();
        if is_news && counts != Counts::default() {
            self.status.applied.count += 1;
            self.status.applied.last = counts;
            self.status.applied.microseconds = Timing {
                decode: microseconds(decoded - received),
                plan: microseconds(planned - started),
                commit: microseconds(committed - planned),
                total: microseconds(committed - received),
                published: published.and_then(since),
            };
            debug!(?counts, timing = ?self.status.applied.microseconds, %generation, "applied");
        }
        self.judge_flows();
        self.remember(generation);
        Ok(())
    }

    /// Brings the plan to what is known.
    fn plan(&mut self) -> Result<(), Unplannable> {
        self.plan_rules()?;
        if let Some(facts) = &self.facts {
            self.judging.plan_cuts(facts, &mut self.desired.planner)?;
            self.desired.check()?;
        }
        Ok(())
    }

    /// The same, without what flows that are to be ended add to it.
    fn plan_rules(&mut self) -> Result<(), InvalidName> {
        let (Some(rules), Some(observed)) = (&self.rules, &self.observed) else {
            return Ok(());
        };
        let facts = self
            .facts
            .get_or_insert_with(|| observed.facts(&rules.rules.pod_networks));
        self.desired.plan(rules, facts)
    }

    /// Has established flows judged by what was committed, if it may deny some of them.
    fn judge_flows(&mut self) {
        let (Some(rules), Some(observed), Some(facts)) = (&self.rules, &self.observed, &self.facts) else {
            return;
        };
        let networks = &rules.rules.pod_networks;
        let ruleset = self.desired.draft().ruleset();
        if let Err(error) = self.judging.committed(networks, observed, facts, ruleset) {
            self.say(Origin::Flows, Some(not_judged(&error)));
        }
    }

    fn remember(&mut self, generation: Generation) {
        self.status.sizes = Sizes::of(self.desired.draft().ruleset());
        self.status.generation = Some(generation);
        let unplaced = self.desired.planner.unplaced();
        if self.status.unplaced != unplaced {
            self.status.unplaced = unplaced.to_vec();
        }
        if let Some(RuleSet {
            rules,
            revision,
            hash,
            policies,
            content,
            ..
        }) = &self.rules
        {
            let is_next = self.status.revision != Some(*revision);
            if is_next || self.status.policies.as_ref() != Some(policies) {
                info!(revision, hash, policies, pods = rules.pods.len(), "enforcing");
            }
            if is_next {
                let published = self.status.document.and_then(|document| document.published);
                self.status.lag = published.and_then(since);
            }
            self.status.revision = Some(*revision);
            self.status.hash = Some(hash.clone());
            self.status.policies = Some(policies.clone());
            self.status.content = Some(content.clone());
            self.status.pods = rules.pods.len() - self.status.unplaced.len();
        }
    }

    fn say(&mut self, origin: Origin, condition: Option<Condition>) {
        let news = self.conditions.set(origin, condition.as_ref());
        match condition {
            Some(Condition { reason, message }) if news => warn!(reason, message, "degraded"),
            None if news => info!(?origin, "no longer degraded"),
            _ => {}
        }
    }
}

/// The pods of a rule set with the addresses that the API has for them.
fn named(rules: &RuleSet) -> NamedPods {
    let pods = rules.rules.pods.iter();
    pods.map(|(uid, pod)| (uid.clone(), pod.addresses.iter().copied().collect()))
        .collect()
}

/// Whether one generation is later than another; they wrap.
fn is_newer(generation: Generation, than: Generation) -> bool {
    (1..1 << 31).contains(&generation.0.wrapping_sub(than.0))
}

/// Microseconds since a moment by another clock. A clock that is ahead gives none.
fn since(published: SystemTime) -> Option<u64> {
    published.elapsed().ok().map(microseconds)
}

fn incomplete_rules(incomplete: &Incomplete) -> Condition {
    Condition {
        reason: incomplete.reason(),
        message: with_sources(incomplete),
    }
}

fn unplannable(error: &Unplannable) -> Condition {
    Condition {
        reason: "Unplannable",
        message: with_sources(error),
    }
}

/// An error with all that led to it.
pub(crate) fn with_sources(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text.push_str(": ");
        text.push_str(&error.to_string());
        source = error.source();
    }
    text
}

#[cfg(test)]
mod tests;
