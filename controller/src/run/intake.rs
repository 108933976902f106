//! One kind's watch, step by step, becomes events for the compiler.
//!
//! A listing is a difference: what it has and we have not is new, what we have and it has not is gone, and nothing is
//! taken in before it is whole.

use std::collections::{BTreeMap, BTreeSet};

use palisade_policy::cluster::{ClusterState, Event};
use palisade_policy::model::Defect;

use crate::report::Note;
use crate::watch::{Kind, Observed, Place, Step};

/// What is remembered of one kind's watch.
#[derive(Clone, Debug)]
pub(super) struct Intake<T: Kind> {
    listing: Option<Listing<T>>,
    complete: bool,
    /// What could not be understood, of which objects.
    defective: BTreeMap<T::Key, (Place, Vec<Defect>)>,
}

/// A listing that goes on.
#[derive(Clone, Debug)]
struct Listing<T: Kind> {
    seen: BTreeSet<T::Key>,
    changed: Vec<T>,
}

/// What a step comes to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Taken {
    /// For the compiler.
    pub(super) events: Vec<Event>,
    /// For people: each change of what could not be understood.
    pub(super) notes: Vec<Note>,
}

impl<T: Kind> Default for Intake<T> {
    fn default() -> Self {
        Self {
            listing: None,
            complete: false,
            defective: BTreeMap::new(),
        }
    }
}

impl<T: Kind> Intake<T> {
    /// Whether there has been a whole listing.
    pub(super) fn is_complete(&self) -> bool {
        self.complete
    }

    /// How many objects have a part that could not be understood.
    pub(super) fn defective(&self) -> usize {
        self.defective.len()
    }

    /// What a step changes, compared with what is known.
    pub(super) fn take(&mut self, step: Step<T>, state: &ClusterState) -> Taken {
        let mut taken = Taken::default();
        match step {
            Step::ListingStarted => {
                self.listing = Some(Listing {
                    seen: BTreeSet::new(),
                    changed: Vec::new(),
                });
            }
            Step::Listed(observed) => {
                self.note(&observed, &mut taken);
                if let Some(listing) = &mut self.listing
                    && let Some((key, Some(object))) = settle(observed, state)
                {
                    if T::all(state).get(&key) != Some(&object) {
                        listing.changed.push(object);
                    }
                    listing.seen.insert(key);
                }
            }
            Step::ListingDone => {
                let Some(Listing { seen, changed }) = self.listing.take() else {
                    return taken;
                };
                self.complete = true;
                let gone = T::all(state).keys().filter(|key| !seen.contains(key));
                for key in gone.cloned() {
                    self.forget(&key, &mut taken);
                    taken.events.push(T::deleted(key));
                }
                taken.events.extend(changed.into_iter().map(T::applied));
            }
            Step::Applied(observed) => {
                self.note(&observed, &mut taken);
                if let Some((key, object)) = settle(observed, state) {
                    taken
                        .events
                        .push(object.map_or_else(|| T::deleted(key), T::applied));
                }
            }
            Step::Deleted(key) => {
                self.forget(&key, &mut taken);
                taken.events.push(T::deleted(key));
            }
        }
        taken
    }

    /// Notes the defects of an object where they are others than before.
    fn note(&mut self, observed: &Observed<T>, taken: &mut Taken) {
        let Observed {
            key, place, defects, ..
        } = observed;
        let Some(key) = key else { return };
        let before = self.defective.get(key).map(|(_, defects)| defects.as_slice());
        if before.unwrap_or_default() == defects {
            return;
        }
        taken.notes.push(Note::defects(T::NAME, place, defects));
        if defects.is_empty() {
            self.defective.remove(key);
        } else {
            self.defective
                .insert(key.clone(), (place.clone(), defects.clone()));
        }
    }

    fn forget(&mut self, key: &T::Key, taken: &mut Taken) {
        if let Some((place, _)) = self.defective.remove(key) {
            taken.notes.push(Note::defects(T::NAME, &place, &[]));
        }
    }
}

/// An object under its identity, or what stands for one that cannot be read.
fn settle<T: Kind>(observed: Observed<T>, state: &ClusterState) -> Option<(T::Key, Option<T>)> {
    let key = observed.key?;
    let object = observed
        .object
        .or_else(|| T::unreadable(&key, T::all(state).get(&key)));
    Some((key, object))
}

#[cfg(test)]
mod tests {
    use palisade_policy::model::{NamespaceName, Node, Pod, PodUid, Policy};
    use serde_json::{Value, json};

    use super::*;
    use crate::watch::observe;

    fn pod(number: u8, address: &str) -> Value {
        json!({
            "metadata": { "name": format!("web-{number}"), "namespace": "shop", "uid": format!("uid-{number}") },
            "spec": { "nodeName": "node-1", "containers": [] },
            "status": { "podIPs": [{ "ip": address }] },
        })
    }

    /// A watch of one kind and the objects that came of it.
    struct Bed<T: Kind> {
        intake: Intake<T>,
        state: ClusterState,
    }

    impl<T: Kind> Bed<T> {
        fn new() -> Self {
            Self {
                intake: Intake::default(),
                state: ClusterState::default(),
            }
        }

        fn step(&mut self, step: Step<T>) -> Taken {
            let taken = self.intake.take(step, &self.state);
            for event in &taken.events {
                self.state.apply(event.clone());
            }
            taken
        }

