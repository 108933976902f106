//! Nodes: what each is told of its pods.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::policy::Policies;
use crate::map::Map;
use crate::model::{NamespaceName, Node, NodeName, PodUid};
use crate::rules::{Resident, Residents};

/// The pods of a node that have come, with what is told of them, and gone. The last word on a pod counts.
type News = Vec<(PodUid, Option<Arc<Resident>>)>;

/// What each node was told last, and what has happened since.
#[derive(Clone, Debug, Default)]
pub(super) struct Nodes {
    told: BTreeMap<NodeName, Arc<Residents>>,
    news: Map<NodeName, News>,
}

impl Nodes {
    /// Something of a node may have changed beside its pods.
    pub(super) fn mark(&mut self, node: &NodeName) {
        if !self.news.contains_key(node) {
            self.news.insert(node.clone(), Vec::new());
        }
    }

    /// A pod is on a node.
    pub(super) fn arrive(&mut self, node: &NodeName, uid: &PodUid, resident: &Arc<Resident>) {
        self.tell(node, uid, Some(resident.clone()));
    }

    /// A pod is not on a node any more.
    pub(super) fn depart(&mut self, node: &NodeName, uid: &PodUid) {
        self.tell(node, uid, None);
    }

    fn tell(&mut self, node: &NodeName, uid: &PodUid, resident: Option<Arc<Resident>>) {
        let news = (uid.clone(), resident);
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
    ) -> BTreeMap<NodeName, Option<Arc<Residents>>> {
        let mut changes = BTreeMap::new();
        // In their order: a map that grows at its end takes the least time.
        let news: BTreeMap<_, _> = std::mem::take(&mut self.news).into_iter().collect();
        for (name, news) in news {
            let (node, old) = (nodes.get(&name), self.told.get(&name));
            let pods = with_news(old.map(|old| &old.pods), news);
            let new = (node.is_some() || !pods.is_empty()).then(|| residents(&name, node, pods, policies));
            if old.map(AsRef::as_ref) == new.as_ref() {
                continue;
            }
            let new = new.map(Arc::new);
            match &new {
                Some(residents) => self.told.insert(name.clone(), residents.clone()),
                None => self.told.remove(&name),
            };
            changes.insert(name, new);
        }
        changes
    }

    /// What every node was told.
    pub(super) fn published(&self) -> BTreeMap<NodeName, Arc<Residents>> {
        self.told.clone()
    }
}

/// A node's pods, after what was heard of them.
fn with_news(pods: Option<&BTreeMap<PodUid, Arc<Resident>>>, news: News) -> BTreeMap<PodUid, Arc<Resident>> {
    let Some(pods) = pods else {
        // Of equal keys a map that is built at once keeps the last.
        let last: BTreeMap<_, _> = news.into_iter().collect();
        let there = last
            .into_iter()
            .filter_map(|(uid, resident)| Some((uid, resident?)));
        return there.collect();
    };
    let mut pods = pods.clone();
    for (uid, resident) in news {
        match resident {
            Some(resident) => pods.insert(uid, resident),
            None => pods.remove(&uid),
        };
    }
    pods
}

fn residents(
    name: &NodeName,
    node: Option<&Node>,
    pods: BTreeMap<PodUid, Arc<Resident>>,
    policies: &Policies,
) -> Residents {
    let namespaces: BTreeSet<&NamespaceName> = pods.values().map(|pod| &pod.key.namespace).collect();
    let policed = namespaces.into_iter().filter(|name| policies.police(name));
    Residents {
        node: name.clone(),
        pod_networks: node.map(|node| node.pod_networks.clone()).unwrap_or_default(),
        namespaces: policed.cloned().collect(),
        pods,
    }
}
