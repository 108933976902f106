//! Sets and maps of verdicts: what they are made of, and what can be said of all of their elements.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::ruleset::{NotUnderstood, Verdict};

/// What the values of a field, or of a part of a set's key, are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Kind {
    /// Names of interfaces.
    Interface,
    /// IPv4 addresses.
    V4,
    /// IPv6 addresses.
    V6,
    /// IP protocols.
    Protocol,
    /// Ports.
    Port,
    /// Types of ICMP messages.
    IcmpType,
    /// Types of `ICMPv6` messages.
    IcmpV6Type,
    /// Kinds of frames.
    Frame,
    /// Receivers of frames.
    Cast,
}

impl Kind {
    /// Whether one of its values can be less than another.
    pub(crate) fn is_ordered(self) -> bool {
        match self {
            Self::V4 | Self::V6 | Self::Protocol | Self::Port | Self::IcmpType | Self::IcmpV6Type => true,
            Self::Interface | Self::Frame | Self::Cast => false,
        }
    }

    /// The largest number of this kind.
    pub(crate) fn last(self) -> u128 {
        match self {
            Self::Interface | Self::V6 => u128::MAX,
            Self::V4 => u128::from(u32::MAX),
            Self::Protocol | Self::IcmpType | Self::IcmpV6Type => u128::from(u8::MAX),
            Self::Port => u128::from(u16::MAX),
            Self::Frame => 2,
            Self::Cast => 3,
        }
    }
}

/// A set, or a map of verdicts.
#[derive(Clone, Debug)]
pub(crate) struct Set {
    /// What its key is made of.
    pub(crate) key: Vec<Kind>,
    /// What it holds.
    pub(crate) elements: Vec<Element>,
    /// See [`Self::flows`].
    flows: Option<[usize; 2]>,
}

/// In maps with ranges, each entry is compared with each other.
const COMPARED: usize = 4_096;

impl Set {
    /// A set with what it holds.
    pub(crate) fn new(key: Vec<Kind>, elements: Vec<Element>) -> Self {
        let flows = flows(&key, &elements);
        Self { key, elements, flows }
    }

    /// Of a set of single flows (two addresses, two ports, and a protocol where that is part of the key), how many values the
    /// first and the second port have at most where all else is the same.
    pub(crate) fn flows(&self) -> Option<&[usize; 2]> {
        self.flows.as_ref()
    }

    /// That no packet meets two entries with different verdicts: which of them the kernel takes depends on how it keeps them.
    pub(crate) fn unambiguous(self) -> Result<Self, NotUnderstood> {
        let ambiguous =
            || NotUnderstood("two entries for the same packets have different verdicts".to_owned());
        let (exact, wide): (Vec<_>, Vec<_>) = self
            .elements
            .iter()
            .partition(|element| element.parts.iter().all(Part::is_single));
        let mut seen = HashMap::with_capacity(exact.len());
        for element in &exact {
            if seen
                .insert(&element.parts, &element.verdict)
                .is_some_and(|known| *known != element.verdict)
            {
                return Err(ambiguous());
            }
        }
        if !wide.is_empty() && self.elements.len() > COMPARED {
            return Err(NotUnderstood(
                "a map with more ranges than can be compared".to_owned(),
            ));
        }
        for (place, one) in wide.iter().enumerate() {
            let mut others = exact.iter().chain(wide.iter().skip(place + 1));
            if others.any(|other| one.verdict != other.verdict && one.overlaps(other)) {
                return Err(ambiguous());
            }
        }
        drop((exact, wide, seen));
        Ok(self)
    }

    /// Whether an element is there twice.
    pub(crate) fn repeats(&self) -> bool {
        let mut seen = HashSet::with_capacity(self.elements.len());
        !self.elements.iter().all(|element| seen.insert(&element.parts))
    }
}

/// An element of a set, or an entry of a map.
#[derive(Clone, Debug)]
pub(crate) struct Element {
    /// Its parts, as many as the key has.
    pub(crate) parts: Box<[Part]>,
    /// What the map has for it; `None` in a set.
    pub(crate) verdict: Option<Verdict>,
    /// Its comment.
    pub(crate) comment: Option<String>,
}

impl Element {
    fn overlaps(&self, other: &Self) -> bool {
        let mut parts = self.parts.iter().zip(&other.parts);
        parts.all(|(one, other)| one.overlaps(other))
    }
}

