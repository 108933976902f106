//! The answers of flows that were ended.
//!
//! To forget a flow is not enough. The next packet of its *server* would open it again, the other way round: conntrack
//! takes up TCP connections in their middle, and who may not be asked may still ask. In 18 of 18 flows this happened
//! within a millisecond. So before a flow is forgotten, what its server sends on it is dropped, in the forward hook,
//! before anything is accepted as established.
//!
//! ```text
//!   forwarded ── source . port . destination . port . protocol in cut ─► drop
//!      │  established ─► accept
//! ```

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use palisade_policy::model::{Packet, Protocol, Transport};

use super::entry::Entry;
use crate::nft::model::{
    Comment, Element, Field, InvalidName, KeyType, Match, Name, Part, Rule, Ruleset, Set, Table, TableKey,
    Value, Verdict,
};

/// As long as the peers of a connection may find it still there: a side that is silent asks after two hours, and gives
/// up after nine attempts of 75 s (`tcp_keepalive_*` of ip-sysctl).
const CONNECTION: Duration = Duration::from_mins(135);

/// As long as conntrack remembers a datagram without an answer (`nf_conntrack_udp_timeout`). Who sends after that
/// begins a flow of his own.
const DATAGRAM: Duration = Duration::from_secs(30);

/// More are not kept: each costs every later plan some time. The oldest go first.
const MOST: usize = 1 << 16;

/// A family's set, and its fields.
const FAMILIES: [(bool, &str, KeyType, Field, Field); 2] = [
    (
        true,
        "cut4",
        KeyType::Ipv4Address,
        Field::SourceV4,
        Field::DestinationV4,
    ),
    (
        false,
        "cut6",
        KeyType::Ipv6Address,
        Field::SourceV6,
        Field::DestinationV6,
    ),
];

/// A flow of a protocol with ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Flow {
    /// The packet that opened it, as the forward hook saw it.
    pub packet: Packet,
    /// The port that it came from.
    pub source_port: u16,
}

/// Flows that were ended, and are kept from coming back.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cuts(BTreeMap<Flow, Instant>);

impl Flow {
    pub(super) fn of(entry: &Entry<'_>) -> Option<Self> {
        let packet = entry.packet();
        matches!(packet.transport, Transport::Port(..)).then_some(Self {
            packet,
            source_port: entry.original.source_port,
        })
    }

    /// The answers' key; `None` for a protocol without ports.
    fn element(&self) -> Option<Element> {
        let Transport::Port(protocol, port) = self.packet.transport else {
            return None;
        };
        Some(Element::new(&[
            Part::address(self.packet.destination),
            Part::port(port),
            Part::address(self.packet.source),
            Part::port(self.source_port),
            Part::protocol(protocol.number()),
        ]))
    }

    fn from_element(element: &Element, key: &[KeyType]) -> Option<Self> {
        let parts = element.parts(key).ok()?;
        let mut values = parts.into_iter().map(|part| part.first);
        let address = |value: Option<Value>| match value {
            Some(Value::Address(address)) => Some(address),
            _ => None,
        };
        let number = |value: Option<Value>| match value {
            Some(Value::Port(port)) => Some(port),
            _ => None,
        };
        let destination: IpAddr = address(values.next())?;
        let port = number(values.next())?;
        let source = address(values.next())?;
        let source_port = number(values.next())?;
        let Some(Value::Protocol(protocol)) = values.next() else {
            return None;
        };
        let protocol = Protocol::ALL
            .into_iter()
            .find(|known| known.number() == protocol)?;
        Some(Self {
            packet: Packet {
                source,
                destination,
                transport: Transport::Port(protocol, port),
            },
            source_port,
        })
    }

    fn lifetime(&self) -> Duration {
        match self.packet.transport {
            Transport::Port(Protocol::Udp, _) => DATAGRAM,
            Transport::Port(..) | Transport::Other(_) => CONNECTION,
        }
    }
}

impl Cuts {
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Ends flows.
    pub fn add(&mut self, flows: impl IntoIterator<Item = Flow>, now: Instant) {
        self.0.extend(flows.into_iter().map(|flow| (flow, now)));
        let surplus = self.0.len().saturating_sub(MOST);
        if surplus > 0 {
            let mut ages: Vec<(Instant, Flow)> = self.0.iter().map(|(flow, since)| (*since, *flow)).collect();
            ages.sort_unstable();
            for (_, flow) in ages.into_iter().take(surplus) {
                self.0.remove(&flow);
            }
        }
    }

    /// Takes over what an earlier process had ended.
    pub fn adopt(&mut self, loaded: &Ruleset, now: Instant) {
        let Some(table) = loaded.tables.get(&TableKey::Inet) else {
            return;
        };
        for (_, name, ..) in FAMILIES {
            let set = table.sets.iter().find(|(known, _)| known.as_str() == name);
            if let Some((_, set)) = set {
                let flows = set.elements.iter();
                self.add(
                    flows.filter_map(|element| Flow::from_element(element, &set.key)),
                    now,
                );
            }
        }
    }

    /// Forgets those that are allowed by now.
    pub fn review(&mut self, allows: impl Fn(Packet) -> bool) {
        self.0.retain(|flow, _| !allows(flow.packet));
    }

    /// Forgets those that have had their time. Returns how many those are.
    pub fn expire(&mut self, now: Instant) -> usize {
        let before = self.0.len();
        self.0
            .retain(|flow, since| now.duration_since(*since) < flow.lifetime());
        before - self.0.len()
    }

