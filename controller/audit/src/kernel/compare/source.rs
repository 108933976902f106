//! What a pod can send as its own, and what a bridge floods.

use palisade_policy::model::Direction;
use palisade_policy::reach::Family;

use crate::kernel::difference::{Finding, Kernel, SourceCheck, Witness};
use crate::kernel::expected::{address, family, last, number};
use crate::kernel::node::Seat;
use crate::kernel::ruleset::{Cast, Frame, Hook};
use crate::kernel::spans::{Pieces, Spans};
use crate::kernel::transport::Transports;
use crate::kernel::walk::{Axis, Ends, Fate, Passed};

use super::Comparison;
use super::relation::of_routers;
use super::witness::{example, packet};

/// `fe80::/10`
const LINK_LOCAL_V6: (u128, u128) = (0xfe80 << 112, (0xfe80 << 112) | (u128::MAX >> 10));

/// A pod on its place, with all of its addresses.
struct Sender {
    pod: usize,
    seat: Seat,
    own: Vec<std::net::IpAddr>,
}

/// What the kernel does wrong, and from which addresses.
type Wrong = (Kernel, Transports, Vec<(u128, u128)>);

impl Comparison<'_, '_> {
    fn senders(&self) -> Vec<Sender> {
        let senders = self
            .node
            .residents
            .iter()
            .enumerate()
            .filter_map(|(pod, resident)| {
                let seat = resident.seat.clone()?;
                let own = resident.sending.clone();
                Some(Sender { pod, seat, own })
            });
        senders.collect()
    }

    /// That pods send from their own addresses alone.
    pub(super) fn sources(&mut self) {
        if !self.tells_devices() {
            return;
        }
        for sender in self.senders() {
            if sender.own.is_empty() || !self.is_bound(&sender.seat.veth) {
                continue;
            }
            for frame in Frame::ALL {
                self.source(&sender, frame);
            }
        }
    }

    fn source(&mut self, sender: &Sender, frame: Frame) {
        let of = if frame == Frame::V6 {
            Family::V6
        } else {
            Family::V4
        };
        let own = sender.own.iter().filter(|address| family(**address) == of);
        let own = Spans::of(own.map(|address| (number(*address), number(*address))).collect());
        let stop = self.paths.source(&mut self.walker, frame, &sender.seat);
        let ends = Ends {
            source: 0,
            destination: 0,
        };
        let passed = match &stop {
            Some(stop) => self.walker.over(stop, Axis::Source, ends),
            None => Passed::<Pieces<Transports>>::all(),
        };
        let may = allowed_sources(frame, &own);
        let does = passed.accept.zip(&passed.unknown, |accept, unknown| {
            (accept.clone(), unknown.clone())
        });
        let is_own = Pieces::within(&own, &true, false);
        let must = is_own.map(|is_own| *is_own && frame == Frame::Arp);
        let wrong =
            may.zip(&must, |may, must| (may.clone(), *must))
                .zip(&does, |(may, must), (accept, unknown)| {
                    let too_much = accept.difference(may);
                    if !too_much.is_empty() {
                        return Some((Kernel::Allows, too_much));
                    }
                    if !unknown.is_empty() {
                        return Some((Kernel::Unknown, unknown.clone()));
                    }
                    (*must && accept.is_empty()).then(|| (Kernel::Denies, may.clone()))
                });
        let mut found: Vec<Wrong> = Vec::new();
        for (first, end, wrong) in wrong.iter() {
            let (Some((kernel, carried)), true) = (wrong, first <= last(of)) else {
                continue;
            };
            let stretch = (first, end.min(last(of)));
            match found
                .iter_mut()
                .find(|(same, what, _)| (same, what) == (kernel, carried))
            {
                Some((.., stretches)) => stretches.push(stretch),
                None => found.push((*kernel, carried.clone(), vec![stretch])),
            }
        }
        for (kernel, carried, stretches) in found {
            let sources = Spans::of(stretches);
            let witness = self.forged(&sources, of);
            let packet = packet(&Witness {
                source: witness,
                destination: address(0, of),
                carried: example(&carried),
            });
            let steps = stop
                .map(|stop| self.walker.trace(&stop, packet).steps)
                .unwrap_or_default();
            let pod = self
                .node
                .residents
                .get(sender.pod)
                .map(|resident| resident.pod.key.clone());
            if let Some(pod) = pod {
                self.findings.push(Finding::Source(SourceCheck {
                    pod,
                    interface: sender.seat.veth.clone(),
                    arp: frame == Frame::Arp,
                    sources,
                    carried,
                    kernel,
                    witness,
                    steps,
                }));
            }
        }
    }

