//! From names to addresses.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use palisade_policy::model::{NamespaceName, Pod, PodKey};

use super::entrance::{Entrance, Whose, may_hide_sources};
use super::object::{Object, Wanted};
use super::{Crowd, End, Note, PodNote, Port, Question, Resolved, Unresolved, Way};
use crate::inventory::{Inventory, ServiceKey};

/// Finds out which addresses a question is about. Names without a namespace are looked up in `home`.
pub fn resolve(
    inventory: &Inventory,
    home: &NamespaceName,
    question: &Question,
) -> Result<Resolved, Unresolved> {
    let mut finder = Finder::new(inventory, home);
    let source = finder.object(&question.from)?;
    let (from, sources) = finder.source(&question.from, source)?;
    let destination = finder.object(&question.to)?;
    let both = finder.one_pod(&question.from, source);
    let both = both.zip(finder.one_pod(&question.to, destination));
    let Destination {
        title: to,
        ways,
        hides,
    } = finder.destination(&question.to, destination, &question.port)?;
    if !ways.iter().any(|way| meet(&sources, way)) {
        let family = None;
        return Err(Unresolved::NoCommonFamily { from, to, family });
    }
    if let Some((service, whom)) = hides
        && finder.has_any_of(whom, &sources)
    {
        finder.note(Note::SourceLost(service));
    }
    Ok(Resolved {
        itself: both.is_some_and(|(from, to)| from.uid == to.uid),
        from,
        to,
        port: match question.port {
            Port::Every => String::new(),
            Port::Numbers(..) | Port::Named(..) | Port::Icmp => question.port.to_string(),
        },
        sources,
        ways,
        notes: finder.into_notes(),
    })
}

/// Finds out which addresses an end means where it connects. Names without a namespace are looked up in `home`.
pub(crate) fn sources(inventory: &Inventory, home: &NamespaceName, end: &End) -> Result<Crowd, Unresolved> {
    let mut finder = Finder::new(inventory, home);
    let object = finder.object(end)?;
    let (_, sources) = finder.source(end, object)?;
    Ok(sources)
}

/// Whether there is a packet from one to the other, which needs one address family.
pub(super) fn meet(sources: &Crowd, way: &Way) -> bool {
    let families = |addresses: &mut dyn Iterator<Item = IpAddr>| -> BTreeSet<bool> {
        addresses.map(|address| address.is_ipv4()).collect()
    };
    let blocks = sources.blocks.iter().map(IpNet::addr);
    let from = families(&mut sources.addresses.iter().copied().chain(blocks));
    let blocks = way.blocks.iter().map(IpNet::addr);
    let to = families(&mut way.addresses.keys().copied().chain(blocks));
    from.intersection(&to).next().is_some()
}

/// Looks up ends and notes what is worth knowing about them.
pub(super) struct Finder<'a> {
    pub(super) inventory: &'a Inventory,
    home: &'a NamespaceName,
    /// Pods of which something is to be known.
    pods: BTreeMap<PodNote, BTreeSet<&'a PodKey>>,
    notes: BTreeSet<Note>,
}

/// Where a question leads.
struct Destination {
    /// In words.
    title: String,
    /// In one or several ways.
    ways: Vec<Way>,
    /// The Service on the way that may hide where connections come from, and whose.
    hides: Option<(ServiceKey, Whose)>,
}

/// An address that is asked about, and the pod that it is for.
pub(super) type Place<'a> = (IpAddr, Option<&'a Pod>);

impl<'a> Finder<'a> {
    fn new(inventory: &'a Inventory, home: &'a NamespaceName) -> Self {
        Self {
            inventory,
            home,
            pods: BTreeMap::new(),
            notes: BTreeSet::new(),
        }
    }

    pub(super) fn note(&mut self, note: Note) {
        self.notes.insert(note);
    }

    pub(super) fn note_pod(&mut self, what: PodNote, pod: &'a Pod) {
        self.pods.entry(what).or_default().insert(&pod.key);
    }

    fn into_notes(self) -> BTreeSet<Note> {
        let of_pods = self.pods.into_iter().filter_map(|(what, pods)| {
            let count = pods.len();
            let pod = pods.first().map(|pod| (*pod).clone())?;
            Some(Note::Pods { what, pod, count })
        });
        self.notes.into_iter().chain(of_pods).collect()
    }

