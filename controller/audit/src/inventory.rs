//! What there is to ask about.
//!
//! [`Inventory`] is what decides about packets ([`ClusterState`]), and besides it what people use to name pods (workloads,
//! Services) and what documents say that has no meaning for packets but for lint.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;
use palisade_policy::cluster::{ClusterState, Event};
use palisade_policy::model::{
    Direction, NamespaceName, PodKey, PodUid, PolicyKey, PortName, Protocol, Selector,
};

/// Everything that answers are made of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Inventory {
    /// Pods, namespaces, policies and nodes.
    pub state: ClusterState,
    /// Services by namespace and name.
    pub services: BTreeMap<ServiceKey, Service>,
    /// What pods belong to.
    pub workloads: BTreeMap<WorkloadKey, Workload>,
    /// Pods whose addresses are not known: theirs are placeholders, so that they can be asked about.
    pub placeholders: BTreeSet<PodUid>,
    /// Namespaces that no document describes: only their name is known.
    pub undescribed: BTreeSet<NamespaceName>,
    /// Whether these are all objects of a cluster that matter here, because it listed them itself.
    pub whole: bool,
    /// Of each namespace, the kinds of the objects in it that were not read and may make pods: `Rollout (argoproj.io/v1alpha1)`.
    pub unread: BTreeMap<NamespaceName, BTreeSet<String>>,
    /// The networks that pods get their addresses from, as whoever asks says; those of nodes come to them.
    pub pod_networks: Vec<IpNet>,
    /// Policies whose document has no `policyTypes`. An API server fills them in, so only files show it.
    pub untyped: BTreeSet<PolicyKey>,
    /// Sections of policies that have rules although `policyTypes` does not name their direction: they have no effect.
    pub idle_sections: BTreeSet<(PolicyKey, Direction)>,
}

impl Inventory {
    /// Whether a pod was made from a template, to stand for all pods of a workload.
    pub fn is_representative(&self, pod: &PodUid) -> bool {
        let mut workloads = self.workloads.values();
        workloads.any(|workload| workload.representative && workload.pods.contains(pod))
    }

    /// All pods that were made from templates, each with the workload that it stands for.
    pub fn representatives(&self) -> HashMap<&PodUid, &Workload> {
        let templates = self.workloads.values().filter(|workload| workload.representative);
        templates
            .flat_map(|workload| workload.pods.iter().map(move |uid| (uid, workload)))
            .collect()
    }

    /// What is true of the cluster: an address that was made up for a pod is none.
    pub fn without_placeholders(&self) -> ClusterState {
        let mut state = self.state.clone();
        for uid in &self.placeholders {
            if let Some(pod) = self.state.pods().get(uid) {
                let mut pod = pod.clone();
                pod.addresses.clear();
                state.apply(Event::PodApplied(pod));
            }
        }
        state
    }
}

/// The place of a Service.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServiceKey {
    /// Its namespace.
    pub namespace: NamespaceName,
    /// Its name.
    pub name: Arc<str>,
}

impl fmt::Display for ServiceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// A Service, as far as it says who answers for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    /// Its place.
    pub key: ServiceKey,
    /// How it is reached.
    pub kind: ServiceKind,
    /// Its cluster addresses; empty for one without (headless, `ExternalName`), or where none is known yet.
    pub addresses: Vec<IpAddr>,
    /// The addresses by which it is reached from outside: its external ones, and its load balancer's.
    pub outside: Vec<IpAddr>,
    /// Whether it says that it has no address of its own: its name leads to the addresses of its pods.
    pub headless: bool,
    /// The pods that it selects, in its own namespace; `None`: its endpoints are somebody else's matter.
    pub selector: Option<Selector>,
    /// Its ports.
    pub ports: Vec<ServicePort>,
    /// Whether connections from outside keep their source (`externalTrafficPolicy: Local`).
    pub keeps_source: bool,
    /// What its `EndpointSlice`s list; `None` where there are no slices of it.
    pub endpoints: Option<Vec<EndpointSlice>>,
}

impl Service {
    /// The addresses that its `EndpointSlice`s list.
    pub fn listed(&self) -> impl Iterator<Item = IpAddr> {
        let slices = self.endpoints.iter().flatten();
        slices.flat_map(|slice| slice.addresses.iter().copied())
    }

    /// The port that a listed endpoint has for one of the Service's: `kube-proxy` leads there, whatever `targetPort` says. They
    /// belong together by their names (API documentation of `discovery.k8s.io/v1`). `None` where no slice says it.
    pub fn listed_port(&self, port: &ServicePort, address: IpAddr) -> Option<u16> {
        let slices = self.endpoints.iter().flatten();
        let mut ports = slices
            .filter(|slice| slice.addresses.contains(&address))
            .flat_map(|slice| &slice.ports);
        ports
            .find(|own| own.name == port.name && own.protocol == port.protocol)
            .map(|own| own.number)
    }
}

