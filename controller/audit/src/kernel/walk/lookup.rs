//! What the conditions of a rule hold of, as a function of the address that is left open.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::kernel::ruleset::{
    Body, Cast, Condition, Element, Field, Frame, Kind, Lookup, NotUnderstood, Outcome, Part, Set, SetRef,
    Table, Verdict,
};
use crate::kernel::spans::{Pieces, overlaid};
use crate::kernel::transport::{ICMP, ICMP_V6, Transports, WITH_PORTS};

use super::{Axis, Phase};

/// Packets as the rules of a table see them.
pub(super) struct Seen<'s> {
    pub(super) table: &'s Table,
    pub(super) frame: Frame,
    pub(super) cast: Cast,
    pub(super) phase: Phase,
    pub(super) input: Option<&'s str>,
    pub(super) output: Option<&'s str>,
    /// The end whose address is left open.
    pub(super) axis: Axis,
    /// The address of the other end.
    pub(super) opposite: u128,
}

/// What all conditions of a rule hold of.
pub(super) struct Matched {
    /// Of these, surely.
    pub(super) certain: Pieces<Transports>,
    /// Of these, perhaps: a rule asks for what is not known of them ([`hides`]), or for the port of a protocol that has none, and
    /// sees some other bytes.
    pub(super) doubtful: Pieces<Transports>,
}

/// How an element is taken whose match depends on what is not known.
#[derive(Clone, Copy, PartialEq, Eq)]
enum If {
    /// It holds what it holds in any case.
    Surely,
    /// It holds what it may hold.
    Perhaps,
}

/// Whether some fields ask for what is not known of packets: the port that whoever began a connection has chosen, or whether a
/// frame for one receiver is for the interface itself.
pub(super) fn hides(key: &[Field], phase: Phase, cast: Cast) -> bool {
    key.iter().any(|field| match field {
        Field::Cast => cast == Cast::Unicast,
        field => field.port() == Some(phase.hidden()),
    })
}

/// Why a rule that asks for a port that whoever began a connection has chosen decides nothing.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Never {
    /// It holds of nothing, or drops single flows that were ended.
    Matches,
    /// It lets pass some established packets, and all must pass, whatever port was chosen.
    Suffices,
}

/// Whether a rule that asks for what is not known decides nothing all the same.
pub(super) fn never_matters(lookup: &Lookup, set: &Set, outcome: &Outcome, phase: Phase) -> Option<Never> {
    if set.elements.is_empty() && !lookup.negated {
        return Some(Never::Matches);
    }
    match outcome {
        Outcome::Always(Verdict::Drop) => lookup
            .is_of_ended_flows(set, phase.hidden())
            .then_some(Never::Matches),
        Outcome::Always(Verdict::Accept) => {
            (phase != Phase::New && of_choices_only(&lookup.key, phase)).then_some(Never::Suffices)
        }
        Outcome::Always(Verdict::Continue | Verdict::Return | Verdict::Jump(_) | Verdict::Goto(_))
        | Outcome::Mapped { .. } => None,
    }
}

/// Whether the only thing that is not known may be a port.
fn of_choices_only(key: &[Field], phase: Phase) -> bool {
    !key.contains(&Field::Cast) && key.iter().any(|field| field.port() == Some(phase.hidden()))
}

/// Why nothing can be said, where fields ask for what is not known.
pub(super) fn unsaid(key: &[Field], phase: Phase) -> NotUnderstood {
    let what = match (of_choices_only(key, phase), phase) {
        (false, _) => "whether the frame is for the interface itself",
        (true, Phase::New | Phase::Later) => "the source port",
        (true, Phase::Reply) => "the port that the connection was begun from",
    };
    NotUnderstood(format!("the verdict depends on {what}"))
}

