//! Destinations behind a Service: who answers, and on which of their ports.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use palisade_policy::model::{Pod, PortRange, Protocol};
use palisade_policy::reach::PortSet;

use super::resolve::{Finder, Place};
use super::{Note, PodNote, Port, Unresolved, Way};
use crate::inventory::{Service, ServiceKind, ServicePort, TargetPort};

impl<'a> Finder<'a> {
    /// The ways through a Service: one for each of its ports that is asked for.
    pub(super) fn through(
        &mut self,
        service: &'a Service,
        port: &Port,
    ) -> Result<(String, Vec<Way>), Unresolved> {
        let title = format!("Service {}", service.key);
        let places = self.backends(service, &title)?;
        if service.headless {
            return self.headless(service, title, places, port);
        }
        let ports = service.ports.iter();
        let asked: Vec<&ServicePort> = match port {
            Port::Every => ports.collect(),
            Port::Icmp => return Err(Unresolved::ServiceWithoutPorts(service.key.clone())),
            Port::Numbers(protocol, range) => ports
                .filter(|port| port.protocol == *protocol && range.contains(port.port))
                .collect(),
            Port::Named(name, protocol) => ports
                .filter(|port| port.name.as_deref() == Some(name.as_str()))
                .filter(|port| protocol.is_none_or(|protocol| protocol == port.protocol))
                .collect(),
        };
        let all_are_there = match port {
            Port::Numbers(_, range) => asked.len() == width(*range),
            Port::Every | Port::Named(..) | Port::Icmp => !asked.is_empty(),
        };
        if !all_are_there {
            return Err(Unresolved::NoServicePort {
                service: service.key.clone(),
                port: port.clone(),
                known: service.ports.iter().map(described).collect(),
            });
        }
        let mut ways = Vec::new();
        let mut dead = None;
        for asked in asked {
            match self.port_of(service, asked, &places) {
                Ok(way) => ways.push(way),
                // Of all ports, one that no pod has says nothing of the others.
                Err(error) if *port == Port::Every => {
                    self.note(Note::DeadPort(service.key.clone(), described(asked)));
                    dead = Some(error);
                }
                Err(error) => return Err(error),
            }
        }
        match dead {
            Some(error) if ways.is_empty() => Err(error),
            Some(_) | None => Ok((title, ways)),
        }
    }

    /// The way by one port: each pod with the port that it stands for there.
    fn port_of(
        &mut self,
        service: &Service,
        port: &ServicePort,
        places: &[Place<'a>],
    ) -> Result<Way, Unresolved> {
        let mut addresses: BTreeMap<IpAddr, PortSet> = BTreeMap::new();
        for (address, pod) in places {
            let listed = service.listed_port(port, *address);
            let numbers: BTreeSet<u16> = match (listed, &port.target, pod) {
                (Some(number), _, _) => BTreeSet::from([number]),
                (None, TargetPort::Number(number), _) => BTreeSet::from([*number]),
                (None, TargetPort::Name(_), None) => BTreeSet::new(),
                (None, TargetPort::Name(name), Some(pod)) => {
                    let numbers = declared(pod, name.as_str(), port.protocol);
                    if numbers.is_empty() {
                        self.note_pod(PodNote::Undeclared(name.clone()), pod);
                    }
                    numbers
                }
            };
            if !numbers.is_empty() {
                addresses.insert(*address, PortSet::numbers(port.protocol, numbers));
            }
        }
        let target = match &port.target {
            TargetPort::Number(number) => number.to_string(),
            TargetPort::Name(name) => name.to_string(),
        };
        let by = format!("port {}/{} of Service {}", port.port, port.protocol, service.key);
        if let (true, TargetPort::Name(name)) = (addresses.is_empty(), &port.target) {
            let pods = places.iter().filter_map(|(_, pod)| *pod);
            let known: BTreeSet<String> = pods
                .flat_map(|pod| &pod.ports)
                .map(|port| port.name.to_string())
                .collect();
            return Err(Unresolved::NoNamedPort {
                title: by,
                port: name.clone(),
                known: known.into_iter().collect(),
            });
        }
        Ok(Way {
            by: Some(format!("{by} (targetPort {target})")),
            addresses,
            ..Way::default()
        })
    }

    /// A headless Service is a name for its pods: nothing translates ports. A port of its own by name is its target, which is
    /// what the record in DNS (SRV) says.
    fn headless(
        &mut self,
        service: &'a Service,
        title: String,
        places: Vec<Place<'a>>,
        port: &Port,
    ) -> Result<(String, Vec<Way>), Unresolved> {
        self.note(Note::Headless(service.key.clone()));
        if let Port::Named(name, protocol) = port {
            let called = |port: &&ServicePort| port.name.as_deref() == Some(name.as_str());
            let of_protocol = |port: &&ServicePort| protocol.is_none_or(|protocol| protocol == port.protocol);
            let own = service
                .ports
                .iter()
                .find(|port| called(port) && of_protocol(port));
            if let Some(own) = own {
                let way = self.port_of(service, own, &places)?;
                return Ok((title, vec![way]));
            }
        }
        let way = self.way(&title, places, Vec::new(), port)?;
        Ok((title, vec![way]))
    }

    /// Who answers for a Service: what its `EndpointSlices` list, or else the pods that it selects.
    pub(super) fn backends(
        &mut self,
        service: &'a Service,
        title: &str,
    ) -> Result<Vec<Place<'a>>, Unresolved> {
        if service.kind == ServiceKind::ExternalName {
            return Err(Unresolved::ExternalName(service.key.clone()));
        }
        let mut places = match (&service.endpoints, &service.selector) {
            (Some(_), None) => {
                self.note(Note::EndpointsOnly(service.key.clone()));
                self.listed(service)
            }
            (Some(_), Some(_)) => {
                let listed = self.listed(service);
                self.with_placeholders(service, title, listed)?
            }
            (None, None) => return Err(Unresolved::NoEndpoints(service.key.clone())),
            (None, Some(selector)) => {
                let pods = self.selected(service);
                if pods.is_empty() {
                    let reasons = vec![format!("its selector selects no pod: {selector}")];
                    let title = title.to_owned();
                    return Err(Unresolved::NobodyThere { title, reasons });
                }
                self.of_pods(title, pods)?
            }
        };
        if !service.addresses.is_empty() {
            let has_family = |address: &IpAddr| {
                let mut own = service.addresses.iter();
                own.any(|one| one.is_ipv4() == address.is_ipv4())
            };
            places.retain(|(address, _)| has_family(address));
        }
        if places.is_empty() {
            let reasons = vec!["it has no endpoint".to_owned()];
            let title = title.to_owned();
            return Err(Unresolved::NobodyThere { title, reasons });
        }
        Ok(places)
    }

