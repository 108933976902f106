//! Who reaches whom: what must pass, what may, and what does.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::net::IpAddr;

use palisade_policy::model::{Direction, Pod};
use palisade_policy::reach::Family;

use crate::kernel::difference::{Difference, Finding, Judged, Kernel, Others, Witness};
use crate::kernel::expected::{family, last, number};
use crate::kernel::node::{Ground, Seat};
use crate::kernel::spans::{Pieces, Spans};
use crate::kernel::transport::Transports;
use crate::kernel::walk::{Axis, Ends, Passed, Stop};

use super::path::{Outside, Standing};
use super::replies::Calm;
use super::witness::frame;
use super::{Comparison, FOLLOWED};

/// Link-local addresses (RFC 3927, RFC 4291).
const LINK_LOCAL_V4: (u128, u128) = (0xa9fe_0000, 0xa9fe_ffff);
const LINK_LOCAL_V6: (u128, u128) = (0xfe80 << 112, (0xfe80 << 112) | (u128::MAX >> 10));

/// What must pass at least, and what may pass at most.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Bounds {
    must: Transports,
    may: Transports,
}

/// An address of a pod of the node.
#[derive(Clone)]
pub(super) struct Local<'s> {
    pub(super) pod: &'s Pod,
    pub(super) seat: Seat,
    pub(super) address: IpAddr,
}

/// What differs, before anybody asks why: by what the kernel does and what is carried, from or to which addresses.
type Differing = BTreeMap<(Kernel, Transports), Vec<(u128, u128)>>;

/// Where packets of a difference go.
enum Way<'w> {
    /// Between a pod and the outside.
    Outside(&'w [Stop]),
    /// To other pods of the node.
    Pods,
}

impl<'s> Comparison<'s, '_> {
    /// Compares all connections of the node's pods.
    pub(super) fn relation(&mut self) {
        let locals = self.locals();
        for family in [Family::V4, Family::V6] {
            let ground = self.node.ground(family);
            let of_family = |local: &&Local<'_>| crate::kernel::expected::family(local.address) == family;
            let own: Vec<Local<'s>> = locals.iter().filter(of_family).cloned().collect();
            let calm = self.calm(&own);
            for local in &own {
                self.outward(local, &ground, Direction::Egress, &calm);
                self.outward(local, &ground, Direction::Ingress, &calm);
                self.inward(local, &own, &calm);
            }
        }
        self.merge();
    }

    fn locals(&self) -> Vec<Local<'s>> {
        let residents = self.node.residents.iter();
        let locals = residents.filter_map(|resident| {
            let seat = resident.seat.clone()?;
            let pod = resident.pod;
            Some(resident.judged().map(move |address| Local {
                pod,
                seat: seat.clone(),
                address,
            }))
        });
        locals.flatten().collect()
    }

    /// A pod and everybody who is no pod of the node.
    fn outward(&mut self, local: &Local<'s>, ground: &Pieces<Ground>, direction: Direction, calm: &Calm) {
        let family = family(local.address);
        let says = self.expected.over(direction, local.pod, local.address);
        for outside in self.paths.outsides(&local.seat) {
            let bounds = bounds(
                &says,
                ground,
                family,
                &tolerance(&outside, direction, &local.seat, family),
            );
            let frame = frame(family);
            let (stops, axis) = match direction {
                Direction::Egress => (
                    self.paths.out(&mut self.walker, frame, &local.seat, &outside),
                    Axis::Destination,
                ),
                Direction::Ingress => (
                    self.paths.inward(&mut self.walker, frame, &outside, &local.seat),
                    Axis::Source,
                ),
            };
            let own = number(local.address);
            let ends = Ends {
                source: own,
                destination: own,
            };
            let mut passed = Passed::<Pieces<Transports>>::all();
            for stop in &stops {
                passed = passed.and(&self.walker.over(stop, axis, ends));
            }
            let judged = match direction {
                Direction::Egress => Judged::Egress,
                Direction::Ingress => Judged::Ingress,
            };
            if !(calm.is_free(local) && self.paths.has_no_chains(&outside)) {
                let begun = bounds.zip(&passed.accept, |bounds, accept| bounds.must.intersection(accept));
                self.outside_goes_on(local, judged, &outside, &stops, &begun);
            }
            let mut differing = Differing::new();
            let does = passed.accept.zip(&passed.unknown, |accept, unknown| {
                (accept.clone(), unknown.clone())
            });
            let stretches = Cell::new(0);
            let compared = bounds.zip(&does, |bounds, (accept, unknown)| {
                stretches.set(stretches.get() + 1);
                differences(bounds, accept, unknown)
            });
            self.compared.stretches += stretches.get();
            for (first, last, found) in compared.iter() {
                for (kernel, carried) in found {
                    differing
                        .entry((*kernel, carried.clone()))
                        .or_default()
                        .push((first, last));
                }
            }
            self.follow(local, judged, differing, &Way::Outside(&stops), &[]);
        }
    }

    /// A pod and the other pods of the node, itself included.
    fn inward(&mut self, local: &Local<'s>, own: &[Local<'s>], calm: &Calm) {
        let mut differing = Differing::new();
        for other in own {
            let bounds = self.between(local, other);
            let ends = Ends {
                source: number(local.address),
                destination: number(other.address),
            };
            let mut passed = Passed::<Transports>::all();
            let stops = self.paths.between(
                &mut self.walker,
                frame(family(local.address)),
                &local.seat,
                &other.seat,
            );
            for stop in &stops {
                passed = passed.and(&self.walker.at(stop, ends));
            }
            self.compared.pairs += 1;
            if !(calm.is_free(local) && calm.is_free(other)) {
                let begun = bounds.must.intersection(&passed.accept);
                self.pair_goes_on(local, other, &stops, &begun);
            }
            for (kernel, carried) in differences(&bounds, &passed.accept, &passed.unknown) {
                differing
                    .entry((kernel, carried))
                    .or_default()
                    .push((ends.destination, ends.destination));
            }
        }
        self.follow(local, Judged::Both, differing, &Way::Pods, own);
    }

    /// What must pass between two pods of the node.
    fn between(&mut self, from: &Local<'s>, to: &Local<'s>) -> Bounds {
        // What a pod sends to another of its addresses does not leave it.
        if from.pod.uid == to.pod.uid && from.address != to.address {
            return Bounds {
                must: Transports::none(),
                may: Transports::all(),
            };
        }
        let discovery = match family(from.address) {
            Family::V4 => Transports::none(),
            Family::V6 => Transports::discovery(),
        };
        let says = if from.address == to.address {
            Transports::all()
        } else {
            let (source, destination) = (from.address, to.address);
            let egress = self.expected.at(Direction::Egress, from.pod, source, destination);
            egress.intersection(&self.expected.at(Direction::Ingress, to.pod, source, destination))
        };
        Bounds {
            must: says
                .union(&discovery)
                .difference(&of_routers(family(from.address))),
            may: says.union(&discovery),
        }
    }

    /// Finds out why, with a packet of each kind.
    fn follow(
        &mut self,
        local: &Local<'s>,
        judged: Judged,
        differing: Differing,
        way: &Way<'_>,
        own: &[Local<'s>],
    ) {
        for ((kernel, carried), stretches) in differing {
            if self.findings.len() >= FOLLOWED {
                self.untold += 1;
                continue;
            }
            let addresses = Spans::of(stretches);
            let (Some(other), Some(example)) =
                (self.pick(&addresses, family(local.address)), carried.example())
            else {
                continue;
            };
            let witness = match judged {
                Judged::Egress | Judged::Both => Witness {
                    source: local.address,
                    destination: other,
                    carried: example,
                },
                Judged::Ingress => Witness {
                    source: other,
                    destination: local.address,
                    carried: example,
                },
            };
            let steps = match way {
                Way::Outside(stops) => self.steps(stops, &witness),
                Way::Pods => {
                    let to = own.iter().find(|local| local.address == other);
                    let stops = to.map(|to| {
                        let frame = frame(family(local.address));
                        self.paths.between(&mut self.walker, frame, &local.seat, &to.seat)
                    });
                    self.steps(&stops.unwrap_or_default(), &witness)
                }
            };
            let (reason, policies) = self.reason(judged, &witness);
            let pods = self.pods_at(&addresses, family(local.address));
            self.findings.push(Finding::Difference(Difference {
                pods: vec![local.pod.key.clone()],
                judged,
                others: Others { addresses, pods },
                carried,
                kernel,
                witness,
                steps,
                reason,
                policies,
            }));
        }
    }
}

