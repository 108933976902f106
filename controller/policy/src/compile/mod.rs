//! Objects in, published rules out: incrementally, and always as if from scratch.
//!
//! ```text
//!   event ─► apply ─► ClusterState, and a mark on what it touched
//!   flush:  marked policies   ─► their rules, the groups that these need, the slices of their namespaces
//!           marked classes    ─► the groups that they belong to
//!           marked pods       ─► their memberships
//!           marked groups     ─► their slices
//!           marked nodes      ─► their residents, compared with what was published last
//! ```
//!
//! A *class* is all pods of one namespace with equal labels: selectors cannot tell them apart, so what selects them
//! is found once for all of them. Every step compares what it finds with what it recorded before and marks only what
//! really differs; an event that is repeated, late or about nothing ends where it changes nothing.

mod class;
mod group;
mod pod;
mod policy;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::assemble::assemble;
use crate::cluster::{ClusterState, Event};
use crate::model::{NamespaceName, NodeName, Pod, PodUid, PolicyKey};
use crate::rules::{Group, GroupId, NodeRules, PolicySlice, Residents, Scope, Slice, SliceId};

use class::{ClassKey, Classes};
use group::Groups;
use pod::PodRecord;
use policy::Policies;

/// What [`Compiler::flush`] changed. `None` stands for an object that is no longer wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// Slices of groups, to be written before the policies that refer to them and deleted after.
    pub slices: BTreeMap<(GroupId, SliceId), Option<Slice>>,
    /// Slices of policies, to be written before the nodes' residents that they may select and deleted after.
    pub policies: BTreeMap<(NamespaceName, SliceId), Option<PolicySlice>>,
    /// Nodes' residents.
    pub nodes: BTreeMap<NodeName, Option<Arc<Residents>>>,
}

impl Changes {
    /// Whether there is nothing to write.
    pub fn is_empty(&self) -> bool {
        self.slices.is_empty() && self.policies.is_empty() && self.nodes.is_empty()
    }
}

/// Everything that is published.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Published {
    /// The residents of each node.
    pub nodes: BTreeMap<NodeName, Arc<Residents>>,
    /// The slices of the policies of each namespace that has any.
    pub policies: BTreeMap<NamespaceName, BTreeMap<SliceId, PolicySlice>>,
    /// All groups.
    pub groups: BTreeMap<GroupId, Group>,
}

impl Published {
    /// What a node makes of it; `None` where nothing is published for the node.
    pub fn rules(&self, node: &NodeName) -> Option<NodeRules> {
        let residents = self.nodes.get(node)?;
        let slices = residents
            .namespaces
            .iter()
            .filter_map(|name| self.policies.get(name));
        Some(assemble(residents, slices.flat_map(BTreeMap::values)))
    }

