//! One packet, rule by rule: which rules led it, and which decided.
//!
//! This is the walk once more in its simplest form, for the witness of a difference. It shares with the walk over all packets
//! the reading of the tables and what is not known of a packet, and nothing else, so that a witness confirms what that one found.

use std::collections::HashSet;
use std::fmt;

use crate::kernel::ruleset::{
    Body, Cast, Condition, Element, Family, Field, Frame, Lookup, NotUnderstood, Outcome, Part, Policy, Rule,
    Set, SetRef, Table, Verdict,
};
use crate::kernel::transport::{Carried, ICMP_V6, WITH_PORTS};

use super::lookup::{Never, hides, never_matters, unsaid};
use super::{Ends, Phase, Stop, Walker};

/// A packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Packet {
    /// Its addresses.
    pub(crate) ends: Ends,
    /// What it carries.
    pub(crate) carried: Carried,
}

/// What becomes of a packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It passes.
    Passes,
    /// It does not.
    Dropped,
    /// It comes to something that was not understood.
    Unknown(NotUnderstood),
}

/// The way of a packet past one stop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Trace {
    /// What becomes of it.
    pub(crate) fate: Fate,
    /// The rules that led it, the last of which decided. Empty where no chain looked at it.
    pub(crate) steps: Vec<Step>,
}

/// A rule that led a packet on, or the end of a base chain.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Step {
    /// The table's family.
    pub family: Family,
    /// The chain.
    pub chain: String,
    /// The place of the rule in its chain, counted from 0; `None` at the end of a base chain.
    pub rule: Option<usize>,
    /// The number that the kernel gave the rule, where it was told.
    pub handle: Option<u64>,
    /// The comment of the rule, or of the entry of a map that decided.
    pub comment: Option<String>,
    /// What it did: `goto to_pods`, `drop`.
    pub verdict: String,
}

impl fmt::Display for Step {
    /// `inet palisade, chain to_pods, rule 3 (handle 12, "…"): drop`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} palisade, chain {}", self.family, self.chain)?;
        match self.rule {
            Some(rule) => write!(f, ", rule {rule}")?,
            None => f.write_str(", at its end")?,
        }
        let handle = self.handle.map(|handle| format!("handle {handle}"));
        let comment = self.comment.as_ref().map(|comment| format!("“{comment}”"));
        let more: Vec<String> = handle.into_iter().chain(comment).collect();
        if !more.is_empty() {
            write!(f, " ({})", more.join(", "))?;
        }
        write!(f, ": {}", self.verdict)
    }
}

/// What a chain did with a packet.
enum Decision {
    Accept,
    Drop,
    /// It came to the end, or returned.
    End,
    Unknown(NotUnderstood),
}

impl Walker<'_> {
    /// The way of a packet past a stop.
    pub(crate) fn trace(&self, stop: &Stop, packet: Packet) -> Trace {
        let mut steps = Vec::new();
        let mut fate = Fate::Passes;
        let Some(table) = self.ruleset.tables.get(&stop.family) else {
            return Trace { fate, steps };
        };
        let view = stop.view;
        let tracer = Tracer {
            table,
            family: stop.family,
            frame: view.frame,
            cast: view.cast,
            phase: view.phase,
            input: view.input.map(|name| self.interface(name)),
            output: view.output.map(|name| self.interface(name)),
            packet,
        };
        for (place, policy) in self.bases(stop) {
            fate = match (tracer.chain(place, &mut steps, &mut HashSet::new()), policy) {
                (Decision::Accept, _) => Fate::Passes,
                (Decision::Drop, _) => Fate::Dropped,
                (Decision::Unknown(what), _) => Fate::Unknown(what),
                (Decision::End, policy) => {
                    let chain = table
                        .chains
                        .get(place)
                        .map(|chain| chain.name.clone())
                        .unwrap_or_default();
                    let (fate, verdict) = match policy {
                        Policy::Accept => (Fate::Passes, "policy accept"),
                        Policy::Drop => (Fate::Dropped, "policy drop"),
                    };
                    steps.push(Step {
                        family: stop.family,
                        chain,
                        rule: None,
                        handle: None,
                        comment: None,
                        verdict: verdict.to_owned(),
                    });
                    fate
                }
            };
            if fate != Fate::Passes {
                break;
            }
        }
        Trace { fate, steps }
    }
}

struct Tracer<'t> {
    table: &'t Table,
    family: Family,
    frame: Frame,
    cast: Cast,
    phase: Phase,
    input: Option<&'t str>,
    output: Option<&'t str>,
    packet: Packet,
}

