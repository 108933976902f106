//! The cluster of a case: which pod is where, and what the symbols in its policies stand for.

use std::collections::BTreeMap;
use std::net::IpAddr;

use palisade_policy::cluster::{ClusterState, Event};
use palisade_policy::model::{
    ContainerPort, Labels, Namespace, NamespaceName, NodeName, Pod, PodKey, PodUid, PolicyKey, PortName,
    PortRange, Protocol,
};

use super::addresses::{AddressPair, Addresses, CLIENTS, Family, NetworkPair, NodePlan, SLOTS};
use super::document::{Phase, PodDocument, PolicyDocument, StepDocument};
use super::error::Problem;
use super::probe::Name;
use super::{Occupant, Place, Slot, spec};

/// The label that the API server gives to every namespace.
const NAMESPACE_NAME: &str = "kubernetes.io/metadata.name";

/// The objects of a case as they are after the steps so far.
pub(super) struct World<'a> {
    addresses: &'a Addresses,
    state: ClusterState,
    /// Where each pod is, or was.
    places: BTreeMap<PodKey, Place>,
    /// The slots that are given away, for good: a pod that is deleted keeps its slot until the case ends.
    slots: BTreeMap<Slot, PodKey>,
    /// The pods that are there.
    uids: BTreeMap<PodKey, PodUid>,
    /// The number of the case in the table: no two cases use one UID.
    number: usize,
    pods_made: u64,
    steps: i64,
}

impl<'a> World<'a> {
    pub(super) fn new(addresses: &'a Addresses, number: usize) -> Self {
        Self {
            addresses,
            number,
            state: ClusterState::default(),
            places: BTreeMap::new(),
            slots: BTreeMap::new(),
            uids: BTreeMap::new(),
            pods_made: 0,
            steps: 0,
        }
    }

    pub(super) fn state(&self) -> &ClusterState {
        &self.state
    }

    /// Takes in a step and says what it did.
    pub(super) fn change(&mut self, step: &StepDocument) -> Result<Vec<Event>, Problem> {
        let mut events = Vec::new();
        if self.steps == 0 {
            events.extend(
                self.addresses
                    .nodes
                    .values()
                    .map(|plan| Event::NodeApplied(plan.node.clone())),
            );
        }
        events.extend(
            step.namespaces
                .iter()
                .map(|(name, labels)| namespace(name, labels.as_ref())),
        );
        self.settle(&step.pods)?;
        for event in &events {
            self.state.apply(event.clone());
        }
        for (name, document) in &step.pods {
            self.pod(&parse_key(name)?, document.as_ref(), &mut events)?;
        }
        for document in &step.policies {
            events.push(self.policy(document)?);
        }
        for event in &events {
            self.state.apply(event.clone());
        }
        self.steps += 1;
        Ok(events)
    }

    /// Finds a place for every pod, first for those that do not share another's.
    fn settle(&mut self, pods: &BTreeMap<String, Option<PodDocument>>) -> Result<(), Problem> {
        let stated = || {
            pods.iter()
                .filter_map(|(name, document)| Some((name, document.as_ref()?)))
        };
        for (name, document) in stated().filter(|(_, document)| document.address_of.is_none()) {
            let (key, node) = (parse_key(name)?, self.node_name(&document.node)?);
            let place = if document.host_network {
                Place::Node(node)
            } else {
                let free = |index: &usize| {
                    let holder = self.slots.get(&Slot {
                        node: node.clone(),
                        index: *index,
                    });
                    holder.is_none_or(|holder| *holder == key)
                };
                let own = |index: &usize| {
                    self.slots.get(&Slot {
                        node: node.clone(),
                        index: *index,
                    }) == Some(&key)
                };
                let index = (0..SLOTS).find(own).or_else(|| (0..SLOTS).find(free));
                let slot = Slot {
                    node,
                    index: index.ok_or_else(|| Problem::Full(key.clone()))?,
                };
                self.slots.insert(slot.clone(), key.clone());
                Place::Pod(slot)
            };
            self.places.insert(key, place);
        }
        for (name, other) in
            stated().filter_map(|(name, document)| Some((name, document.address_of.as_ref()?)))
        {
            let place = self.places.get(&parse_key(other)?).cloned();
            let place = place.ok_or_else(|| Problem::Unknown {
                kind: "pod",
                name: other.clone(),
            })?;
            self.places.insert(parse_key(name)?, place);
        }
        Ok(())
    }

