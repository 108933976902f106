//! What each row says of each column.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use palisade_policy::model::Protocol;
use palisade_policy::reach::{End, Family, PortSet, Reach};

use super::ends::{Grain, Row, Rows};

/// Ports that a cell tells by number.
const SHORT: usize = 1;

/// How much of what there is a connection may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Share {
    /// Every port and protocol, between all of them.
    All,
    /// Some ports, or only some of them.
    Some,
    /// Nothing.
    None,
    /// There is nothing to ask: no address family in common, a pod and itself, outside and outside.
    Inapplicable,
}

/// What a cell says. Many cells say the same.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Cell {
    pub(super) share: Share,
    /// For the cell itself: `80`, `80 +2`, `all`; `part 80` where it is not so for everything that the cell stands for.
    pub(super) short: String,
    /// In full: `80,443/TCP`.
    pub(super) text: String,
    /// All ports that anything of it may use, in any family.
    pub(super) ports: PortSet,
    /// Whether the ports are the same for everything that the cell stands for.
    pub(super) whole: bool,
}

/// All cells: of each row, one for each column.
#[derive(Debug)]
pub(super) struct Matrix {
    /// What cells say, each once.
    pub(super) cells: Vec<Cell>,
    /// Rows that say the same are there once: what is said, and of how many columns in a row.
    pub(super) runs: Vec<Vec<(usize, usize)>>,
    /// Which of `runs` each row is.
    pub(super) rows: Vec<usize>,
}

/// What one family says of a pair: the ports, and whether they are the same for everything that the pair stands for.
type Said = Option<(usize, bool)>;

impl Matrix {
    pub(super) fn of(reach: &Reach, rows: &Rows) -> Self {
        let mut sets = Sets::default();
        let families = [Family::V4, Family::V6].map(|family| Tallies::of(reach, rows, family, &mut sets));
        let mut matrix = Self {
            cells: Vec::new(),
            runs: Vec::new(),
            rows: Vec::new(),
        };
        let mut known_cells: HashMap<(Option<&'static str>, [Said; 2]), usize> = HashMap::new();
        // Another family may have the same to say.
        let mut same_cells: HashMap<Cell, usize> = HashMap::new();
        let mut known_runs: HashMap<Vec<(usize, usize)>, usize> = HashMap::new();
        for (from_index, from) in rows.all.iter().enumerate() {
            let mut runs: Vec<(usize, usize)> = Vec::new();
            for (to_index, to) in rows.all.iter().enumerate() {
                let inapplicable = inapplicable(from, to, from_index == to_index, rows.grain);
                let mut said = [0, 1].map(|family: usize| {
                    let ends = |row: &Row| row.ends.get(family).copied().map_or(0, u64::from);
                    families
                        .get(family)?
                        .said(from_index, to_index, ends(from) * ends(to))
                });
                if inapplicable.is_some() {
                    said = [None; 2];
                }
                let cell = *known_cells.entry((inapplicable, said)).or_insert_with(|| {
                    let cell = sets.cell(inapplicable, said);
                    *same_cells.entry(cell).or_insert_with_key(|cell| {
                        matrix.cells.push(cell.clone());
                        matrix.cells.len() - 1
                    })
                });
                match runs.last_mut() {
                    Some((last, length)) if *last == cell => *length += 1,
                    _ => runs.push((cell, 1)),
                }
            }
            let place = *known_runs.entry(runs.clone()).or_insert_with(|| {
                matrix.runs.push(runs);
                matrix.runs.len() - 1
            });
            matrix.rows.push(place);
        }
        matrix
    }

    /// How much there is to write down.
    pub(super) fn size(&self) -> usize {
        self.runs.iter().map(Vec::len).sum()
    }

    /// The cells of a row.
    pub(super) fn row(&self, index: usize) -> impl Iterator<Item = &Cell> {
        let runs = self.rows.get(index).and_then(|place| self.runs.get(*place));
        let cells = runs.into_iter().flatten();
        cells.flat_map(|(cell, length)| self.cells.get(*cell).into_iter().cycle().take(*length))
    }
}

/// Why there is nothing to ask of a pair.
fn inapplicable(from: &Row, to: &Row, same: bool, grain: Grain) -> Option<&'static str> {
    match (&from.namespace, &to.namespace) {
        (None, None) => Some("outside and outside: no matter of policies"),
        (Some(_), Some(_)) if same && from.pods == 1 => Some("one pod, which always reaches itself"),
        _ => {
            let shared = from
                .ends
                .iter()
                .zip(to.ends)
                .any(|(from, to)| *from > 0 && to > 0);
            let why = match grain {
                Grain::Classes => "no address family in common",
                Grain::Namespaces => "no addresses of the same family",
            };
            (!shared).then_some(why)
        }
    }
}

/// Sets of ports by number; number 0 is the empty one.
#[derive(Debug)]
struct Sets {
    all: Vec<PortSet>,
    numbers: BTreeMap<PortSet, usize>,
    unions: HashMap<(usize, usize), usize>,
}

impl Default for Sets {
    fn default() -> Self {
        Self {
            all: vec![PortSet::none()],
            numbers: BTreeMap::from([(PortSet::none(), 0)]),
            unions: HashMap::new(),
        }
    }
}

impl Sets {
    fn number(&mut self, set: PortSet) -> usize {
        *self.numbers.entry(set).or_insert_with_key(|set| {
            self.all.push(set.clone());
            self.all.len() - 1
        })
    }

