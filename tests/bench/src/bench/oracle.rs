//! Holds what was compiled to the oracle.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use anyhow::{Result, ensure};
use palisade_policy::cluster::ClusterState;
use palisade_policy::compile::Published;
use palisade_policy::evaluate::evaluate;
use palisade_policy::judge::{Enforced, judge};
use palisade_policy::model::{NodeName, Packet, Pod, Protocol, Transport, Verdict};
use palisade_policy::rules::GroupId;
use palisade_policy::testing::workloads::Dice;

/// Packets that are judged both ways.
const PACKETS: usize = 100;

/// Judges packets by what is published and by the oracle.
pub(crate) fn agree(state: &ClusterState, published: &Published) -> Result<()> {
    hold(state, |packet| {
        judge(&enforced(state, published, packet), packet, state.nodes())
    })
}

/// Judges packets between pods near each other, and far from each other, by an answer and by the oracle.
pub(crate) fn hold(state: &ClusterState, answer: impl Fn(&Packet) -> Verdict) -> Result<()> {
    let mut pods: Vec<&Pod> = state
        .pods()
        .values()
        .filter(|pod| !pod.addresses.is_empty())
        .collect();
    pods.sort_by(|one, other| one.key.cmp(&other.key));
    let mut dice = Dice::new(1);
    let mut allowed = 0;
    ensure!(!pods.is_empty(), "nobody to ask about");
    for nth in 0..PACKETS {
        let at = dice.below(pods.len());
        let far = dice.below(if nth % 2 == 0 { pods.len() } else { 50 });
        let (Some(source), Some(destination)) = (pods.get(at), pods.get((at + far) % pods.len())) else {
            break;
        };
        let number = dice.pick(&[80, 443, 8000, 8001, 8080, 30_001]);
        let addresses = source.addresses.iter().zip(&destination.addresses);
        for (source, destination) in addresses.filter(|(one, other)| one.is_ipv4() == other.is_ipv4()) {
            let packet = Packet {
                source: *source,
                destination: *destination,
                transport: Transport::Port(Protocol::Tcp, number),
            };
            let expected = evaluate(state, &packet);
            let answer = answer(&packet);
            ensure!(expected.verdict == answer, "not {answer}: {expected}");
            allowed += usize::from(answer == Verdict::Allow);
        }
    }
    eprintln!("  {PACKETS} packets as the oracle says, {allowed} of them allowed");
    Ok(())
}

/// The nodes of a packet's two ends.
pub(crate) fn nodes(state: &ClusterState, packet: &Packet) -> BTreeSet<NodeName> {
    let node = |address: IpAddr| state.owner(address).and_then(|pod| pod.node.clone());
    [packet.source, packet.destination]
        .into_iter()
        .filter_map(node)
        .collect()
}

/// What the nodes of a packet's two ends enforce.
fn enforced(state: &ClusterState, published: &Published, packet: &Packet) -> Enforced {
    let nodes: BTreeMap<_, _> = nodes(state, packet)
        .into_iter()
        .filter_map(|name| Some((name.clone(), published.rules(&name)?)))
        .collect();
    let used: BTreeSet<&GroupId> = nodes.values().flat_map(|rules| &rules.groups).collect();
    let group = |id: &GroupId| Some((*id, published.groups.get(id)?.clone()));
    Enforced {
        groups: used.into_iter().filter_map(group).collect(),
        nodes,
    }
}