    /// What a name stands for; `None` of an end that is no name.
    fn object(&self, end: &End) -> Result<Option<Object<'a>>, Unresolved> {
        match end {
            End::Named {
                namespace,
                kind,
                name,
            } => {
                let wanted = Wanted {
                    namespace: namespace.as_ref().unwrap_or(self.home),
                    kind: *kind,
                    name,
                };
                wanted.find(self.inventory).map(Some)
            }
            End::Anybody | End::Address(_) | End::Block(_) | End::Labelled { .. } => Ok(None),
        }
    }

    fn source(&mut self, end: &End, object: Option<Object<'a>>) -> Result<(String, Crowd), Unresolved> {
        if let End::Address(address) = end
            && let Some(service) = self.at_service_address(*address)
        {
            self.note(Note::ServiceAsSource(*address, service.key.clone()));
        }
        let (title, places, blocks) = self.direct(end, object)?;
        let crowd = Crowd {
            addresses: places.into_iter().map(|(address, _)| address).collect(),
            blocks: blocks.into_iter().collect(),
        };
        Ok((title, crowd))
    }

    fn destination(
        &mut self,
        end: &End,
        object: Option<Object<'a>>,
        port: &Port,
    ) -> Result<Destination, Unresolved> {
        if let Some(entrance) = self.entrance(end, object, port) {
            let Entrance {
                service,
                port,
                note,
                whose,
            } = entrance;
            self.notes.extend(note);
            let (title, ways) = self.through(service, &port)?;
            return Ok(Destination {
                title,
                ways,
                hides: may_hide_sources(service).then(|| (service.key.clone(), whose)),
            });
        }
        let (title, places, blocks) = self.direct(end, object)?;
        let way = self.way(&title, places, blocks, port)?;
        Ok(Destination {
            title,
            ways: vec![way],
            hides: None,
        })
    }

    /// An end by itself, with its title: the addresses that are somebody's, and the blocks that it means.
    fn direct(
        &mut self,
        end: &End,
        object: Option<Object<'a>>,
    ) -> Result<(String, Vec<Place<'a>>, Vec<IpNet>), Unresolved> {
        if let Some(object) = object {
            let (title, places) = self.places(object)?;
            return Ok((title, places, Vec::new()));
        }
        let (places, blocks) = match end {
            End::Anybody => (self.owned(|_| true), everywhere()),
            End::Block(block) => (self.owned(|address| block.contains(&address)), vec![*block]),
            End::Address(address) => (vec![self.place(*address)], Vec::new()),
            End::Labelled { namespace, selector } => {
                (self.labelled(end, namespace.as_ref(), selector)?, Vec::new())
            }
            End::Named { .. } => (Vec::new(), Vec::new()),
        };
        Ok((end_title(end), places, blocks))
    }

    /// The direct way to some places: each with what the port stands for there.
    pub(super) fn way(
        &mut self,
        title: &str,
        places: Vec<Place<'a>>,
        blocks: Vec<IpNet>,
        port: &Port,
    ) -> Result<Way, Unresolved> {
        let mut way = Way {
            by: None,
            addresses: BTreeMap::new(),
            blocks: BTreeSet::new(),
            block_ports: port.at(None),
        };
        if !way.block_ports.is_empty() {
            way.blocks.extend(blocks);
        }
        let named: BTreeSet<String> = places
            .iter()
            .filter_map(|(_, pod)| *pod)
            .flat_map(|pod| &pod.ports)
            .map(|port| port.name.to_string())
            .collect();
        for (address, pod) in places {
            let ports = port.at(pod);
            match (port, pod) {
                (Port::Named(name, _), Some(pod)) if ports.is_empty() => {
                    self.note_pod(PodNote::Undeclared(name.clone()), pod);
                }
                _ if ports.is_empty() => {}
                _ => {
                    way.addresses.insert(address, ports);
                }
            }
        }
        match port {
            Port::Named(name, _) if way.addresses.is_empty() => Err(Unresolved::NoNamedPort {
                title: title.to_owned(),
                port: name.clone(),
                known: named.into_iter().collect(),
            }),
            Port::Named(..) | Port::Numbers(..) | Port::Every | Port::Icmp => Ok(way),
        }
    }

    /// Whether connections of these come from some of a crowd.
    fn has_any_of(&self, whose: Whose, crowd: &Crowd) -> bool {
        match whose {
            Whose::All => true,
            Whose::Outside => {
                let is_outside = |address: &IpAddr| self.inventory.state.owner(*address).is_none();
                !crowd.blocks.is_empty() || crowd.addresses.iter().any(is_outside)
            }
        }
    }

    /// The pod that an end names, by its own name or by its address; not by what makes it or leads to it.
    fn one_pod(&self, end: &End, object: Option<Object<'a>>) -> Option<&'a Pod> {
        let pod = match (end, object) {
            (End::Address(address), _) => self.inventory.state.owner(*address)?,
            (_, Some(Object::Pod(pod))) => pod,
            (
                End::Anybody | End::Block(_) | End::Labelled { .. } | End::Named { .. },
                Some(Object::Workload(_) | Object::Service(_) | Object::Namespace(_) | Object::Node(_))
                | None,
            ) => return None,
        };
        (!self.inventory.is_representative(&pod.uid)).then_some(pod)
    }

    /// The addresses of an object, with its title.
    fn places(&mut self, object: Object<'a>) -> Result<(String, Vec<Place<'a>>), Unresolved> {
        let state = &self.inventory.state;
        let (title, pods): (String, Vec<&Pod>) = match object {
            Object::Pod(pod) => (format!("Pod {}", pod.key), vec![pod]),
            Object::Workload(workload) => {
                if workload.representative && workload.replicas != Some(1) {
                    self.note(Note::Representative {
                        workload: workload.key.clone(),
                        replicas: workload.replicas,
                    });
                }
                let pods = workload.pods.iter().filter_map(|uid| state.pods().get(uid));
                (workload.key.to_string(), pods.collect())
            }
            Object::Namespace(name) => {
                let pods = state.pods().values().filter(|pod| pod.key.namespace == *name);
                (format!("Namespace {name}"), pods.collect())
            }
            Object::Node(node) => {
                let title = format!("Node {}", node.name);
                if node.addresses.is_empty() {
                    let reasons = vec!["no address of it is known".to_owned()];
                    return Err(Unresolved::NobodyThere { title, reasons });
                }
                let places = node.addresses.iter().map(|address| self.place(*address));
                return Ok((title, places.collect::<Vec<_>>()));
            }
            Object::Service(service) => {
                let title = format!("the pods of Service {}", service.key);
                let places = self.backends(service, &title)?;
                return Ok((title, places));
            }
        };
        let places = self.of_pods(&title, pods)?;
        Ok((title, places))
    }

    /// The addresses of pods, as far as these can be asked about.
    pub(super) fn of_pods(
        &mut self,
        title: &str,
        pods: impl IntoIterator<Item = &'a Pod>,
    ) -> Result<Vec<Place<'a>>, Unresolved> {
        let state = &self.inventory.state;
        let mut places = Vec::new();
        let mut left_out = Vec::new();
        for pod in pods {
            let node = pod.node.as_ref().and_then(|node| state.nodes().get(node));
            let addresses: Vec<IpAddr> = match (pod.finished, pod.host_network) {
                (true, _) => Vec::new(),
                (false, true) if pod.addresses.is_empty() => {
                    node.map(|node| node.addresses.clone()).unwrap_or_default()
                }
                (false, true) => pod.addresses.clone(),
                // An address that a newer pod has as well is that one's.
                (false, false) => {
                    let own =
                        |address: &&IpAddr| state.owner(**address).is_some_and(|owner| owner.uid == pod.uid);
                    pod.addresses.iter().filter(own).copied().collect()
                }
            };
            let what = match (pod.finished, addresses.is_empty()) {
                (true, _) => Some(PodNote::Finished),
                (false, true) => Some(PodNote::NoAddress),
                (false, false) if pod.host_network => Some(PodNote::HostNetwork),
                (false, false) => self
                    .inventory
                    .placeholders
                    .contains(&pod.uid)
                    .then_some(PodNote::Placeholder),
            };
            if addresses.is_empty() {
                let who = format!("Pod {}", pod.key);
                let who = if who == title { "it" } else { &who };
                left_out.extend(what.as_ref().map(|what| format!("{who} {what}")));
            }
            if what == Some(PodNote::HostNetwork) && self.inventory.placeholders.contains(&pod.uid) {
                self.note_pod(PodNote::Placeholder, pod);
            }
            if let Some(what) = what {
                self.note_pod(what, pod);
            }
            places.extend(addresses.into_iter().map(|address| (address, Some(pod))));
        }
        if places.is_empty() {
            return Err(Unresolved::NobodyThere {
                title: title.to_owned(),
                reasons: left_out,
            });
        }
        Ok(places)
    }

    /// An address, with whose it is.
    pub(super) fn place(&mut self, address: IpAddr) -> Place<'a> {
        let state = &self.inventory.state;
        let owner = state.owner(address);
        if let Some(pod) = owner {
            self.note(Note::AddressOf(address, pod.key.clone()));
            if self.inventory.placeholders.contains(&pod.uid) {
                self.note_pod(PodNote::Placeholder, pod);
            }
        }
        let mut nodes = state.nodes().values();
        if let Some(node) = nodes.find(|node| node.addresses.contains(&address)) {
            self.note(Note::NodeAddress(address, node.name.clone()));
        }
        (address, owner)
    }

    /// The addresses of pods that a condition holds for.
    fn owned(&mut self, wanted: impl Fn(IpAddr) -> bool) -> Vec<Place<'a>> {
        let state = &self.inventory.state;
        let mut places = Vec::new();
        for pod in state.pods().values().filter(|pod| pod.is_workload()) {
            let before = places.len();
            let own = pod.addresses.iter().copied().filter(|address| wanted(*address));
            let own = own.filter(|address| state.owner(*address).is_some_and(|owner| owner.uid == pod.uid));
            places.extend(own.map(|address| (address, Some(pod))));
            if places.len() > before && self.inventory.placeholders.contains(&pod.uid) {
                self.note_pod(PodNote::Placeholder, pod);
            }
        }
        places
    }
}

/// All addresses of both families.
fn everywhere() -> Vec<IpNet> {
    let v4 = IpNet::new(Ipv4Addr::UNSPECIFIED.into(), 0);
    let v6 = IpNet::new(Ipv6Addr::UNSPECIFIED.into(), 0);
    [v4, v6].into_iter().filter_map(Result::ok).collect()
}

fn end_title(end: &End) -> String {
    match end {
        End::Anybody => "everybody".to_owned(),
        End::Address(_) | End::Block(_) | End::Labelled { .. } | End::Named { .. } => end.to_string(),
    }
}
