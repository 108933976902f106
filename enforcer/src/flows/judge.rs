//! Whether a connection may go on: the packet that opened it, judged by the rules of now.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;

use ipnet::IpNet;
use palisade_policy::model::Packet;

use super::entry::Entry;
use crate::nft::model::{Interface, InvalidName, Ruleset, Table, TableKey};
use crate::plan::{Facts, dispatch_key};
use crate::walk::{Forwarded, walk};

/// Never a pod's: stands for whatever interface leads elsewhere.
const ELSEWHERE: &str = "lo";

/// Verdicts that are remembered within a sweep. Many connections open with equal packets.
const REMEMBERED: usize = 1 << 16;

/// The rules and the facts of one moment.
#[derive(Clone, Debug)]
pub struct Judge {
    ruleset: Ruleset,
    view: View,
    /// The node's pod networks.
    networks: Vec<IpNet>,
    /// The node's own addresses.
    own: BTreeSet<IpAddr>,
    /// Addresses whose pod is gone.
    gone: BTreeSet<IpAddr>,
}

/// By which interfaces the forward hook sees whom.
#[derive(Clone, Debug)]
pub struct View {
    /// The addresses of this node's pods.
    pods: HashMap<IpAddr, Interface>,
    elsewhere: Interface,
}

/// What becomes of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Judgement {
    /// It stays.
    Keep(Kept),
    /// It goes.
    Delete(Reason),
}

/// Why an entry stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kept {
    /// The rules allow it.
    Allowed,
    /// It has no end in a pod of this node, or passed no rule of ours.
    Elsewhere,
    /// It is in a zone, where our addresses may be somebody else's.
    Zoned,
    /// A helper allowed it because of another connection; it stays as long as that one does.
    Related,
}

/// Why an entry goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The rules deny it now.
    Denied,
    /// It was a pod's that is gone.
    PodGone,
}

impl Judge {
    /// A judge by the rules of a committed ruleset. `own` are the node's own addresses, `gone` those whose pods are
    /// gone.
    pub fn new(
        ruleset: &Ruleset,
        facts: &Facts,
        networks: Vec<IpNet>,
        own: BTreeSet<IpAddr>,
        gone: BTreeSet<IpAddr>,
    ) -> Result<Self, InvalidName> {
        let table = ruleset.tables.get(&TableKey::Inet);
        let tables = table.map(|table| (TableKey::Inet, table.clone()));
        Ok(Self {
            view: View::new(ruleset, facts)?,
            ruleset: Ruleset {
                tables: tables.into_iter().collect(),
            },
            networks,
            own,
            gone,
        })
    }

    /// Whether to judge at once: the next pod of an address may be there soon.
    pub fn is_urgent(&self) -> bool {
        !self.gone.is_empty()
    }

    /// Judges an entry. `verdicts` is what was found of other entries by the same judge.
    pub fn judge(&self, entry: &Entry<'_>, verdicts: &mut HashMap<Packet, bool>) -> Judgement {
        if entry.zoned {
            return Judgement::Keep(Kept::Zoned);
        }
        let packet = entry.packet();
        let ends = [packet.source, packet.destination];
        if ends.iter().any(|end| self.gone.contains(end)) {
            return Judgement::Delete(Reason::PodGone);
        }
        // Neither what the node sends nor what it receives is forwarded, and groups are no matter of the forward hook.
        let passed_by = |end: &IpAddr| self.own.contains(end) || is_local_or_group(*end);
        if ends.iter().any(passed_by) || !ends.iter().any(|end| self.concerns(*end)) {
            return Judgement::Keep(Kept::Elsewhere);
        }
        if entry.master.is_some() {
            return Judgement::Keep(Kept::Related);
        }
        if verdicts.len() > REMEMBERED {
            verdicts.clear();
        }
        let allows = || self.view.allows(&self.ruleset, packet);
        if *verdicts.entry(packet).or_insert_with(allows) {
            Judgement::Keep(Kept::Allowed)
        } else {
            Judgement::Delete(Reason::Denied)
        }
    }

    fn concerns(&self, end: IpAddr) -> bool {
        self.view.pods.contains_key(&end) || self.networks.iter().any(|network| network.contains(&end))
    }
}

impl View {
    /// What is seen under a ruleset and the facts that it was planned for.
    pub fn new(ruleset: &Ruleset, facts: &Facts) -> Result<Self, InvalidName> {
        Ok(Self {
            pods: pods(ruleset.tables.get(&TableKey::Inet), facts),
            elsewhere: Interface::new(ELSEWHERE)?,
        })
    }

    /// Whether the rules let a packet open a connection.
    pub fn allows(&self, ruleset: &Ruleset, packet: Packet) -> bool {
        let forwarded = Forwarded {
            input: self.interface(packet.source),
            output: self.interface(packet.destination),
            packet,
            established: false,
        };
        walk(ruleset, &forwarded).accepted
    }

