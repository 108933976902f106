//! The pods of a node: which there should be, and where each is attached.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use palisade_policy::cluster::ClusterState;
use palisade_policy::model::{NodeName, Pod, PodUid};
use palisade_policy::reach::Family as AddressFamily;

use super::document::{Facts, NodeTables};
use super::expected::{family, last, number, own_addresses};
use super::ruleset::{Family, Kind, Part, Ruleset};
use super::spans::{Pieces, Spans};

/// A pod that the API has on the node.
pub(crate) struct Resident<'a> {
    /// The pod.
    pub(crate) pod: &'a Pod,
    /// The addresses that are its own: not those that it reports and another has by now.
    pub(crate) addresses: Vec<IpAddr>,
    /// Those that its node says it has and the API does not give to anybody. They are judged by the pod's policies too.
    pub(crate) unreported: Vec<IpAddr>,
    /// Those that it may send from.
    pub(crate) sending: Vec<IpAddr>,
    /// Where it is attached; `None` where nothing tells.
    pub(crate) seat: Option<Seat>,
}

impl Resident<'_> {
    /// The addresses by which it is judged.
    pub(crate) fn judged(&self) -> impl Iterator<Item = IpAddr> {
        self.addresses.iter().chain(&self.unreported).copied()
    }
}

/// Where a pod is attached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Seat {
    /// The node's end of its veth.
    pub(crate) veth: String,
    /// The bridge that this is a port of.
    pub(crate) bridge: Option<String>,
    /// The addresses that its network gave it.
    pub(crate) addresses: BTreeSet<IpAddr>,
    /// Who says so.
    pub(crate) source: Source,
}

/// Who says where a pod is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// The node, from what its network wrote down.
    Node,
    /// The tables themselves.
    Tables,
}

impl Seat {
    /// The interface that the forward hook sees the pod's packets come from and go to.
    pub(crate) fn forwarding(&self) -> &str {
        self.bridge.as_deref().unwrap_or(&self.veth)
    }
}

/// What an address is to a node, besides what policies say of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ground {
    /// Policies decide.
    Open,
    /// An address of the node's pod networks that no pod has: closed, whatever policies say.
    Closed,
    /// The node's own, which is not forwarded, or a pod's of this node, which is compared on its own.
    Apart,
}

/// A node: what the API says of it and what it knows itself.
pub(crate) struct Node<'a> {
    /// Its name.
    pub(crate) name: NodeName,
    /// Its pods.
    pub(crate) residents: Vec<Resident<'a>>,
    /// What it knows; empty where only its tables are there.
    pub(crate) facts: Facts,
    /// Whether that is what it said.
    pub(crate) has_facts: bool,
    /// Its own addresses.
    own: BTreeSet<IpAddr>,
    pod_networks: Vec<(AddressFamily, u128, u128)>,
}

