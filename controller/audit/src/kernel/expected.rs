//! What the API says, one side at a time: which transports a pod's egress lets out to each address, and which its ingress
//! lets in from each.
//!
//! A node judges the egress of its own pods and the ingress of its own pods; what a pod of another node may is judged
//! there. So the answer is wanted for one side, for few pods, and for every address: as a union over the rules of the policies
//! that isolate the pod, each a set of addresses and what it allows there. A test holds it to the oracle's judgements.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::rc::Rc;

use palisade_policy::cluster::ClusterState;
use palisade_policy::model::{
    Direction, IpBlock, NamespaceName, NamespaceScope, Operator, Peer, Peers, Pod, PodPeer, Policy,
    PolicyPort, PortMatch, Ports, Selector,
};
use palisade_policy::reach::Family;

use super::spans::{Pieces, Spans, overlaid};
use super::transport::Transports;

/// An address as a number of its family.
pub(crate) fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => address.to_bits().into(),
        IpAddr::V6(address) => address.to_bits(),
    }
}

/// A number of a family as an address.
pub(crate) fn address(number: u128, family: Family) -> IpAddr {
    match family {
        Family::V4 => Ipv4Addr::from_bits(u32::try_from(number).unwrap_or(u32::MAX)).into(),
        Family::V6 => Ipv6Addr::from_bits(number).into(),
    }
}

/// The last number of a family.
pub(crate) fn last(family: Family) -> u128 {
    match family {
        Family::V4 => u32::MAX.into(),
        Family::V6 => u128::MAX,
    }
}

/// The family of an address.
pub(crate) fn family(address: IpAddr) -> Family {
    match address {
        IpAddr::V4(_) => Family::V4,
        IpAddr::V6(_) => Family::V6,
    }
}

/// Addresses from the first to the last, and transports from the first to the last that are allowed with them.
type Allowed = (u128, u128, (u32, u32));

/// A pod with the addresses that are its own.
struct Peered<'a> {
    pod: &'a Pod,
    v4: Vec<u128>,
    v6: Vec<u128>,
}

impl Peered<'_> {
    fn addresses(&self, family: Family) -> &[u128] {
        match family {
            Family::V4 => &self.v4,
            Family::V6 => &self.v6,
        }
    }
}

/// The pods of a namespace, and those of them that have a label.
#[derive(Default)]
struct Pods<'a> {
    pods: Vec<Rc<Peered<'a>>>,
    labelled: HashMap<(&'a str, &'a str), Vec<usize>>,
}

impl<'a> Pods<'a> {
    fn add(&mut self, pod: Peered<'a>) {
        for (key, value) in pod.pod.labels.iter() {
            self.labelled
                .entry((key, value))
                .or_default()
                .push(self.pods.len());
        }
        self.pods.push(Rc::new(pod));
    }

    /// The pods that a selector matches.
    fn select(&self, selector: &Selector) -> Vec<Rc<Peered<'a>>> {
        let matches = |pod: &&Rc<Peered<'a>>| selector.matches(&pod.pod.labels);
        // A requirement that lists values leaves few pods to ask.
        let listed = selector
            .requirements()
            .find_map(|requirement| match &requirement.operator {
                Operator::In(values) => Some((&requirement.key, values)),
                Operator::NotIn(_) | Operator::Exists | Operator::DoesNotExist => None,
            });
        match listed {
            Some((key, values)) => {
                let places = values
                    .iter()
                    .filter_map(|value| self.labelled.get(&(&**key, &**value)))
                    .flatten();
                let pods = places.filter_map(|place| self.pods.get(*place));
                pods.filter(matches).cloned().collect()
            }
            None => self.pods.iter().filter(matches).cloned().collect(),
        }
    }
}

/// The pods that a peer selects.
type Selected<'a> = Rc<Vec<Rc<Peered<'a>>>>;

/// What the policies of a cluster say of each side of its pods.
pub(crate) struct Expected<'a> {
    state: &'a ClusterState,
    /// The pods of each namespace that have addresses of their own.
    pods: BTreeMap<&'a NamespaceName, Pods<'a>>,
    policies: BTreeMap<&'a NamespaceName, Vec<&'a Policy>>,
    /// The pods that a peer of a namespace's policies selects.
    selected: HashMap<(&'a NamespaceName, &'a PodPeer), Selected<'a>>,
    known: HashMap<(Direction, IpAddr), Rc<Pieces<Transports>>>,
}

