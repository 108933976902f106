//! Writes the status of the node's `NodeRuleSet`.

use std::time::Duration;

use k8s_openapi::jiff::Timestamp;
use kube::api::{Api, Patch, PatchParams};
use kube::core::PartialObjectMeta;
use kube::{Client, Resource};
use palisade_crds::{NodeRuleSet, NodeRuleSetStatus};
use palisade_policy::model::NodeName;
use serde_json::json;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tracing::{debug, warn};

use super::conditions::{Claim, Transitions};
use crate::run::with_sources;
use crate::source::{Backoff, spread};

/// Who owns the fields of the status.
const FIELD_MANAGER: &str = "palisade-enforcer";

/// Between two writes. What happens in between is written once.
const INTERVAL: Duration = Duration::from_secs(1);

/// One change may concern every node: their writes are spread over this.
const SPREAD: Duration = Duration::from_millis(500);

/// The answer to one request takes no longer.
const ANSWER: Duration = Duration::from_secs(10);

/// Writes each claim that is new, until there will be no more. Failures are tried again.
pub(crate) async fn publish(client: Client, node: NodeName, mut claims: watch::Receiver<Option<Claim>>) {
    let mut transitions = None;
    let mut written: Option<Claim> = None;
    let mut backoff = Backoff::default();
    let mut failing = false;
    let mut not_before = Instant::now();
    while claims.changed().await.is_ok() {
        loop {
            sleep_until(not_before.max(Instant::now() + spread(SPREAD))).await;
            let claim = claims.borrow_and_update().clone();
            let Some(claim) = claim else {
                // A new object of this name starts without a status.
                written = None;
                transitions = None;
                break;
            };
            if written.as_ref() == Some(&claim) {
                break;
            }
            let outcome = match timeout(ANSWER, write(&client, &node, &claim, &mut transitions)).await {
                Ok(outcome) => outcome.map_err(|error| with_sources(&error)),
                Err(late) => Err(late.to_string()),
            };
            not_before = Instant::now() + INTERVAL;
            match outcome {
                Ok(()) => {
                    debug!(?claim, "reported");
                    written = Some(claim);
                    backoff.reset();
                    failing = false;
                    break;
                }
                Err(error) => {
                    if failing {
                        debug!(error, "still cannot report");
                    } else {
                        warn!(error, "cannot report; trying again");
                    }
                    failing = true;
                    sleep(backoff.next()).await;
                }
            }
        }
    }
}

async fn write(
    client: &Client,
    node: &NodeName,
    claim: &Claim,
    transitions: &mut Option<Transitions>,
) -> kube::Result<()> {
    let name = node.as_str();
    let transitions = if let Some(known) = transitions {
        known
    } else {
        let rule_sets: Api<NodeRuleSet> = Api::all(client.clone());
        let status = rule_sets.get_opt(name).await?.and_then(|found| found.status);
        transitions.insert(Transitions::read(status))
    };
    let status: NodeRuleSetStatus = claim.status(transitions, Timestamp::now());
    let patch = json!({
        "apiVersion": NodeRuleSet::api_version(&()),
        "kind": NodeRuleSet::kind(&()),
        "metadata": { "name": name },
        "status": status,
    });
    // The answer is the whole object, of which nothing is needed.
    let answers: Api<PartialObjectMeta<NodeRuleSet>> = Api::all(client.clone());
    let parameters = PatchParams::apply(FIELD_MANAGER).force();
    answers
        .patch_status(name, &parameters, &Patch::Apply(patch))
        .await?;
    Ok(())
}
