//! What a node makes of what is published: which policies isolate each of its pods.
//!
//! A policy is published once, for all nodes that have pods in its namespace, and not with the pods that it selects: so a
//! policy that changes is one write, however many nodes and pods it concerns. Selecting is done here, by each node for its own
//! pods. What comes out follows from the published objects alone.
//!
//! An [`Assembler`] remembers what it has found: when a policy changes, only the pods that it selects or did select are looked at
//! again, and what has not changed is the same memory as before.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::index::SelectorIndex;
use crate::map::Map;
use crate::model::{Direction, Labels, NamespaceName, PolicyKey};
use crate::rules::{
    CompiledPolicy, CompiledPort, CompiledPorts, CompiledRule, GroupId, LocalPod, NamedPort, NamedPorts,
    NodeRules, PolicySlice, Profile, ProfileId, ProfileRules, Residents, SliceId,
};

/// What a node has to enforce, from its pods and all slices of the policies of their namespaces.
pub fn assemble<'a>(residents: &Residents, slices: impl IntoIterator<Item = &'a PolicySlice>) -> NodeRules {
    let mut by_namespace: BTreeMap<NamespaceName, Vec<Arc<PolicySlice>>> = BTreeMap::new();
    for slice in slices {
        let slices = by_namespace.entry(slice.namespace.clone()).or_default();
        slices.push(Arc::new(slice.clone()));
    }
    let slices = by_namespace
        .into_iter()
        .map(|(name, slices)| (name, slices.into()));
    Assembler::default().assemble(residents, &slices.collect())
}

/// The slices of the policies of namespaces. What has not changed should be the same memory as before.
pub type SlicesByNamespace = BTreeMap<NamespaceName, Arc<[Arc<PolicySlice>]>>;

/// What was found out about a node's pods, to be brought to the next state of what is published.
#[derive(Clone, Debug, Default)]
pub struct Assembler {
    namespaces: BTreeMap<NamespaceName, Space>,
    /// The profiles in use.
    profiles: BTreeMap<ProfileId, Arc<ProfileRules>>,
    /// How often their rules refer to a group.
    groups: BTreeMap<GroupId, usize>,
}

impl Assembler {
    /// What the node has to enforce now. It follows from the arguments alone, whatever was there before.
    pub fn assemble(&mut self, residents: &Residents, slices: &SlicesByNamespace) -> NodeRules {
        self.namespaces.retain(|name, _| slices.contains_key(name));
        for (name, slices) in slices {
            if let Some(space) = self.namespaces.get_mut(name) {
                space.follow(slices);
            } else {
                let mut space = Space::default();
                space.follow(slices);
                self.namespaces.insert(name.clone(), space);
            }
        }
        let mut rules = NodeRules {
            node: residents.node.clone(),
            pod_networks: residents.pod_networks.clone(),
            pods: BTreeMap::new(),
            profiles: BTreeMap::new(),
            groups: BTreeSet::new(),
        };
        for (uid, pod) in &residents.pods {
            let space = self.namespaces.get_mut(&pod.key.namespace);
            let [ingress, egress] = space.map_or([None, None], |space| {
                let profiles = space.class(&pod.labels).profiles(&pod.ports);
                profiles.by_direction.each_ref().map(|profile| {
                    let (id, profile) = profile.as_ref()?;
                    rules.profiles.entry(*id).or_insert_with(|| profile.clone());
                    Some(*id)
                })
            });
            let local = LocalPod {
                key: pod.key.clone(),
                addresses: pod.addresses.clone(),
                ingress,
                egress,
            };
            rules.pods.insert(uid.clone(), local);
        }
        for space in self.namespaces.values_mut() {
            space.forget_unused();
        }
        self.count(&rules.profiles);
        rules.groups = self.groups.keys().copied().collect();
        rules
    }

