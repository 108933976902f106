//! An API server of a few maps, in this process: it stores, lists and tells watches, and counts what is written.
//!
//! It stands for a large cluster where there is none: the real controller runs against it, through the real client. It checks
//! nothing and takes no time, so that what is measured is the controller's; what an API server would take follows from the
//! counts.

mod answer;
pub(crate) mod objects;
mod path;
mod store;

use std::convert::Infallible;
use std::fmt::Display;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::serve::ListenerExt;
use http_body_util::BodyExt;
use kube::Client;
use kube::client::Body;
use tokio::net::TcpListener;
use tower::service_fn;

pub(crate) use store::{Store, Written};

/// A server, shared by its clients.
#[derive(Clone, Debug, Default)]
pub(crate) struct Server(Arc<Mutex<Store>>);

impl Server {
    /// What it has.
    pub(crate) fn store(&self) -> MutexGuard<'_, Store> {
        // Nobody panics between two halves of a change.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A client of it.
    pub(crate) fn client(&self) -> Client {
        let server = self.clone();
        let service = service_fn(move |request: http::Request<Body>| {
            let server = server.clone();
            async move { Ok::<_, Infallible>(server.answer(request).await) }
        });
        Client::new(service, "default")
    }

    /// Answers other processes by HTTP, for as long as the listener lives.
    pub(crate) async fn serve(self, listener: TcpListener) -> std::io::Result<()> {
        let service = service_fn(move |request: http::Request<axum::body::Body>| {
            let server = self.clone();
            async move { Ok::<_, Infallible>(server.answer(request).await.map(axum::body::Body::new)) }
        });
        // As the real one does: an event does not wait for the acknowledgement of the one before.
        let listener = listener.tap_io(|connection| drop(connection.set_nodelay(true)));
        axum::serve(listener, axum::ServiceExt::into_make_service(service)).await
    }

    async fn answer<B>(&self, request: http::Request<B>) -> http::Response<answer::Answer>
    where
        B: http_body::Body<Error: Display>,
    {
        let (head, body) = request.into_parts();
        let body = body.collect().await.map(http_body_util::Collected::to_bytes);
        match body {
            Ok(body) => answer::answer(&mut self.store(), &head, &body),
            Err(error) => answer::failure(http::StatusCode::BAD_REQUEST, &error.to_string()),
        }
    }
}
