//! Rules from the API server.
//!
//! ```text
//!   NodeRuleSet of this node ── watch by name ──────────────┐
//!                                                           ├──► mirror ──► complete rule sets
//!   AddressGroups of its groups ── watches by group label ──┘        │
//!          ▲                                                         │
//!          └───────── start, stop ◄── subscriptions ◄── groups in use┘
//! ```
//! Slices are subscribed to by the label of their group, so that an API server sends a change of a group to the nodes
//! that use it and to no others: with 5,000 nodes, a watch on all slices by everybody is some hundred thousand
//! deliveries a second where this is some thousand.
//!
//! An outage is not an error: watches are tried again for as long as it takes, and what was delivered stays in force.

mod backoff;
mod fetch;
mod mirror;
mod subscriptions;
mod watch;

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant, SystemTime};

use kube::api::Api as Resources;
use kube::{Client, core::DeserializeGuard};
use palisade_crds::{AddressGroup, GROUP_LABEL, NodeRuleSet, RuleSet};
use palisade_policy::model::NodeName;
use palisade_policy::rules::{GroupId, SliceId};
use thiserror::Error;
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::timeout;
use tracing::{debug, warn};

use super::{Delivery, Document, SourceError};
use mirror::{Mirror, News};
use subscriptions::{Step, SubscriptionId};
use watch::{Heard, Selector, Unheard};

pub(crate) use backoff::{Backoff, spread};
pub use fetch::fetch;

/// The first change after a while is delivered at once. Changes that follow a delivery this closely are collected until
/// there is none for [`SETTLED`], at most for as long as this.
const BUSY: Duration = Duration::from_millis(20);

/// A burst is over when nothing was heard for this long.
const SETTLED: Duration = Duration::from_millis(2);

/// A rule set that is not complete gets this long to become so before that is said: watches are not ordered among each
/// other.
const PATIENCE: Duration = Duration::from_millis(200);

/// A watch that has failed for this long is an outage.
const OUTAGE: Duration = Duration::from_secs(10);

/// News that may wait; a watch that has more waits itself.
const INBOX: usize = 16;

/// Why there is no rule set to enforce. What is enforced already stays.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ApiError {
    /// The API server has not said yet.
    #[error("the API server has not told everything yet")]
    NotListed,
    /// There is no rule set of the node.
    #[error("there is no NodeRuleSet {node}")]
    NoRuleSet {
        /// The node.
        node: NodeName,
    },
    /// The rule set names a slice that is not there.
    #[error("slice {slice} of group {group} is not there")]
    MissingSlice {
        /// The group.
        group: GroupId,
        /// The slice.
        slice: SliceId,
    },
    /// An object is refused.
    #[error("{object} is not what a controller of this version publishes: {message}")]
    Refused {
        /// Its kind and name.
        object: String,
        /// A stable word for why.
        reason: &'static str,
        /// Why.
        message: String,
    },
    /// The API server does not answer.
    #[error("the API server does not answer: {message}")]
    Unreachable {
        /// What was heard last instead.
        message: String,
    },
}

