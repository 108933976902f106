//! What classes of pods and ranges of addresses are called.
//!
//! A class has no name of its own: it is whatever policies do not tell apart. The best name is that of what people made:
//!
//! | name | the class is |
//! |---|---|
//! | `shop/deployment/web` | all pods of one workload; `shop/deployment/api+deployment/web`: of a few |
//! | `shop/web-0` | one pod |
//! | `shop/*` | all pods of a namespace |
//! | `shop/app=web,tier=front` | the pods of the namespace with these labels |
//! | `shop/web-0+4` | this pod and four more that have nothing in common that others lack |
//! | `shop/web-0 (10.0.0.7)` | a pod by one of its addresses, where policies tell these apart |
//!
//! Names are unique among the classes of a state, and the same whenever the state is.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt::Write as _;
use std::sync::Arc;

use ipnet::IpNet;
use palisade_policy::model::{Labels, NamespaceName, NodeName, Pod, PodUid};
use palisade_policy::reach::{Class, End, Family, Outside};

use super::range::Addresses;
use crate::inventory::{Inventory, Workload};

/// A class that consists of more workloads than this is named otherwise.
const FEW: usize = 3;

/// The labels that people name things by, best first. Others follow by their keys.
const TELLING: [&str; 8] = [
    "app.kubernetes.io/name",
    "app.kubernetes.io/component",
    "app",
    "k8s-app",
    "name",
    "component",
    "role",
    "tier",
];

/// Labels that controllers make up: they say nothing and change with every roll-out.
const NOISE: [&str; 4] = [
    "controller-revision-hash",
    "controller-uid",
    "pod-template-generation",
    "pod-template-hash",
];

/// Whether a label is one that a controller made up.
pub(crate) fn is_noise(key: &str) -> bool {
    NOISE.contains(&key)
}

/// The names of classes and ranges.
#[derive(Clone, Debug, Default)]
pub struct Names {
    classes: Vec<Arc<str>>,
    /// How many pods each class stands for.
    pods: Vec<u64>,
    /// Whether each class is one pod that is there, and not one that stands for others.
    single: Vec<bool>,
    ranges: Vec<Arc<str>>,
    /// The nodes whose addresses lie in each range.
    nodes: Vec<BTreeSet<NodeName>>,
}

impl Names {
    /// Names for classes of an inventory's pods, in order of their namespaces, and for ranges of addresses.
    pub fn of(inventory: &Inventory, classes: &[Class], outside: &[Outside]) -> Self {
        let owners = Owners::of(inventory, classes);
        let mut names = Self::default();
        for class in classes {
            names.pods.push(owners.pods(class));
            names.single.push(owners.is_single(class));
        }
        for neighbours in classes.chunk_by(|one, other| one.namespace == other.namespace) {
            let telling = Telling::of(inventory, neighbours);
            for (index, class) in neighbours.iter().enumerate() {
                let name = owners
                    .workloads(class)
                    .or_else(|| single(inventory, class))
                    .or_else(|| (neighbours.len() == 1).then(|| format!("{}/*", class.namespace)))
                    .or_else(|| telling.labels(index, class))
                    .unwrap_or_else(|| first(inventory, class));
                names.classes.push(name.into());
            }
        }
        names.tell_apart(classes);
        for range in outside {
            let nodes = nodes(inventory, range);
            let mut name = Addresses::of(range.family, &range.blocks).to_string();
            if range.blocks.iter().all(is_address) && !nodes.is_empty() {
                let list: Vec<&str> = nodes.iter().map(NodeName::as_str).collect();
                let word = if list.len() == 1 { "node" } else { "nodes" };
                // Writing into a String cannot fail.
                let _ = write!(name, " ({word} {})", list.join(" and "));
            }
            names.ranges.push(name.into());
            names.nodes.push(nodes);
        }
        names
    }

    /// A pod with several addresses of a family may be in several classes, by these: they are told with the address.
    fn tell_apart(&mut self, classes: &[Class]) {
        let mut counts: HashMap<Arc<str>, usize> = HashMap::new();
        for name in &self.classes {
            *counts.entry(name.clone()).or_default() += 1;
        }
        for (name, class) in self.classes.iter_mut().zip(classes) {
            if counts.get(name).is_some_and(|count| *count > 1)
                && let Some(address) = class
                    .members
                    .first()
                    .and_then(|member| Family::ALL.into_iter().find_map(|family| member.address(family)))
            {
                *name = format!("{name} ({address})").into();
            }
        }
    }