    fn interface(&self, end: IpAddr) -> Interface {
        self.pods.get(&end).unwrap_or(&self.elsewhere).clone()
    }
}

/// By which interface each address of a pod is seen. Where several claim one, that which the ruleset dispatches.
fn pods(table: Option<&Table>, facts: &Facts) -> HashMap<IpAddr, Interface> {
    let dispatched = |interface: &Interface, address: IpAddr| {
        let key = dispatch_key(interface, address);
        let mut maps = table.into_iter().flat_map(|table| table.maps.values());
        maps.any(|map| map.elements.contains_key(&key))
    };
    let mut claims: BTreeMap<IpAddr, BTreeSet<&Interface>> = BTreeMap::new();
    for place in facts.places.values() {
        for address in &place.addresses {
            claims
                .entry(*address)
                .or_default()
                .insert(place.forwarding_interface());
        }
    }
    let chosen = claims.into_iter().filter_map(|(address, interfaces)| {
        let first = interfaces.first().copied();
        let one = interfaces
            .into_iter()
            .find(|interface| dispatched(interface, address));
        Some((address, one.or(first)?.clone()))
    });
    chosen.collect()
}

fn is_local_or_group(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => {
            address.is_link_local()
                || address.is_multicast()
                || address.is_broadcast()
                || address.is_loopback()
                || address.is_unspecified()
        }
        IpAddr::V6(address) => {
            address.is_unicast_link_local()
                || address.is_multicast()
                || address.is_loopback()
                || address.is_unspecified()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flows::Tuple;
    use crate::nft::model::{Chain, Hook, Name, Rule, Verdict};

    fn tuple(source: &str, destination: &str) -> Tuple {
        let [source, destination] = [source, destination].map(|address| address.parse().unwrap());
        Tuple {
            source,
            destination,
            protocol: 6,
            source_port: 40_000,
            destination_port: 80,
        }
    }

    /// A connection to a service, whose address nobody has.
    fn entry(source: &str, destination: &str) -> Entry<'static> {
        Entry::unnamed(tuple(source, "10.96.0.1"), tuple(destination, source))
    }

    /// A judge whose rules let nothing pass, on a node of 10.0.0.0/24.
    fn judge() -> Judge {
        let mut ruleset = Ruleset::default();
        let table = ruleset.tables.entry(TableKey::Inet).or_default();
        let chain = Chain {
            hook: Some(Hook::Forward { priority: 0 }),
            comment: None,
            rules: vec![Rule::new([], Verdict::Drop)],
        };
        table.chains.insert(Name::new("closed").unwrap(), chain);
        let [own, gone] = ["192.0.2.1", "10.9.0.9"].map(|address| [address.parse().unwrap()].into());
        let networks = vec!["10.0.0.0/24".parse().unwrap()];
        Judge::new(&ruleset, &Facts::default(), networks, own, gone).unwrap()
    }

    fn judgement(entry: &Entry<'_>) -> Judgement {
        judge().judge(entry, &mut HashMap::new())
    }

    #[test]
    fn what_the_rules_deny_goes() {
        for (source, destination) in [("10.0.0.1", "10.5.0.1"), ("10.5.0.1", "10.0.0.1")] {
            let entry = entry(source, destination);
            assert_eq!(judgement(&entry), Judgement::Delete(Reason::Denied));
        }
    }

    #[test]
    fn what_does_not_concern_this_nodes_pods_stays() {
        let entry = entry("10.5.0.1", "10.6.0.1");
        assert_eq!(judgement(&entry), Judgement::Keep(Kept::Elsewhere));
    }

    #[test]
    fn what_the_node_sends_or_receives_stays() {
        for (source, destination) in [("192.0.2.1", "10.0.0.1"), ("10.0.0.1", "192.0.2.1")] {
            let entry = entry(source, destination);
            assert_eq!(judgement(&entry), Judgement::Keep(Kept::Elsewhere));
        }
        let entry = entry("10.0.0.1", "224.0.0.251");
        assert_eq!(judgement(&entry), Judgement::Keep(Kept::Elsewhere));
    }

    #[test]
    fn what_was_a_gone_pods_goes_although_its_address_is_in_no_network() {
        for (source, destination) in [("10.9.0.9", "10.5.0.1"), ("192.0.2.1", "10.9.0.9")] {
            let entry = entry(source, destination);
            assert_eq!(judgement(&entry), Judgement::Delete(Reason::PodGone));
        }
    }

    #[test]
    fn what_is_in_a_zone_is_somebody_elses() {
        let entry = Entry {
            zoned: true,
            ..entry("10.9.0.9", "10.0.0.1")
        };
        assert_eq!(judgement(&entry), Judgement::Keep(Kept::Zoned));
    }

    #[test]
    fn what_a_helper_allowed_is_not_judged_by_itself() {
        let entry = Entry {
            master: Some(&[]),
            ..entry("10.5.0.1", "10.0.0.1")
        };
        assert_eq!(judgement(&entry), Judgement::Keep(Kept::Related));
    }
}