impl ApiError {
    /// A stable word for metrics and conditions.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::NotListed => "NotListed",
            Self::NoRuleSet { .. } => "NoRuleSet",
            Self::MissingSlice { .. } => "MissingSlice",
            Self::Refused { reason, .. } => reason,
            Self::Unreachable { .. } => "ApiUnreachable",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum WatchId {
    RuleSet,
    Slices(SubscriptionId),
}

/// A watch that gets no answer.
#[derive(Debug)]
struct Failing {
    since: Instant,
    message: String,
}

/// What is new since the last delivery.
#[derive(Clone, Copy, Debug)]
struct Trigger {
    received: Instant,
    published: Option<SystemTime>,
}

/// Follows the rule set of one node at the API server.
pub struct Api {
    client: Client,
    mirror: Mirror,
    watches: JoinSet<()>,
    running: BTreeMap<WatchId, AbortHandle>,
    failing: BTreeMap<WatchId, Failing>,
    news: mpsc::Sender<(Instant, News)>,
    inbox: mpsc::Receiver<(Instant, News)>,
    trigger: Option<Trigger>,
    /// The content of the rule set that was delivered last, and when.
    delivered: Option<(String, Instant)>,
    /// Why there is no newer one, if that was said.
    said: Option<ApiError>,
    /// Since when there is no complete rule set.
    incomplete: Option<Instant>,
    failures: Failures,
    /// When it was last considered what there is to say.
    decided: Instant,
}

/// Counts the requests that failed.
pub type Failures = prometheus_client::metrics::counter::Counter;

impl Api {
    /// Follows the rule set of `node` from now on. Needs a tokio runtime.
    pub fn new(client: Client, node: NodeName, failures: Failures) -> Self {
        let (news, inbox) = mpsc::channel(INBOX);
        let fields = format!("metadata.name={node}");
        let mut api = Self {
            client,
            mirror: Mirror::new(node),
            watches: JoinSet::new(),
            running: BTreeMap::new(),
            failing: BTreeMap::new(),
            news,
            inbox,
            trigger: None,
            delivered: None,
            said: None,
            incomplete: None,
            failures,
            decided: Instant::now(),
        };
        let news = api.news.clone();
        let resources: Resources<DeserializeGuard<NodeRuleSet>> = Resources::all(api.client.clone());
        let following = watch::follow(resources, Selector::Fields(fields), move |received, heard| {
            tell(news.clone(), received, News::RuleSet(heard))
        });
        let handle = api.watches.spawn(following);
        api.running.insert(WatchId::RuleSet, handle);
        api
    }

    pub(super) async fn next(&mut self) -> Result<Delivery, SourceError> {
        loop {
            if let Some(delivery) = self.decide() {
                return Ok(delivery);
            }
            self.listen().await?;
            let busy = |(_, delivered): &(_, Instant)| delivered.elapsed() < BUSY;
            if self.delivered.as_ref().is_some_and(busy) {
                self.settle().await?;
            }
        }
    }

    /// Waits until there is news, or until it is time to say something all the same.
    async fn listen(&mut self) -> Result<(), SourceError> {
        let patience = self.incomplete.map(|since| since + PATIENCE);
        let outage = self.failing.values().map(|failing| failing.since + OUTAGE);
        let moments = patience.into_iter().chain(outage);
        let moment = moments.filter(|moment| *moment > self.decided).min();
        let (received, news) = tokio::select! {
            news = self.inbox.recv() => match news {
                Some(news) => news,
                None => return Ok(()),
            },
            Some(ended) = self.watches.join_next() => {
                return match ended {
                    Err(failed) if !failed.is_cancelled() => Err(failed.into()),
                    _ => Ok(()),
                };
            }
            () = until(moment) => return Ok(()),
        };
        self.hear(received, news);
        while let Ok((received, news)) = self.inbox.try_recv() {
            self.hear(received, news);
        }
        Ok(())
    }

    async fn settle(&mut self) -> Result<(), SourceError> {
        let began = Instant::now();
        while began.elapsed() < BUSY {
            match timeout(SETTLED, self.inbox.recv()).await {
                Ok(Some((received, news))) => self.hear(received, news),
                Ok(None) | Err(_) => break,
            }
        }
        Ok(())
    }

    fn hear(&mut self, received: Instant, news: News) {
        let id = match &news {
            News::RuleSet(_) => WatchId::RuleSet,
            News::Slices(id, _) => WatchId::Slices(*id),
        };
        // It was told to end, and had something on its way.
        if !self.running.contains_key(&id) {
            return;
        }
        match &news {
            News::RuleSet(Heard::Following) | News::Slices(_, Heard::Following) => {
                self.failing.remove(&id);
            }
            News::RuleSet(Heard::Failed(message)) | News::Slices(_, Heard::Failed(message)) => {
                debug!(?id, message, "a watch has failed");
                self.failures.inc();
                let failing = self.failing.entry(id).or_insert_with(|| Failing {
                    since: received,
                    message: String::new(),
                });
                failing.message.clone_from(message);
            }
            _ => {
                self.failing.remove(&id);
                let published = mirror::published(&news);
                self.trigger.get_or_insert(Trigger { received, published });
            }
        }
        for step in self.mirror.hear(news) {
            match step {
                Step::Start(id, groups) => self.subscribe(id, &groups),
                Step::Stop(id) => {
                    let id = WatchId::Slices(id);
                    debug!(?id, "ending a subscription");
                    self.failing.remove(&id);
                    if let Some(handle) = self.running.remove(&id) {
                        handle.abort();
                    }
                }
            }
        }
    }