/// A part of an element.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Part {
    /// The interface of this name.
    Interface(Arc<str>),
    /// The interfaces whose names begin like this.
    Interfaces(Arc<str>),
    /// The numbers from the first to the last: addresses, protocols, ports.
    Numbers(u128, u128),
}

impl Part {
    fn is_single(&self) -> bool {
        match self {
            Self::Interface(_) => true,
            Self::Interfaces(_) => false,
            Self::Numbers(first, last) => first == last,
        }
    }

    fn overlaps(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Numbers(first, last), Self::Numbers(from, to)) => first <= to && from <= last,
            (Self::Interface(name), other) | (other, Self::Interface(name)) => other.names(name),
            (Self::Interfaces(one), Self::Interfaces(other)) => {
                one.starts_with(&**other) || other.starts_with(&**one)
            }
            (Self::Numbers(..), Self::Interfaces(_)) | (Self::Interfaces(_), Self::Numbers(..)) => false,
        }
    }

    /// Whether it holds an interface.
    pub(crate) fn names(&self, interface: &str) -> bool {
        match self {
            Self::Interface(name) => **name == *interface,
            Self::Interfaces(stem) => interface.starts_with(&**stem),
            Self::Numbers(..) => false,
        }
    }
}

fn flows(key: &[Kind], elements: &[Element]) -> Option<[usize; 2]> {
    let count = |of: Kind| key.iter().filter(|kind| **kind == of).count();
    let [v4, v6, ports, protocols] = [Kind::V4, Kind::V6, Kind::Port, Kind::Protocol].map(count);
    let is_flows = (v4 == 2) != (v6 == 2) && ports == 2 && protocols <= 1 && key.len() == 4 + protocols;
    let is_single = |element: &Element| element.parts.iter().all(Part::is_single);
    if !is_flows || !elements.iter().all(is_single) {
        return None;
    }
    let mut places = key.iter().enumerate().filter(|(_, kind)| **kind == Kind::Port);
    let most = |place: usize| {
        let mut groups: HashMap<Vec<&Part>, usize> = HashMap::new();
        for element in elements {
            let rest = element.parts.iter().enumerate();
            let rest = rest.filter(|(other, _)| *other != place).map(|(_, part)| part);
            *groups.entry(rest.collect()).or_default() += 1;
        }
        groups.into_values().max().unwrap_or(0)
    };
    let (first, second) = (places.next()?.0, places.next()?.0);
    Some([most(first), most(second)])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(entries: &[(&[(u128, u128)], Verdict)]) -> Set {
        let elements = entries.iter().map(|(parts, verdict)| Element {
            parts: parts
                .iter()
                .map(|(first, last)| Part::Numbers(*first, *last))
                .collect(),
            verdict: Some(verdict.clone()),
            comment: None,
        });
        Set::new(vec![Kind::V4, Kind::Port], elements.collect())
    }

    #[test]
    fn entries_that_overlap_must_agree() {
        let one: &[_] = &[(1, 1), (80, 80)];
        let wide: &[_] = &[(0, 9), (0, 99)];
        let beside: &[_] = &[(0, 9), (81, 99)];
        for (first, second, is_clear) in [
            (one, wide, false),
            (wide, one, false),
            (wide, beside, false),
            (one, beside, true),
            (one, one, false),
        ] {
            let mixed = map(&[(first, Verdict::Accept), (second, Verdict::Drop)]);
            assert_eq!(mixed.unambiguous().is_ok(), is_clear, "{first:?} {second:?}");
            let same = map(&[(first, Verdict::Accept), (second, Verdict::Accept)]);
            assert!(same.unambiguous().is_ok());
        }
    }

    #[test]
    fn a_set_of_single_flows_tells_how_many_ports_it_names() {
        let key = vec![Kind::V4, Kind::Port, Kind::V4, Kind::Port, Kind::Protocol];
        let flow = |from: u128, last: u128| Element {
            parts: [(1, 1), (from, last), (2, 2), (80, 80), (6, 6)]
                .map(|(first, last)| Part::Numbers(first, last))
                .into(),
            verdict: None,
            comment: None,
        };
        let set = Set::new(key.clone(), (1..=7).map(|port| flow(port, port)).collect());
        assert_eq!(set.flows(), Some(&[7, 1]));
        assert_eq!(Set::new(key, vec![flow(1, 7)]).flows(), None);
    }
}