        fn list(&mut self, objects: &[Value]) -> Taken {
            self.step(Step::ListingStarted);
            let mut notes = Vec::new();
            for object in objects {
                let taken = self.step(Step::Listed(observe(object)));
                assert_eq!(
                    taken.events,
                    [],
                    "nothing is taken in before the listing is whole"
                );
                notes.extend(taken.notes);
            }
            let mut taken = self.step(Step::ListingDone);
            taken.notes.extend(notes);
            taken
        }
    }

    #[test]
    fn a_listing_brings_what_is_new_and_takes_what_is_gone_at_once() {
        let mut bed = Bed::<Pod>::new();
        assert!(!bed.intake.is_complete());
        bed.list(&[pod(1, "10.0.0.1"), pod(2, "10.0.0.2"), pod(3, "10.0.0.3")]);
        assert!(bed.intake.is_complete());
        assert_eq!(bed.state.pods().len(), 3);

        let taken = bed.list(&[pod(1, "10.0.0.1"), pod(2, "10.0.0.9"), pod(4, "10.0.0.4")]);
        assert_eq!(taken.events.len(), 3, "one gone, one changed, one new: {taken:?}");
        assert_eq!(taken.events.first(), Some(&Event::PodDeleted("uid-3".into())));
        let uids: Vec<&str> = bed.state.pods().keys().map(PodUid::as_str).collect();
        assert_eq!(uids, ["uid-1", "uid-2", "uid-4"]);
    }

    #[test]
    fn a_listing_that_begins_anew_forgets_what_the_broken_one_had() {
        let mut bed = Bed::<Pod>::new();
        bed.step(Step::ListingStarted);
        bed.step(Step::Listed(observe(&pod(1, "10.0.0.1"))));
        bed.list(&[pod(2, "10.0.0.2")]);
        let uids: Vec<&str> = bed.state.pods().keys().map(PodUid::as_str).collect();
        assert_eq!(uids, ["uid-2"]);
    }

    #[test]
    fn a_pod_that_cannot_be_read_is_gone_and_is_told_of_once() {
        let mut bed = Bed::<Pod>::new();
        bed.list(&[pod(1, "10.0.0.1")]);
        let mut bad = pod(1, "10.0.0.1");
        bad["spec"]["containers"] = json!("none");
        let taken = bed.step(Step::Applied(observe(&bad)));
        assert_eq!(taken.events, [Event::PodDeleted("uid-1".into())]);
        assert_eq!((taken.notes.len(), bed.intake.defective()), (1, 1));
        assert_eq!(bed.step(Step::Applied(observe(&bad))).notes, []);
        assert_eq!(bed.list(&[bad]).notes, []);
        let taken = bed.step(Step::Applied(observe(&pod(1, "10.0.0.1"))));
        assert_eq!(
            (taken.notes.len(), bed.intake.defective()),
            (1, 0),
            "it is well again"
        );
        assert_eq!(bed.state.pods().len(), 1);
    }

    #[test]
    fn a_pod_that_says_too_much_of_itself_is_gone_and_is_told_of() {
        let mut bed = Bed::<Pod>::new();
        bed.list(&[pod(1, "10.0.0.1"), pod(2, "10.0.0.2")]);
        let mut loud = pod(1, "10.0.0.1");
        let labels = (0..300).map(|number| (format!("label-{number}"), json!("x".repeat(60))));
        loud["metadata"]["labels"] = Value::Object(labels.collect());
        let taken = bed.step(Step::Applied(observe(&loud)));
        assert_eq!(taken.events, [Event::PodDeleted("uid-1".into())]);
        assert_eq!((taken.notes.len(), bed.intake.defective()), (1, 1));
        assert_eq!(bed.state.pods().len(), 1);
    }

    #[test]
    fn a_node_that_cannot_be_read_keeps_the_networks_that_it_had() {
        let mut bed = Bed::<Node>::new();
        let mut node = json!({ "metadata": { "name": "node-1" }, "spec": { "podCIDRs": ["10.0.0.0/24"] } });
        bed.list(&[node.clone()]);
        let before = bed.state.nodes().clone();
        node["spec"]["podCIDRs"] = json!("10.0.0.0/24");
        bed.step(Step::Applied(observe(&node)));
        bed.list(&[node]);
        assert_eq!(bed.state.nodes(), &before);
        assert_eq!(bed.intake.defective(), 1);
    }

    #[test]
    fn a_policy_that_cannot_be_read_isolates_and_allows_nothing() {
        let mut bed = Bed::<Policy>::new();
        let policy = json!({
            "metadata": { "name": "odd", "namespace": "shop" },
            "spec": { "podSelector": {}, "policyTypes": ["Ingress"], "ingress": [{ "form": [] }] },
        });
        let taken = bed.list(&[policy]);
        let [policy] = bed.state.policies().values().collect::<Vec<_>>()[..] else {
            panic!("{:?}", bed.state.policies());
        };
        assert_eq!(policy.key.namespace, NamespaceName::from("shop"));
        assert_eq!(policy.ingress.as_deref(), Some(&[][..]));
        assert_eq!(taken.notes.len(), 1);
        bed.list(&[]);
        assert_eq!((bed.state.policies().len(), bed.intake.defective()), (0, 0));
    }
}