impl<'a> Node<'a> {
    /// Finds the pods of a node.
    pub(crate) fn new(state: &'a ClusterState, name: &NodeName, tables: &NodeTables) -> Self {
        let mut facts = tables.facts.clone().unwrap_or_default();
        let believed = believed(&tables.ruleset);
        let workloads = state
            .pods()
            .values()
            .filter(|pod| pod.is_workload() && pod.node.as_ref() == Some(name));
        let workloads: Vec<&Pod> = workloads.collect();
        let node = state.nodes().get(name);
        let mut own = std::mem::take(&mut facts.addresses);
        own.extend(node.into_iter().flat_map(|node| &node.addresses));
        let mut claims: BTreeMap<IpAddr, usize> = BTreeMap::new();
        let places = workloads.iter().filter_map(|pod| facts.places.get(&pod.uid));
        for address in places.flat_map(|place| &place.addresses) {
            *claims.entry(*address).or_default() += 1;
        }
        let resident = |pod: &'a Pod| {
            let addresses: Vec<IpAddr> = own_addresses(state, pod).collect();
            let seat = seat(&pod.uid, &addresses, &facts, &believed);
            // What two pods of the node claim is the one's that the API gives it to.
            let given = seat.iter().flat_map(|seat| &seat.addresses).copied();
            let given =
                given.filter(|address| claims.get(address) == Some(&1) && !addresses.contains(address));
            let given: Vec<IpAddr> = given.collect();
            let is_nobodys = |address: &IpAddr| state.owner(*address).is_none() && !own.contains(address);
            Resident {
                pod,
                unreported: given.iter().copied().filter(is_nobodys).collect(),
                sending: addresses.iter().copied().chain(given).collect(),
                addresses,
                seat,
            }
        };
        let residents: Vec<Resident<'a>> = workloads.into_iter().map(resident).collect();
        let networks = node.into_iter().flat_map(|node| &node.pod_networks);
        let pod_networks = networks.map(|network| {
            let network = network.trunc();
            (
                family(network.addr()),
                number(network.network()),
                number(network.broadcast()),
            )
        });
        Self {
            name: name.clone(),
            residents,
            has_facts: tables.facts.is_some(),
            facts,
            own,
            pod_networks: pod_networks.collect(),
        }
    }

    /// What each address of a family is.
    pub(crate) fn ground(&self, of: AddressFamily) -> Pieces<Ground> {
        let networks = self.pod_networks.iter().filter(|(family, ..)| *family == of);
        let closed = Spans::of(networks.map(|(_, first, last)| (*first, *last)).collect());
        let residents = self.residents.iter().flat_map(Resident::judged);
        let apart = self.own.iter().copied().chain(residents);
        let apart = apart.filter(|address| family(*address) == of);
        let mut apart: Vec<_> = apart.map(|address| (number(address), number(address))).collect();
        // What is no address of the family is no matter of anybody.
        apart.extend(last(of).checked_add(1).map(|after| (after, u128::MAX)));
        let closed = Pieces::within(&closed, &Ground::Closed, Ground::Open);
        let apart = Pieces::within(&Spans::of(apart), &Ground::Apart, Ground::Open);
        closed.zip(
            &apart,
            |closed, apart| if *apart == Ground::Apart { *apart } else { *closed },
        )
    }
}

/// Where the tables have an address: the interface by which it is forwarded, and the one where it comes from.
#[derive(Default)]
struct Believed {
    forwarding: BTreeMap<IpAddr, String>,
    sending: BTreeMap<IpAddr, String>,
}

fn believed(ruleset: &Ruleset) -> Believed {
    let mut believed = Believed::default();
    for (family, table) in &ruleset.tables {
        let to = match family {
            Family::Inet => &mut believed.forwarding,
            Family::Netdev => &mut believed.sending,
            Family::Bridge => continue,
        };
        for set in table.sets.values().filter_map(|set| set.as_ref().ok()) {
            for element in &set.elements {
                if let Some((interface, address)) = pair(&set.key, &element.parts) {
                    to.entry(address).or_insert_with(|| interface.to_owned());
                }
            }
        }
    }
    believed
}

/// An element that is an interface and an address.
pub(crate) fn pair<'e>(key: &[Kind], parts: &'e [Part]) -> Option<(&'e str, IpAddr)> {
    match (key, parts) {
        (
            [Kind::Interface, kind @ (Kind::V4 | Kind::V6)],
            [Part::Interface(name), Part::Numbers(first, last)],
        ) if first == last => Some((name, single(*kind, *first)?)),
        _ => None,
    }
}

/// A number as the address that it is.
pub(crate) fn single(kind: Kind, number: u128) -> Option<IpAddr> {
    let family = match kind {
        Kind::V4 => AddressFamily::V4,
        Kind::V6 => AddressFamily::V6,
        Kind::Interface
        | Kind::Protocol
        | Kind::Port
        | Kind::IcmpType
        | Kind::IcmpV6Type
        | Kind::Frame
        | Kind::Cast => return None,
    };
    Some(super::expected::address(number, family))
}

fn seat(uid: &PodUid, addresses: &[IpAddr], facts: &Facts, believed: &Believed) -> Option<Seat> {
    if let Some(place) = facts.places.get(uid) {
        return Some(Seat {
            veth: place.interface.clone(),
            bridge: place.bridge.clone(),
            addresses: place.addresses.clone(),
            source: Source::Node,
        });
    }
    let find =
        |map: &BTreeMap<IpAddr, String>| addresses.iter().find_map(|address| map.get(address).cloned());
    let forwarding = find(&believed.forwarding)?;
    let veth = find(&believed.sending).unwrap_or_else(|| forwarding.clone());
    let bridge = (veth != forwarding).then_some(forwarding);
    Some(Seat {
        veth,
        bridge,
        addresses: BTreeSet::new(),
        source: Source::Tables,
    })
}