    /// The pods that a Service selects.
    fn selected(&self, service: &Service) -> Vec<&'a Pod> {
        let is_selected = |pod: &&Pod| {
            let mut selectors = service.selector.iter();
            pod.key.namespace == service.key.namespace
                && !pod.finished
                && selectors.any(|selector| selector.matches(&pod.labels))
        };
        self.inventory.state.pods().values().filter(is_selected).collect()
    }

    /// Where a listed address is no known pod's, but the selector selects pods whose addresses are not known, these are meant:
    /// slices may have been read without the pods that they list.
    fn with_placeholders(
        &mut self,
        service: &Service,
        title: &str,
        listed: Vec<Place<'a>>,
    ) -> Result<Vec<Place<'a>>, Unresolved> {
        let is_placeholder = |pod: &&Pod| self.inventory.placeholders.contains(&pod.uid);
        let pods: Vec<&Pod> = self
            .selected(service)
            .into_iter()
            .filter(is_placeholder)
            .collect();
        if pods.is_empty() || listed.iter().all(|(_, pod)| pod.is_some()) {
            return Ok(listed);
        }
        let unknown = self.of_pods(title, pods)?;
        let known = listed.into_iter().filter(|(_, pod)| pod.is_some());
        Ok(known.chain(unknown).collect())
    }

    /// Endpoints by address. One that no workload has may be that of a pod in its node's network.
    fn listed(&mut self, service: &'a Service) -> Vec<Place<'a>> {
        let state = &self.inventory.state;
        let in_nodes = self.selected(service).into_iter().filter(|pod| pod.host_network);
        let in_nodes: Vec<&Pod> = in_nodes.collect();
        let addresses: BTreeSet<IpAddr> = service.listed().collect();
        let mut places = Vec::new();
        for address in &addresses {
            let owner = state.owner(*address);
            if let Some(pod) = owner.filter(|pod| self.inventory.placeholders.contains(&pod.uid)) {
                self.note_pod(PodNote::Placeholder, pod);
            }
            let in_node = in_nodes
                .iter()
                .find(|pod| pod.addresses.contains(address))
                .copied();
            if let Some(pod) = in_node.filter(|_| owner.is_none()) {
                self.note_pod(PodNote::HostNetwork, pod);
            }
            places.push((*address, owner.or(in_node)));
        }
        places
    }
}

/// How many ports a range has.
fn width(range: PortRange) -> usize {
    usize::from(range.last()) - usize::from(range.first()) + 1
}

fn declared(pod: &Pod, name: &str, protocol: Protocol) -> BTreeSet<u16> {
    let ports = pod.ports.iter();
    ports
        .filter(|port| port.name.as_str() == name && port.protocol == protocol)
        .map(|port| port.number)
        .collect()
}

/// `80/TCP (http)`
fn described(port: &ServicePort) -> String {
    match &port.name {
        Some(name) => format!("{}/{} ({name})", port.port, port.protocol),
        None => format!("{}/{}", port.port, port.protocol),
    }
}
