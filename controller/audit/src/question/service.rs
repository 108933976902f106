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
            let numbers: BTreeSet<u16> = match (&port.target, pod) {
                (TargetPort::Number(number), _) => BTreeSet::from([*number]),
                (TargetPort::Name(_), None) => BTreeSet::new(),
                (TargetPort::Name(name), Some(pod)) => {
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
                title: format!("no pod behind {by}"),
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
            (Some(endpoints), selector) => {
                if selector.is_none() {
                    self.note(Note::EndpointsOnly(service.key.clone()));
                }
                self.listed(endpoints, service)
            }
            (None, None) => return Err(Unresolved::NoEndpoints(service.key.clone())),
            (None, Some(selector)) => {
                let pods = self.inventory.state.pods().values();
                let pods = pods.filter(|pod| {
                    pod.key.namespace == service.key.namespace
                        && !pod.finished
                        && selector.matches(&pod.labels)
                });
                let pods: Vec<&Pod> = pods.collect();
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

    /// Endpoints by address. One that no workload has may be that of a pod in its node's network.
    fn listed(&mut self, endpoints: &BTreeSet<IpAddr>, service: &Service) -> Vec<Place<'a>> {
        let state = &self.inventory.state;
        let is_selected = |pod: &&Pod| {
            let mut selectors = service.selector.iter();
            pod.key.namespace == service.key.namespace
                && selectors.any(|selector| selector.matches(&pod.labels))
        };
        let in_nodes: Vec<&Pod> = state
            .pods()
            .values()
            .filter(|pod| pod.host_network && !pod.finished)
            .filter(is_selected)
            .collect();
        let mut places = Vec::new();
        for address in endpoints {
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
