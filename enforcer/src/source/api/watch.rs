//! One watch: lists what a selector finds, then follows it, for as long as somebody listens.
//!
//! `kube_runtime::watcher` does the same, but says nothing when a watch that was interrupted is there again and has no
//! event to tell. That moment is when an outage ends, so requests are made here. Objects are decoded as they arrive, one
//! by one, and nothing else of them is kept.

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::future::Future;
use std::str::FromStr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use futures::{TryStreamExt, pin_mut};
use k8s_openapi::jiff::Timestamp;
use kube::api::{Api, ListParams, WatchEvent, WatchParams};
use kube::core::{DeserializeGuard, Status};
use kube::{Resource, ResourceExt};
use palisade_crds::{
    AcceptedPods, AcceptedPolicies, AcceptedRules, AcceptedSlice, AddressGroup, DocumentError, NodeRuleSet,
    PUBLISHED_AT, PodSlice, PolicySlice,
};
use palisade_policy::model::NodeName;
use serde::de::DeserializeOwned;
use thiserror::Error;
use tokio::sync::Notify;
use tokio::time::timeout;

use super::backoff::{Pause, spread};
use super::key::Key;
use crate::run::with_sources;

/// The answer to one request takes no longer, but for a listing.
const ANSWER: Duration = Duration::from_secs(15);

/// The answer to a listing takes no longer: as long as an API server works on one at the most. Where all nodes begin at once it may take
/// that, and what is given up is work for nothing that is asked for again: 500 nodes that gave up after 15 seconds kept an API
/// server busy until the end of time.
const LISTING: Duration = Duration::from_mins(1);

/// How long the API server keeps one watch request open: at least this, and up to as much longer as [`SPREAD`].
const OPEN: Duration = Duration::from_mins(4);

/// Spreads the requests of many nodes.
const SPREAD: Duration = Duration::from_secs(50);

/// What arrives later than this after the end of a watch request will not come.
const GRACE: Duration = Duration::from_secs(5);

/// A watch that lasted this long was a good one: the next is asked for at once.
const LASTED: Duration = Duration::from_secs(2);

/// The resource version is too old to go on from.
const GONE: u16 = 410;

/// What a watch has to tell.
#[derive(Debug)]
pub(super) enum Heard<T> {
    /// There are these objects, and no others.
    Listed(Vec<Object<T>>),
    /// An object is new or has changed.
    Applied(Object<T>),
    /// An object is gone.
    Deleted {
        name: String,
        /// When it went.
        version: Option<u64>,
    },
    /// The API server has answered: from here on it will tell of changes.
    Following,
    /// The API server has not answered, or refused. This is tried again.
    Failed(String),
}

impl<T> Heard<T> {
    /// Whether this tells of objects.
    pub(super) fn is_content(&self) -> bool {
        match self {
            Self::Listed(_) | Self::Applied(_) | Self::Deleted { .. } => true,
            Self::Following | Self::Failed(_) => false,
        }
    }

    /// When the object that has changed was published.
    pub(super) fn published(&self) -> Option<SystemTime> {
        match self {
            Self::Applied(object) => object.published,
            Self::Listed(_) | Self::Deleted { .. } | Self::Following | Self::Failed(_) => None,
        }
    }

    /// Why there was no answer.
    pub(super) fn failure(&self) -> Option<&str> {
        match self {
            Self::Failed(message) => Some(message),
            Self::Listed(_) | Self::Applied(_) | Self::Deleted { .. } | Self::Following => None,
        }
    }
}

/// An object without all that is not needed.
#[derive(Clone, Debug)]
pub(super) struct Object<T> {
    pub(super) name: String,
    /// Later versions have higher numbers (Kubernetes documents this for all resources since 1.35, and etcd never did
    /// otherwise); `None` where the API server gives no number.
    pub(super) version: Option<u64>,
    pub(super) generation: Option<i64>,
    /// When the controller wrote it.
    pub(super) published: Option<SystemTime>,
    pub(super) content: Result<T, Refusal>,
}

/// Why an object is of no use.
#[derive(Clone, Debug, Error)]
pub(super) enum Refusal {
    #[error("it cannot be decoded: {0}")]
    Undecodable(String),
    #[error(transparent)]
    Document(#[from] DocumentError),
}

impl Refusal {
    pub(super) fn reason(&self) -> &'static str {
        match self {
            Self::Undecodable(_) => "Undecodable",
            Self::Document(error) => error.problem.reason(),
        }
    }
}

