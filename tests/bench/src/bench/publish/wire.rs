//! What goes over the wire, counted on the way through a client.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use kube::Client;
use kube::client::Body;
use tower::service_fn;

/// Counts of some clients together.
#[derive(Debug, Default)]
pub(super) struct Traffic {
    lists: AtomicU64,
    list_bytes: AtomicU64,
    watches: AtomicU64,
    events: AtomicU64,
    event_bytes: AtomicU64,
    refused: AtomicU64,
}

/// Counts at a moment.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counts {
    /// Requests that are no watches.
    pub(super) lists: u64,
    /// Bytes of the answers to these.
    pub(super) list_bytes: u64,
    /// Watches that were asked for.
    pub(super) watches: u64,
    /// Events that came: one a line.
    pub(super) events: u64,
    /// Bytes of these.
    pub(super) event_bytes: u64,
    /// Answers that say no.
    pub(super) refused: u64,
}

impl Traffic {
    /// The counts so far.
    pub(super) fn counts(&self) -> Counts {
        let of = |count: &AtomicU64| count.load(Ordering::Relaxed);
        Counts {
            lists: of(&self.lists),
            list_bytes: of(&self.list_bytes),
            watches: of(&self.watches),
            events: of(&self.events),
            event_bytes: of(&self.event_bytes),
            refused: of(&self.refused),
        }
    }

    fn add(count: &AtomicU64, number: usize) {
        count.fetch_add(u64::try_from(number).unwrap_or(u64::MAX), Ordering::Relaxed);
    }
}

impl Counts {
    /// What came since.
    pub(super) fn since(self, before: Self) -> Self {
        Self {
            lists: self.lists - before.lists,
            list_bytes: self.list_bytes - before.list_bytes,
            watches: self.watches - before.watches,
            events: self.events - before.events,
            event_bytes: self.event_bytes - before.event_bytes,
            refused: self.refused - before.refused,
        }
    }
}

/// The same client, of which everything is counted.
pub(super) fn counted(client: Client, traffic: &Arc<Traffic>) -> Client {
    let namespace = client.default_namespace().to_owned();
    let traffic = Arc::clone(traffic);
    let service = service_fn(move |request: http::Request<Body>| {
        let (client, traffic) = (client.clone(), Arc::clone(&traffic));
        async move {
            let query = request.uri().query().unwrap_or_default();
            let is_watch = query
                .split('&')
                .any(|pair| pair == "watch=true" || pair == "watch=1");
            Traffic::add(
                if is_watch {
                    &traffic.watches
                } else {
                    &traffic.lists
                },
                1,
            );
            let answer = client.send(request).await?;
            Traffic::add(&traffic.refused, usize::from(!answer.status().is_success()));
            Ok::<_, kube::Error>(answer.map(|body| Counted {
                body,
                is_watch,
                traffic,
            }))
        }
    });
    Client::new(service, namespace)
}

/// A body of which the lines or bytes are counted as they pass.
struct Counted {
    body: Body,
    is_watch: bool,
    traffic: Arc<Traffic>,
}

impl HttpBody for Counted {
    type Data = Bytes;
    type Error = kube::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, kube::Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        if let Some(Ok(frame)) = &frame
            && let Some(data) = frame.data_ref()
        {
            if self.is_watch {
                let lines = data.iter().filter(|byte| **byte == b'\n').count();
                Traffic::add(&self.traffic.events, lines);
                Traffic::add(&self.traffic.event_bytes, data.len());
            } else {
                Traffic::add(&self.traffic.list_bytes, data.len());
            }
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
