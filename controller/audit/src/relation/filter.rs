//! Which ends are asked for.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;
use palisade_policy::model::{NamespaceName, Pod, PodKey, Requirement, Selector};
use palisade_policy::reach::{Class, End};
use thiserror::Error;

use super::Relation;
use super::name::members;
use super::range::Addresses;
use crate::inventory::{Inventory, ServiceKey, WorkloadKey, WorkloadKind};

/// Ends as people name them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Filter {
    /// Everybody: `any`.
    Any,
    /// All pods of a namespace: `shop`, `shop/*`.
    Namespace(NamespaceName),
    /// A pod: `shop/web-0`.
    Pod(PodKey),
    /// The pods of a workload: `deployment/web`, `shop/deployment/web`.
    Workload(WorkloadKey),
    /// The pods of a Service: `service/web`, `shop/service/web`.
    Service(ServiceKey),
    /// Pods by their labels: `app=web,tier=front` in all namespaces, `shop/app=web` in one.
    Labels(Option<NamespaceName>, Selector),
    /// Addresses: `10.0.0.7`, `10.0.0.0/8`. Pods count by their own.
    Addresses(IpNet),
}

/// An end that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error(
    "{0:?} names no end: wanted NAMESPACE, NAMESPACE/POD, KIND/NAME, NAMESPACE/KIND/NAME, LABEL=VALUE, NAMESPACE/LABEL=VALUE, an address, a CIDR, or any"
)]
pub struct InvalidFilter(String);

impl Filter {
    /// Reads an end. Names of workloads and Services without a namespace are looked up in `home`.
    pub fn parse(text: &str, home: &NamespaceName) -> Result<Self, InvalidFilter> {
        let invalid = || InvalidFilter(text.to_owned());
        if text == "any" {
            return Ok(Self::Any);
        }
        let network = text
            .parse::<IpAddr>()
            .map(IpNet::from)
            .or_else(|_| text.parse::<IpNet>());
        if let Ok(network) = network {
            return Ok(Self::Addresses(network.trunc()));
        }
        if text.contains('=') {
            // A label's key may have a slash too: `app.kubernetes.io/name=web`.
            let (key, _) = text.split_once('=').unwrap_or_default();
            let (namespace, labels) = match key.split_once('/') {
                Some((namespace, _)) if !namespace.contains('.') => {
                    let labels = text.get(namespace.len() + 1..).unwrap_or_default();
                    (Some(namespace.into()), labels)
                }
                Some(_) | None => (None, text),
            };
            return Ok(Self::Labels(namespace, selector(labels).ok_or_else(invalid)?));
        }
        let words: Vec<&str> = text.split('/').collect();
        if words.iter().any(|word| word.is_empty()) {
            return Err(invalid());
        }
        match words.as_slice() {
            [namespace] | [namespace, "*"] => Ok(Self::Namespace((*namespace).into())),
            [kind, name] => match Self::kind(home.clone(), kind, name) {
                Some(filter) => Ok(filter),
                None => Ok(Self::Pod(PodKey::new(*kind, *name))),
            },
            [namespace, kind, name] => Self::kind((*namespace).into(), kind, name).ok_or_else(invalid),
            _ => Err(invalid()),
        }
    }

    fn kind(namespace: NamespaceName, kind: &str, name: &str) -> Option<Self> {
        match kind.to_lowercase().as_str() {
            "service" | "services" | "svc" => Some(Self::Service(ServiceKey {
                namespace,
                name: name.into(),
            })),
            "pod" | "pods" | "po" => Some(Self::Pod(PodKey::new(namespace, name))),
            kind => Some(Self::Workload(WorkloadKey {
                kind: workload_kind(kind)?,
                namespace,
                name: name.into(),
            })),
        }
    }

    /// The ends of a relation that are meant. Of a class all pods are told, as policies do not tell them apart.
    pub fn ends(&self, relation: &Relation<'_>) -> BTreeSet<End> {
        let (reach, inventory) = (&relation.reach, relation.inventory);
        let classes = reach.classes().iter().enumerate();
        let pods = classes
            .filter(|(_, class)| self.has_class(inventory, class))
            .map(|(index, _)| End::Pods(index));
        let ranges = reach.outside().iter().enumerate();
        let outside = ranges
            .filter(|(_, range)| match self {
                Self::Any => true,
                Self::Addresses(network) => {
                    let asked = Addresses::of(range.family, [network]);
                    asked.overlaps(&Addresses::of(range.family, &range.blocks))
                }
                Self::Namespace(_)
                | Self::Pod(_)
                | Self::Workload(_)
                | Self::Service(_)
                | Self::Labels(..) => false,
            })
            .map(|(index, _)| End::Outside(index));
        match self {
            // An address that a pod has is that pod, and nobody outside.
            Self::Addresses(network) if network.prefix_len() == network.max_prefix_len() => {
                reach.end(network.addr()).into_iter().collect()
            }
            _ => pods.chain(outside).collect(),
        }
    }