impl Tracer<'_> {
    /// What a chain does with the packet. `fruitless` are those that it came out of at the end: it would again.
    fn chain(&self, place: usize, steps: &mut Vec<Step>, fruitless: &mut HashSet<usize>) -> Decision {
        let Some(chain) = self.table.chains.get(place) else {
            return Decision::Unknown(NotUnderstood("a chain that is not listed".to_owned()));
        };
        if fruitless.contains(&place) {
            return Decision::End;
        }
        for (position, rule) in chain.rules.iter().enumerate() {
            let mut step = |comment: &Option<String>, verdict: String| {
                steps.push(Step {
                    family: self.family,
                    chain: chain.name.clone(),
                    rule: Some(position),
                    handle: rule.handle,
                    comment: comment.clone(),
                    verdict,
                });
            };
            let (verdict, comment) = match self.rule(rule) {
                Ok(Some((verdict, comment))) => (verdict, comment),
                Ok(None) => continue,
                Err(what) => {
                    step(&rule.comment, format!("not understood: {what}"));
                    return Decision::Unknown(what);
                }
            };
            if *verdict == Verdict::Continue {
                continue;
            }
            step(comment, verdict.to_string());
            let mut next = |name: &str, steps: &mut Vec<Step>| match self.table.chain(name) {
                Some(next) => self.chain(next, steps, fruitless),
                None => Decision::Unknown(NotUnderstood(format!("chain {name} is not listed"))),
            };
            match verdict {
                Verdict::Accept => return Decision::Accept,
                Verdict::Drop => return Decision::Drop,
                Verdict::Return => break,
                Verdict::Goto(name) => match next(name, steps) {
                    Decision::End => break,
                    decided => return decided,
                },
                Verdict::Jump(name) => match next(name, steps) {
                    Decision::End => {}
                    decided => return decided,
                },
                Verdict::Continue => {}
            }
        }
        fruitless.insert(place);
        Decision::End
    }

    /// The verdict of a rule and the comment that goes with it; `None` where it does not match.
    fn rule<'r>(
        &'r self,
        rule: &'r Rule,
    ) -> Result<Option<(&'r Verdict, &'r Option<String>)>, NotUnderstood> {
        let Body { conditions, outcome } = rule.body.as_ref().map_err(Clone::clone)?;
        for condition in conditions {
            let holds = match condition {
                Condition::OfConnections { new, established } => self.phase.is_met(*new, *established),
                Condition::Lookup(lookup) => self.lookup(lookup, outcome)?,
            };
            if !holds {
                return Ok(None);
            }
        }
        match outcome {
            Outcome::Always(verdict) => Ok(Some((verdict, &rule.comment))),
            Outcome::Mapped { key, .. } if hides(key, self.phase, self.cast) => Err(unsaid(key, self.phase)),
            Outcome::Mapped { key, map } => {
                let found = self.find(key, map, true)?;
                Ok(found.and_then(|element| Some((element.verdict.as_ref()?, &element.comment))))
            }
        }
    }

    fn lookup(&self, lookup: &Lookup, outcome: &Outcome) -> Result<bool, NotUnderstood> {
        let Lookup { key, set, negated } = lookup;
        if !key.iter().all(|field| self.has(*field)) {
            return Ok(false);
        }
        let surely = self.find(key, set, true)?.is_some();
        if !hides(key, self.phase, self.cast) {
            return Ok(surely != *negated);
        }
        let perhaps = self.find(key, set, false)?.is_some();
        let holds = if *negated { !perhaps } else { surely };
        match never_matters(lookup, self.set(set)?, outcome, self.phase) {
            Some(Never::Matches) => Ok(false),
            Some(Never::Suffices) => Ok(holds),
            None if surely == perhaps => Ok(holds),
            None => Err(unsaid(key, self.phase)),
        }
    }

    fn set<'r>(&'r self, set: &'r SetRef) -> Result<&'r Set, NotUnderstood> {
        match set {
            SetRef::Here(set) => Ok(set),
            SetRef::Named(name) => match self.table.sets.get(name) {
                Some(Ok(set)) => Ok(set),
                Some(Err(what)) => Err(what.clone()),
                None => Err(NotUnderstood(format!("set {name} is not listed"))),
            },
        }
    }

    /// The element that holds the packet, surely or perhaps.
    fn find<'r>(
        &'r self,
        key: &[Field],
        set: &'r SetRef,
        surely: bool,
    ) -> Result<Option<&'r Element>, NotUnderstood> {
        let set = self.set(set)?;
        let holds = |element: &&Element| {
            element.parts.len() == key.len()
                && key
                    .iter()
                    .zip(&element.parts)
                    .all(|(field, part)| self.has(*field) && self.is_in(*field, part, surely))
        };
        Ok(set.elements.iter().find(holds))
    }

    /// Whether the packet has a field.
    fn has(&self, field: Field) -> bool {
        let protocol = self.packet.carried.protocol;
        match field {
            Field::Input => self.input.is_some(),
            Field::Output => self.output.is_some(),
            Field::Source(frame) | Field::Destination(frame) => frame == self.frame,
            Field::Protocol => self.frame != Frame::Arp,
            Field::DestinationPort(Some(named)) | Field::SourcePort(Some(named)) => {
                self.frame != Frame::Arp && protocol == named
            }
            Field::DestinationPort(None) | Field::SourcePort(None) => {
                self.frame != Frame::Arp && WITH_PORTS.contains(&protocol)
            }
            Field::IcmpType(named) => {
                let frame = if named == ICMP_V6 { Frame::V6 } else { Frame::V4 };
                frame == self.frame && protocol == named
            }
            Field::Frame | Field::Cast => true,
        }
    }

    /// Whether the packet's field is in a part of an element.
    fn is_in(&self, field: Field, part: &Part, surely: bool) -> bool {
        let Carried { protocol, detail } = self.packet.carried;
        let number = match field {
            Field::Input => return self.input.is_some_and(|name| part.names(name)),
            Field::Output => return self.output.is_some_and(|name| part.names(name)),
            Field::Source(_) => self.packet.ends.source,
            Field::Destination(_) => self.packet.ends.destination,
            Field::Protocol => protocol.into(),
            Field::DestinationPort(_) | Field::SourcePort(_) if field.port() == Some(self.phase.hidden()) => {
                return !surely || *part == Part::Numbers(0, u16::MAX.into());
            }
            Field::DestinationPort(_) | Field::SourcePort(_) => detail.into(),
            Field::IcmpType(_) => (detail >> 8).into(),
            Field::Frame => self.frame.number(),
            Field::Cast => {
                let mut numbers = self.cast.numbers().into_iter();
                let holds =
                    |number| matches!(part, Part::Numbers(first, last) if (*first..=*last).contains(&number));
                return if surely {
                    numbers.all(holds)
                } else {
                    numbers.any(holds)
                };
            }
        };
        matches!(part, Part::Numbers(first, last) if (*first..=*last).contains(&number))
    }
}