    /// Brings the groups in use to these profiles.
    fn count(&mut self, profiles: &BTreeMap<ProfileId, Arc<ProfileRules>>) {
        let is_in =
            |all: &BTreeMap<ProfileId, Arc<ProfileRules>>, id: &ProfileId, one: &Arc<ProfileRules>| {
                all.get(id).is_some_and(|other| Arc::ptr_eq(one, other))
            };
        for (id, profile) in profiles {
            if !is_in(&self.profiles, id, profile) {
                for group in profile.rules().flat_map(CompiledRule::groups) {
                    *self.groups.entry(*group).or_default() += 1;
                }
            }
        }
        for (id, profile) in &self.profiles {
            if !is_in(profiles, id, profile) {
                for group in profile.rules().flat_map(CompiledRule::groups) {
                    match self.groups.get_mut(group) {
                        Some(count) if *count > 1 => *count -= 1,
                        Some(_) | None => drop(self.groups.remove(group)),
                    }
                }
            }
        }
        self.profiles.clone_from(profiles);
    }
}

/// The policies of a namespace, and the node's pods there by their labels.
#[derive(Clone, Debug, Default)]
struct Space {
    whole: Option<Arc<[Arc<PolicySlice>]>>,
    slices: BTreeMap<SliceId, Arc<PolicySlice>>,
    known: BTreeMap<PolicyKey, Arc<CompiledPolicy>>,
    by_subject: SelectorIndex<PolicyKey>,
    classes: BTreeMap<Labels, Class>,
}

/// Pods with equal labels.
#[derive(Clone, Debug, Default)]
struct Class {
    /// The policies that select them.
    selecting: BTreeMap<PolicyKey, Arc<CompiledPolicy>>,
    /// Their profiles for ingress and egress, by the names of ports that they declare.
    profiles: Map<NamedPorts, Profiles>,
    /// Whether there is such a pod.
    used: bool,
}

/// The profiles of a pod.
#[derive(Clone, Debug)]
struct Profiles {
    by_direction: [Option<(ProfileId, Arc<ProfileRules>)>; 2],
    /// Whether there is such a pod.
    used: bool,
}

impl Space {
    /// Brings it to these slices.
    fn follow(&mut self, whole: &Arc<[Arc<PolicySlice>]>) {
        if self.whole.as_ref().is_some_and(|known| Arc::ptr_eq(known, whole)) {
            return;
        }
        self.whole = Some(whole.clone());
        let slices: BTreeMap<SliceId, &Arc<PolicySlice>> =
            whole.iter().map(|slice| (slice.id, slice)).collect();
        let mut touched: BTreeMap<PolicyKey, Option<Arc<CompiledPolicy>>> = BTreeMap::new();
        for (id, slice) in &self.slices {
            if !slices.get(id).is_some_and(|new| Arc::ptr_eq(slice, new)) {
                touched.extend(slice.policies.keys().map(|key| (key.clone(), None)));
            }
        }
        // Those that come overwrite those that go: a policy may have moved to another slice.
        for (id, slice) in &slices {
            if !self.slices.get(id).is_some_and(|old| Arc::ptr_eq(slice, old)) {
                let policies = slice.policies.iter();
                touched.extend(policies.map(|(key, policy)| (key.clone(), Some(policy.clone()))));
            }
        }
        if touched.is_empty() && self.slices.len() == slices.len() {
            return;
        }
        self.slices = slices
            .iter()
            .map(|(id, slice)| (*id, Arc::clone(slice)))
            .collect();
        for (key, policy) in touched {
            // A slice that has not changed may hold it too, though none that a controller writes does.
            let elsewhere = || {
                self.slices
                    .values()
                    .rev()
                    .find_map(|slice| slice.policies.get(&key))
            };
            let policy = policy.or_else(|| elsewhere().cloned());
            self.change(&key, policy);
        }
    }

