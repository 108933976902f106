//! Services whose pods are closed to their clients.

use palisade_policy::model::{Direction, Peer, Transport};

use super::Code;
use super::finding::{Finding, Findings};
use super::offer::{Served, targets};
use super::population::Class;
use super::scene::{Scene, Seen, SeenRule};
use super::wording::listed;
use crate::inventory::{ObjectRef, ServiceKind, ServicePort};

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
    let allowed = class.allowed_ports(&rule.rule.ports);
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
    let any_rule = policies
        .iter()
        .flat_map(|seen| seen.rules(Direction::Ingress))
        .any(SeenRule::has_peers);
    if !any_rule {
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
            let mut rules = scene
                .at(scene.isolating(class, Direction::Ingress))
                .flat_map(|seen| seen.rules(Direction::Ingress));
            rules.any(|rule| rule.has_peers() && opens(rule, port, class))
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
    let by_address = |rule: &SeenRule<'_>| {
        // A rule that all nodes are allowed by works all the same.
        let blocks = rule.peers.iter().filter_map(|at| match at.peer {
            Peer::Block(block) => Some(block),
            Peer::Pods(_) => None,
        });
        let mut blocks = blocks.peekable();
        blocks.peek().is_some()
            && blocks.all(|block| {
                let world = block.cidr().prefix_len() == 0 && block.except().is_empty();
                let nodes = scene.addresses.nodes_in(block).map_or(0, |within| within.count);
                !world && (nodes == 0 || nodes < scene.addresses.node_count())
            })
    };
    let policies = policies(scene, classes);
    let policies = policies.into_iter().filter(|seen| {
        seen.rules(Direction::Ingress).iter().any(|rule| {
            let opens = classes
                .iter()
                .any(|class| service.ports.iter().any(|port| opens(rule, port, class)));
            opens && by_address(rule)
        })
    });
    let policies: Vec<&Seen<'_>> = policies.collect();
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
