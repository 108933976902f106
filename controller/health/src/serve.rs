//! The HTTP side of it.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;
use thiserror::Error;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::Readiness;

/// The content type of `OpenMetrics` 1.0 text.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// A bound address that does not answer yet.
#[derive(Debug)]
pub struct Endpoint(TcpListener);

/// Why questions cannot be answered.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ServeError {
    /// The address cannot be listened on.
    #[error("cannot listen on {address}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// The listener has failed.
    #[error("cannot serve any longer")]
    Serve(#[source] io::Error),
}

struct Shared {
    readiness: Readiness,
    /// A collector may look at something that is not `Sync`.
    registry: Mutex<Registry>,
}

impl Endpoint {
    /// Listens on `address`; port 0 takes any.
    pub async fn bind(address: SocketAddr) -> Result<Self, ServeError> {
        let listener = TcpListener::bind(address).await;
        listener
            .map(Self)
            .map_err(|source| ServeError::Listen { address, source })
    }

    /// Where it listens.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }

    /// Answers until `end` is cancelled.
    pub async fn serve(
        self,
        readiness: Readiness,
        registry: Registry,
        end: CancellationToken,
    ) -> Result<(), ServeError> {
        let shared = Arc::new(Shared {
            readiness,
            registry: Mutex::new(registry),
        });
        let router = Router::new()
            .route("/livez", get(|| async { "ok\n" }))
            .route("/readyz", get(readyz))
            .route("/metrics", get(metrics))
            .with_state(shared);
        axum::serve(self.0, router)
            .with_graceful_shutdown(end.cancelled_owned())
            .await
            .map_err(ServeError::Serve)
    }
}

async fn readyz(State(shared): State<Arc<Shared>>) -> impl IntoResponse {
    let pending = shared.readiness.pending();
    if pending.is_empty() {
        (StatusCode::OK, "ok\n".to_owned())
    } else {
        let text = format!("not ready: {}\n", pending.join(", "));
        (StatusCode::SERVICE_UNAVAILABLE, text)
    }
}

async fn metrics(State(shared): State<Arc<Shared>>) -> impl IntoResponse {
    let mut text = String::new();
    let registry = shared.registry.lock().unwrap_or_else(PoisonError::into_inner);
    match encode(&mut text, &registry) {
        Ok(()) => (StatusCode::OK, [(header::CONTENT_TYPE, OPEN_METRICS)], text),
        Err(error) => (
            StatusCode::INTERNAL_SERVER_ERROR,
            [(header::CONTENT_TYPE, "text/plain")],
            format!("cannot encode the metrics: {error}\n"),
        ),
    }
}

#[cfg(test)]
mod tests {
    use prometheus_client::metrics::counter::Counter;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;

    use super::*;

    async fn ask(address: SocketAddr, path: &str) -> String {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    #[tokio::test]
    async fn it_answers_for_liveness_readiness_and_metrics_until_it_is_told_to_end() {
        let readiness = Readiness::default();
        let task = readiness.task("watch");
        let mut registry = Registry::default();
        let counter = Counter::<u64>::default();
        registry.register("palisade_things", "Things", counter.clone());
        counter.inc_by(3);

        let endpoint = Endpoint::bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let address = endpoint.address().unwrap();
        let end = CancellationToken::new();
        let serving = tokio::spawn(endpoint.serve(readiness, registry, end.clone()));

        assert!(ask(address, "/livez").await.starts_with("HTTP/1.1 200"));
        let answer = ask(address, "/readyz").await;
        assert!(
            answer.starts_with("HTTP/1.1 503") && answer.ends_with("not ready: watch\n"),
            "{answer}"
        );
        task.ready();
        assert!(ask(address, "/readyz").await.starts_with("HTTP/1.1 200"));
        let answer = ask(address, "/metrics").await;
        assert!(
            answer.contains("palisade_things_total 3\n") && answer.contains(OPEN_METRICS),
            "{answer}"
        );

        end.cancel();
        serving.await.unwrap().unwrap();
    }
}
