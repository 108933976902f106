//! What the API server tells about pods, namespaces, policies and nodes.
//!
//! One task for each kind reads its watch and hands on what is kept of each object. It remembers nothing: whoever
//! receives the steps compares a listing with what it has ([`Step`]).

mod kind;
mod pauses;
mod reduced;

use std::time::Instant;

use futures::{Stream, StreamExt};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::{Api, Client};
use kube_runtime::WatchStreamExt;
use kube_runtime::watcher::{self, Event, watcher};
use palisade_policy::model::{Defect, Namespace, Node, Pod, Policy};
use serde_json::Value;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use pauses::Pauses;

pub(crate) use kind::Kind;
pub(crate) use reduced::{Reduced, Source};

/// How long the API server lets a watch live. A connection that died in silence is noticed a little later.
const WATCH_SECONDS: u32 = 30;

/// One step of a watch.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Step<T: Kind> {
    /// A listing begins.
    ListingStarted,
    /// An object of the listing.
    Listed(Observed<T>),
    /// The listing is whole: what it did not have is gone.
    ListingDone,
    /// An object was added or changed.
    Applied(Observed<T>),
    /// An object is gone.
    Deleted(T::Key),
}

/// An object as a watch shows it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Observed<T: Kind> {
    /// Its identity; without one it cannot be anybody's.
    pub(crate) key: Option<T::Key>,
    /// Its namespace and name, for people.
    pub(crate) place: Place,
    /// The object; `None` where it cannot be read.
    pub(crate) object: Option<T>,
    /// What could not be understood of it.
    pub(crate) defects: Vec<Defect>,
}

/// Where an object is.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    pub(crate) namespace: Option<String>,
    pub(crate) name: String,
    pub(crate) uid: Option<String>,
}

/// A step of one of the watches.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Change {
    Pod(Step<Pod>),
    Namespace(Step<Namespace>),
    Policy(Step<Policy>),
    Node(Step<Node>),
}

/// A change, and when it came.
#[derive(Clone, Debug)]
pub(crate) struct Input {
    pub(crate) received: Instant,
    pub(crate) change: Change,
}

impl<T: Kind> Source for Observed<T> {
    type Resource = T::Resource;

    fn reduce(metadata: &ObjectMeta, document: &Value) -> Self {
        let (object, defects) = T::decode(document);
        Self {
            key: T::key(metadata),
            place: Place {
                namespace: metadata.namespace.clone(),
                name: metadata.name.clone().unwrap_or_default(),
                uid: metadata.uid.clone(),
            },
            object,
            defects,
        }
    }
}

/// The events of all objects of a kind, for as long as they are asked for; failures are retried after a pause.
pub(crate) fn events<S: Source>(client: Client) -> impl Stream<Item = Event<Reduced<S>>> + Send
where
    Reduced<S>: kube::Resource<DynamicType = ()>,
{
    let api = Api::<Reduced<S>>::all(client);
    let stream = watcher(api, watcher::Config::default().timeout(WATCH_SECONDS)).backoff(Pauses::default());
    stream.filter_map(|event| async move {
        event
            .map_err(|error| {
                tracing::warn!(kind = %<S::Resource as kube::Resource>::kind(&()), error = %crate::error::chain(&error), "cannot watch");
            })
            .ok()
    })
}

/// A document as a watch would show it.
#[cfg(test)]
pub(crate) fn observe<T: Kind>(document: &Value) -> Observed<T> {
    use serde::Deserialize;
    Reduced::<Observed<T>>::deserialize(document).unwrap().kept
}

/// Reads the watch of one kind until `end`, or until nobody listens.
pub(crate) async fn watch<T: Kind>(
    client: Client,
    change: fn(Step<T>) -> Change,
    inputs: mpsc::Sender<Input>,
    end: CancellationToken,
) {
    let mut events = std::pin::pin!(events::<Observed<T>>(client));
    while let Some(Some(event)) = end.run_until_cancelled(events.next()).await {
        let received = Instant::now();
        let step = match event {
            Event::Init => Step::ListingStarted,
            Event::InitApply(object) => Step::Listed(object.kept),
            Event::InitDone => Step::ListingDone,
            Event::Apply(object) => Step::Applied(object.kept),
            Event::Delete(object) => match object.kept.key {
                Some(key) => Step::Deleted(key),
                None => continue,
            },
        };
        let input = Input {
            received,
            change: change(step),
        };
        if inputs.send(input).await.is_err() {
            return;
        }
    }
}