    /// The name of an end: of a class as above, of a range the addresses in the shortest way.
    pub fn end(&self, end: End) -> &str {
        let name = match end {
            End::Pods(class) => self.classes.get(class),
            End::Outside(range) => self.ranges.get(range),
        };
        name.map_or("", AsRef::as_ref)
    }

    /// How many pods an end stands for: of templates all replicas count. `None` of a range.
    pub fn pods(&self, end: End) -> Option<u64> {
        match end {
            End::Pods(class) => self.pods.get(class).copied(),
            End::Outside(_) => None,
        }
    }

    /// Whether an end is one pod, so that connections within it are those from the pod to itself. A pod that is made from a
    /// template stands for others like it, however many there are to be.
    pub fn is_single(&self, end: End) -> bool {
        match end {
            End::Pods(class) => self.single.get(class).copied().unwrap_or_default(),
            End::Outside(_) => false,
        }
    }

    /// Tells classes apart that have the same name all the same, by what else there is to say about each.
    pub(crate) fn tell_apart_by(&mut self, more: impl Fn(usize) -> String) {
        let mut counts: HashMap<Arc<str>, usize> = HashMap::new();
        for name in &self.classes {
            *counts.entry(name.clone()).or_default() += 1;
        }
        for (class, name) in self.classes.iter_mut().enumerate() {
            if counts.get(name).is_some_and(|count| *count > 1) {
                *name = format!("{name} ({})", more(class)).into();
            }
        }
    }

    /// The nodes with an address in a range.
    pub fn nodes(&self, range: usize) -> impl Iterator<Item = &NodeName> {
        self.nodes.get(range).into_iter().flatten()
    }
}

/// The addresses of nodes that no pod has are outside; people want to know that a range has some.
fn nodes(inventory: &Inventory, range: &Outside) -> BTreeSet<NodeName> {
    let addresses = Addresses::of(range.family, &range.blocks);
    let nodes = inventory.state.nodes().values();
    nodes
        .filter(|node| node.addresses.iter().any(|address| addresses.contains(*address)))
        .map(|node| node.name.clone())
        .collect()
}

fn is_address(net: &IpNet) -> bool {
    net.prefix_len() == net.max_prefix_len()
}

/// The families that a class has addresses of.
pub(crate) fn families(class: &Class) -> impl Iterator<Item = Family> {
    let has = |family| {
        let mut members = class.members.iter();
        members.any(|member| member.address(family).is_some())
    };
    Family::ALL.into_iter().filter(move |family| has(*family))
}

/// Which workload each pod belongs to.
struct Owners<'a> {
    of_pod: HashMap<&'a PodUid, &'a Workload>,
    /// How many pods of each workload are in any class: those that policies are about.
    counts: BTreeMap<&'a crate::inventory::WorkloadKey, usize>,
}

impl<'a> Owners<'a> {
    fn of(inventory: &'a Inventory, classes: &[Class]) -> Self {
        let workloads = inventory.workloads.values();
        let of_pod: HashMap<_, _> = workloads
            .flat_map(|workload| workload.pods.iter().map(move |pod| (pod, workload)))
            .collect();
        let mut counts = BTreeMap::new();
        for member in classes.iter().flat_map(|class| &class.members) {
            if let Some(workload) = of_pod.get(&member.uid) {
                *counts.entry(&workload.key).or_default() += 1;
            }
        }
        Self { of_pod, counts }
    }

    /// The names of the workloads whose pods a class consists of, if these are few and no other class has pods of them.
    fn workloads(&self, class: &Class) -> Option<String> {
        let mut found: BTreeMap<_, usize> = BTreeMap::new();
        for member in &class.members {
            let workload = self.of_pod.get(&member.uid)?;
            *found.entry(&workload.key).or_default() += 1;
            if found.len() > FEW {
                return None;
            }
        }
        let whole = found
            .iter()
            .all(|(key, count)| self.counts.get(*key) == Some(count));
        let words = found.keys().map(|key| key.word());
        whole.then(|| format!("{}/{}", class.namespace, words.collect::<Vec<_>>().join("+")))
    }

    fn is_single(&self, class: &Class) -> bool {
        let stands_for_others = |uid| {
            let workload = self.of_pod.get(uid);
            workload.is_some_and(|workload| workload.representative)
        };
        matches!(class.members.as_slice(), [member] if !stands_for_others(&member.uid))
    }