impl<'a> Expected<'a> {
    /// Sorts the objects of a cluster.
    pub(crate) fn of(state: &'a ClusterState) -> Self {
        let mut pods: BTreeMap<_, Pods<'_>> = BTreeMap::new();
        for pod in state.pods().values() {
            let mut peered = Peered {
                pod,
                v4: Vec::new(),
                v6: Vec::new(),
            };
            for address in own_addresses(state, pod) {
                match family(address) {
                    Family::V4 => peered.v4.push(number(address)),
                    Family::V6 => peered.v6.push(number(address)),
                }
            }
            if !(peered.v4.is_empty() && peered.v6.is_empty()) {
                pods.entry(&pod.key.namespace).or_default().add(peered);
            }
        }
        let mut policies: BTreeMap<_, Vec<&Policy>> = BTreeMap::new();
        for (key, policy) in state.policies() {
            policies.entry(&key.namespace).or_default().push(policy);
        }
        Self {
            state,
            pods,
            policies,
            selected: HashMap::new(),
            known: HashMap::new(),
        }
    }

    /// What the side of a pod with an address lets pass, for each address at the other end. No two pods may have the address.
    pub(crate) fn over(
        &mut self,
        direction: Direction,
        pod: &'a Pod,
        address: IpAddr,
    ) -> Rc<Pieces<Transports>> {
        if let Some(known) = self.known.get(&(direction, address)) {
            return known.clone();
        }
        let pieces = Rc::new(self.side(direction, pod, family(address)));
        self.known.insert((direction, address), pieces.clone());
        pieces
    }

    /// What one side lets pass between two addresses, the pod being its source for egress, its destination for ingress.
    pub(crate) fn at(
        &mut self,
        direction: Direction,
        pod: &'a Pod,
        source: IpAddr,
        destination: IpAddr,
    ) -> Transports {
        let (own, other) = match direction {
            Direction::Egress => (source, destination),
            Direction::Ingress => (destination, source),
        };
        self.over(direction, pod, own)
            .at(number(other))
            .cloned()
            .unwrap_or_default()
    }

    fn side(&mut self, direction: Direction, pod: &'a Pod, family: Family) -> Pieces<Transports> {
        let mut allowed = Vec::new();
        let mut isolated = false;
        let policies = self.policies.get(&pod.key.namespace).cloned().unwrap_or_default();
        for policy in policies {
            let Some(rules) = policy
                .rules(direction)
                .filter(|_| policy.subject.matches(&pod.labels))
            else {
                continue;
            };
            isolated = true;
            for rule in rules {
                // A name is what it is on the destination: on this pod, or on each peer.
                let ports = RulePorts::of(&rule.ports, (direction == Direction::Ingress).then_some(pod));
                match &rule.peers {
                    Peers::All => {
                        add(&mut allowed, (0, u128::MAX), &ports.fixed);
                        self.named(&ports, family, |_| true, &mut allowed);
                    }
                    Peers::AnyOf(peers) => {
                        for peer in peers {
                            self.peer(policy, peer, &ports, family, &mut allowed);
                        }
                    }
                }
            }
        }
        if isolated {
            overlaid(allowed).map(|carried| Transports(carried.clone()))
        } else {
            Pieces::constant(Transports::all())
        }
    }

    fn peer(
        &mut self,
        policy: &'a Policy,
        peer: &'a Peer,
        ports: &RulePorts<'_>,
        of: Family,
        allowed: &mut Vec<Allowed>,
    ) {
        match peer {
            Peer::Pods(peer) => {
                for peered in self.select(&policy.key.namespace, peer).iter() {
                    let carried = ports.on(peered.pod);
                    for address in peered.addresses(of) {
                        add(allowed, (*address, *address), &carried);
                    }
                }
            }
            Peer::Block(block) if family(block.cidr().addr()) == of => {
                let spans = spans(block);
                for stretch in spans.stretches() {
                    add(allowed, *stretch, &ports.fixed);
                }
                self.named(ports, of, |address| spans.contains(address), allowed);
            }
            Peer::Block(_) => {}
        }
    }

    /// What names stand for, on all pods whose address is within something.
    fn named(
        &self,
        ports: &RulePorts<'_>,
        of: Family,
        is_within: impl Fn(u128) -> bool,
        allowed: &mut Vec<Allowed>,
    ) {
        if ports.named.is_empty() {
            return;
        }
        for peered in self.pods.values().flat_map(|pods| &pods.pods) {
            let carried = ports.on(peered.pod);
            for address in peered.addresses(of).iter().filter(|address| is_within(**address)) {
                add(allowed, (*address, *address), &carried);
            }
        }
    }

