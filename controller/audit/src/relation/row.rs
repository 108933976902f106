//! What is allowed, with both families told together wherever they agree.

use std::collections::{BTreeMap, HashMap};
use std::iter::Peekable;
use std::sync::Arc;

use palisade_policy::reach::{End, Family, Flow, PortSet};

use super::Relation;
use super::name::families;
use super::selection::Selection;

/// Connections that are allowed from any of some ends to one end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// From where, in order. Rows share these lists.
    pub from: Arc<[End]>,
    /// To where.
    pub to: End,
    /// On which ports. Never empty.
    pub ports: PortSet,
    /// In which family alone; `None`: in each that both ends have.
    pub family: Option<Family>,
}

/// Rows with the same sources, ports and family.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// From where, in order. Empty where nobody reaches the destination.
    pub from: Arc<[End]>,
    /// To where, in order: one class, or ranges outside.
    pub to: Vec<End>,
    /// On which ports; none where nobody reaches the destination.
    pub ports: PortSet,
    /// In which family alone; `None`: in each that both ends have.
    pub family: Option<Family>,
}

/// What is allowed to one destination, whichever it is: sources, ports and family of a row.
type Body = (PortSet, Option<Family>, Arc<[End]>);

/// The flows of one family to one destination.
type Flows = Vec<(PortSet, Arc<[End]>)>;

/// Flows told apart by which lists they share.
type Identity = Vec<(PortSet, *const End, usize)>;

/// Puts the flows of both families to one destination together. Destinations that are alike have the same lists, so that
/// the work is done once for all of them.
struct Merging<'a> {
    selection: &'a Selection,
    /// Whether each class has addresses of both families.
    dual: Vec<bool>,
    known: HashMap<(bool, [Identity; 2]), Arc<[Body]>>,
    /// The lists that `known` goes by: while they are here, no other has their place.
    held: Vec<Flows>,
}

pub(super) fn rows<'a>(
    relation: &'a Relation<'a>,
    selection: &'a Selection,
) -> impl Iterator<Item = Row> + 'a {
    let reach = &relation.reach;
    let mut merging = Merging {
        selection,
        dual: reach
            .classes()
            .iter()
            .map(|class| families(class).count() == 2)
            .collect(),
        known: HashMap::new(),
        held: Vec::new(),
    };
    let mut v4 = reach.flows(Family::V4).peekable();
    let mut v6 = reach.flows(Family::V6).peekable();
    let pods = (0..reach.classes().len()).map(End::Pods);
    let outside = (0..reach.outside().len()).map(End::Outside);
    pods.chain(outside).flat_map(move |to| {
        let flows = [take(&mut v4, to), take(&mut v6, to)];
        let bodies: Arc<[Body]> = if selection.has_destination(to) {
            merging.bodies(to, flows)
        } else {
            [].into()
        };
        let bodies: Vec<Body> = bodies.iter().cloned().collect();
        let rows = bodies.into_iter().map(move |(ports, family, from)| Row {
            from,
            to,
            ports,
            family,
        });
        rows.filter(|row| !is_itself(relation, row)).collect::<Vec<_>>()
    })
}

/// The next flows, as long as they are to `to`.
fn take(flows: &mut Peekable<impl Iterator<Item = Flow>>, to: End) -> Flows {
    let mut found = Flows::new();
    while let Some(flow) = flows.next_if(|flow| flow.to == to) {
        found.push((flow.ports, flow.from));
    }
    found
}

/// Whether a row says no more than that a pod reaches itself, which it always does.
fn is_itself(relation: &Relation<'_>, row: &Row) -> bool {
    *row.from == [row.to] && relation.names.is_single(row.to)
}

