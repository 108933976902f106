//! What chains let pass: for every address of one end and everything that a packet can carry, at once.
//!
//! A walk knows the interfaces of a packet and the address of one end, and leaves open the other end's address and what is
//! carried. A chain then is a function ([`Summary`]): for each address that is open, which transports leave the chain by which
//! exit. Most chains ask for little of what is known (the chain of a profile for the peer's address and nothing else), so a
//! summary is kept under what its chain asks for, and all pods that share the chain share the work.
//!
//! ```text
//!   rules ─► Summary of each chain ─► followed from a base chain through gotos ─► Passed
//! ```

mod lookup;
mod trace;

use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

use super::ruleset::{
    Cast, Chain, Condition, Family, Field, Frame, Hook, Outcome, Policy, Ruleset, Table, Verdict,
};
use super::spans::Pieces;
use super::transport::Transports;

pub use trace::Step;
pub(crate) use trace::{Fate, Packet};

/// An interface's name, by its number in a walk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Name(u32);

/// What is known of packets at a place besides their addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct View {
    /// The kind of frame.
    pub(crate) frame: Frame,
    /// Whom it is for.
    pub(crate) cast: Cast,
    /// The interface that it came in by, where there is one.
    pub(crate) input: Option<Name>,
    /// The interface that it leaves by, where that is known.
    pub(crate) output: Option<Name>,
}

/// A place in the way of packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stop {
    /// Whose chains are asked.
    pub(crate) family: Family,
    /// Which of them.
    pub(crate) hook: Hook,
    /// What they see.
    pub(crate) view: View,
}

/// The end of a connection whose address is left open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Axis {
    /// The source.
    Source,
    /// The destination.
    Destination,
}

/// The addresses of both ends. In a walk over an axis that end's is not asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ends {
    /// The source.
    pub(crate) source: u128,
    /// The destination.
    pub(crate) destination: u128,
}

impl Ends {
    fn at(self, axis: Axis) -> u128 {
        match axis {
            Axis::Source => self.source,
            Axis::Destination => self.destination,
        }
    }

    fn opposite(self, axis: Axis) -> u128 {
        match axis {
            Axis::Source => self.destination,
            Axis::Destination => self.source,
        }
    }
}

/// What passes, and of what that cannot be said. What is in neither does not pass.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Passed<T> {
    /// What passes.
    pub(crate) accept: T,
    /// What comes to something that could not be understood.
    pub(crate) unknown: T,
}

impl Passed<Pieces<Transports>> {
    /// Everything.
    pub(crate) fn all() -> Self {
        Self {
            accept: Pieces::constant(Transports::all()),
            unknown: Pieces::constant(Transports::none()),
        }
    }

    /// What passes both.
    #[must_use]
    pub(crate) fn and(&self, other: &Self) -> Self {
        let accept = self.accept.zip(&other.accept, Transports::intersection);
        let ours = self.accept.zip(&self.unknown, Transports::union);
        let theirs = other.accept.zip(&other.unknown, Transports::union);
        let possible = ours.zip(&theirs, Transports::intersection);
        let unknown = possible.zip(&accept, Transports::difference);
        Self { accept, unknown }
    }
}

impl Passed<Transports> {
    /// Everything.
    pub(crate) fn all() -> Self {
        Self {
            accept: Transports::all(),
            unknown: Transports::none(),
        }
    }

    /// What passes both.
    #[must_use]
    pub(crate) fn and(&self, other: &Self) -> Self {
        let accept = self.accept.intersection(&other.accept);
        let possible = self
            .accept
            .union(&self.unknown)
            .intersection(&other.accept.union(&other.unknown));
        let unknown = possible.difference(&accept);
        Self { accept, unknown }
    }
}

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
struct Summary {
    axis: Axis,
    exits: Vec<(Exit, Pieces<Transports>)>,
}

