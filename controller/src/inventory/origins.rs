//! Where objects are written.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use palisade_audit::inventory::{ObjectRef, Place, Places, WorkloadKind};

use crate::manifest::{Found, Lines, Object, Origin, Text};

/// Newlines are counted once for each block of this many bytes, and then only within a block.
const BLOCK: usize = 1 << 16;

/// Where each object is written. Objects of a live cluster are nowhere.
///
/// The texts are kept: a file may change while it is talked about, and the standard input can be read once only. On which
/// line a field is is found out when it is asked for.
#[derive(Clone, Debug, Default)]
pub struct Origins {
    texts: Vec<Arc<Numbered>>,
    /// As they were found: of several for one object the last counts.
    spots: Vec<(ObjectRef, Spot)>,
    /// Which of them is an object's. Made when something is looked for, which many questions never do.
    index: OnceLock<HashMap<ObjectRef, usize>>,
    /// The lines of documents that were asked for.
    known: Arc<Mutex<KnownLines>>,
}

/// By text and document; `None` where it could not be read again.
type KnownLines = HashMap<(usize, usize), Option<Arc<Lines>>>;

/// A text whose lines can be counted fast.
#[derive(Debug)]
struct Numbered {
    text: Text,
    /// The newlines before each block.
    before: Vec<u64>,
}

/// Where an object is.
#[derive(Clone, Debug)]
struct Spot {
    text: usize,
    origin: Origin,
    /// Its bytes, if it is JSON.
    span: Option<Range<usize>>,
    /// The path to it in its document, where it is only a part of that, as a pod is of a template.
    within: &'static str,
}

impl Origins {
    /// Notes where objects of some texts are. An object that was there before is replaced.
    pub(super) fn add(&mut self, found: &[Box<Found>], texts: Vec<Text>) {
        let first = self.texts.len();
        self.texts
            .extend(texts.into_iter().map(|text| Arc::new(Numbered::new(text))));
        let by_file: HashMap<Arc<str>, usize> = (first..)
            .zip(self.texts.iter().skip(first))
            .map(|(index, text)| (Arc::clone(&text.text.file), index))
            .collect();
        self.index = OnceLock::new();
        for found in found {
            let (Some(object), Some(&text)) = (&found.object, by_file.get(&found.origin.file)) else {
                continue;
            };
            let spot = |within| Spot {
                text,
                origin: found.origin.clone(),
                span: found.span.clone(),
                within,
            };
            if let Object::Template(template) = object {
                let pod = ObjectRef::Pod(template.pod.key.clone());
                self.spots.push((pod, spot(path_of_template(template.key.kind))));
            }
            if let Some(reference) = object.reference() {
                self.spots.push((reference, spot("")));
            }
        }
    }

    fn spot(&self, object: &ObjectRef) -> Option<&Spot> {
        let index = self.index.get_or_init(|| {
            let mut index: HashMap<ObjectRef, usize> = HashMap::with_capacity(self.spots.len());
            for (position, (reference, spot)) in self.spots.iter().enumerate() {
                let known = index
                    .get(reference)
                    .and_then(|position| self.spots.get(*position));
                // A pod that has a document of its own is there, whatever template is called like it.
                let own = known.is_some_and(|(_, known)| known.within.is_empty());
                if !own || spot.within.is_empty() {
                    index.insert(reference.clone(), position);
                }
            }
            index
        });
        self.spots.get(*index.get(object)?).map(|(_, spot)| spot)
    }

    fn line(&self, spot: &Spot, field: Option<&str>) -> Option<u64> {
        let text = self.texts.get(spot.text)?;
        let start = match &spot.span {
            Some(span) => Some(text.line_at(span.start)),
            None => spot.origin.line,
        };
        let path = match (field, spot.within) {
            (None, "") if spot.span.is_some() || spot.origin.item.is_none() => return start,
            (None, within) => within.to_owned(),
            (Some(field), "") => field.to_owned(),
            (Some(field), within) => format!("{within}.{field}"),
        };
        let found = self.find(text, spot, &path);
        found.or(start)
    }

    fn find(&self, text: &Numbered, spot: &Spot, path: &str) -> Option<u64> {
        if let Some(span) = &spot.span {
            let lines = Lines::of(text.text.bytes.get(span.clone())?)?;
            return Some(text.line_at(span.start) + lines.find(path) - 1);
        }
        let first = spot.origin.line?;
        let key = (spot.text, spot.origin.document?);
        let known = self
            .known
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(&key)
            .cloned();
        let lines = known.unwrap_or_else(|| {
            let lines = text.since(first).and_then(Lines::of).map(Arc::new);
            let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
            known.insert(key, lines.clone());
            lines
        })?;
        let lines = match spot.origin.item {
            None => &*lines,
            Some(item) => lines.item(item)?,
        };
        Some(first + lines.find(path) - 1)
    }
}

impl Places for Origins {
    fn place(&self, object: &ObjectRef, field: Option<&str>) -> Option<Place> {
        let spot = self.spot(object)?;
        Some(Place {
            file: spot.origin.file.to_string(),
            line: self.line(spot, field),
        })
    }
}

/// Where the pods' template is in a workload.
fn path_of_template(kind: WorkloadKind) -> &'static str {
    match kind {
        WorkloadKind::CronJob => "spec.jobTemplate.spec.template",
        WorkloadKind::Deployment
        | WorkloadKind::StatefulSet
        | WorkloadKind::DaemonSet
        | WorkloadKind::ReplicaSet
        | WorkloadKind::Job => "spec.template",
    }
}

impl Numbered {
    fn new(text: Text) -> Self {
        let mut before = Vec::new();
        let mut newlines = 0;
        for block in text.bytes.chunks(BLOCK) {
            before.push(newlines);
            newlines += count(block);
        }
        Self { text, before }
    }

    /// The line of a byte.
    fn line_at(&self, offset: usize) -> u64 {
        let block = offset / BLOCK;
        let within = self.text.bytes.get(block * BLOCK..offset).unwrap_or_default();
        1 + self.before.get(block).copied().unwrap_or_default() + count(within)
    }

    /// The text from the beginning of a line on.
    fn since(&self, line: u64) -> Option<&[u8]> {
        let wanted = line.checked_sub(1)?;
        let block = self
            .before
            .partition_point(|newlines| *newlines < wanted)
            .saturating_sub(1);
        let mut start = block * BLOCK;
        let mut passed = self.before.get(block).copied()?;
        while passed < wanted {
            let rest = self.text.bytes.get(start..)?;
            start += rest.iter().position(|byte| *byte == b'\n')? + 1;
            passed += 1;
        }
        self.text.bytes.get(start..)
    }
}

fn count(bytes: &[u8]) -> u64 {
    memchr::memchr_iter(b'\n', bytes).count() as u64
}
