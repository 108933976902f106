//! What makes pods: which of them are there, and what stands for those that are not.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use palisade_audit::inventory::{Inventory, Workload, WorkloadKey};
use palisade_policy::cluster::Event;
use palisade_policy::model::{Labels, Pod, PodKey, PodUid};

use super::assemble::remove_pod;
use crate::decode::Template;

/// The label by which a Deployment tells the pods of its `ReplicaSet`s apart: the last part of the `ReplicaSet`'s name.
pub(super) const POD_TEMPLATE_HASH: &str = "pod-template-hash";

/// Workloads whose pods were replaced by one of their new template, and for how many it stands.
pub(super) type Replaced = Vec<(WorkloadKey, usize)>;

/// Puts workloads to an inventory.
pub(super) struct Workloads<'a> {
    inventory: &'a mut Inventory,
    events: &'a mut Vec<Event>,
    templates: &'a mut BTreeMap<WorkloadKey, Pod>,
    /// The pods that came together with the workloads.
    came: BTreeSet<PodUid>,
    pub(super) replaced: Replaced,
}

impl<'a> Workloads<'a> {
    /// Over what is in an inventory, with the events of this time and the templates of earlier ones.
    pub(super) fn over(
        inventory: &'a mut Inventory,
        events: &'a mut Vec<Event>,
        templates: &'a mut BTreeMap<WorkloadKey, Pod>,
        came: BTreeSet<PodUid>,
    ) -> Self {
        Self {
            inventory,
            events,
            templates,
            came,
            replaced: Vec::new(),
        }
    }

    pub(super) fn add(&mut self, templates: Vec<Template>) {
        let own: BTreeSet<WorkloadKey> = templates
            .iter()
            .filter(|template| template.owner.is_none())
            .map(|template| template.key.clone())
            .collect();
        // What a workload made speaks for it only where it does not speak for itself: the largest, as a Deployment keeps old
        // ReplicaSets without pods.
        let mut inherited: BTreeMap<WorkloadKey, Template> = BTreeMap::new();
        for template in templates {
            match &template.owner {
                None => self.add_template(template.key.clone(), template),
                Some(owner) if own.contains(owner) => {}
                Some(owner) => {
                    let rank =
                        |template: &Template| (template.replicas, std::cmp::Reverse(template.key.clone()));
                    let better = inherited
                        .get(owner)
                        .is_none_or(|other| rank(other) < rank(&template));
                    if better {
                        inherited.insert(owner.clone(), template);
                    }
                }
            }
        }
        for (owner, template) in inherited {
            self.add_template(owner, template);
        }
    }

    /// A workload that is described. If none of its pods is there, or those that were there are none that it would make now,
    /// one made from its template stands for all.
    fn add_template(&mut self, key: WorkloadKey, template: Template) {
        let Template {
            mut replicas,
            mut pod,
            ..
        } = template;
        let known = self.inventory.workloads.remove(&key);
        let pods = known
            .as_ref()
            .map(|workload| workload.pods.clone())
            .unwrap_or_default();
        let stand_in = known.is_some_and(|workload| workload.representative);
        let makes_others = self.makes_others(&key, &pod, &pods);
        let old = self.templates.insert(key.clone(), pod.clone());
        if !stand_in && !pods.is_empty() {
            if !makes_others {
                let workload = Workload {
                    key: key.clone(),
                    replicas,
                    pods,
                    representative: false,
                };
                self.inventory.workloads.insert(key, workload);
                return;
            }
            replicas = replicas.or_else(|| u32::try_from(pods.len()).ok());
            let others = old.map(|old| self.put_on(&old, &pods)).unwrap_or_default();
            for (key, value) in others.iter() {
                if pod.labels.get(key).is_none() {
                    pod.labels.insert(key.clone(), value.clone());
                }
            }
            let count = replicas.and_then(|replicas| usize::try_from(replicas).ok());
            self.replaced.push((key.clone(), count.unwrap_or(pods.len())));
        }
        for uid in &pods {
            remove_pod(uid, self.inventory, self.events);
        }
        pod.key = PodKey::new(key.namespace.clone(), Arc::clone(&key.name));
        let workload = Workload {
            key: key.clone(),
            replicas,
            pods: BTreeSet::from([pod.uid.clone()]),
            representative: true,
        };
        self.events.push(Event::PodApplied(pod));
        self.inventory.workloads.insert(key, workload);
    }

    /// The labels that all of some pods have beside those of their template: somebody put them on, and will again.
    fn put_on(&self, template: &Pod, pods: &BTreeSet<PodUid>) -> Labels {
        let all = self.inventory.state.pods();
        let mut pods = pods.iter().filter_map(|uid| all.get(uid));
        let Some(first) = pods.next() else {
            return Labels::default();
        };
        let others = labels(first).filter(|(key, _)| template.labels.get(key).is_none());
        let mut others: Vec<_> = others.collect();
        for pod in pods {
            others.retain(|(key, value)| pod.labels.get(key) == Some(value.as_ref()));
        }
        let others = others.into_iter();
        others.map(|(key, value)| (key.clone(), value.clone())).collect()
    }

    /// Whether a workload would make other pods than those that it has. Pods that came with it are what it makes, even if not
    /// all are of its newest template yet.
    fn makes_others(&self, key: &WorkloadKey, template: &Pod, pods: &BTreeSet<PodUid>) -> bool {
        if !pods.is_disjoint(&self.came) {
            return false;
        }
        if let Some(known) = self.templates.get(key) {
            return !labels(known).eq(labels(template))
                || known.ports != template.ports
                || known.host_network != template.host_network;
        }
        // Others may have put labels and containers to a pod.
        let is_of_it = |pod: &Pod| {
            let labelled = labels(template).all(|(key, value)| pod.labels.get(key) == Some(value.as_ref()));
            let declared = template.ports.iter().all(|port| pod.ports.contains(port));
            labelled && declared && pod.host_network == template.host_network
        };
        let mut pods = pods.iter().filter_map(|uid| self.inventory.state.pods().get(uid));
        !pods.all(is_of_it)
    }
}

/// The labels of a template but that which tells those of one Deployment apart.
fn labels(pod: &Pod) -> impl Iterator<Item = (&Arc<str>, &Arc<str>)> {
    pod.labels.iter().filter(|(key, _)| &***key != POD_TEMPLATE_HASH)
}
