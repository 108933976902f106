//! The state of a node, and the one place where it is brought to the kernel.
//!
//! [`Node::take`] is cheap and remembers; [`Node::flush`] plans, compares and commits.
//!
//! ```text
//!   refused ──► read back, plan again ──► refused ──► rebuild ──► refused ──► the end: the kernel keeps what it has
//!   stale, or no answer ──► read back, plan again
//! ```

use std::time::{Duration, Instant, SystemTime};

use palisade_crds::RuleSet;
use thiserror::Error;
use tokio::sync::watch;
use tokio::time::timeout;
use tracing::{debug, error, info, warn};

use super::desired::{Unplannable, desired};
use super::judging::{Cut, Judging, Swept, Wanted, not_judged};
use super::status::{
    Condition, Conditions, IgnoredResults, Informed, LastEdit, Origin, Sizes, Status, Timing, microseconds,
};
use crate::facts::{self, NamedPods, Observed};
use crate::flows::tightens;
use crate::nft::{self, Change, CommitError, Counts, Edit, Generation, Kernel, Loaded, ReadError};
use crate::plan::{Plan, Settings};
use crate::source::{Delivery, Incomplete};

/// An answer of the kernel that takes longer will not come. The layer below gives up sooner.
const PATIENCE: Duration = Duration::from_mins(1);

/// How often others may get in between reading and writing before this is left for later.
const ATTEMPTS: usize = 8;

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

/// The kernel refuses what should be there, and nothing is left to try.
#[derive(Debug, Error)]
#[error("the kernel refuses the ruleset, and a rebuilt one as well; what it had before stays")]
pub struct Refused(#[source] CommitError);

/// What to try next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Remedy {
    /// Write what differs from what is known to be loaded.
    #[default]
    Change,
    /// Read what is loaded, and write what differs from that.
    ReadBack,
    /// Delete our tables and make them again.
    Rebuild,
}

