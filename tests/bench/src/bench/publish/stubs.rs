//! Nodes that subscribe as an enforcer does, with an enforcer's own code, and program nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use kube::{Client, Config};
use palisade_crds::RuleSet;
use palisade_enforcer::source::{Api, Failures, Source, client_with};
use palisade_policy::cluster::ClusterState;
use palisade_policy::compile::{Published, compile};
use palisade_policy::judge::{Enforced, judge};
use palisade_policy::model::{NodeName, Packet, PodUid};
use palisade_policy::rules::{Group, GroupId, NodeRules, Slice, SliceId};
use tokio::task::JoinSet;

use super::wire::{Traffic, counted};
use super::world::{Changes, Heard};
use crate::bench::oracle;

/// The longest that nodes take to have what they should.
const PATIENCE: Duration = Duration::from_mins(2);

/// Between two looks at what nodes have.
const GLANCE: Duration = Duration::from_millis(200);

/// Some nodes.
pub(super) struct Stubs {
    tasks: JoinSet<Result<()>>,
    nodes: BTreeMap<NodeName, Arc<Stub>>,
    /// What goes over their wires.
    pub(super) traffic: Arc<Traffic>,
}

/// One of them.
#[derive(Default)]
struct Stub(Mutex<Known>);

#[derive(Default)]
struct Known {
    rules: Option<RuleSet>,
    /// Why it has not more than these.
    incomplete: Option<String>,
    /// The changes that it has heard of since it began.
    heard: Heard,
    lags: Vec<Duration>,
}

impl Stubs {
    /// Starts a node for each of these, all at once, and tells when all had everything. What they have is held to the oracle.
    pub(super) async fn start(
        config: &Config,
        state: &ClusterState,
        changes: &Changes,
    ) -> Result<(Self, Duration)> {
        let mut stubs = Self {
            tasks: JoinSet::new(),
            nodes: BTreeMap::new(),
            traffic: Arc::default(),
        };
        let (published, began) = (compile(state), Instant::now());
        for name in state.nodes().keys() {
            let client = client_with(config).context("making a client")?;
            let client = counted(client, &stubs.traffic);
            let stub = Arc::new(Stub::default());
            stubs.nodes.insert(name.clone(), Arc::clone(&stub));
            let node = follow(client, name.clone(), stub, changes.clone());
            stubs.tasks.spawn(node);
        }
        stubs.reach(&published).await?;
        let took = began.elapsed();
        stubs.agree(state, &published)?;
        Ok((stubs, took))
    }

    /// Waits until each has what it should have, and holds that to the oracle.
    pub(super) async fn settle(&mut self, state: &ClusterState) -> Result<()> {
        let published = compile(state);
        self.reach(&published).await?;
        self.agree(state, &published)
    }

    /// Waits until each has what it should have.
    async fn reach(&mut self, published: &Published) -> Result<()> {
        let slices = published.slices();
        let began = Instant::now();
        let mut open: Vec<(&NodeName, &Arc<Stub>, NodeRules)> = Vec::new();
        for (name, stub) in &self.nodes {
            let rules = published
                .rules(name)
                .with_context(|| format!("nothing for {name}"))?;
            open.push((name, stub, rules));
        }
        loop {
            open.retain(|(_, stub, rules)| !stub.has(rules, &slices));
            let Some((name, stub, rules)) = open.first() else {
                return Ok(());
            };
            ensure!(
                began.elapsed() < PATIENCE,
                "{} nodes do not have what they should, such as {name}: {}; {:?}",
                open.len(),
                stub.lacks(rules),
                self.traffic.counts()
            );
            if let Some(ended) = self.tasks.try_join_next() {
                ended.context("a node has panicked")??;
                bail!("a node has ended");
            }
            tokio::time::sleep(GLANCE).await;
        }
    }

    /// Takes how long ago each change was when the nodes that it concerns had heard of it.
    pub(super) fn take_lags(&self) -> Vec<Duration> {
        let take = |stub: &Arc<Stub>| std::mem::take(&mut stub.known().lags);
        self.nodes.values().flat_map(take).collect()
    }

    /// Ends all.
    pub(super) async fn stop(mut self) {
        self.tasks.shutdown().await;
    }

