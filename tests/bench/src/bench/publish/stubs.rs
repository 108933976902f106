//! Nodes that subscribe as an enforcer does, with an enforcer's own code, and program nothing.

use std::collections::{BTreeMap, BTreeSet, HashSet};
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
use super::world::Changes;
use crate::bench::oracle;

/// The longest that nodes take to have what they should.
const PATIENCE: Duration = Duration::from_mins(2);

/// Nodes that begin together, as where a `DaemonSet` is rolled out in steps.
pub(super) const AT_A_TIME: usize = 25;

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
    /// The numbers of the changes that it has heard of.
    seen: HashSet<u32>,
    lags: Vec<Duration>,
}

impl Stubs {
    /// Starts a node for each of these, so many [at a time](AT_A_TIME), and holds what all have in the end to the oracle.
    pub(super) async fn start(
        config: &Config,
        state: &ClusterState,
        changes: &Changes,
    ) -> Result<(Self, Vec<Duration>)> {
        let mut stubs = Self {
            tasks: JoinSet::new(),
            nodes: BTreeMap::new(),
            traffic: Arc::default(),
        };
        let (published, mut times) = (compile(state), Vec::new());
        let names: Vec<&NodeName> = state.nodes().keys().collect();
        for some in names.chunks(AT_A_TIME) {
            let began = Instant::now();
            for name in some {
                let client = client_with(config).context("making a client")?;
                let client = counted(client, &stubs.traffic);
                let stub = Arc::new(Stub::default());
                stubs.nodes.insert(NodeName::clone(name), Arc::clone(&stub));
                stubs
                    .tasks
                    .spawn(follow(client, NodeName::clone(name), stub, changes.clone()));
            }
            stubs.reach(&published).await?;
            times.push(began.elapsed());
        }
        stubs.agree(state, &published)?;
        Ok((stubs, times))
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
            let Some((name, ..)) = open.first() else {
                return Ok(());
            };
            ensure!(
                began.elapsed() < PATIENCE,
                "{} nodes, such as {name}, do not have what they should: {:?}",
                open.len(),
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
        let expected = rules.groups.iter().flat_map(|group| {
            let of_group = slices.range((*group, SliceId::WHOLE)..);
            let of_group = of_group.take_while(move |((of, _), _)| of == group);
            of_group.filter(|(_, slice)| !slice.split)
        });
        *set.rules == *rules && expected.eq(set.slices.iter().map(|(key, slice)| (key, &**slice)))
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
        for (number, age) in heard {
            if known.seen.insert(number) {
                known.lags.push(age);
            }
        }
        known.rules = Some(rules);
    }
}

/// What a node does, less the kernel.
async fn follow(client: Client, name: NodeName, stub: Arc<Stub>, changes: Changes) -> Result<()> {
    let mut source = Source::Api(Box::new(Api::new(client, name, Failures::default())));
    loop {
        // What is not complete yet is waited for.
        if let Ok(rules) = source.next().await?.rules {
            stub.take(rules, &changes);
        }
    }
}
