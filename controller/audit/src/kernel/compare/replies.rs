//! Whether connections that may be begun can go on: the packets that follow the first, and those that come back.
//!
//! Policies speak of connections, rules of packets. That the first packet of a connection passes is worth nothing where a rule
//! drops what follows it. Nearly always one look at the rules tells that nothing established is dropped, for all pairs at once
//! ([`Calm`]); only where it does not, packets are followed pair by pair.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use crate::kernel::difference::{Finding, Judged, Kernel, Lost, LostPackets, Others, Witness};
use crate::kernel::expected::{family, number};
use crate::kernel::ruleset::{self, Cast, Hook};
use crate::kernel::spans::{Pieces, Spans};
use crate::kernel::transport::Transports;
use crate::kernel::walk::{Axis, Ends, Passed, Phase, Stop, View};

use super::path::Outside;
use super::relation::{Local, of_routers};
use super::witness::frame;
use super::{Comparison, FOLLOWED};

/// What is known of established packets without following any.
pub(super) struct Calm {
    /// The addresses of pods by which all of them pass, whatever is at the other end.
    free: BTreeSet<IpAddr>,
}

impl Calm {
    pub(super) fn is_free(&self, local: &Local<'_>) -> bool {
        self.free.contains(&local.address)
    }
}

/// What is lost: by what the kernel does and what the first packets carry, from or to which addresses.
type Losing = BTreeMap<(LostPackets, Kernel, Transports), Vec<(u128, u128)>>;

