//! The rows and columns of the matrix, which are the nodes of the graph as well.
//!
//! Classes of equal pods and ranges outside, as long as a page can hold what each says of each; beyond that, namespaces and
//! everything outside.

use std::collections::BTreeMap;

use palisade_policy::model::NamespaceName;
use palisade_policy::reach::{Class, End, Family, Outside, Reach};

use super::names::{self, Names};
use crate::relation::{Addresses, Part};

/// The most rows that a page holds. The square of it is what a browser has to sift through when somebody types a filter.
pub(super) const MOST: usize = 1_200;

/// What a row stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Grain {
    /// A class of pods, a range outside.
    Classes,
    /// A namespace, all addresses of a family.
    Namespaces,
}

/// One row, and column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Row {
    /// The namespace of pods; `None` of addresses outside.
    pub(super) namespace: Option<NamespaceName>,
    /// What it is called, within its namespace.
    pub(super) name: String,
    /// The labels of its pods, or the blocks of its addresses.
    pub(super) detail: String,
    /// The addresses outside that it stands for.
    pub(super) blocks: Vec<Part>,
    /// How many pods it stands for.
    pub(super) pods: u64,
    /// How many of them are isolated for ingress.
    pub(super) ingress: u64,
    /// How many of them are isolated for egress.
    pub(super) egress: u64,
    /// How many ends of [`Reach`] it stands for, of IPv4 and of IPv6.
    pub(super) ends: [u32; 2],
}

/// All rows, and where each end of [`Reach`] belongs.
#[derive(Debug)]
pub(super) struct Rows {
    pub(super) grain: Grain,
    pub(super) all: Vec<Row>,
    classes: Vec<Option<usize>>,
    outside: Vec<Option<usize>>,
    /// How many rows there would be without a bound.
    pub(super) whole: usize,
}

impl Rows {
    /// The rows of a grain: at most `most`, those with the most pods.
    pub(super) fn of(reach: &Reach, names: &Names, grain: Grain, most: usize) -> Self {
        match grain {
            Grain::Classes => Self::classes(reach, names),
            Grain::Namespaces => Self::namespaces(reach, names),
        }
        .bounded(most)
    }

    /// The row of an end; `None` where it is beyond the bound.
    pub(super) fn row(&self, end: End) -> Option<usize> {
        match end {
            End::Pods(class) => self.classes.get(class).copied().flatten(),
            End::Outside(range) => self.outside.get(range).copied().flatten(),
        }
    }

    fn classes(reach: &Reach, names: &Names) -> Self {
        let mut rows: Vec<Row> = reach
            .classes()
            .iter()
            .enumerate()
            .map(|(index, class)| {
                let mut row = Row::pods(class.namespace.clone(), names.class(index).to_owned());
                row.detail = names::labels(&class.labels);
                row.add(class, names.pods(index));
                row
            })
            .collect();
        let pods = reach.classes().len();
        let range_names = names.ranges(reach);
        let mut outside = vec![None; reach.outside().len()];
        for (index, range) in names::ranges(reach) {
            let name = range_names.get(index).cloned().unwrap_or_default();
            if let Some(place) = outside.get_mut(index) {
                *place = Some(rows.len());
            }
            rows.push(Row::outside(range, name, names.addresses(index).to_owned()));
        }
        let whole = rows.len();
        Self {
            grain: Grain::Classes,
            all: rows,
            classes: (0..pods).map(Some).collect(),
            outside,
            whole,
        }
    }

    fn namespaces(reach: &Reach, names: &Names) -> Self {
        let mut rows: Vec<Row> = Vec::new();
        let mut places: BTreeMap<&NamespaceName, usize> = BTreeMap::new();
        let mut classes = Vec::new();
        for (index, class) in reach.classes().iter().enumerate() {
            let place = *places.entry(&class.namespace).or_insert_with(|| {
                rows.push(Row::pods(class.namespace.clone(), "all pods".to_owned()));
                rows.len() - 1
            });
            if let Some(row) = rows.get_mut(place) {
                row.add(class, names.pods(index));
            }
            classes.push(Some(place));
        }
        let mut outside = vec![None; reach.outside().len()];
        let mut families: BTreeMap<Family, usize> = BTreeMap::new();
        for (index, range) in names::ranges(reach) {
            let place = *families.entry(range.family).or_insert_with(|| {
                let name = format!("any {} address", names::family(range.family));
                let mut row = Row::outside(range, name, String::new());
                row.ends = [0; 2];
                row.blocks = Addresses::of(range.family, &[names::every_address(range.family)]).parts();
                rows.push(row);
                rows.len() - 1
            });
            if let Some(row) = rows.get_mut(place) {
                row.count(range.family);
            }
            if let Some(known) = outside.get_mut(index) {
                *known = Some(place);
            }
        }
        let whole = rows.len();
        Self {
            grain: Grain::Namespaces,
            all: rows,
            classes,
            outside,
            whole,
        }
    }

    /// Without the rows of the fewest pods, beyond `most`. Addresses outside stay.
    fn bounded(mut self, most: usize) -> Self {
        if self.all.len() <= most {
            return self;
        }
        let mut order: Vec<usize> = (0..self.all.len()).collect();
        let rank = |index: &usize| {
            let row = self.all.get(*index);
            let outside = row.is_some_and(|row| row.namespace.is_none());
            let pods = row.map_or(0, |row| row.pods);
            (!outside, std::cmp::Reverse(pods), *index)
        };
        order.sort_by_key(rank);
        order.truncate(most);
        order.sort_unstable();
        let places: BTreeMap<usize, usize> = order.iter().copied().zip(0..).collect();
        let moved = |place: &mut Option<usize>| *place = place.and_then(|place| places.get(&place).copied());
        self.classes.iter_mut().for_each(moved);
        self.outside.iter_mut().for_each(moved);
        self.all = order
            .iter()
            .filter_map(|index| self.all.get(*index).cloned())
            .collect();
        self
    }
}

impl Row {
    fn pods(namespace: NamespaceName, name: String) -> Self {
        Self {
            namespace: Some(namespace),
            name,
            detail: String::new(),
            blocks: Vec::new(),
            pods: 0,
            ingress: 0,
            egress: 0,
            ends: [0; 2],
        }
    }

    fn outside(range: &Outside, name: String, detail: String) -> Self {
        let mut row = Self {
            namespace: None,
            name,
            detail,
            blocks: Addresses::of(range.family, &range.blocks).parts(),
            pods: 0,
            ingress: 0,
            egress: 0,
            ends: [0; 2],
        };
        row.count(range.family);
        row
    }

    fn add(&mut self, class: &Class, pods: u64) {
        self.pods += pods;
        self.ingress += if class.ingress.is_empty() { 0 } else { pods };
        self.egress += if class.egress.is_empty() { 0 } else { pods };
        if class.members.first().is_some_and(|member| member.v4.is_some()) {
            self.count(Family::V4);
        }
        if class.members.first().is_some_and(|member| member.v6.is_some()) {
            self.count(Family::V6);
        }
    }

    fn count(&mut self, family: Family) {
        let [v4, v6] = &mut self.ends;
        match family {
            Family::V4 => *v4 += 1,
            Family::V6 => *v6 += 1,
        }
    }

    /// What it is called anywhere: `shop/web`.
    pub(super) fn full_name(&self) -> String {
        match &self.namespace {
            Some(namespace) => format!("{namespace}/{}", self.name),
            None => self.name.clone(),
        }
    }
}
