//! The policies of a namespace as they are at this moment.
//!
//! A rule set that brings a pod was written after the policies that were there before it, but it comes by another watch, and
//! the one of policies may be behind; so may be the cache that slices are listed from. Before a new pod is opened, the
//! policies of its namespace are read once, slice by slice: a read of an object by its name is of the newest state (API
//! concepts: without `resourceVersion`, "Most Recent"), and costs an API server next to nothing.
//!
//! A node that begins has the policies of all its namespaces to read, and all nodes may begin at once: 500 nodes that read 30
//! namespaces each slice by slice were 200,000 requests in two minutes, of which an API server refused four in five, and none of the
//! nodes came to an end. So more than [a few](FEW) namespaces are read by one listing. Kubernetes serves it from the watch cache,
//! once that is as new as the moment (1.31 and later).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use futures::future::join_all;
use kube::api::Api;
use kube::core::DeserializeGuard;
use palisade_crds::{AcceptedPolicies, PolicySlice};
use palisade_policy::model::NamespaceName;
use palisade_policy::rules::SliceId;
use tokio::sync::Notify;
use tracing::debug;

use super::backoff::Pause;
use super::key::parse;
use super::watch::{Object, by_keys, get, newest};

/// Namespaces that are read slice by slice.
pub(super) const FEW: usize = 4;

/// Reads all slices of the policies of a namespace, for as long as it takes.
pub(super) async fn confirm(
    api: Api<DeserializeGuard<PolicySlice>>,
    namespace: NamespaceName,
    again: Arc<Notify>,
) -> Vec<Object<AcceptedPolicies>> {
    let mut pause = Pause::new(again);
    loop {
        match walk(&api, &namespace).await {
            Ok(slices) => return slices,
            Err(problem) => debug!(%namespace, problem, "policies are not confirmed yet"),
        }
        pause.wait().await;
    }
}

/// Reads all slices of the policies of many namespaces at once, for as long as it takes.
pub(super) async fn confirm_many(
    api: Api<DeserializeGuard<PolicySlice>>,
    namespaces: BTreeSet<NamespaceName>,
    again: Arc<Notify>,
) -> BTreeMap<NamespaceName, Vec<Object<AcceptedPolicies>>> {
    let mut pause = Pause::new(again);
    let objects = loop {
        match newest(&api, &by_keys(&namespaces)).await {
            Ok(objects) => break objects,
            Err(problem) => debug!(problem, "policies are not confirmed yet"),
        }
        pause.wait().await;
    };
    let mut found: BTreeMap<_, Vec<_>> = namespaces.into_iter().map(|name| (name, Vec::new())).collect();
    for object in objects {
        // What has another kind of name can be referred to by nothing.
        let tree = parse::<NamespaceName>(&object.name);
        if let Some(slices) = tree.and_then(|(namespace, _)| found.get_mut(&namespace)) {
            slices.push(object);
        }
    }
    found
}

/// All slices, from the first to the last halves. An error where one is not to be had, as while halves are being joined.
pub(super) async fn walk(
    api: &Api<DeserializeGuard<PolicySlice>>,
    namespace: &NamespaceName,
) -> Result<Vec<Object<AcceptedPolicies>>, String> {
    let mut found = Vec::new();
    let mut open = vec![SliceId::WHOLE];
    while !open.is_empty() {
        let read = open.iter().map(async |id| {
            let name = PolicySlice::name_of(namespace, *id);
            (name.clone(), get(api, &name).await)
        });
        let read = join_all(read).await;
        open.clear();
        for (name, slice) in read {
            match slice? {
                Some(object) => {
                    let split = object.content.iter().find(|accepted| accepted.slice.split);
                    open.extend(split.into_iter().flat_map(|accepted| accepted.slice.id.halves()));
                    found.push(object);
                }
                // There are no policies any more: the rule set that says so is on its way.
                None if found.is_empty() => return Ok(found),
                None => return Err(format!("there is no {name}")),
            }
        }
    }
    Ok(found)
}
