//! How a destination leads to a Service: by its name, by one of its addresses, or by a port of every node.

use std::net::IpAddr;

use palisade_policy::model::PortRange;

use super::object::Object;
use super::resolve::Finder;
use super::{End, Note, Port};
use crate::inventory::{Service, ServiceKind, ServicePort};

/// A Service that a destination leads to.
pub(super) struct Entrance<'a> {
    /// The Service.
    pub(super) service: &'a Service,
    /// Which of its own ports are asked for.
    pub(super) port: Port,
    /// By what, where that is not its name.
    pub(super) note: Option<Note>,
    /// Whose connections it may hide the source of.
    pub(super) whose: Whose,
}

/// Whose connections are meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Whose {
    /// Those of addresses that no pod has.
    Outside,
    /// Everybody's: at a port of a node `kube-proxy` hides where those of pods come from as well.
    All,
}

impl<'a> Finder<'a> {
    /// The Service that answers at a destination, if one does; `object` is what a name was found to be.
    pub(super) fn entrance(
        &self,
        end: &End,
        object: Option<Object<'a>>,
        port: &Port,
    ) -> Option<Entrance<'a>> {
        let plain = |service, note| Entrance {
            service,
            port: port.clone(),
            note,
            whose: Whose::Outside,
        };
        match (end, object) {
            (_, Some(Object::Service(service))) => Some(plain(service, None)),
            (_, Some(Object::Node(_))) => self.node_port(port),
            (End::Address(address), _) => match self.at_service_address(*address) {
                Some(service) => {
                    let note = Note::ServiceAddress(*address, service.key.clone());
                    Some(plain(service, Some(note)))
                }
                None if self.is_of_node(*address) => self.node_port(port),
                None => None,
            },
            (End::Anybody | End::Block(_) | End::Labelled { .. } | End::Named { .. }, _) => None,
        }
    }

    /// A Service by one of its addresses: within the cluster, from outside, or at a load balancer. `kube-proxy` leads
    /// connections to any of them to its pods, before policies are asked.
    pub(super) fn at_service_address(&self, address: IpAddr) -> Option<&'a Service> {
        let mut services = self.inventory.services.values();
        services.find(|service| {
            let mut addresses = service.addresses.iter().chain(&service.outside);
            addresses.any(|own| *own == address)
        })
    }

    fn is_of_node(&self, address: IpAddr) -> bool {
        let mut nodes = self.inventory.state.nodes().values();
        nodes.any(|node| node.addresses.contains(&address))
    }

    /// The Service that answers on one port of every node.
    fn node_port(&self, port: &Port) -> Option<Entrance<'a>> {
        let Port::Numbers(protocol, range) = port else {
            return None;
        };
        let number = range.first();
        if number != range.last() {
            return None;
        }
        let is_asked = |own: &&ServicePort| own.protocol == *protocol && own.node_port == Some(number);
        let mut services = self.inventory.services.values();
        services.find_map(|service| {
            let own = service.ports.iter().find(is_asked)?;
            Some(Entrance {
                service,
                port: Port::Numbers(*protocol, PortRange::single(own.port).ok()?),
                note: Some(Note::NodePort(number, *protocol, service.key.clone())),
                whose: Whose::All,
            })
        })
    }
}

/// Whether a Service may hide where connections from outside come from.
pub(super) fn may_hide_sources(service: &Service) -> bool {
    match service.kind {
        ServiceKind::NodePort | ServiceKind::LoadBalancer => !service.keeps_source,
        ServiceKind::ClusterIp => !service.outside.is_empty() && !service.keeps_source,
        ServiceKind::ExternalName => false,
    }
}
