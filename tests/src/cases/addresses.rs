//! The addresses that cases refer to by name.
//!
//! A case says `shop/web`, `node:a` or `client1`, never an address: each topology of the test bed has its own. Whoever
//! runs the cases fills in an [`Addresses`]; [`Addresses::documentation`] is the one for runs without packets.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use palisade_policy::model::{Node, NodeName};
use thiserror::Error;

/// How cases call the nodes. A bed may give them other names ([`NodePlan::node`]).
pub const NODES: [&str; 3] = ["a", "b", "c"];

/// How cases call the external clients.
pub const CLIENTS: [&str; 2] = ["client1", "client2"];

/// Pods with a network of their own that a case may put on one node.
pub const SLOTS: usize = 4;

/// An address family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Family {
    /// Both, in order.
    pub const ALL: [Self; 2] = [Self::V4, Self::V6];
}

/// One address of each family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AddressPair {
    /// The IPv4 address.
    pub v4: Ipv4Addr,
    /// The IPv6 address.
    pub v6: Ipv6Addr,
}

impl AddressPair {
    /// The address of one family.
    pub fn of(self, family: Family) -> IpAddr {
        match family {
            Family::V4 => self.v4.into(),
            Family::V6 => self.v6.into(),
        }
    }

    /// Both addresses.
    pub fn both(self) -> [IpAddr; 2] {
        Family::ALL.map(|family| self.of(family))
    }
}

/// One network of each family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NetworkPair {
    /// The IPv4 network.
    pub v4: Ipv4Net,
    /// The IPv6 network.
    pub v6: Ipv6Net,
}

impl NetworkPair {
    /// The network of one family.
    pub fn of(self, family: Family) -> IpNet {
        match family {
            Family::V4 => self.v4.into(),
            Family::V6 => self.v6.into(),
        }
    }

    /// The smallest networks that hold all of these addresses; `None` where there are none.
    pub fn around(addresses: impl IntoIterator<Item = AddressPair>) -> Option<Self> {
        let alone = |pair: AddressPair| Self {
            v4: pair.v4.into(),
            v6: pair.v6.into(),
        };
        addresses.into_iter().map(alone).reduce(|mut around, next| {
            while !around.v4.contains(&next.v4) {
                around.v4 = around.v4.supernet().unwrap_or_default();
            }
            while !around.v6.contains(&next.v6) {
                around.v6 = around.v6.supernet().unwrap_or_default();
            }
            around
        })
    }

    /// Whether an address lies in the network of its family.
    pub fn contains(self, address: IpAddr) -> bool {
        Family::ALL
            .into_iter()
            .any(|family| self.of(family).contains(&address))
    }
}

/// A node with the places for its pods.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodePlan {
    /// The node as the core sees it, with all of its own addresses.
    pub node: Node,
    /// The addresses that it has as `node:a`: those that it talks to other nodes with.
    pub address: AddressPair,
    /// The addresses of the pods that it can host.
    pub slots: [AddressPair; SLOTS],
}

/// All addresses of a bed. [`Addresses::check`] says what cases rely on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Addresses {
    /// The nodes, by what cases call them: one for each of [`NODES`].
    pub nodes: BTreeMap<&'static str, NodePlan>,
    /// A network that holds the pods of all nodes, and no node and no client.
    pub pods: NetworkPair,
    /// The addresses of the external clients, in the order of [`CLIENTS`].
    pub client: [AddressPair; 2],
    /// A network that holds all external clients, and no node and no pod.
    pub clients: NetworkPair,
    /// A network that holds the addresses of all services, and nothing else.
    pub services: NetworkPair,
}

/// An address plan that some case would misread.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum AddressError {
    /// A node that cases name is not there.
    #[error("the address plan has no node {0:?}")]
    NoNode(&'static str),
    /// An address is not where it has to be.
    #[error("{address} of {owner} must lie in {place}")]
    Outside {
        /// Whose address it is.
        owner: String,
        /// The address.
        address: IpAddr,
        /// Where it has to be.
        place: &'static str,
    },
    /// An address is where it must not be.
    #[error("{address} of {owner} must not lie in {place}")]
    Inside {
        /// Whose address it is.
        owner: String,
        /// The address.
        address: IpAddr,
        /// Where it must not be.
        place: &'static str,
    },
    /// No IPv6 address would be lost if `::/0` were read as global unicast.
    #[error("every pod and every client has a global unicast IPv6 address")]
    GlobalUnicast,
    /// Two owners have the same address.
    #[error("{0} stands twice in the address plan")]
    Repeated(IpAddr),
}

