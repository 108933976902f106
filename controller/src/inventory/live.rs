//! The objects of a live cluster.
//!
//! Each kind is listed once, page by page, some at the same time. A page is read like a file: its objects become what is
//! kept of them before the next one comes, so that a large cluster is never there as text.

use std::cell::Cell;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use futures::{StreamExt, TryStreamExt, stream};
use kube::api::ListParams;
use kube::config::{InferConfigError, KubeConfigOptions, Kubeconfig, KubeconfigError};
use kube::core::Request;
use kube::{Client, Config};
use thiserror::Error;
use tokio::time::{Instant, interval_at, timeout};

use super::{Surroundings, Wanted};
use crate::cli::{Streams, show_progress};
use crate::manifest::{Collected, Page, Reading};

/// Objects of one page.
const PAGE: u32 = 500;

/// Lists that are read at the same time.
const AT_ONCE: usize = 4;

/// How long a page may take. The client tries again within this time where the server is only busy.
const PATIENCE: Duration = Duration::from_mins(1);

/// How long a connection may take.
const CONNECT: Duration = Duration::from_secs(10);

/// How often a list is begun again, because the server has forgotten the state that it was reading (410).
const RESTARTS: usize = 3;

/// How often is told how far the work is, and how long it takes until that is worth telling.
const PROGRESS: Duration = Duration::from_secs(1);

/// A kind that is listed.
struct Listed {
    /// As `kubectl` and the API call it.
    plural: &'static str,
    path: &'static str,
    need: Need,
}

/// What it means if a kind cannot be listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Need {
    /// Without these no answer would be right.
    Everything,
    /// Without these some questions have no answer. Who may not list them goes without.
    Useful,
    /// They are there if Palisade is installed, and listed only for questions about what it made of the others.
    Palisade,
}

const LISTED: [Listed; 10] = [
    listed("pods", "/api/v1/pods", Need::Everything),
    listed("namespaces", "/api/v1/namespaces", Need::Everything),
    listed(
        "networkpolicies",
        "/apis/networking.k8s.io/v1/networkpolicies",
        Need::Everything,
    ),
    listed("nodes", "/api/v1/nodes", Need::Useful),
    listed("services", "/api/v1/services", Need::Useful),
    listed(
        "endpointslices",
        "/apis/discovery.k8s.io/v1/endpointslices",
        Need::Useful,
    ),
    listed(
        "noderulesets",
        "/apis/palisade.dev/v1alpha1/noderulesets",
        Need::Palisade,
    ),
    listed(
        "podslices",
        "/apis/palisade.dev/v1alpha1/podslices",
        Need::Palisade,
    ),
    listed(
        "policyslices",
        "/apis/palisade.dev/v1alpha1/policyslices",
        Need::Palisade,
    ),
    listed(
        "addressgroups",
        "/apis/palisade.dev/v1alpha1/addressgroups",
        Need::Palisade,
    ),
];

const fn listed(plural: &'static str, path: &'static str, need: Need) -> Listed {
    Listed { plural, path, need }
}

