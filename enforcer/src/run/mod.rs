//! `palisade-enforcer run`: rules and facts into the kernel, for as long as it runs.
//!
//! ```text
//!   rules ──┐
//!   facts ──┼─► one task that owns the state ──► plan ──► diff ──► one transaction
//!   edits ──┘            │
//!                        └──► status
//! ```
//! Nothing is written before there is a complete rule set: until then a fresh node is open, and a node with tables of
//! ours is enforced as it was. Nothing is taken away at the end either.

mod desired;
mod judging;
mod node;
pub(crate) mod status;

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::pin::pin;
use std::time::{Duration, Instant};

use palisade_health::{Endpoint, Readiness, ServeError};
use palisade_policy::model::NodeName;
use prometheus_client::registry::Registry;
use thiserror::Error;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc::{self, Receiver, Sender};
use tokio::sync::watch;
use tokio::task::{JoinError, JoinHandle, JoinSet};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::facts::{FactsError, FactsSettings, FactsWatch, NamedPods};
use crate::flows::{self, ConntrackError};
use crate::moment::reached;
use crate::nft::{Edits, Loaded, Nlink, ReadError};
use crate::plan::Settings;
use crate::report::{Report, publish};
use crate::source::{Api, ClientError, Failures, Files, Source, SourceError, client};
use judging::follow_flows;
pub(crate) use node::with_sources;
use node::{Input, Node};

pub use desired::{Unplannable, desired};
pub use node::Refused;
pub use status::Status;

/// Inputs that may wait; whoever has more waits himself.
const INBOX: usize = 64;

/// How often the facts may fail in a row before that is given up.
const FACTS_ATTEMPTS: usize = 10;

/// What `run` needs to know.
#[derive(Clone, Debug)]
pub struct Options {
    /// The node.
    pub node: NodeName,
    /// The directory of the rules; `None`: the API server.
    pub rules: Option<PathBuf>,
    /// Where it answers for its health.
    pub health: Option<SocketAddr>,
    /// Where the facts come from.
    pub facts: FactsSettings,
    /// The file for the status.
    pub status: Option<PathBuf>,
    /// Whether to end as soon as the rules that are there now are enforced.
    pub once: bool,
}

impl Options {
    /// What the plan needs to know.
    pub fn plan(&self) -> Settings {
        Settings {
            pod_interfaces: self.facts.pod_interfaces.clone(),
        }
    }
}

