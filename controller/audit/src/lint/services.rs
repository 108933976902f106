//! Services whose pods are closed to their clients.

use palisade_policy::model::{Direction, IpBlock, Peer, Transport};

use super::Code;
use super::addresses::may_be_inside;
use super::finding::{Finding, Findings};
use super::offer::{Served, targets};
use super::population::Class;
use super::scene::{Scene, Seen, SeenRule};
use super::wording::listed;
use crate::inventory::{ObjectRef, ServiceKind, ServicePort};
use crate::ports::named;

pub(super) fn check(scene: &Scene<'_>, findings: &mut Findings) {
    for served in scene.offers.services() {
        closed(scene, served, findings);
        findings.extend(source_lost(scene, served));
    }
}

fn policies<'s>(scene: &'s Scene<'_>, classes: &'s [&Class<'_>]) -> Vec<&'s Seen<'s>> {
    let mut places: Vec<usize> = classes
        .iter()
        .flat_map(|class| scene.isolating(class, Direction::Ingress))
        .copied()
        .collect();
    places.sort_unstable();
    places.dedup();
    places
        .iter()
        .filter_map(|place| scene.policies().get(*place))
        .collect()
}

/// Whether a rule allows a Service's port to pods of a class.
fn opens(rule: &SeenRule<'_>, port: &ServicePort, class: &Class<'_>) -> bool {
    let allowed = named(&rule.rule.ports, class.ports);
    let mut targets = targets(port, class).into_iter();
    targets.any(|number| allowed.contains(Transport::Port(port.protocol, number)))
}

fn closed(scene: &Scene<'_>, served: &Served<'_>, findings: &mut Findings) {
    let Served { service, classes } = served;
    let is_isolated = |class: &&Class<'_>| !scene.isolating(class, Direction::Ingress).is_empty();
    if service.kind == ServiceKind::ExternalName || !classes.iter().all(is_isolated) {
        return;
    }
    let policies = policies(scene, classes);
    let related = || policies.iter().map(|seen| seen.object());
    let object = || ObjectRef::Service(service.key.clone());
    let lets_in = |seen: &Seen<'_>, rule: &SeenRule<'_>| {
        let mut peers = rule.peers.iter();
        rule.is_for_everybody() || peers.any(|at| scene.unread.has_somebody(seen, at))
    };
    let mut rules = policies.iter().flat_map(|seen| {
        seen.rules(Direction::Ingress)
            .iter()
            .map(move |rule| (*seen, rule))
    });
    if !rules.any(|(seen, rule)| lets_in(seen, rule)) {
        let message = format!(
            "nobody is let in by {}",
            listed(policies.iter().map(|seen| &seen.policy.key))
        );
        findings.add(Finding::new(Code::ServiceClosed, object(), message).related_to(related()));
        return;
    }
    // Clients of a headless Service connect to ports of pods, whatever its own say.
    let ports = service.ports.iter().enumerate().filter(|_| !service.headless);
    for (index, port) in ports {
        // Of a name that no pod declares there is nothing to allow.
        let numbers: std::collections::BTreeSet<u16> =
            classes.iter().flat_map(|class| targets(port, class)).collect();
        let is_open = |class: &&Class<'_>| {
            let mut policies = scene.at(scene.isolating(class, Direction::Ingress));
            policies.any(|seen| {
                let mut rules = seen.rules(Direction::Ingress).iter();
                rules.any(|rule| opens(rule, port, class) && lets_in(seen, rule))
            })
        };
        if numbers.is_empty() || classes.iter().any(is_open) {
            continue;
        }
        let message = format!(
            "no policy of its pods allows {}/{}, which this port stands for, to anybody",
            listed(numbers),
            port.protocol
        );
        let finding = Finding::new(Code::ServicePortClosed, object(), message);
        findings.add(finding.at(format!("spec.ports[{index}]")).related_to(related()));
    }
}

/// A Service that is open to the outside and hides who comes, before pods that look at addresses.
fn source_lost(scene: &Scene<'_>, served: &Served<'_>) -> Option<Finding> {
    let Served { service, classes } = served;
    let outside = matches!(service.kind, ServiceKind::NodePort | ServiceKind::LoadBalancer);
    if !outside || service.keeps_source {
        return None;
    }
    let mut policies: Vec<&Seen<'_>> = Vec::new();
    for class in classes {
        for port in &service.ports {
            let isolating = scene.at(scene.isolating(class, Direction::Ingress));
            let rules = isolating.flat_map(|seen| {
                let rules = seen.rules(Direction::Ingress).iter();
                rules.map(move |rule| (seen, rule))
            });
            let opening = rules.filter(|(_, rule)| opens(rule, port, class));
            let opening: Vec<(&Seen<'_>, &SeenRule<'_>)> = opening.collect();
            if lets_nodes_in(scene, &opening) {
                continue;
            }
            let by_address = opening.iter().filter(|(_, rule)| blocks(rule).next().is_some());
            policies.extend(by_address.map(|(seen, _)| *seen));
        }
    }
    policies.sort_by_key(|seen| &seen.policy.key);
    policies.dedup_by_key(|seen| &seen.policy.key);
    if policies.is_empty() {
        return None;
    }
    let message = format!(
        "is Cluster, so that the ipBlocks of {} do not see the addresses of clients",
        listed(policies.iter().map(|seen| &seen.policy.key))
    );
    let finding = Finding::new(Code::SourceLost, ObjectRef::Service(service.key.clone()), message);
    let finding = finding.at("spec.externalTrafficPolicy");
    Some(finding.related_to(policies.iter().map(|seen| seen.object())))
}

fn blocks<'s>(rule: &'s SeenRule<'_>) -> impl Iterator<Item = &'s IpBlock> {
    rule.peers.iter().filter_map(|at| match at.peer {
        Peer::Block(block) => Some(block),
        Peer::Pods(_) => None,
    })
}

/// Whether rules that open a port together allow it to the nodes, by whose addresses connections come. Of nodes that are not
/// known any block may be that stands beside another and is for an inside.
fn lets_nodes_in(scene: &Scene<'_>, rules: &[(&Seen<'_>, &SeenRule<'_>)]) -> bool {
    let all: Vec<&IpBlock> = rules.iter().flat_map(|(_, rule)| blocks(rule)).collect();
    let world = |block: &&IpBlock| block.cidr().prefix_len() == 0 && block.except().is_empty();
    if rules.iter().any(|(_, rule)| rule.is_for_everybody()) || all.iter().any(world) {
        return true;
    }
    let nodes = scene.inventory.state.nodes().values();
    let mut nodes = nodes.filter(|node| !node.addresses.is_empty()).peekable();
    if nodes.peek().is_none() {
        return all.len() > 1 && all.iter().any(|block| may_be_inside(block));
    }
    // A connection gets one of the addresses of its node, its internal one in most clusters.
    nodes.all(|node| {
        let mut addresses = node.addresses.iter();
        addresses.any(|address| all.iter().any(|block| block.contains(*address)))
    })
}
