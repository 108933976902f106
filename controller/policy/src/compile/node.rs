//! Nodes: what each is told of its pods.
//!
//! A node's pods are a trie like the members of a group: a pod that comes or goes touches one slice of it. The first slice is
//! published with what is said of the node itself.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ipnet::IpNet;

use super::filed::Filed;
use super::pod::PodRecord;
use super::policy::Policies;
use crate::map::Map;
use crate::model::{NamespaceName, Node, NodeName, PodUid};
use crate::rules::{Cut, NodeHead, POD_CAPACITY, PodSlice, Resident, Residents, SliceId, Trie, pod_weight};

/// What is told of a pod.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Told {
    resident: Arc<Resident>,
    /// Whether its namespace has policies.
    policed: bool,
}

/// A pod among those of its node.
type FiledPod = Filed<PodUid, Told>;

/// A pod that has come, or is told of anew, or has gone. The last word on a pod counts.
#[derive(Clone, Debug)]
struct News {
    hash: u32,
    uid: PodUid,
    resident: Arc<Resident>,
    is_there: bool,
}

/// What a node was told last.
#[derive(Clone, Debug)]
struct Record {
    /// `None` for one that was told nothing yet.
    pod_networks: Option<Vec<IpNet>>,
    pods: Trie<FiledPod>,
}

/// What each node was told last, and what has happened since.
#[derive(Clone, Debug, Default)]
pub(super) struct Nodes {
    told: BTreeMap<NodeName, Record>,
    news: Map<NodeName, Vec<News>>,
}

/// What has changed of nodes.
#[derive(Debug, Default)]
pub(super) struct NodeChanges {
    pub(super) heads: BTreeMap<NodeName, Option<Arc<NodeHead>>>,
    pub(super) slices: BTreeMap<(NodeName, SliceId), Option<PodSlice>>,
}

impl Nodes {
    /// Whether nothing was told of any pod yet: then what is to be told names each once.
    pub(super) fn is_new(&self) -> bool {
        self.told.is_empty()
    }

    /// Something of a node may have changed beside its pods.
    pub(super) fn mark(&mut self, node: &NodeName) {
        if !self.news.contains_key(node) {
            self.news.insert(node.clone(), Vec::new());
        }
    }

    /// A pod is on its node, or something is to be told anew of it.
    pub(super) fn arrive(&mut self, pod: &PodRecord) {
        self.tell(pod, true);
    }

    /// A pod is not on its node any more.
    pub(super) fn depart(&mut self, pod: &PodRecord) {
        self.tell(pod, false);
    }

    fn tell(&mut self, pod: &PodRecord, is_there: bool) {
        let Some(node) = &pod.node else { return };
        let news = News {
            hash: pod.hash,
            uid: pod.uid.clone(),
            resident: pod.resident.clone(),
            is_there,
        };
        match self.news.get_mut(node) {
            Some(known) => known.push(news),
            None => _ = self.news.insert(node.clone(), vec![news]),
        }
    }

    /// What has to be told.
    pub(super) fn take_changes(
        &mut self,
        nodes: &BTreeMap<NodeName, Node>,
        policies: &Policies,
    ) -> NodeChanges {
        let mut changes = NodeChanges::default();
        let is_new = self.is_new();
        // In their order: a map that grows at its end takes the least time.
        let news: BTreeMap<_, _> = std::mem::take(&mut self.news).into_iter().collect();
        for (name, news) in news {
            let node = nodes.get(&name);
            let mut record = self.told.remove(&name).unwrap_or_default();
            record.hear(news, policies, is_new);
            if node.is_none() && record.pods.is_empty() {
                for slice in record.pods.into_slices_before() {
                    if slice == SliceId::WHOLE {
                        changes.heads.insert(name.clone(), None);
                    } else {
                        changes.slices.insert((name.clone(), slice), None);
                    }
                }
                continue;
            }
            let pod_networks = node.map(|node| node.pod_networks.clone()).unwrap_or_default();
            let turned = record.pod_networks.as_ref() != Some(&pod_networks);
            let mut first = turned.then(|| record.pods.first());
            for (id, cut) in record.pods.take_changes(FiledPod::says_the_same) {
                if id == SliceId::WHOLE {
                    first = Some(cut);
                } else {
                    changes.slices.insert((name.clone(), id), slice(&name, id, cut));
                }
            }
            if let Some(pods) = first.and_then(|cut| slice(&name, SliceId::WHOLE, cut)) {
                let head = NodeHead {
                    pod_networks: pod_networks.clone(),
                    pods,
                };
                changes.heads.insert(name.clone(), Some(Arc::new(head)));
            }
            record.pod_networks = Some(pod_networks);
            self.told.insert(name, record);
        }
        changes
    }

    /// What every node was told.
    pub(super) fn published(&self) -> BTreeMap<NodeName, Arc<Residents>> {
        let residents = |(name, record): (&NodeName, &Record)| {
            let filed = || record.pods.things();
            let pod = |filed: &FiledPod| (filed.key.clone(), filed.thing.resident.clone());
            let residents = Residents {
                node: name.clone(),
                pod_networks: record.pod_networks.clone().unwrap_or_default(),
                pods: filed().map(pod).collect(),
                namespaces: policed(filed()),
            };
            (name.clone(), Arc::new(residents))
        };
        self.told.iter().map(residents).collect()
    }
}

impl Default for Record {
    fn default() -> Self {
        Self {
            pod_networks: None,
            pods: Trie::new(POD_CAPACITY),
        }
    }
}

impl Record {
    fn hear(&mut self, news: Vec<News>, policies: &Policies, is_new: bool) {
        for news in news {
            let filed = Filed {
                key: news.uid,
                thing: Told {
                    policed: policies.police(&news.resident.key.namespace),
                    resident: news.resident,
                },
            };
            if !is_new {
                self.pods.remove(news.hash, &filed);
            }
            if news.is_there {
                let weight = pod_weight(&filed.key, &filed.thing.resident);
                self.pods.insert(news.hash, weight, filed);
            }
        }
    }
}

fn slice(node: &NodeName, id: SliceId, cut: Cut<FiledPod>) -> Option<PodSlice> {
    let (split, filed) = cut.open()?;
    Some(PodSlice {
        node: node.clone(),
        id,
        split,
        namespaces: policed(&filed),
        pods: filed
            .into_iter()
            .map(|filed| (filed.key, filed.thing.resident))
            .collect(),
    })
}

/// The namespaces of some pods that have policies.
fn policed<'a>(filed: impl IntoIterator<Item = &'a FiledPod>) -> BTreeSet<NamespaceName> {
    let told = filed.into_iter().map(|filed| &filed.thing);
    let policed = told.filter(|told| told.policed);
    policed.map(|told| told.resident.key.namespace.clone()).collect()
}