/// A kind of object that can be followed.
pub(super) trait Document:
    Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + 'static
{
    /// What is kept of it.
    type Accepted: Debug + Send;

    /// Whether a listing by labels has to be as new as the moment at which it is asked for.
    const NEWEST: bool = false;

    fn accept(&self) -> Result<Self::Accepted, DocumentError>;
}

impl Document for NodeRuleSet {
    type Accepted = AcceptedRules;

    fn accept(&self) -> Result<AcceptedRules, DocumentError> {
        self.try_into()
    }
}

impl Document for PodSlice {
    type Accepted = AcceptedPods;

    fn accept(&self) -> Result<AcceptedPods, DocumentError> {
        self.try_into()
    }
}

impl Document for PolicySlice {
    type Accepted = AcceptedPolicies;

    /// A pod is opened by what its first listing says.
    const NEWEST: bool = true;

    fn accept(&self) -> Result<AcceptedPolicies, DocumentError> {
        self.try_into()
    }
}

impl Document for AddressGroup {
    type Accepted = AcceptedSlice;

    fn accept(&self) -> Result<AcceptedSlice, DocumentError> {
        self.try_into()
    }
}

/// Which objects are followed.
#[derive(Clone, Debug)]
pub(super) enum Selector {
    Fields(String),
    Labels(String),
}

/// The rule set of a node.
pub(super) fn by_name(node: &NodeName) -> Selector {
    Selector::Fields(format!("metadata.name={node}"))
}

/// The slices of some trees.
pub(super) fn by_keys<K: Key>(keys: &BTreeSet<K>) -> Selector {
    let keys: Vec<String> = keys.iter().map(K::to_string).collect();
    Selector::Labels(format!("{} in ({})", K::LABEL, keys.join(",")))
}

impl Selector {
    /// What labels find comes from the API server's watch cache. A listing of the newest state has to wait until the cache has it,
    /// or where an API server is older than 1.31, to read and decode every object of the kind: with 1,000 groups, nodes that
    /// subscribed to one new group each kept one busy for minutes (measured). Where it may be older, what the cache does not have
    /// yet follows in the watch, and nothing is handed on before it has come. A single object by its name costs nothing, and is
    /// the newest.
    fn list(&self, newest: bool) -> ListParams {
        let parameters = ListParams::default();
        match self {
            Self::Fields(fields) => parameters.fields(fields),
            Self::Labels(labels) if newest => parameters.labels(labels),
            // With a limit, `kube` would ask for the newest state after all; the cache knows no pages.
            Self::Labels(labels) => parameters.labels(labels).match_any(),
        }
    }

    fn watch(&self, open: Duration) -> WatchParams {
        let seconds = u32::try_from(open.as_secs()).unwrap_or(u32::MAX);
        let parameters = WatchParams::default().timeout(seconds);
        match self {
            Self::Fields(fields) => parameters.fields(fields),
            Self::Labels(labels) => parameters.labels(labels),
        }
    }
}

/// The listener is gone.
#[derive(Debug)]
pub(super) struct Unheard;

/// Follows what `selector` finds, and tells of it in order. Ends when nobody listens.
pub(super) async fn follow<D: Document, F>(
    api: Api<DeserializeGuard<D>>,
    selector: Selector,
    tell: impl Fn(Instant, Heard<D::Accepted>) -> F,
    again: Arc<Notify>,
) where
    F: Future<Output = Result<(), Unheard>>,
{
    let mut pause = Pause::new(again);
    loop {
        let told = match list(&api, &selector).await {
            Ok((objects, version)) => match tell(Instant::now(), Heard::Listed(objects)).await {
                Ok(()) => watch(&api, &selector, version, &tell, &mut pause).await,
                Err(unheard) => Err(unheard),
            },
            Err(problem) => tell(Instant::now(), Heard::Failed(problem)).await,
        };
        if let Err(Unheard) = told {
            return;
        }
        pause.wait().await;
    }
}