    /// A source address of a set, another pod's if there is one: that is what a liar would choose.
    fn forged(&self, sources: &Spans<u128>, of: Family) -> std::net::IpAddr {
        let residents = self
            .node
            .residents
            .iter()
            .flat_map(|resident| &resident.addresses);
        let mut pods = residents.filter(|address| family(**address) == of);
        let pod = pods.find(|address| sources.contains(number(**address))).copied();
        let first = sources
            .stretches()
            .first()
            .map_or(0, |(first, end)| if first < end { first + 1 } else { *first });
        pod.unwrap_or_else(|| address(first, of))
    }

    /// That a bridge floods nothing from an isolated pod, and to it nothing but what is for one of its addresses.
    pub(super) fn floods(&mut self) {
        for sender in self
            .senders()
            .into_iter()
            .filter(|sender| sender.seat.bridge.is_some())
        {
            for (frame, of) in [(Frame::V4, Family::V4), (Frame::V6, Family::V6)] {
                for cast in [Cast::Multicast, Cast::Broadcast] {
                    self.flood(&sender, frame, of, cast, Direction::Egress);
                    self.flood(&sender, frame, of, cast, Direction::Ingress);
                }
            }
        }
    }

    fn flood(&mut self, sender: &Sender, frame: Frame, of: Family, cast: Cast, direction: Direction) {
        let Some(pod) = self.node.residents.get(sender.pod).map(|resident| resident.pod) else {
            return;
        };
        let mut policies = self.state.policies().values();
        let isolated = policies.any(|policy| {
            policy.key.namespace == pod.key.namespace
                && policy.subject.matches(&pod.labels)
                && policy.rules(direction).is_some()
        });
        if !isolated || sender.own.is_empty() {
            return;
        }
        let discovery = match of {
            Family::V4 => Transports::none(),
            Family::V6 => Transports::discovery(),
        };
        let own = sender.own.iter().filter(|address| family(**address) == of);
        let own_number = own.clone().next().map_or(0, |address| number(*address));
        let ends = Ends {
            source: own_number,
            destination: own_number,
        };
        let (hook, may) = match direction {
            Direction::Egress => (Hook::Prerouting, Pieces::constant(discovery)),
            Direction::Ingress => {
                let mut own: Vec<_> = own.map(|address| (number(*address), number(*address))).collect();
                if of == Family::V6 {
                    own.push(LINK_LOCAL_V6);
                }
                (
                    Hook::Postrouting,
                    Pieces::within(&Spans::of(own), &Transports::all(), discovery),
                )
            }
        };
        let stop = self
            .paths
            .flood(&mut self.walker, frame, cast, &sender.seat, hook);
        let passed = match &stop {
            Some(stop) => self.walker.over(stop, Axis::Destination, ends),
            None => Passed::<Pieces<Transports>>::all(),
        };
        let possible = passed.accept.zip(&passed.unknown, Transports::union);
        let too_much = possible.zip(&may, Transports::difference);
        let found = too_much
            .iter()
            .find(|(first, _, carried)| !carried.is_empty() && *first <= last(of));
        let Some((first, _, carried)) = found else { return };
        let witness = Witness {
            source: address(own_number, of),
            destination: address(first, of),
            carried: example(carried),
        };
        let word = if cast == Cast::Broadcast {
            "broadcast"
        } else {
            "multicast"
        };
        let port = &sender.seat.veth;
        let side = if direction == Direction::Egress {
            "from"
        } else {
            "to"
        };
        let trace = stop.map(|stop| self.walker.trace(&stop, packet(&witness)));
        debug_assert!(trace.as_ref().is_none_or(|trace| trace.fate != Fate::Dropped));
        self.findings.push(Finding::Flood {
            pod: pod.key.clone(),
            direction,
            carried: carried.clone(),
            witness: format!(
                "{} in a {word} frame {side} port {port}, for {}",
                witness.carried, witness.destination
            ),
            steps: trace.map(|trace| trace.steps).unwrap_or_default(),
        });
    }
}

/// From which addresses a pod may send what.
fn allowed_sources(frame: Frame, own: &Spans<u128>) -> Pieces<Transports> {
    let of = if frame == Frame::V6 {
        Family::V6
    } else {
        Family::V4
    };
    let all = Transports::all().difference(&of_routers(of));
    let from_own = Pieces::within(own, &all, Transports::none());
    if frame != Frame::V6 {
        return from_own;
    }
    // Neighbours find each other by link-local addresses, and a host without an address by none (RFC 4861, 4862).
    let link_local = Spans::one(LINK_LOCAL_V6.0, LINK_LOCAL_V6.1);
    let from_link_local = Pieces::within(&link_local, &all, Transports::none());
    let discovery = Transports::discovery().difference(&Transports::of_routers());
    let from_nobody = Pieces::within(&Spans::one(0, 0), &discovery, Transports::none());
    from_own
        .zip(&from_link_local, Transports::union)
        .zip(&from_nobody, Transports::union)
}
