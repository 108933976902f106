//! Calls to the API server that write.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::jiff::Timestamp;
use kube::api::{Api, DeleteParams, Patch, PatchParams, PostParams, Preconditions};
use kube::{Client, ResourceExt};
use palisade_crds::policy_slice::PolicySliceSpec;
use palisade_crds::{AddressGroup, NodeRuleSet, PUBLISHED_AT, PodSlice, PolicySlice};
use palisade_policy::rules::{NodeHead, PodSlice as Pods, PolicySlice as Policies, Scope, Slice};
use serde::Serialize;
use serde::de::DeserializeOwned;
use thiserror::Error;
use tokio::time::timeout;

use super::ledger::{Action, Key, Kind, Stored, Write};
use super::stored::{Copy, Document};
use super::{Dated, size};
use crate::report::Note;
use crate::watch::Reduced;

/// Who we are to server-side apply.
const FIELD_MANAGER: &str = "palisade-controller";

/// What is published.
#[derive(Clone, Debug)]
pub(crate) enum Content {
    /// A slice of a group with this scope.
    Slice(Arc<(Slice, Scope)>),
    /// A slice of the policies of a namespace.
    Policies(Arc<Policies>),
    /// A slice of the pods of a node, which is not the first.
    Pods(Arc<Pods>),
    /// A node, with the first slice of its pods.
    Head(Arc<NodeHead>),
}

impl Content {
    /// What to tell whom where this is large. A group is nobody's alone: the log and the metric tell.
    pub(super) fn note(&self, bytes: usize) -> Option<Note> {
        match self {
            Self::Slice(_) => None,
            Self::Policies(slice) => {
                let largest = PolicySliceSpec::from(slice.as_ref());
                let largest = largest.policies.iter().map(size::bytes);
                let (policy, _) = slice
                    .policies
                    .keys()
                    .zip(largest)
                    .max_by_key(|(_, bytes)| *bytes)?;
                Some(Note::large_policy(policy, bytes))
            }
            Self::Pods(slice) => Some(Note::large_node(slice.node.as_str(), bytes)),
            Self::Head(head) => Some(Note::large_node(head.pods.node.as_str(), bytes)),
        }
    }
}

/// What a write came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Done {
    /// This is stored now.
    Written(Stored),
    /// Nothing is.
    Deleted,
}

