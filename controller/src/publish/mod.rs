//! Makes the API server have what was compiled.
//!
//! One task owns the [`ledger`]: it tells it what the compiler wants and what the API server has (a watch of our own
//! objects, so that somebody else's edit or deletion is put right), and does the writes that the ledger allows, some of
//! them at a time. It writes only while [leadership](crate::lead) is sure to last longer than the write.

mod ledger;
mod size;
mod stored;
mod write;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::StreamExt;
use kube::Client;
use kube_runtime::watcher::Event;
use palisade_crds::address_group::AddressGroupSpec;
use palisade_crds::node_rule_set::NodeRuleSetSpec;
use palisade_crds::pod_slice::PodSliceSpec;
use palisade_crds::policy_slice::PolicySliceSpec;
use palisade_crds::{AddressGroup, NodeRuleSet, PodSlice, PolicySlice, SCOPE_CLUSTER};
use palisade_policy::model::{NamespaceName, NodeName};
use palisade_policy::rules::{
    GroupId, NodeHead, NodeId, PodSlice as Pods, PolicySlice as Policies, Scope, Slice, SliceId,
};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::error::chain;
use crate::lead::Leadership;
use crate::metrics::{FailureLabel, KindLabel, Metrics, gauge};
use crate::report::Note;
use crate::watch::{Reduced, events};
use ledger::{Key, Kind, Ledger, Wanted, Write};
use size::{LARGE, bytes};
use stored::{Copy, group_references, node_references, pod_references, policy_references, slice_mark};
use write::{Content, Done, WriteError, write};

/// Writes under way at a time.
const CONCURRENCY: usize = 16;

/// The longest that one write may take.
const WRITE_LIMIT: Duration = Duration::from_secs(10);

/// With less time than this left to lead, nothing new is begun.
const SHORTEST: Duration = Duration::from_secs(1);

/// How long writes that are under way may go on at the end.
const DRAIN: Duration = Duration::from_secs(5);

/// What a compilation changed.
#[derive(Debug)]
pub(crate) struct Compiled {
    /// The slices of groups, with the scope of these.
    pub(crate) slices: BTreeMap<(GroupId, SliceId), Option<(Slice, Scope)>>,
    /// The slices of policies.
    pub(crate) policies: BTreeMap<(NamespaceName, SliceId), Option<Policies>>,
    /// The slices of nodes' pods, but for the first.
    pub(crate) pods: BTreeMap<(NodeName, SliceId), Option<Pods>>,
    /// The nodes, each with the first slice of its pods.
    pub(crate) nodes: BTreeMap<NodeName, Option<Arc<NodeHead>>>,
    /// When the oldest event of it came.
    pub(crate) received: Instant,
    /// When it was done.
    pub(crate) at: Instant,
}

impl Compiled {
    /// Whether there is nothing to write.
    pub(crate) fn is_empty(&self) -> bool {
        let shared = self.slices.is_empty() && self.policies.is_empty();
        shared && self.pods.is_empty() && self.nodes.is_empty()
    }
}

/// Content, how much it is, and how old the news is.
#[derive(Clone, Debug)]
pub(crate) struct Dated {
    content: Content,
    bytes: usize,
    received: Instant,
    compiled: Instant,
}

/// What was asked for with a write that puts something.
#[derive(Clone, Copy, Debug)]
struct Asked {
    bytes: usize,
    received: Instant,
    compiled: Instant,
}

/// A write that has come to an end: which, what was asked for, and what it came to.
type Finished = (Key, Option<Asked>, Result<Done, WriteError>);

/// The task's state.
struct Publisher {
    client: Client,
    ledger: Ledger<Dated>,
    leadership: watch::Receiver<Leadership>,
    writes: JoinSet<Finished>,
    /// What is wanted.
    wanted: BTreeMap<Kind, BTreeSet<Key>>,
    /// What of it is large.
    large: BTreeSet<Key>,
    /// What the API server rejects for what it says.
    rejected: BTreeSet<Key>,
    /// Whether a first compilation has come; before, nothing is wanted and everything would be deleted.
    compiled: bool,
    listed: BTreeSet<Kind>,
    metrics: Metrics,
    notes: mpsc::Sender<Note>,
}

