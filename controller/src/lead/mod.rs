//! Which replica writes.
//!
//! One task keeps a Lease, or waits for it; everybody else asks [`Leadership`] how long they may go on. Whoever cannot
//! renew stops by itself before anybody else may begin, and gives each write no more time than that: two replicas never
//! write at once, unless the API server carries a request out long after its client has gone.
//!
//! Every change of the Lease is bound to the version that was read, so that of two who take it one fails.

mod election;

use std::time::{Duration, Instant};

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use k8s_openapi::jiff::Timestamp;
use kube::Client;
use kube::api::{Api, ObjectMeta, PostParams};
use thiserror::Error;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::error::chain;
use crate::metrics::Metrics;
use election::{DURATION, Decision, Election, INTERVAL, Record};

pub(crate) use election::Leadership;

/// The Lease's name.
const NAME: &str = "palisade-controller";

/// The longest that one call may take.
const CALL_LIMIT: Duration = Duration::from_secs(3);

/// How long a replica that has taken over from another listens before it writes. What the other did last may still be on
/// its way, and must not be undone.
const LISTEN: Duration = Duration::from_millis(500);

/// Why the Lease could not be read or written.
#[derive(Debug, Error)]
enum LeaseError {
    #[error("no answer within {0:?}")]
    Timeout(Duration),
    #[error(transparent)]
    Api(#[from] kube::Error),
}

/// Keeps the Lease, or waits for it, until `end`; then lets it go.
pub(crate) async fn lead(
    api: Api<Lease>,
    identity: String,
    leadership: watch::Sender<Leadership>,
    metrics: Metrics,
    end: CancellationToken,
) {
    let mut election = Election::new(identity.clone());
    let mut leads = false;
    loop {
        let outcome = attempt(&api, &identity, &mut election).await;
        match &outcome {
            Ok(Some((renewed, decision))) => {
                if *decision == Decision::Take {
                    sleep(LISTEN).await;
                }
                leadership.send_replace(*renewed);
            }
            // Somebody else has it: whatever was left is over.
            Ok(None) => {
                leadership.send_replace(Leadership::default());
            }
            Err(error) => tracing::warn!(error = %chain(error), "cannot keep the lease"),
        }
        let now = leadership.borrow().left(Instant::now()).is_some();
        if now != leads {
            leads = now;
            tracing::info!(identity, leads, "leadership");
        }
        metrics.leader.set(leads.into());
        if end.run_until_cancelled(sleep(INTERVAL)).await.is_none() {
            break;
        }
    }
    leadership.send_replace(Leadership::default());
    metrics.leader.set(0);
    if leads && let Err(error) = release(&api, &identity).await {
        tracing::warn!(error = %chain(&error), "cannot let the lease go");
    }
}

/// The API of Leases in a namespace.
pub(crate) fn leases(client: Client, namespace: &str) -> Api<Lease> {
    Api::namespaced(client, namespace)
}

/// Reads the Lease and does about it what the election says; the leadership that comes of it, if it is ours now, and
/// how it came to be.
async fn attempt(
    api: &Api<Lease>,
    identity: &str,
    election: &mut Election,
) -> Result<Option<(Leadership, Decision)>, LeaseError> {
    let stored = within(api.get_opt(NAME)).await?;
    let decision = election.decide(stored.as_ref().map(record), Instant::now());
    let sent = Instant::now();
    let written = match (decision, stored) {
        (Decision::Stand, _) => return Ok(None),
        (Decision::Create, _) | (_, None) => {
            let lease = Lease {
                metadata: ObjectMeta {
                    name: Some(NAME.to_owned()),
                    ..ObjectMeta::default()
                },
                spec: Some(held(LeaseSpec::default(), identity)),
            };
            within(api.create(&PostParams::default(), &lease)).await
        }
        (Decision::Renew | Decision::Take, Some(mut lease)) => {
            let mut spec = lease.spec.take().unwrap_or_default();
            if decision == Decision::Take {
                spec.acquire_time = None;
                spec.lease_transitions = Some(spec.lease_transitions.unwrap_or_default().saturating_add(1));
            }
            lease.spec = Some(held(spec, identity));
            within(api.replace(NAME, &PostParams::default(), &lease)).await
        }
    };
    match written {
        Ok(_) => Ok(Some((Leadership::renewed(sent), decision))),
        // Somebody was faster; what they wrote is read in a moment.
        Err(LeaseError::Api(kube::Error::Api(status))) if status.code == 409 => Ok(None),
        Err(error) => Err(error),
    }
}

/// Gives the Lease up, if it is still ours, so that another need not wait.
async fn release(api: &Api<Lease>, identity: &str) -> Result<(), LeaseError> {
    let Some(mut lease) = within(api.get_opt(NAME)).await? else {
        return Ok(());
    };
    if record(&lease).holder.as_deref() != Some(identity) {
        return Ok(());
    }
    if let Some(spec) = &mut lease.spec {
        spec.holder_identity = None;
        spec.acquire_time = None;
        spec.renew_time = None;
    }
    within(api.replace(NAME, &PostParams::default(), &lease))
        .await
        .map(drop)
}

async fn within<T>(call: impl Future<Output = Result<T, kube::Error>>) -> Result<T, LeaseError> {
    let answer = timeout(CALL_LIMIT, call).await;
    Ok(answer.map_err(|_| LeaseError::Timeout(CALL_LIMIT))??)
}

fn held(spec: LeaseSpec, identity: &str) -> LeaseSpec {
    let now = MicroTime(Timestamp::now());
    LeaseSpec {
        holder_identity: Some(identity.to_owned()),
        lease_duration_seconds: i32::try_from(DURATION.as_secs()).ok(),
        acquire_time: spec.acquire_time.or_else(|| Some(now.clone())),
        renew_time: Some(now),
        ..spec
    }
}

fn record(lease: &Lease) -> Record {
    let spec = lease.spec.as_ref();
    let seconds = spec.and_then(|spec| spec.lease_duration_seconds);
    Record {
        holder: spec.and_then(|spec| spec.holder_identity.clone()),
        duration: seconds
            .and_then(|seconds| u64::try_from(seconds).ok())
            .map_or(DURATION, Duration::from_secs),
        version: lease.metadata.resource_version.clone().unwrap_or_default(),
    }
}
