//! From objects to an inventory.
//!
//! Objects may come in several goes: those of the same kind, namespace and name replace what was there.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use kube::Resource;
use palisade_audit::inventory::{Inventory, Service, Workload, WorkloadKey, WorkloadKind};
use palisade_policy::cluster::{ClusterState, Event};
use palisade_policy::model::{Direction, NamespaceName, Pod, PodKey, PodUid, PolicyKey};

use super::Published;
use super::workloads::{POD_TEMPLATE_HASH, Replaced, Workloads};
use crate::decode::{Endpoints, Template};
use crate::manifest::{Object, undescribed};

/// A `CronJob` calls its Jobs after itself and the minute that they were due: eight digits, for the next century and more.
const MINUTE_DIGITS: usize = 8;

/// Puts objects to an inventory. `templates` has the pods that workloads would make, as far as it is known.
pub(super) fn add(
    objects: impl IntoIterator<Item = Object>,
    inventory: &mut Inventory,
    published: &mut Published,
    templates: &mut BTreeMap<WorkloadKey, Pod>,
) -> Replaced {
    let mut batch = Batch::default();
    for object in objects {
        match object {
            Object::Namespace(namespace) => {
                inventory.undescribed.remove(&namespace.name);
                batch.events.push(Event::NamespaceApplied(namespace));
            }
            Object::Node(node) => batch.events.push(Event::NodeApplied(node)),
            Object::Pod { pod, owner } => batch.pods.push((pod, owner)),
            Object::Policy {
                policy,
                untyped,
                idle,
            } => {
                describe(&policy.key, untyped, &idle, inventory);
                batch.events.push(Event::PolicyApplied(policy));
            }
            Object::Service(service) => batch.services.push(service),
            Object::Endpoints(endpoints) => batch.endpoints.push(endpoints),
            Object::Template(template) => batch.templates.push(*template),
            Object::NodeRuleSet(object) => batch.published.rule_sets.push(*object),
            Object::PodSlice(object) => batch.published.pods.push(*object),
            Object::PolicySlice(object) => batch.published.policies.push(*object),
            Object::AddressGroup(object) => batch.published.groups.push(*object),
        }
    }
    replace(&mut published.rule_sets, batch.published.rule_sets);
    replace(&mut published.pods, batch.published.pods);
    replace(&mut published.policies, batch.published.policies);
    replace(&mut published.groups, batch.published.groups);
    let owners = Owners::of(&batch.templates);
    let came = batch.pods.iter().map(|(pod, _)| pod.uid.clone()).collect();
    add_pods(batch.pods, &owners, inventory, &mut batch.events);
    let mut workloads = Workloads::over(inventory, &mut batch.events, templates, came);
    workloads.add(batch.templates);
    let replaced = workloads.replaced;
    add_services(batch.services, batch.endpoints, inventory);
    if inventory.state == ClusterState::default() {
        inventory.state = ClusterState::from_events(batch.events);
    } else {
        batch
            .events
            .into_iter()
            .for_each(|event| inventory.state.apply(event));
    }
    describe_namespaces(inventory);
    replaced
}

/// Objects that are put to an inventory after all are known.
#[derive(Default)]
struct Batch {
    /// What happens to the state, in order.
    events: Vec<Event>,
    pods: Vec<(Pod, Option<WorkloadKey>)>,
    templates: Vec<Template>,
    services: Vec<Service>,
    endpoints: Vec<Endpoints>,
    published: Published,
}

/// Notes what the document of a policy says that has no meaning for packets.
fn describe(policy: &PolicyKey, untyped: bool, idle: &[Direction], inventory: &mut Inventory) {
    if untyped {
        inventory.untyped.insert(policy.clone());
    } else if !inventory.untyped.is_empty() {
        inventory.untyped.remove(policy);
    }
    for direction in [Direction::Ingress, Direction::Egress] {
        if idle.contains(&direction) {
            inventory.idle_sections.insert((policy.clone(), direction));
        } else if !inventory.idle_sections.is_empty() {
            inventory.idle_sections.remove(&(policy.clone(), direction));
        }
    }
}

/// Puts published objects to the others; those of the same name go.
fn replace<T: Resource>(objects: &mut Vec<T>, others: Vec<T>) {
    let names: BTreeSet<&Option<String>> = others.iter().map(|other| &other.meta().name).collect();
    objects.retain(|object| !names.contains(&object.meta().name));
    objects.extend(others);
}

/// What made the objects that make pods.
struct Owners(BTreeMap<WorkloadKey, Option<WorkloadKey>>);

impl Owners {
    fn of(templates: &[Template]) -> Self {
        let owners = templates
            .iter()
            .map(|template| (template.key.clone(), template.owner.clone()));
        Self(owners.collect())
    }

