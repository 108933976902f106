//! Whatever the history, the compiler publishes what it would publish from scratch, and this means what the API
//! documentation says.

use std::collections::BTreeMap;
use std::sync::Arc;

use palisade_policy::cluster::{ClusterState, Event};
use palisade_policy::compile::{Changes, Compiler, Published, compile};
use palisade_policy::evaluate::evaluate;
use palisade_policy::judge::{Enforced, judge};
use palisade_policy::model::{NamespaceName, NodeName, Packet};
use palisade_policy::rules::{GroupId, NodeHead, PodSlice, PolicySlice, Residents, Slice, SliceId};
use palisade_policy::testing::config;
use palisade_policy::testing::strategies::{history, packet};
use proptest::collection::vec;
use proptest::prelude::*;

/// What a reader of the published objects has after following all changes.
#[derive(Default)]
struct Follower {
    nodes: BTreeMap<NodeName, Arc<NodeHead>>,
    pods: BTreeMap<(NodeName, SliceId), PodSlice>,
    policies: BTreeMap<(NamespaceName, SliceId), PolicySlice>,
    slices: BTreeMap<(GroupId, SliceId), Slice>,
}

/// Brings a map to what was changed; each change must be one.
fn follow<K: Ord, V: PartialEq + std::fmt::Debug>(map: &mut BTreeMap<K, V>, changes: BTreeMap<K, Option<V>>) {
    for (key, new) in changes {
        match new {
            Some(new) => {
                assert_ne!(map.get(&key), Some(&new), "an idle write");
                map.insert(key, new);
            }
            None => assert!(map.remove(&key).is_some(), "deletes what is not there"),
        }
    }
}

impl Follower {
    fn follow(&mut self, changes: Changes) {
        follow(&mut self.slices, changes.slices);
        follow(&mut self.policies, changes.policies);
        follow(&mut self.pods, changes.pods);
        follow(&mut self.nodes, changes.nodes);
    }

    /// Compares with what the whole state compiles to.
    fn assert_is(&self, scratch: &Published) {
        assert_eq!(self.residents(), scratch.nodes);
        for (name, residents) in &scratch.nodes {
            let (head, slices) = residents.cut();
            assert_eq!(self.nodes.get(name).map(AsRef::as_ref), Some(&head));
            let known = self.pods.iter().filter(|((node, _), _)| node == name);
            let known: BTreeMap<_, _> = known.map(|((_, id), slice)| (*id, slice.clone())).collect();
            assert_eq!(known, slices, "the slices of {name}");
        }
        assert!(self.pods.keys().all(|(node, _)| scratch.nodes.contains_key(node)));
        assert_eq!(self.slices, scratch.slices());
        let policies = scratch.policies.iter().flat_map(|(name, slices)| {
            let keyed = slices
                .iter()
                .map(|(slice, content)| ((name.clone(), *slice), content.clone()));
            keyed.collect::<Vec<_>>()
        });
        assert_eq!(self.policies, policies.collect());
        self.assert_references_hold();
    }

    /// What each node makes of its head and the slices below it.
    fn residents(&self) -> BTreeMap<NodeName, Arc<Residents>> {
        let nodes = self.nodes.iter().map(|(name, head)| {
            let below = self.pods.iter().filter(|((node, _), _)| node == name);
            let residents = Residents::unite(head, below.map(|(_, slice)| slice));
            (name.clone(), Arc::new(residents))
        });
        nodes.collect()
    }

    fn assert_references_hold(&self) {
        let first = |group: &GroupId| (*group, SliceId::WHOLE);
        for slice in self.policies.values() {
            let groups = slice.policies.values().flat_map(|policy| policy.rules.groups());
            for group in groups {
                assert!(self.slices.contains_key(&first(group)), "{group} leads nowhere");
            }
            for half in slice.id.halves().iter().filter(|_| slice.split) {
                assert!(self.policies.contains_key(&(slice.namespace.clone(), *half)));
            }
        }
        let heads = self.nodes.values().map(|head| &head.pods);
        for slice in heads.chain(self.pods.values()) {
            for half in slice.id.halves().iter().filter(|_| slice.split) {
                assert!(self.pods.contains_key(&(slice.node.clone(), *half)));
            }
            for pod in slice.pods.values() {
                let namespace = &pod.key.namespace;
                let first = (namespace.clone(), SliceId::WHOLE);
                let named = slice.namespaces.contains(namespace);
                assert_eq!(named, self.policies.contains_key(&first), "{namespace}");
            }
        }
    }
}

