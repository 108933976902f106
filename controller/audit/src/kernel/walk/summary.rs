//! One chain as a function, and chains followed from one to the next.

use std::collections::HashSet;
use std::rc::Rc;

use crate::kernel::ruleset::{
    Cast, Chain, Condition, Family, Field, Frame, Outcome, Ruleset, Table, Verdict,
};
use crate::kernel::spans::Pieces;
use crate::kernel::transport::Transports;

use super::{Axis, Ends, Name, Phase, View, Walker, lookup};

/// How packets leave a chain. Those that are dropped are not counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Exit {
    /// They pass the base chain.
    Accept,
    /// They come to the end, or return.
    End,
    /// They go to another chain of the table.
    Goto(usize),
    /// They come to a rule that could not be understood.
    Unknown,
}

/// A chain as a function of the address at one end.
#[derive(Debug)]
pub(super) struct Summary {
    axis: Axis,
    exits: Vec<(Exit, Pieces<Transports>)>,
}

impl Summary {
    fn add(&mut self, exit: Exit, more: &Pieces<Transports>) {
        if more.is_nothing() {
            return;
        }
        match self.exits.iter_mut().find(|(known, _)| *known == exit) {
            Some((_, all)) => *all = all.union(more),
            None => self.exits.push((exit, more.clone())),
        }
    }
}

/// What the rules of a chain ask for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each tells of one field, independently"
)]
pub(super) struct Asked {
    input: bool,
    output: bool,
    cast: bool,
    source: bool,
    destination: bool,
    /// What depends on where in its connection a packet stands: its state, or its ports.
    phase: bool,
}

impl Asked {
    fn of_field(&mut self, field: Field) {
        match field {
            Field::Input => self.input = true,
            Field::Output => self.output = true,
            Field::Cast => self.cast = true,
            Field::Source(_) => self.source = true,
            Field::Destination(_) => self.destination = true,
            // The kind of frame is part of every summary's key, and what is carried is left open.
            Field::Frame | Field::Protocol | Field::IcmpType(_) => {}
            Field::DestinationPort(_) | Field::SourcePort(_) => self.phase = true,
        }
    }

    /// Adds what a chain asks for, and those that it jumps to. `seen` are the chains that were asked already.
    fn of_chain(&mut self, table: &Table, place: usize, with_gotos: bool, seen: &mut HashSet<(usize, bool)>) {
        let Some(chain) = table
            .chains
            .get(place)
            .filter(|_| seen.insert((place, with_gotos)))
        else {
            return;
        };
        for body in chain.rules.iter().filter_map(|rule| rule.body.as_ref().ok()) {
            for condition in &body.conditions {
                match condition {
                    Condition::OfConnections { .. } => self.phase = true,
                    Condition::Lookup(lookup) => {
                        for field in &lookup.key {
                            self.of_field(*field);
                        }
                    }
                }
            }
            if let Outcome::Mapped { key, .. } = &body.outcome {
                for field in key {
                    self.of_field(*field);
                }
            }
            for verdict in table.verdicts(body) {
                let next = match verdict {
                    Verdict::Jump(next) => Some((next, true)),
                    Verdict::Goto(next) => with_gotos.then_some((next, true)),
                    Verdict::Accept | Verdict::Drop | Verdict::Continue | Verdict::Return => None,
                };
                if let Some((next, with_gotos)) = next
                    && let Some(next) = table.chain(next)
                {
                    self.of_chain(table, next, with_gotos, seen);
                }
            }
        }
    }
}

/// Under what a summary is kept.
#[derive(PartialEq, Eq, Hash)]
pub(super) struct Key {
    family: Family,
    chain: usize,
    frame: Frame,
    cast: Option<Cast>,
    phase: Option<Phase>,
    input: Option<Name>,
    output: Option<Name>,
    axis: Axis,
    /// The address of the other end.
    opposite: Option<u128>,
}

