//! What no single value can guarantee: that the objects of a ruleset fit together.

use thiserror::Error;

use super::element::Element;
use super::field::{Field, KeyType};
use super::names::Name;
use super::rule::{EtherType, ICMP, ICMP_V6, Match, Rule, Verdict, implied_ether_types};
use super::table::{Ruleset, Table, TableKey};

/// A ruleset that the kernel would refuse, or take to mean something else.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Inconsistent {
    /// A chain whose hook belongs to another table.
    #[error("{table}: chain {chain} has the hook of another family")]
    Hook {
        /// The table.
        table: TableKey,
        /// The chain.
        chain: Name,
    },
    /// A name that is both a set and a map.
    #[error("{table}: {name} is a set and a map")]
    TwoObjects {
        /// The table.
        table: TableKey,
        /// The name.
        name: Name,
    },
    /// A reference to something that is not there, or is keyed otherwise.
    #[error("{table}: {place} refers to {kind} {name}, which {problem}")]
    Reference {
        /// The table.
        table: TableKey,
        /// The chain or map that refers.
        place: Name,
        /// `chain`, `set` or `map`.
        kind: &'static str,
        /// What it refers to.
        name: Name,
        /// What is wrong.
        problem: &'static str,
    },
    /// A key without parts, with more than `nft` can name, or longer than the kernel's registers.
    #[error(
        "{table}: the key of {name} has {parts} parts and {width} bytes; 1 to 5 parts and 64 bytes are possible"
    )]
    Key {
        /// The table.
        table: TableKey,
        /// The set or map.
        name: Name,
        /// How many parts it has.
        parts: usize,
        /// Its width.
        width: usize,
    },
    /// An element that is not as wide as the key, or a range where there can be none.
    #[error("{table}: element {element:?} does not fit the key of {name}")]
    Element {
        /// The table.
        table: TableKey,
        /// The set or map.
        name: Name,
        /// The element.
        element: Element,
    },
    /// Ranges of one field that have keys in common, which the kernel refuses.
    #[error("{table}: element {element:?} of {name} overlaps the one before it")]
    Overlap {
        /// The table.
        table: TableKey,
        /// The set.
        name: Name,
        /// The later element.
        element: Element,
    },
    /// A rule with a condition that its table does not know, or that cannot hold.
    #[error("{table}: rule {position} of chain {chain} {problem}")]
    Rule {
        /// The table.
        table: TableKey,
        /// The chain.
        chain: Name,
        /// The rule's place in its chain, from 0.
        position: usize,
        /// What is wrong.
        problem: &'static str,
    },
    /// A map entry whose verdict is itself a map, or that does nothing.
    #[error("{table}: an entry of map {map} has no verdict that a map can hold")]
    EntryVerdict {
        /// The table.
        table: TableKey,
        /// The map.
        map: Name,
    },
}

/// The widest key, in bytes: sixteen registers of four (`NFT_DATA_VALUE_MAXLEN`).
const KEY_MAX: usize = 64;

/// The most parts of a key: `nft` stores their types in one word, six bits each (`TYPE_BITS`).
const PARTS_MAX: usize = 5;

/// Protocols with a destination port at the place where `th dport` looks: TCP, UDP, DCCP, SCTP, UDP-Lite.
const WITH_PORTS: [u8; 5] = [6, 17, 33, 132, 136];

impl Ruleset {
    /// Says what does not fit together, first problem first.
    pub fn check(&self) -> Result<(), Inconsistent> {
        let tables = self.tables.iter();
        tables
            .map(|(&key, table)| Checked {
                key,
                table,
                part: table,
            })
            .try_for_each(|checked| checked.check())
    }

    /// The same of a part of it, the rest being as it was when it was checked last: the objects of `after`, which are others than
    /// before, and what refers to objects of `before` that are no more. Of sets that stay `after` has the new elements.
    pub fn check_part(&self, before: &Self, after: &Self) -> Result<(), Inconsistent> {
        for (&key, table) in &self.tables {
            if let Some(part) = after.tables.get(&key) {
                Checked { key, table, part }.check()?;
            }
            if let Some(part) = before.tables.get(&key) {
                Checked { key, table, part }.check_gone()?;
            }
        }
        Ok(())
    }
}

/// A part of a table that is checked, and the whole table that it may refer to.
struct Checked<'a> {
    key: TableKey,
    table: &'a Table,
    part: &'a Table,
}