impl Seen<'_> {
    /// What the conditions of a rule hold of.
    pub(super) fn conditions(&self, body: &Body) -> Result<Matched, NotUnderstood> {
        let nothing = || Matched {
            certain: Pieces::nothing(),
            doubtful: Pieces::nothing(),
        };
        let mut certain = Pieces::everything();
        // The same, with what is doubtful taken for what holds; as long as nothing is, there is no need for it.
        let mut possible = None;
        for condition in &body.conditions {
            let lookup = match condition {
                Condition::OfConnections { new, established } if self.phase.is_met(*new, *established) => {
                    continue;
                }
                Condition::OfConnections { .. } => return Ok(nothing()),
                Condition::Lookup(lookup) => lookup,
            };
            let mut might = None;
            if hides(&lookup.key, self.phase, self.cast) {
                let set = self.set(&lookup.set, &lookup.key)?;
                match never_matters(lookup, set, &body.outcome, self.phase) {
                    Some(Never::Matches) => return Ok(nothing()),
                    Some(Never::Suffices) => {}
                    None => might = Some(self.lookup(lookup, If::Perhaps)?),
                }
            }
            let holds = self.lookup(lookup, If::Surely)?;
            let doubt = doubt(&lookup.key);
            if !doubt.is_empty() {
                let known = might.as_ref().unwrap_or(&holds);
                might = Some(known.union(&Pieces::constant(doubt)));
            }
            if possible.is_some() || might.is_some() {
                let before = possible.as_ref().unwrap_or(&certain);
                possible = Some(before.intersection(might.as_ref().unwrap_or(&holds)));
            }
            certain = certain.intersection(&holds);
        }
        let doubtful = possible.map_or_else(Pieces::nothing, |possible| possible.difference(&certain));
        Ok(Matched { certain, doubtful })
    }

    /// Each verdict that a rule can come to, and on what.
    pub(super) fn verdicts(
        &self,
        outcome: &Outcome,
    ) -> Result<Vec<(Verdict, Pieces<Transports>)>, NotUnderstood> {
        let (key, map) = match outcome {
            Outcome::Always(verdict) => {
                return Ok(vec![(verdict.clone(), Pieces::everything())]);
            }
            Outcome::Mapped { key, map } => (key, self.set(map, key)?),
        };
        if !doubt(key).is_empty() {
            return Err(NotUnderstood("a map of ports of any protocol".to_owned()));
        }
        if hides(key, self.phase, self.cast) {
            return Err(unsaid(key, self.phase));
        }
        let Some(domain) = self.domain(key) else {
            return Ok(Vec::new());
        };
        let mut by_verdict: BTreeMap<&Verdict, Vec<Held>> = BTreeMap::new();
        for element in &map.elements {
            let verdict = element.verdict.as_ref();
            let verdict =
                verdict.ok_or_else(|| NotUnderstood("a set where a map is asked for".to_owned()))?;
            let mut held = Vec::new();
            self.element(key, element, If::Surely, &mut held)?;
            if !held.is_empty() {
                by_verdict.entry(verdict).or_default().append(&mut held);
            }
        }
        let domain = Pieces::constant(domain);
        let pieces = |(verdict, held): (&Verdict, _)| (verdict.clone(), carried(held).intersection(&domain));
        Ok(by_verdict.into_iter().map(pieces).collect())
    }

    fn lookup(&self, lookup: &Lookup, sure: If) -> Result<Pieces<Transports>, NotUnderstood> {
        let key = &lookup.key;
        // What is surely not in a set is what is not even perhaps in it.
        let sure = match (lookup.negated, sure) {
            (false, sure) => sure,
            (true, If::Surely) => If::Perhaps,
            (true, If::Perhaps) => If::Surely,
        };
        let set = self.set(&lookup.set, key)?;
        let Some(domain) = self.domain(key) else {
            return Ok(Pieces::nothing());
        };
        let domain = Pieces::constant(domain);
        let mut held = Vec::new();
        for element in &set.elements {
            self.element(key, element, sure, &mut held)?;
        }
        let held = carried(held);
        Ok(if lookup.negated {
            domain.difference(&held)
        } else {
            domain.intersection(&held)
        })
    }

    fn set<'t>(&'t self, set: &'t SetRef, key: &[Field]) -> Result<&'t Arc<Set>, NotUnderstood> {
        let set = match set {
            SetRef::Here(set) => set,
            SetRef::Named(name) => match self.table.sets.get(name) {
                Some(Ok(set)) => set,
                Some(Err(why)) => return Err(why.clone()),
                None => return Err(NotUnderstood(format!("set {name} is not listed"))),
            },
        };
        let kinds: Vec<Kind> = key.iter().map(|field| field.kind()).collect();
        if set.key == kinds {
            Ok(set)
        } else {
            Err(NotUnderstood(format!("{kinds:?} in a set of {:?}", set.key)))
        }
    }

    /// What has all of some fields; `None` where no packet that is seen here has.
    fn domain(&self, key: &[Field]) -> Option<Transports> {
        let mut domain = Transports::all();
        for field in key {
            let of_ip = self.frame != Frame::Arp;
            let own = match field {
                Field::Input => self.input.map(|_| Transports::all()),
                Field::Output => self.output.map(|_| Transports::all()),
                Field::Source(frame) | Field::Destination(frame) => {
                    (*frame == self.frame).then(Transports::all)
                }
                Field::Frame | Field::Cast => Some(Transports::all()),
                Field::Protocol => of_ip.then(Transports::all),
                Field::DestinationPort(Some(protocol)) | Field::SourcePort(Some(protocol)) => {
                    of_ip.then(|| Transports::protocols(*protocol, *protocol))
                }
                Field::DestinationPort(None) | Field::SourcePort(None) if key.contains(&Field::Protocol) => {
                    of_ip.then(Transports::all)
                }
                Field::DestinationPort(None) | Field::SourcePort(None) => of_ip.then(Transports::with_ports),
                Field::IcmpType(protocol) => {
                    let frame = if *protocol == ICMP_V6 {
                        Frame::V6
                    } else {
                        Frame::V4
                    };
                    (frame == self.frame).then(|| Transports::protocols(*protocol, *protocol))
                }
            };
            domain = domain.intersection(&own?);
        }
        Some(domain)
    }

    /// Adds the addresses that an element holds and what they carry: nothing, where it holds nothing that is seen here.
    fn element(
        &self,
        key: &[Field],
        element: &Element,
        sure: If,
        held: &mut Vec<Held>,
    ) -> Result<(), NotUnderstood> {
        let (mut first, mut last) = (0, u128::MAX);
        let (mut protocols, mut ports, mut types) = ((0, u128::from(u8::MAX)), None, None);
        for (field, part) in key.iter().zip(&element.parts) {
            let holds = match (*field, part) {
                (Field::Input, part) => self.input.is_some_and(|name| part.names(name)),
                (Field::Output, part) => self.output.is_some_and(|name| part.names(name)),
                (_, Part::Interface(_) | Part::Interfaces(_)) => false,
                (field @ (Field::Source(_) | Field::Destination(_)), Part::Numbers(from, to)) => {
                    let axis = if matches!(field, Field::Source(_)) {
                        Axis::Source
                    } else {
                        Axis::Destination
                    };
                    if axis == self.axis {
                        (first, last) = (first.max(*from), last.min(*to));
                        first <= last
                    } else {
                        (*from..=*to).contains(&self.opposite)
                    }
                }
                (Field::Frame, Part::Numbers(from, to)) => (*from..=*to).contains(&self.frame.number()),
                (Field::Cast, Part::Numbers(from, to)) => {
                    let mut numbers = self.cast.numbers().into_iter();
                    let holds = |number| (*from..=*to).contains(&number);
                    match sure {
                        If::Surely => numbers.all(holds),
                        If::Perhaps => numbers.any(holds),
                    }
                }
                (Field::Protocol, Part::Numbers(from, to)) => {
                    protocols = (*from, *to);
                    true
                }
                (Field::DestinationPort(_) | Field::SourcePort(_), Part::Numbers(from, to))
                    if field.port() == Some(self.phase.hidden()) =>
                {
                    sure == If::Perhaps || (*from, *to) == (0, u16::MAX.into())
                }
                (Field::DestinationPort(named) | Field::SourcePort(named), Part::Numbers(from, to)) => {
                    ports = Some((named, *from, *to));
                    true
                }
                (Field::IcmpType(protocol), Part::Numbers(from, to)) => {
                    types = Some((protocol, *from, *to));
                    true
                }
            };
            if !holds {
                return Ok(());
            }
        }
        // Most elements of most sets: one protocol, and one stretch of its ports.
        if let (Some((None, from, to)), None, true) = (ports, types, protocols.0 == protocols.1)
            && WITH_PORTS.map(u128::from).contains(&protocols.0)
        {
            let number = |port: u128| Ok(narrow::<u32>(protocols.0 << 16)? | u32::from(narrow::<u16>(port)?));
            held.push((first, last, (number(from)?, number(to)?)));
            return Ok(());
        }
        let mut carried = Transports::protocols(narrow(protocols.0)?, narrow(protocols.1)?);
        if let Some((named, from, to)) = ports {
            let asked = key.contains(&Field::Protocol);
            carried = carried.intersection(&with_ports(named, asked, protocols, (from, to))?);
        }
        if let Some((protocol, from, to)) = types {
            carried = carried.intersection(&Transports::icmp_types(protocol, narrow(from)?, narrow(to)?));
        }
        held.extend(
            carried
                .0
                .stretches()
                .iter()
                .map(|stretch| (first, last, *stretch)),
        );
        Ok(())
    }
}