    /// When the next has had its time.
    pub fn next_end(&self) -> Option<Instant> {
        let ends = self.0.iter().map(|(flow, since)| *since + flow.lifetime());
        ends.min()
    }

    /// Adds them to a planned ruleset.
    pub fn plan(&self, ruleset: &mut Ruleset) -> Result<(), InvalidName> {
        let Some(table) = ruleset.tables.get_mut(&TableKey::Inet) else {
            return Ok(());
        };
        for (v4, name, address, source, destination) in FAMILIES {
            let flows = self.0.keys().filter(|flow| flow.packet.source.is_ipv4() == v4);
            let mut set = Set::hash([address, KeyType::Port, address, KeyType::Port, KeyType::Protocol]);
            set.elements = flows.filter_map(Flow::element).collect();
            if set.elements.is_empty() {
                continue;
            }
            set.comment = Some(Comment::fit("answers of flows that were ended"));
            let key = vec![
                source,
                Field::SourcePort,
                destination,
                Field::DestinationPort,
                Field::L4Protocol,
            ];
            add(table, Name::new(name)?, key, set)?;
        }
        Ok(())
    }
}

fn add(table: &mut Table, name: Name, key: Vec<Field>, set: Set) -> Result<(), InvalidName> {
    let condition = Match::InSet {
        key,
        set: name.clone(),
        negated: false,
    };
    let rule = Rule::new([condition], Verdict::Drop)
        .counted()
        .commented(Comment::fit("the flow was ended: rules deny it now"));
    if let Some(chain) = table.chains.get_mut(&crate::plan::forwarded()?) {
        chain.rules.insert(0, rule);
    }
    table.sets.insert(name, set.into());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nft::model::Chain;

    fn flow(source: &str, destination: &str, protocol: Protocol, source_port: u16) -> Flow {
        let [source, destination] = [source, destination].map(|address| address.parse().unwrap());
        let transport = Transport::Port(protocol, 80);
        Flow {
            packet: Packet {
                source,
                destination,
                transport,
            },
            source_port,
        }
    }

    fn ruleset() -> Ruleset {
        let mut ruleset = Ruleset::default();
        let table = ruleset.tables.entry(TableKey::Inet).or_default();
        let rules = vec![Rule::new([Match::CtEstablishedOrRelated], Verdict::Accept)];
        let chain = Chain {
            hook: None,
            comment: None,
            rules,
        };
        table.chains.insert(crate::plan::forwarded().unwrap(), chain);
        ruleset
    }

    fn some() -> [Flow; 3] {
        [
            flow("10.0.0.1", "10.0.0.2", Protocol::Tcp, 40_000),
            flow("10.0.0.1", "10.0.0.2", Protocol::Udp, 40_000),
            flow("fd00::1", "fd00::2", Protocol::Sctp, 40_001),
        ]
    }

    #[test]
    fn what_one_process_cuts_the_next_takes_over() {
        let now = Instant::now();
        let mut cuts = Cuts::default();
        cuts.add(some(), now);
        let mut planned = ruleset();
        cuts.plan(&mut planned).unwrap();
        planned.check().unwrap();
        let mut next = Cuts::default();
        next.adopt(&planned, now);
        assert_eq!(next, cuts);
        assert_eq!(next.len(), 3);
    }

    #[test]
    fn answers_are_dropped_before_anything_is_accepted() {
        let mut cuts = Cuts::default();
        cuts.add(some(), Instant::now());
        let mut planned = ruleset();
        cuts.plan(&mut planned).unwrap();
        let table = &planned.tables[&TableKey::Inet];
        let rules = &table.chains[&crate::plan::forwarded().unwrap()].rules;
        let verdicts: Vec<_> = rules.iter().map(|rule| rule.verdict.clone()).collect();
        assert_eq!(verdicts, [Verdict::Drop, Verdict::Drop, Verdict::Accept]);
    }

    #[test]
    fn without_cuts_nothing_is_planned() {
        let mut planned = ruleset();
        Cuts::default().plan(&mut planned).unwrap();
        assert_eq!(planned, ruleset());
    }

    #[test]
    fn a_cut_ends_when_its_time_is_over_or_the_flow_is_allowed() {
        let now = Instant::now();
        let mut cuts = Cuts::default();
        cuts.add(some(), now);
        assert_eq!(cuts.next_end(), Some(now + DATAGRAM));
        assert_eq!(cuts.expire(now + DATAGRAM), 1);
        cuts.review(|packet| packet.source.is_ipv6());
        assert_eq!(cuts.len(), 1);
        assert_eq!(cuts.expire(now + CONNECTION), 1);
        assert!(cuts.is_empty());
    }

    #[test]
    fn the_oldest_cuts_go_where_there_are_too_many() {
        let now = Instant::now();
        let old = flow("10.0.0.9", "10.0.0.2", Protocol::Tcp, 1);
        let mut cuts = Cuts::default();
        cuts.add([old], now);
        let many = (0..=u16::MAX).map(|port| flow("10.0.0.1", "10.0.0.2", Protocol::Tcp, port));
        cuts.add(many, now + Duration::from_secs(1));
        assert_eq!(cuts.len(), MOST);
        assert!(!cuts.0.contains_key(&old));
    }
}