impl Summary {
    fn add(&mut self, exit: Exit, more: &Pieces<Transports>) {
        if is_nothing(more) {
            return;
        }
        match self.exits.iter_mut().find(|(known, _)| *known == exit) {
            Some((_, all)) => *all = all.zip(more, Transports::union),
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
struct Asked {
    input: bool,
    output: bool,
    cast: bool,
    source: bool,
    destination: bool,
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
            Field::Frame | Field::Protocol | Field::DestinationPort(_) | Field::IcmpType(_) => {}
        }
    }

    fn of_chain(&mut self, table: &Table, place: usize, with_gotos: bool) {
        let Some(chain) = table.chains.get(place) else {
            return;
        };
        for body in chain.rules.iter().filter_map(|rule| rule.body.as_ref().ok()) {
            for condition in &body.conditions {
                if let Condition::Lookup(lookup) = condition {
                    for field in &lookup.key {
                        self.of_field(*field);
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
                    self.of_chain(table, next, with_gotos);
                }
            }
        }
    }
}

/// Under what a summary is kept.
#[derive(PartialEq, Eq, Hash)]
struct Key {
    family: Family,
    chain: usize,
    frame: Frame,
    cast: Option<Cast>,
    input: Option<Name>,
    output: Option<Name>,
    axis: Axis,
    /// The address of the other end.
    opposite: Option<u128>,
}

/// Walks through a ruleset, and remembers what it has found.
pub(crate) struct Walker<'r> {
    ruleset: &'r Ruleset,
    names: Vec<Arc<str>>,
    numbers: HashMap<Arc<str>, Name>,
    asked: HashMap<(Family, usize), Asked>,
    summaries: HashMap<Key, Rc<Summary>>,
}

impl<'r> Walker<'r> {
    /// A walker that knows nothing yet.
    pub(crate) fn new(ruleset: &'r Ruleset) -> Self {
        Self {
            ruleset,
            names: Vec::new(),
            numbers: HashMap::new(),
            asked: HashMap::new(),
            summaries: HashMap::new(),
        }
    }

    /// The number of an interface.
    pub(crate) fn name(&mut self, interface: &str) -> Name {
        if let Some(known) = self.numbers.get(interface) {
            return *known;
        }
        let interface: Arc<str> = interface.into();
        let name = Name(u32::try_from(self.names.len()).unwrap_or(u32::MAX));
        self.names.push(interface.clone());
        self.numbers.insert(interface, name);
        name
    }

    /// The interface with a number.
    pub(crate) fn interface(&self, name: Name) -> &str {
        let place = usize::try_from(name.0).unwrap_or(usize::MAX);
        self.names.get(place).map_or("", |name| name)
    }

    /// What passes a stop between two addresses.
    pub(crate) fn at(&mut self, stop: &Stop, ends: Ends) -> Passed<Transports> {
        let mut passed = Passed::<Transports>::all();
        for (place, policy) in self.bases(stop) {
            let mut own = self.resolve_at(stop.family, place, stop.view, ends, Axis::Destination);
            if policy == Policy::Accept {
                own.accept = own.accept.union(&own.end);
            }
            let Resolved { accept, unknown, .. } = own;
            passed = passed.and(&Passed { accept, unknown });
        }
        passed
    }

    /// What passes a stop, for every address at one end.
    pub(crate) fn over(&mut self, stop: &Stop, axis: Axis, ends: Ends) -> Passed<Pieces<Transports>> {
        let mut passed = Passed::<Pieces<Transports>>::all();
        for (place, policy) in self.bases(stop) {
            let mut own = self.resolve(stop.family, place, stop.view, ends, axis);
            if policy == Policy::Accept {
                own.accept = own.accept.zip(&own.end, Transports::union);
            }
            let Resolved { accept, unknown, .. } = own;
            passed = passed.and(&Passed { accept, unknown });
        }
        passed
    }

    /// The base chains of a stop in the order of their priority, and what becomes of packets at their ends. In the netdev
    /// family those of the interface alone.
    fn bases(&self, stop: &Stop) -> Vec<(usize, Policy)> {
        let Some(table) = self.ruleset.tables.get(&stop.family) else {
            return Vec::new();
        };
        let bases = table.chains.iter().enumerate().filter_map(|(place, chain)| {
            let base = chain.base.as_ref().filter(|base| base.hook == stop.hook)?;
            let is_here = match (stop.family, &base.devices, stop.view.input) {
                (Family::Netdev, Some(devices), Some(input)) => {
                    devices.iter().any(|device| device == self.interface(input))
                }
                (Family::Netdev, _, _) => false,
                (Family::Inet | Family::Bridge, _, _) => true,
            };
            is_here.then_some((base.priority, place, base.policy))
        });
        let mut bases: Vec<_> = bases.collect();
        bases.sort_unstable_by_key(|(priority, place, _)| (*priority, *place));
        bases
            .into_iter()
            .map(|(_, place, policy)| (place, policy))
            .collect()
    }

