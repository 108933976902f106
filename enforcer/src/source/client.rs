//! The way to the API server.
//!
//! A node that is cut off gets no end of its connections: they stay open and silent. So the kernel probes them while
//! they are idle, and a dead one is found within 20 seconds instead of the minutes that a watch may be quiet. This is
//! why the client is put together here; otherwise it is what `kube` builds.

use std::time::Duration;

use hyper_util::client::legacy::Client as Http;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use kube::client::{Body, ConfigExt};
use kube::config::InferConfigError;
use kube::{Client, Config};
use thiserror::Error;
use tower::{BoxError, ServiceBuilder};

/// A connection that is idle for this long is probed.
const IDLE: Duration = Duration::from_secs(10);

/// The time between probes.
const PROBES: Duration = Duration::from_secs(3);

/// So many probes without an answer are the end.
const UNANSWERED: u32 = 3;

/// What was sent must be acknowledged within this.
const ACKNOWLEDGED: Duration = Duration::from_secs(15);

/// A new connection takes no longer.
const CONNECT: Duration = Duration::from_secs(3);

/// It is not known how to reach the API server.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ClientError {
    /// Neither a service account nor a kubeconfig.
    #[error("no configuration for it was found")]
    Config(#[from] Box<InferConfigError>),
    /// The configuration makes no sense.
    #[error("the configuration for it is of no use")]
    Client(#[from] Box<kube::Error>),
}

/// A client by the service account of the pod, or else by the kubeconfig. Does not connect yet.
pub async fn client() -> Result<Client, ClientError> {
    let config = Config::infer().await.map_err(Box::new)?;
    client_with(&config)
}

/// A client by a configuration. Does not connect yet.
pub fn client_with(config: &Config) -> Result<Client, ClientError> {
    Ok(with(config).map_err(Box::new)?)
}

fn with(config: &Config) -> kube::Result<Client> {
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    tcp.set_connect_timeout(Some(CONNECT));
    tcp.set_keepalive(Some(IDLE));
    tcp.set_keepalive_interval(Some(PROBES));
    tcp.set_keepalive_retries(Some(UNANSWERED));
    tcp.set_tcp_user_timeout(Some(ACKNOWLEDGED));
    let tls = config.rustls_https_connector_with_connector(tcp)?;
    let http: Http<_, Body> = Http::builder(TokioExecutor::new()).build(tls);
    let service = ServiceBuilder::new()
        .layer(config.base_uri_layer())
        .option_layer(config.auth_layer()?)
        .layer(config.extra_headers_layer()?)
        .map_err(BoxError::from)
        .service(http);
    Ok(Client::new(service, config.default_namespace.clone()))
}
