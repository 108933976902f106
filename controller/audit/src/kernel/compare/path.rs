//! The ways that packets take through a node, as the places where its tables look at them.

use std::collections::BTreeSet;

use crate::kernel::document::NodeTables;
use crate::kernel::node::{Node, Seat};
use crate::kernel::ruleset::{Cast, Family, Frame, Hook};
use crate::kernel::walk::{Phase, Stop, View, Walker};

use super::ELSEWHERE;
use super::named::Names;

/// A way out of the node, or into it, that is no pod's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Outside {
    /// The interface that the forward hook sees.
    pub(super) interface: String,
    /// The port of it that leads out, where it is a bridge.
    pub(super) uplink: Option<String>,
    /// What is known of it.
    pub(super) standing: Standing,
}

/// What is known of a way out of the node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// Connections take it, for all that is known: an interface that nothing names, or that the tables name and no pod has.
    Used,
    /// It is a bridge that is the pod's own as well.
    Shared,
    /// Its name says that it is a pod's that is not known. It may be closed, but must not be more open than others.
    Unknown,
}

/// What all paths of a node have in common.
pub(super) struct Paths {
    /// Hooks at which the tables have chains.
    hooks: BTreeSet<(Family, Hook)>,
    /// Interfaces that have chains of their own.
    devices: BTreeSet<String>,
    outsides: Vec<Outside>,
}

impl Paths {
    pub(super) fn new(node: &Node<'_>, tables: &NodeTables, names: &Names) -> Self {
        let tables = tables.ruleset.tables.iter();
        let bases = tables.flat_map(|(family, table)| {
            let bases = table.chains.iter().filter_map(|chain| chain.base.as_ref());
            bases.map(|base| (*family, base))
        });
        let (mut hooks, mut devices) = (BTreeSet::new(), BTreeSet::new());
        for (family, base) in bases {
            hooks.insert((family, base.hook));
            devices.extend(base.devices.iter().flatten().cloned());
        }
        let outside = |interface: String, uplink, standing| Outside {
            interface,
            uplink,
            standing,
        };
        let mut outsides = vec![outside(ELSEWHERE.to_owned(), None, Standing::Used)];
        for (bridge, uplinks) in &node.facts.uplinks {
            let shared = uplinks
                .iter()
                .map(|uplink| outside(bridge.clone(), Some(uplink.clone()), Standing::Shared));
            outsides.extend(shared);
        }
        outsides.extend(
            names
                .outsides()
                .map(|(name, standing)| outside(name, None, standing)),
        );
        Self {
            hooks,
            devices,
            outsides,
        }
    }

    /// The ways between a pod and what is outside of the node.
    pub(super) fn outsides(&self, seat: &Seat) -> Vec<Outside> {
        let is_for = |outside: &&Outside| match outside.standing {
            Standing::Used | Standing::Unknown => true,
            Standing::Shared => seat.bridge.as_ref() == Some(&outside.interface),
        };
        self.outsides.iter().filter(is_for).cloned().collect()
    }

    /// Whether a way out meets no chain that others do not.
    pub(super) fn has_no_chains(&self, outside: &Outside) -> bool {
        outside.uplink.is_none() && !self.devices.contains(&outside.interface)
    }

    /// From a pod out of the node.
    pub(super) fn out(&self, walker: &mut Walker<'_>, frame: Frame, from: &Seat, to: &Outside) -> Vec<Stop> {
        let uplink = bridged(from, to);
        let mut stops = Stops::new(self, walker, frame);
        stops.leave_pod(from, uplink.is_some());
        stops.forwarded(
            from.forwarding(),
            &to.interface,
            uplink.map(|uplink| (&*from.veth, uplink)),
        );
        match uplink {
            Some(uplink) => stops.reach_port(uplink),
            None => stops.add(Family::Netdev, Hook::Egress, None, Some(&to.interface)),
        }
        stops.way
    }

    /// From outside of the node to a pod.
    pub(super) fn inward(
        &self,
        walker: &mut Walker<'_>,
        frame: Frame,
        from: &Outside,
        to: &Seat,
    ) -> Vec<Stop> {
        let uplink = bridged(to, from);
        let mut stops = Stops::new(self, walker, frame);
        match uplink {
            Some(uplink) => stops.leave_port(uplink),
            None => stops.come_in(&from.interface),
        }
        stops.forwarded(
            &from.interface,
            to.forwarding(),
            uplink.map(|uplink| (uplink, &*to.veth)),
        );
        stops.reach_pod(to, uplink.is_some());
        stops.way
    }

    /// Between two pods of the node.
    pub(super) fn between(&self, walker: &mut Walker<'_>, frame: Frame, from: &Seat, to: &Seat) -> Vec<Stop> {
        let mut stops = Stops::new(self, walker, frame);
        let same = from.bridge.is_some() && from.bridge == to.bridge;
        stops.leave_pod(from, same);
        stops.forwarded(
            from.forwarding(),
            to.forwarding(),
            same.then_some((&*from.veth, &*to.veth)),
        );
        stops.reach_pod(to, same);
        stops.way
    }