impl<'s> Comparison<'s, '_> {
    /// Looks for what holds of established packets whatever they are.
    pub(super) fn calm(&mut self, own: &[Local<'s>]) -> Calm {
        let mut free = BTreeSet::new();
        let Some(first) = own.first() else {
            return Calm { free };
        };
        let view = View {
            frame: frame(family(first.address)),
            cast: Cast::Unicast,
            phase: Phase::Reply,
            input: None,
            output: None,
        };
        let hooks: Vec<_> = self.paths.hooks().collect();
        let is_quiet = hooks.into_iter().all(|(family, hook)| {
            let is_of_pods = hook.is_of_interfaces()
                || family == ruleset::Family::Bridge && matches!(hook, Hook::Prerouting | Hook::Postrouting)
                || matches!(hook, Hook::Input | Hook::Output) && family == ruleset::Family::Inet;
            is_of_pods || self.walker.lets_established_pass(&Stop { family, hook, view })
        });
        if is_quiet {
            for local in own {
                if self.is_free(local) {
                    free.insert(local.address);
                }
            }
        }
        Calm { free }
    }

    /// Whether all that a pod sends from an address, and all that is sent to it, passes where it enters and leaves the node.
    fn is_free(&mut self, local: &Local<'s>) -> bool {
        let of = family(local.address);
        let [from, to] = self.paths.of_pod(&mut self.walker, frame(of), &local.seat);
        let own = number(local.address);
        let ends = Ends {
            source: own,
            destination: own,
        };
        let needed = Transports::all().difference(&of_routers(of));
        let from = from.into_iter().map(|stop| (stop, Axis::Destination));
        let mut stops = from.chain(to.into_iter().map(|stop| (stop, Axis::Source)));
        stops.all(|(stop, axis)| {
            self.walker.lets_established_pass(&stop)
                || [Phase::Later, Phase::Reply].into_iter().all(|phase| {
                    let passed = self.walker.over(&stop.in_phase(phase), axis, ends);
                    passed
                        .accept
                        .is_constant()
                        .is_some_and(|accept| needed.is_within(accept))
                })
        })
    }

    /// Connections between a pod and the outside: those that are begun.
    pub(super) fn outside_goes_on(
        &mut self,
        local: &Local<'s>,
        judged: Judged,
        outside: &Outside,
        forth: &[Stop],
        begun: &Pieces<Transports>,
    ) {
        let frame = frame(family(local.address));
        let (back, axis) = match judged {
            Judged::Ingress => (
                self.paths.out(&mut self.walker, frame, &local.seat, outside),
                Axis::Source,
            ),
            Judged::Egress | Judged::Both => (
                self.paths.inward(&mut self.walker, frame, outside, &local.seat),
                Axis::Destination,
            ),
        };
        let own = number(local.address);
        let ends = Ends {
            source: own,
            destination: own,
        };
        let mut losing = Losing::new();
        for (packets, stops, axis) in [
            (LostPackets::Later, forth, axis),
            (LostPackets::Replies, back.as_slice(), axis.turned()),
        ] {
            let mut passed = Passed::<Pieces<Transports>>::all();
            for stop in self.troubled(stops, packets) {
                passed = passed.and(&self.walker.over(&stop, axis, ends));
            }
            let does = passed.accept.zip(&passed.unknown, |accept, unknown| {
                (accept.clone(), unknown.clone())
            });
            let lost = begun.zip(&does, |begun, (accept, unknown)| {
                lost(packets, begun, accept, unknown)
            });
            for (first, last, lost) in lost.iter() {
                for (kernel, carried) in lost {
                    let key = (packets, *kernel, carried.clone());
                    losing.entry(key).or_default().push((first, last));
                }
            }
        }
        self.tell_lost(local, judged, losing, forth, &back);
    }

    /// Connections between two pods of the node.
    pub(super) fn pair_goes_on(
        &mut self,
        from: &Local<'s>,
        to: &Local<'s>,
        forth: &[Stop],
        begun: &Transports,
    ) {
        if begun.is_empty() {
            return;
        }
        let frame = frame(family(from.address));
        let back = self.paths.between(&mut self.walker, frame, &to.seat, &from.seat);
        let ends = Ends {
            source: number(from.address),
            destination: number(to.address),
        };
        let mut losing = Losing::new();
        for (packets, stops, ends) in [
            (LostPackets::Later, forth, ends),
            (LostPackets::Replies, back.as_slice(), ends.turned()),
        ] {
            let mut passed = Passed::<Transports>::all();
            for stop in self.troubled(stops, packets) {
                passed = passed.and(&self.walker.at(&stop, ends));
            }
            let other = number(to.address);
            for (kernel, carried) in lost(packets, begun, &passed.accept, &passed.unknown) {
                let key = (packets, kernel, carried);
                losing.entry(key).or_default().push((other, other));
            }
        }
        self.tell_lost(from, Judged::Both, losing, forth, &back);
    }

    /// The stops at which established packets may be dropped.
    fn troubled(&mut self, stops: &[Stop], packets: LostPackets) -> Vec<Stop> {
        let phase = phase(packets);
        let stops = stops.iter().map(|stop| stop.in_phase(phase));
        stops
            .filter(|stop| !self.walker.lets_established_pass(stop))
            .collect()
    }

    fn tell_lost(
        &mut self,
        local: &Local<'s>,
        judged: Judged,
        losing: Losing,
        forth: &[Stop],
        back: &[Stop],
    ) {
        let of = family(local.address);
        for ((packets, kernel, carried), stretches) in losing {
            if self.findings.len() >= FOLLOWED {
                self.untold += 1;
                continue;
            }
            let addresses = Spans::of(stretches);
            let (Some(other), Some(example)) = (self.pick(&addresses, of), carried.example()) else {
                continue;
            };
            let (source, destination) = match judged {
                Judged::Egress | Judged::Both => (local.address, other),
                Judged::Ingress => (other, local.address),
            };
            let witness = Witness {
                source,
                destination,
                carried: example,
            };
            let (way, packet) = match packets {
                LostPackets::Later => (forth, witness),
                LostPackets::Replies => (
                    back,
                    Witness {
                        source: destination,
                        destination: source,
                        carried: example.reply().unwrap_or(example),
                    },
                ),
            };
            let way: Vec<Stop> = way.iter().map(|stop| stop.in_phase(phase(packets))).collect();
            let steps = self.steps(&way, &packet);
            let pods = self.pods_at(&addresses, of);
            self.findings.push(Finding::Lost(Lost {
                pods: vec![local.pod.key.clone()],
                judged,
                others: Others { addresses, pods },
                carried,
                packets,
                kernel,
                witness,
                steps,
            }));
        }
    }
}

fn phase(packets: LostPackets) -> Phase {
    match packets {
        LostPackets::Later => Phase::Later,
        LostPackets::Replies => Phase::Reply,
    }
}

/// Of connections that are begun, those of which other packets do not pass, or may not.
fn lost(
    packets: LostPackets,
    begun: &Transports,
    accept: &Transports,
    unknown: &Transports,
) -> Vec<(Kernel, Transports)> {
    let kept = |passing: &Transports| match packets {
        LostPackets::Later => passing.clone(),
        LostPackets::Replies => passing.answered(),
    };
    let may_be = begun.difference(&kept(accept));
    if may_be.is_empty() {
        return Vec::new();
    }
    let surely = may_be.difference(&kept(&accept.union(unknown)));
    let perhaps = may_be.difference(&surely);
    [(Kernel::Denies, surely), (Kernel::Unknown, perhaps)]
        .into_iter()
        .filter(|(_, carried)| !carried.is_empty())
        .collect()
}