    fn get(&self, number: usize) -> PortSet {
        self.all.get(number).cloned().unwrap_or_default()
    }

    fn union(&mut self, one: usize, other: usize) -> usize {
        if one == other || other == 0 {
            return one;
        }
        if one == 0 {
            return other;
        }
        if let Some(known) = self.unions.get(&(one, other)) {
            return *known;
        }
        let union = self.number(self.get(one).union(&self.get(other)));
        self.unions.insert((one, other), union);
        union
    }

    fn cell(&self, inapplicable: Option<&'static str>, said: [Said; 2]) -> Cell {
        let [v4, v6] = said;
        let same = v4.is_none() || v6.is_none() || v4 == v6;
        let ports = |said: Said| said.map_or_else(PortSet::none, |(set, _)| self.get(set));
        let union = ports(v4).union(&ports(v6));
        let in_words = |(set, whole): (usize, bool)| {
            let ports = self.get(set);
            if whole || ports.is_empty() {
                ports.to_string()
            } else {
                format!("{ports}, not between all of them")
            }
        };
        let (share, text) = match (inapplicable, v4, v6) {
            (Some(why), ..) => (Share::Inapplicable, why.to_owned()),
            (None, None, None) => (Share::None, "none".to_owned()),
            (None, Some(only), None) | (None, None, Some(only)) => (share(&union, only.1), in_words(only)),
            (None, Some(v4), Some(v6)) if v4 == v6 => (share(&union, v4.1), in_words(v4)),
            (None, Some(v4), Some(v6)) => {
                let text = format!("IPv4: {}; IPv6: {}", in_words(v4), in_words(v6));
                (share(&union, false), text)
            }
        };
        let whole = same && said.into_iter().flatten().all(|(_, whole)| whole);
        let short = match share {
            Share::All => "all".to_owned(),
            Share::Some => short(&union, whole),
            Share::None | Share::Inapplicable => String::new(),
        };
        Cell {
            share,
            short,
            text,
            ports: union,
            whole,
        }
    }
}

fn share(ports: &PortSet, whole: bool) -> Share {
    if ports.is_empty() {
        Share::None
    } else if ports.is_all() && whole {
        Share::All
    } else {
        Share::Some
    }
}

/// The first port and how many more there are: `80`, `53 +1`. With `part` where that is not so for all.
fn short(ports: &PortSet, whole: bool) -> String {
    if ports.is_all() {
        "part".to_owned()
    } else if whole {
        first_port(ports)
    } else {
        format!("part {}", first_port(ports))
    }
}

fn first_port(ports: &PortSet) -> String {
    let mut told = Vec::new();
    for protocol in Protocol::ALL {
        for (first, last) in ports.ports(protocol) {
            told.push(match (first, last) {
                (0, &u16::MAX) => protocol.to_string(),
                (first, last) if first == last => first.to_string(),
                (first, last) => format!("{first}-{last}"),
            });
        }
    }
    if told.is_empty() {
        return "ICMP".to_owned();
    }
    let more = told.len().saturating_sub(SHORT);
    told.truncate(SHORT);
    let told = told.join(",");
    if more == 0 {
        told
    } else {
        format!("{told} +{more}")
    }
}

/// What was found of each pair, in one family.
#[derive(Debug)]
struct Tallies {
    columns: usize,
    tallies: Vec<Tally>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    /// The ports of any of them.
    ports: usize,
    /// How many pairs of ends have some.
    pairs: u64,
    /// Whether some pairs have other ports than others.
    mixed: bool,
}

/// Lists of ends, each with how many of it belong to each row.
type Lists = HashMap<*const End, (Arc<[End]>, Vec<(usize, u64)>)>;

impl Tallies {
    fn of(reach: &Reach, rows: &Rows, family: Family, sets: &mut Sets) -> Self {
        let columns = rows.all.len();
        let mut all = Self {
            columns,
            tallies: vec![Tally::default(); columns * columns],
        };
        // Flows share their lists, and each list is sorted into rows once. The lists are kept, so that none takes the place
        // of another in memory.
        let mut lists: Lists = HashMap::new();
        for flow in reach.flows(family) {
            let Some(to) = rows.row(flow.to) else { continue };
            let ports = sets.number(flow.ports);
            let (_, list) = lists
                .entry(flow.from.as_ptr())
                .or_insert_with(|| (flow.from.clone(), by_row(&flow.from, rows)));
            for (from, count) in list {
                let Some(tally) = all.tallies.get_mut(*from * columns + to) else {
                    continue;
                };
                tally.mixed |= tally.pairs > 0 && tally.ports != ports;
                tally.ports = sets.union(tally.ports, ports);
                tally.pairs += *count;
            }
        }
        all
    }

    /// What is to say of a pair of rows that stand for so many pairs of ends; `None` where that is no pair at all.
    fn said(&self, from: usize, to: usize, pairs: u64) -> Said {
        if pairs == 0 {
            return None;
        }
        let tally = self.tallies.get(from * self.columns + to)?;
        let whole = !tally.mixed && (tally.pairs == pairs || tally.pairs == 0);
        Some((tally.ports, whole))
    }
}

fn by_row(ends: &[End], rows: &Rows) -> Vec<(usize, u64)> {
    let mut counts: BTreeMap<usize, u64> = BTreeMap::new();
    for row in ends.iter().filter_map(|end| rows.row(*end)) {
        *counts.entry(row).or_default() += 1;
    }
    counts.into_iter().collect()
}
