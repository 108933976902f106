//! The ledger against an API server of a few maps, in any order of events.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use palisade_policy::testing::config;
use proptest::prelude::*;
use proptest::sample::Index;

use super::*;

/// Writes at a time.
const LIMIT: usize = 3;

/// What a document says, in the model; also what everything that it refers to, however far away, said when it was asked
/// for.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Text {
    number: u64,
    said: BTreeMap<Key, u64>,
}

#[derive(Clone, Debug)]
struct Document {
    text: Option<Text>,
    references: References,
    revision: u64,
    version: u64,
    /// Somebody else has put something into it that an apply leaves there.
    sticky: bool,
}

/// One thing that happens.
#[derive(Clone, Debug)]
enum Happening {
    /// Other objects are wanted. Of them, those with a number of `changed` say something new.
    Want {
        plan: Plan,
        changed: BTreeSet<u8>,
    },
    Begin,
    Finish(Index, Outcome),
    /// The watch tells what happened next.
    Hear,
    /// The watch begins anew.
    Relist(bool),
    ForeignDelete(Index),
    ForeignEdit(Index, bool),
    Wait(u64),
}

/// Objects by their numbers, each with the numbers of those of the [kinds before](before) that it refers to, if they are there.
#[derive(Clone, Debug, Default)]
struct Plan {
    slices: BTreeSet<u8>,
    policies: BTreeMap<u8, BTreeSet<u8>>,
    pods: BTreeMap<u8, BTreeSet<u8>>,
    rule_sets: BTreeMap<u8, BTreeSet<u8>>,
}

#[derive(Clone, Copy, Debug)]
enum Outcome {
    Done,
    DoneUnheard,
    NotDoneUnheard,
    Refused,
}

/// The ledger, the API server, and what is on its way between them.
struct World {
    ledger: Ledger<Text>,
    now: Instant,
    wanted: BTreeMap<Key, (Text, References)>,
    number: u64,
    stored: BTreeMap<Key, Document>,
    version: u64,
    /// What happened to stored objects, and how much of it the watch has told.
    history: Vec<(Key, u64, Option<Document>)>,
    heard: usize,
    flights: Vec<Action<Text>>,
    /// Objects that somebody else deleted, or changed: no fault of ours.
    meddled: BTreeSet<Key>,
    refused: bool,
}

fn name(kind: Kind, number: u8) -> Key {
    let stem = match kind {
        Kind::Slice => "slice",
        Kind::Policies => "policies",
        Kind::Pods => "pods",
        Kind::RuleSet => "node",
    };
    Key::new(kind, format!("{stem}-{number}"))
}

/// The kinds that a kind refers to.
fn before(kind: Kind) -> &'static [Kind] {
    match kind {
        Kind::Slice => &[],
        Kind::Policies => &[Kind::Slice],
        Kind::Pods => &[Kind::Policies],
        Kind::RuleSet => &[Kind::Policies, Kind::Pods],
    }
}

fn stored(document: &Document) -> Stored {
    let text = document.text.as_ref().filter(|_| !document.sticky);
    Stored {
        mark: text.map(|text| format!("{text:?}")),
        references: document.references.clone(),
        revision: document.revision,
        version: document.version,
    }
}

impl World {
    fn new() -> Self {
        Self {
            ledger: Ledger::default(),
            now: Instant::now(),
            wanted: BTreeMap::new(),
            number: 0,
            stored: BTreeMap::new(),
            version: 0,
            history: Vec::new(),
            heard: 0,
            flights: Vec::new(),
            meddled: BTreeSet::new(),
            refused: false,
        }
    }

    fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::Want { plan, changed } => self.want(&plan, &changed),
            Happening::Begin => self.begin(),
            Happening::Finish(which, outcome) => {
                if !self.flights.is_empty() {
                    let action = self.flights.swap_remove(which.index(self.flights.len()));
                    self.finish(action, outcome);
                }
            }
            Happening::Hear => self.hear(),
            Happening::Relist(late) => self.relist(late),
            Happening::ForeignDelete(which) => {
                if let Some(key) = self.pick(which) {
                    self.meddled.insert(key.clone());
                    self.record(&key, None);
                }
            }
            Happening::ForeignEdit(which, sticky) => {
                if let Some(key) = self.pick(which) {
                    let mut document = self.stored[&key].clone();
                    self.meddled.insert(key.clone());
                    document.text = None;
                    document.sticky |= sticky;
                    self.record(&key, Some(document));
                }
            }
            Happening::Wait(milliseconds) => self.now += Duration::from_millis(milliseconds),
        }
        self.check();
    }

    fn pick(&self, which: Index) -> Option<Key> {
        let keys: Vec<&Key> = self.stored.keys().collect();
        (!keys.is_empty()).then(|| (*which.get(&keys)).clone())
    }

    fn want(&mut self, plan: &Plan, changed: &BTreeSet<u8>) {
        let nothing = BTreeSet::new();
        let slices = plan.slices.iter().map(|number| (*number, Kind::Slice, &nothing));
        let policies = plan.policies.iter();
        let policies = policies.map(|(number, references)| (*number, Kind::Policies, references));
        let pods = plan.pods.iter();
        let pods = pods.map(|(number, references)| (*number, Kind::Pods, references));
        let rule_sets = plan.rule_sets.iter();
        let rule_sets = rule_sets.map(|(number, references)| (*number, Kind::RuleSet, references));
        let mut wanted: BTreeMap<Key, (Text, References)> = BTreeMap::new();
        for (number, kind, references) in slices.chain(policies).chain(pods).chain(rule_sets) {
            let references = references
                .iter()
                .flat_map(|number| before(kind).iter().map(|before| name(*before, *number)))
                .filter(|key| wanted.contains_key(key));
            let references: References = Arc::new(references.collect());
            let key = name(kind, number);
            let old = self
                .wanted
                .get(&key)
                .filter(|(_, old)| *old == references && !changed.contains(&number));
            let mut said = BTreeMap::new();
            for key in references.iter() {
                let (text, _) = &wanted[key];
                said.insert(key.clone(), text.number);
                said.extend(text.said.clone());
            }
            self.number += 1;
            let new = Text {
                number: self.number,
                said,
            };
            let new = old.cloned().unwrap_or((new, references));
            wanted.insert(key, new);
        }
        // In the order of keys: what is referred to comes first.
        for (key, (text, references)) in &wanted {
            if self.wanted.get(key) != Some(&(text.clone(), references.clone())) {
                let object = Wanted {
                    mark: format!("{text:?}"),
                    references: references.clone(),
                    content: text.clone(),
                };
                self.ledger.want(key, object);
            }
        }
        for key in self.wanted.keys().filter(|key| !wanted.contains_key(key)) {
            self.ledger.unwant(key);
        }
        self.wanted = wanted;
    }

    fn begin(&mut self) {
        self.flights.extend(self.ledger.next(self.now, LIMIT));
        let keys: BTreeSet<&Key> = self.flights.iter().map(|action| &action.key).collect();
        assert_eq!(
            keys.len(),
            self.flights.len(),
            "two writes of one object at a time"
        );
        assert!(keys.len() <= LIMIT);
    }

    fn finish(&mut self, Action { key, write }: Action<Text>, outcome: Outcome) {
        let unsure = match outcome {
            Outcome::Refused => {
                self.refused = true;
                return self.ledger.failed(&key, self.now, false);
            }
            Outcome::NotDoneUnheard => return self.ledger.failed(&key, self.now, true),
            Outcome::Done => false,
            Outcome::DoneUnheard => true,
        };
        let old = self.stored.get(&key).cloned();
        let version = |document: &Option<Document>| document.as_ref().map(|document| document.version);
        let new = match write {
            Write::Delete { version: Some(_) } if old.is_none() => None,
            Write::Delete {
                version: Some(wanted),
            } if version(&old) != Some(wanted) => {
                return self.ledger.failed(&key, self.now, unsure);
            }
            Write::Delete { .. } => None,
            Write::Put {
                replace: Some(wanted),
                ..
            } if version(&old) != Some(wanted) => {
                return self.ledger.failed(&key, self.now, unsure);
            }
            Write::Put {
                wanted,
                revision,
                replace,
            } => {
                self.check_references(&key, &wanted.content, &wanted.references);
                Some(Document {
                    sticky: replace.is_none() && old.as_ref().is_some_and(|old| old.sticky),
                    text: Some(wanted.content),
                    references: wanted.references,
                    revision,
                    version: 0,
                })
            }
        };
        if let (Some(old), Some(new)) = (&old, &new) {
            assert!(new.revision > old.revision, "{key}: revisions grow");
        }
        self.meddled.remove(&key);
        if old.is_some() || new.is_some() {
            self.record(&key, new);
        }
        if unsure {
            return self.ledger.failed(&key, self.now, true);
        }
        match self.stored.get(&key) {
            Some(document) => self.ledger.written(&key, stored(document), self.now),
            None => self.ledger.deleted(&key),
        }
    }

    /// An object is written only when what it refers to says what it said when the object was asked for, or something newer,
    /// and so on as far as references lead.
    fn check_references(&self, key: &Key, text: &Text, references: &References) {
        let mut open: Vec<Key> = references.iter().cloned().collect();
        while let Some(referred) = open.pop() {
            // One that keeps failing and is in use anyway does not hold up others.
            if self.meddled.contains(&referred) || self.refused {
                continue;
            }
            let document = self
                .stored
                .get(&referred)
                .unwrap_or_else(|| panic!("{key} needs {referred}"));
            let found = document.text.as_ref().map(|text| text.number);
            if let Some(number) = text.said.get(&referred) {
                assert!(
                    found >= Some(*number),
                    "{key} needs {number} of {referred}, there is {found:?}"
                );
            }
            open.extend(document.references.iter().cloned());
        }
    }

    fn record(&mut self, key: &Key, document: Option<Document>) {
        self.version += 1;
        let document = document.map(|document| Document {
            version: self.version,
            ..document
        });
        self.history.push((key.clone(), self.version, document.clone()));
        match document {
            Some(document) => self.stored.insert(key.clone(), document),
            None => self.stored.remove(key),
        };
    }

    fn hear(&mut self) {
        let Some((key, version, document)) = self.history.get(self.heard) else {
            return;
        };
        match document {
            Some(document) => self.ledger.found(key, stored(document)),
            None => self.ledger.gone(key, *version),
        }
        self.heard += 1;
    }

    /// With `late`, a write goes on between the listing's beginning and its end.
    fn relist(&mut self, late: bool) {
        for kind in Kind::ALL {
            self.ledger.listing_started(kind);
        }
        let snapshot = self.stored.clone();
        self.heard = self.history.len();
        if late && let Some(action) = self.flights.pop() {
            self.finish(action, Outcome::Done);
        }
        for (key, document) in &snapshot {
            self.ledger.found(key, stored(document));
        }
        for kind in Kind::ALL {
            self.ledger.listing_done(kind);
        }
    }

    /// Every object that is there has what it refers to.
    fn check(&self) {
        for (key, document) in &self.stored {
            for referred in document.references.iter() {
                let there = self.stored.contains_key(referred) || self.meddled.contains(referred);
                assert!(there, "{key} refers to {referred}, which is not there");
            }
        }
    }

    /// Everything succeeds from now on.
    fn settle(&mut self) {
        for _ in 0..400 {
            self.begin();
            while let Some(action) = self.flights.pop() {
                self.finish(action, Outcome::Done);
                self.check();
            }
            while self.heard < self.history.len() {
                self.hear();
            }
            self.now += Duration::from_secs(11);
        }
        let found: BTreeMap<&Key, &Text> = self
            .stored
            .iter()
            .filter_map(|(key, document)| Some((key, document.text.as_ref()?)))
            .collect();
        let wanted: BTreeMap<&Key, &Text> = self.wanted.iter().map(|(key, (text, _))| (key, text)).collect();
        assert_eq!(found, wanted);
        assert_eq!(self.stored.len(), wanted.len());
        assert!(self.stored.values().all(|document| !document.sticky));
        self.relist(false);
        self.begin();
        assert!(
            self.flights.is_empty(),
            "nothing is written any more: {:?}",
            self.flights
        );
        assert_eq!(self.ledger.waiting(), 0);
        let remembered: Vec<&Key> = self.ledger.entries.keys().collect();
        let wanted: Vec<&Key> = self.wanted.keys().collect();
        assert_eq!(remembered, wanted, "nothing else is remembered");
    }
}

