//! A ruleset read the way the kernel reads it: one forwarded packet at a time.
//!
//! For questions that should not need a kernel: does a plan mean what the oracle says, how many rules does a packet
//! meet, which rule decided. It knows the inet table's forward hook only, and takes what is in the ruleset at its word.

use palisade_policy::model::{Packet, Transport};

use crate::nft::model::{
    Element, EtherType, Field, Hook, Interface, InterfacePattern, KeyType, Match, Name, Part, Rule, Ruleset,
    Set, Table, TableKey, Verdict,
};

/// A packet as the forward hook sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Forwarded {
    /// The interface that it came in by.
    pub input: Interface,
    /// The interface that it will leave by.
    pub output: Interface,
    /// Its addresses and what it carries.
    pub packet: Packet,
    /// Whether conntrack knows its connection.
    pub established: bool,
}

/// What became of a packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Walk {
    /// Whether it passed.
    pub accepted: bool,
    /// The chain and the position of the rule that decided; `None` where no rule did.
    pub decided_by: Option<(Name, usize)>,
    /// How many rules were asked.
    pub rules: usize,
}

/// Walks the chains of the forward hook, in the order of their priority, until one drops the packet.
pub fn walk(ruleset: &Ruleset, packet: &Forwarded) -> Walk {
    let mut walk = Walk {
        accepted: true,
        decided_by: None,
        rules: 0,
    };
    let Some(table) = ruleset.tables.get(&TableKey::Inet) else {
        return walk;
    };
    let forward = |hook: &Option<Hook>| matches!(hook, Some(Hook::Forward { .. }));
    let mut bases: Vec<_> = table
        .chains
        .iter()
        .filter(|(_, chain)| forward(&chain.hook))
        .collect();
    bases.sort_by_key(|(_, chain)| chain.hook.as_ref().map(Hook::priority));
    for (name, _) in bases {
        if (Walker { table, packet }).chain(name, &mut walk) == Some(Decision::Drop) {
            walk.accepted = false;
            break;
        }
    }
    walk
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Decision {
    Accept,
    Drop,
    /// The end of a chain that was entered by goto: the base chain's policy.
    Policy,
}

struct Walker<'a> {
    table: &'a Table,
    packet: &'a Forwarded,
}

