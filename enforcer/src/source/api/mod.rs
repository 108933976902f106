//! Rules from the API server.
//!
//! ```text
//!   NodeRuleSet of this node ───────── watch by name ───────┐
//!   PodSlices where that is split ──── watch by label ──────┤
//!   PolicySlices of its namespaces ─── watches by label ────┼──► mirror ──► complete rule sets
//!   AddressGroups of their groups ──── watches by label ────┘       │
//!          ▲                                                        │
//!          └──── start, stop ◄── subscriptions ◄── namespaces, groups in use
//! ```
//! Slices are subscribed to by the label of their namespace or group, so that an API server sends a change to the nodes
//! that use it and to no others: with 5,000 nodes, a watch on all slices by everybody is some hundred thousand
//! deliveries a second where this is some thousand.
//!
//! An outage is not an error: watches are tried again for as long as it takes, and what was delivered stays in force.

mod backoff;
mod confirm;
mod fetch;
mod key;
mod mirror;
mod outlet;
mod shelf;
mod subscriptions;
mod watch;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use kube::api::Api as Resources;
use kube::{Client, core::DeserializeGuard};
use palisade_crds::{NodeRuleSet, PolicySlice};
use palisade_policy::model::{NamespaceName, NodeName};
use thiserror::Error;
use tokio::sync::{Notify, mpsc};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::timeout;
use tracing::debug;

use super::{Delivery, Document, SourceError};
use crate::moment::reached;
use key::Key;
use mirror::{Mirror, News, Order};
use outlet::{Outlet, Say, WatchId};
use shelf::Content;
use subscriptions::{Step, SubscriptionId};
use watch::{Heard, Refusal, Selector, Unheard};

pub(crate) use backoff::{Backoff, spread};
pub use fetch::fetch;

/// The first change after a while is delivered at once. Changes that follow a delivery this closely are collected until
/// there is none for [`SETTLED`], at most for as long as this.
const BUSY: Duration = Duration::from_millis(20);

/// A burst is over when nothing was heard for this long.
const SETTLED: Duration = Duration::from_millis(2);

/// The reason of an outage.
pub(crate) const UNREACHABLE: &str = "ApiUnreachable";

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
    /// Something refers to a slice that is not there.
    #[error("there is no {object}, and it is needed")]
    MissingSlice {
        /// Its kind and name.
        object: String,
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
    fn refused(object: String, refusal: &Refusal) -> Self {
        Self::Refused {
            object,
            reason: refusal.reason(),
            message: refusal.to_string(),
        }
    }

    /// A stable word for metrics and conditions.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::NotListed => "NotListed",
            Self::NoRuleSet { .. } => "NoRuleSet",
            Self::MissingSlice { .. } => "MissingSlice",
            Self::Refused { reason, .. } => reason,
            Self::Unreachable { .. } => UNREACHABLE,
        }
    }
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
    outlet: Outlet,
    watches: JoinSet<()>,
    running: BTreeMap<WatchId, AbortHandle>,
    news: mpsc::Sender<(Instant, News)>,
    inbox: mpsc::Receiver<(Instant, News)>,
    trigger: Option<Trigger>,
    /// Wakes watches that wait for their next attempt.
    answers_again: Arc<Notify>,
    failures: Failures,
}

/// Counts the requests that failed.
pub type Failures = prometheus_client::metrics::counter::Counter;

impl Api {
    /// Follows the rule set of `node` from now on. Needs a tokio runtime.
    pub fn new(client: Client, node: NodeName, failures: Failures) -> Self {
        let (news, inbox) = mpsc::channel(INBOX);
        let selector = watch::by_name(&node);
        let mut api = Self {
            client,
            mirror: Mirror::new(node),
            outlet: Outlet::default(),
            watches: JoinSet::new(),
            running: BTreeMap::new(),
            news,
            inbox,
            trigger: None,
            answers_again: Arc::default(),
            failures,
        };
        api.start::<NodeRuleSet>(WatchId::RuleSet, selector, News::RuleSet);
        api
    }

    fn start<D: watch::Document>(
        &mut self,
        id: WatchId,
        selector: Selector,
        as_news: impl Fn(Heard<D::Accepted>) -> News + Send + Sync + 'static,
    ) {
        let resources: Resources<DeserializeGuard<D>> = Resources::all(self.client.clone());
        let news = self.news.clone();
        let tell = move |received, heard| {
            let (news, heard) = (news.clone(), as_news(heard));
            async move { news.send((received, heard)).await.map_err(|_| Unheard) }
        };
        let following = watch::follow(resources, selector, tell, Arc::clone(&self.answers_again));
        let handle = self.watches.spawn(following);
        self.running.insert(id, handle);
    }