/// Why a cluster could not be read.
#[derive(Debug, Error)]
pub enum ClusterError {
    /// There is no kubeconfig that says where it is.
    #[error("there is no -f, and the kubeconfig does not tell which cluster to ask")]
    Config(#[from] Box<KubeconfigError>),
    /// Nothing says where it is.
    #[error("there is no -f, and nothing tells which cluster to ask")]
    Infer(#[from] Box<InferConfigError>),
    /// What would speak to it could not be set up.
    #[error("cannot set up a connection to {server}")]
    Client {
        /// The API server.
        server: Arc<str>,
        /// Why.
        source: Box<kube::Error>,
    },
    /// No threads or timers to speak to it.
    #[error("cannot start to speak to a cluster")]
    Runtime(#[source] io::Error),
    /// It refused, or could not be reached.
    #[error("cannot list {plural} of {server}")]
    List {
        /// The kind.
        plural: &'static str,
        /// The API server.
        server: Arc<str>,
        /// Why.
        source: Box<kube::Error>,
    },
    /// It did not answer.
    #[error("{server} has not listed {plural} within {} seconds", PATIENCE.as_secs())]
    Silent {
        /// The kind.
        plural: &'static str,
        /// The API server.
        server: Arc<str>,
    },
    /// What it answered is not what was asked for.
    #[error("{server} answered with no list when asked for {plural}")]
    NoList {
        /// The kind.
        plural: &'static str,
        /// The API server.
        server: Arc<str>,
    },
    /// The error output could not be written to while it was read.
    #[error("cannot write to the error output")]
    Tell(#[from] io::Error),
}

/// A cluster's objects.
pub(super) struct Cluster {
    pub(super) objects: Collected,
    /// The context's namespace.
    pub(super) namespace: String,
}

/// Reads the objects of a cluster.
pub(super) fn read(
    surroundings: &Surroundings,
    wanted: Wanted,
    reading: Reading<'_>,
    streams: &mut Streams<'_>,
) -> Result<Cluster, ClusterError> {
    connected(surroundings, async |cluster| {
        let Connected {
            client,
            server,
            namespace,
        } = cluster;
        let lister = Lister {
            client,
            server,
            wanted,
            reading,
            objects: Cell::new(0),
        };
        let objects = lister.all(streams).await?;
        Ok(Cluster { objects, namespace })
    })?
}

/// Asks a cluster for something that is no list.
pub(crate) fn in_cluster<T>(
    surroundings: &Surroundings,
    ask: impl AsyncFnOnce(Client) -> T,
) -> Result<T, ClusterError> {
    connected(surroundings, async |cluster| ask(cluster.client).await)
}

/// A cluster that can be asked.
struct Connected {
    client: Client,
    server: Arc<str>,
    /// The context's namespace.
    namespace: String,
}

/// Runs something that asks a cluster to its end.
fn connected<T>(
    surroundings: &Surroundings,
    ask: impl AsyncFnOnce(Connected) -> T,
) -> Result<T, ClusterError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(ClusterError::Runtime)?;
    runtime.block_on(async {
        let mut config = config(surroundings).await?;
        config.connect_timeout = Some(CONNECT);
        config.read_timeout = Some(PATIENCE);
        let namespace = config.default_namespace.clone();
        let server: Arc<str> = config.cluster_url.to_string().trim_end_matches('/').into();
        let client = Client::try_from(config).map_err(|source| ClusterError::Client {
            server: Arc::clone(&server),
            source: Box::new(source),
        })?;
        let cluster = Connected {
            client,
            server,
            namespace,
        };
        Ok(ask(cluster).await)
    })
}

/// Where the cluster is, found as `kubectl` finds it.
async fn config(surroundings: &Surroundings) -> Result<Config, ClusterError> {
    let Surroundings {
        kubeconfig,
        context,
        cluster,
        user,
        impersonated,
        impersonated_groups,
        namespace: _,
        pod_networks: _,
    } = surroundings;
    let options = KubeConfigOptions {
        context: context.clone(),
        cluster: cluster.clone(),
        user: user.clone(),
    };
    let mut config = if let Some(path) = kubeconfig {
        let kubeconfig = Kubeconfig::read_from(path).map_err(Box::new)?;
        Config::from_custom_kubeconfig(kubeconfig, &options)
            .await
            .map_err(Box::new)?
    } else if context.is_some() || cluster.is_some() || user.is_some() {
        Config::from_kubeconfig(&options).await.map_err(Box::new)?
    } else {
        Config::infer().await.map_err(Box::new)?
    };
    if let Some(user) = impersonated {
        config.auth_info.impersonate = Some(user.clone());
        config.auth_info.impersonate_groups = Some(impersonated_groups.clone());
    }
    Ok(config)
}

/// Lists objects and counts them.
struct Lister<'a> {
    client: Client,
    server: Arc<str>,
    wanted: Wanted,
    reading: Reading<'a>,
    objects: Cell<usize>,
}

/// What came of listing one kind.
enum Listing {
    Pages(Vec<Page>),
    /// Nothing, for this reason, and that is worth knowing.
    Refused(String),
    /// Nothing: the server does not know the kind.
    Unknown,
}

impl Lister<'_> {
    /// Lists everything. How far it is is told meanwhile, if it takes long and somebody watches.
    async fn all(&self, streams: &mut Streams<'_>) -> Result<Collected, ClusterError> {
        let published = self.wanted == Wanted::Everything;
        let wanted = LISTED
            .iter()
            .filter(|listed| published || listed.need != Need::Palisade);
        let listings = stream::iter(wanted)
            .map(|listed| self.list(listed))
            .buffered(AT_ONCE)
            .try_collect();
        let mut listings = std::pin::pin!(listings);
        let mut ticks = interval_at(Instant::now() + PROGRESS, PROGRESS);
        let mut told = false;
        let listings: Vec<Listing> = loop {
            tokio::select! {
                listings = &mut listings => break listings?,
                _ = ticks.tick(), if streams.watched => {
                    told = true;
                    show_progress(&format!("{}: {} objects read", self.server, self.objects.get()))?;
                }
            }
        };
        if told {
            show_progress("")?;
        }
        let mut pages = Vec::new();
        for listing in listings {
            match listing {
                Listing::Pages(more) => pages.extend(more),
                Listing::Refused(reason) => writeln!(streams.errors, "warning: {reason}")?,
                Listing::Unknown => {}
            }
        }
        Ok(Page::collect(pages))
    }

    /// Lists one kind.
    async fn list(&self, listed: &Listed) -> Result<Listing, ClusterError> {
        for _ in 0..RESTARTS {
            match self.pages(listed).await {
                Err(ClusterError::List { source, .. }) if status(&source) == Some(410) => {}
                Err(ClusterError::List { source, .. })
                    if listed.need == Need::Palisade && status(&source) == Some(404) =>
                {
                    return Ok(Listing::Unknown);
                }
                Err(error @ ClusterError::List { .. })
                    if listed.need != Need::Everything && forbidden(&error) =>
                {
                    let reason = crate::error::chain(&error);
                    return Ok(Listing::Refused(format!(
                        "{reason}; answers are given without them"
                    )));
                }
                other => return other.map(Listing::Pages),
            }
        }
        self.pages(listed).await.map(Listing::Pages)
    }

    async fn pages(&self, listed: &Listed) -> Result<Vec<Page>, ClusterError> {
        let Listed { plural, path, .. } = *listed;
        let server = || Arc::clone(&self.server);
        let failed = |source| ClusterError::List {
            plural,
            server: server(),
            source: Box::new(source),
        };
        let mut parameters = ListParams::default().limit(PAGE);
        let mut pages = Vec::new();
        loop {
            let request = Request::new(path).list(&parameters);
            let request = request.map_err(|error| failed(kube::Error::BuildRequest(error)))?;
            let answer = timeout(PATIENCE, self.client.request_text(request)).await;
            let text = answer
                .map_err(|_| ClusterError::Silent {
                    plural,
                    server: server(),
                })?
                .map_err(failed)?;
            let page = self
                .reading
                .page(text, &self.server)
                .ok_or_else(|| ClusterError::NoList {
                    plural,
                    server: server(),
                })?;
            self.objects.set(self.objects.get() + page.len());
            let next = page.next.clone();
            pages.push(page);
            match next {
                Some(token) => parameters.continue_token = Some(token),
                None => return Ok(pages),
            }
        }
    }
}

/// The status code with which the server refused.
fn status(error: &kube::Error) -> Option<u16> {
    match error {
        kube::Error::Api(status) => Some(status.code),
        _ => None,
    }
}

fn forbidden(error: &ClusterError) -> bool {
    matches!(error, ClusterError::List { source, .. } if status(source) == Some(403))
}
