//! From a node's rules and what is known of its pods to the ruleset that the kernel should have.
//!
//! ```text
//!   inet palisade                                     netdev palisade, on each pod's interface
//!   forwarded ── established ─► accept                  ingress ── not the pod's own source ─► drop
//!      ├─ in interface . source ─► egress map ──┐
//!      │      unknown here ─► drop              │     bridge palisade, where pods are bridge ports
//!      │            egress profile ◄────────────┘     prerouting, postrouting ── unknown port ─► drop
//!      │               allowed │    to itself ─► accept, rest ─► drop
//!      ▼                       ▼
//!   to_pods ── out interface . destination ─► ingress map ─► ingress profile ─► accept
//!      │      unknown here ─► drop                              to itself ─► accept, rest ─► drop
//!      ▼
//!    accept
//! ```
//!
//! The plan is pure: the same input gives the same ruleset, and what is sent to the kernel is the difference from what
//! is there. A [`Planner`] brings a ruleset to the next input without planning again what stays. Whether a pod is named by the API, by the node, or by both decides what happens to it: only a pod that
//! both know is dispatched to its profiles; every other address of the node's pod networks is closed.

mod address;
mod bridge;
mod family;
mod forward;
mod group;
mod name;
mod planner;
mod profile;
mod source;

use family::Family;
pub(crate) use forward::forwarded;
pub use planner::Planner;

use std::borrow::Borrow;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;
use palisade_policy::model::{PodKey, PodUid};
use palisade_policy::rules::{GroupId, LocalPod, NodeRules, Slice, SliceId};

use crate::nft::model::{Element, Interface, InterfacePattern, InvalidName, Part, Ruleset};

/// What the node knows of its own network.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// Where each pod is attached.
    pub places: BTreeMap<PodUid, Place>,
    /// The bridges that pods are attached to, with the ports that lead elsewhere than to a pod (a VXLAN device, a
    /// network card). A bridge without any belongs to this node's pods alone.
    pub uplinks: BTreeMap<Interface, BTreeSet<Interface>>,
}

/// Where a pod is attached, and the addresses that its network gave it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The node's end of the pod's veth.
    pub interface: Interface,
    /// Its number. A link that comes back under its name has another.
    pub index: u32,
    /// The bridge that this end is a port of; `None` where it is routed.
    pub bridge: Option<Interface>,
    /// The pod's addresses.
    pub addresses: BTreeSet<IpAddr>,
}

impl Place {
    /// The interface that the forward hook sees the pod's packets come from and go to.
    pub(crate) fn forwarding_interface(&self) -> &Interface {
        self.bridge.as_ref().unwrap_or(&self.interface)
    }
}

/// What whoever runs the enforcer says about the node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// Interfaces that belong to pods whether or not the pod is known: closed until it is. For networks that give
    /// a node no pod network of its own.
    pub pod_interfaces: Vec<InterfacePattern>,
}

/// The ruleset, and what could not be enforced pod by pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// What the kernel should have.
    pub ruleset: Ruleset,
    /// Pods that the API names and the node does not know yet: closed until it does.
    pub unplaced: Vec<PodKey>,
}

/// A pod that both the API and the node know.
struct Subject<'a> {
    pod: &'a LocalPod,
    place: &'a Place,
    /// Those of the place's addresses that are the pod's.
    addresses: BTreeSet<IpAddr>,
}

impl Subject<'_> {
    /// Its addresses of one family.
    fn addresses_of(&self, family: &Family) -> impl Iterator<Item = IpAddr> {
        let addresses = self.addresses.iter().copied();
        addresses.filter(|address| family.has(*address))
    }
}

/// What the maps of the forward hook have for a pod's address.
pub(crate) fn dispatch_key(interface: &Interface, address: IpAddr) -> Element {
    Element::new(&[Part::interface(interface), Part::address(address)])
}

/// Plans the ruleset of a node. `slices` holds every slice with members of the groups that `rules` names.
pub fn plan(
    rules: &NodeRules,
    slices: &BTreeMap<(GroupId, SliceId), impl Borrow<Slice>>,
    facts: &Facts,
    settings: &Settings,
) -> Result<Plan, InvalidName> {
    let of_groups = slices
        .iter()
        .filter(|((group, _), _)| rules.groups.contains(group));
    let slices: Vec<_> = of_groups
        .map(|(key, slice)| (*key, Arc::new(slice.borrow().clone())))
        .collect();
    let mut planner = Planner::new(settings.clone());
    let turned = slices.iter().map(|(key, slice)| (*key, Some(slice)));
    planner.plan(&Arc::new(rules.clone()), turned, facts)?;
    Ok(planner.into_plan())
}

/// The pods that can be dispatched. An address that two of them claim, as while one takes over from the other, goes to
/// the one that the API gives it to; where the API does not say yet, to neither.
fn subjects<'a>(rules: &'a NodeRules, facts: &'a Facts) -> Vec<Subject<'a>> {
    let placed = || {
        rules
            .pods
            .iter()
            .filter_map(|(uid, pod)| Some((pod, facts.places.get(uid)?)))
    };
    let mut claims: BTreeMap<IpAddr, usize> = BTreeMap::new();
    for address in placed().flat_map(|(_, place)| &place.addresses) {
        *claims.entry(*address).or_default() += 1;
    }
    placed()
        .map(|(pod, place)| {
            let own =
                |address: &&IpAddr| claims.get(*address) == Some(&1) || pod.addresses.contains(*address);
            Subject {
                pod,
                place,
                addresses: place.addresses.iter().filter(own).copied().collect(),
            }
        })
        .collect()
}

/// The node's pod networks of one family.
fn networks(rules: &NodeRules, v4: bool) -> impl Iterator<Item = IpNet> {
    rules
        .pod_networks
        .iter()
        .copied()
        .filter(move |network| network.addr().is_ipv4() == v4)
}