    pub(super) async fn next(&mut self) -> Result<Delivery, SourceError> {
        loop {
            let orders = self.mirror.select();
            self.carry_out(orders);
            let found = self.mirror.assemble();
            let is_whole = found.is_ok();
            let said = self.outlet.say(Instant::now(), found);
            let trigger = self.trigger;
            if said.is_some() || is_whole {
                self.trigger = None;
            }
            if let Some(said) = said {
                return Ok(self.delivery(said, trigger));
            }
            self.listen().await?;
            if self.outlet.is_busy(Instant::now()) {
                self.settle().await;
            }
        }
    }

    /// Waits until there is news, or until it is time to say something all the same.
    async fn listen(&mut self) -> Result<(), SourceError> {
        let moment = self.outlet.next();
        let first = tokio::select! {
            news = self.inbox.recv() => news,
            Some(ended) = self.watches.join_next() => {
                return match ended {
                    Err(failed) if !failed.is_cancelled() => Err(failed.into()),
                    _ => Ok(()),
                };
            }
            () = reached(moment) => None,
        };
        if let Some((received, news)) = first {
            self.hear(received, news);
        }
        while let Ok((received, news)) = self.inbox.try_recv() {
            self.hear(received, news);
        }
        Ok(())
    }

    async fn settle(&mut self) {
        let began = Instant::now();
        while began.elapsed() < BUSY {
            match timeout(SETTLED, self.inbox.recv()).await {
                Ok(Some((received, news))) => self.hear(received, news),
                Ok(None) | Err(_) => break,
            }
        }
    }

    fn hear(&mut self, received: Instant, news: News) {
        let (id, failure) = match &news {
            News::RuleSet(heard) => (Some(WatchId::RuleSet), heard.failure()),
            News::Pods(id, heard) => (Some(WatchId::Pods(*id)), heard.failure()),
            News::Policies(id, heard) => (Some(WatchId::Policies(*id)), heard.failure()),
            News::Groups(id, heard) => (Some(WatchId::Groups(*id)), heard.failure()),
            News::Confirmed(..) => (None, None),
        };
        if let Some(id) = id {
            // It was told to end, and had something on its way.
            if !self.running.contains_key(&id) {
                return;
            }
            if let Some(message) = failure {
                debug!(?id, message, "a watch has failed");
                self.failures.inc();
                self.outlet.failed(id, received, message);
            } else if self.outlet.recovered(id) {
                self.answers_again.notify_waiters();
            }
        }
        if self.mirror.is_change(&news) {
            let published = mirror::published(&news);
            self.trigger.get_or_insert(Trigger { received, published });
        }
        let orders = self.mirror.hear(news);
        self.carry_out(orders);
    }

    fn carry_out(&mut self, orders: Vec<Order>) {
        for order in orders {
            match order {
                Order::Pods(step) => self.take(step, WatchId::Pods, News::Pods),
                Order::Policies(step) => self.take(step, WatchId::Policies, News::Policies),
                Order::Groups(step) => self.take(step, WatchId::Groups, News::Groups),
                Order::Confirm(namespace, number) => self.confirm(namespace, number),
            }
        }
    }

    fn confirm(&mut self, namespace: NamespaceName, number: u64) {
        let resources: Resources<DeserializeGuard<PolicySlice>> = Resources::all(self.client.clone());
        let (news, again) = (self.news.clone(), Arc::clone(&self.answers_again));
        self.watches.spawn(async move {
            let slices = confirm::confirm(resources, namespace.clone(), again).await;
            let confirmed = News::Confirmed(namespace, number, slices);
            // Nobody listens when the program ends.
            drop(news.send((Instant::now(), confirmed)).await);
        });
    }

    /// Takes a step of the slices of one kind.
    fn take<K: Key>(
        &mut self,
        step: Step<K>,
        watch_id: fn(SubscriptionId) -> WatchId,
        news: fn(SubscriptionId, Heard<Content<K>>) -> News,
    ) {
        match step {
            Step::Start(id, keys) => {
                let watch = watch_id(id);
                debug!(?watch, keys = keys.len(), "subscribing");
                let as_news = move |heard| news(id, heard);
                self.start::<K::Slice>(watch, watch::by_keys(&keys), as_news);
            }
            Step::Stop(id) => {
                let watch = watch_id(id);
                debug!(?watch, "ending a subscription");
                self.outlet.recovered(watch);
                if let Some(handle) = self.running.remove(&watch) {
                    handle.abort();
                }
            }
        }
    }

    fn delivery(&self, said: Say, trigger: Option<Trigger>) -> Delivery {
        let document = self.mirror.document().map(|document| Document {
            revision: document.content.as_ref().ok().map(|accepted| accepted.revision),
            generation: document.generation,
            published: document.published,
        });
        Delivery {
            received: trigger.map_or_else(Instant::now, |trigger| trigger.received),
            published: trigger.and_then(|trigger| trigger.published),
            document,
            rules: match said {
                Say::Rules(rules) => Ok(rules),
                Say::Problem(error) => Err(error.into()),
            },
        }
    }
}
