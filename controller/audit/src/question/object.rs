//! Finding the object that is meant, or what is nearly called so.

use std::sync::Arc;

use palisade_policy::model::{NamespaceName, Node, Pod, PodKey};

use super::{Kind, Unresolved};
use crate::inventory::{Inventory, Service, ServiceKey, Workload, WorkloadKey, WorkloadKind};
use crate::lint::hint::nearest;

/// An object that has pods or addresses.
#[derive(Clone, Copy, Debug)]
pub(super) enum Object<'a> {
    Pod(&'a Pod),
    Workload(&'a Workload),
    Service(&'a Service),
    Namespace(&'a NamespaceName),
    Node(&'a Node),
}

/// A name to look up.
pub(super) struct Wanted<'q> {
    /// The namespace; of no meaning for what is in none.
    pub(super) namespace: &'q NamespaceName,
    /// The kind; without one a pod, a workload or a Service will do.
    pub(super) kind: Option<Kind>,
    pub(super) name: &'q Arc<str>,
}

/// The kinds that a name without one may be of, the first that is there being meant.
fn kinds(kind: Option<Kind>) -> Vec<Kind> {
    kind.map_or_else(
        || {
            let workloads = WorkloadKind::ALL.into_iter().map(Kind::Workload);
            [Kind::Pod]
                .into_iter()
                .chain(workloads)
                .chain([Kind::Service])
                .collect()
        },
        |kind| vec![kind],
    )
}

impl Wanted<'_> {
    pub(super) fn find<'a>(&self, inventory: &'a Inventory) -> Result<Object<'a>, Unresolved> {
        let kinds = kinds(self.kind);
        let found = kinds.iter().find_map(|kind| self.of_kind(*kind, inventory));
        found.ok_or_else(|| Unresolved::NotFound {
            kind: self.kind,
            namespace: kinds
                .iter()
                .all(|kind| kind.is_namespaced())
                .then(|| self.namespace.clone()),
            name: self.name.to_string(),
            hint: self.hint(&kinds, inventory),
        })
    }

    fn of_kind<'a>(&self, kind: Kind, inventory: &'a Inventory) -> Option<Object<'a>> {
        let state = &inventory.state;
        match kind {
            Kind::Pod => {
                let key = PodKey::new(self.namespace.clone(), Arc::clone(self.name));
                // What stands for a workload is found as that.
                let called = state.pods().values().filter(|pod| pod.key == key);
                let called = called.filter(|pod| !inventory.is_representative(&pod.uid));
                // Of several by one name, the others are those that it has replaced.
                let newest = called.max_by_key(|pod| (!pod.finished, pod.created, &pod.uid));
                newest.map(Object::Pod)
            }
            Kind::Workload(kind) => {
                let key = WorkloadKey {
                    kind,
                    namespace: self.namespace.clone(),
                    name: Arc::clone(self.name),
                };
                inventory.workloads.get(&key).map(Object::Workload)
            }
            Kind::Service => {
                let key = ServiceKey {
                    namespace: self.namespace.clone(),
                    name: Arc::clone(self.name),
                };
                inventory.services.get(&key).map(Object::Service)
            }
            Kind::Namespace => {
                let name = NamespaceName::from(self.name.as_ref());
                state
                    .namespaces()
                    .get(&name)
                    .map(|namespace| Object::Namespace(&namespace.name))
            }
            Kind::Node => {
                let mut nodes = state.nodes().values();
                nodes
                    .find(|node| node.name.as_str() == self.name.as_ref())
                    .map(Object::Node)
            }
        }
    }

    /// Something of these kinds that is nearly called so here, is called so elsewhere, or is called so where it was nearly
    /// looked for.
    fn hint(&self, kinds: &[Kind], inventory: &Inventory) -> Option<String> {
        let names: Vec<(Option<&NamespaceName>, &str)> =
            kinds.iter().flat_map(|kind| names(*kind, inventory)).collect();
        let shown = |namespace: Option<&NamespaceName>, name: &str| {
            let kind = self
                .kind
                .map(|kind| format!("{}/", kind.word()))
                .unwrap_or_default();
            match namespace {
                Some(namespace) => format!("{namespace}/{kind}{name}"),
                None => format!("{kind}{name}"),
            }
        };
        let here = names
            .iter()
            .filter(|(namespace, _)| namespace.is_none_or(|namespace| namespace == self.namespace));
        if let Some(name) = nearest(self.name, here.map(|(_, name)| *name)) {
            let namespaced = kinds.iter().all(|kind| kind.is_namespaced());
            return Some(shown(namespaced.then_some(self.namespace), name));
        }
        let elsewhere = names.iter().filter(|(_, name)| *name == self.name.as_ref());
        let mut elsewhere: Vec<&NamespaceName> = elsewhere.filter_map(|(namespace, _)| *namespace).collect();
        elsewhere.sort();
        let alike = nearest(
            self.namespace.as_str(),
            elsewhere.iter().map(|namespace| namespace.as_str()),
        );
        let namespace = elsewhere
            .iter()
            .find(|namespace| Some(namespace.as_str()) == alike)
            .or_else(|| elsewhere.first())?;
        Some(shown(Some(*namespace), self.name))
    }
}

/// All objects of a kind: namespace and name.
fn names(kind: Kind, inventory: &Inventory) -> Vec<(Option<&NamespaceName>, &str)> {
    let state = &inventory.state;
    match kind {
        Kind::Pod => {
            let pods = state.pods().values();
            pods.map(|pod| (Some(&pod.key.namespace), pod.key.name.as_ref()))
                .collect()
        }
        Kind::Workload(kind) => {
            let keys = inventory.workloads.keys().filter(|key| key.kind == kind);
            keys.map(|key| (Some(&key.namespace), key.name.as_ref()))
                .collect()
        }
        Kind::Service => {
            let keys = inventory.services.keys();
            keys.map(|key| (Some(&key.namespace), key.name.as_ref()))
                .collect()
        }
        Kind::Namespace => state
            .namespaces()
            .keys()
            .map(|name| (None, name.as_str()))
            .collect(),
        Kind::Node => state.nodes().keys().map(|name| (None, name.as_str())).collect(),
    }
}