/// Everything that there is, and the version from which to follow.
pub(super) async fn list<D: Document>(
    api: &Api<DeserializeGuard<D>>,
    selector: &Selector,
) -> Result<(Vec<Object<D::Accepted>>, String), String> {
    let found = answer(LISTING, api.list(&selector.list(D::NEWEST))).await?;
    let version = found.metadata.resource_version.unwrap_or_default();
    Ok((found.items.into_iter().map(object).collect(), version))
}

/// The object of a name as it is now; `None` where there is none.
pub(super) async fn get<D: Document>(
    api: &Api<DeserializeGuard<D>>,
    name: &str,
) -> Result<Option<Object<D::Accepted>>, String> {
    Ok(answer(ANSWER, api.get_opt(name)).await?.map(object))
}

/// Follows from `version` on, over as many requests as it takes, until the API server does not know that version any
/// more.
async fn watch<D: Document, F>(
    api: &Api<DeserializeGuard<D>>,
    selector: &Selector,
    mut version: String,
    tell: &impl Fn(Instant, Heard<D::Accepted>) -> F,
    pause: &mut Pause,
) -> Result<(), Unheard>
where
    F: Future<Output = Result<(), Unheard>>,
{
    loop {
        let open = OPEN + spread(SPREAD);
        let asked = Instant::now();
        let parameters = selector.watch(open);
        let problem = match timeout(ANSWER, api.watch(&parameters, &version)).await {
            Err(late) => Some(late.to_string()),
            Ok(Err(kube::Error::Api(status))) if status.code == GONE => return Ok(()),
            Ok(Err(error)) => Some(with_sources(&error)),
            Ok(Ok(stream)) => {
                tell(Instant::now(), Heard::Following).await?;
                pin_mut!(stream);
                loop {
                    let event = match timeout(open + GRACE, stream.try_next()).await {
                        Err(_) => break Some("nothing was heard, not even the end".to_owned()),
                        Ok(Err(error)) => break Some(with_sources(&error)),
                        Ok(Ok(None)) => break None,
                        Ok(Ok(Some(event))) => event,
                    };
                    let received = Instant::now();
                    match event {
                        WatchEvent::Added(document) | WatchEvent::Modified(document) => {
                            version = document.resource_version().unwrap_or_default();
                            tell(received, Heard::Applied(object(document))).await?;
                        }
                        WatchEvent::Deleted(document) => {
                            version = document.resource_version().unwrap_or_default();
                            let deleted = Heard::Deleted {
                                name: document.name_any(),
                                version: number(&version),
                            };
                            tell(received, deleted).await?;
                        }
                        WatchEvent::Bookmark(mark) => version = mark.metadata.resource_version,
                        WatchEvent::Error(status) if status.code == GONE => return Ok(()),
                        WatchEvent::Error(status) => break Some(said(&status)),
                    }
                }
            }
        };
        if asked.elapsed() > LASTED {
            pause.reset();
        }
        match problem {
            Some(problem) => {
                tell(Instant::now(), Heard::Failed(problem)).await?;
                pause.wait().await;
            }
            None if asked.elapsed() > LASTED => {}
            None => pause.wait().await,
        }
    }
}

async fn answer<T>(patience: Duration, request: impl Future<Output = kube::Result<T>>) -> Result<T, String> {
    match timeout(patience, request).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(kube::Error::Api(status))) => Err(said(&status)),
        Ok(Err(error)) => Err(with_sources(&error)),
        Err(late) => Err(late.to_string()),
    }
}

fn said(status: &Status) -> String {
    format!("{} ({})", status.message, status.code)
}

fn object<D: Document>(DeserializeGuard(document): DeserializeGuard<D>) -> Object<D::Accepted> {
    let (metadata, content) = match &document {
        Ok(document) => (document.meta(), document.accept().map_err(Refusal::from)),
        Err(invalid) => (
            &invalid.metadata,
            Err(Refusal::Undecodable(invalid.error.clone())),
        ),
    };
    let published = metadata
        .annotations
        .as_ref()
        .and_then(|all| all.get(PUBLISHED_AT));
    Object {
        name: metadata.name.clone().unwrap_or_default(),
        version: metadata.resource_version.as_deref().and_then(number),
        generation: metadata.generation,
        published: published
            .and_then(|text| Timestamp::from_str(text).ok())
            .map(SystemTime::from),
        content,
    }
}

fn number(version: &str) -> Option<u64> {
    version.parse().ok()
}
