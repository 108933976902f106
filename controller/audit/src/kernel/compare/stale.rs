//! What the tables have for nobody: an entry or element for an address that no pod of the node has, or for another interface
//! than its pod's.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use crate::kernel::difference::{Finding, Kernel, Stale, Witness};
use crate::kernel::expected::family;
use crate::kernel::node::{Source, pair, single};
use crate::kernel::ruleset::{Cast, Element, Family, Hook, Kind, Part};
use crate::kernel::transport::Carried;
use crate::kernel::walk::{Fate, Phase, Stop, View};

use super::witness::{frame, packet};
use super::{Comparison, ELSEWHERE};

/// What pods of the node have.
struct Known {
    /// Each address, and the interfaces of its pod: the one that forwards, the veth. None where only the tables tell.
    addresses: BTreeMap<IpAddr, Option<(String, String)>>,
    /// Interfaces of pods and of bridges of pods, and their uplinks.
    interfaces: BTreeSet<String>,
}

impl Comparison<'_, '_> {
    /// Looks for what is nobody's.
    pub(super) fn stale(&mut self) {
        let known = self.known();
        let ruleset = &self.tables.ruleset;
        for (family, table) in &ruleset.tables {
            for (name, set) in &table.sets {
                let Ok(set) = set else { continue };
                for element in &set.elements {
                    if let Some(why) = self.why_stale(*family, &set.key, element, &known) {
                        let witness = self.meeting(*family, &set.key, element);
                        self.findings.push(Finding::Stale(Stale {
                            family: *family,
                            object: name.clone(),
                            element: Some(words(&set.key, &element.parts)),
                            comment: element.comment.clone(),
                            why,
                            witness,
                        }));
                    }
                }
            }
            if !self.node.has_facts {
                continue;
            }
            for chain in &table.chains {
                let devices = chain.base.as_ref().and_then(|base| base.devices.as_ref());
                for device in devices
                    .into_iter()
                    .flatten()
                    .filter(|device| !known.interfaces.contains(*device))
                {
                    self.findings.push(Finding::Stale(Stale {
                        family: *family,
                        object: chain.name.clone(),
                        element: None,
                        comment: None,
                        why: format!("no pod of this node has the interface {device}"),
                        witness: None,
                    }));
                }
            }
        }
    }

    fn known(&self) -> Known {
        let mut known = Known {
            addresses: BTreeMap::new(),
            interfaces: BTreeSet::new(),
        };
        for resident in &self.node.residents {
            let Some(seat) = &resident.seat else {
                known
                    .addresses
                    .extend(resident.addresses.iter().map(|address| (*address, None)));
                continue;
            };
            let interfaces = [seat.forwarding().to_owned(), seat.veth.clone()];
            known.interfaces.extend(interfaces.clone());
            let [forwarding, veth] = interfaces;
            let told = (seat.source == Source::Node).then_some((forwarding, veth));
            let addresses = resident.addresses.iter().chain(&seat.addresses);
            known
                .addresses
                .extend(addresses.map(|address| (*address, told.clone())));
        }
        for (bridge, uplinks) in &self.node.facts.uplinks {
            known.interfaces.insert(bridge.clone());
            known.interfaces.extend(uplinks.iter().cloned());
        }
        known
    }

    fn why_stale(&self, table: Family, key: &[Kind], element: &Element, known: &Known) -> Option<String> {
        let nobodys = |address: IpAddr| match self.state.owner(address) {
            Some(pod) => match &pod.node {
                Some(node) => format!("{address} belongs to {}, which is on node {node}", pod.key),
                None => format!("{address} belongs to {}, which is on no node", pod.key),
            },
            None => format!("no pod has {address}"),
        };
        if let Some((interface, address)) = pair(key, &element.parts) {
            return match known.addresses.get(&address) {
                None => Some(nobodys(address)),
                Some(None) => None,
                Some(Some((forwarding, veth))) => {
                    let own = if table == Family::Inet { forwarding } else { veth };
                    (own != interface).then(|| format!("{address} is behind {own}, not behind {interface}"))
                }
            };
        }
        match (key, &*element.parts) {
            ([a @ (Kind::V4 | Kind::V6), b], [Part::Numbers(first, same), Part::Numbers(other, _)])
                if a == b && first == same =>
            {
                let addresses = [single(*a, *first)?, single(*b, *other)?];
                addresses
                    .into_iter()
                    .find(|address| !known.addresses.contains_key(address))
                    .map(nobodys)
            }
            ([Kind::Interface], [Part::Interface(name)])
                if self.node.has_facts && !known.interfaces.contains(&**name) =>
            {
                let believed = self.node.residents.iter().any(|resident| resident.seat.is_none());
                (!believed).then(|| format!("no pod of this node has the interface {name}"))
            }
            _ => None,
        }
    }

    /// A packet from outside that an entry for forwarded packets would lead, and what becomes of it.
    fn meeting(&mut self, table: Family, key: &[Kind], element: &Element) -> Option<(Witness, Kernel)> {
        if table != Family::Inet {
            return None;
        }
        let (interface, destination) = pair(key, &element.parts)?;
        let source: IpAddr = if destination.is_ipv4() {
            "198.51.100.7"
        } else {
            "2001:db8::7"
        }
        .parse()
        .ok()?;
        let witness = Witness {
            source,
            destination,
            carried: Carried {
                protocol: 6,
                detail: 80,
            },
        };
        let view = View {
            frame: frame(family(destination)),
            cast: Cast::Unicast,
            phase: Phase::New,
            input: Some(self.walker.name(ELSEWHERE)),
            output: Some(self.walker.name(interface)),
        };
        let stop = Stop {
            family: table,
            hook: Hook::Forward,
            view,
        };
        let kernel = match self.walker.trace(&stop, packet(&witness)).fate {
            Fate::Passes => Kernel::Allows,
            Fate::Dropped => Kernel::Denies,
            Fate::Unknown(_) => Kernel::Unknown,
        };
        Some((witness, kernel))
    }
}

/// An element as people write it: `veth1 . 10.0.0.1`.
fn words(key: &[Kind], parts: &[Part]) -> String {
    let word = |(kind, part): (&Kind, &Part)| match part {
        Part::Interface(name) => name.to_string(),
        Part::Interfaces(stem) => format!("{stem}*"),
        Part::Numbers(first, last) => {
            let word = |number: &u128| {
                single(*kind, *number).map_or_else(|| number.to_string(), |address| address.to_string())
            };
            if first == last {
                word(first)
            } else {
                format!("{}-{}", word(first), word(last))
            }
        }
    };
    key.iter().zip(parts).map(word).collect::<Vec<_>>().join(" . ")
}