/// Some of the endpoints of a Service: addresses that all have the same ports.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EndpointSlice {
    /// The addresses.
    pub addresses: BTreeSet<IpAddr>,
    /// Their ports.
    pub ports: Vec<EndpointPort>,
}

/// A port that endpoints have.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EndpointPort {
    /// The name of the Service's port that it is for; a Service with one port may leave it out.
    pub name: Option<Arc<str>>,
    /// Its protocol.
    pub protocol: Protocol,
    /// Its number.
    pub number: u16,
}

/// How a Service is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ServiceKind {
    /// By an address within the cluster, or by name if it is headless.
    ClusterIp,
    /// By a port of every node as well.
    NodePort,
    /// By a load balancer as well.
    LoadBalancer,
    /// It is another name for something elsewhere.
    ExternalName,
}

/// One port of a Service.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServicePort {
    /// Its name; a Service with one port may leave it out.
    pub name: Option<Arc<str>>,
    /// Its protocol.
    pub protocol: Protocol,
    /// The Service's own number.
    pub port: u16,
    /// Which port of the pods it stands for.
    pub target: TargetPort,
    /// The port of every node, if it has one.
    pub node_port: Option<u16>,
}

/// Which port of a pod a Service's port stands for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TargetPort {
    /// The same on every pod.
    Number(u16),
    /// What each pod declares under this name.
    Name(PortName),
}

/// The kinds of objects that make pods.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum WorkloadKind {
    /// `apps/v1`
    Deployment,
    /// `apps/v1`
    StatefulSet,
    /// `apps/v1`
    DaemonSet,
    /// `apps/v1`
    ReplicaSet,
    /// `batch/v1`
    Job,
    /// `batch/v1`
    CronJob,
}

impl WorkloadKind {
    /// Every kind.
    pub const ALL: [Self; 6] = [
        Self::Deployment,
        Self::StatefulSet,
        Self::DaemonSet,
        Self::ReplicaSet,
        Self::Job,
        Self::CronJob,
    ];

    /// The API's spelling.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Deployment => "Deployment",
            Self::StatefulSet => "StatefulSet",
            Self::DaemonSet => "DaemonSet",
            Self::ReplicaSet => "ReplicaSet",
            Self::Job => "Job",
            Self::CronJob => "CronJob",
        }
    }
}

impl fmt::Display for WorkloadKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The place of a workload.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WorkloadKey {
    /// Its kind.
    pub kind: WorkloadKind,
    /// Its namespace.
    pub namespace: NamespaceName,
    /// Its name.
    pub name: Arc<str>,
}

impl WorkloadKey {
    /// `deployment/web`, as it is named in a question and in the names of classes.
    pub fn word(&self) -> String {
        format!("{}/{}", self.kind.as_str().to_lowercase(), self.name)
    }
}

impl fmt::Display for WorkloadKey {
    /// `Deployment shop/web`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}/{}", self.kind, self.namespace, self.name)
    }
}

/// What makes pods.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Workload {
    /// Its place.
    pub key: WorkloadKey,
    /// How many pods it wants; `None` where that follows from the cluster, as with a `DaemonSet`.
    pub replicas: Option<u32>,
    /// Its pods. From a template one stands for all: [`Workload::representative`].
    pub pods: BTreeSet<PodUid>,
    /// Whether its pods were made from its template, one for all replicas, because none of them is known.
    pub representative: bool,
}

/// An object that something can be said about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ObjectRef {
    /// A policy.
    Policy(PolicyKey),
    /// A pod.
    Pod(PodKey),
    /// A namespace.
    Namespace(NamespaceName),
    /// A Service.
    Service(ServiceKey),
    /// A workload.
    Workload(WorkloadKey),
}

impl fmt::Display for ObjectRef {
    /// `NetworkPolicy shop/web`, as error messages name objects.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Policy(key) => write!(f, "NetworkPolicy {key}"),
            Self::Pod(key) => write!(f, "Pod {key}"),
            Self::Namespace(name) => write!(f, "Namespace {name}"),
            Self::Service(key) => write!(f, "Service {key}"),
            Self::Workload(key) => write!(f, "{key}"),
        }
    }
}

/// Where an object, or a field of it, is written.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// The file, or `<stdin>`.
    pub file: String,
    /// The line, counted from 1, if it can be told.
    pub line: Option<u64>,
}

impl fmt::Display for Place {
    /// `web.yaml:12`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        self.line.map_or(Ok(()), |line| write!(f, ":{line}"))
    }
}

/// Tells where objects are written.
pub trait Places {
    /// Where an object is written; with a field (`spec.ingress[0].from[1]`), where that is, or the nearest that is around it.
    fn place(&self, object: &ObjectRef, field: Option<&str>) -> Option<Place>;
}