    fn has_class(&self, inventory: &Inventory, class: &Class) -> bool {
        match self {
            Self::Any => true,
            Self::Namespace(namespace) => class.namespace == *namespace,
            Self::Pod(key) => {
                class.namespace == key.namespace && members(inventory, class).any(|pod| pod.key == *key)
            }
            Self::Workload(key) => {
                let workload = inventory.workloads.get(key);
                workload.is_some_and(|workload| {
                    class
                        .members
                        .iter()
                        .any(|member| workload.pods.contains(&member.uid))
                })
            }
            Self::Service(key) => {
                let selector = inventory
                    .services
                    .get(key)
                    .and_then(|service| service.selector.as_ref());
                let selected = |pod: &Pod| selector.is_some_and(|selector| selector.matches(&pod.labels));
                class.namespace == key.namespace && members(inventory, class).any(selected)
            }
            Self::Labels(namespace, selector) => {
                namespace
                    .as_ref()
                    .is_none_or(|namespace| class.namespace == *namespace)
                    && members(inventory, class).any(|pod| selector.matches(&pod.labels))
            }
            Self::Addresses(network) => class.members.iter().any(|member| {
                let v4 = member.v4.map(IpAddr::from);
                let v6 = member.v6.map(IpAddr::from);
                v4.into_iter().chain(v6).any(|address| network.contains(&address))
            }),
        }
    }
}

fn selector(text: &str) -> Option<Selector> {
    let requirement = |word: &str| {
        let (key, value) = word.split_once('=')?;
        let value = value.strip_prefix('=').unwrap_or(value);
        (!key.is_empty()).then(|| Requirement::equals(key.trim(), value.trim()))
    };
    text.split(',').map(requirement).collect()
}

fn workload_kind(text: &str) -> Option<WorkloadKind> {
    let short = |kind| match kind {
        WorkloadKind::Deployment => "deploy",
        WorkloadKind::StatefulSet => "sts",
        WorkloadKind::DaemonSet => "ds",
        WorkloadKind::ReplicaSet => "rs",
        WorkloadKind::Job => "job",
        WorkloadKind::CronJob => "cj",
    };
    WorkloadKind::ALL.into_iter().find(|kind| {
        let name = kind.as_str().to_lowercase();
        text == name || text.strip_suffix('s') == Some(&name) || text == short(*kind)
    })
}

/// The sources and destinations that are asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    from: Option<Asked>,
    to: Option<Asked>,
}

/// What a filter means.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Asked {
    ends: BTreeSet<End>,
    /// The block that was asked for, if it was one.
    block: Option<IpNet>,
}

impl Selection {
    /// What some filters mean in a relation; without a filter, everybody.
    pub fn of(relation: &Relation<'_>, from: Option<&Filter>, to: Option<&Filter>) -> Self {
        let asked = |filter: Option<&Filter>| {
            let filter = filter.filter(|filter| **filter != Filter::Any)?;
            let block = match filter {
                Filter::Addresses(block) => Some(*block),
                Filter::Any
                | Filter::Namespace(_)
                | Filter::Pod(_)
                | Filter::Workload(_)
                | Filter::Service(_)
                | Filter::Labels(..) => None,
            };
            Some(Asked {
                ends: filter.ends(relation),
                block,
            })
        };
        Self {
            from: asked(from),
            to: asked(to),
        }
    }

    /// Whether every source is asked for.
    pub fn has_all_sources(&self) -> bool {
        self.from.is_none()
    }

    /// Whether every destination is asked for.
    pub fn has_all_destinations(&self) -> bool {
        self.to.is_none()
    }

    /// Whether a destination is asked for.
    pub fn has_destination(&self, to: End) -> bool {
        self.to.as_ref().is_none_or(|asked| asked.ends.contains(&to))
    }

    /// The block that sources outside are asked for of.
    pub fn sources_within(&self) -> Option<&IpNet> {
        self.from.as_ref()?.block.as_ref()
    }

    /// The block that destinations outside are asked for of.
    pub fn destinations_within(&self) -> Option<&IpNet> {
        self.to.as_ref()?.block.as_ref()
    }

    /// Those of a list that are asked for.
    pub(super) fn sources(&self, from: Arc<[End]>) -> Arc<[End]> {
        match &self.from {
            None => from,
            Some(asked) => from
                .iter()
                .filter(|end| asked.ends.contains(end))
                .copied()
                .collect(),
        }
    }
}
