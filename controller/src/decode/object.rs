//! Pods, namespaces and nodes.

use std::net::IpAddr;

use k8s_openapi::api::core::v1 as api;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use palisade_audit::style::visible;
use palisade_policy::model::{ContainerPort, Defect, Labels, Namespace, Node, Pod, PodKey, PodUid};

use super::address::{address, network};
use super::field::Field;
use super::port::{number, protocol};
use super::{Decoded, keep};

/// The label that the API server puts on every namespace.
const NAMESPACE_NAME: &str = "kubernetes.io/metadata.name";

/// Where a namespaced object goes that names no namespace, as with `kubectl`.
const DEFAULT_NAMESPACE: &str = "default";

const SPEC: Field<'static> = Field::Root("spec");
const STATUS: Field<'static> = Field::Root("status");
const POD_IPS: Field<'static> = Field::Named(&STATUS, "podIPs");
const POD_CIDRS: Field<'static> = Field::Named(&SPEC, "podCIDRs");
const NODE_ADDRESSES: Field<'static> = Field::Named(&STATUS, "addresses");

/// A pod.
///
/// From files a UID may be absent: then it is the namespace and the name, which is as stable as files can be.
pub fn pod(object: &api::Pod) -> Decoded<Pod> {
    let mut defects = Vec::new();
    let (namespace, name) = key_of(&object.metadata);
    let key = PodKey::new(namespace, name);
    let spec = object.spec.as_ref();
    let status = object.status.as_ref();
    let phase = status.and_then(|status| status.phase.as_deref());
    let uid = object.metadata.uid.as_deref().filter(|uid| !uid.is_empty());
    let pod = Pod {
        uid: uid.map_or_else(|| PodUid::from(key.to_string()), PodUid::from),
        key,
        labels: labels(&object.metadata),
        node: spec
            .and_then(|spec| spec.node_name.as_deref())
            .filter(|name| !name.is_empty())
            .map(|name| (&*visible(name)).into()),
        addresses: status
            .map(|status| pod_addresses(status, &mut defects))
            .unwrap_or_default(),
        ports: spec
            .map(|spec| named_ports(spec, &SPEC, &mut defects))
            .unwrap_or_default(),
        host_network: spec.and_then(|spec| spec.host_network).unwrap_or_default(),
        finished: matches!(phase, Some("Succeeded" | "Failed")),
        created: object
            .metadata
            .creation_timestamp
            .as_ref()
            .map_or(0, |time| time.0.as_second()),
    };
    Decoded { object: pod, defects }
}

/// What is wrong with a pod that says more of itself than a pod may: it counts as one that cannot be read.
pub fn excess(pod: &Pod) -> Option<Defect> {
    let said = pod.said();
    (said > Pod::MOST_SAID).then(|| Defect {
        field: "metadata.labels".to_owned(),
        message: format!(
            "with the names of ports are {said} bytes, of which a pod may have no more than {}",
            Pod::MOST_SAID
        ),
    })
}

/// A namespace, always with the label of its name.
pub fn namespace(object: &api::Namespace) -> Decoded<Namespace> {
    let name = object.metadata.name.as_deref().unwrap_or_default();
    let mut labels = labels(&object.metadata);
    labels.insert(NAMESPACE_NAME, name);
    Decoded {
        object: Namespace {
            name: name.into(),
            labels,
        },
        defects: Vec::new(),
    }
}

/// A node.
pub fn node(object: &api::Node) -> Decoded<Node> {
    let mut defects = Vec::new();
    let addresses = object
        .status
        .iter()
        .flat_map(|status| status.addresses.iter().flatten())
        .enumerate();
    let addresses =
        addresses.filter(|(_, entry)| matches!(entry.type_.as_str(), "InternalIP" | "ExternalIP"));
    let mut own = Vec::new();
    for (index, entry) in addresses {
        let address = address(&entry.address, &NODE_ADDRESSES.entry(index).name("address"));
        own.extend(keep(address, &mut defects).filter(|address| !own.contains(address)));
    }
    Decoded {
        object: Node {
            name: object.metadata.name.as_deref().unwrap_or_default().into(),
            addresses: own,
            pod_networks: object
                .spec
                .as_ref()
                .map(|spec| pod_networks(spec, &mut defects))
                .unwrap_or_default(),
        },
        defects,
    }
}