impl Checked<'_> {
    fn check(&self) -> Result<(), Inconsistent> {
        let Self { key, table, part } = *self;
        let both = |name: &&Name| table.maps.contains_key(*name) && table.sets.contains_key(*name);
        if let Some(name) = part.sets.keys().chain(part.maps.keys()).find(both) {
            return Err(Inconsistent::TwoObjects {
                table: key,
                name: name.clone(),
            });
        }
        for (name, set) in &part.sets {
            self.key(name, &set.key)?;
            set.elements
                .iter()
                .try_for_each(|element| self.element(name, &set.key, set.interval, element))?;
        }
        let spans = part.sets.keys().filter_map(|name| table.sets.get_key_value(name));
        for (name, set) in spans.filter(|(_, set)| set.interval && set.key.len() == 1) {
            let overlap = set
                .elements
                .iter()
                .zip(set.elements.iter().skip(1))
                .find(|(one, next)| one.last().unwrap_or(one.first()) >= next.first());
            if let Some((_, element)) = overlap {
                return Err(Inconsistent::Overlap {
                    table: key,
                    name: name.clone(),
                    element: element.clone(),
                });
            }
        }
        for (name, map) in &part.maps {
            self.key(name, &map.key)?;
            for (element, entry) in &map.elements {
                self.element(name, &map.key, false, element)?;
                match &entry.verdict {
                    Verdict::Accept | Verdict::Drop => {}
                    Verdict::Jump(chain) | Verdict::Goto(chain) => self.chain(name, chain)?,
                    Verdict::Continue | Verdict::Map { .. } => {
                        return Err(Inconsistent::EntryVerdict {
                            table: key,
                            map: name.clone(),
                        });
                    }
                }
            }
        }
        for (name, chain) in &part.chains {
            if chain.hook.as_ref().is_some_and(|hook| hook.table() != key) {
                return Err(Inconsistent::Hook {
                    table: key,
                    chain: name.clone(),
                });
            }
            for (position, rule) in chain.rules.iter().enumerate() {
                self.rule(name, position, rule)?;
            }
        }
        Ok(())
    }

    /// Whether nothing refers to what is no more.
    fn check_gone(&self) -> Result<(), Inconsistent> {
        let Self { table, part, .. } = *self;
        let gone_chain = |name: &Name| part.chains.contains_key(name) && !table.chains.contains_key(name);
        let gone_set = |name: &Name| part.sets.contains_key(name) && !table.sets.contains_key(name);
        let gone_map = |name: &Name| part.maps.contains_key(name) && !table.maps.contains_key(name);
        if !part.chains.keys().any(gone_chain)
            && !part.sets.keys().any(gone_set)
            && !part.maps.keys().any(gone_map)
        {
            return Ok(());
        }
        let problem = "does not exist";
        let of_verdict = |place: &Name, verdict: &Verdict| match verdict {
            Verdict::Jump(name) | Verdict::Goto(name) if gone_chain(name) => {
                Err(self.reference(place, "chain", name, problem))
            }
            Verdict::Map { map, .. } if gone_map(map) => Err(self.reference(place, "map", map, problem)),
            _ => Ok(()),
        };
        for (name, map) in &table.maps {
            map.elements
                .values()
                .try_for_each(|entry| of_verdict(name, &entry.verdict))?;
        }
        for (name, rule) in table
            .chains
            .iter()
            .flat_map(|(name, chain)| chain.rules.iter().map(move |rule| (name, rule)))
        {
            of_verdict(name, &rule.verdict)?;
            for condition in &rule.matches {
                if let Match::InSet { set, .. } = condition
                    && gone_set(set)
                {
                    return Err(self.reference(name, "set", set, problem));
                }
            }
        }
        Ok(())
    }

    fn key(&self, name: &Name, key: &[KeyType]) -> Result<(), Inconsistent> {
        let (parts, width) = (key.len(), KeyType::key_width(key));
        if (1..=PARTS_MAX).contains(&parts) && width <= KEY_MAX {
            return Ok(());
        }
        Err(Inconsistent::Key {
            table: self.key,
            name: name.clone(),
            parts,
            width,
        })
    }

    fn element(
        &self,
        name: &Name,
        key: &[KeyType],
        interval: bool,
        element: &Element,
    ) -> Result<(), Inconsistent> {
        let fits = element.first().len() == KeyType::key_width(key)
            && element
                .last()
                .is_none_or(|last| interval && last.len() == element.first().len());
        if fits {
            return Ok(());
        }
        Err(Inconsistent::Element {
            table: self.key,
            name: name.clone(),
            element: element.clone(),
        })
    }

    fn chain(&self, place: &Name, name: &Name) -> Result<(), Inconsistent> {
        match self.table.chains.get(name) {
            Some(chain) if chain.hook.is_none() => Ok(()),
            Some(_) => Err(self.reference(place, "chain", name, "is a base chain")),
            None => Err(self.reference(place, "chain", name, "does not exist")),
        }
    }

    fn reference(
        &self,
        place: &Name,
        kind: &'static str,
        name: &Name,
        problem: &'static str,
    ) -> Inconsistent {
        Inconsistent::Reference {
            table: self.key,
            place: place.clone(),
            kind,
            name: name.clone(),
            problem,
        }
    }

    fn lookup(
        &self,
        chain: &Name,
        kind: &'static str,
        name: &Name,
        found: Option<&Vec<KeyType>>,
        key: &[Field],
    ) -> Result<(), Inconsistent> {
        match found {
            None => Err(self.reference(chain, kind, name, "does not exist")),
            Some(found) if !found.iter().copied().eq(key.iter().map(|field| field.key_type())) => {
                Err(self.reference(chain, kind, name, "has another key"))
            }
            Some(_) => Ok(()),
        }
    }

    fn rule(&self, chain: &Name, position: usize, rule: &Rule) -> Result<(), Inconsistent> {
        let wrong = |problem| {
            Err(Inconsistent::Rule {
                table: self.key,
                chain: chain.clone(),
                position,
                problem,
            })
        };
        for condition in &rule.matches {
            match condition {
                Match::InSet { key, set, .. } => {
                    self.lookup(
                        chain,
                        "set",
                        set,
                        self.table.sets.get(set).map(|set| &set.key),
                        key,
                    )?;
                }
                Match::EtherType(EtherType::Arp) if self.key == TableKey::Inet => {
                    return wrong("asks for ARP, which is never routed");
                }
                Match::CtEstablishedOrRelated if self.key != TableKey::Inet => {
                    return wrong("asks for connection state, which only the inet table has");
                }
                Match::IcmpV6Types { first, last } if first > last => {
                    return wrong("has an empty range of types");
                }
                _ => {}
            }
        }
        match &rule.verdict {
            Verdict::Jump(name) | Verdict::Goto(name) => self.chain(chain, name)?,
            Verdict::Map { key, map } => {
                self.lookup(
                    chain,
                    "map",
                    map,
                    self.table.maps.get(map).map(|map| &map.key),
                    key,
                )?;
            }
            Verdict::Accept | Verdict::Drop | Verdict::Continue => {}
        }
        match contradiction(rule) {
            None => Ok(()),
            Some(problem) => wrong(problem),
        }
    }
}