/// Publishes what comes until `end`, then lets the writes that are under way finish.
pub(crate) async fn publish(
    client: Client,
    mut compiled: mpsc::Receiver<Compiled>,
    leadership: watch::Receiver<Leadership>,
    notes: mpsc::Sender<Note>,
    metrics: Metrics,
    end: CancellationToken,
) {
    let mut slices = std::pin::pin!(events::<Copy<AddressGroup>>(client.clone()));
    let mut policies = std::pin::pin!(events::<Copy<PolicySlice>>(client.clone()));
    let mut pods = std::pin::pin!(events::<Copy<PodSlice>>(client.clone()));
    let mut rule_sets = std::pin::pin!(events::<Copy<NodeRuleSet>>(client.clone()));
    let mut publisher = Publisher {
        client,
        ledger: Ledger::default(),
        leadership,
        writes: JoinSet::new(),
        wanted: BTreeMap::new(),
        large: BTreeSet::new(),
        rejected: BTreeSet::new(),
        compiled: false,
        listed: BTreeSet::new(),
        metrics,
        notes,
    };
    loop {
        let again = publisher.time_to_write().and_then(|_| publisher.ledger.wake_at());
        tokio::select! {
            biased;
            () = end.cancelled() => break,
            Some(done) = publisher.writes.join_next() => match done {
                Ok(done) => publisher.done(done),
                // Nobody aborts a write, so it has panicked: the ledger no longer knows what is going on.
                Err(error) => {
                    tracing::error!(%error, "a write has ended in disorder");
                    break;
                }
            },
            next = compiled.recv() => match next {
                Some(compiled) => publisher.take(compiled),
                None => break,
            },
            Some(event) = slices.next() => publisher.observe(event),
            Some(event) = policies.next() => publisher.observe(event),
            Some(event) = pods.next() => publisher.observe(event),
            Some(event) = rule_sets.next() => publisher.observe(event),
            changed = publisher.leadership.changed() => if changed.is_err() { break },
            () = sleep_until(again) => {}
        }
        publisher.begin();
    }
    publisher.drain().await;
}

async fn sleep_until(instant: Option<Instant>) {
    match instant {
        Some(instant) => tokio::time::sleep_until(instant.into()).await,
        None => std::future::pending().await,
    }
}

impl Publisher {
    /// Takes in what a compilation changed: first what is referred to, then what refers to it.
    fn take(&mut self, compiled: Compiled) {
        let Compiled {
            slices,
            policies,
            pods,
            nodes,
            received,
            at,
        } = compiled;
        self.compiled = true;
        let dated = |content, bytes| Dated {
            content,
            bytes,
            received,
            compiled: at,
        };
        for ((group, id), slice) in slices {
            let wanted = slice.map(|slice| {
                let scope = match &slice.1 {
                    Scope::Namespace(namespace) => namespace.as_str(),
                    Scope::Cluster(_) => SCOPE_CLUSTER,
                };
                let spec = AddressGroupSpec::from(&slice.0);
                Wanted {
                    mark: slice_mark(&spec, scope),
                    references: group_references(&spec),
                    content: dated(Content::Slice(Arc::new(slice)), bytes(&spec)),
                }
            });
            self.change(Key::new(Kind::Slice, AddressGroup::name_of(&group, id)), wanted);
        }
        for ((namespace, id), slice) in policies {
            let wanted = slice.map(|slice| {
                let spec = PolicySliceSpec::from(&slice);
                Wanted {
                    references: policy_references(&spec),
                    content: dated(Content::Policies(Arc::new(slice)), bytes(&spec)),
                    mark: spec.hash,
                }
            });
            let key = Key::new(Kind::Policies, PolicySlice::name_of(&namespace, id));
            self.change(key, wanted);
        }
        for ((node, id), slice) in pods {
            let wanted = slice.map(|slice| {
                let spec = PodSliceSpec::from(&slice);
                Wanted {
                    references: pod_references(&spec),
                    content: dated(Content::Pods(Arc::new(slice)), bytes(&spec)),
                    mark: spec.hash,
                }
            });
            let name = PodSlice::name_of(&NodeId::of(&node), id);
            self.change(Key::new(Kind::Pods, name), wanted);
        }
        for (node, head) in nodes {
            let wanted = head.map(|head| {
                let spec = NodeRuleSetSpec::from(head.as_ref());
                Wanted {
                    references: node_references(&spec),
                    content: dated(Content::Head(head), bytes(&spec)),
                    mark: spec.hash,
                }
            });
            self.change(Key::new(Kind::RuleSet, node.as_str()), wanted);
        }
        for kind in Kind::ALL {
            let count = self.wanted.get(&kind).map_or(0, BTreeSet::len);
            let large = self.large.iter().filter(|key| key.kind == kind).count();
            let kind = KindLabel {
                kind: kind.resource(),
            };
            self.metrics.published.get_or_create(&kind).set(gauge(count));
            self.metrics.oversize.get_or_create(&kind).set(gauge(large));
        }
    }

    fn change(&mut self, key: Key, wanted: Option<Wanted<Dated>>) {
        self.weigh(&key, wanted.as_ref().map(|wanted| &wanted.content));
        let all = self.wanted.entry(key.kind).or_default();
        if let Some(wanted) = wanted {
            self.ledger.want(&key, wanted);
            all.insert(key);
        } else {
            all.remove(&key);
            self.accepted(&key);
            self.ledger.unwant(&key);
        }
    }