/// The namespace and name of a namespaced object.
pub(super) fn key_of(metadata: &ObjectMeta) -> (&str, &str) {
    let namespace = metadata
        .namespace
        .as_deref()
        .filter(|namespace| !namespace.is_empty());
    (
        namespace.unwrap_or(DEFAULT_NAMESPACE),
        metadata.name.as_deref().unwrap_or_default(),
    )
}

/// The labels of an object. What only a file can have in them, control characters, is shown from here on.
pub(super) fn labels(metadata: &ObjectMeta) -> Labels {
    let labels = metadata.labels.iter().flatten();
    labels
        .map(|(key, value)| (visible(key), visible(value)))
        .collect()
}

/// The addresses of both fields; `podIP` repeats the first of `podIPs`, and in older objects stands alone.
fn pod_addresses(status: &api::PodStatus, defects: &mut Vec<Defect>) -> Vec<IpAddr> {
    let many = status.pod_ips.iter().flatten().enumerate();
    let many = many.map(|(index, entry)| address(&entry.ip, &POD_IPS.entry(index).name("ip")));
    let one = status
        .pod_ip
        .iter()
        .filter(|text| !text.is_empty())
        .map(|text| address(text, &STATUS.name("podIP")));
    let mut addresses = Vec::new();
    for result in many.chain(one) {
        addresses.extend(keep(result, defects).filter(|address| !addresses.contains(address)));
    }
    addresses
}

/// The ports of a pod's `spec` that have a name, over containers and init containers (a sidecar is one of these).
pub(super) fn named_ports(
    spec: &api::PodSpec,
    field: &Field<'_>,
    defects: &mut Vec<Defect>,
) -> Vec<ContainerPort> {
    let containers = [
        (field.name("containers"), spec.containers.as_slice()),
        (
            field.name("initContainers"),
            spec.init_containers.as_deref().unwrap_or_default(),
        ),
    ];
    let mut ports = Vec::new();
    for (list, containers) in containers {
        for (container, index) in containers.iter().zip(0_usize..) {
            let field = list.entry(index);
            let list = field.name("ports");
            for (port, index) in container.ports.iter().flatten().zip(0_usize..) {
                let decoded = container_port(port, &list.entry(index)).transpose();
                ports.extend(decoded.and_then(|result| keep(result, defects)));
            }
        }
    }
    ports.sort();
    ports.dedup();
    ports
}

fn container_port(object: &api::ContainerPort, field: &Field<'_>) -> Result<Option<ContainerPort>, Defect> {
    let Some(name) = object.name.as_deref().filter(|name| !name.is_empty()) else {
        return Ok(None);
    };
    Ok(Some(ContainerPort {
        name: (&*visible(name)).into(),
        protocol: protocol(object.protocol.as_deref(), &field.name("protocol"))?,
        number: number(object.container_port, &field.name("containerPort"))?,
    }))
}

/// `podCIDRs`, or the older `podCIDR` where it stands alone.
fn pod_networks(spec: &api::NodeSpec, defects: &mut Vec<Defect>) -> Vec<ipnet::IpNet> {
    let many = spec.pod_cidrs.iter().flatten().enumerate();
    let many = many.map(|(index, text)| network(text, &POD_CIDRS.entry(index)));
    let one = spec
        .pod_cidr
        .iter()
        .filter(|text| !text.is_empty())
        .map(|text| network(text, &SPEC.name("podCIDR")));
    let mut networks = Vec::new();
    for result in many.chain(one) {
        networks.extend(keep(result, defects).filter(|network| !networks.contains(network)));
    }
    networks
}
