//! The controller: everything together, from its start to its end.
//!
//! ```text
//!   watches ──► compile ──► publish ──► API server
//!                  │           ▲
//!                  ▼           │ may write until
//!               report ◄── lead
//! ```
//!
//! Each arrow is a channel, each word a task. None of them ends by itself: whichever does ends the program, so that it
//! starts afresh.

mod compile;
mod intake;

use std::net::SocketAddr;
use std::time::Duration;

use kube::{Client, Config};
use palisade_health::{Endpoint, Readiness, ServeError};
use palisade_policy::model::{Namespace, Node, Pod, Policy};
use prometheus_client::registry::Registry;
use thiserror::Error;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::lead::{Leadership, lead, leases};
use crate::metrics::Metrics;
use crate::publish::publish;
use crate::report::report;
use crate::watch::{Change, watch as watch_kind};
use compile::{Progress, compile};

/// Inputs that may wait to be taken in.
const INPUTS: usize = 4096;

/// Notes that may wait to be told.
const NOTES: usize = 1024;

/// A connection over which nothing comes for this long is dead: watches end sooner by themselves.
const SILENCE: Duration = Duration::from_secs(45);

/// What the controller is told when it starts.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where it answers for liveness, readiness and metrics.
    pub health: SocketAddr,
    /// The namespace of the Lease.
    pub lease_namespace: String,
    /// Its own name among the replicas.
    pub identity: String,
}

/// Why the controller ended, other than by being told to.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum RunError {
    /// There is no configuration of how to reach the API server.
    #[error("cannot tell how to reach the API server")]
    Configuration(#[source] Box<kube::Error>),
    /// Nobody can ask it for anything.
    #[error(transparent)]
    Health(#[from] ServeError),
    /// The system does not tell about signals.
    #[error("cannot listen for signals")]
    Signals(#[source] std::io::Error),
    /// A task has ended although nobody told it to.
    #[error("the task {0} has ended")]
    TaskEnded(&'static str),
    /// A task has panicked.
    #[error("a task has panicked")]
    TaskPanicked(#[source] tokio::task::JoinError),
}

/// Tasks that end when their token is cancelled, and not before.
#[derive(Debug, Default)]
struct Tasks {
    running: JoinSet<&'static str>,
    end: CancellationToken,
}

impl Tasks {
    fn spawn(&mut self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        self.running.spawn(async move {
            task.await;
            name
        });
    }

    /// Waits for one that ends although nobody told it to.
    async fn ended(&mut self) -> RunError {
        match self.running.join_next().await {
            Some(Ok(name)) => RunError::TaskEnded(name),
            Some(Err(error)) => RunError::TaskPanicked(error),
            None => std::future::pending().await,
        }
    }

    /// Tells all to end, and waits until they have.
    async fn end(mut self) {
        self.end.cancel();
        while self.running.join_next().await.is_some() {}
    }
}

/// Runs until SIGTERM or SIGINT.
pub async fn run(options: Options) -> Result<(), RunError> {
    let mut registry = Registry::default();
    let metrics = Metrics::new(&mut registry);
    let readiness = Readiness::default();
    let client = connect().await?;
    let endpoint = Endpoint::bind(options.health).await?;
    let mut terminate = signal(SignalKind::terminate()).map_err(RunError::Signals)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(RunError::Signals)?;

    let told = async move {
        tokio::select! {
            _ = terminate.recv() => (),
            _ = interrupt.recv() => (),
        }
    };
    let progress = Progress::new(&readiness);
    let mut service = Tasks::default();
    let end = service.end.clone();
    service.spawn("serve", async move {
        if let Err(error) = endpoint.serve(readiness, registry, end).await {
            tracing::error!(error = %crate::error::chain(&error), "cannot answer any longer");
        }
    });
    let Options {
        lease_namespace,
        identity,
        ..
    } = options;
    work(
        client,
        &lease_namespace,
        identity,
        progress,
        metrics,
        service,
        told,
    )
    .await
}

/// Does what [`run`] does with a client of any sort, until `stop`, without answering for health and metrics.
pub async fn control(
    client: Client,
    lease_namespace: &str,
    identity: String,
    stop: impl Future<Output = ()>,
) -> Result<(), RunError> {
    let metrics = Metrics::new(&mut Registry::default());
    let progress = Progress::new(&Readiness::default());
    work(
        client,
        lease_namespace,
        identity,
        progress,
        metrics,
        Tasks::default(),
        stop,
    )
    .await
}

/// Leads and works until `stop`. What is in `service` goes on until the work has ended, and so does leading.
async fn work(
    client: Client,
    lease_namespace: &str,
    identity: String,
    progress: Progress,
    metrics: Metrics,
    mut service: Tasks,
    stop: impl Future<Output = ()>,
) -> Result<(), RunError> {
    let (leadership, may_write) = watch::channel(Leadership::default());
    let lease = leases(client.clone(), lease_namespace);
    let leading = lead(
        lease,
        identity.clone(),
        leadership,
        metrics.clone(),
        service.end.clone(),
    );
    service.spawn("lead", leading);
    let mut work = start(client, identity, progress, may_write, metrics);
    let outcome = tokio::select! {
        () = stop => Ok(()),
        error = work.ended() => Err(error),
        error = service.ended() => Err(error),
    };
    tracing::info!("ending");
    work.end().await;
    service.end().await;
    outcome
}

/// Starts everything from the watches to the writes.
fn start(
    client: Client,
    identity: String,
    progress: Progress,
    may_write: watch::Receiver<Leadership>,
    metrics: Metrics,
) -> Tasks {
    let (inputs, received) = mpsc::channel(INPUTS);
    let (changes, compiled) = mpsc::channel(1);
    let (tell, notes) = mpsc::channel(NOTES);
    let mut work = Tasks::default();
    let end = work.end.clone();
    work.spawn(
        "pods",
        watch_kind::<Pod>(client.clone(), Change::Pod, inputs.clone(), end.clone()),
    );
    work.spawn(
        "namespaces",
        watch_kind::<Namespace>(client.clone(), Change::Namespace, inputs.clone(), end.clone()),
    );
    work.spawn(
        "policies",
        watch_kind::<Policy>(client.clone(), Change::Policy, inputs.clone(), end.clone()),
    );
    work.spawn(
        "nodes",
        watch_kind::<Node>(client.clone(), Change::Node, inputs, end.clone()),
    );
    work.spawn(
        "compile",
        compile(
            received,
            changes,
            progress,
            tell.clone(),
            metrics.clone(),
            end.clone(),
        ),
    );
    work.spawn(
        "publish",
        publish(
            client.clone(),
            compiled,
            may_write.clone(),
            tell,
            metrics,
            end.clone(),
        ),
    );
    work.spawn("report", report(client, identity, notes, may_write, end));
    work
}

/// A client that answers at once with what it knows: retries and pauses are ours.
async fn connect() -> Result<Client, RunError> {
    let unreachable = |error: kube::Error| RunError::Configuration(Box::new(error));
    let mut config = Config::infer()
        .await
        .map_err(|error| unreachable(kube::Error::InferConfig(error)))?;
    config.default_retry = false;
    config.read_timeout = Some(SILENCE);
    config.reset_reader_on_write = true;
    Client::try_from(config).map_err(unreachable)
}