    fn select(&mut self, own: &'a NamespaceName, peer: &'a PodPeer) -> Selected<'a> {
        if let Some(known) = self.selected.get(&(own, peer)) {
            return known.clone();
        }
        let is_in_scope = |namespace: &NamespaceName| match &peer.namespaces {
            NamespaceScope::Own => namespace == own,
            NamespaceScope::Matching(selector) => {
                let known = self.state.namespaces().get(namespace);
                // A namespace that is not known satisfies no requirement.
                known.map_or(selector.is_everything(), |known| selector.matches(&known.labels))
            }
        };
        let namespaces = self.pods.iter().filter(|(namespace, _)| is_in_scope(namespace));
        let selected = Rc::new(
            namespaces
                .flat_map(|(_, pods)| pods.select(&peer.pods))
                .collect::<Vec<_>>(),
        );
        self.selected.insert((own, peer), selected.clone());
        selected
    }
}

fn add(allowed: &mut Vec<Allowed>, (first, last): (u128, u128), carried: &Transports) {
    allowed.extend(
        carried
            .0
            .stretches()
            .iter()
            .map(|stretch| (first, last, *stretch)),
    );
}

/// The ports of a rule.
struct RulePorts<'a> {
    /// Those that are the same whoever is the destination.
    fixed: Transports,
    /// Those that each destination resolves.
    named: Vec<&'a PolicyPort>,
}

impl<'a> RulePorts<'a> {
    /// Names are resolved on the destination, where it is known.
    fn of(ports: &'a Ports, destination: Option<&Pod>) -> Self {
        let Ports::AnyOf(entries) = ports else {
            return Self {
                fixed: Transports::all(),
                named: Vec::new(),
            };
        };
        let mut fixed = Transports::none();
        let mut named = Vec::new();
        for entry in entries {
            let protocol = entry.protocol.number();
            let more = match (&entry.port, destination) {
                (PortMatch::Any, _) => Transports::protocols(protocol, protocol),
                (PortMatch::Range(range), _) => Transports::details(protocol, range.first(), range.last()),
                (PortMatch::Named(_), Some(pod)) => resolved(entry, pod),
                (PortMatch::Named(_), None) => {
                    named.push(entry);
                    continue;
                }
            };
            fixed = fixed.union(&more);
        }
        Self { fixed, named }
    }

    /// The ports for a destination.
    fn on(&self, destination: &Pod) -> Transports {
        let named = self.named.iter().map(|entry| resolved(entry, destination));
        named.fold(self.fixed.clone(), |all, more| all.union(&more))
    }
}

/// The numbers that a pod declares under the name of a port entry.
fn resolved(entry: &PolicyPort, pod: &Pod) -> Transports {
    let PortMatch::Named(name) = &entry.port else {
        return Transports::none();
    };
    let declared = pod
        .ports
        .iter()
        .filter(|port| port.name == *name && port.protocol == entry.protocol);
    declared.fold(Transports::none(), |all, port| {
        all.union(&Transports::details(
            port.protocol.number(),
            port.number,
            port.number,
        ))
    })
}

/// The addresses of a pod that no other has taken over.
pub(crate) fn own_addresses<'a>(state: &'a ClusterState, pod: &'a Pod) -> impl Iterator<Item = IpAddr> + 'a {
    let addresses: BTreeSet<IpAddr> = pod.addresses.iter().copied().collect();
    addresses
        .into_iter()
        .filter(|address| state.owner(*address).is_some_and(|owner| owner.uid == pod.uid))
}

/// The addresses of a block, its own excepts taken out.
fn spans(block: &IpBlock) -> Spans<u128> {
    let span = |net: &ipnet::IpNet| (number(net.network()), number(net.broadcast()));
    let whole = Spans::of(vec![span(&block.cidr())]);
    whole.difference(&Spans::of(block.except().iter().map(span).collect()))
}

#[cfg(test)]
mod tests {
    use palisade_policy::evaluate::{Outcome, Reason, evaluate};
    use palisade_policy::model::Packet;
    use palisade_policy::testing::config;
    use palisade_policy::testing::strategies::{history, packet};
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;
    use crate::kernel::transport::Carried;

    proptest! {
        #![proptest_config(config(200))]

        #[test]
        fn each_side_lets_pass_what_the_oracle_says_of_it(events in history(150), packets in vec(packet(), 150)) {
            let state = ClusterState::from_events(events);
            let mut expected = Expected::of(&state);
            for packet in packets {
                let evaluation = evaluate(&state, &packet);
                let Reason::Judged { egress, ingress } = &evaluation.reason else { continue };
                for (direction, side) in [(Direction::Egress, egress), (Direction::Ingress, ingress)] {
                    let Some(side) = side else { continue };
                    let Packet { source, destination, transport } = packet;
                    let own = if direction == Direction::Egress { source } else { destination };
                    let Some(pod) = state.owner(own) else { continue };
                    let passes = expected.at(direction, pod, source, destination).contains(Carried::from(transport));
                    let denied = matches!(side.outcome, Outcome::Denied { .. });
                    prop_assert_eq!(passes, !denied, "{} {}", direction, evaluation);
                }
            }
        }
    }
}