    /// Where the node first sees a pod's packets.
    pub(super) fn source(&self, walker: &mut Walker<'_>, frame: Frame, from: &Seat) -> Option<Stop> {
        let mut stops = Stops::new(self, walker, frame);
        stops.add(Family::Netdev, Hook::Ingress, Some(&from.veth), None);
        stops.way.pop()
    }

    /// What packets from a pod may pass that no others do, and what those to it may.
    pub(super) fn of_pod(&self, walker: &mut Walker<'_>, frame: Frame, seat: &Seat) -> [Vec<Stop>; 2] {
        let mut from = Stops::new(self, walker, frame);
        from.leave_pod(seat, false);
        let from = from.way;
        let mut to = Stops::new(self, walker, frame);
        to.reach_pod(seat, false);
        [from, to.way]
    }

    /// The hooks at which the tables have chains for packets between interfaces.
    pub(super) fn hooks(&self) -> impl Iterator<Item = (Family, Hook)> {
        self.hooks.iter().copied()
    }

    /// Where a bridge sees what a pod sends to everybody, and what it would hand to it.
    pub(super) fn flood(
        &self,
        walker: &mut Walker<'_>,
        frame: Frame,
        cast: Cast,
        seat: &Seat,
        hook: Hook,
    ) -> Option<Stop> {
        let mut stops = Stops::new(self, walker, frame);
        stops.cast = cast;
        let port = Some(seat.veth.as_str());
        match hook {
            Hook::Prerouting => stops.add(Family::Bridge, hook, port, None),
            _ => stops.add(Family::Bridge, hook, None, port),
        }
        stops.way.pop()
    }
}

/// The uplink, where packets between a pod and the outside stay on the pod's bridge.
fn bridged<'o>(seat: &Seat, outside: &'o Outside) -> Option<&'o str> {
    let same = seat.bridge.as_ref() == Some(&outside.interface);
    outside.uplink.as_deref().filter(|_| same)
}

struct Stops<'p, 'w, 'r> {
    paths: &'p Paths,
    walker: &'w mut Walker<'r>,
    frame: Frame,
    cast: Cast,
    way: Vec<Stop>,
}

impl<'p, 'w, 'r> Stops<'p, 'w, 'r> {
    fn new(paths: &'p Paths, walker: &'w mut Walker<'r>, frame: Frame) -> Self {
        Self {
            paths,
            walker,
            frame,
            cast: Cast::Unicast,
            way: Vec::new(),
        }
    }

    /// Packets as they come in by an interface.
    fn come_in(&mut self, interface: &str) {
        self.add(Family::Netdev, Hook::Ingress, Some(interface), None);
        self.add(Family::Inet, Hook::Ingress, Some(interface), None);
    }

    /// Packets as they come in by the port of a bridge.
    fn leave_port(&mut self, port: &str) {
        self.come_in(port);
        self.add(Family::Bridge, Hook::Prerouting, Some(port), None);
    }

    /// Packets as they leave by the port of a bridge.
    fn reach_port(&mut self, port: &str) {
        self.add(Family::Bridge, Hook::Postrouting, None, Some(port));
        self.add(Family::Netdev, Hook::Egress, None, Some(port));
    }

    /// A pod's packets as they come in, to stay on its bridge or to be routed.
    fn leave_pod(&mut self, seat: &Seat, stays: bool) {
        let Some(bridge) = &seat.bridge else {
            return self.come_in(&seat.veth);
        };
        self.leave_port(&seat.veth);
        if !stays {
            self.add(Family::Bridge, Hook::Input, Some(&seat.veth), None);
            self.come_in(bridge);
        }
    }

    /// Packets as they leave to a pod, from its bridge or routed.
    fn reach_pod(&mut self, seat: &Seat, stays: bool) {
        let Some(bridge) = &seat.bridge else {
            return self.add(Family::Netdev, Hook::Egress, None, Some(&seat.veth));
        };
        if !stays {
            self.add(Family::Netdev, Hook::Egress, None, Some(bridge));
            self.add(Family::Bridge, Hook::Output, None, Some(&seat.veth));
        }
        self.reach_port(&seat.veth);
    }

    /// On their way, on a bridge between two of its ports or not. What is routed still tells after that where it came from
    /// (since Linux 5.7), what is bridged does not.
    fn forwarded(&mut self, input: &str, output: &str, ports: Option<(&str, &str)>) {
        self.add(Family::Inet, Hook::Prerouting, Some(input), None);
        if let Some((from, to)) = ports {
            self.add(Family::Bridge, Hook::Forward, Some(from), Some(to));
        }
        self.add(Family::Inet, Hook::Forward, Some(input), Some(output));
        let input = Some(input).filter(|_| ports.is_none());
        self.add(Family::Inet, Hook::Postrouting, input, Some(output));
    }

    fn add(&mut self, family: Family, hook: Hook, input: Option<&str>, output: Option<&str>) {
        if !self.paths.hooks.contains(&(family, hook)) {
            return;
        }
        let view = View {
            frame: self.frame,
            cast: self.cast,
            phase: Phase::New,
            input: input.map(|name| self.walker.name(name)),
            output: output.map(|name| self.walker.name(name)),
        };
        self.way.push(Stop { family, hook, view });
    }
}
