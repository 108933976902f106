//! Lists of ends in words: as few as say the same.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::net::IpAddr;

use ipnet::IpNet;
use palisade_policy::model::{NamespaceName, NodeName};
use palisade_policy::reach::{End, Family, PortSet};

use super::Ends;
use super::name::families;
use super::range::{Addresses, Part};

/// Some ends in a word.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Word {
    /// Everybody: all pods and all addresses outside.
    Any,
    /// All pods.
    AnyPod,
    /// All pods of a namespace that has several classes.
    Namespace(NamespaceName),
    /// The pods of a class, by its index.
    Class(usize),
    /// All addresses outside.
    AnyOutside,
    /// All addresses outside of one family.
    AnyOutsideOf(Family),
    /// Addresses outside.
    Addresses(Part),
}

/// A list of ends in words, said as shortly as it can be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Saying {
    /// All of this, except the words.
    pub all: Option<Word>,
    /// The words.
    pub words: Vec<Word>,
}

/// How much of a list is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// How many words.
    pub words: usize,
    /// How many excepts of a block.
    pub excepts: usize,
}

impl Limits {
    /// Everything.
    pub const NONE: Self = Self {
        words: usize::MAX,
        excepts: usize::MAX,
    };
}

/// A way to say lists of ends in words.
///
/// "All" is all that could be meant: of the classes and ranges that have a family in common with the other end.
#[derive(Clone, Debug)]
pub struct Words<'a> {
    all: Ends<'a>,
    /// For each set of families, how many classes of each namespace have an address of one of them.
    classes: [BTreeMap<&'a NamespaceName, usize>; 4],
    /// The families of each class.
    families: Vec<Families>,
    /// How many ranges there are of each family.
    ranges: [usize; 2],
    nodes: HashMap<IpAddr, &'a NodeName>,
}

/// A set of families.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Families(u8);

impl Families {
    const BOTH: Self = Self(3);

    fn has(self, family: Family) -> bool {
        self.0 & Self::from(family).0 != 0
    }

    fn overlaps(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }
}

impl From<Family> for Families {
    fn from(family: Family) -> Self {
        match family {
            Family::V4 => Self(1),
            Family::V6 => Self(2),
        }
    }
}

impl FromIterator<Family> for Families {
    fn from_iter<I: IntoIterator<Item = Family>>(families: I) -> Self {
        Self(
            families
                .into_iter()
                .fold(0, |all, family| all | Self::from(family).0),
        )
    }
}

impl<'a> Words<'a> {
    /// Words for some ends.
    pub fn of(all: Ends<'a>) -> Self {
        let own: Vec<Families> = all
            .classes
            .iter()
            .map(|class| families(class).collect())
            .collect();
        let mut classes: [BTreeMap<&NamespaceName, usize>; 4] = Default::default();
        for (class, own) in all.classes.iter().zip(&own) {
            for (set, counts) in (0..).zip(&mut classes) {
                if own.overlaps(Families(set)) {
                    *counts.entry(&class.namespace).or_default() += 1;
                }
            }
        }
        let ranges = Family::ALL.map(|family| {
            let ranges = all.outside.iter();
            ranges.filter(|range| range.family == family).count()
        });
        let nodes = all.inventory.state.nodes().values();
        let nodes = nodes.flat_map(|node| node.addresses.iter().map(|address| (*address, &node.name)));
        Self {
            all,
            classes,
            families: own,
            ranges,
            nodes: nodes.collect(),
        }
    }

    /// The sources of a line or row: of connections to `to`, in one family if only that is meant.
    pub fn sources(&self, from: &[End], to: &[End], family: Option<Family>) -> Vec<Word> {
        let families = family.map_or_else(|| self.families_of(to), Families::from);
        let inside = to.iter().any(|end| matches!(end, End::Pods(_)));
        self.list(from, families, inside)
    }

    /// The destinations of a line.
    pub fn destinations(&self, to: &[End]) -> Vec<Word> {
        let pods = (0..self.families.len()).map(End::Pods).collect::<Vec<_>>();
        self.list(to, self.families_of(&pods), true)
    }

