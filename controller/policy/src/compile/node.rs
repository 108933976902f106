//! Nodes: what each is told of its pods.
//!
//! A node's pods are a trie like the members of a group: a pod that comes or goes touches one slice of it. The first slice is
//! published with what is said of the node itself.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::sync::Arc;

use ipnet::IpNet;

use super::pod::PodRecord;
use super::policy::Policies;
use crate::map::Map;
use crate::model::{Node, NodeName, PodUid};
use crate::rules::{Cut, NodeHead, POD_CAPACITY, PodSlice, Resident, Residents, SliceId, Trie, pod_weight};

/// A pod in its place. The order is that of UIDs.
#[derive(Clone, Debug)]
struct Filed {
    uid: PodUid,
    resident: Arc<Resident>,
    /// Whether its namespace has policies.
    policed: bool,
}

impl PartialEq for Filed {
    fn eq(&self, other: &Self) -> bool {
        self.uid == other.uid
    }
}

impl Eq for Filed {}

impl PartialOrd for Filed {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Filed {
    fn cmp(&self, other: &Self) -> Ordering {
        self.uid.cmp(&other.uid)
    }
}

impl Filed {
    fn says_the_same(&self, other: &Self) -> bool {
        self.uid == other.uid && self.policed == other.policed && self.resident == other.resident
    }
}

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
    pods: Trie<Filed>,
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
            for (id, cut) in record.pods.take_changes(Filed::says_the_same) {
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
            let policed = filed().filter(|filed| filed.policed);
            let residents = Residents {
                node: name.clone(),
                pod_networks: record.pod_networks.clone().unwrap_or_default(),
                pods: filed()
                    .map(|filed| (filed.uid.clone(), filed.resident.clone()))
                    .collect(),
                namespaces: policed
                    .map(|filed| filed.resident.key.namespace.clone())
                    .collect(),
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
                policed: policies.police(&news.resident.key.namespace),
                uid: news.uid,
                resident: news.resident,
            };
            if !is_new {
                self.pods.remove(news.hash, &filed);
            }
            if news.is_there {
                let weight = pod_weight(&filed.uid, &filed.resident);
                self.pods.insert(news.hash, weight, filed);
            }
        }
    }
}

fn slice(node: &NodeName, id: SliceId, cut: Cut<Filed>) -> Option<PodSlice> {
    let (split, filed) = match cut {
        Cut::Absent => return None,
        Cut::Split => (true, Vec::new()),
        Cut::Holds(filed) => (false, filed),
    };
    let policed = filed.iter().filter(|filed| filed.policed);
    Some(PodSlice {
        node: node.clone(),
        id,
        split,
        namespaces: policed
            .map(|filed| filed.resident.key.namespace.clone())
            .collect(),
        pods: filed
            .into_iter()
            .map(|filed| (filed.uid, filed.resident))
            .collect(),
    })
}
