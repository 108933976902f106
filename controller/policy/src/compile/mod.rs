//! Objects in, published rules out: incrementally, and always as if from scratch.
//!
//! ```text
//!   event ─► apply ─► ClusterState, and a mark on what it touched
//!   flush:  marked policies   ─► their rules, the groups that these need
//!           marked classes    ─► the policies that select them, the groups that they belong to
//!           marked pods       ─► their profiles and memberships
//!           marked nodes      ─► NodeRules, compared with what was published last
//! ```
//!
//! A *class* is all pods of one namespace with equal labels: selectors cannot tell them apart, so what selects them
//! is found once for all of them. Every step compares what it finds with what it recorded before and marks only what
//! really differs; an event that is repeated, late or about nothing ends where it changes nothing.

mod class;
mod group;
mod index;
mod pod;
mod policy;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::cluster::{ClusterState, Event};
use crate::model::{NamespaceName, NodeName, Pod, PodUid, PolicyKey};
use crate::rules::{Group, GroupId, NodeRules, PolicyRules, ProfileId, Scope, Slice, SliceId};

use class::{ClassKey, Classes};
use group::Groups;
use pod::{PodRecord, Profiles};
use policy::Policies;

/// What [`Compiler::flush`] changed. `None` stands for an object that is no longer wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// Slices, to be written before the nodes' rules and deleted after them.
    pub slices: BTreeMap<(GroupId, SliceId), Option<Slice>>,
    /// Nodes' rules.
    pub nodes: BTreeMap<NodeName, Option<Arc<NodeRules>>>,
}

impl Changes {
    /// Whether there is nothing to write.
    pub fn is_empty(&self) -> bool {
        self.slices.is_empty() && self.nodes.is_empty()
    }
}

/// Everything that is published.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Published {
    /// The rules of each node.
    pub nodes: BTreeMap<NodeName, Arc<NodeRules>>,
    /// All groups.
    pub groups: BTreeMap<GroupId, Group>,
}

/// Compiles a whole state.
pub fn compile(state: &ClusterState) -> Published {
    let mut compiler = Compiler::from_state(state.clone());
    compiler.flush();
    compiler.published()
}

/// Keeps the published rules of a changing cluster up to date.
#[derive(Clone, Debug, Default)]
pub struct Compiler {
    state: ClusterState,
    marks: Marks,
    policies: Policies,
    groups: Groups,
    classes: Classes,
    profiles: Profiles,
    pods: BTreeMap<PodUid, PodRecord>,
    /// The pods of each node, by UID.
    residents: BTreeMap<NodeName, BTreeSet<PodUid>>,
    nodes: BTreeMap<NodeName, Arc<NodeRules>>,
    slices: BTreeMap<GroupId, BTreeMap<SliceId, Slice>>,
}

/// What events touched since the last flush.
#[derive(Clone, Debug, Default)]
struct Marks {
    pods: BTreeSet<PodUid>,
    namespaces: BTreeSet<NamespaceName>,
    policies: BTreeSet<PolicyKey>,
    classes: BTreeSet<ClassKey>,
    groups: BTreeSet<GroupId>,
    nodes: BTreeSet<NodeName>,
}

impl Compiler {
    /// A compiler that has all of `state` still to compile.
    pub fn from_state(state: ClusterState) -> Self {
        let marks = Marks {
            pods: state.pods().keys().cloned().collect(),
            policies: state.policies().keys().cloned().collect(),
            nodes: state.nodes().keys().cloned().collect(),
            ..Marks::default()
        };
        Self {
            state,
            marks,
            ..Self::default()
        }
    }

    /// The objects as they are now.
    pub fn state(&self) -> &ClusterState {
        &self.state
    }

    /// Takes in one event; the work waits for [`Compiler::flush`].
    pub fn apply(&mut self, event: Event) {
        match &event {
            Event::PodApplied(pod) => self.mark_pod(&pod.uid, Some(pod)),
            Event::PodDeleted(uid) => self.mark_pod(uid, None),
            Event::NamespaceApplied(namespace) => {
                if self.state.namespaces().get(&namespace.name) != Some(namespace) {
                    self.marks.namespaces.insert(namespace.name.clone());
                }
            }
            Event::NamespaceDeleted(name) => {
                self.marks.namespaces.insert(name.clone());
            }
            Event::PolicyApplied(policy) => {
                if self.state.policies().get(&policy.key) != Some(policy) {
                    self.marks.policies.insert(policy.key.clone());
                }
            }
            Event::PolicyDeleted(key) => {
                self.marks.policies.insert(key.clone());
            }
            Event::NodeApplied(node) => {
                if self.state.nodes().get(&node.name) != Some(node) {
                    self.marks.nodes.insert(node.name.clone());
                }
            }
            Event::NodeDeleted(name) => {
                self.marks.nodes.insert(name.clone());
            }
        }
        self.state.apply(event);
    }