/// What a pod never sends, being no router.
pub(super) fn of_routers(family: Family) -> Transports {
    match family {
        Family::V4 => Transports::none(),
        Family::V6 => Transports::of_routers(),
    }
}

/// The addresses with which a way may be closed whatever policies say.
fn tolerance(outside: &Outside, direction: Direction, seat: &Seat, family: Family) -> Spans<u128> {
    let (first, end) = match family {
        Family::V4 => LINK_LOCAL_V4,
        Family::V6 => LINK_LOCAL_V6,
    };
    let link_local = Spans::one(first, end);
    match (outside.standing, direction) {
        (Standing::Unknown, _) => Spans::one(0, last(family)),
        (Standing::Shared, _) => link_local,
        (Standing::Used, Direction::Ingress) if seat.bridge.is_some() => link_local,
        (Standing::Used, _) => Spans::default(),
    }
}

/// What the kernel should do, for each address at the other end.
fn bounds(
    says: &Pieces<Transports>,
    ground: &Pieces<Ground>,
    family: Family,
    tolerance: &Spans<u128>,
) -> Pieces<Bounds> {
    let discovery = match family {
        Family::V4 => Transports::none(),
        Family::V6 => Transports::discovery(),
    };
    let routers = of_routers(family);
    let is_tolerated = Pieces::within(tolerance, &true, false);
    let ground = ground.zip(&is_tolerated, |ground, tolerated| match (ground, tolerated) {
        (Ground::Open, true) => Ground::Closed,
        (ground, _) => *ground,
    });
    says.zip(&ground, |says, ground| match ground {
        Ground::Open => Bounds {
            must: says.union(&discovery).difference(&routers),
            may: says.union(&discovery),
        },
        Ground::Closed => Bounds {
            must: Transports::none(),
            may: says.union(&discovery),
        },
        Ground::Apart => Bounds {
            must: Transports::none(),
            may: Transports::all(),
        },
    })
}

/// What of the packets at one address is not as it should be.
fn differences(bounds: &Bounds, accept: &Transports, unknown: &Transports) -> Vec<(Kernel, Transports)> {
    let is_right = unknown.is_empty() && (*accept == bounds.must || *accept == bounds.may);
    let is_no_matter = bounds.must.is_empty() && bounds.may == Transports::all();
    if is_right || is_no_matter {
        return Vec::new();
    }
    let parts = [
        (Kernel::Allows, accept.difference(&bounds.may)),
        (Kernel::Denies, bounds.must.difference(accept).difference(unknown)),
        (Kernel::Unknown, unknown.clone()),
    ];
    parts
        .into_iter()
        .filter(|(_, carried)| !carried.is_empty())
        .collect()
}