    /// [`Words::sources`], or all except some where that is shorter.
    pub fn say_sources(&self, from: &[End], to: &[End], family: Option<Family>) -> Saying {
        let families = family.map_or_else(|| self.families_of(to), Families::from);
        self.shortened(self.sources(from, to, family), from, families)
    }

    /// [`Words::destinations`], or all except some where that is shorter.
    pub fn say_destinations(&self, to: &[End]) -> Saying {
        self.shortened(self.destinations(to), to, Families::BOTH)
    }

    fn shortened(&self, words: Vec<Word>, ends: &[End], families: Families) -> Saying {
        let listed: BTreeSet<usize> = ends
            .iter()
            .filter_map(|end| match end {
                End::Pods(class) => Some(*class),
                End::Outside(_) => None,
            })
            .collect();
        let possible: usize = self.possible(families).values().sum();
        let said = Saying { all: None, words };
        // To list the others is worth its while only where they are few.
        if listed.len() == possible || listed.len() * 2 < possible || said.words.len() < 3 {
            return said;
        }
        let outside = self.outside(ends, families);
        let all = match outside.as_slice() {
            [] => Word::AnyPod,
            [Word::AnyOutside] => Word::Any,
            _ => return said,
        };
        let others = (0..)
            .zip(&self.families)
            .filter(|(class, own)| own.overlaps(families) && !listed.contains(class))
            .map(|(class, _)| End::Pods(class));
        let others = self.pods(&others.collect::<Vec<_>>(), families);
        if others.len() + 1 >= said.words.len() {
            return said;
        }
        Saying {
            all: Some(all),
            words: others,
        }
    }