/// Why the enforcer ends before it is told to. The kernel keeps what it has.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum RunError {
    /// The kernel cannot be asked.
    #[error("the kernel's ruleset cannot be followed")]
    Kernel(#[from] ReadError),
    /// Established flows cannot be asked for.
    #[error("the kernel's flows cannot be followed")]
    Flows(#[from] ConntrackError),
    /// The kernel refuses.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// The rules cannot be followed.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The facts cannot be followed.
    #[error(transparent)]
    Facts(#[from] FactsError),
    /// It is not known how to reach the API server.
    #[error("there is no way to the API server")]
    Client(#[from] ClientError),
    /// Nobody can ask for its health.
    #[error(transparent)]
    Health(#[from] ServeError),
    /// Signals cannot be received.
    #[error("signals cannot be received")]
    Signals(#[source] io::Error),
    /// A task has failed.
    #[error("a task has failed")]
    Task(#[from] JoinError),
    /// With [`Options::once`]: the rules are not enforced.
    #[error("the rules are not enforced: {0}")]
    NotReady(String),
}

/// Enforces until a signal asks to end, in the network namespace of the calling thread.
pub async fn run(options: Options) -> Result<(), RunError> {
    let kernel = Nlink::open()?;
    // Before anything is read, so that no edit falls between.
    let edits = kernel.edits().await?;
    // Takes as long as it takes until rules and facts are there.
    let loaded = Nlink::read_apart();
    let conntrack = flows::Netlink::open()?;
    let failures = Failures::default();
    let (source, client) = if let Some(directory) = &options.rules {
        let files = Files::new(directory.clone(), options.node.clone())?;
        (Source::Files(Box::new(files)), None)
    } else {
        let client = client().await?;
        let api = Api::new(client.clone(), options.node.clone(), failures.clone());
        (Source::Api(Box::new(api)), Some(client))
    };
    let facts = FactsWatch::new(options.facts.clone())?;
    let [mut terminated, mut interrupted] = signals()?;

    let (inputs, mut inbox) = mpsc::channel(INBOX);
    let (node, asked) = Node::new(kernel, options.plan(), Status::new(options.node.clone()));
    let mut tasks = JoinSet::new();
    tasks.spawn(follow_rules(source, inputs.clone()));
    tasks.spawn(follow_facts(facts, asked.pods, inputs.clone()));
    tasks.spawn(follow_edits(edits, inputs.clone()));
    tasks.spawn(follow_flows(conntrack, asked.flows, inputs));
    let (readiness, mut registry) = (Readiness::default(), Registry::default());
    let (report, claims) = Report::new(options.status.clone(), &readiness, &mut registry, &failures);
    if let Some(client) = client {
        let publishing = publish(client, options.node.clone(), claims);
        tasks.spawn(async {
            publishing.await;
            Ok(())
        });
    }
    let end = CancellationToken::new();
    if let Some(address) = options.health {
        let endpoint = Endpoint::bind(address).await?;
        let serving = endpoint.serve(readiness, registry, end.clone());
        tasks.spawn(async { Ok(serving.await?) });
    }

    let enforcing = pin!(enforce(node, loaded, &mut inbox, report, options.once));
    tokio::select! {
        ended = enforcing => return ended,
        _ = terminated.recv() => {}
        _ = interrupted.recv() => {}
        Some(ended) = tasks.join_next() => return ended?,
    }
    info!("told to end; the kernel keeps enforcing");
    Ok(())
}

async fn enforce(
    mut node: Node<Nlink>,
    mut loaded: JoinHandle<Result<Loaded, ReadError>>,
    inbox: &mut Receiver<Input>,
    mut report: Report,
    once: bool,
) -> Result<(), RunError> {
    let mut is_read = false;
    node.await_tables();
    loop {
        let outcome = node.flush().await;
        report.tell(node.status());
        outcome?;
        if once && node.is_informed() && node.is_settled() {
            return enforced(node.status());
        }
        tokio::select! {
            read = &mut loaded, if !is_read => {
                is_read = true;
                // Why it cannot be read is told where it is read again.
                node.know(read?.ok());
            }
            input = inbox.recv() => match input {
                Some(input) => node.take(input),
                None => return Ok(()),
            },
            () = reached(node.retry()) => {}
        }
        // What came together is planned together.
        while let Ok(input) = inbox.try_recv() {
            node.take(input);
        }
    }
}

fn enforced(status: &Status) -> Result<(), RunError> {
    if status.ready {
        return Ok(());
    }
    let problems: Vec<&str> = status
        .degraded
        .iter()
        .map(|condition| condition.message.as_str())
        .collect();
    Err(RunError::NotReady(problems.join("; ")))
}

fn signals() -> Result<[Signal; 2], RunError> {
    let receive = |kind| signal(kind).map_err(RunError::Signals);
    Ok([
        receive(SignalKind::terminate())?,
        receive(SignalKind::interrupt())?,
    ])
}

async fn follow_rules(mut source: Source, inputs: Sender<Input>) -> Result<(), RunError> {
    loop {
        let delivery = source.next().await?;
        if inputs.send(Input::Rules(delivery, Instant::now())).await.is_err() {
            return Ok(());
        }
    }
}

async fn follow_facts(
    mut facts: FactsWatch,
    mut named: watch::Receiver<NamedPods>,
    inputs: Sender<Input>,
) -> Result<(), RunError> {
    let mut last = None;
    let mut received = Instant::now();
    loop {
        let observed = persistent(|| facts.observe()).await?;
        if last.as_ref() != Some(&observed) {
            last = Some(observed.clone());
            let input = Input::Observed {
                observed,
                received,
                decoded: Instant::now(),
            };
            if inputs.send(input).await.is_err() {
                return Ok(());
            }
        }
        loop {
            tokio::select! {
                changed = facts.changed() => break changed?,
                // Nobody is looked for at once; the wait begins anew with what it has to wait for.
                Ok(()) = named.changed() => facts.want(named.borrow_and_update().clone()),
            }
        }
        received = Instant::now();
    }
}

/// The facts, or the error when it keeps failing: while links come and go, a listing may.
async fn persistent<T, F>(observe: impl Fn() -> F) -> Result<T, FactsError>
where
    F: Future<Output = Result<T, FactsError>>,
{
    let mut attempt = 1;
    loop {
        match observe().await {
            Err(error) if attempt < FACTS_ATTEMPTS => warn!(%error, attempt, "trying again"),
            outcome => return outcome,
        }
        tokio::time::sleep(Duration::from_millis(20) * u32::try_from(attempt).unwrap_or(1)).await;
        attempt += 1;
    }
}

async fn follow_edits(mut edits: Edits, inputs: Sender<Input>) -> Result<(), RunError> {
    loop {
        let edit = edits.next().await?;
        if inputs.send(Input::Edit(edit)).await.is_err() {
            return Ok(());
        }
    }
}