    fn pod(
        &mut self,
        key: &PodKey,
        document: Option<&PodDocument>,
        events: &mut Vec<Event>,
    ) -> Result<(), Problem> {
        let known = self.uids.get(key).cloned();
        let Some(document) = document else {
            let uid = known.ok_or_else(|| Problem::Unknown {
                kind: "pod",
                name: key.to_string(),
            })?;
            self.uids.remove(key);
            events.push(Event::PodDeleted(uid));
            return Ok(());
        };
        if !self.state.namespaces().contains_key(&key.namespace) {
            return Err(Problem::Unknown {
                kind: "namespace",
                name: key.namespace.to_string(),
            });
        }
        let before = known.as_ref().filter(|_| !document.reborn);
        let uid = before.cloned().unwrap_or_else(|| self.new_uid());
        let before = before.and_then(|uid| self.state.pods().get(uid));
        let created = document
            .created
            .or(before.map(|pod| pod.created))
            .unwrap_or(self.steps);
        let place = self.places.get(key).ok_or_else(|| Problem::Unknown {
            kind: "pod",
            name: key.to_string(),
        })?;
        let pod = Pod {
            uid: uid.clone(),
            key: key.clone(),
            labels: document
                .labels
                .iter()
                .map(|(key, value)| (key.as_str(), value.as_str()))
                .collect(),
            node: Some(self.node_name(&document.node)?),
            addresses: self.pair(place)?.both().to_vec(),
            ports: ports(document)?,
            host_network: document.host_network,
            finished: matches!(document.phase, Phase::Succeeded | Phase::Failed),
            created,
        };
        events.push(Event::PodApplied(pod));
        let old = self
            .uids
            .insert(key.clone(), uid.clone())
            .filter(|old| *old != uid);
        // Late, as a watch that was cut may deliver it: the deletion must not touch the new pod of that name.
        events.extend(old.map(Event::PodDeleted));
        Ok(())
    }

    fn new_uid(&mut self) -> PodUid {
        self.pods_made += 1;
        PodUid::from(format!(
            "00000000-0000-4000-8{:03}-{:012}",
            self.number, self.pods_made
        ))
    }

    fn policy(&self, document: &PolicyDocument) -> Result<Event, Problem> {
        let key = PolicyKey::new(document.namespace.as_str(), document.name.as_str());
        if !self.state.namespaces().contains_key(&key.namespace) {
            return Err(Problem::Unknown {
                kind: "namespace",
                name: document.namespace.clone(),
            });
        }
        match &document.spec {
            Some(spec) => spec::policy(&key, spec, document.broken, |symbol| self.symbol(symbol))
                .map(Event::PolicyApplied),
            None if self.state.policies().contains_key(&key) => Ok(Event::PolicyDeleted(key)),
            None => Err(Problem::Unknown {
                kind: "policy",
                name: key.to_string(),
            }),
        }
    }

    /// What `${symbol}` stands for: `shop/web.4`, `node:a.6`, `client1.4` are addresses; `pods.4`, `clients.6`,
    /// `services.4` networks, and `clients.4.bits` the length of a network's prefix.
    fn symbol(&self, symbol: &str) -> Result<String, Problem> {
        let unknown = || Problem::Symbol(symbol.to_owned());
        let (rest, bits) = symbol
            .strip_suffix(".bits")
            .map_or((symbol, false), |rest| (rest, true));
        let (name, family) = match (rest.strip_suffix(".4"), rest.strip_suffix(".6")) {
            (Some(name), _) => (name, Family::V4),
            (_, Some(name)) => (name, Family::V6),
            (None, None) => return Err(unknown()),
        };
        if let Some(network) = self.network(name) {
            let network = network.of(family);
            return Ok(if bits {
                network.prefix_len().to_string()
            } else {
                network.to_string()
            });
        }
        let place = if let Some(position) = CLIENTS.iter().position(|client| *client == name) {
            Place::Client(position)
        } else if let Some(node) = name.strip_prefix("node:") {
            Place::Node(self.node_name(node)?)
        } else {
            PodKey::parse(name)
                .and_then(|key| self.places.get(&key))
                .cloned()
                .ok_or_else(unknown)?
        };
        if bits {
            Err(unknown())
        } else {
            Ok(self.address(&place, family)?.to_string())
        }
    }

    fn network(&self, name: &str) -> Option<NetworkPair> {
        match name {
            "pods" => Some(self.addresses.pods),
            "clients" => Some(self.addresses.clients),
            "services" => Some(self.addresses.services),
            _ => None,
        }
    }

