//! Services and the endpoints behind them.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use k8s_openapi::api::core::v1 as api;
use k8s_openapi::api::discovery::v1 as discovery;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use palisade_audit::inventory::{
    EndpointPort, EndpointSlice, Service, ServiceKey, ServiceKind, ServicePort, TargetPort,
};
use palisade_audit::style::visible;
use palisade_policy::model::{Defect, Requirement, Selector};

use super::address::address;
use super::field::{Field, quoted};
use super::object::key_of;
use super::port::{number, port_name, protocol};
use super::{Decoded, keep};

/// The label of an `EndpointSlice` that names its Service (API documentation of `discovery.k8s.io/v1`).
const SERVICE_NAME: &str = "kubernetes.io/service-name";

const SPEC: Field<'static> = Field::Root("spec");
const PORTS: Field<'static> = Field::Named(&SPEC, "ports");
const CLUSTER_IPS: Field<'static> = Field::Named(&SPEC, "clusterIPs");
const EXTERNAL_IPS: Field<'static> = Field::Named(&SPEC, "externalIPs");
const INGRESS: Field<'static> = Field::Root("status.loadBalancer.ingress");
const ENDPOINTS: Field<'static> = Field::Root("endpoints");
const OWN_PORTS: Field<'static> = Field::Root("ports");

/// A Service. Its endpoints are in objects of their own: [`endpoints`].
pub fn service(object: &api::Service) -> Decoded<Service> {
    let mut defects = Vec::new();
    let (namespace, name) = key_of(&object.metadata);
    let absent = api::ServiceSpec::default();
    let spec = object.spec.as_ref().unwrap_or(&absent);
    let kind = keep(kind(spec.type_.as_deref()), &mut defects).unwrap_or(ServiceKind::ClusterIp);
    let selector = spec.selector.as_ref().filter(|selector| !selector.is_empty());
    let ports = spec.ports.iter().flatten().enumerate();
    let ports = ports.filter_map(|(index, port)| keep(service_port(port, &PORTS.entry(index)), &mut defects));
    let ports = ports.collect();
    let object = Service {
        key: ServiceKey {
            namespace: namespace.into(),
            name: name.into(),
        },
        kind,
        addresses: match kind {
            ServiceKind::ExternalName => Vec::new(),
            ServiceKind::ClusterIp | ServiceKind::NodePort | ServiceKind::LoadBalancer => {
                cluster_addresses(spec, &mut defects)
            }
        },
        outside: match kind {
            ServiceKind::ExternalName => Vec::new(),
            ServiceKind::ClusterIp | ServiceKind::NodePort | ServiceKind::LoadBalancer => {
                outside_addresses(spec, object.status.as_ref(), &mut defects)
            }
        },
        headless: is_headless(spec),
        // An ExternalName has no endpoints, whatever it selects.
        selector: selector.filter(|_| kind != ServiceKind::ExternalName).map(all_of),
        ports,
        keeps_source: spec.external_traffic_policy.as_deref() == Some("Local"),
        endpoints: None,
    };
    Decoded { object, defects }
}

fn kind(text: Option<&str>) -> Result<ServiceKind, Defect> {
    match text {
        None | Some("ClusterIP") => Ok(ServiceKind::ClusterIp),
        Some("NodePort") => Ok(ServiceKind::NodePort),
        Some("LoadBalancer") => Ok(ServiceKind::LoadBalancer),
        Some("ExternalName") => Ok(ServiceKind::ExternalName),
        Some(other) => {
            let rule = "it should be ClusterIP, NodePort, LoadBalancer or ExternalName";
            let message = format!("{} is no type of Service: {rule}", quoted(other));
            Err(SPEC.name("type").defect(message))
        }
    }
}

fn all_of(labels: &BTreeMap<String, String>) -> Selector {
    let labels = labels.iter();
    labels
        .map(|(key, value)| Requirement::equals(visible(key), visible(value)))
        .collect()
}

fn is_headless(spec: &api::ServiceSpec) -> bool {
    let stated = spec.cluster_ips.iter().flatten().chain(&spec.cluster_ip);
    stated.into_iter().any(|text| text == "None")
}

/// `clusterIPs`, or `clusterIP` where it stands alone; `None` there is how a headless Service says that it has no address.
fn cluster_addresses(spec: &api::ServiceSpec, defects: &mut Vec<Defect>) -> Vec<IpAddr> {
    let stated = |text: &&String| !text.is_empty() && *text != "None";
    let many = spec.cluster_ips.iter().flatten().enumerate();
    let many = many.filter(|(_, text)| stated(text));
    let many = many.map(|(index, text)| address(text, &CLUSTER_IPS.entry(index)));
    let one = spec.cluster_ip.iter().filter(stated);
    let one = one.map(|text| address(text, &SPEC.name("clusterIP")));
    let mut addresses = Vec::new();
    for result in many.chain(one) {
        addresses.extend(keep(result, defects).filter(|address| !addresses.contains(address)));
    }
    addresses
}