impl Walker<'_> {
    /// Follows a chain through its gotos, for every address at one end.
    pub(super) fn resolve(
        &mut self,
        family: Family,
        place: usize,
        view: View,
        ends: Ends,
        axis: Axis,
    ) -> Resolved<Pieces<Transports>> {
        let mut resolved = Resolved {
            accept: Pieces::nothing(),
            end: Pieces::nothing(),
            unknown: Pieces::nothing(),
        };
        if self.is_weary() {
            resolved.unknown = Pieces::everything();
            return resolved;
        }
        let summary = self.summary(family, place, view, ends, axis);
        for (exit, pieces) in &summary.exits {
            let constant;
            let pieces = if summary.axis == axis {
                pieces
            } else {
                constant = Pieces::constant(pieces.at(ends.at(summary.axis)).cloned().unwrap_or_default());
                &constant
            };
            if pieces.is_nothing() {
                continue;
            }
            match exit {
                Exit::Accept => resolved.accept = resolved.accept.union(pieces),
                Exit::End => resolved.end = resolved.end.union(pieces),
                Exit::Unknown => resolved.unknown = resolved.unknown.union(pieces),
                Exit::Goto(next) => {
                    let next = self.resolve(family, *next, view, ends, axis);
                    let of = |all: &Pieces<Transports>| all.intersection(pieces);
                    resolved.accept = resolved.accept.union(&of(&next.accept));
                    resolved.end = resolved.end.union(&of(&next.end));
                    resolved.unknown = resolved.unknown.union(&of(&next.unknown));
                }
            }
        }
        resolved
    }

    /// The same between two addresses.
    pub(super) fn resolve_at(
        &mut self,
        family: Family,
        place: usize,
        view: View,
        ends: Ends,
        axis: Axis,
    ) -> Resolved<Transports> {
        let mut resolved = Resolved::<Transports>::default();
        if self.is_weary() {
            resolved.unknown = Transports::all();
            return resolved;
        }
        let summary = self.summary(family, place, view, ends, axis);
        for (exit, pieces) in &summary.exits {
            let Some(part) = pieces.at(ends.at(summary.axis)).filter(|part| !part.is_empty()) else {
                continue;
            };
            match exit {
                Exit::Accept => resolved.accept = resolved.accept.union(part),
                Exit::End => resolved.end = resolved.end.union(part),
                Exit::Unknown => resolved.unknown = resolved.unknown.union(part),
                Exit::Goto(next) => {
                    let next = self.resolve_at(family, *next, view, ends, axis);
                    resolved.accept = resolved.accept.union(&next.accept.intersection(part));
                    resolved.end = resolved.end.union(&next.end.intersection(part));
                    resolved.unknown = resolved.unknown.union(&next.unknown.intersection(part));
                }
            }
        }
        resolved
    }

    /// Whether chains were followed too often for one question.
    fn is_weary(&mut self) -> bool {
        self.patience = self.patience.saturating_sub(1);
        self.patience == 0
    }

    /// A chain as a function: of the only address that it asks for, or of the one that is preferred.
    fn summary(
        &mut self,
        family: Family,
        chain: usize,
        view: View,
        ends: Ends,
        preferred: Axis,
    ) -> Rc<Summary> {
        let asked = self.asked(family, chain);
        let axis = match (asked.source, asked.destination) {
            (true, false) => Axis::Source,
            (false, true | false) => Axis::Destination,
            (true, true) => preferred,
        };
        let key = Key {
            family,
            chain,
            frame: view.frame,
            cast: asked.cast.then_some(view.cast),
            phase: asked.phase.then_some(view.phase),
            input: view.input.filter(|_| asked.input),
            output: view.output.filter(|_| asked.output),
            axis,
            opposite: (asked.source && asked.destination).then(|| ends.opposite(axis)),
        };
        if let Some(known) = self.summaries.get(&key) {
            return known.clone();
        }
        let summary = Rc::new(self.summarise(family, chain, view, ends, axis));
        self.summaries.insert(key, summary.clone());
        summary
    }

    fn asked(&mut self, family: Family, chain: usize) -> Asked {
        *self.asked.entry((family, chain)).or_insert_with(|| {
            let mut asked = Asked::default();
            if let Some(table) = self.ruleset.tables.get(&family) {
                asked.of_chain(table, chain, false, &mut HashSet::new());
            }
            asked
        })
    }

    fn summarise(&mut self, family: Family, place: usize, view: View, ends: Ends, axis: Axis) -> Summary {
        let mut summary = Summary {
            axis,
            exits: Vec::new(),
        };
        let ruleset = self.ruleset;
        let Some((table, chain)) = chain_of(ruleset, family, place) else {
            return summary;
        };
        let mut left = Pieces::everything();
        for rule in &chain.rules {
            let seen = self.seen(table, view, axis, ends);
            let matched = rule.body.as_ref().map_err(Clone::clone).and_then(|body| {
                let matched = seen.conditions(body)?;
                Ok((matched, seen.verdicts(&body.outcome)))
            });
            let Ok((matched, verdicts)) = matched else {
                summary.add(Exit::Unknown, &left);
                return summary;
            };
            let (doubtful, verdicts) = match verdicts {
                Ok(verdicts) => (matched.doubtful, verdicts),
                Err(_) => (matched.doubtful.union(&matched.certain), Vec::new()),
            };
            let doubtful = doubtful.intersection(&left);
            summary.add(Exit::Unknown, &doubtful);
            left = left.difference(&doubtful);
            let hit = matched.certain.intersection(&left);
            if hit.is_nothing() {
                continue;
            }
            for (verdict, of) in verdicts {
                let hit = hit.intersection(&of);
                if hit.is_nothing() || verdict == Verdict::Continue {
                    continue;
                }
                left = left.difference(&hit);
                match &verdict {
                    Verdict::Accept => summary.add(Exit::Accept, &hit),
                    Verdict::Return => summary.add(Exit::End, &hit),
                    Verdict::Drop | Verdict::Continue => {}
                    Verdict::Goto(next) => match table.chain(next) {
                        Some(next) => summary.add(Exit::Goto(next), &hit),
                        None => summary.add(Exit::Unknown, &hit),
                    },
                    Verdict::Jump(next) => match table.chain(next) {
                        Some(next) => {
                            let next = self.resolve(family, next, view, ends, axis);
                            let of = |all: &Pieces<Transports>| all.intersection(&hit);
                            summary.add(Exit::Accept, &of(&next.accept));
                            summary.add(Exit::Unknown, &of(&next.unknown));
                            left = left.union(&of(&next.end));
                        }
                        None => summary.add(Exit::Unknown, &hit),
                    },
                }
            }
        }
        summary.add(Exit::End, &left);
        summary
    }

    fn seen<'s>(&'s self, table: &'s Table, view: View, axis: Axis, ends: Ends) -> lookup::Seen<'s> {
        lookup::Seen {
            table,
            frame: view.frame,
            cast: view.cast,
            phase: view.phase,
            input: view.input.map(|name| self.interface(name)),
            output: view.output.map(|name| self.interface(name)),
            axis,
            opposite: ends.opposite(axis),
        }
    }
}

/// A chain with everything that it leads to.
#[derive(Debug, Default)]
pub(super) struct Resolved<T> {
    pub(super) accept: T,
    pub(super) end: T,
    pub(super) unknown: T,
}

fn chain_of(ruleset: &Ruleset, family: Family, place: usize) -> Option<(&Table, &Chain)> {
    let table = ruleset.tables.get(&family)?;
    Some((table, table.chains.get(place)?))
}