    /// Follows a chain through its gotos, for every address at one end.
    fn resolve(
        &mut self,
        family: Family,
        place: usize,
        view: View,
        ends: Ends,
        axis: Axis,
    ) -> Resolved<Pieces<Transports>> {
        let summary = self.summary(family, place, view, ends, axis);
        let nothing = || Pieces::constant(Transports::none());
        let mut resolved = Resolved {
            accept: nothing(),
            end: nothing(),
            unknown: nothing(),
        };
        for (exit, pieces) in &summary.exits {
            let constant;
            let pieces = if summary.axis == axis {
                pieces
            } else {
                constant = Pieces::constant(pieces.at(ends.at(summary.axis)).cloned().unwrap_or_default());
                &constant
            };
            if is_nothing(pieces) {
                continue;
            }
            let both =
                |one: &Pieces<Transports>, other: &Pieces<Transports>| one.zip(other, Transports::union);
            match exit {
                Exit::Accept => resolved.accept = both(&resolved.accept, pieces),
                Exit::End => resolved.end = both(&resolved.end, pieces),
                Exit::Unknown => resolved.unknown = both(&resolved.unknown, pieces),
                Exit::Goto(next) => {
                    let next = self.resolve(family, *next, view, ends, axis);
                    let of = |all: &Pieces<Transports>| all.zip(pieces, Transports::intersection);
                    resolved.accept = both(&resolved.accept, &of(&next.accept));
                    resolved.end = both(&resolved.end, &of(&next.end));
                    resolved.unknown = both(&resolved.unknown, &of(&next.unknown));
                }
            }
        }
        resolved
    }

    /// The same between two addresses.
    fn resolve_at(
        &mut self,
        family: Family,
        place: usize,
        view: View,
        ends: Ends,
        axis: Axis,
    ) -> Resolved<Transports> {
        let summary = self.summary(family, place, view, ends, axis);
        let mut resolved = Resolved::<Transports>::default();
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
                asked.of_chain(table, chain, false);
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
        let mut left = Pieces::constant(Transports::all());
        for rule in &chain.rules {
            let matched = rule.body.as_ref().map_err(Clone::clone).and_then(|body| {
                let seen = self.seen(table, view, axis, ends);
                let matched = seen.conditions(body)?;
                let verdicts = seen.verdicts(&body.outcome)?;
                Ok((matched, verdicts))
            });
            let Ok((matched, verdicts)) = matched else {
                summary.add(Exit::Unknown, &left);
                return summary;
            };
            let doubtful = matched.doubtful.zip(&left, Transports::intersection);
            summary.add(Exit::Unknown, &doubtful);
            left = left.zip(&doubtful, Transports::difference);
            let hit = matched.certain.zip(&left, Transports::intersection);
            if is_nothing(&hit) {
                continue;
            }
            for (verdict, of) in verdicts {
                let hit = hit.zip(&of, Transports::intersection);
                if is_nothing(&hit) || verdict == Verdict::Continue {
                    continue;
                }
                left = left.zip(&hit, Transports::difference);
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
                            let of = |all: &Pieces<Transports>| all.zip(&hit, Transports::intersection);
                            summary.add(Exit::Accept, &of(&next.accept));
                            summary.add(Exit::Unknown, &of(&next.unknown));
                            left = left.zip(&of(&next.end), Transports::union);
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
            input: view.input.map(|name| self.interface(name)),
            output: view.output.map(|name| self.interface(name)),
            axis,
            opposite: ends.opposite(axis),
        }
    }
}

/// A chain with everything that it leads to.
#[derive(Debug, Default)]
struct Resolved<T> {
    accept: T,
    end: T,
    unknown: T,
}

fn chain_of(ruleset: &Ruleset, family: Family, place: usize) -> Option<(&Table, &Chain)> {
    let table = ruleset.tables.get(&family)?;
    Some((table, table.chains.get(place)?))
}

fn is_nothing(pieces: &Pieces<Transports>) -> bool {
    pieces.is_constant().is_some_and(Transports::is_empty)
}