    fn pods(&self, class: &Class) -> u64 {
        let count = |uid| match self.of_pod.get(uid) {
            Some(workload) if workload.representative => workload.replicas.map_or(1, u64::from),
            _ => 1,
        };
        class.members.iter().map(|member| count(&member.uid)).sum()
    }
}

fn single(inventory: &Inventory, class: &Class) -> Option<String> {
    (class.members.len() == 1).then(|| first(inventory, class))
}

/// The first pod by name, and how many more there are.
fn first(inventory: &Inventory, class: &Class) -> String {
    let first = members(inventory, class).map(|pod| &pod.key).min();
    let name = first.map_or_else(|| class.namespace.to_string(), ToString::to_string);
    match class.members.len() {
        0 | 1 => name,
        count => format!("{name}+{}", count - 1),
    }
}

/// The pods of a class.
pub(crate) fn members<'a>(inventory: &'a Inventory, class: &'a Class) -> impl Iterator<Item = &'a Pod> {
    let uids = class.members.iter().map(|member| &member.uid);
    uids.filter_map(|uid| inventory.state.pods().get(uid))
}

/// Which labels the classes of one namespace have.
struct Telling<'a> {
    namespace: Option<&'a NamespaceName>,
    /// The classes that have a pod with a label.
    holders: HashMap<(&'a str, &'a str), BTreeSet<usize>>,
}

impl<'a> Telling<'a> {
    fn of(inventory: &'a Inventory, classes: &'a [Class]) -> Self {
        let mut holders: HashMap<_, BTreeSet<usize>> = HashMap::new();
        // A namespace with one class needs no labels to name it.
        let several = if classes.len() > 1 { classes } else { &[] };
        for (index, class) in several.iter().enumerate() {
            for pod in members(inventory, class) {
                for (key, value) in pod.labels.iter() {
                    holders.entry((&**key, &**value)).or_default().insert(index);
                }
            }
        }
        Self {
            namespace: classes.first().map(|class| &class.namespace),
            holders,
        }
    }

    fn holders(&self, label: (&'a str, &'a str)) -> Option<&BTreeSet<usize>> {
        self.holders.get(&label)
    }

    /// As few labels as possible that all pods of a class have and none of another class has together.
    fn labels(&self, index: usize, class: &'a Class) -> Option<String> {
        let labels = by_telling(&class.labels);
        let alone = labels
            .iter()
            .find(|label| self.holders(**label).is_some_and(|classes| classes.len() == 1));
        let mut chosen: Vec<(&str, &str)> = alone.copied().into_iter().collect();
        if chosen.is_empty() {
            let rarest = labels
                .iter()
                .min_by_key(|label| self.holders(**label).map_or(usize::MAX, BTreeSet::len))?;
            chosen.push(*rarest);
            let mut left: BTreeSet<usize> = self.holders(*rarest)?.clone();
            for label in &labels {
                let also: BTreeSet<usize> = left
                    .iter()
                    .filter(|class| {
                        self.holders(*label)
                            .is_some_and(|holders| holders.contains(class))
                    })
                    .copied()
                    .collect();
                if also.len() < left.len() {
                    chosen.push(*label);
                    left = also;
                }
            }
            if !left.iter().eq([&index]) {
                return None;
            }
            chosen.sort_unstable();
        }
        let words: Vec<String> = chosen
            .iter()
            .map(|(key, value)| format!("{key}={value}"))
            .collect();
        Some(format!("{}/{}", self.namespace?, words.join(",")))
    }
}

/// Whether a text may be part of a label. A file may say what an API server would not let in: that names nothing.
pub(crate) fn is_plain(text: &str) -> bool {
    text.chars()
        .all(|letter| letter.is_ascii_alphanumeric() || matches!(letter, '.' | '-' | '_' | '/'))
}

/// Labels that may name something, best first.
fn by_telling(labels: &Labels) -> Vec<(&str, &str)> {
    let mut found: Vec<(usize, &str, &str)> = labels
        .iter()
        .map(|(key, value)| (&**key, &**value))
        .filter(|(key, value)| !is_noise(key) && is_plain(key) && is_plain(value))
        .map(|(key, value)| {
            let rank = TELLING.iter().position(|telling| *telling == key);
            (rank.unwrap_or(TELLING.len()), key, value)
        })
        .collect();
    found.sort_unstable();
    found.into_iter().map(|(_, key, value)| (key, value)).collect()
}
