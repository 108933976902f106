//! What is counted: the five things that Palisade does all day, on clusters that are small and the same every time.
//!
//! Each scenario holds what it did to the oracle, or to the same thing done another way, outside of what is counted.

use std::collections::BTreeMap;
use std::hint::black_box;

use anyhow::{Context, Result, ensure};
use clap::ValueEnum;
use palisade_crds::{
    AcceptedPods, AcceptedPolicies, AcceptedRules, AcceptedSlice, AddressGroup, NodeRuleSet, PodSlice,
    PolicySlice,
};
use palisade_policy::cluster::{ClusterState, Event};
use palisade_policy::compile::{Compiler, Published, compile};
use palisade_policy::model::{NodeName, Pod};
use palisade_policy::reach::{Family, Reach};
use palisade_policy::testing::workloads::{Dice, mixed, wide_groups};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::bench::oracle;

/// Something that is done all day.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Scenario {
    /// A controller that starts: 1,000 pods and 100 policies of every sort.
    Compile,
    /// 200 pods of a loaded cluster get other labels, one after the other.
    Event,
    /// Everything published becomes text and is accepted again.
    Documents,
    /// 20 nodes find out which policies select their pods.
    Assemble,
    /// `policy-audit reach`: everybody to everybody.
    Reach,
}

/// The function whose instructions count, as callgrind finds it among the names of the program.
pub(super) const COUNTED: &str = "*guard::scenario::counted*";

/// Does what is counted.
#[inline(never)]
fn counted<T>(work: impl FnOnce() -> T) -> T {
    black_box(work())
}

impl Scenario {
    /// All of them.
    pub(super) const ALL: [Self; 5] = [
        Self::Compile,
        Self::Event,
        Self::Documents,
        Self::Assemble,
        Self::Reach,
    ];

    /// Its name on the command line and among the baselines.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Compile => "compile",
            Self::Event => "event",
            Self::Documents => "documents",
            Self::Assemble => "assemble",
            Self::Reach => "reach",
        }
    }

    /// Does it once.
    pub(crate) fn run(self) -> Result<()> {
        match self {
            Self::Compile => compiled(),
            Self::Event => events(),
            Self::Documents => documents(),
            Self::Assemble => assembled(),
            Self::Reach => reached(),
        }
    }
}

fn compiled() -> Result<()> {
    let objects = mixed(10);
    let (compiler, changes) = counted(|| {
        let mut compiler = Compiler::from_state(ClusterState::from_events(objects));
        let changes = compiler.flush();
        (compiler, changes)
    });
    ensure!(!changes.is_empty(), "nothing came out");
    oracle::agree(compiler.state(), &compiler.published())
}

fn events() -> Result<()> {
    let mut compiler = Compiler::from_state(ClusterState::from_events(wide_groups(10)));
    compiler.flush();
    let pods: Vec<Pod> = compiler.state().pods().values().cloned().collect();
    let mut dice = Dice::new(3);
    let mut relabelled = Vec::new();
    for _ in 0..200 {
        let [one, other] = [(); 2].map(|()| pods.get(dice.below(pods.len())));
        let (one, other) = one.zip(other).context("no pods")?;
        let labels = other.labels.clone();
        relabelled.push(Event::PodApplied(Pod {
            labels,
            ..one.clone()
        }));
    }
    let written = counted(|| {
        let mut written = 0;
        for event in relabelled {
            compiler.apply(event);
            let changes = compiler.flush();
            written += changes.slices.len() + changes.pods.len() + changes.nodes.len();
        }
        written
    });
    ensure!(written > 0, "nothing came out");
    ensure!(
        compiler.published() == compile(compiler.state()),
        "another outcome than from scratch"
    );
    Ok(())
}

fn documents() -> Result<()> {
    let mut compiler = Compiler::from_state(ClusterState::from_events(wide_groups(10)));
    compiler.flush();
    let published = compiler.published();
    let groups = published.slices();
    let accepted = counted(|| -> Result<usize> {
        let mut accepted = 0;
        for residents in published.nodes.values() {
            let (head, slices) = residents.cut();
            let document = carried(&NodeRuleSet::publish(&head, 1))?;
            ensure!(*AcceptedRules::try_from(&document)?.head == head);
            accepted += 1;
            for slice in slices.values() {
                let document = carried(&PodSlice::publish(slice, 1))?;
                ensure!(*AcceptedPods::try_from(&document)?.slice == *slice);
                accepted += 1;
            }
        }
        for slice in published.policies.values().flat_map(BTreeMap::values) {
            let document = carried(&PolicySlice::publish(slice, 1))?;
            ensure!(*AcceptedPolicies::try_from(&document)?.slice == *slice);
            accepted += 1;
        }
        for ((group, _), slice) in &groups {
            let scope = compiler.scope(group).context("a group without a scope")?;
            let document = carried(&AddressGroup::publish(slice, scope, 1))?;
            ensure!(*AcceptedSlice::try_from(&document)?.slice == *slice);
            accepted += 1;
        }
        Ok(accepted)
    })?;
    let kinds = [published.nodes.len(), published.policies.len(), groups.len()];
    ensure!(
        kinds.iter().all(|&number| number > 0) && accepted >= kinds.iter().sum(),
        "only {accepted} documents"
    );
    Ok(())
}

/// A document as it comes out at the other end.
fn carried<T: Serialize + DeserializeOwned>(document: &T) -> Result<T> {
    Ok(serde_json::from_slice(&serde_json::to_vec(document)?)?)
}

fn assembled() -> Result<()> {
    let state = ClusterState::from_events(mixed(20));
    let published: Published = compile(&state);
    let nodes: Vec<&NodeName> = published.nodes.keys().take(20).collect();
    let profiles: usize = counted(|| {
        let rules = nodes.iter().filter_map(|node| published.rules(node));
        rules.map(|rules| rules.profiles.len()).sum()
    });
    ensure!(profiles > nodes.len(), "only {profiles} profiles");
    oracle::agree(&state, &published)
}

fn reached() -> Result<()> {
    let state = ClusterState::from_events(mixed(5));
    let (reach, pairs) = counted(|| {
        let reach = Reach::of(&state);
        let flows = Family::ALL.into_iter().flat_map(|family| reach.flows(family));
        let pairs: usize = flows.map(|flow| flow.from.len()).sum();
        (reach, pairs)
    });
    ensure!(pairs > 0, "nobody reaches anybody");
    oracle::hold(&state, |packet| reach.verdict(packet))
}