    /// Marks a pod, and every other one whose addresses it claims or ceases to claim.
    fn mark_pod(&mut self, uid: &PodUid, new: Option<&Pod>) {
        let old = self.state.pods().get(uid);
        if old == new {
            return;
        }
        let addresses = old.into_iter().chain(new).flat_map(|pod| &pod.addresses);
        let rivals = addresses
            .flat_map(|address| self.state.claimants(*address))
            .cloned();
        self.marks.pods.extend(rivals);
        self.marks.pods.insert(uid.clone());
    }

    /// Where the pods of a group are; `None` where no policy uses the group.
    pub fn scope(&self, group: &GroupId) -> Option<&Scope> {
        self.groups.get(group).map(|group| &group.spec.scope)
    }

    /// Brings everything up to date and returns what changed.
    pub fn flush(&mut self) -> Changes {
        self.compile_policies();
        self.match_classes();
        self.place_pods();
        let mut changes = Changes {
            slices: self.cut_slices(),
            nodes: BTreeMap::new(),
        };
        changes.nodes = self.assemble_nodes();
        changes
    }

    /// Everything that is published as of the last flush.
    pub fn published(&self) -> Published {
        Published {
            nodes: self.nodes.clone(),
            groups: self.groups.published(),
        }
    }

    /// Marked policies become rules; groups come and go with them.
    fn compile_policies(&mut self) {
        for name in std::mem::take(&mut self.marks.namespaces) {
            self.marks.classes.extend(self.classes.of_namespace(&name));
        }
        for key in std::mem::take(&mut self.marks.policies) {
            let Some(change) = self.policies.update(&key, self.state.policies().get(&key)) else {
                continue;
            };
            for (id, spec) in change.groups_added {
                if self.groups.hold(&id, &spec, &key) {
                    let candidates = self.classes.candidates(&spec, self.state.namespaces());
                    self.marks.classes.extend(candidates);
                    self.marks.groups.insert(id);
                }
            }
            for id in change.groups_removed {
                if self.groups.release(&id, &key) {
                    for uid in self.groups.remove(&id) {
                        if let Some(record) = self.pods.get_mut(&uid) {
                            record.memberships.remove(&id);
                        }
                    }
                    self.classes.forget_group(&id);
                    self.marks.groups.insert(id);
                }
            }
            for subject in change.subjects.into_iter().flatten() {
                self.marks
                    .classes
                    .extend(self.classes.selected(&key.namespace, &subject));
            }
            self.marks.nodes.extend(self.profiles.nodes_of_policy(&key));
        }
    }

    /// Marked classes learn what selects them now; pods that have moved to another class or are new bring it along.
    fn match_classes(&mut self) {
        for uid in &self.marks.pods {
            let workload = self.state.pods().get(uid).filter(|pod| pod.is_workload());
            let class = workload.map(|pod| ClassKey {
                namespace: pod.key.namespace.clone(),
                labels: pod.labels.clone(),
            });
            self.marks.classes.extend(self.classes.assign(uid, class));
        }
        for key in std::mem::take(&mut self.marks.classes) {
            let namespace = self.state.namespaces().get(&key.namespace);
            let policies = self.policies.selecting(&key.namespace, &key.labels);
            let groups = self.groups.containing(&key, namespace);
            if let Some(pods) = self.classes.update(&key, policies, groups) {
                self.marks.pods.extend(pods.iter().cloned());
            }
        }
        // A policy that starts or ceases to isolate a direction, or uses other port names, keeps its subjects.
        self.marks.pods.extend(
            self.policies
                .take_reprofiled()
                .flat_map(|key| self.classes.pods_under(&key)),
        );
    }