/// The same event, of pods with so many labels that few of them fit into one object.
fn with_heavy_pods(event: Event) -> Event {
    match event {
        Event::PodApplied(mut pod) => {
            let padding = (0..150).map(|number| (format!("padding-{number}").into(), "x".repeat(60).into()));
            let labels = pod.labels.iter().map(|(key, value)| (key.clone(), value.clone()));
            let labels: Vec<(Arc<str>, Arc<str>)> = labels.chain(padding).collect();
            pod.labels = labels.into_iter().collect();
            Event::PodApplied(pod)
        }
        other => other,
    }
}

fn assert_oracle_agrees(state: &ClusterState, published: &Published, packets: &[Packet]) {
    let enforced = Enforced::from(published);
    for packet in packets {
        let expected = evaluate(state, packet);
        assert_eq!(
            judge(&enforced, packet, state.nodes()),
            expected.verdict,
            "{expected}"
        );
    }
}

proptest! {
    #![proptest_config(config(400))]

    #[test]
    fn after_every_event_the_changes_add_up_to_a_compile_from_scratch(events in history(40)) {
        let (mut compiler, mut follower) = (Compiler::default(), Follower::default());
        for event in events {
            compiler.apply(event);
            follower.follow(compiler.flush());
            let scratch = compile(compiler.state());
            prop_assert_eq!(&compiler.published(), &scratch);
            follower.assert_is(&scratch);
            prop_assert!(compiler.flush().is_empty(), "a second flush has nothing to do");
        }
    }

    #[test]
    fn the_same_holds_where_the_pods_of_a_node_do_not_fit_into_one_object(events in history(60)) {
        let (mut compiler, mut follower) = (Compiler::default(), Follower::default());
        for event in events {
            compiler.apply(with_heavy_pods(event));
            follower.follow(compiler.flush());
            let scratch = compile(compiler.state());
            prop_assert_eq!(&compiler.published(), &scratch);
            follower.assert_is(&scratch);
        }
    }

    #[test]
    fn events_may_be_squashed_into_any_number_of_flushes(events in history(80), cuts in vec(any::<bool>(), 80)) {
        let (mut compiler, mut follower) = (Compiler::default(), Follower::default());
        for (event, cut) in events.into_iter().zip(cuts) {
            compiler.apply(event);
            if cut {
                follower.follow(compiler.flush());
            }
        }
        follower.follow(compiler.flush());
        follower.assert_is(&compile(compiler.state()));
    }

    #[test]
    fn the_order_of_the_events_of_different_objects_does_not_matter(events in history(40)) {
        let state = ClusterState::from_events(events);
        let applied = |reversed: bool| {
            let mut events: Vec<Event> = state.pods().values().cloned().map(Event::PodApplied).collect();
            events.extend(state.namespaces().values().cloned().map(Event::NamespaceApplied));
            events.extend(state.policies().values().cloned().map(Event::PolicyApplied));
            events.extend(state.nodes().values().cloned().map(Event::NodeApplied));
            if reversed {
                events.reverse();
            }
            let mut compiler = Compiler::default();
            for event in events {
                compiler.apply(event);
                compiler.flush();
            }
            compiler.published()
        };
        let forward = applied(false);
        prop_assert_eq!(&forward, &applied(true));
        prop_assert_eq!(&forward, &compile(&state));
    }

    #[test]
    fn what_is_removed_leaves_nothing_behind(before in history(30), after in history(30)) {
        let mut compiler = Compiler::default();
        let mut follower = Follower::default();
        for event in before.iter().chain(&after).cloned() {
            compiler.apply(event);
        }
        follower.follow(compiler.flush());
        let state = compiler.state().clone();
        let gone = state.pods().keys().cloned().map(Event::PodDeleted)
            .chain(state.policies().keys().cloned().map(Event::PolicyDeleted))
            .chain(state.namespaces().keys().cloned().map(Event::NamespaceDeleted))
            .chain(state.nodes().keys().cloned().map(Event::NodeDeleted));
        for event in gone {
            compiler.apply(event);
            follower.follow(compiler.flush());
        }
        prop_assert_eq!(&compiler.published(), &Published::default());
        follower.assert_is(&Published::default());
    }

    #[test]
    fn the_published_rules_mean_what_the_documentation_says(events in history(120), packets in vec(packet(), 200)) {
        let state = ClusterState::from_events(events);
        assert_oracle_agrees(&state, &compile(&state), &packets);
    }
}
