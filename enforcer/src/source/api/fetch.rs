//! The rule set as it is now, without following it.

use std::collections::{BTreeSet, VecDeque};

use kube::api::Api as Resources;
use kube::{Client, core::DeserializeGuard};
use palisade_crds::{NodeRuleSet, PolicySlice, RuleSet};
use palisade_policy::model::NodeName;

use super::ApiError;
use super::confirm::walk;
use super::key::Key;
use super::mirror::{Mirror, News, Order};
use super::shelf::Content;
use super::subscriptions::Step;
use super::watch::{Document, Heard, Object, Selector, by_keys, by_name, list};

/// Reads the rule set of `node` with all that it refers to: first itself, then its slices if it is split, then the policies,
/// then the groups.
pub async fn fetch(client: Client, node: &NodeName) -> Result<RuleSet, ApiError> {
    let mut mirror = Mirror::new(node.clone());
    let listed = all::<NodeRuleSet>(&client, &by_name(node)).await?;
    let mut open = VecDeque::from(mirror.hear(News::RuleSet(Heard::Listed(listed))));
    open.extend(mirror.select());
    while let Some(order) = open.pop_front() {
        let news = match order {
            Order::Pods(Step::Start(id, nodes)) => News::Pods(id, slices(&client, &nodes).await?),
            Order::Policies(Step::Start(id, namespaces)) => {
                News::Policies(id, slices(&client, &namespaces).await?)
            }
            Order::Groups(Step::Start(id, groups)) => News::Groups(id, slices(&client, &groups).await?),
            Order::Confirm(namespace, number) => {
                let resources: Resources<DeserializeGuard<PolicySlice>> = Resources::all(client.clone());
                let slices = walk(&resources, &namespace).await;
                let slices = slices.map_err(|message| ApiError::Unreachable { message })?;
                News::Confirmed(namespace, number, slices)
            }
            Order::Pods(Step::Stop(_)) | Order::Policies(Step::Stop(_)) | Order::Groups(Step::Stop(_)) => {
                continue;
            }
        };
        open.extend(mirror.hear(news));
        open.extend(mirror.select());
    }
    mirror.assemble()
}

async fn slices<K: Key>(client: &Client, keys: &BTreeSet<K>) -> Result<Heard<Content<K>>, ApiError> {
    let listed = all::<K::Slice>(client, &by_keys(keys)).await?;
    Ok(Heard::Listed(listed))
}

async fn all<D: Document>(
    client: &Client,
    selector: &Selector,
) -> Result<Vec<Object<D::Accepted>>, ApiError> {
    let resources: Resources<DeserializeGuard<D>> = Resources::all(client.clone());
    let listed = list(&resources, selector).await;
    let (objects, _) = listed.map_err(|message| ApiError::Unreachable { message })?;
    Ok(objects)
}
