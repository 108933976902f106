//! The objects, and who hears of them.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use futures::channel::mpsc::{UnboundedSender, unbounded};
use futures::stream::{self, Stream, StreamExt};
use serde_json::{Value, json};

use super::path::Selector;

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
    objects: BTreeMap<Key, Stored>,
    /// Events, for watches that begin later.
    log: Vec<Event>,
    watches: Vec<(Selector, UnboundedSender<Bytes>)>,
}

#[derive(Clone, Debug)]
struct Stored {
    text: Bytes,
    labels: Arc<BTreeMap<String, String>>,
}

/// A line of a watch, and of what it tells.
#[derive(Debug)]
struct Event {
    version: u64,
    name: String,
    labels: Arc<BTreeMap<String, String>>,
    line: Bytes,
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
            .map(|stored| &stored.text)
    }

    /// Up to `limit` of the selected objects of a kind from a position, and where the rest begins.
    pub(crate) fn page(
        &self,
        resource: &str,
        selector: &Selector,
        from: usize,
        limit: usize,
    ) -> (Vec<Bytes>, Option<usize>) {
        let all = self.resources.get(resource).into_iter();
        let mut selected = all
            .flat_map(|resource| &resource.objects)
            .filter(|((_, name), stored)| selector.finds(name, &stored.labels))
            .map(|(_, stored)| &stored.text)
            .skip(from);
        let page: Vec<Bytes> = selected.by_ref().take(limit).cloned().collect();
        let next = from + page.len();
        (page, selected.next().is_some().then_some(next))
    }

    /// An object.
    pub(crate) fn get(&self, resource: &str, key: &Key) -> Option<&Bytes> {
        self.resources
            .get(resource)?
            .objects
            .get(key)
            .map(|stored| &stored.text)
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
        let labels = Arc::new(labels(&object));
        let stored = Stored {
            text: text.clone(),
            labels,
        };
        kind.tell(version, event, &key.1, &stored);
        kind.objects.insert(key, stored);
        text
    }

    /// Removes an object, and tells the watches.
    pub(crate) fn delete(&mut self, resource: &str, key: &Key) -> Option<Bytes> {
        let kind = self.resources.get_mut(resource)?;
        let Stored { text, labels } = kind.objects.remove(key)?;
        self.version += 1;
        let version = self.version;
        let last = Stored {
            text: with_version(&text, version),
            labels,
        };
        kind.tell(version, "DELETED", &key.1, &last);
        Some(text)
    }

    /// Counts a write of a client.
    pub(crate) fn count(&mut self, resource: &str, object: Option<&Value>) {
        self.written.push(Written {
            resource: resource.to_owned(),
            labels: object.map(labels).unwrap_or_default(),
            bytes: object.map_or(0, |object| object.to_string().len()),
        });
    }

    /// The events of the selected objects of a kind after a version.
    pub(crate) fn watch(
        &mut self,
        resource: &str,
        selector: Selector,
        after: u64,
    ) -> impl Stream<Item = Bytes> + use<> {
        let kind = self.resources.entry(resource.to_owned()).or_default();
        let (sender, receiver) = unbounded();
        let begin = kind.log.partition_point(|event| event.version <= after);
        let later = kind.log.get(begin..).unwrap_or_default().iter();
        let missed: Vec<Bytes> = later
            .filter(|event| selector.finds(&event.name, &event.labels))
            .map(|event| event.line.clone())
            .collect();
        kind.watches.push((selector, sender));
        stream::iter(missed).chain(receiver)
    }
}

impl Resource {
    fn tell(&mut self, version: u64, event: &str, name: &str, object: &Stored) {
        let mut line = format!("{{\"type\":\"{event}\",\"object\":").into_bytes();
        line.extend_from_slice(&object.text);
        line.extend_from_slice(b"}\n");
        let line = Bytes::from(line);
        self.watches.retain(|(selector, watch)| {
            !watch.is_closed()
                && (!selector.finds(name, &object.labels) || watch.unbounded_send(line.clone()).is_ok())
        });
        self.log.push(Event {
            version,
            name: name.to_owned(),
            labels: object.labels.clone(),
            line,
        });
    }
}

fn labels(object: &Value) -> BTreeMap<String, String> {
    let labels = object
        .get("metadata")
        .and_then(|metadata| metadata.get("labels")?.as_object());
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let labels = labels.into_iter().flatten();
    labels.map(|(key, value)| (key.clone(), text(value))).collect()
}

/// An object that says another version.
fn with_version(text: &Bytes, version: u64) -> Bytes {
    let mut object: Value = serde_json::from_slice(text).unwrap_or_default();
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.insert("resourceVersion".to_owned(), json!(version.to_string()));
    }
    Bytes::from(object.to_string())
}