fn happenings() -> impl Strategy<Value = Happening> {
    let numbers = || prop::collection::btree_set(0_u8..5, 0..5);
    let referring = |count| prop::collection::btree_map(0_u8..count, numbers(), 0..usize::from(count));
    let plan = (numbers(), referring(4), referring(3), referring(3));
    let plan = plan.prop_map(|(slices, policies, pods, rule_sets)| Plan {
        slices,
        policies,
        pods,
        rule_sets,
    });
    let outcome = prop_oneof![
        6 => Just(Outcome::Done),
        1 => Just(Outcome::DoneUnheard),
        1 => Just(Outcome::NotDoneUnheard),
        1 => Just(Outcome::Refused),
    ];
    prop_oneof![
        4 => (plan, numbers()).prop_map(|(plan, changed)| Happening::Want { plan, changed }),
        8 => Just(Happening::Begin),
        8 => (any::<Index>(), outcome).prop_map(|(which, outcome)| Happening::Finish(which, outcome)),
        6 => Just(Happening::Hear),
        1 => any::<bool>().prop_map(Happening::Relist),
        1 => any::<Index>().prop_map(Happening::ForeignDelete),
        1 => (any::<Index>(), any::<bool>()).prop_map(|(which, sticky)| Happening::ForeignEdit(which, sticky)),
        2 => (1_u64..500).prop_map(Happening::Wait),
    ]
}

