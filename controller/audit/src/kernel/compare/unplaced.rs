//! What the tables leave open without naming it: pods that the node does not know, and chains on interfaces that are not told.

use std::collections::BTreeSet;
use std::net::IpAddr;

use crate::kernel::difference::{Finding, Witness};
use crate::kernel::expected::{family, last, number};
use crate::kernel::node::{Seat, Source};
use crate::kernel::ruleset::{Family, Hook};
use crate::kernel::spans::{Pieces, Spans};
use crate::kernel::transport::Transports;
use crate::kernel::walk::{Axis, Ends, Passed, Stop};

use super::path::{Outside, Standing};
use super::witness::frame;
use super::{Comparison, ELSEWHERE};

/// An interface of a pod that nothing names.
const UNPLACED: &str = "?unplaced";

impl Comparison<'_, '_> {
    /// Pods that the API names and nobody else knows. They should be closed.
    pub(super) fn unplaced(&mut self) {
        let unplaced = self
            .node
            .residents
            .iter()
            .filter(|resident| resident.seat.is_none());
        let known = unplaced.filter(|resident| !resident.addresses.is_empty());
        let known: Vec<_> = known
            .map(|resident| (resident.pod.key.clone(), resident.addresses.clone()))
            .collect();
        for (pod, addresses) in known {
            let open = addresses.iter().find_map(|address| self.opening(*address));
            self.findings.push(Finding::Unplaced { pod, addresses, open });
        }
    }

    /// A packet from or to an address that passes, wherever its pod may be.
    fn opening(&mut self, own: IpAddr) -> Option<Witness> {
        let mut interfaces: Vec<String> = self.names.unknown().map(str::to_owned).collect();
        if interfaces.is_empty() {
            interfaces.push(UNPLACED.to_owned());
        }
        let bridges = self.node.facts.uplinks.keys().cloned().map(Some);
        let bridges: Vec<Option<String>> = bridges.chain([None]).collect();
        let outside = Outside {
            interface: ELSEWHERE.to_owned(),
            uplink: None,
            standing: Standing::Used,
        };
        let of = family(own);
        for veth in &interfaces {
            for bridge in &bridges {
                let seat = Seat {
                    veth: veth.clone(),
                    bridge: bridge.clone(),
                    addresses: BTreeSet::new(),
                    source: Source::Tables,
                };
                let inward = self.paths.inward(&mut self.walker, frame(of), &outside, &seat);
                let out = self.paths.out(&mut self.walker, frame(of), &seat, &outside);
                for (stops, axis) in [(inward, Axis::Source), (out, Axis::Destination)] {
                    if let Some(witness) = self.passing(&stops, axis, own) {
                        return Some(witness);
                    }
                }
            }
        }
        None
    }

    fn passing(&mut self, stops: &[Stop], axis: Axis, own: IpAddr) -> Option<Witness> {
        let of = family(own);
        let ends = Ends {
            source: number(own),
            destination: number(own),
        };
        let mut passed = Passed::<Pieces<Transports>>::all();
        for stop in stops {
            passed = passed.and(&self.walker.over(stop, axis, ends));
        }
        let discovery = Transports::discovery();
        let possible = passed.accept.zip(&passed.unknown, |accept, unknown| {
            accept.union(unknown).difference(&discovery)
        });
        let open = possible
            .iter()
            .find(|(first, _, carried)| !carried.is_empty() && *first <= last(of));
        let (first, end, carried) = open?;
        let other = self.pick(&Spans::one(first, end.min(last(of))), of)?;
        let (source, destination) = match axis {
            Axis::Source => (other, own),
            Axis::Destination => (own, other),
        };
        Some(Witness {
            source,
            destination,
            carried: carried.example()?,
        })
    }

    /// Chains that are bound to interfaces which the document does not tell: nobody can say whose packets they look at.
    pub(super) fn unbound(&mut self) {
        for (family, table) in &self.tables.ruleset.tables {
            let bases = table
                .chains
                .iter()
                .filter_map(|chain| Some((chain, chain.base.as_ref()?)));
            let unbound = bases.filter(|(_, base)| base.hook.is_of_interfaces() && base.devices.is_none());
            for (chain, base) in unbound {
                let is_source_check = *family == Family::Netdev && base.hook == Hook::Ingress;
                if !is_source_check || self.tells_devices() {
                    self.findings.push(Finding::Unbound {
                        family: *family,
                        chain: chain.name.clone(),
                        hook: base.hook.as_str(),
                    });
                }
            }
        }
    }

    /// Whether a chain that looks at what a pod sends is bound to an interface, or none could be anywhere else.
    pub(super) fn is_bound(&self, interface: &str) -> bool {
        let netdev = self.tables.ruleset.tables.get(&Family::Netdev);
        let bases = netdev.into_iter().flat_map(|table| &table.chains);
        let mut bases = bases
            .filter_map(|chain| chain.base.as_ref())
            .filter(|base| base.hook == Hook::Ingress);
        let is_here = |devices: &Vec<String>| devices.iter().any(|device| device == interface);
        bases.clone().all(|base| base.devices.is_some())
            || bases.any(|base| base.devices.as_ref().is_some_and(is_here))
    }
}
