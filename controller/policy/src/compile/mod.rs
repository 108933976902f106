//! Objects in, published rules out: incrementally, and always as if from scratch.
//!
//! ```text
//!   event ─► apply ─► ClusterState, and a mark on what it touched
//!   flush:  marked policies   ─► their rules, and the groups that these need
//!           marked classes    ─► the groups that match them; their pods come and go
//!           marked pods       ─► their place: class, node, what they are as members
//!           touched slices    ─► compared with what they were before, and cut anew
//! ```
//!
//! A *class* is all pods of one namespace with equal labels: selectors cannot tell them apart, so what selects them
//! is found once for all of them. What is published is not kept, only what follows it: which pods are in which slice of which
//! group. A slice that is touched remembers what it was; what is the same in the end is not published. So an event that is
//! repeated, late or about nothing ends where it changes nothing, and one that changes something costs what the slices
//! weigh that it changes.

mod batch;
mod class;
mod filed;
mod group;
mod node;
mod pod;
mod policy;
mod slots;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::assemble::assemble;
use crate::cluster::{ClusterState, Event};
use crate::model::{NamespaceName, NodeName, Pod, PodUid, PolicyKey};
use crate::rules::{
    Group, GroupId, GroupSpec, NodeHead, NodeRules, PodSlice, PolicySlice, Residents, Scope, Slice, SliceId,
    slices,
};

use class::{Class, ClassNumber, Classes};
use group::{GroupRecord, Groups};
use node::Nodes;
use pod::{Place, PodNumber, Pods};
use policy::{GroupsTurned, Policies};
use slots::without;

/// What [`Compiler::flush`] changed. `None` stands for an object that is no longer wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// Slices of groups, to be written before the policies that refer to them and deleted after.
    pub slices: BTreeMap<(GroupId, SliceId), Option<Slice>>,
    /// Slices of policies, to be written before the pods that they may select and deleted after.
    pub policies: BTreeMap<(NamespaceName, SliceId), Option<PolicySlice>>,
    /// Slices of nodes' pods below the first, to be written before that and deleted after.
    pub pods: BTreeMap<(NodeName, SliceId), Option<PodSlice>>,
    /// Nodes, each with the first slice of its pods.
    pub nodes: BTreeMap<NodeName, Option<Arc<NodeHead>>>,
}