    /// Marked pods get their profiles and memberships.
    fn place_pods(&mut self) {
        for uid in std::mem::take(&mut self.marks.pods) {
            let new = pod::place(&uid, &self.state, &self.classes, &self.policies, &self.groups);
            let old = self.pods.get(&uid);
            let (old_members, new_members) = (
                old.map(|record| &record.memberships),
                new.as_ref().map(|(record, _)| &record.memberships),
            );
            self.marks
                .groups
                .extend(self.groups.move_member(&uid, old_members, new_members));
            let changed_place = old.map(PodRecord::place) != new.as_ref().map(|(record, _)| record.place());
            if changed_place {
                for record in old.into_iter().chain(new.as_ref().map(|(record, _)| record)) {
                    self.marks.nodes.extend(record.node.clone());
                }
            }
            if let Some(old) = self.pods.remove(&uid) {
                self.profiles.release(&old);
                if let Some(residents) = old.node.as_ref().and_then(|node| self.residents.get_mut(node)) {
                    residents.remove(&uid);
                }
            }
            if let Some((record, profiles)) = new {
                self.profiles.hold(&record, profiles);
                if let Some(node) = &record.node {
                    self.residents
                        .entry(node.clone())
                        .or_default()
                        .insert(uid.clone());
                }
                self.pods.insert(uid, record);
            }
        }
        self.residents.retain(|_, pods| !pods.is_empty());
    }

    /// Marked groups are cut into slices; where the cut itself moved, the nodes that refer to the group are marked.
    fn cut_slices(&mut self) -> BTreeMap<(GroupId, SliceId), Option<Slice>> {
        let mut changes = BTreeMap::new();
        for id in std::mem::take(&mut self.marks.groups) {
            let new = self
                .groups
                .get(&id)
                .map(|group| crate::rules::slices(&id, group))
                .unwrap_or_default();
            let old = self.slices.remove(&id).unwrap_or_default();
            if !old.keys().eq(new.keys()) {
                let users = self
                    .groups
                    .users(&id)
                    .flat_map(|policy| self.profiles.nodes_of_policy(policy));
                self.marks.nodes.extend(users);
            }
            let gone = old
                .keys()
                .filter(|slice| !new.contains_key(slice))
                .map(|slice| ((id.clone(), *slice), None));
            changes.extend(gone);
            let written = new
                .iter()
                .filter(|(slice, content)| old.get(slice) != Some(content));
            changes.extend(written.map(|(slice, content)| ((id.clone(), *slice), Some(content.clone()))));
            if !new.is_empty() {
                self.slices.insert(id, new);
            }
        }
        changes
    }

    /// Marked nodes get their rules, if these differ.
    fn assemble_nodes(&mut self) -> BTreeMap<NodeName, Option<Arc<NodeRules>>> {
        let mut changes = BTreeMap::new();
        for name in std::mem::take(&mut self.marks.nodes) {
            let wanted = self.state.nodes().contains_key(&name) || self.residents.contains_key(&name);
            let new = wanted.then(|| self.assemble(&name));
            if self.nodes.get(&name).map(AsRef::as_ref) == new.as_ref() {
                continue;
            }
            let new = new.map(Arc::new);
            match &new {
                Some(rules) => self.nodes.insert(name.clone(), rules.clone()),
                None => self.nodes.remove(&name),
            };
            changes.insert(name, new);
        }
        changes
    }

    fn assemble(&self, name: &NodeName) -> NodeRules {
        let residents = self.residents.get(name).into_iter().flatten();
        let records: BTreeMap<&PodUid, &PodRecord> = residents
            .filter_map(|uid| self.pods.get(uid).map(|record| (uid, record)))
            .collect();
        let used: BTreeSet<&ProfileId> = records.values().flat_map(|record| record.profiles()).collect();
        let profiles: BTreeMap<_, _> = used
            .into_iter()
            .filter_map(|id| self.profiles.get(id).map(|profile| (id.clone(), profile.clone())))
            .collect();
        let keys: BTreeSet<&PolicyKey> = profiles.values().flat_map(|profile| &profile.policies).collect();
        let policies: BTreeMap<PolicyKey, PolicyRules> = keys
            .into_iter()
            .filter_map(|key| self.policies.rules(key).map(|rules| (key.clone(), rules.clone())))
            .collect();
        let groups: BTreeSet<&GroupId> = policies.values().flat_map(policy::groups_of).collect();
        let groups = groups.into_iter().map(|id| {
            let slices = self
                .slices
                .get(id)
                .map(|slices| slices.keys().copied().collect())
                .unwrap_or_default();
            (id.clone(), slices)
        });
        NodeRules {
            node: name.clone(),
            pod_networks: self
                .state
                .nodes()
                .get(name)
                .map(|node| node.pod_networks.clone())
                .unwrap_or_default(),
            pods: records
                .into_iter()
                .map(|(uid, record)| (uid.clone(), record.local.clone()))
                .collect(),
            groups: groups.collect(),
            profiles,
            policies,
        }
    }
}