    /// What is published for one node, and what that refers to; `None` where nothing is published for the node.
    pub fn for_node(&self, node: &NodeName) -> Option<Self> {
        let residents = self.nodes.get(node)?;
        let namespaces = residents.namespaces.iter();
        let policies: BTreeMap<_, _> = namespaces
            .filter_map(|name| Some((name.clone(), self.policies.get(name)?.clone())))
            .collect();
        let slices = policies.values().flat_map(BTreeMap::values);
        let used: BTreeSet<&GroupId> = slices
            .flat_map(|slice| slice.policies.values())
            .flat_map(|policy| policy.rules.groups())
            .collect();
        let groups = used
            .into_iter()
            .filter_map(|id| Some((id.clone(), self.groups.get(id)?.clone())))
            .collect();
        Some(Self {
            nodes: BTreeMap::from([(node.clone(), residents.clone())]),
            policies,
            groups,
        })
    }
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
    pods: BTreeMap<PodUid, PodRecord>,
    /// The pods of each node, by UID.
    residents: BTreeMap<NodeName, BTreeSet<PodUid>>,
    nodes: BTreeMap<NodeName, Arc<Residents>>,
    policy_slices: BTreeMap<NamespaceName, BTreeMap<SliceId, PolicySlice>>,
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
    /// Namespaces of which policies have changed.
    policed: BTreeSet<NamespaceName>,
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
        Changes {
            slices: self.cut_groups(),
            policies: self.cut_policies(),
            nodes: self.list_residents(),
        }
    }

    /// Everything that is published as of the last flush.
    pub fn published(&self) -> Published {
        Published {
            nodes: self.nodes.clone(),
            policies: self.policy_slices.clone(),
            groups: self.groups.published(),
        }
    }

    /// Marked policies become rules; groups come and go with them.
    fn compile_policies(&mut self) {
        for name in std::mem::take(&mut self.marks.namespaces) {
            self.marks.classes.extend(self.classes.of_namespace(&name));
        }
        for key in std::mem::take(&mut self.marks.policies) {
            let change = self.policies.update(&key, self.state.policies().get(&key));
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
            self.marks.policed.insert(key.namespace);
        }
    }

    /// Marked classes learn to which groups they belong now; pods that have moved to another class or are new bring it along.
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
            let groups = self.groups.containing(&key, namespace);
            if let Some(pods) = self.classes.update(&key, groups) {
                self.marks.pods.extend(pods.iter().cloned());
            }
        }
    }

    /// Marked pods get their places and memberships.
    fn place_pods(&mut self) {
        for uid in std::mem::take(&mut self.marks.pods) {
            let new = pod::place(&uid, &self.state, &self.classes, &self.groups);
            let old = self.pods.get(&uid);
            let [before, after] = [old, new.as_ref()].map(|record| record.map(|record| &record.memberships));
            self.marks
                .groups
                .extend(self.groups.move_member(&uid, before, after));
            if old.map(PodRecord::place) != new.as_ref().map(PodRecord::place) {
                for record in old.into_iter().chain(&new) {
                    self.marks.nodes.extend(record.node.clone());
                }
            }
            if let Some(old) = self.pods.remove(&uid)
                && let Some(residents) = old.node.as_ref().and_then(|node| self.residents.get_mut(node))
            {
                residents.remove(&uid);
            }
            if let Some(record) = new {
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

    /// Marked groups are cut into slices.
    fn cut_groups(&mut self) -> BTreeMap<(GroupId, SliceId), Option<Slice>> {
        let mut changes = BTreeMap::new();
        for id in std::mem::take(&mut self.marks.groups) {
            let new = self
                .groups
                .get(&id)
                .map(|group| crate::rules::slices(&id, group))
                .unwrap_or_default();
            replace(&mut self.slices, &id, new, &mut changes);
        }
        changes
    }

    /// The policies of marked namespaces are cut into slices; where they are the first or were the last, the nodes of the
    /// namespace's pods are marked.
    fn cut_policies(&mut self) -> BTreeMap<(NamespaceName, SliceId), Option<PolicySlice>> {
        let mut changes = BTreeMap::new();
        for name in std::mem::take(&mut self.marks.policed) {
            let new = crate::rules::policy_slices(&name, self.policies.of_namespace(&name));
            if new.is_empty() == self.policy_slices.contains_key(&name) {
                let pods = self.classes.pods_of_namespace(&name);
                let nodes = pods.filter_map(|uid| self.pods.get(uid)?.node.clone());
                self.marks.nodes.extend(nodes);
            }
            replace(&mut self.policy_slices, &name, new, &mut changes);
        }
        changes
    }

    /// Marked nodes get their residents, if these differ.
    fn list_residents(&mut self) -> BTreeMap<NodeName, Option<Arc<Residents>>> {
        let mut changes = BTreeMap::new();
        for name in std::mem::take(&mut self.marks.nodes) {
            let wanted = self.state.nodes().contains_key(&name) || self.residents.contains_key(&name);
            let new = wanted.then(|| self.residents_of(&name));
            if self.nodes.get(&name).map(AsRef::as_ref) == new.as_ref() {
                continue;
            }
            let new = new.map(Arc::new);
            match &new {
                Some(residents) => self.nodes.insert(name.clone(), residents.clone()),
                None => self.nodes.remove(&name),
            };
            changes.insert(name, new);
        }
        changes
    }

    fn residents_of(&self, name: &NodeName) -> Residents {
        let uids = self.residents.get(name).into_iter().flatten();
        let records = uids.filter_map(|uid| self.pods.get(uid).map(|record| (uid, record)));
        let pods: BTreeMap<_, _> = records
            .map(|(uid, record)| (uid.clone(), record.local.clone()))
            .collect();
        let namespaces = pods.values().map(|pod| &pod.key.namespace);
        let policed = namespaces.filter(|name| self.policy_slices.contains_key(name));
        let node = self.state.nodes().get(name);
        Residents {
            node: name.clone(),
            pod_networks: node.map(|node| node.pod_networks.clone()).unwrap_or_default(),
            namespaces: policed.cloned().collect(),
            pods,
        }
    }
}

/// Puts the slices of a tree into the place of its old ones, and what differs into `changes`.
fn replace<K: Ord + Clone, S: PartialEq + Clone>(
    trees: &mut BTreeMap<K, BTreeMap<SliceId, S>>,
    tree: &K,
    new: BTreeMap<SliceId, S>,
    changes: &mut BTreeMap<(K, SliceId), Option<S>>,
) {
    let old = trees.remove(tree).unwrap_or_default();
    let gone = old.keys().filter(|slice| !new.contains_key(slice));
    changes.extend(gone.map(|slice| ((tree.clone(), *slice), None)));
    let written = new
        .iter()
        .filter(|(slice, content)| old.get(slice) != Some(content));
    changes.extend(written.map(|(slice, content)| ((tree.clone(), *slice), Some(content.clone()))));
    if !new.is_empty() {
        trees.insert(tree.clone(), new);
    }
}