/// `externalIPs`, and what the load balancer was given. One whose traffic comes by way of its own addresses (`ipMode: Proxy`) is
/// somewhere else for the pods of the cluster, which connect to it as to any other.
fn outside_addresses(
    spec: &api::ServiceSpec,
    status: Option<&api::ServiceStatus>,
    defects: &mut Vec<Defect>,
) -> Vec<IpAddr> {
    let external = spec.external_ips.iter().flatten().enumerate();
    let external = external.map(|(index, text)| address(text, &EXTERNAL_IPS.entry(index)));
    let balancer = status.and_then(|status| status.load_balancer.as_ref());
    let given = balancer
        .and_then(|balancer| balancer.ingress.as_deref())
        .unwrap_or_default();
    let given = given.iter().enumerate();
    let given = given.filter(|(_, given)| given.ip_mode.as_deref() != Some("Proxy"));
    let given = given.filter_map(|(index, given)| {
        let text = given.ip.as_deref()?;
        Some(address(text, &INGRESS.entry(index).name("ip")))
    });
    let mut addresses = Vec::new();
    for result in external.chain(given) {
        addresses.extend(keep(result, defects).filter(|address| !addresses.contains(address)));
    }
    addresses
}

fn service_port(object: &api::ServicePort, field: &Field<'_>) -> Result<ServicePort, Defect> {
    let port = number(object.port, &field.name("port"))?;
    let target = field.name("targetPort");
    Ok(ServicePort {
        name: name_of(object.name.as_deref()),
        protocol: protocol(object.protocol.as_deref(), &field.name("protocol"))?,
        port,
        target: match &object.target_port {
            // 0 is what clients send that cannot leave it out (API documentation of `targetPort`: defaults to `port`).
            None | Some(IntOrString::Int(0)) => TargetPort::Number(port),
            Some(IntOrString::Int(target_port)) => TargetPort::Number(number(*target_port, &target)?),
            Some(IntOrString::String(name)) => TargetPort::Name(port_name(name, &target)?),
        },
        node_port: match object.node_port {
            None | Some(0) => None,
            Some(port) => Some(number(port, &field.name("nodePort"))?),
        },
    })
}

/// What one slice lists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoints {
    /// The Service; `None` for a slice that belongs to none.
    pub service: Option<ServiceKey>,
    /// Its endpoints, those that are not ready included: they get connections of those that found them by name.
    pub slice: EndpointSlice,
}

/// An `EndpointSlice`. Host names (`addressType: FQDN`) are no addresses.
pub fn endpoints(object: &discovery::EndpointSlice) -> Decoded<Endpoints> {
    let mut defects = Vec::new();
    let (namespace, _) = key_of(&object.metadata);
    let labels = object.metadata.labels.as_ref();
    let service = labels
        .and_then(|labels| labels.get(SERVICE_NAME))
        .filter(|name| !name.is_empty());
    let mut addresses = BTreeSet::new();
    for (index, endpoint) in object
        .endpoints
        .iter()
        .enumerate()
        .filter(|_| object.address_type != "FQDN")
    {
        let entry = ENDPOINTS.entry(index);
        let list = entry.name("addresses");
        for (index, text) in endpoint.addresses.iter().enumerate() {
            addresses.extend(keep(address(text, &list.entry(index)), &mut defects));
        }
    }
    let ports = object.ports.iter().flatten().enumerate();
    let ports =
        ports.filter_map(|(index, port)| keep(endpoint_port(port, &OWN_PORTS.entry(index)), &mut defects)?);
    let ports = ports.collect();
    let object = Endpoints {
        service: service.map(|name| ServiceKey {
            namespace: namespace.into(),
            name: name.as_str().into(),
        }),
        slice: EndpointSlice { addresses, ports },
    };
    Decoded { object, defects }
}

/// A port of endpoints; `None` for one without a number, which says nothing (API documentation of `EndpointPort`).
fn endpoint_port(
    object: &discovery::EndpointPort,
    field: &Field<'_>,
) -> Result<Option<EndpointPort>, Defect> {
    let protocol = protocol(object.protocol.as_deref(), &field.name("protocol"))?;
    let port = object
        .port
        .map(|port| number(port, &field.name("port")))
        .transpose()?;
    Ok(port.map(|number| EndpointPort {
        name: name_of(object.name.as_deref()),
        protocol,
        number,
    }))
}

/// The name of a port; the empty one is none.
fn name_of(name: Option<&str>) -> Option<Arc<str>> {
    name.filter(|name| !name.is_empty())
        .map(|name| visible(name).into())
}