    /// The workload that people know a pod by: of a `ReplicaSet` its Deployment, of a Job its `CronJob`. Where the object in
    /// between is not there, the way in which these are called tells it.
    fn outermost(&self, owner: WorkloadKey, pod: &Pod) -> WorkloadKey {
        match self.0.get(&owner) {
            Some(Some(outer)) => return outer.clone(),
            Some(None) => return owner,
            None => {}
        }
        let (kind, name) = match owner.kind {
            WorkloadKind::ReplicaSet => {
                let hash = pod.labels.get(POD_TEMPLATE_HASH).filter(|hash| !hash.is_empty());
                let name = hash.and_then(|hash| owner.name.strip_suffix(hash)?.strip_suffix('-'));
                (WorkloadKind::Deployment, name)
            }
            WorkloadKind::Job => {
                let due = |digits: &str| {
                    digits.len() >= MINUTE_DIGITS && digits.bytes().all(|byte| byte.is_ascii_digit())
                };
                let name = owner.name.rsplit_once('-').filter(|(_, digits)| due(digits));
                (WorkloadKind::CronJob, name.map(|(name, _)| name))
            }
            kind @ (WorkloadKind::Deployment
            | WorkloadKind::StatefulSet
            | WorkloadKind::DaemonSet
            | WorkloadKind::CronJob) => (kind, None),
        };
        match name.filter(|name| !name.is_empty()) {
            Some(name) => WorkloadKey {
                kind,
                namespace: owner.namespace.clone(),
                name: Arc::from(name),
            },
            None => owner,
        }
    }
}

fn add_pods(
    pods: Vec<(Pod, Option<WorkloadKey>)>,
    owners: &Owners,
    inventory: &mut Inventory,
    events: &mut Vec<Event>,
) {
    let known: BTreeMap<PodKey, Vec<PodUid>> = if pods.is_empty() {
        BTreeMap::new()
    } else {
        let representative = inventory.representatives();
        let known = inventory.state.pods().values();
        known
            .filter(|pod| !representative.contains_key(&pod.uid))
            .fold(BTreeMap::new(), |mut known, pod| {
                known
                    .entry(pod.key.clone())
                    .or_insert_with(Vec::new)
                    .push(pod.uid.clone());
                known
            })
    };
    let mut owned = Vec::new();
    for (pod, owner) in pods {
        for uid in known.get(&pod.key).into_iter().flatten() {
            remove_pod(uid, inventory, events);
        }
        if let Some(owner) = owner {
            owned.push((owners.outermost(owner, &pod), pod.uid.clone()));
        }
        events.push(Event::PodApplied(pod));
    }
    owned.sort_unstable();
    for pods in owned.chunk_by(|(one, _), (other, _)| one == other) {
        let Some((key, _)) = pods.first() else { continue };
        let workload = inventory
            .workloads
            .entry(key.clone())
            .or_insert_with(|| Workload {
                key: key.clone(),
                replicas: None,
                pods: BTreeSet::new(),
                representative: false,
            });
        let stand_in =
            std::mem::take(&mut workload.representative).then(|| std::mem::take(&mut workload.pods));
        workload.pods.extend(pods.iter().map(|(_, uid)| uid.clone()));
        for uid in stand_in.into_iter().flatten() {
            remove_pod(&uid, inventory, events);
        }
    }
    for workload in inventory.workloads.values_mut() {
        // Nothing says how many there should be; that they are all there is the best guess.
        if workload.replicas.is_none() && workload.key.kind != WorkloadKind::DaemonSet {
            workload.replicas = u32::try_from(workload.pods.len()).ok();
        }
    }
}

pub(super) fn remove_pod(uid: &PodUid, inventory: &mut Inventory, events: &mut Vec<Event>) {
    events.push(Event::PodDeleted(uid.clone()));
    inventory.placeholders.remove(uid);
    for workload in inventory.workloads.values_mut() {
        workload.pods.remove(uid);
    }
}

fn add_services(services: Vec<Service>, slices: Vec<Endpoints>, inventory: &mut Inventory) {
    for mut service in services {
        let known = inventory.services.get(&service.key);
        service.endpoints = known.and_then(|service| service.endpoints.clone());
        inventory.services.insert(service.key.clone(), service);
    }
    let mut endpoints: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for Endpoints { service, slice } in slices {
        if let Some(key) = service {
            endpoints.entry(key).or_default().push(slice);
        }
    }
    for (key, slices) in endpoints {
        if let Some(service) = inventory.services.get_mut(&key) {
            service.endpoints = Some(slices);
        }
    }
}

/// Makes the namespaces that something is in but that no document describes.
fn describe_namespaces(inventory: &mut Inventory) {
    let state = &inventory.state;
    let pods = state.pods().values().map(|pod| &pod.key.namespace);
    let policies = state.policies().keys().map(|key| &key.namespace);
    let missing = pods
        .chain(policies)
        .filter(|name| !state.namespaces().contains_key(*name));
    let missing: BTreeSet<NamespaceName> = missing.cloned().collect();
    for name in missing {
        inventory
            .state
            .apply(Event::NamespaceApplied(undescribed(name.as_str())));
        inventory.undescribed.insert(name);
    }
}