proptest! {
    #![proptest_config(config(300))]

    #[test]
    fn whatever_happens_references_hold_and_in_the_end_all_is_as_wanted(
        happenings in prop::collection::vec(happenings(), 0..80)
    ) {
        let mut world = World::new();
        for happening in happenings {
            world.happen(happening);
        }
        world.settle();
    }

    #[test]
    fn a_successor_finds_what_is_there_and_writes_only_what_differs(
        happenings in prop::collection::vec(happenings(), 0..60)
    ) {
        let mut world = World::new();
        for happening in happenings {
            world.happen(happening);
        }
        world.settle();
        let wanted = world.wanted.clone();
        let mut successor = World { stored: world.stored, version: world.version, number: world.number, ..World::new() };
        successor.relist(false);
        for (key, (text, references)) in &wanted {
            let object = Wanted { mark: format!("{text:?}"), references: references.clone(), content: text.clone() };
            successor.ledger.want(key, object);
        }
        successor.wanted = wanted;
        successor.begin();
        prop_assert!(successor.flights.is_empty(), "nothing differs: {:?}", successor.flights);
        successor.settle();
    }
}

/// One object of each kind, each referring to those before.
fn one_of_each() -> Plan {
    let zero = BTreeSet::from([0]);
    Plan {
        policies: BTreeMap::from([(0, zero.clone())]),
        pods: BTreeMap::from([(0, zero.clone())]),
        rule_sets: BTreeMap::from([(0, zero.clone())]),
        slices: zero,
    }
}

/// A world in which one object of each kind is there.
fn small_world() -> World {
    let mut world = World::new();
    world.want(&one_of_each(), &BTreeSet::new());
    world.settle();
    world
}