impl Merging<'_> {
    fn bodies(&mut self, to: End, flows: [Flows; 2]) -> Arc<[Body]> {
        let dual = match to {
            End::Pods(class) => self.is_dual(class),
            End::Outside(_) => false,
        };
        let identity = |flows: &Flows| -> Identity {
            let identity = flows
                .iter()
                .map(|(ports, from)| (ports.clone(), from.as_ptr(), from.len()));
            identity.collect()
        };
        let key = (dual, flows.each_ref().map(identity));
        if let Some(known) = self.known.get(&key) {
            return known.clone();
        }
        let mut bodies: Vec<Body> = if dual {
            self.merge(&flows)
        } else {
            let flows = flows.iter().flatten();
            let bodies = flows.filter_map(|(ports, from)| self.body(ports.clone(), None, from.clone()));
            bodies.collect()
        };
        bodies.sort_unstable();
        let bodies: Arc<[Body]> = bodies.into();
        self.held.extend(flows);
        self.known.insert(key, bodies.clone());
        bodies
    }

    fn is_dual(&self, class: usize) -> bool {
        self.dual.get(class).copied().unwrap_or_default()
    }

    fn merge(&self, flows: &[Flows; 2]) -> Vec<Body> {
        let [v4, v6] = flows;
        let mut by_source: BTreeMap<End, [Option<&PortSet>; 2]> = BTreeMap::new();
        for (ports, from) in v4 {
            for end in from.iter() {
                by_source.entry(*end).or_default()[0] = Some(ports);
            }
        }
        for (ports, from) in v6 {
            for end in from.iter() {
                by_source.entry(*end).or_default()[1] = Some(ports);
            }
        }
        let mut grouped: BTreeMap<(PortSet, Option<Family>), Vec<End>> = BTreeMap::new();
        let mut add = |ports: Option<&PortSet>, family, end| {
            if let Some(ports) = ports {
                grouped.entry((ports.clone(), family)).or_default().push(end);
            }
        };
        for (end, [v4, v6]) in by_source {
            let differ = v4 != v6 && matches!(end, End::Pods(class) if self.is_dual(class));
            if differ {
                add(v4, Some(Family::V4), end);
                add(v6, Some(Family::V6), end);
            } else {
                add(v4.or(v6), None, end);
            }
        }
        let bodies = grouped
            .into_iter()
            .filter_map(|((ports, family), from)| self.body(ports, family, from.into()));
        bodies.collect()
    }

    /// A body with the sources that were asked for, if any is left.
    fn body(&self, ports: PortSet, family: Option<Family>, from: Arc<[End]>) -> Option<Body> {
        let from = self.selection.sources(from);
        (!from.is_empty()).then_some((ports, family, from))
    }
}

pub(super) fn lines<'a>(
    relation: &'a Relation<'a>,
    selection: &'a Selection,
) -> impl Iterator<Item = Line> + 'a {
    let mut rows = rows(relation, selection).peekable();
    let classes = 0..relation.reach.classes().len();
    let mut to_pods = classes.map(End::Pods).filter(|to| selection.has_destination(*to));
    let mut pending = Vec::new().into_iter();
    let mut outside: Option<std::vec::IntoIter<Line>> = None;
    std::iter::from_fn(move || {
        loop {
            if let Some(line) = pending.next() {
                return Some(line);
            }
            if let Some(to) = to_pods.next() {
                let mut lines = Vec::new();
                while let Some(row) = rows.next_if(|row| row.to == to) {
                    lines.push(Line {
                        from: row.from,
                        to: vec![row.to],
                        ports: row.ports,
                        family: row.family,
                    });
                }
                if lines.is_empty() && selection.has_all_sources() {
                    lines.push(Line {
                        from: [].into(),
                        to: vec![to],
                        ports: PortSet::none(),
                        family: None,
                    });
                }
                pending = lines.into_iter();
                continue;
            }
            return outside
                .get_or_insert_with(|| joined(rows.by_ref()).into_iter())
                .next();
        }
    })
}

/// Rows to ranges outside, those with the same sources and ports as one line: by their first range.
fn joined(rows: impl Iterator<Item = Row>) -> Vec<Line> {
    let mut places: HashMap<(Arc<[End]>, PortSet), usize> = HashMap::new();
    let mut lines: Vec<Line> = Vec::new();
    for row in rows {
        let place = *places
            .entry((row.from.clone(), row.ports.clone()))
            .or_insert(lines.len());
        match lines.get_mut(place) {
            Some(line) => line.to.push(row.to),
            None => lines.push(Line {
                from: row.from,
                to: vec![row.to],
                ports: row.ports,
                family: None,
            }),
        }
    }
    lines
}
