//! The rule set as it is now, without following it.

use kube::api::Api as Resources;
use kube::{Client, core::DeserializeGuard};
use palisade_crds::{AddressGroup, NodeRuleSet, RuleSet};
use palisade_policy::model::NodeName;

use super::ApiError;
use super::mirror::{Mirror, News};
use super::subscriptions::Step;
use super::watch::{Heard, by_groups, by_name, list};

/// Reads the rule set of `node` with all of its slices.
pub async fn fetch(client: Client, node: &NodeName) -> Result<RuleSet, ApiError> {
    let unreachable = |message| ApiError::Unreachable { message };
    let rule_sets: Resources<DeserializeGuard<NodeRuleSet>> = Resources::all(client.clone());
    let slices: Resources<DeserializeGuard<AddressGroup>> = Resources::all(client);
    let mut mirror = Mirror::new(node.clone());
    let (listed, _) = list(&rule_sets, &by_name(node)).await.map_err(unreachable)?;
    for step in mirror.hear(News::RuleSet(Heard::Listed(listed))) {
        if let Step::Start(id, groups) = step {
            let (listed, _) = list(&slices, &by_groups(&groups)).await.map_err(unreachable)?;
            mirror.hear(News::Slices(id, Heard::Listed(listed)));
        }
    }
    mirror.assemble()
}
