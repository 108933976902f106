//! Events: what an operator should find with `kubectl describe`.
//!
//! A policy of which a part cannot be understood, an object that cannot be read, a rule set that the API server rejects, an
//! object that has become too large.
//! Each is told once for each change, and only by the replica that leads.

use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::ObjectReference;
use kube::Client;
use kube_runtime::events::{Event, EventType, Recorder, Reporter};
use palisade_policy::model::{Defect, PolicyKey};
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::decode::shortened;
use crate::error::chain;
use crate::lead::Leadership;
use crate::watch::Place;

/// The longest that one call may take.
const CALL_LIMIT: Duration = Duration::from_secs(5);

/// The longest note that the API server takes (`events.k8s.io/v1`, `note`).
const NOTE_LENGTH: usize = 1024;

/// Something to tell about an object; an empty text when there is nothing to tell any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Note {
    about: About,
    reason: &'static str,
    text: String,
}

/// The object that a note is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct About {
    api_version: &'static str,
    kind: &'static str,
    place: Place,
}

impl About {
    fn node(name: &str) -> Self {
        Self {
            api_version: "v1",
            kind: "Node",
            place: Place {
                namespace: None,
                name: name.to_owned(),
                // What `kubectl describe node` looks for.
                uid: Some(name.to_owned()),
            },
        }
    }
}

impl Note {
    /// What could not be understood of an object.
    pub(crate) fn defects(kind: &'static str, place: &Place, defects: &[Defect]) -> Self {
        let texts: Vec<String> = defects.iter().map(ToString::to_string).collect();
        let consequence = if kind == "NetworkPolicy" && !defects.is_empty() {
            "What cannot be understood allows nothing. "
        } else {
            ""
        };
        Self {
            about: About {
                api_version: if kind == "NetworkPolicy" {
                    "networking.k8s.io/v1"
                } else {
                    "v1"
                },
                kind,
                place: place.clone(),
            },
            reason: "CannotDecode",
            text: format!("{consequence}{}", texts.join("; ")),
        }
    }

    /// Whether there is nothing to tell any more.
    pub(crate) fn is_all_clear(&self) -> bool {
        self.text.is_empty()
    }

    /// The API server does not take the rules of a node.
    pub(crate) fn rejected(node: &str, error: &str) -> Self {
        Self {
            about: About::node(node),
            reason: "CannotPublish",
            text: format!("The rules of this node cannot be published, it keeps the last ones: {error}"),
        }
    }

    /// What is published of a node's pods is large.
    pub(crate) fn large_node(node: &str, bytes: usize) -> Self {
        Self {
            about: About::node(node),
            reason: "LargeObject",
            text: format!(
                "An object with pods of this node takes {bytes} bytes. One of more than 100 KB takes an API server long to \
                 write, and one of more than 1.5 MB is not taken: look for pods with very many labels or named ports."
            ),
        }
    }

    /// What is published of a policy is large.
    pub(crate) fn large_policy(policy: &PolicyKey, bytes: usize) -> Self {
        Self {
            about: About {
                api_version: "networking.k8s.io/v1",
                kind: "NetworkPolicy",
                place: Place {
                    namespace: Some(policy.namespace.to_string()),
                    name: policy.name.to_string(),
                    uid: None,
                },
            },
            reason: "LargeObject",
            text: format!(
                "The object that publishes this policy takes {bytes} bytes. One of more than 100 KB takes an API server long to \
                 write, and all nodes of its namespace long to read: split the policy, its rules are a union anyway."
            ),
        }
    }

    fn event(&self) -> (Event, ObjectReference) {
        let mut text = self.text.clone();
        if let Some((end, _)) = text.char_indices().nth(NOTE_LENGTH / 4 * 3) {
            text.truncate(end);
            text.push('…');
        }
        let event = Event {
            type_: EventType::Warning,
            reason: self.reason.to_owned(),
            note: Some(text),
            action: "Compile".to_owned(),
            secondary: None,
        };
        let Place { namespace, name, uid } = self.about.place.clone();
        let object = ObjectReference {
            api_version: Some(self.about.api_version.to_owned()),
            kind: Some(self.about.kind.to_owned()),
            namespace,
            name: Some(name),
            uid,
            ..ObjectReference::default()
        };
        (event, object)
    }
}

/// Tells what comes while this replica leads, and what it has learned before once it does, until `end`.
pub(crate) async fn report(
    client: Client,
    identity: String,
    mut notes: mpsc::Receiver<Note>,
    mut leadership: watch::Receiver<Leadership>,
    end: CancellationToken,
) {
    let reporter = Reporter {
        controller: "palisade-controller".to_owned(),
        instance: Some(identity),
    };
    let recorder = Recorder::new(client, reporter);
    let mut untold: BTreeMap<About, Note> = BTreeMap::new();
    loop {
        tokio::select! {
            () = end.cancelled() => return,
            note = notes.recv() => match note {
                Some(note) if note.is_all_clear() => { untold.remove(&note.about); }
                Some(note) => { untold.insert(note.about.clone(), note); }
                None => return,
            },
            changed = leadership.changed() => if changed.is_err() { return },
        }
        while leadership.borrow().left(Instant::now()).is_some()
            && let Some((_, note)) = untold.pop_first()
        {
            let (event, object) = note.event();
            let failure = match timeout(CALL_LIMIT, recorder.publish(&event, &object)).await {
                Ok(Ok(())) => continue,
                // The object is gone, or its namespace: it takes no event any more.
                Ok(Err(kube::Error::Api(status))) if (400..500).contains(&status.code) => {
                    tracing::warn!(error = status.message, %note, "no event for this");
                    continue;
                }
                Ok(Err(error)) => chain(&error),
                Err(_) => "no answer in time".to_owned(),
            };
            tracing::warn!(error = failure, %note, "cannot write an event yet");
            // The next renewal of the lease is the next attempt.
            untold.insert(note.about.clone(), note);
            break;
        }
    }
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Place { namespace, name, .. } = &self.about.place;
        write!(f, "{} ", self.about.kind)?;
        if let Some(namespace) = namespace {
            write!(f, "{namespace}/")?;
        }
        write!(f, "{name}: {}", shortened(self.text.clone()))
    }
}