impl Changes {
    /// Whether there is nothing to write.
    pub fn is_empty(&self) -> bool {
        let shared = self.slices.is_empty() && self.policies.is_empty();
        shared && self.pods.is_empty() && self.nodes.is_empty()
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

    /// The slices of all groups.
    pub fn slices(&self) -> BTreeMap<(GroupId, SliceId), Slice> {
        let slices = self.groups.iter().flat_map(|(id, group)| {
            let slices = slices(id, group).into_iter();
            slices.map(|(slice, content)| ((*id, slice), content))
        });
        slices.collect()
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
            .filter_map(|id| Some((*id, self.groups.get(id)?.clone())))
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
    pods: Pods,
    nodes: Nodes,
}

/// What events touched since the last flush; some of it more than once.
#[derive(Clone, Debug, Default)]
struct Marks {
    pods: Vec<PodUid>,
    namespaces: BTreeSet<NamespaceName>,
    policies: Vec<PolicyKey>,
}

impl Compiler {
    /// A compiler that has all of `state` still to compile.
    pub fn from_state(state: ClusterState) -> Self {
        let mut nodes = Nodes::default();
        state.nodes().keys().for_each(|name| nodes.mark(name));
        let marks = Marks {
            pods: state.pods().keys().cloned().collect(),
            policies: state.policies().keys().cloned().collect(),
            namespaces: BTreeSet::new(),
        };
        let (mut policies, mut pods) = (Policies::default(), Pods::default());
        policies.reserve(marks.policies.len());
        pods.reserve(marks.pods.len());
        Self {
            state,
            marks,
            policies,
            pods,
            nodes,
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
                    self.marks.policies.push(policy.key.clone());
                }
            }
            Event::PolicyDeleted(key) => self.marks.policies.push(key.clone()),
            Event::NodeApplied(node) => {
                if self.state.nodes().get(&node.name) != Some(node) {
                    self.nodes.mark(&node.name);
                }
            }
            Event::NodeDeleted(name) => self.nodes.mark(name),
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
            .filter(|rival| *rival != uid)
            .cloned();
        self.marks.pods.extend(rivals);
        self.marks.pods.push(uid.clone());
    }

    /// Where the pods of a group are; `None` where no policy uses the group.
    pub fn scope(&self, group: &GroupId) -> Option<&Scope> {
        self.groups.by_id(group).map(|group| &group.spec.scope)
    }

    /// Brings everything up to date and returns what changed.
    pub fn flush(&mut self) -> Changes {
        let gone = self.compile_policies();
        self.match_classes();
        self.place_pods();
        let mut slices = self.groups.take_changes();
        slices.extend(gone);
        let policies = self.policies.take_changes();
        // At first all pods are to be told of anyway.
        if !self.nodes.is_new() {
            for namespace in &policies.turned {
                let pods = self.classes.pods_of_namespace(namespace);
                let records = pods.filter_map(|pod| self.pods.all.get(pod));
                records.for_each(|record| self.nodes.arrive(record));
            }
        }
        let nodes = self.nodes.take_changes(self.state.nodes(), &self.policies);
        Changes {
            slices: slices.into_iter().collect(),
            policies: policies.slices.into_iter().collect(),
            pods: nodes.slices,
            nodes: nodes.heads,
        }
    }

    /// Everything that is published as of the last flush.
    pub fn published(&self) -> Published {
        let members = |group: &GroupRecord| {
            let filed = group.members.things();
            let members = filed
                .filter_map(|filed| Some((self.pods.all.get(filed.pod)?.uid.clone(), filed.member.clone())));
            members.collect()
        };
        let group = |group: &GroupRecord| {
            let published = Group {
                spec: GroupSpec::clone(&group.spec),
                members: members(group),
            };
            (group.id, published)
        };
        Published {
            nodes: self.nodes.published(),
            policies: self.policies.published(),
            groups: self.groups.iter().map(group).collect(),
        }
    }

    /// Marked policies become rules; groups come and go with them. Returns the slices of those that have gone.
    fn compile_policies(&mut self) -> Vec<((GroupId, SliceId), Option<Slice>)> {
        let mut turned = GroupsTurned::default();
        let mut marked = std::mem::take(&mut self.marks.policies);
        marked.sort_unstable();
        marked.dedup();
        for (key, policy) in batch::each(self.state.policies(), &marked) {
            self.policies.update(key, policy, &mut self.groups, &mut turned);
        }
        let mut gone = Vec::new();
        for number in turned.left {
            // Another policy may have taken it up.
            let Some(group) = self.groups.retire(number) else {
                continue;
            };
            for class in &group.classes {
                if let Some(class) = self.classes.get_mut(*class) {
                    slots::take(&mut class.groups, number);
                }
            }
            let slices = group.members.into_slices_before().into_iter();
            gone.extend(slices.map(|slice| ((group.id, slice), None)));
        }
        for number in turned.fresh {
            if let Some(group) = self.groups.get(number) {
                for class in self.classes.matching(&group.spec, self.state.namespaces()) {
                    self.set_class(number, class, true);
                }
            }
        }
        gone
    }

    /// The classes of marked namespaces learn which groups match them now.
    fn match_classes(&mut self) {
        for name in std::mem::take(&mut self.marks.namespaces) {
            let classes: Vec<ClassNumber> = self.classes.of_namespace(&name).collect();
            for number in classes {
                let Some(class) = self.classes.get(number) else {
                    continue;
                };
                let groups = self.groups.containing(&class.key, self.state.namespaces());
                let gone: Vec<_> = without(&class.groups, &groups).collect();
                let come: Vec<_> = without(&groups, &class.groups).collect();
                for group in gone {
                    self.set_class(group, number, false);
                }
                for group in come {
                    self.set_class(group, number, true);
                }
            }
        }
    }

    /// A group matches a class, or no longer: all pods of the class come or go.
    fn set_class(&mut self, group: u32, number: ClassNumber, matches: bool) {
        let Some(class) = self.classes.get_mut(number) else {
            return;
        };
        if matches {
            slots::add(&mut class.groups, group);
        } else {
            slots::take(&mut class.groups, group);
        }
        self.groups.set_class(group, number, matches);
        for pod in &class.pods {
            let candidate = self.pods.all.get(*pod).map(|record| record.candidate(*pod));
            let [was, is] = if matches {
                [None, candidate]
            } else {
                [candidate, None]
            };
            self.groups.turn(group, was, is);
        }
    }

    /// Marked pods get their places.
    fn place_pods(&mut self) {
        let mut marked = std::mem::take(&mut self.marks.pods);
        marked.sort_unstable();
        marked.dedup();
        // A part of itself at a time: the pods stay where they are while everything else is brought up to date.
        let state = std::mem::take(&mut self.state);
        for (uid, pod) in batch::each(state.pods(), &marked) {
            let old = self.pods.by_uid.get(uid).copied();
            let place = pod.and_then(|pod| self.pods.place(pod, &state, old));
            match (old, place) {
                (None, None) => {}
                (None, Some(place)) => self.add_pod(uid, place, &state),
                (Some(number), None) => self.remove_pod(number),
                (Some(number), Some(place)) => self.move_pod(number, place, &state),
            }
        }
        self.state = state;
    }

    /// The class of a place; groups are found for it where it is new.
    fn class_of(&mut self, place: &Place, state: &ClusterState) -> ClassNumber {
        let (number, is_new) = self.classes.enter(place.class.clone());
        if is_new {
            let groups = self.groups.containing(&place.class, state.namespaces());
            for group in &groups {
                self.groups.set_class(*group, number, true);
            }
            if let Some(class) = self.classes.get_mut(number) {
                class.groups = groups;
            }
        }
        number
    }

    fn add_pod(&mut self, uid: &PodUid, place: Place, state: &ClusterState) {
        let class = self.class_of(&place, state);
        let number = self.pods.insert(uid, class, place);
        self.join(number, class);
        let record = self.pods.all.get(number);
        if let Some(record) = record {
            self.nodes.arrive(record);
        }
        let groups = self
            .classes
            .get(class)
            .into_iter()
            .flat_map(|class| &class.groups);
        let candidate = record.map(|record| record.candidate(number));
        groups.for_each(|group| self.groups.turn(*group, None, candidate));
    }

    fn remove_pod(&mut self, number: PodNumber) {
        let Some(record) = self.pods.remove(number) else {
            return;
        };
        self.nodes.depart(&record);
        let groups = self
            .classes
            .get(record.class)
            .into_iter()
            .flat_map(|class| &class.groups);
        groups.for_each(|group| self.groups.turn(*group, Some(record.candidate(number)), None));
        self.leave(record.class, record.position);
    }

    fn move_pod(&mut self, number: PodNumber, place: Place, state: &ClusterState) {
        let class = self.class_of(&place, state);
        let Some(old) = self.pods.replace(number, class, place) else {
            return;
        };
        let record = self.pods.all.get(number);
        if let Some(new) = record
            && (old.node != new.node || old.resident != new.resident)
        {
            self.nodes.depart(&old);
            self.nodes.arrive(new);
        }
        let new = record.map(|record| record.candidate(number));
        let was = Some(old.candidate(number));
        let groups = |class: ClassNumber| {
            self.classes
                .get(class)
                .map_or(&[][..], |class: &Class| &class.groups)
        };
        let (before, after) = (groups(old.class), groups(class));
        for group in before {
            let stays = after.binary_search(group).is_ok();
            self.groups.turn(*group, was, new.filter(|_| stays));
        }
        for group in without(after, before) {
            self.groups.turn(group, None, new);
        }
        if old.class != class {
            self.leave(old.class, old.position);
            self.join(number, class);
        }
    }

    /// Puts a pod into a class.
    fn join(&mut self, number: PodNumber, class: ClassNumber) {
        if let (Some(class), Some(record)) = (self.classes.get_mut(class), self.pods.all.get_mut(number)) {
            record.position = u32::try_from(class.pods.len()).unwrap_or(u32::MAX);
            class.pods.push(number);
        }
    }

    /// Takes the pod at a position out of a class; the last one gets its place.
    fn leave(&mut self, number: ClassNumber, position: u32) {
        let Some(class) = self.classes.get_mut(number) else {
            return;
        };
        let at = position as usize;
        if at < class.pods.len() {
            class.pods.swap_remove(at);
        }
        if let Some(moved) = class.pods.get(at)
            && let Some(record) = self.pods.all.get_mut(*moved)
        {
            record.position = position;
        }
        if let Some(class) = self.classes.retire(number) {
            class
                .groups
                .iter()
                .for_each(|group| self.groups.set_class(*group, number, false));
        }
    }
}
