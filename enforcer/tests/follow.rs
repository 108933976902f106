//! Whatever the history, a plan that follows is the one that would be planned from scratch, and what it says was touched is all
//! that there is to write.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "what a test made it may rely on"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use palisade_enforcer::nft::model::{Interface, Name, Ruleset, TableKey};
use palisade_enforcer::nft::{Change, Operation, diff};
use palisade_enforcer::plan::{Facts, Place, Planner, Settings, plan};
use palisade_policy::assemble::{Assembler, assemble};
use palisade_policy::cluster::{ClusterState, Event};
use palisade_policy::compile::{Compiler, Published, compile};
use palisade_policy::model::{NamespaceName, NodeName, Protocol};
use palisade_policy::rules::{GroupId, NodeRules, PolicySlice, Slice, SliceId};
use palisade_policy::testing::strategies::history;
use palisade_policy::testing::{builders, config};
use proptest::collection::vec;
use proptest::prelude::*;

type Slices = BTreeMap<(GroupId, SliceId), Arc<Slice>>;

/// What an enforcer keeps from one input to the next.
#[derive(Default)]
struct Follower {
    policies: BTreeMap<(NamespaceName, SliceId), Arc<PolicySlice>>,
    slices: Slices,
    assembler: Assembler,
    planner: Planner,
    /// What the kernel has.
    written: Ruleset,
}

/// What is equal stays the same memory.
fn kept<K: Ord + Copy, V: PartialEq>(
    known: &BTreeMap<K, Arc<V>>,
    new: BTreeMap<K, V>,
) -> BTreeMap<K, Arc<V>> {
    let keep = |key: &K, value: V| match known.get(key) {
        Some(known) if **known == value => known.clone(),
        _ => Arc::new(value),
    };
    new.into_iter()
        .map(|(key, value)| (key, keep(&key, value)))
        .collect()
}

fn place(state: &ClusterState, rules: &NodeRules, bridged: bool) -> Facts {
    // Pods with an odd name are not placed yet.
    let pods = rules
        .pods
        .keys()
        .filter(|uid| uid.as_str().len() % 2 == 0 || !bridged);
    let places = pods.map(|uid| {
        let pod = &state.pods()[uid];
        let tail = uid.as_str().rsplit(['-', '/']).next().unwrap();
        let place = Place {
            interface: Interface::new(format!("veth{tail}")).unwrap(),
            index: 1,
            bridge: bridged.then(|| Interface::new("bridge0").unwrap()),
            addresses: pod.addresses.iter().copied().collect(),
        };
        (uid.clone(), place)
    });
    let uplinks = bridged.then(|| (Interface::new("bridge0").unwrap(), BTreeSet::new()));
    Facts {
        places: places.collect(),
        uplinks: uplinks.into_iter().collect(),
    }
}

impl Follower {
    /// Follows to a state, and compares with one that begins there. `written` tells whether the kernel gets it.
    fn follow(
        &mut self,
        state: &ClusterState,
        published: &Published,
        node: &NodeName,
        bridged: bool,
        written: bool,
    ) {
        let residents = &published.nodes[node];
        let named = published
            .policies
            .iter()
            .filter(|(name, _)| residents.namespaces.contains(*name));
        let mut policies = BTreeMap::new();
        for (name, slices) in named {
            for (id, slice) in slices {
                let known = self
                    .policies
                    .get(&(name.clone(), *id))
                    .filter(|known| ***known == *slice);
                let slice = known.cloned().unwrap_or_else(|| Arc::new(slice.clone()));
                policies.insert((name.clone(), *id), slice);
            }
        }
        self.policies = policies;
        let in_use: Vec<_> = self.policies.values().cloned().collect();
        let mut by_namespace: BTreeMap<NamespaceName, Vec<Arc<PolicySlice>>> = BTreeMap::new();
        for slice in &in_use {
            by_namespace
                .entry(slice.namespace.clone())
                .or_default()
                .push(slice.clone());
        }
        let by_namespace = by_namespace
            .into_iter()
            .map(|(name, slices)| (name, slices.into()));
        let rules = self.assembler.assemble(residents, &by_namespace.collect());
        assert_eq!(rules, assemble(residents, in_use.iter().map(AsRef::as_ref)));

        let used = published.slices().into_iter();
        let used = used.filter(|((group, _), slice)| rules.groups.contains(group) && !slice.split);
        let slices = kept(&self.slices, used.collect());
        let keys: BTreeSet<_> = self.slices.keys().chain(slices.keys()).copied().collect();
        let turned = keys
            .iter()
            .filter(|key| self.slices.get(*key) != slices.get(*key));
        let turned: Vec<_> = turned.map(|key| (*key, slices.get(key))).collect();
        let facts = place(state, &rules, bridged);
        self.planner
            .plan(&Arc::new(rules.clone()), turned, &facts)
            .unwrap();
        self.slices = slices;

        let scratch = plan(&rules, &self.slices, &facts, &Settings::default()).unwrap();
        let draft = self.planner.draft();
        assert_eq!(draft.ruleset(), &scratch.ruleset);
        assert_eq!(self.planner.unplaced(), scratch.unplaced);
        scratch.ruleset.check().unwrap();
        // Nothing that others refer to is ever made anew under its name.
        let edit = draft.edit().unwrap();
        draft.ruleset().check_part(&edit.before, &edit.after).unwrap();
        assert_eq!(
            said(&diff(&edit.before, &edit.after)),
            said(&diff(&self.written, draft.ruleset()))
        );
        if written {
            self.written = scratch.ruleset;
            self.planner.draft_mut().settle();
            let edit = self.planner.draft().edit().unwrap();
            assert!(diff(&edit.before, &edit.after).is_empty());
        }
    }
}