    /// Holds what the nodes have to the oracle.
    fn agree(&self, state: &ClusterState, published: &Published) -> Result<()> {
        oracle::hold(state, |packet| {
            judge(&self.enforced(state, published, packet), packet, state.nodes())
        })
    }

    fn enforced(&self, state: &ClusterState, published: &Published, packet: &Packet) -> Enforced {
        let mut enforced = Enforced {
            nodes: BTreeMap::new(),
            groups: BTreeMap::new(),
        };
        for name in oracle::nodes(state, packet) {
            let known = self.nodes.get(&name).map(|stub| stub.known());
            let Some(rules) = known.as_ref().and_then(|known| known.rules.as_ref()) else {
                continue;
            };
            enforced.nodes.insert(name, NodeRules::clone(&rules.rules));
            for slice in rules.slices.values() {
                // What a group is made of, an enforcer does not need; nor whose pods' numbers the members have.
                let Some(group) = published.groups.get(&slice.group) else {
                    continue;
                };
                let group = enforced.groups.entry(slice.group).or_insert_with(|| Group {
                    spec: group.spec.clone(),
                    members: BTreeMap::new(),
                });
                let members = slice.members.iter();
                group.members.extend(members.map(|member| {
                    let uid = PodUid::from(member.pod.to_string());
                    (uid, Arc::clone(member))
                }));
            }
        }
        enforced
    }
}

impl Stub {
    fn known(&self) -> MutexGuard<'_, Known> {
        // Nobody panics between two halves of a change.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether it has these rules, and the slices of their groups.
    fn has(&self, rules: &NodeRules, slices: &BTreeMap<(GroupId, SliceId), Slice>) -> bool {
        let known = self.known();
        let Some(set) = &known.rules else {
            return false;
        };
        let mut expected = rules.groups.iter().flat_map(|group| {
            let of_group = slices.range((*group, SliceId::WHOLE)..);
            let of_group = of_group.take_while(move |((of, _), _)| of == group);
            of_group.filter(|(_, slice)| !slice.split)
        });
        // A node keeps them in another order.
        let mut told: BTreeMap<_, _> = set.slices.iter().collect();
        let has_expected = expected.all(|(key, slice)| told.remove(key).is_some_and(|told| **told == *slice));
        *set.rules == *rules && has_expected && told.is_empty()
    }

    /// What it lacks, in words.
    fn lacks(&self, rules: &NodeRules) -> String {
        let known = self.known();
        match (&known.incomplete, &known.rules) {
            (Some(incomplete), _) => incomplete.clone(),
            (None, None) => "it has heard nothing".to_owned(),
            (None, Some(set)) if *set.rules == *rules => "it has other members of groups".to_owned(),
            (None, Some(_)) => "it has other pods or policies".to_owned(),
        }
    }

    /// Takes in a rule set: what pods it tells of that came by changes.
    fn take(&self, rules: RuleSet, changes: &Changes) {
        let now = Instant::now();
        let mut known = self.known();
        let mut heard = BTreeSet::new();
        if let Some(before) = &known.rules {
            let turned = rules.slices.since(&before.slices);
            for member in turned
                .filter_map(|(_, slice)| slice)
                .flat_map(|slice| &slice.members)
            {
                heard.extend(changes.age(&member.pod.name, now));
            }
            if !Arc::ptr_eq(&rules.rules, &before.rules) {
                let own = rules.rules.pods.values();
                for pod in own.filter(|pod| !pod.addresses.is_empty()) {
                    heard.extend(changes.age(&pod.key.name, now));
                }
            }
        }
        if known.rules.is_none() {
            known.heard = Heard::from_now(changes);
        }
        for (number, age) in heard {
            if known.heard.is_new(number) {
                known.lags.push(age);
            }
        }
        known.rules = Some(rules);
        known.incomplete = None;
    }
}

/// What a node does, less the kernel.
async fn follow(client: Client, name: NodeName, stub: Arc<Stub>, changes: Changes) -> Result<()> {
    let mut source = Source::Api(Box::new(Api::new(client, name, Failures::default())));
    loop {
        match source.next().await?.rules {
            Ok(rules) => stub.take(rules, &changes),
            // It is waited for.
            Err(incomplete) => stub.known().incomplete = Some(incomplete.to_string()),
        }
    }
}
