//! A small cluster to ask about.
#![allow(
    dead_code,
    clippy::unwrap_used,
    reason = "every test file uses a part of this"
)]

use std::collections::BTreeMap;

use palisade_audit::inventory::{
    Inventory, Service, ServiceKey, ServiceKind, ServicePort, TargetPort, Workload, WorkloadKey, WorkloadKind,
};
use palisade_policy::cluster::{ClusterState, Event};
use palisade_policy::model::{PodKey, Policy, Protocol};
use palisade_policy::testing::builders::{namespace, node, pod, selector};

/// Two web pods behind a Service, a client of theirs, a probe in another namespace, and two nodes.
pub(crate) fn shop() -> Inventory {
    let web = |number: u8, port: u16| {
        let name = format!("shop/web-{number}");
        let web = pod(&name).labelled(&[("app", "web")]);
        web.at(&format!("10.0.0.{}", number + 1))
            .declaring("http", Protocol::Tcp, port)
    };
    let events = [
        Event::NamespaceApplied(namespace("shop", &[("team", "a")])),
        Event::NamespaceApplied(namespace("lab", &[("team", "b")])),
        Event::NodeApplied(node("a", &["192.168.0.1"])),
        Event::NodeApplied(node("b", &["192.168.0.2"])),
        Event::PodApplied(web(0, 8080)),
        Event::PodApplied(web(1, 8081).on("b")),
        Event::PodApplied(pod("shop/client").labelled(&[("app", "client")]).at("10.0.1.1")),
        Event::PodApplied(pod("lab/probe").labelled(&[("app", "probe")]).at("10.0.2.1")),
    ];
    let mut inventory = Inventory {
        state: ClusterState::from_events(events),
        ..Inventory::default()
    };
    let workload = Workload {
        key: deployment("shop/web"),
        replicas: Some(2),
        pods: ["shop/web-0".into(), "shop/web-1".into()].into(),
        representative: false,
    };
    inventory.workloads.insert(workload.key.clone(), workload);
    for service in [
        service("shop/web", &[("app", "web")]),
        service("shop/dns", &[("app", "client")]),
    ] {
        inventory.services.insert(service.key.clone(), service);
    }
    let web = inventory.services.get_mut(&service_key("shop/web")).unwrap();
    web.addresses = vec!["10.96.0.1".parse().unwrap()];
    inventory
}

/// The inventory after some events.
pub(crate) fn inventory(events: impl IntoIterator<Item = Event>, base: &Inventory) -> Inventory {
    let mut inventory = base.clone();
    for event in events {
        inventory.state.apply(event);
    }
    inventory
}

/// The shop with some policies.
pub(crate) fn guarded(policies: impl IntoIterator<Item = Policy>) -> Inventory {
    inventory(policies.into_iter().map(Event::PolicyApplied), &shop())
}

fn deployment(key: &str) -> WorkloadKey {
    let key = PodKey::parse(key).unwrap();
    WorkloadKey {
        kind: WorkloadKind::Deployment,
        namespace: key.namespace,
        name: key.name,
    }
}

fn service_key(key: &str) -> ServiceKey {
    let key = PodKey::parse(key).unwrap();
    ServiceKey {
        namespace: key.namespace,
        name: key.name,
    }
}

/// A pod that stands for all pods of a Deployment of its name.
pub(crate) fn stands_for(inventory: &mut Inventory, pod: &str, replicas: u32) {
    let workload = Workload {
        key: deployment(pod),
        replicas: Some(replicas),
        pods: [pod.into()].into(),
        representative: true,
    };
    inventory.workloads.insert(workload.key.clone(), workload);
}

/// A Service with the ports 80 (`http`, to the port of that name) and 443 (to 8443).
pub(crate) fn service(key: &str, labels: &[(&str, &str)]) -> Service {
    let port = |name: &str, port, target| ServicePort {
        name: Some(name.into()),
        protocol: Protocol::Tcp,
        port,
        target,
        node_port: None,
    };
    Service {
        key: service_key(key),
        kind: ServiceKind::ClusterIp,
        addresses: Vec::new(),
        outside: Vec::new(),
        headless: false,
        selector: Some(selector(labels)),
        ports: vec![
            port("http", 80, TargetPort::Name("http".into())),
            port("https", 443, TargetPort::Number(8443)),
        ],
        keeps_source: false,
        endpoints: None,
    }
}

/// The same without an address of its own.
pub(crate) fn headless(key: &str, labels: &[(&str, &str)]) -> Service {
    Service {
        headless: true,
        ..service(key, labels)
    }
}

/// Places of everything: a file for each namespace, lines by the length of the field.
pub(crate) struct Somewhere;

impl palisade_audit::inventory::Places for Somewhere {
    fn place(
        &self,
        object: &palisade_audit::inventory::ObjectRef,
        field: Option<&str>,
    ) -> Option<palisade_audit::inventory::Place> {
        let names: BTreeMap<&str, &str> = [("shop", "shop.yaml"), ("lab", "lab.yaml")].into();
        let object = object.to_string();
        let (_, file) = names
            .iter()
            .find(|(name, _)| object.contains(&format!("{name}/")))?;
        Some(palisade_audit::inventory::Place {
            file: (*file).to_owned(),
            line: Some(field.map_or(1, |field| field.len() as u64)),
        })
    }
}
