//! The objects, and who hears of them.

use std::collections::BTreeMap;

use bytes::Bytes;
use futures::channel::mpsc::{UnboundedSender, unbounded};
use futures::stream::{self, Stream, StreamExt};
use serde_json::{Value, json};

/// Namespace and name; an empty namespace where there is none.
pub(crate) type Key = (String, String);

/// A write, as it was counted.
#[derive(Clone, Debug)]
pub(crate) struct Written {
    /// The kind, in the plural.
    pub(crate) resource: String,
    /// Its labels.
    pub(crate) labels: BTreeMap<String, String>,
    /// What an API server would store, in bytes of JSON; 0 for a deletion.
    pub(crate) bytes: usize,
}

/// All objects.
#[derive(Debug, Default)]
pub(crate) struct Store {
    version: u64,
    resources: BTreeMap<String, Resource>,
    /// Writes of clients since they were taken last.
    written: Vec<Written>,
}

#[derive(Debug, Default)]
struct Resource {
    objects: BTreeMap<Key, Bytes>,
    /// Events, for watches that begin later.
    log: Vec<(u64, Bytes)>,
    watches: Vec<UnboundedSender<Bytes>>,
}

impl Store {
    /// The version of the newest write.
    pub(crate) fn version(&self) -> u64 {
        self.version
    }

    /// Takes the writes of clients since the last time.
    pub(crate) fn take_written(&mut self) -> Vec<Written> {
        std::mem::take(&mut self.written)
    }

    /// How many writes have not been taken, leases aside.
    pub(crate) fn written_of_ours(&self) -> usize {
        let others = self.written.iter().filter(|written| written.resource != "leases");
        others.count()
    }

    /// The objects of a kind.
    pub(crate) fn objects(&self, resource: &str) -> impl Iterator<Item = &Bytes> {
        self.resources
            .get(resource)
            .into_iter()
            .flat_map(|resource| resource.objects.values())
    }

    /// Up to `limit` objects of a kind from a position, and where the rest begins.
    pub(crate) fn page(&self, resource: &str, from: usize, limit: usize) -> (Vec<Bytes>, Option<usize>) {
        let objects = self.objects(resource).skip(from);
        let page: Vec<Bytes> = objects.take(limit).cloned().collect();
        let all = self
            .resources
            .get(resource)
            .map_or(0, |resource| resource.objects.len());
        let next = from + page.len();
        (page, (next < all).then_some(next))
    }

    /// An object.
    pub(crate) fn get(&self, resource: &str, key: &Key) -> Option<&Bytes> {
        self.resources.get(resource)?.objects.get(key)
    }

    /// Puts an object into its place, and tells the watches.
    pub(crate) fn put(&mut self, resource: &str, key: Key, mut object: Value) -> Bytes {
        self.version += 1;
        let version = self.version;
        let kind = self.resources.entry(resource.to_owned()).or_default();
        let event = if kind.objects.contains_key(&key) {
            "MODIFIED"
        } else {
            "ADDED"
        };
        if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
            metadata.insert("name".to_owned(), json!(key.1));
            metadata.insert("resourceVersion".to_owned(), json!(version.to_string()));
            metadata
                .entry("uid")
                .or_insert_with(|| json!(format!("{resource}-{version}")));
        }
        let text = Bytes::from(object.to_string());
        kind.objects.insert(key, text.clone());
        kind.tell(version, event, &text);
        text
    }

    /// Removes an object, and tells the watches.
    pub(crate) fn delete(&mut self, resource: &str, key: &Key) -> Option<Bytes> {
        let kind = self.resources.get_mut(resource)?;
        let text = kind.objects.remove(key)?;
        self.version += 1;
        let version = self.version;
        let last = with_version(&text, version);
        kind.tell(version, "DELETED", &last);
        Some(text)
    }

    /// Counts a write of a client.
    pub(crate) fn count(&mut self, resource: &str, object: Option<&Value>) {
        let labels = object.and_then(|object| object.get("metadata")?.get("labels")?.as_object());
        let labels = labels.into_iter().flatten();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        self.written.push(Written {
            resource: resource.to_owned(),
            labels: labels.map(|(key, value)| (key.clone(), text(value))).collect(),
            bytes: object.map_or(0, |object| object.to_string().len()),
        });
    }

    /// The events of a kind after a version.
    pub(crate) fn watch(&mut self, resource: &str, after: u64) -> impl Stream<Item = Bytes> + use<> {
        let kind = self.resources.entry(resource.to_owned()).or_default();
        let (sender, receiver) = unbounded();
        kind.watches.push(sender);
        let missed: Vec<Bytes> = kind
            .log
            .iter()
            .filter(|(version, _)| *version > after)
            .map(|(_, line)| line.clone())
            .collect();
        stream::iter(missed).chain(receiver)
    }
}

impl Resource {
    fn tell(&mut self, version: u64, event: &str, object: &Bytes) {
        let mut line = format!("{{\"type\":\"{event}\",\"object\":").into_bytes();
        line.extend_from_slice(object);
        line.extend_from_slice(b"}\n");
        let line = Bytes::from(line);
        self.watches
            .retain(|watch| watch.unbounded_send(line.clone()).is_ok());
        self.log.push((version, line));
    }
}

/// An object that says another version.
fn with_version(text: &Bytes, version: u64) -> Bytes {
    let mut object: Value = serde_json::from_slice(text).unwrap_or_default();
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.insert("resourceVersion".to_owned(), json!(version.to_string()));
    }
    Bytes::from(object.to_string())
}
