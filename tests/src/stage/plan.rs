//! The bed's addresses, as cases ask for them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use anyhow::{Context, Result, bail};
use ipnet::{Ipv4Net, Ipv6Net};
use palisade_policy::model::NodeName;

use crate::bed::{self, Bed, NodeBed};
use crate::cases::{AddressPair, Addresses, NODES, NetworkPair, NodePlan, SLOTS, Slot};

/// Where the addresses of services are taken from: ranges that the bed uses for nothing else.
const SERVICES: NetworkPair = NetworkPair {
    v4: Ipv4Net::new_assert(Ipv4Addr::new(10, 96, 0, 0), 24),
    v6: Ipv6Net::new_assert(Ipv6Addr::new(0xfd00, 0x96, 0, 0, 0, 0, 0, 0), 112),
};

/// The address plan of a bed.
pub(super) fn addresses(bed: &Bed) -> Result<Addresses> {
    let mut nodes = std::collections::BTreeMap::new();
    for (name, node) in NODES.into_iter().zip(bed.nodes()) {
        nodes.insert(name, node_plan(node)?);
    }
    let slots = bed
        .slots()
        .map(|slot| pair(&slot.addresses()))
        .collect::<Result<Vec<_>>>()?;
    let clients = bed
        .clients()
        .iter()
        .map(|client| pair(&client.addresses()))
        .collect::<Result<Vec<_>>>()?;
    let [first, second] = clients.as_slice() else {
        bail!("the bed has {} clients", clients.len())
    };
    let plan = Addresses {
        nodes,
        pods: NetworkPair::around(slots).context("the bed has no slots")?,
        client: [*first, *second],
        clients: NetworkPair::around([*first, *second]).context("the bed has no clients")?,
        services: SERVICES,
    };
    plan.check()?;
    Ok(plan)
}

fn node_plan(node: &NodeBed) -> Result<NodePlan> {
    let slots = node
        .slots()
        .iter()
        .take(SLOTS)
        .map(|slot| pair(&slot.addresses()))
        .collect::<Result<Vec<_>>>()?;
    let Ok(slots) = slots.try_into() else {
        bail!("{} has too few slots", node.name())
    };
    Ok(NodePlan {
        node: node.described(),
        address: pair(node.addresses())?,
        slots,
    })
}

/// The first address of each family.
fn pair(addresses: &[IpAddr]) -> Result<AddressPair> {
    let v4 = addresses.iter().find_map(|address| match address {
        IpAddr::V4(address) => Some(*address),
        IpAddr::V6(_) => None,
    });
    let v6 = addresses.iter().find_map(|address| match address {
        IpAddr::V6(address) => Some(*address),
        IpAddr::V4(_) => None,
    });
    Ok(AddressPair {
        v4: v4.context("no IPv4 address")?,
        v6: v6.context("no IPv6 address")?,
    })
}

/// The bed's node, by what cases call it or by its own name.
pub(super) fn node<'b>(bed: &'b Bed, name: &NodeName) -> Result<&'b NodeBed> {
    let called = NODES
        .iter()
        .zip(bed.nodes())
        .find(|(case, _)| **case == name.as_str())
        .map(|(_, node)| node);
    called
        .or_else(|| bed.nodes().iter().find(|node| node.name() == name.as_str()))
        .with_context(|| format!("no node {name}"))
}

/// The bed's slot for a case's.
pub(super) fn slot<'b>(bed: &'b Bed, slot: &Slot) -> Result<&'b bed::Slot> {
    node(bed, &slot.node)?
        .slots()
        .get(slot.index)
        .with_context(|| format!("the bed has no slot {slot:?}"))
}

/// The addresses of the `number`-th service.
pub(super) fn service(addresses: &Addresses, number: usize) -> Result<[IpAddr; 2]> {
    let host = u8::try_from(number + 1).context("too many services")?;
    let NetworkPair { v4, v6 } = addresses.services;
    let v4 = Ipv4Addr::from_bits(v4.network().to_bits() | u32::from(host));
    let v6 = Ipv6Addr::from_bits(v6.network().to_bits() | u128::from(host));
    Ok([v4.into(), v6.into()])
}
