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

mod established;
mod lookup;
mod summary;
mod trace;

use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

use super::ruleset::{Cast, End, Family, Frame, Hook, Policy, Ruleset};
use super::spans::Pieces;
use super::transport::Transports;

use summary::{Asked, Key, Resolved, Summary};
pub use trace::Step;
pub(crate) use trace::{Fate, Packet};

/// An interface's name, by its number in a walk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Name(u32);

/// Which packets of a connection are followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Phase {
    /// The first, of a new connection.
    New,
    /// Those that follow it the same way.
    Later,
    /// Those that come back, their source port being the port that was asked for.
    Reply,
}

impl Phase {
    /// The end whose port was chosen by whoever began the connection. The other's is part of what is carried.
    pub(crate) fn hidden(self) -> End {
        match self {
            Self::New | Self::Later => End::Source,
            Self::Reply => End::Destination,
        }
    }

    /// Whether a condition on the connection holds.
    fn is_met(self, new: bool, established: bool) -> bool {
        match self {
            Self::New => new,
            Self::Later | Self::Reply => established,
        }
    }
}

/// What is known of packets at a place besides their addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct View {
    /// The kind of frame.
    pub(crate) frame: Frame,
    /// Whom it is for.
    pub(crate) cast: Cast,
    /// Where in its connection it stands.
    pub(crate) phase: Phase,
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

impl Stop {
    /// The interface whose own chains are asked.
    fn device(&self) -> Option<Name> {
        match self.hook {
            Hook::Ingress => self.view.input,
            Hook::Egress => self.view.output,
            Hook::Prerouting | Hook::Forward | Hook::Postrouting | Hook::Input | Hook::Output => None,
        }
    }

    /// The same place for other packets of a connection.
    pub(crate) fn in_phase(mut self, phase: Phase) -> Self {
        self.view.phase = phase;
        self
    }
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

    /// The other way round.
    pub(crate) fn turned(self) -> Self {
        Self {
            source: self.destination,
            destination: self.source,
        }
    }
}

impl Axis {
    /// The other end.
    pub(crate) fn turned(self) -> Self {
        match self {
            Self::Source => Self::Destination,
            Self::Destination => Self::Source,
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
            accept: Pieces::everything(),
            unknown: Pieces::nothing(),
        }
    }

    /// What passes both.
    #[must_use]
    pub(crate) fn and(&self, other: &Self) -> Self {
        let accept = self.accept.intersection(&other.accept);
        if self.unknown.is_nothing() && other.unknown.is_nothing() {
            let unknown = Pieces::nothing();
            return Self { accept, unknown };
        }
        let possible = self
            .accept
            .union(&self.unknown)
            .intersection(&other.accept.union(&other.unknown));
        let unknown = possible.difference(&accept);
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

/// The base chains of a stop, and what becomes of packets at their ends.
type Bases = Rc<[(usize, Policy)]>;

/// Walks through a ruleset, and remembers what it has found.
pub(crate) struct Walker<'r> {
    ruleset: &'r Ruleset,
    names: Vec<Arc<str>>,
    numbers: HashMap<Arc<str>, Name>,
    asked: HashMap<(Family, usize), Asked>,
    summaries: HashMap<Key, Rc<Summary>>,
    bases: HashMap<(Family, Hook, Option<Name>), Bases>,
    leads: HashMap<(Family, usize), established::Leads>,
    /// How many more times a chain may be followed to another. Chains that fork and join again multiply.
    patience: usize,
}

/// How often one question may follow chains to others: far more than rulesets that anybody writes need.
const PATIENCE: usize = 100_000;

impl<'r> Walker<'r> {
    /// A walker that knows nothing yet.
    pub(crate) fn new(ruleset: &'r Ruleset) -> Self {
        Self {
            ruleset,
            names: Vec::new(),
            numbers: HashMap::new(),
            asked: HashMap::new(),
            summaries: HashMap::new(),
            bases: HashMap::new(),
            leads: HashMap::new(),
            patience: PATIENCE,
        }
    }

    /// Before a question. After one that took too long, nothing can be said of others that begin like it.
    fn begin(&mut self) {
        if self.patience > 0 {
            self.patience = PATIENCE;
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
        self.begin();
        let mut passed = Passed::<Transports>::all();
        for &(place, policy) in &*self.known_bases(stop) {
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
        self.begin();
        let mut passed = Passed::<Pieces<Transports>>::all();
        for &(place, policy) in &*self.known_bases(stop) {
            let mut own = self.resolve(stop.family, place, stop.view, ends, axis);
            if policy == Policy::Accept {
                own.accept = own.accept.union(&own.end);
            }
            let Resolved { accept, unknown, .. } = own;
            passed = passed.and(&Passed { accept, unknown });
        }
        passed
    }

    fn known_bases(&mut self, stop: &Stop) -> Bases {
        let key = (stop.family, stop.hook, stop.device());
        if let Some(known) = self.bases.get(&key) {
            return known.clone();
        }
        let bases: Bases = self.bases(stop).into();
        self.bases.insert(key, bases.clone());
        bases
    }

    /// The base chains of a stop in the order of their priority, and what becomes of packets at their ends. Of those that are
    /// bound to interfaces the ones of its own alone.
    fn bases(&self, stop: &Stop) -> Vec<(usize, Policy)> {
        let Some(table) = self.ruleset.tables.get(&stop.family) else {
            return Vec::new();
        };
        let bases = table.chains.iter().enumerate().filter_map(|(place, chain)| {
            let base = chain.base.as_ref().filter(|base| base.hook == stop.hook)?;
            let is_here = !stop.hook.is_of_interfaces()
                || match (&base.devices, stop.device()) {
                    (Some(devices), Some(own)) => devices.iter().any(|device| device == self.interface(own)),
                    (None, _) | (_, None) => false,
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
}