/// Why a write failed.
#[derive(Debug, Error)]
pub(crate) enum WriteError {
    #[error("no answer within {0:?}")]
    Timeout(Duration),
    #[error("the API server refused")]
    Refused(#[source] kube::Error),
    #[error("the connection failed")]
    Connection(#[source] kube::Error),
}

impl WriteError {
    /// A stable label.
    pub(crate) fn reason(&self) -> &'static str {
        match self {
            Self::Timeout(_) => "Timeout",
            Self::Connection(_) => "Connection",
            Self::Refused(kube::Error::Api(status)) => match status.code {
                401 | 403 => "Forbidden",
                404 => "NotFound",
                409 => "Conflict",
                413 => "TooLarge",
                422 | 400 => "Invalid",
                429 => "TooManyRequests",
                500..=599 => "ServerError",
                _ => "Refused",
            },
            Self::Refused(_) => "Refused",
        }
    }

    /// Whether the write may have been done all the same.
    pub(crate) fn is_unsure(&self) -> bool {
        match self {
            Self::Timeout(_) | Self::Connection(_) => true,
            Self::Refused(kube::Error::Api(status)) => status.code >= 500,
            Self::Refused(_) => false,
        }
    }

    /// Whether the object itself is the reason: another attempt with the same content will fail too.
    pub(crate) fn is_rejected(&self) -> bool {
        matches!(self.reason(), "Invalid" | "TooLarge")
    }
}

impl From<kube::Error> for WriteError {
    fn from(error: kube::Error) -> Self {
        match error {
            kube::Error::Api(_) | kube::Error::BuildRequest(_) => Self::Refused(error),
            _ => Self::Connection(error),
        }
    }
}

/// Does what an action says, within `limit`.
pub(crate) async fn write(
    client: Client,
    action: Action<Dated>,
    limit: Duration,
) -> Result<Done, WriteError> {
    let Action { key, write } = action;
    let call = async {
        match write {
            Write::Delete { version } => match key.kind {
                Kind::Slice => delete::<AddressGroup>(client, &key, version).await,
                Kind::Policies => delete::<PolicySlice>(client, &key, version).await,
                Kind::Pods => delete::<PodSlice>(client, &key, version).await,
                // Its status changes all the time, and nothing refers to it: whatever its version is.
                Kind::RuleSet => delete::<NodeRuleSet>(client, &key, None).await,
            },
            Write::Put {
                wanted,
                revision,
                replace,
            } => match wanted.content.content {
                Content::Slice(slice) => {
                    let (slice, scope) = slice.as_ref();
                    put(client, AddressGroup::publish(slice, scope, revision), replace).await
                }
                Content::Policies(slice) => {
                    put(client, PolicySlice::publish(&slice, revision), replace).await
                }
                Content::Pods(slice) => put(client, PodSlice::publish(&slice, revision), replace).await,
                Content::Head(head) => put(client, NodeRuleSet::publish(&head, revision), replace).await,
            },
        }
    };
    timeout(limit, call)
        .await
        .map_err(|_| WriteError::Timeout(limit))?
}

/// Applies a document by force: the whole of it is ours. With `replace`, puts it in place of that version.
async fn put<D>(client: Client, mut document: D, replace: Option<u64>) -> Result<Done, WriteError>
where
    D: Document + Serialize + DeserializeOwned + std::fmt::Debug,
{
    let now = format!("{:.3}", Timestamp::now());
    document.annotations_mut().insert(PUBLISHED_AT.to_owned(), now);
    let name = document.name_any();
    if let Some(version) = replace {
        document.meta_mut().resource_version = Some(version.to_string());
        let parameters = PostParams {
            field_manager: Some(FIELD_MANAGER.to_owned()),
            ..PostParams::default()
        };
        let api = Api::<D>::all(client);
        api.replace(&name, &parameters, &document).await?;
        // What counts is what an apply leaves; it also brings the fields back under our name.
        document.meta_mut().resource_version = None;
        return apply(&api.into_client(), &name, &document).await;
    }
    apply(&client, &name, &document).await
}

async fn apply<D>(client: &Client, name: &str, document: &D) -> Result<Done, WriteError>
where
    D: Document + Serialize + std::fmt::Debug,
{
    let api = Api::<Reduced<Copy<D>>>::all(client.clone());
    let parameters = PatchParams::apply(FIELD_MANAGER).force();
    let stored = api.patch(name, &parameters, &Patch::Apply(document)).await?;
    Ok(Done::Written(stored.kept.stored))
}

/// Deletes an object, if it is still of this version. One that is gone already is as good.
async fn delete<D: Document + std::fmt::Debug>(
    client: Client,
    key: &Key,
    version: Option<u64>,
) -> Result<Done, WriteError> {
    let api = Api::<Reduced<Copy<D>>>::all(client);
    let parameters = DeleteParams {
        preconditions: version.map(|version| Preconditions {
            resource_version: Some(version.to_string()),
            uid: None,
        }),
        ..DeleteParams::default()
    };
    match api.delete(&key.name, &parameters).await {
        Ok(_) => Ok(Done::Deleted),
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(Done::Deleted),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use palisade_policy::cluster::{ClusterState, Event};
    use palisade_policy::compile::compile;
    use palisade_policy::model::{PolicyKey, Protocol};
    use palisade_policy::rules::SliceId;
    use palisade_policy::testing::builders::{everybody, policy, port};

    use super::*;

    #[test]
    fn of_a_large_slice_the_largest_policy_is_told() {
        let policies = [("shop/a", 3_u16), ("shop/b", 30), ("shop/c", 2)].map(|(name, ports)| {
            let ports = (1..=ports).map(|number| port(Protocol::Tcp, number));
            Event::PolicyApplied(policy(name).allowing_from([everybody().on_ports(ports)]))
        });
        let published = compile(&ClusterState::from_events(policies));
        let slice = published.policies[&"shop".into()][&SliceId::WHOLE].clone();
        assert_eq!(slice.policies.len(), 3);
        let note = Content::Policies(Arc::new(slice)).note(7);
        assert_eq!(note, Some(Note::large_policy(&PolicyKey::new("shop", "b"), 7)));
    }
}
