//! The ways that packets take through a node, as the places where its tables look at them.

use std::collections::BTreeSet;

use crate::kernel::document::NodeTables;
use crate::kernel::node::{Node, Seat};
use crate::kernel::ruleset::{Cast, Family, Frame, Hook};
use crate::kernel::walk::{Stop, View, Walker};

use super::{ELSEWHERE, named};

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
    /// Connections take it.
    Used,
    /// It is a bridge that is the pod's own as well.
    Shared,
    /// The tables name an interface that no pod of the node has. It may be closed, but must not be more open than others.
    Named,
}

/// What all paths of a node have in common.
pub(super) struct Paths {
    /// Hooks at which the tables have chains.
    hooks: BTreeSet<(Family, Hook)>,
    outsides: Vec<Outside>,
}

impl Paths {
    pub(super) fn new(node: &Node<'_>, tables: &NodeTables) -> Self {
        let hooks = tables.ruleset.tables.iter().flat_map(|(family, table)| {
            let bases = table.chains.iter().filter_map(|chain| chain.base.as_ref());
            bases.map(|base| (*family, base.hook))
        });
        let seats = node
            .residents
            .iter()
            .filter_map(|resident| resident.seat.as_ref());
        let mut own: BTreeSet<&str> = seats.flat_map(|seat| [seat.forwarding(), &seat.veth]).collect();
        own.extend(node.facts.uplinks.keys().map(String::as_str));
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
        let named = named(tables)
            .into_iter()
            .filter(|name| !own.contains(name.as_str()));
        outsides.extend(named.map(|name| outside(name, None, Standing::Named)));
        Self {
            hooks: hooks.collect(),
            outsides,
        }
    }

    /// The ways between a pod and what is outside of the node.
    pub(super) fn outsides(&self, seat: &Seat) -> Vec<Outside> {
        let is_for = |outside: &&Outside| match outside.standing {
            Standing::Used | Standing::Named => true,
            Standing::Shared => seat.bridge.as_ref() == Some(&outside.interface),
        };
        self.outsides.iter().filter(is_for).cloned().collect()
    }

    /// From a pod out of the node.
    pub(super) fn out(&self, walker: &mut Walker<'_>, frame: Frame, from: &Seat, to: &Outside) -> Vec<Stop> {
        let mut stops = Stops::new(self, walker, frame);
        stops.leave_pod(from);
        stops.forwarded(
            from.forwarding(),
            &to.interface,
            bridged(from, to).map(|uplink| (&*from.veth, uplink)),
        );
        if let Some(uplink) = &to.uplink {
            stops.add(Family::Bridge, Hook::Postrouting, None, Some(uplink));
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
        let mut stops = Stops::new(self, walker, frame);
        if let Some(uplink) = &from.uplink {
            stops.add(Family::Bridge, Hook::Prerouting, Some(uplink), None);
        }
        stops.forwarded(
            &from.interface,
            to.forwarding(),
            bridged(to, from).map(|uplink| (uplink, &*to.veth)),
        );
        stops.reach_pod(to);
        stops.way
    }

    /// Between two pods of the node.
    pub(super) fn between(&self, walker: &mut Walker<'_>, frame: Frame, from: &Seat, to: &Seat) -> Vec<Stop> {
        let mut stops = Stops::new(self, walker, frame);
        stops.leave_pod(from);
        let same = from.bridge.is_some() && from.bridge == to.bridge;
        stops.forwarded(
            from.forwarding(),
            to.forwarding(),
            same.then_some((&*from.veth, &*to.veth)),
        );
        stops.reach_pod(to);
        stops.way
    }

    /// Where the node first sees a pod's packets.
    pub(super) fn source(&self, walker: &mut Walker<'_>, frame: Frame, from: &Seat) -> Option<Stop> {
        let mut stops = Stops::new(self, walker, frame);
        stops.add(Family::Netdev, Hook::Ingress, Some(&from.veth), None);
        stops.way.pop()
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

    /// A pod's packets as they come in.
    fn leave_pod(&mut self, seat: &Seat) {
        self.add(Family::Netdev, Hook::Ingress, Some(&seat.veth), None);
        if seat.bridge.is_some() {
            self.add(Family::Bridge, Hook::Prerouting, Some(&seat.veth), None);
        }
    }

    /// Packets as they leave to a pod.
    fn reach_pod(&mut self, seat: &Seat) {
        if seat.bridge.is_some() {
            self.add(Family::Bridge, Hook::Postrouting, None, Some(&seat.veth));
        }
    }

    /// On their way, on a bridge between two of its ports or not.
    fn forwarded(&mut self, input: &str, output: &str, ports: Option<(&str, &str)>) {
        self.add(Family::Inet, Hook::Prerouting, Some(input), None);
        if let Some((from, to)) = ports {
            self.add(Family::Bridge, Hook::Forward, Some(from), Some(to));
        }
        self.add(Family::Inet, Hook::Forward, Some(input), Some(output));
        self.add(Family::Inet, Hook::Postrouting, None, Some(output));
    }

    fn add(&mut self, family: Family, hook: Hook, input: Option<&str>, output: Option<&str>) {
        if !self.paths.hooks.contains(&(family, hook)) {
            return;
        }
        let view = View {
            frame: self.frame,
            cast: self.cast,
            input: input.map(|name| self.walker.name(name)),
            output: output.map(|name| self.walker.name(name)),
        };
        self.way.push(Stop { family, hook, view });
    }
}