/// Addresses from the first to the last, and transports from the first to the last.
type Held = (u128, u128, (u32, u32));

/// What is held, for each address.
fn carried(held: Vec<Held>) -> Pieces<Transports> {
    overlaid(held).map(|held| Transports(held.clone()))
}

/// Some ports of the protocols of an element.
fn with_ports(
    named: Option<u8>,
    asked: bool,
    protocols: (u128, u128),
    (from, to): (u128, u128),
) -> Result<Transports, NotUnderstood> {
    let ports = (narrow::<u16>(from)?, narrow::<u16>(to)?);
    let of = |protocol: u8| Transports::details(protocol, ports.0, ports.1);
    if let Some(protocol) = named {
        return Ok(of(protocol));
    }
    if ports == (0, u16::MAX) && asked {
        return Ok(Transports::all());
    }
    let (first, last): (u8, u8) = (narrow(protocols.0)?, narrow(protocols.1)?);
    let has_ports = |protocol: u8| WITH_PORTS.contains(&protocol);
    if asked && !(first..=last).all(has_ports) {
        return Err(NotUnderstood(format!("ports of the protocols {first} to {last}")));
    }
    let own = WITH_PORTS
        .into_iter()
        .filter(|protocol| (first..=last).contains(protocol));
    Ok(own.fold(Transports::none(), |all, protocol| all.union(&of(protocol))))
}

/// What a rule that asks for the port of any protocol cannot be known of: protocols without ports, of whose header it sees
/// whatever stands in that place.
fn doubt(key: &[Field]) -> Transports {
    let asks = key.contains(&Field::DestinationPort(None)) || key.contains(&Field::SourcePort(None));
    if asks && !key.contains(&Field::Protocol) {
        let icmp = [ICMP, ICMP_V6].map(|protocol| Transports::protocols(protocol, protocol));
        let without = Transports::all().difference(&Transports::with_ports());
        icmp.iter().fold(without, |all, one| all.union(one))
    } else {
        Transports::none()
    }
}

fn narrow<N: TryFrom<u128>>(number: u128) -> Result<N, NotUnderstood> {
    N::try_from(number).map_err(|_| NotUnderstood(format!("the number {number}")))
}