    /// Tells of an object that has become large.
    fn weigh(&mut self, key: &Key, wanted: Option<&Dated>) {
        let Some(large) = wanted.filter(|wanted| wanted.bytes > LARGE) else {
            self.large.remove(key);
            return;
        };
        if self.large.insert(key.clone()) {
            tracing::warn!(object = %key, bytes = large.bytes, "a large object");
            if let Some(note) = large.content.note(large.bytes) {
                self.tell(key, note);
            }
        }
    }

    /// Takes in what the API server has.
    fn observe<D: stored::Document + std::fmt::Debug>(&mut self, event: Event<Reduced<Copy<D>>>) {
        match event {
            Event::Init => self.ledger.listing_started(D::KIND),
            Event::InitApply(copy) | Event::Apply(copy) => {
                let Copy { key, stored, .. } = copy.kept;
                self.ledger.found(&key, stored);
            }
            Event::InitDone => {
                self.ledger.listing_done(D::KIND);
                self.listed.insert(D::KIND);
            }
            Event::Delete(copy) => self.ledger.gone(&copy.kept.key, copy.kept.stored.version),
        }
    }

    /// How long a write may take that begins now, if any may begin at all.
    fn time_to_write(&self) -> Option<Duration> {
        let informed = self.compiled && self.listed.len() == Kind::ALL.len();
        let left = self.leadership.borrow().left(Instant::now());
        left.filter(|left| informed && *left > SHORTEST)
    }

    /// Begins what may begin.
    fn begin(&mut self) {
        self.metrics.queue.set(gauge(self.ledger.waiting()));
        let Some(left) = self.time_to_write() else { return };
        for action in self.ledger.next(Instant::now(), CONCURRENCY) {
            let client = self.client.clone();
            let limit = left.min(WRITE_LIMIT);
            let key = action.key.clone();
            let asked = match &action.write {
                Write::Put { wanted, .. } => Some(Asked {
                    bytes: wanted.content.bytes,
                    received: wanted.content.received,
                    compiled: wanted.content.compiled,
                }),
                Write::Delete { .. } => None,
            };
            tracing::debug!(object = %key, delete = asked.is_none(), "writing");
            self.writes.spawn(async move {
                let outcome = write(client, action, limit).await;
                (key, asked, outcome)
            });
        }
    }

    fn done(&mut self, (key, asked, outcome): Finished) {
        let now = Instant::now();
        let kind = KindLabel {
            kind: key.kind.resource(),
        };
        match outcome {
            Ok(Done::Written(stored)) => {
                self.metrics.written.get_or_create(&kind).inc();
                if let Some(Asked {
                    bytes,
                    received,
                    compiled,
                }) = asked
                {
                    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
                    self.metrics.bytes.get_or_create(&kind).observe(bytes as f64);
                    let seconds = |since: Instant| now.duration_since(since).as_secs_f64();
                    self.metrics
                        .stored
                        .get_or_create(&kind)
                        .observe(seconds(compiled));
                    self.metrics.total.get_or_create(&kind).observe(seconds(received));
                }
                self.accepted(&key);
                self.ledger.written(&key, stored, now);
            }
            Ok(Done::Deleted) => {
                self.metrics.deleted.get_or_create(&kind).inc();
                self.accepted(&key);
                self.ledger.deleted(&key);
            }
            Err(error) => {
                let reason = error.reason();
                let label = FailureLabel {
                    kind: kind.kind,
                    reason,
                };
                self.metrics.failures.get_or_create(&label).inc();
                tracing::warn!(object = %key, reason, error = %chain(&error), "cannot write");
                if error.is_rejected() && self.rejected.insert(key.clone()) {
                    self.metrics.rejected.set(gauge(self.rejected.len()));
                    self.note(&key, &error);
                }
                self.ledger.failed(&key, now, error.is_unsure());
            }
        }
    }
}

impl Publisher {
    /// The API server takes an object again, or need not take it any more.
    fn accepted(&mut self, key: &Key) {
        if self.rejected.remove(key) {
            self.metrics.rejected.set(gauge(self.rejected.len()));
        }
    }

    /// Says on the Node that its rule set cannot be published. A slice is nobody's alone: the log and the metric tell.
    fn note(&self, key: &Key, error: &WriteError) {
        if key.kind != Kind::RuleSet {
            return;
        }
        self.tell(key, Note::rejected(&key.name, &chain(error)));
    }

    fn tell(&self, key: &Key, note: Note) {
        if self.notes.try_send(note).is_err() {
            tracing::warn!(object = %key, "too many notes at once, this one goes untold");
        }
    }

    /// Lets writes that are under way finish; none is begun.
    async fn drain(mut self) {
        let rest = async { while self.writes.join_next().await.is_some() {} };
        if tokio::time::timeout(DRAIN, rest).await.is_err() {
            tracing::warn!("some writes did not finish in time");
        }
    }
}