/// What is written. Beside elements stands the set that they are of, here with some and there with all of its elements.
fn said(change: &Change<'_>) -> Vec<String> {
    let operations = change.operations().iter();
    let said = operations.map(|operation| match operation {
        Operation::AddElements {
            table,
            name,
            elements,
            set,
        } => {
            format!("{table} {name}: more {elements:?} {:?} {}", set.key, set.interval)
        }
        Operation::RemoveElements {
            table,
            name,
            elements,
            set,
        } => {
            format!("{table} {name}: less {elements:?} {:?} {}", set.key, set.interval)
        }
        other => format!("{other:?}"),
    });
    said.collect()
}

proptest! {
    #![proptest_config(config(30))]

    #[test]
    fn a_plan_that_follows_is_the_plan_from_scratch(
        events in history(60),
        steps in vec((0..4_usize, any::<bool>()), 60),
        bridged in any::<bool>(),
    ) {
        let mut compiler = Compiler::default();
        let mut followers: BTreeMap<NodeName, Follower> = BTreeMap::new();
        let mut events = events.into_iter();
        for (together, written) in steps {
            for event in events.by_ref().take(together) {
                compiler.apply(event);
            }
            compiler.flush();
            let published = compiler.published();
            for node in published.nodes.keys() {
                let follower = followers.entry(node.clone()).or_default();
                follower.follow(compiler.state(), &published, node, bridged, written);
            }
        }
    }
}

/// A pod that lets a group in that has so many members of two addresses.
fn crowd(members: u32, port: Option<u16>) -> ClusterState {
    let allow = builders::rule([builders::pods(&[("app", "crowd")])]);
    let allow = match port {
        Some(port) => allow.on_ports([builders::port(Protocol::Tcp, port)]),
        None => allow,
    };
    let mut events = vec![
        Event::NodeApplied(builders::node("a", &[])),
        Event::NamespaceApplied(builders::namespace("shop", &[])),
        Event::PodApplied(
            builders::pod("shop/web")
                .labelled(&[("app", "web")])
                .at("10.0.0.1"),
        ),
        Event::PolicyApplied(
            builders::policy("shop/crowd")
                .selecting(&[("app", "web")])
                .allowing_from([allow]),
        ),
    ];
    events.extend((0..members).map(|number| {
        let pod = builders::pod(&format!("shop/crowd-{number}")).on("b");
        let [v4, v6] = [
            format!(
                "10.{}.{}.{}",
                1 + number / 62_500,
                number / 250 % 250,
                number % 250
            ),
            format!("fd00::{number:x}"),
        ];
        Event::PodApplied(pod.labelled(&[("app", "crowd")]).at(&v4).at(&v6))
    }));
    ClusterState::from_events(events)
}

#[test]
fn a_group_that_becomes_large_has_sets_of_its_own_until_it_is_small_again() {
    let mut follower = Follower::default();
    let states = [
        (900, None),
        (1_001, None),
        (1_200, Some(80)),
        (1_300, Some(80)),
        (1_000, Some(80)),
        (0, None),
    ];
    let mut large = Vec::new();
    for (members, port) in states {
        let state = crowd(members, port);
        follower.follow(&state, &compile(&state), &"a".into(), false, members != 1_200);
        let table = &follower.planner.draft().ruleset().tables[&TableKey::Inet];
        let is_group = |name: &&Name| name.as_str().starts_with("group_");
        large.push(table.sets.keys().filter(is_group).count());
    }
    assert_eq!(large, [0, 2, 2, 2, 0, 0]);
}