    /// How many classes of each namespace have an address of one of some families.
    fn possible(&self, families: Families) -> &BTreeMap<&'a NamespaceName, usize> {
        let [none, v4, v6, both] = &self.classes;
        match families.0 {
            0 => none,
            1 => v4,
            2 => v6,
            _ => both,
        }
    }

    /// Ends one by one, with nothing but the ranges joined: what was asked for by name. Of ranges only what is `within` some
    /// blocks is told, if such were asked for.
    pub fn each(&self, ends: &[End], within: Option<&[IpNet]>) -> Vec<Word> {
        let classes = ends.iter().filter_map(|end| match end {
            End::Pods(class) => Some(Word::Class(*class)),
            End::Outside(_) => None,
        });
        let parts = Family::ALL
            .into_iter()
            .flat_map(|family| self.parts(ends, family, within));
        classes.chain(parts).collect()
    }

    fn families_of(&self, ends: &[End]) -> Families {
        let families = ends.iter().map(|end| match end {
            End::Pods(class) => self.families.get(*class).copied().unwrap_or_default(),
            End::Outside(range) => {
                let range = self.all.outside.get(*range);
                range.map_or(Families::BOTH, |range| range.family.into())
            }
        });
        Families(families.fold(0, |all, families| all | families.0))
    }

    fn list(&self, ends: &[End], families: Families, outside_counts: bool) -> Vec<Word> {
        let mut words = self.pods(ends, families);
        let outside = self.outside(ends, families);
        if outside == [Word::AnyOutside] && words == [Word::AnyPod] && outside_counts {
            return vec![Word::Any];
        }
        words.extend(outside);
        words
    }

    fn pods(&self, ends: &[End], families: Families) -> Vec<Word> {
        let possible = self.possible(families);
        let all = self.all.classes;
        let mut listed: BTreeMap<&NamespaceName, Vec<usize>> = BTreeMap::new();
        for end in ends {
            if let End::Pods(index) = end
                && let Some(class) = all.get(*index)
            {
                listed.entry(&class.namespace).or_default().push(*index);
            }
        }
        let is_whole =
            |namespace: &NamespaceName, classes: &Vec<usize>| possible.get(namespace) == Some(&classes.len());
        let whole = listed
            .iter()
            .filter(|(namespace, classes)| is_whole(namespace, classes))
            .count();
        if whole == possible.len() && whole > 0 {
            return vec![Word::AnyPod];
        }
        let words = listed.into_iter().flat_map(|(namespace, classes)| {
            if classes.len() > 1 && is_whole(namespace, &classes) {
                return vec![Word::Namespace(namespace.clone())];
            }
            classes.into_iter().map(Word::Class).collect()
        });
        words.collect()
    }

    fn outside(&self, ends: &[End], families: Families) -> Vec<Word> {
        let meant = Family::ALL.into_iter().filter(|family| families.has(*family));
        let mut words = Vec::new();
        let mut everything = true;
        for family in meant {
            let listed: BTreeSet<usize> = self.ranges(ends, family).collect();
            let all = self.ranges.get(usize::from(family == Family::V6));
            if Some(&listed.len()) == all && !listed.is_empty() {
                words.push(Word::AnyOutsideOf(family));
            } else {
                everything = false;
                words.extend(self.parts(ends, family, None));
            }
        }
        if everything && !words.is_empty() {
            return vec![Word::AnyOutside];
        }
        words
    }

    fn ranges(&self, ends: &[End], family: Family) -> impl Iterator<Item = usize> {
        let all = self.all.outside;
        ends.iter().filter_map(move |end| match end {
            End::Outside(index) if all.get(*index)?.family == family => Some(*index),
            End::Outside(_) | End::Pods(_) => None,
        })
    }

    fn parts(&self, ends: &[End], family: Family, within: Option<&[IpNet]>) -> Vec<Word> {
        let all = self.all.outside;
        let ranges = self.ranges(ends, family).filter_map(|index| all.get(index));
        let blocks: Vec<IpNet> = ranges.flat_map(|range| range.blocks.iter().copied()).collect();
        let mut addresses = Addresses::of(family, &blocks);
        if let Some(blocks) = within {
            addresses = addresses.intersection(&Addresses::of(family, blocks));
        }
        addresses.parts().into_iter().map(Word::Addresses).collect()
    }

    /// A saying as text: `any except shop/db, shop/web`.
    pub fn said(&self, saying: &Saying, limits: Limits) -> String {
        let list = self.listed(&saying.words, limits);
        match &saying.all {
            Some(all) => format!("{} except {list}", self.text(all, limits.excepts)),
            None => list,
        }
    }

    /// Words as text.
    pub fn listed(&self, words: &[Word], limits: Limits) -> String {
        let told = words.iter().take(limits.words);
        let mut parts: Vec<String> = told.map(|word| self.text(word, limits.excepts)).collect();
        let more = words.len().saturating_sub(limits.words);
        if more > 0 {
            parts.push(format!("and {more} more"));
        }
        parts.join(", ")
    }

    /// A word as text, with excepts of blocks beyond `excepts` only counted.
    pub fn text(&self, word: &Word, excepts: usize) -> String {
        match word {
            Word::Class(class) => self.all.names.end(End::Pods(*class)).to_owned(),
            Word::Addresses(part) => {
                let node = (part.cidr.prefix_len() == part.cidr.max_prefix_len())
                    .then(|| self.nodes.get(&part.cidr.addr()))
                    .flatten();
                match node {
                    Some(node) => format!("{part} (node {node})"),
                    None => part.shortened(excepts),
                }
            }
            Word::Any | Word::AnyPod | Word::Namespace(_) | Word::AnyOutside | Word::AnyOutsideOf(_) => {
                Fixed(word).to_string()
            }
        }
    }
}

/// Ports in words: what they are, or what they are not where that is shorter.
pub fn ports(set: &PortSet) -> String {
    let said = set.to_string();
    let missing = PortSet::all().difference(set);
    if missing.is_empty() || set.is_empty() {
        return said;
    }
    let except = format!("all except {missing}");
    if except.len() < said.len() { except } else { said }
}

/// A word that needs no names.
struct Fixed<'a>(&'a Word);

impl fmt::Display for Fixed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Word::Any => f.write_str("any"),
            Word::AnyPod => f.write_str("any pod"),
            Word::Namespace(namespace) => write!(f, "{namespace}/*"),
            Word::AnyOutside => f.write_str("any address outside"),
            Word::AnyOutsideOf(family) => write!(f, "any {family} address outside"),
            Word::Class(class) => write!(f, "class {class}"),
            Word::Addresses(part) => part.fmt(f),
        }
    }
}