    fn subscribe(&mut self, id: SubscriptionId, groups: &BTreeSet<GroupId>) {
        debug!(?id, groups = groups.len(), "subscribing");
        let resources: Resources<DeserializeGuard<AddressGroup>> = Resources::all(self.client.clone());
        let news = self.news.clone();
        let following = watch::follow(resources, labels(groups), move |received, heard| {
            tell(news.clone(), received, News::Slices(id, heard))
        });
        let handle = self.watches.spawn(following);
        self.running.insert(WatchId::Slices(id), handle);
    }

    /// What there is to say now, if anything.
    fn decide(&mut self) -> Option<Delivery> {
        let now = Instant::now();
        self.decided = now;
        let outage = self
            .failing
            .values()
            .find(|failing| now >= failing.since + OUTAGE);
        let outage = outage.map(|failing| ApiError::Unreachable {
            message: failing.message.clone(),
        });
        let rules = match self.mirror.assemble() {
            Ok(rules) => {
                self.incomplete = None;
                rules
            }
            Err(error) => {
                let since = *self.incomplete.get_or_insert(now);
                let error = match outage {
                    Some(outage) => outage,
                    None if error == ApiError::NotListed || now < since + PATIENCE => return None,
                    None => error,
                };
                return self.complain(error);
            }
        };
        let is_news = self
            .delivered
            .as_ref()
            .is_none_or(|(content, _)| *content != rules.content);
        if is_news || (outage.is_none() && self.said.is_some()) {
            self.said = None;
            return Some(self.deliver(rules, now));
        }
        self.trigger = None;
        self.complain(outage?)
    }

    fn deliver(&mut self, rules: RuleSet, now: Instant) -> Delivery {
        self.delivered = Some((rules.content.clone(), now));
        let trigger = self.trigger.take();
        Delivery {
            received: trigger.map_or(now, |trigger| trigger.received),
            published: trigger.and_then(|trigger| trigger.published),
            document: self.document(),
            rules: Ok(rules),
        }
    }

    fn complain(&mut self, error: ApiError) -> Option<Delivery> {
        self.trigger = None;
        if self.said.as_ref() == Some(&error) {
            return None;
        }
        // Messages of an outage vary with each attempt; the outage is one.
        let is_outage = |error: &ApiError| matches!(error, ApiError::Unreachable { .. });
        if is_outage(&error) && self.said.as_ref().is_some_and(is_outage) {
            return None;
        }
        warn!(%error, "no newer rules");
        self.said = Some(error.clone());
        Some(Delivery {
            received: Instant::now(),
            published: None,
            document: self.document(),
            rules: Err(error.into()),
        })
    }

    fn document(&self) -> Option<Document> {
        let document = self.mirror.document()?;
        Some(Document {
            revision: document.content.as_ref().ok().map(|accepted| accepted.revision),
            generation: document.generation,
            published: document.published,
        })
    }
}

fn labels(groups: &BTreeSet<GroupId>) -> Selector {
    let groups: Vec<&str> = groups.iter().map(GroupId::as_str).collect();
    Selector::Labels(format!("{GROUP_LABEL} in ({})", groups.join(",")))
}

async fn tell(news: mpsc::Sender<(Instant, News)>, received: Instant, heard: News) -> Result<(), Unheard> {
    news.send((received, heard)).await.map_err(|_| Unheard)
}

async fn until(moment: Option<Instant>) {
    match moment {
        Some(moment) => tokio::time::sleep_until(moment.into()).await,
        None => std::future::pending().await,
    }
}