/// Everything that is known of a node.
pub(super) struct Node<K> {
    kernel: K,
    settings: Settings,
    /// Tells whoever finds the pods which there should be.
    named: watch::Sender<NamedPods>,
    rules: Option<RuleSet>,
    observed: Option<Observed>,
    /// What the kernel has, as far as it is known.
    loaded: Option<Loaded>,
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
            settings,
            named,
            rules: None,
            observed: None,
            loaded: None,
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
                        let named = named(&rules);
                        self.named
                            .send_if_modified(|before| std::mem::replace(before, named.clone()) != named);
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
                self.pending.get_or_insert((received, decoded));
            }
            Input::Edit(edit) => self.edited(edit),
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
                let loaded = self
                    .loaded
                    .as_mut()
                    .filter(|loaded| loaded.generation.next() == generation);
                if let Some(loaded) = loaded {
                    loaded.generation = generation;
                }
                return;
            }
            Edit::Missed => {
                warn!("ruleset events were lost");
                None
            }
        };
        let known = self.loaded.as_ref().map(|loaded| loaded.generation);
        let seen = known
            .zip(generation)
            .is_some_and(|(known, edit)| !is_newer(edit, known));
        if !seen {
            self.loaded = None;
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
        if self.judging.is_new() && !self.adopt().await {
            self.retry = Some(Instant::now() + RETRY);
            return Ok(());
        }
        let (Some(rules), Some(observed)) = (&self.rules, &self.observed) else {
            return Ok(());
        };
        let started = Instant::now();
        let (received, decoded) = self.pending.unwrap_or((started, started));
        self.retry = None;
        let cuts = &mut self.judging;
        let planned = desired(rules, observed, &self.settings).and_then(|mut plan| {
            cuts.plan_cuts(rules, observed, &mut plan.ruleset)?;
            Ok(plan)
        });
        let plan = match planned {
            Ok(plan) => plan,
            Err(error) => {
                self.pending = None;
                self.say(Origin::Plan, Some(unplannable(&error)));
                return Ok(());
            }
        };
        self.say(Origin::Plan, None);
        let planned = Instant::now();
        self.filter_bridges().await;
        let Some((counts, generation)) = self.bring(&plan).await? else {
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
        self.judge_flows(&plan);
        self.remember(plan, generation);
        Ok(())
    }

    /// Learns which flows an earlier process has ended, before anything is planned. Returns whether it could.
    async fn adopt(&mut self) -> bool {
        match self.read().await {
            Ok(loaded) => {
                self.judging.adopt(&loaded.ruleset);
                self.loaded = Some(loaded);
                true
            }
            Err(condition) => {
                self.say(Origin::Kernel, Some(condition));
                false
            }
        }
    }

    /// Has established flows judged by what was committed, if it may deny some of them.
    fn judge_flows(&mut self, plan: &Plan) {
        let (Some(rules), Some(observed)) = (&self.rules, &self.observed) else {
            return;
        };
        if let Err(error) = self.judging.committed(rules, observed, &plan.ruleset) {
            self.say(Origin::Flows, Some(not_judged(&error)));
        }
    }

    /// Writes what differs, until it is written or something has to wait. Returns what was changed, and the
    /// generation that has it.
    async fn bring(&mut self, plan: &Plan) -> Result<Option<(Counts, Generation)>, Refused> {
        for _ in 0..ATTEMPTS {
            let loaded = match self.loaded.take() {
                Some(loaded) => loaded,
                None => match self.read().await {
                    Ok(loaded) => loaded,
                    Err(condition) => {
                        self.say(Origin::Kernel, Some(condition));
                        return Ok(None);
                    }
                },
            };
            let change = match self.remedy {
                Remedy::Change | Remedy::ReadBack => nft::repair(&loaded, &plan.ruleset),
                Remedy::Rebuild => nft::rebuild(&loaded.ruleset, &plan.ruleset),
            };
            let counts = change.counts();
            // What is written for a sweep needs none.
            let is_for_a_sweep = self.pending.is_none() && self.remedy == Remedy::Change;
            if !is_for_a_sweep && tightens(&change, &plan.ruleset) {
                self.judging.tighten();
            }
            match self.commit(change, loaded.generation).await {
                Ok(generation) => {
                    self.say(Origin::Kernel, None);
                    self.remedy = Remedy::default();
                    return Ok(Some((counts, generation)));
                }
                Err(error @ CommitError::Stale { .. }) => debug!(%error, "planning again"),
                Err(error @ CommitError::OutcomeUnknown { .. }) => warn!(%error, "reading back"),
                Err(refused) => {
                    error!(error = %refused, remedy = ?self.remedy, "the kernel refused a change");
                    self.say(
                        Origin::Kernel,
                        Some(Condition {
                            reason: refused.reason(),
                            message: refused.to_string(),
                        }),
                    );
                    self.remedy = match self.remedy {
                        Remedy::Change => Remedy::ReadBack,
                        Remedy::ReadBack => Remedy::Rebuild,
                        Remedy::Rebuild => return Err(Refused(refused)),
                    };
                    return Ok(None);
                }
            }
        }
        let message = format!("others changed the kernel's ruleset during each of {ATTEMPTS} attempts");
        self.say(
            Origin::Kernel,
            Some(Condition {
                reason: "Stale",
                message,
            }),
        );
        Ok(None)
    }

    async fn read(&self) -> Result<Loaded, Condition> {
        let failed = |error: ReadError| Condition {
            reason: error.reason(),
            message: error.to_string(),
        };
        match timeout(PATIENCE, self.kernel.read()).await {
            Ok(read) => read.map_err(failed),
            Err(late) => Err(Condition {
                reason: "ReadFailed",
                message: format!("reading the tables: {late}"),
            }),
        }
    }

    /// Commits a change stage by stage. After a failure what is loaded is not known, and read back.
    async fn commit(&self, change: Change<'_>, expected: Generation) -> Result<Generation, CommitError> {
        let mut generation = expected;
        for stage in change.stages() {
            let committed = timeout(PATIENCE, self.kernel.commit(&stage, generation)).await;
            generation = committed.unwrap_or_else(|late| {
                Err(CommitError::OutcomeUnknown {
                    message: late.to_string(),
                })
            })?;
        }
        Ok(generation)
    }

    fn remember(&mut self, plan: Plan, generation: Generation) {
        let Plan { ruleset, unplaced } = plan;
        self.status.sizes = Sizes::of(&ruleset);
        self.loaded = Some(Loaded {
            generation,
            ruleset,
            ..Loaded::default()
        });
        self.status.generation = Some(generation);
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
            self.status.pods = rules.pods.len() - unplaced.len();
        }
        self.status.unplaced = unplaced;
    }

    /// Makes sure that what crosses a bridge meets the rules.
    async fn filter_bridges(&mut self) {
        let networks = self
            .rules
            .as_ref()
            .map(|rules| rules.rules.pod_networks.as_slice());
        let observed = self.observed.iter();
        let bridges = observed.flat_map(|observed| observed.bridges_of_pods(networks.unwrap_or_default()));
        let bridges: Vec<_> = bridges
            .map(|(name, bridge)| (name.clone(), bridge.clone()))
            .collect();
        let mut problems = Vec::new();
        if !bridges.is_empty() && !facts::can_filter_bridges() {
            problems.push("this kernel's br_netfilter is not there".to_owned());
        }
        for (name, bridge) in bridges.iter().filter(|(_, bridge)| !bridge.filtered) {
            match facts::filter_bridge(name, bridge.index).await {
                Ok(()) => info!(bridge = %name, "bridged packets are filtered now"),
                Err(error) => problems.push(error.to_string()),
            }
        }
        let condition = (!problems.is_empty()).then(|| {
            let names: Vec<&str> = bridges.iter().map(|(name, _)| name.as_str()).collect();
            let message = format!(
                "cannot enforce on bridge {}: {}",
                names.join(", "),
                problems.join("; ")
            );
            Condition {
                reason: "BridgeNotFiltered",
                message,
            }
        });
        if condition.is_some() {
            self.retry = Some(Instant::now() + SLOW_RETRY);
        }
        self.say(Origin::Bridges, condition);
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