/// Why a rule can never match, does nothing, or is not written as [`Rule::new`] writes it.
fn contradiction(rule: &Rule) -> Option<&'static str> {
    if rule.verdict == Verdict::Continue && !rule.counter {
        return Some("does nothing");
    }
    if Rule::new(rule.matches.clone(), rule.verdict.clone()).matches != rule.matches {
        return Some("says the same thing twice");
    }
    let plain = rule.matches.iter().filter_map(|condition| match condition {
        Match::EtherType(kind) => Some(*kind),
        _ => None,
    });
    let mut families = implied_ether_types(&rule.matches, &rule.verdict).chain(plain);
    let family = families.next();
    if families.any(|other| Some(other) != family) {
        return Some("mixes address families");
    }
    let mut protocols = rule.matches.iter().filter_map(|condition| match condition {
        Match::Protocol(protocol) => Some(*protocol),
        Match::IcmpV6Types { .. } => Some(ICMP_V6),
        _ => None,
    });
    let protocol = protocols.next();
    if protocols.next().is_some() {
        return Some("asks for two protocols");
    }
    if let (Some(EtherType::Arp), Some(_))
    | (Some(EtherType::Ipv4), Some(ICMP_V6))
    | (Some(EtherType::Ipv6), Some(ICMP)) = (family, protocol)
    {
        return Some("asks for a protocol that its address family does not carry");
    }
    let looked_up = match &rule.verdict {
        Verdict::Map { key, .. } => key.iter().any(|field| field.is_port()),
        _ => false,
    };
    let with_ports = looked_up
        || rule.matches.iter().any(|condition| match condition {
            Match::DestinationPorts(_) => true,
            Match::InSet { key, .. } => key.iter().any(|field| field.is_port()),
            _ => false,
        });
    (with_ports && protocol.is_some_and(|protocol| !WITH_PORTS.contains(&protocol)))
        .then_some("asks for a port of a protocol that has none")
}

#[cfg(test)]
mod tests;