    /// Where a probe's end is. A pod must be there, alive, and the owner of its address.
    pub(super) fn place(&self, name: &Name) -> Result<Place, Problem> {
        match name {
            Name::Client(position) => Ok(Place::Client(*position)),
            Name::Node(node) => self.node_name(node).map(Place::Node),
            Name::Pod(key) => {
                let unknown = || Problem::Unknown {
                    kind: "running pod",
                    name: key.to_string(),
                };
                let uid = self.uids.get(key).ok_or_else(unknown)?;
                let place = self.places.get(key).ok_or_else(unknown)?;
                let alone = match place {
                    Place::Pod(_) => self.owner(place).is_some_and(|pod| pod.uid == *uid),
                    _ => self.state.pods().get(uid).is_some_and(|pod| !pod.finished),
                };
                if alone { Ok(place.clone()) } else { Err(unknown()) }
            }
        }
    }

    fn owner(&self, place: &Place) -> Option<&Pod> {
        self.state.owner(self.address(place, Family::V4).ok()?)
    }

    /// The pods that live in slots.
    pub(super) fn occupants(&self) -> BTreeMap<Slot, Occupant> {
        let occupied = self.slots.keys().filter_map(|slot| {
            let pod = self.owner(&Place::Pod(slot.clone()))?;
            Some((
                slot.clone(),
                Occupant {
                    uid: pod.uid.clone(),
                    key: pod.key.clone(),
                },
            ))
        });
        occupied.collect()
    }

    /// The slot of a pod that has one.
    pub(super) fn slot(&self, key: &PodKey) -> Option<Slot> {
        match self.places.get(key)? {
            Place::Pod(slot) => Some(slot.clone()),
            Place::Node(_) | Place::Client(_) => None,
        }
    }

    /// The address of a pod in a slot.
    pub(super) fn slot_address(&self, slot: &Slot, family: Family) -> Result<IpAddr, Problem> {
        self.address(&Place::Pod(slot.clone()), family)
    }

    /// The address of somebody.
    pub(super) fn address(&self, place: &Place, family: Family) -> Result<IpAddr, Problem> {
        Ok(self.pair(place)?.of(family))
    }

    fn pair(&self, place: &Place) -> Result<AddressPair, Problem> {
        let pair = match place {
            Place::Pod(slot) => self
                .plan(&slot.node)
                .and_then(|plan| plan.slots.get(slot.index))
                .copied(),
            Place::Node(node) => self.plan(node).map(|plan| plan.address),
            Place::Client(position) => self.addresses.client.get(*position).copied(),
        };
        pair.ok_or_else(|| Problem::Unknown {
            kind: "place",
            name: format!("{place:?}"),
        })
    }

    fn plan(&self, node: &NodeName) -> Option<&NodePlan> {
        self.addresses.nodes.values().find(|plan| plan.node.name == *node)
    }

    /// What the bed calls the node that the case calls `name`.
    pub(super) fn node_name(&self, name: &str) -> Result<NodeName, Problem> {
        let plan = self.addresses.nodes.get(name);
        let plan = plan.ok_or_else(|| Problem::Unknown {
            kind: "node",
            name: name.to_owned(),
        })?;
        Ok(plan.node.name.clone())
    }
}

fn parse_key(name: &str) -> Result<PodKey, Problem> {
    PodKey::parse(name).ok_or_else(|| Problem::Key(name.to_owned()))
}

fn namespace(name: &str, labels: Option<&BTreeMap<String, String>>) -> Event {
    let Some(given) = labels else {
        return Event::NamespaceDeleted(NamespaceName::from(name));
    };
    let mut labels: Labels = given
        .iter()
        .map(|(key, value)| (key.as_str(), value.as_str()))
        .collect();
    labels.insert(NAMESPACE_NAME, name);
    Event::NamespaceApplied(Namespace {
        name: NamespaceName::from(name),
        labels,
    })
}

fn ports(document: &PodDocument) -> Result<Vec<ContainerPort>, Problem> {
    let mut ports = Vec::new();
    for (text, numbers) in &document.ports {
        let wrong = || Problem::Port(text.clone());
        let (name, protocol) = text.split_once('/').ok_or_else(wrong)?;
        let protocol = Protocol::parse(protocol).ok_or_else(wrong)?;
        for number in numbers.numbers() {
            PortRange::single(*number)?;
            ports.push(ContainerPort {
                name: PortName::from(name),
                protocol,
                number: *number,
            });
        }
    }
    Ok(ports)
}