    fn change(&mut self, key: &PolicyKey, policy: Option<Arc<CompiledPolicy>>) {
        let old = self.known.get(key);
        if old == policy.as_ref() {
            return;
        }
        if let Some(old) = old {
            self.by_subject.remove(&old.subject, key);
        }
        for (labels, class) in &mut self.classes {
            let selecting = policy.as_ref().filter(|policy| policy.subject.matches(labels));
            let selected = match selecting {
                Some(policy) => {
                    class.selecting.insert(key.clone(), policy.clone());
                    true
                }
                None => class.selecting.remove(key).is_some(),
            };
            if selected {
                class.profiles = Map::default();
            }
        }
        match policy {
            Some(policy) => {
                self.by_subject.insert(&policy.subject, key);
                self.known.insert(key.clone(), policy);
            }
            None => drop(self.known.remove(key)),
        }
    }

    fn class(&mut self, labels: &Labels) -> &mut Class {
        if !self.classes.contains_key(labels) {
            let selecting = self.selecting(labels);
            let class = Class {
                selecting,
                ..Class::default()
            };
            self.classes.insert(labels.clone(), class);
        }
        let class = self.classes.entry(labels.clone()).or_default();
        class.used = true;
        class
    }

    /// The policies that select pods with these labels.
    fn selecting(&self, labels: &Labels) -> BTreeMap<PolicyKey, Arc<CompiledPolicy>> {
        let candidates = self.by_subject.candidates(labels);
        let known = candidates
            .into_iter()
            .filter_map(|key| self.known.get_key_value(key));
        let selecting = known.filter(|(_, policy)| policy.subject.matches(labels));
        selecting
            .map(|(key, policy)| (key.clone(), policy.clone()))
            .collect()
    }

    fn forget_unused(&mut self) {
        self.classes.retain(|_, class| {
            let profiles = &mut class.profiles;
            profiles.retain(|_, profiles| std::mem::take(&mut profiles.used));
            std::mem::take(&mut class.used)
        });
    }
}

impl Class {
    fn profiles(&mut self, ports: &NamedPorts) -> &Profiles {
        let selecting = &self.selecting;
        let found = || Profiles {
            by_direction: [Direction::Ingress, Direction::Egress].map(|direction| {
                let rules = profile(ports, selecting, direction)?;
                Some((rules.profile.id(), Arc::new(rules)))
            }),
            used: true,
        };
        let profiles = self.profiles.entry(ports.clone()).or_insert_with(found);
        profiles.used = true;
        profiles
    }
}

/// The profile of pods in one direction; `None` where none of the policies that select them isolates them.
fn profile(
    declared: &NamedPorts,
    selecting: &BTreeMap<PolicyKey, Arc<CompiledPolicy>>,
    direction: Direction,
) -> Option<ProfileRules> {
    let mut named_ports = BTreeMap::new();
    let isolating = selecting
        .iter()
        .filter_map(|(key, policy)| Some((key, policy, policy.rules.rules(direction)?)));
    let mut keys = BTreeSet::new();
    let mut policies = Vec::new();
    for (key, policy, rules) in isolating {
        keys.insert(key.clone());
        policies.push(policy.clone());
        // Names of ports in egress rules are resolved on the peers.
        if direction == Direction::Egress {
            continue;
        }
        for name in rules.iter().flat_map(|rule| port_names(&rule.ports)) {
            if let Some(numbers) = declared.get(name) {
                named_ports.insert(name.clone(), numbers.iter().copied().collect());
            }
        }
    }
    let profile = Profile {
        direction,
        policies: keys,
        named_ports,
    };
    (!policies.is_empty()).then_some(ProfileRules { profile, policies })
}

/// The port names of a rule that are resolved on the pods that its policy selects.
fn port_names(ports: &CompiledPorts) -> impl Iterator<Item = &NamedPort> {
    let ports = match ports {
        CompiledPorts::AnyOf(ports) => Some(ports),
        CompiledPorts::All | CompiledPorts::OfMembers(_) => None,
    };
    ports.into_iter().flatten().filter_map(|port| match port {
        CompiledPort::Named(name) => Some(name),
        CompiledPort::Protocol(_) | CompiledPort::Range(..) => None,
    })
}
