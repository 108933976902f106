//! The addresses of a bed.
//!
//! Documentation ranges (RFC 5737, RFC 3849) outside, the usual cluster ranges inside; none of them is ever routed
//! anywhere but between the namespaces of the bed. Nodes and slots count from 0, addresses from a fixed offset.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use anyhow::{Result, ensure};
use ipnet::{IpNet, Ipv4Net, Ipv6Net};

/// The first host number of a pod network that slots get; `.1` is the gateway.
const FIRST_SLOT: u8 = 10;
/// The host number of the first node in the fabric's network.
const FIRST_NODE: u8 = 11;
/// The host number of a client in its network: the same in all of them.
const CLIENT: u8 = 10;
/// How many nodes and slots a node the plan has room for.
pub(crate) const LIMIT: usize = 200;

/// One address of each family.
pub(crate) type Pair = [IpAddr; 2];

/// The networks of the external clients: a pair of networks each, all of them within [`outside`].
pub(crate) fn client_networks() -> [[IpNet; 2]; 2] {
    [
        [
            v4([198, 51, 100, 0], 25),
            v6([0x2001, 0xdb8, 0xc, 0x1, 0, 0, 0, 0], 64),
        ],
        [
            v4([198, 51, 100, 128], 25),
            v6([0x2001, 0xdb8, 0xc, 0x2, 0, 0, 0, 0], 64),
        ],
    ]
}

/// What holds all external clients, and nobody else.
pub(crate) fn outside() -> [IpNet; 2] {
    [
        v4([198, 51, 100, 0], 24),
        v6([0x2001, 0xdb8, 0xc, 0, 0, 0, 0, 0], 48),
    ]
}

/// What the addresses of services are taken from; no route leads there.
pub(crate) fn services() -> [IpNet; 2] {
    [v4([10, 96, 0, 0], 16), v6([0xfd00, 0x96, 0, 0, 0, 0, 0, 0], 112)]
}

/// The address of a client in each network of its pair.
pub(crate) fn client_addresses(networks: &[IpNet; 2]) -> Pair {
    networks.map(|network| host(network, CLIENT))
}

/// The network that joins the nodes, in both families.
pub(crate) fn fabric() -> [IpNet; 2] {
    [
        v4([192, 0, 2, 0], 24),
        v6([0x2001, 0xdb8, 0xf, 0, 0, 0, 0, 0], 64),
    ]
}

/// A node's addresses on the fabric.
pub(crate) fn node_addresses(node: u8) -> Pair {
    fabric().map(|network| host(network, FIRST_NODE.saturating_add(node)))
}

/// The range that a node takes its pods' addresses from.
pub(crate) fn pod_range(node: u8) -> [IpNet; 2] {
    let number = node.saturating_add(1);
    [
        v4([10, 244, number, 0], 24),
        v6([0xfd00, 0x244, 0, u16::from(number), 0, 0, 0, 0], 64),
    ]
}

/// What holds all pods: the one network of all of them where the topology has only one.
pub(crate) fn shared_pod_network() -> [IpNet; 2] {
    [v4([10, 244, 0, 0], 16), v6([0xfd00, 0x244, 0, 0, 0, 0, 0, 0], 48)]
}

/// The gateway address of a node's pods, where the topology gives the node one.
pub(crate) fn gateway(node: u8) -> Pair {
    pod_range(node).map(|network| host(network, 1))
}

/// The routes by which something on the fabric reaches the pods of a node.
pub(crate) fn routes_to_pods(node: u8) -> impl Iterator<Item = (IpNet, IpAddr)> {
    pod_range(node).into_iter().zip(node_addresses(node))
}

/// The addresses of the `number`-th slot of a node.
pub(crate) fn slot_addresses(node: u8, number: u8) -> Pair {
    pod_range(node).map(|network| host(network, FIRST_SLOT.saturating_add(number)))
}

/// `number` as a number that the plan has room for.
pub(crate) fn checked(number: usize) -> Result<u8> {
    ensure!(
        number < LIMIT,
        "the address plan of a bed ends at {LIMIT} nodes and {LIMIT} slots a node"
    );
    Ok(u8::try_from(number)?)
}

/// The hardware address that goes with an IPv4 address, as the CNI plugins derive it: locally administered, unique.
pub(crate) fn mac_of(address: IpAddr, kind: u8) -> [u8; 6] {
    match address {
        IpAddr::V4(address) => {
            let [a, b, c, d] = address.octets();
            [0x0a, kind, a, b, c, d]
        }
        IpAddr::V6(address) => {
            let [.., a, b, c, d] = address.octets();
            [0x0e, kind, a, b, c, d]
        }
    }
}

/// A hardware address as people and CNI results write it.
pub(crate) fn mac_text(mac: [u8; 6]) -> String {
    mac.map(|byte| format!("{byte:02x}")).join(":")
}

/// An address alone, as a network: `/32` or `/128`.
pub(crate) fn alone(address: IpAddr) -> IpNet {
    IpNet::from(address)
}

/// `address` with the prefix length of `network`.
pub(crate) fn within(address: IpAddr, network: IpNet) -> IpNet {
    match (address, network) {
        (IpAddr::V4(address), IpNet::V4(network)) => {
            Ipv4Net::new(address, network.prefix_len()).map_or(IpNet::from(IpAddr::V4(address)), IpNet::V4)
        }
        (IpAddr::V6(address), IpNet::V6(network)) => {
            Ipv6Net::new(address, network.prefix_len()).map_or(IpNet::from(IpAddr::V6(address)), IpNet::V6)
        }
        (address, _) => IpNet::from(address),
    }
}

/// The default destinations of both families.
pub(crate) fn everywhere() -> [IpNet; 2] {
    [v4([0; 4], 0), v6([0; 8], 0)]
}

fn host(network: IpNet, number: u8) -> IpAddr {
    match network.network() {
        IpAddr::V4(base) => IpAddr::V4(Ipv4Addr::from_bits(base.to_bits() | u32::from(number))),
        IpAddr::V6(base) => IpAddr::V6(Ipv6Addr::from_bits(base.to_bits() | u128::from(number))),
    }
}

fn v4(address: [u8; 4], prefix: u8) -> IpNet {
    IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::from(address), prefix))
}

fn v6(address: [u16; 8], prefix: u8) -> IpNet {
    IpNet::V6(Ipv6Net::new_assert(Ipv6Addr::from(address), prefix))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_range_of_a_node_lies_in_the_shared_network() {
        for node in 0..4 {
            for (range, shared) in pod_range(node).iter().zip(&shared_pod_network()) {
                assert!(shared.contains(range), "{range} in {shared}");
            }
        }
    }

    #[test]
    fn clients_lie_outside_and_nothing_else_does() {
        let clients = client_networks().map(|networks| client_addresses(&networks));
        assert!(
            clients
                .iter()
                .flatten()
                .all(|address| outside().iter().any(|net| net.contains(address)))
        );
        let inside = [node_addresses(0), slot_addresses(0, 0), gateway(1)];
        assert!(
            inside
                .iter()
                .flatten()
                .all(|address| !outside().iter().any(|net| net.contains(address)))
        );
    }

    #[test]
    fn slots_of_a_node_lie_in_its_range_and_differ_from_its_gateway() {
        for (slot, (gateway, range)) in slot_addresses(2, 0)
            .iter()
            .zip(gateway(2).iter().zip(&pod_range(2)))
        {
            assert!(range.contains(slot) && range.contains(gateway) && slot != gateway);
        }
    }
}
