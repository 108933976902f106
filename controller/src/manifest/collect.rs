//! From documents to objects that do not contradict each other.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::thread;

use palisade_policy::model::{Defect, NamespaceName, PodUid};
use serde::Deserialize;

use super::document::{Document, MAX_PROBLEMS, and_more};
use super::object::{Found, Object, Outcome, Reading, Skipped};
use super::source::Text;
use super::{Origin, Problem, Strictness, json};

/// Fewer documents are not worth a thread.
const WORTH_A_THREAD: usize = 256;

/// Objects that were read.
#[derive(Clone, Debug, Default)]
pub(crate) struct Collected {
    /// In the order of the documents. Each has an object.
    #[expect(clippy::vec_box, reason = "they are large, and go from hand to hand")]
    pub(crate) found: Vec<Box<Found>>,
    /// How many objects of each other kind were skipped.
    pub(crate) skipped: BTreeMap<String, usize>,
    /// Of each namespace, the kinds among these that may make pods in it.
    pub(crate) unread: BTreeMap<NamespaceName, BTreeSet<String>>,
    /// What was left out.
    pub(crate) warnings: Vec<Problem>,
}

impl Reading<'_> {
    /// Reads all documents. What is wrong goes to `problems`, and the outcome is of use only if nothing is.
    pub(super) fn collect(
        self,
        documents: Vec<Document<'_>>,
        strictness: Strictness,
        problems: &mut Vec<Problem>,
    ) -> Collected {
        collect(self.interpret_all(documents), strictness, problems)
    }

    /// Reads a page of a listing of the API server `server`; `None` where it is no such thing.
    pub(crate) fn page(self, text: String, server: &Arc<str>) -> Option<Page> {
        let text = Text {
            file: Arc::clone(server),
            bytes: text.into_bytes(),
        };
        let list: ListHead = serde_json::from_slice(&text.bytes).ok()?;
        let mut documents = json::documents(&text).ok()?;
        for Document { origin, span, .. } in &mut documents {
            // It is not in a file that anybody could look into.
            *origin = Origin {
                document: None,
                line: None,
                item: None,
                ..origin.clone()
            };
            *span = None;
        }
        Some(Page {
            outcomes: self.interpret_all(documents),
            next: list.metadata.next.filter(|token| !token.is_empty()),
        })
    }

    /// Reads each document, on all processors if there are many.
    fn interpret_all(self, documents: Vec<Document<'_>>) -> Vec<Outcome> {
        let processors = thread::available_parallelism().map_or(1, usize::from);
        let threads = processors.min(documents.len() / WORTH_A_THREAD).max(1);
        let share = documents.len().div_ceil(threads);
        let mut rest = documents;
        let interpret = |share: Vec<Document<'_>>| -> Vec<Outcome> {
            share
                .into_iter()
                .map(|document| self.interpret(document))
                .collect()
        };
        thread::scope(|scope| {
            let mut others = Vec::new();
            for _ in 1..threads {
                let share = rest.split_off(rest.len().saturating_sub(share));
                others.push(scope.spawn(move || interpret(share)));
            }
            let mut outcomes = interpret(rest);
            // The last share was taken first.
            for thread in others.into_iter().rev() {
                match thread.join() {
                    Ok(share) => outcomes.extend(share),
                    Err(panic) => std::panic::resume_unwind(panic),
                }
            }
            outcomes
        })
    }
}

/// A page of a listing.
#[derive(Debug)]
pub(crate) struct Page {
    outcomes: Vec<Outcome>,
    /// What asks for the next page, if there is one.
    pub(crate) next: Option<String>,
}

impl Page {
    /// How many objects are on it.
    pub(crate) fn len(&self) -> usize {
        self.outcomes.len()
    }

    /// The objects of pages. What cannot be understood is left out, with a warning.
    pub(crate) fn collect(pages: Vec<Self>) -> Collected {
        let outcomes = pages.into_iter().flat_map(|page| page.outcomes).collect();
        collect(outcomes, Strictness::Lenient, &mut Vec::new())
    }
}

#[derive(Deserialize)]
struct ListHead {
    #[serde(default)]
    metadata: ListMeta,
}

#[derive(Default, Deserialize)]
struct ListMeta {
    #[serde(rename = "continue")]
    next: Option<String>,
}

fn collect(outcomes: Vec<Outcome>, strictness: Strictness, problems: &mut Vec<Problem>) -> Collected {
    let mut collector = Collector {
        strictness,
        problems,
        collected: Collected::default(),
        seen: HashMap::with_capacity(outcomes.len()),
        uids: HashMap::with_capacity(outcomes.len()),
    };
    for outcome in outcomes {
        collector.add(outcome);
        if collector.problems.len() >= MAX_PROBLEMS {
            let last = collector.problems.last().map(|problem| problem.origin.clone());
            collector.problems.extend(last.map(and_more));
            break;
        }
    }
    collector.collected
}