impl Addresses {
    /// Addresses from the ranges that are kept for documentation (RFC 5737, RFC 3849), and clients with unique local
    /// addresses (RFC 4193), because a case relies on an IPv6 address that is no global unicast address.
    pub fn documentation() -> Self {
        let pair = |v4: [u8; 4], v6: [u16; 8]| AddressPair {
            v4: v4.into(),
            v6: v6.into(),
        };
        let network = |at: AddressPair, length4: u8, length6: u8| NetworkPair {
            v4: Ipv4Net::new_assert(at.v4, length4),
            v6: Ipv6Net::new_assert(at.v6, length6),
        };
        let nodes = NODES.into_iter().zip(1_u8..).map(|(name, number)| {
            let host = u16::from(number);
            let slot = |slot: u8| {
                pair(
                    [198, 51, 100, number * 16 + slot],
                    [0x2001, 0xdb8, 0x244, host, 0, 0, 0, slot.into()],
                )
            };
            let address = pair([192, 0, 2, number], [0x2001, 0xdb8, 1, 0, 0, 0, 0, host]);
            let pods = network(slot(0), 28, 64);
            let node = Node {
                name: NodeName::from(name),
                addresses: address.both().to_vec(),
                pod_networks: vec![pods.v4.into(), pods.v6.into()],
            };
            (
                name,
                NodePlan {
                    node,
                    address,
                    slots: [slot(1), slot(2), slot(3), slot(4)],
                },
            )
        });
        let client = |number: u8| pair([203, 0, 113, number], [0xfd00, 0xc, 0, 0, 0, 0, 0, number.into()]);
        Self {
            nodes: nodes.collect(),
            pods: network(
                pair([198, 51, 100, 0], [0x2001, 0xdb8, 0x244, 0, 0, 0, 0, 0]),
                24,
                48,
            ),
            client: [client(1), client(2)],
            clients: network(client(0), 24, 64),
            services: network(
                pair([192, 0, 2, 128], [0x2001, 0xdb8, 0x96, 0, 0, 0, 0, 0]),
                25,
                112,
            ),
        }
    }

    /// Checks what cases rely on: which network holds whom, that nobody shares an address, and that a pod or a client
    /// has an IPv6 address outside `2000::/3` (a case proves that `::/0` is more than that).
    pub fn check(&self) -> Result<(), AddressError> {
        let mut seen = BTreeSet::new();
        for name in NODES {
            let plan = self.nodes.get(name).ok_or(AddressError::NoNode(name))?;
            let owner = format!("node {name}");
            for address in plan.address.both() {
                place(
                    &owner,
                    address,
                    "the addresses of its Node",
                    plan.node.addresses.contains(&address),
                    true,
                )?;
                place(
                    &owner,
                    address,
                    "the pod network",
                    self.pods.contains(address),
                    false,
                )?;
                self.apart(&owner, address, &mut seen)?;
                place(
                    &owner,
                    address,
                    "the client network",
                    self.clients.contains(address),
                    false,
                )?;
            }
            for address in plan.slots.iter().flat_map(|slot| slot.both()) {
                let owner = format!("a pod of {owner}");
                place(
                    &owner,
                    address,
                    "the pod network",
                    self.pods.contains(address),
                    true,
                )?;
                let own = &plan.node.pod_networks;
                let local = own.is_empty() || own.iter().any(|network| network.contains(&address));
                place(&owner, address, "the pod networks of its Node", local, true)?;
                self.apart(&owner, address, &mut seen)?;
                place(
                    &owner,
                    address,
                    "the client network",
                    self.clients.contains(address),
                    false,
                )?;
            }
        }
        for (name, client) in CLIENTS.into_iter().zip(self.client) {
            for address in client.both() {
                place(
                    name,
                    address,
                    "the client network",
                    self.clients.contains(address),
                    true,
                )?;
                place(
                    name,
                    address,
                    "the pod network",
                    self.pods.contains(address),
                    false,
                )?;
                self.apart(name, address, &mut seen)?;
            }
        }
        let global_unicast = Ipv6Net::new_assert(Ipv6Addr::new(0x2000, 0, 0, 0, 0, 0, 0, 0), 3);
        let slots = self.nodes.values().flat_map(|plan| &plan.slots);
        if slots
            .chain(&self.client)
            .all(|pair| global_unicast.contains(&pair.v6))
        {
            return Err(AddressError::GlobalUnicast);
        }
        Ok(())
    }

    fn apart(&self, owner: &str, address: IpAddr, seen: &mut BTreeSet<IpAddr>) -> Result<(), AddressError> {
        place(
            owner,
            address,
            "the service network",
            self.services.contains(address),
            false,
        )?;
        if seen.insert(address) {
            Ok(())
        } else {
            Err(AddressError::Repeated(address))
        }
    }
}

fn place(
    owner: &str,
    address: IpAddr,
    place: &'static str,
    is: bool,
    should: bool,
) -> Result<(), AddressError> {
    let owner = owner.to_owned();
    match (is, should) {
        (false, true) => Err(AddressError::Outside {
            owner,
            address,
            place,
        }),
        (true, false) => Err(AddressError::Inside {
            owner,
            address,
            place,
        }),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documentation_addresses_are_what_cases_rely_on() {
        assert_eq!(Addresses::documentation().check(), Ok(()));
    }

    #[test]
    fn the_network_around_addresses_is_the_smallest() {
        let plan = Addresses::documentation();
        let around = NetworkPair::around(plan.client).map(|it| (it.v4.to_string(), it.v6.to_string()));
        assert_eq!(
            around,
            Some(("203.0.113.0/30".to_owned(), "fd00:c::/126".to_owned()))
        );
    }

    #[test]
    fn a_client_among_the_pods_is_refused() {
        let mut addresses = Addresses::documentation();
        addresses.clients = addresses.pods;
        assert!(addresses.check().is_err());
    }
}
