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
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use http_body_util::BodyExt;
use kube::Client;
use kube::client::Body;
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
            async move {
                let (head, body) = request.into_parts();
                let body = body.collect().await.map(http_body_util::Collected::to_bytes);
                let answer = match body {
                    Ok(body) => answer::answer(&mut server.store(), &head, &body),
                    Err(error) => answer::failure(http::StatusCode::BAD_REQUEST, &error.to_string()),
                };
                Ok::<_, Infallible>(answer)
            }
        });
        Client::new(service, "default")
    }
}
