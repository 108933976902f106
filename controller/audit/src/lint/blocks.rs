//! Address blocks.

use std::fmt::Display;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use palisade_policy::model::{Direction, IpBlock, Peer, PortMatch, Ports, Protocol};

use super::Code;
use super::addresses::{Within, covers};
use super::cover;
use super::finding::{Finding, Findings};
use super::scene::{Scene, Seen, SeenRule};
use crate::inventory::ObjectRef;

/// Where clouds answer questions about a machine: AWS, Azure, Google, `OpenStack` and others; and AWS by IPv6.
const METADATA: [IpAddr; 2] = [
    IpAddr::V4(Ipv4Addr::new(169, 254, 169, 254)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254)),
];

/// It answers over HTTP.
const HTTP: u16 = 80;

/// The shortest prefix of a network of Services that an API server takes (`--service-cluster-ip-range`: 20 bits for the
/// host at the most). A larger block is for something else that Services lie in by chance.
fn shortest_of_services(net: IpNet) -> u8 {
    match net {
        IpNet::V4(_) => 12,
        IpNet::V6(_) => 108,
    }
}

pub(super) fn check(scene: &Scene<'_>, seen: &Seen<'_>, findings: &mut Findings) {
    for (direction, rule, at) in seen.all_peers() {
        let Peer::Block(block) = at.peer else { continue };
        let of = |code, message: String| {
            let field = seen.field(direction, rule, at);
            Finding::of_policy(code, seen.policy, message).at(format!("{field}.ipBlock"))
        };
        if covers(block.except(), block.cidr()) {
            findings.add(of(Code::BlockEmpty, format!("nothing is left of {block}")));
            continue;
        }
        let world = block.cidr().prefix_len() == 0;
        findings.extend(pods(scene, block, world, &of));
        if world {
            if !has_other_family(scene, seen, direction, rule, block) {
                findings.add(of(Code::OneFamily, one_family(block)));
            }
            let metadata = METADATA.into_iter().find(|address| block.contains(*address));
            if let Some(address) =
                metadata.filter(|_| direction == Direction::Egress && has_http(&rule.rule.ports))
            {
                let finding = of(Code::MetadataOpen, format!("{block} includes {address}"));
                findings.add(finding.fixed_by(format!("Add except: [{}].", IpNet::from(address))));
            }
            continue;
        }
        if let Some(within) = scene.addresses.nodes_in(block) {
            let message = described(block, &within, "nodes", &within.first.name);
            findings.add(of(Code::BlockCoversNodes, message));
        }
        findings.extend(services(scene, block, &of));
    }
}

/// Whose addresses a block has in it: `has the address 10.0.0.1 of shop/web in it`.
fn described<T>(block: &IpBlock, within: &Within<'_, T>, whose: &str, name: &dyn Display) -> String {
    let Within { count, address, .. } = within;
    match count {
        1 => format!("{block} has the address {address} of {name} in it"),
        _ => format!("{block} has {count} addresses of {whose} in it, among them {address} of {name}"),
    }
}

fn pods(
    scene: &Scene<'_>,
    block: &IpBlock,
    world: bool,
    of: &impl Fn(Code, String) -> Finding,
) -> Option<Finding> {
    let code = if world {
        Code::WorldCoversPods
    } else {
        Code::BlockCoversPods
    };
    if let Some(within) = scene.addresses.pods_in(block) {
        let message = described(block, &within, "pods", &within.first.key);
        return Some(of(code, message).related_to([ObjectRef::Pod(within.first.key.clone())]));
    }
    let network = scene.addresses.network_in(block)?;
    Some(of(
        code,
        format!("{block} has addresses of {network} in it, which pods get theirs from"),
    ))
}

fn services(scene: &Scene<'_>, block: &IpBlock, of: &impl Fn(Code, String) -> Finding) -> Option<Finding> {
    let cidr = block.cidr();
    if cidr.prefix_len() < shortest_of_services(cidr) || scene.addresses.pods_in(block).is_some() {
        return None;
    }
    let within = scene.addresses.services_in(block)?;
    let message = described(
        block,
        &within,
        "Services",
        &format_args!("Service {}", within.first.key),
    );
    let service = ObjectRef::Service(within.first.key.clone());
    Some(of(Code::BlockOfService, message).related_to([service]))
}

/// Whether everything of the other family is allowed too, by whichever policies, to all of the pods that have addresses of it.
fn has_other_family(
    scene: &Scene<'_>,
    seen: &Seen<'_>,
    direction: Direction,
    rule: &SeenRule<'_>,
    block: &IpBlock,
) -> bool {
    let is_v4 = |block: &IpBlock| matches!(block.cidr(), IpNet::V4(_));
    let is_counterpart = |peer: &Peer| match peer {
        Peer::Pods(_) => false,
        Peer::Block(other) => other.cidr().prefix_len() == 0 && is_v4(other) != is_v4(block),
    };
    let mut dual = seen.subject.workloads.iter().filter(|class| class.dual);
    dual.all(|class| {
        let policies = scene.at(scene.isolating(class, direction));
        // A rule for other ports is no counterpart.
        policies.flat_map(|seen| seen.rules(direction)).any(|other| {
            let everybody = other.is_for_everybody() || other.peers.iter().any(|at| is_counterpart(at.peer));
            everybody && cover::ports(&rule.rule.ports, &other.rule.ports)
        })
    })
}

fn one_family(block: &IpBlock) -> String {
    let (this, other) = match block.cidr() {
        IpNet::V4(_) => ("IPv4", "::/0"),
        IpNet::V6(_) => ("IPv6", "0.0.0.0/0"),
    };
    format!("is for {this} alone, but the pods of the policy have both families; {other} is not there")
}

/// Whether a rule allows what the metadata service speaks.
fn has_http(ports: &Ports) -> bool {
    let Ports::AnyOf(entries) = ports else { return true };
    let mut entries = entries.iter().filter(|entry| entry.protocol == Protocol::Tcp);
    entries.any(|entry| match &entry.port {
        PortMatch::Any => true,
        PortMatch::Range(range) => range.contains(HTTP),
        PortMatch::Named(_) => false,
    })
}
