//! What Services offer of pods: the ports that clients use, and those that the pods listen on.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::rc::Rc;

use palisade_policy::model::Protocol;

use super::population::{Class, Population};
use super::selection::Selection;
use crate::inventory::{Inventory, Service, ServiceKey, ServicePort, TargetPort};

type Port = (Protocol, u16);

/// The Services that have pods.
pub(super) struct Offers<'a> {
    services: Vec<Served<'a>>,
    /// Of each class, the Services that it serves.
    of_class: Vec<Vec<usize>>,
    /// By the numbers of selections.
    known: RefCell<HashMap<usize, Rc<Offer<'a>>>>,
}

/// A Service with the pods that it selects.
pub(super) struct Served<'a> {
    pub(super) service: &'a Service,
    /// Never empty.
    pub(super) classes: Vec<&'a Class<'a>>,
}

/// What is offered of some pods.
#[derive(Default)]
pub(super) struct Offer<'a> {
    listening: HashSet<Port>,
    services: BTreeMap<Port, Offered<'a>>,
}

/// A port of a Service that stands for others.
pub(super) struct Offered<'a> {
    pub(super) key: &'a ServiceKey,
    pub(super) targets: BTreeSet<u16>,
}

impl<'a> Offers<'a> {
    pub(super) fn of_all(inventory: &'a Inventory, population: &'a Population<'a>) -> Self {
        let mut services = Vec::new();
        let mut of_class = vec![Vec::new(); population.classes().len()];
        for service in inventory.services.values() {
            let Some(selector) = &service.selector else {
                continue;
            };
            let classes = population.of_namespace(&service.key.namespace).iter();
            let classes = classes.filter(|class| class.is_workload() && selector.matches(class.labels));
            let classes: Vec<&Class<'_>> = classes.collect();
            if classes.is_empty() {
                continue;
            }
            for class in &classes {
                if let Some(served) = of_class.get_mut(class.number) {
                    served.push(services.len());
                }
            }
            services.push(Served { service, classes });
        }
        Self {
            services,
            of_class,
            known: RefCell::default(),
        }
    }

    /// The Services that have pods.
    pub(super) fn services(&self) -> &[Served<'a>] {
        &self.services
    }

    /// What is offered of the pods that a selector has found.
    pub(super) fn of(&self, found: &Selection<'a>) -> Rc<Offer<'a>> {
        if found.workloads.is_empty() || self.services.is_empty() {
            return Rc::default();
        }
        let mut known = self.known.borrow_mut();
        known
            .entry(found.number)
            .or_insert_with(|| Rc::new(self.offer(&found.workloads)))
            .clone()
    }

    fn offer(&self, found: &[&'a Class<'a>]) -> Offer<'a> {
        let mut offer = Offer::default();
        for class in found {
            let declared = class.ports.iter().map(|port| (port.protocol, port.number));
            offer.listening.extend(declared);
            let served = self.of_class.get(class.number).into_iter().flatten();
            for Served { service, .. } in served.filter_map(|place| self.services.get(*place)) {
                for port in &service.ports {
                    let targets = targets(port, class);
                    offer
                        .listening
                        .extend(targets.iter().map(|target| (port.protocol, *target)));
                    // Nothing stands between clients and the pods of a headless Service: they use whichever number works.
                    if service.headless {
                        offer.listening.insert((port.protocol, port.port));
                        continue;
                    }
                    let offered = offer.services.entry((port.protocol, port.port));
                    let offered = offered.or_insert_with(|| Offered {
                        key: &service.key,
                        targets: BTreeSet::new(),
                    });
                    offered.targets.extend(targets);
                }
            }
        }
        offer
    }
}

impl<'a> Offer<'a> {
    /// Whether any of the pods is known to listen on a port.
    pub(super) fn listens(&self, port: Port) -> bool {
        self.listening.contains(&port)
    }

    /// A Service with this port, whose pods listen on others.
    pub(super) fn service(&self, port: Port) -> Option<&Offered<'a>> {
        self.services
            .get(&port)
            .filter(|offered| !offered.targets.is_empty())
    }
}

/// The ports of some pods that a Service's port stands for.
pub(super) fn targets(port: &ServicePort, class: &Class<'_>) -> BTreeSet<u16> {
    match &port.target {
        TargetPort::Number(number) => BTreeSet::from([*number]),
        TargetPort::Name(name) => {
            let named = class.ports.iter();
            let named = named.filter(|declared| declared.name == *name && declared.protocol == port.protocol);
            named.map(|declared| declared.number).collect()
        }
    }
}