impl Walker<'_> {
    /// Follows a chain; `None` at its end.
    fn chain(&self, name: &Name, walk: &mut Walk) -> Option<Decision> {
        for (position, rule) in self.table.chains.get(name)?.rules.iter().enumerate() {
            walk.rules += 1;
            if !rule.matches.iter().all(|condition| self.holds(condition)) {
                continue;
            }
            if let Some(decision) = self.verdict(self.resolve(rule), walk) {
                if decision != Decision::Policy && walk.decided_by.is_none() {
                    walk.decided_by = Some((name.clone(), position));
                }
                return Some(decision);
            }
        }
        None
    }

    /// The verdict of a rule, looked up where a map holds it.
    fn resolve<'r>(&'r self, rule: &'r Rule) -> &'r Verdict {
        let Verdict::Map { key, map } = &rule.verdict else {
            return &rule.verdict;
        };
        let entry = self
            .key(key)
            .and_then(|key| self.table.maps.get(map)?.elements.get(&key));
        entry.map_or(&Verdict::Continue, |entry| &entry.verdict)
    }

    fn verdict(&self, verdict: &Verdict, walk: &mut Walk) -> Option<Decision> {
        match verdict {
            Verdict::Accept => Some(Decision::Accept),
            Verdict::Drop => Some(Decision::Drop),
            Verdict::Jump(chain) => self.chain(chain, walk),
            Verdict::Goto(chain) => Some(self.chain(chain, walk).unwrap_or(Decision::Policy)),
            Verdict::Continue | Verdict::Map { .. } => None,
        }
    }

    fn holds(&self, condition: &Match) -> bool {
        let Packet {
            source,
            destination,
            transport,
        } = self.packet.packet;
        match condition {
            Match::CtEstablishedOrRelated => self.packet.established,
            Match::EtherType(EtherType::Ipv4) => source.is_ipv4(),
            Match::EtherType(EtherType::Ipv6) => source.is_ipv6(),
            Match::Protocol(number) => protocol(transport) == *number,
            Match::DestinationPorts(range) => port(transport).is_some_and(|port| range.contains(port)),
            Match::SourceIn(network) => network.contains(&source),
            Match::DestinationIn(network) => network.contains(&destination),
            Match::InSet { key, set, negated } => {
                let found = self
                    .key(key)
                    .zip(self.table.sets.get(set))
                    .map(|(key, set)| holds(set, &key));
                found.is_some_and(|found| found != *negated)
            }
            Match::InputInterface(pattern) => covers(pattern, &self.packet.input),
            Match::OutputInterface(pattern) => covers(pattern, &self.packet.output),
            // Packets of policy are unicast, and none of them is neighbour discovery.
            Match::EtherType(EtherType::Arp) | Match::IcmpV6Types { .. } | Match::PacketType { .. } => false,
        }
    }

    /// The packet's fields as an element; `None` where it lacks one.
    fn key(&self, fields: &[Field]) -> Option<Element> {
        let Packet {
            source,
            destination,
            transport,
        } = self.packet.packet;
        let parts: Option<Vec<Part>> = fields
            .iter()
            .map(|field| match field {
                Field::InputInterface => Some(Part::interface(&self.packet.input)),
                Field::OutputInterface => Some(Part::interface(&self.packet.output)),
                Field::SourceV4 => source.is_ipv4().then(|| Part::address(source)),
                Field::SourceV6 => source.is_ipv6().then(|| Part::address(source)),
                Field::DestinationV4 => destination.is_ipv4().then(|| Part::address(destination)),
                Field::DestinationV6 => destination.is_ipv6().then(|| Part::address(destination)),
                Field::L4Protocol => Some(Part::protocol(protocol(transport))),
                Field::DestinationPort => port(transport).map(Part::port),
                // The verdict on a flow does not depend on the port that it comes from.
                Field::SourcePort | Field::ArpSenderV4 => None,
            })
            .collect();
        Some(Element::new(&parts?))
    }
}

fn holds(set: &Set, key: &Element) -> bool {
    if !set.interval {
        return set.elements.contains(key);
    }
    set.elements.iter().any(|element| within(element, key, &set.key))
}

/// Whether every part of a key lies in the element's range of it. Parts are in network byte order, so they compare as
/// they are.
fn within(element: &Element, key: &Element, types: &[KeyType]) -> bool {
    let (first, value) = (element.first(), key.first());
    let last = element.last().unwrap_or(first);
    let mut begin = 0;
    first.len() == value.len()
        && types.iter().all(|kind| {
            let end = begin + kind.padded_width();
            let [first, value, last] =
                [first, value, last].map(|bytes| bytes.get(begin..end.min(bytes.len())));
            begin = end;
            value.is_some() && first <= value && value <= last
        })
}

fn covers(pattern: &InterfacePattern, interface: &Interface) -> bool {
    match pattern {
        InterfacePattern::Is(name) => name == interface,
        InterfacePattern::Begins(stem) => interface.as_str().starts_with(stem.as_str()),
    }
}

fn protocol(transport: Transport) -> u8 {
    match transport {
        Transport::Port(protocol, _) => protocol.number(),
        Transport::Other(number) => number,
    }
}

fn port(transport: Transport) -> Option<u16> {
    match transport {
        Transport::Port(_, port) => Some(port),
        Transport::Other(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use crate::nft::model::Value;

    #[test]
    fn values_of_one_type_compare_as_numbers() {
        assert!(Value::Port(80) < Value::Port(8080));
    }
}