struct Collector<'a> {
    strictness: Strictness,
    problems: &'a mut Vec<Problem>,
    collected: Collected,
    /// Where each object was first seen, by its title.
    seen: HashMap<Arc<str>, Origin>,
    uids: HashMap<PodUid, Arc<str>>,
}

impl Collector<'_> {
    fn add(&mut self, outcome: Outcome) {
        let mut found = match outcome {
            Outcome::Skipped(Skipped { kind, making_pods_in }) => {
                if let Some(namespace) = making_pods_in {
                    let unread = self.collected.unread.entry(namespace).or_default();
                    unread.insert(kind.clone());
                }
                *self.collected.skipped.entry(kind).or_default() += 1;
                return;
            }
            Outcome::Refused(problem) => return self.refuse(problem),
            Outcome::Found(found) => found,
        };
        if let Some(first) = self.seen.get(&found.title) {
            let message = format!("is there twice, first in {first}");
            return self.refuse(found.problem(None, message));
        }
        self.seen.insert(Arc::clone(&found.title), found.origin.clone());
        let defects = std::mem::take(&mut found.defects);
        let usable = self.tell(&found, defects);
        if let Some(Object::Pod { pod, .. }) = found.object.as_ref().filter(|_| usable) {
            let other = self.uids.insert(pod.uid.clone(), Arc::clone(&found.title));
            if let Some(other) = other {
                let message = format!("{:?} is the UID of {other} too", pod.uid.as_str());
                return self.refuse(found.problem(Some("metadata.uid"), message));
            }
        }
        if found.object.is_some() && usable {
            self.collected.found.push(found);
        }
    }

    /// Tells what is wrong with an object; whether it is of use all the same.
    fn tell(&mut self, found: &Found, defects: Vec<Defect>) -> bool {
        let (defects, tolerated) = match &found.object {
            Some(Object::Policy { policy, .. }) => {
                (policy.defects.clone(), self.strictness != Strictness::Strict)
            }
            Some(_) | None => (defects, self.strictness == Strictness::Lenient),
        };
        let sound = defects.is_empty();
        let defects = defects.into_iter().map(|defect| found.defect(defect));
        if tolerated {
            self.collected.warnings.extend(defects);
        } else {
            self.problems.extend(defects);
        }
        sound || tolerated
    }

    fn refuse(&mut self, problem: Problem) {
        if self.strictness == Strictness::Lenient {
            self.collected.warnings.push(problem);
        } else {
            self.problems.push(problem);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::kind::Interest;
    use super::*;

    const READING: Reading<'static> = Reading {
        interest: Interest::Everything,
        slim: false,
        home: super::super::kind::DEFAULT_NAMESPACE,
    };

    fn page(text: &str) -> Option<Page> {
        READING.page(text.to_owned(), &Arc::from("https://server"))
    }

    #[test]
    fn the_items_of_a_page_take_their_kind_from_it() {
        let first = page(
            r#"{"kind": "PodList", "apiVersion": "v1", "metadata": {"continue": "more", "resourceVersion": "7"},
                "items": [{"metadata": {"name": "a", "namespace": "shop"}}]}"#,
        )
        .unwrap();
        assert_eq!(first.next.as_deref(), Some("more"));
        let last =
            page(r#"{"kind": "PodList", "apiVersion": "v1", "metadata": {"continue": ""}, "items": null}"#)
                .unwrap();
        assert_eq!((last.len(), &last.next), (0, &None));
        let collected = Page::collect(vec![first, last]);
        let titles: Vec<&str> = collected.found.iter().map(|found| &*found.title).collect();
        assert_eq!(titles, ["Pod shop/a"]);
    }

    #[test]
    fn an_odd_object_of_a_cluster_is_left_out_and_told() {
        let page = page(
            r#"{"kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": [
                {"metadata": {"name": "a"}, "spec": {"hostNetwork": 7}}, {"metadata": {"name": "b"}}]}"#,
        );
        let collected = Page::collect(vec![page.unwrap()]);
        assert_eq!(collected.found.len(), 1);
        let told: Vec<String> = collected.warnings.iter().map(ToString::to_string).collect();
        assert_eq!(told.len(), 1);
        assert!(
            told[0].starts_with("https://server: Pod default/a: spec.hostNetwork: "),
            "{}",
            told[0]
        );
    }

    #[test]
    fn what_is_no_list_is_no_page() {
        for text in ["", "<html>", "[]", "{\"kind\": 7}"] {
            assert!(page(text).is_none(), "{text}");
        }
    }
}