#[test]
fn what_is_referred_to_comes_before_and_goes_after_what_refers_to_it() {
    let mut world = World::new();
    let none = BTreeSet::new();
    world.want(&one_of_each(), &none);
    let order = |world: &mut World| {
        let mut order = Vec::new();
        loop {
            world.begin();
            assert!(world.flights.len() <= 1, "each waits for the other");
            let Some(action) = world.flights.pop() else {
                return order;
            };
            order.push(action.key.to_string());
            world.finish(action, Outcome::Done);
        }
    };
    assert_eq!(
        order(&mut world),
        [
            "AddressGroup slice-0",
            "PolicySlice policies-0",
            "PodSlice pods-0",
            "NodeRuleSet node-0"
        ]
    );
    let without = Plan {
        rule_sets: BTreeMap::from([(0, BTreeSet::new())]),
        ..Plan::default()
    };
    world.want(&without, &none);
    assert_eq!(
        order(&mut world),
        [
            "NodeRuleSet node-0",
            "PodSlice pods-0",
            "PolicySlice policies-0",
            "AddressGroup slice-0"
        ]
    );
}

#[test]
fn a_slice_is_split_after_its_halves_came_and_joined_before_they_go() {
    let mut ledger = Ledger::<&str>::default();
    let now = Instant::now();
    let key = |text: &str| Key::new(Kind::Slice, text);
    let want = |ledger: &mut Ledger<&'static str>, name: &str, text: &'static str, halves: &[&str]| {
        let wanted = Wanted {
            mark: text.to_owned(),
            references: Arc::new(halves.iter().map(|half| key(half)).collect()),
            content: text,
        };
        ledger.want(&key(name), wanted);
    };
    let mut version = 0;
    let mut run = |ledger: &mut Ledger<&'static str>| {
        let mut order = Vec::new();
        loop {
            let actions = ledger.next(now, 1);
            let Some(Action { key, write }) = actions.into_iter().next() else {
                return order;
            };
            version += 1;
            let Write::Put { wanted, revision, .. } = write else {
                order.push(format!("delete {}", key.name));
                ledger.deleted(&key);
                ledger.gone(&key, version);
                continue;
            };
            order.push(format!("{} {}", key.name, wanted.content));
            let stored = Stored {
                mark: Some(wanted.mark),
                references: wanted.references,
                revision,
                version,
            };
            ledger.written(&key, stored, now);
        }
    };
    want(&mut ledger, "g-s", "whole", &[]);
    assert_eq!(run(&mut ledger), ["g-s whole"]);
    want(&mut ledger, "g-s", "split", &["g-s0", "g-s1"]);
    want(&mut ledger, "g-s0", "half", &[]);
    want(&mut ledger, "g-s1", "half", &[]);
    assert_eq!(run(&mut ledger), ["g-s0 half", "g-s1 half", "g-s split"]);
    ledger.unwant(&key("g-s0"));
    ledger.unwant(&key("g-s1"));
    want(&mut ledger, "g-s", "joined", &[]);
    assert_eq!(run(&mut ledger), ["g-s joined", "delete g-s0", "delete g-s1"]);
}

#[test]
fn only_the_newest_state_is_written_and_no_write_overtakes_another() {
    let mut world = small_world();
    let [zero, none] = [BTreeSet::from([0]), BTreeSet::new()];
    let before = world.version;
    for _ in 0..5 {
        world.want(&one_of_each(), &zero);
        world.begin();
        assert_eq!(world.flights.len(), 1);
    }
    world.settle();
    // The slice twice, the first change and the last; the others once.
    assert_eq!(world.version, before + 5);
    world.want(&one_of_each(), &none);
    world.settle();
    assert_eq!(world.version, before + 5);
}

#[test]
fn what_somebody_else_leaves_in_an_object_is_replaced() {
    let mut world = small_world();
    for key in Kind::ALL.map(|kind| name(kind, 0)) {
        let mut document = world.stored[&key].clone();
        document.sticky = true;
        world.record(&key, Some(document));
    }
    world.settle();
}
