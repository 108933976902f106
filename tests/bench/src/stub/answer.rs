//! What is answered to a request.

use std::convert::Infallible;

use bytes::{BufMut, Bytes, BytesMut};
use futures::StreamExt;
use http::request::Parts;
use http::{Method, Response, StatusCode};
use http_body::Frame;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use serde_json::{Value, json};

use super::path::{Selector, Target, parameters};
use super::store::Store;

/// What is sent back: a text, or lines for as long as anybody reads them.
pub(crate) type Answer = UnsyncBoxBody<Bytes, Infallible>;

/// Answers a request.
pub(crate) fn answer(store: &mut Store, head: &Parts, body: &Bytes) -> Response<Answer> {
    let Some(target) = Target::parse(head.uri.path()) else {
        return failure(StatusCode::NOT_FOUND, "no such path");
    };
    let Target {
        resource,
        namespace,
        name,
        part,
    } = target;
    let parameters = parameters(head.uri.query().unwrap_or_default());
    let selector = Selector::parse(&parameters);
    let number = |name: &str| parameters.get(name).and_then(|text| text.parse::<u64>().ok());
    let Some(name) = name else {
        return match head.method {
            Method::GET if parameters.get("watch") == Some(&"true") => watch(
                store,
                &resource,
                selector,
                number("resourceVersion").unwrap_or_default(),
            ),
            Method::GET => {
                let from = number("continue").unwrap_or_default();
                list(
                    store,
                    &resource,
                    &selector,
                    from,
                    number("limit").unwrap_or(u64::MAX),
                )
            }
            Method::POST => match serde_json::from_slice::<Value>(body) {
                Ok(object) => {
                    let name = object.get("metadata").and_then(|metadata| metadata.get("name"));
                    let name = name.and_then(Value::as_str).unwrap_or("unnamed").to_owned();
                    let key = (namespace.unwrap_or_default(), name);
                    success(StatusCode::CREATED, store.put(&resource, key, object))
                }
                Err(error) => failure(StatusCode::BAD_REQUEST, &error.to_string()),
            },
            _ => failure(StatusCode::METHOD_NOT_ALLOWED, "not for all of them"),
        };
    };
    let key = (namespace.unwrap_or_default(), name);
    match head.method {
        Method::GET => match store.get(&resource, &key) {
            Some(object) => success(StatusCode::OK, object.clone()),
            None => failure(StatusCode::NOT_FOUND, "no such object"),
        },
        // A status is of no interest here.
        _ if part.is_some() => match store.get(&resource, &key) {
            Some(object) => success(StatusCode::OK, object.clone()),
            None => failure(StatusCode::NOT_FOUND, "no such object"),
        },
        Method::PATCH | Method::PUT => match serde_json::from_slice::<Value>(body) {
            Ok(object) => {
                store.count(&resource, Some(&object));
                success(StatusCode::OK, store.put(&resource, key, object))
            }
            Err(error) => failure(StatusCode::BAD_REQUEST, &error.to_string()),
        },
        Method::DELETE => {
            store.count(&resource, None);
            match store.delete(&resource, &key) {
                Some(object) => success(StatusCode::OK, object),
                None => failure(StatusCode::NOT_FOUND, "no such object"),
            }
        }
        _ => failure(StatusCode::METHOD_NOT_ALLOWED, "not for one of them"),
    }
}

fn list(store: &Store, resource: &str, selector: &Selector, from: u64, limit: u64) -> Response<Answer> {
    let number = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
    let (page, next) = store.page(resource, selector, number(from), number(limit));
    let next = next.map(|next| next.to_string()).unwrap_or_default();
    let metadata = json!({ "resourceVersion": store.version().to_string(), "continue": next });
    let mut text = BytesMut::new();
    text.put_slice(
        format!("{{\"kind\":\"List\",\"apiVersion\":\"v1\",\"metadata\":{metadata},\"items\":[").as_bytes(),
    );
    for (position, object) in page.iter().enumerate() {
        if position > 0 {
            text.put_u8(b',');
        }
        text.put_slice(object);
    }
    text.put_slice(b"]}");
    success(StatusCode::OK, text.freeze())
}

fn watch(store: &mut Store, resource: &str, selector: Selector, after: u64) -> Response<Answer> {
    let lines = store.watch(resource, selector, after);
    let frames = lines.map(|line| Ok(Frame::data(line)));
    Response::new(StreamBody::new(frames).boxed_unsync())
}

fn success(status: StatusCode, text: Bytes) -> Response<Answer> {
    respond(status, text)
}

/// Why a request failed, as the API says it.
pub(crate) fn failure(status: StatusCode, message: &str) -> Response<Answer> {
    let reason = if status == StatusCode::NOT_FOUND {
        "NotFound"
    } else {
        "BadRequest"
    };
    let status_object = json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": message, "reason": reason, "code": status.as_u16(),
    });
    respond(status, Bytes::from(status_object.to_string()))
}

fn respond(status: StatusCode, text: Bytes) -> Response<Answer> {
    let mut response = Response::new(Full::new(text).boxed_unsync());
    *response.status_mut() = status;
    response
}
