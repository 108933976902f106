//! All connections at once, without asking for each pair.
//!
//! For a destination, most sources are alike: what its ingress rules allow everybody meets what the sources' egress rules allow
//! everybody. Only sources that a term or a block of its rules names, and those whose own rules name the destination, have to be
//! looked at one by one. The [`survey`] of a family finds them; a [`destination`] asks them.

mod destination;
mod survey;

use std::collections::HashMap;
use std::sync::Arc;

use super::profile::Numbers;
use super::{End, Family, Flow, PortSet, Reach, Traits};
use destination::Destination;
use survey::Survey;

/// Sources in order, shared by the flows that are from exactly them.
pub(super) type Sources = Arc<[End]>;

/// Sources, and on which ports they all reach a destination.
pub(super) type Part = (PortSet, Sources);

pub(super) fn flows(reach: &Reach, family: Family) -> impl Iterator<Item = Flow> {
    let destinations = reach.ends().map(|(end, _)| end);
    let mut listing = Listing::of(reach, family, destinations.clone());
    destinations.flat_map(move |to| {
        let parts = listing.parts(to);
        let flows = parts.iter().map(|(ports, from)| Flow {
            from: from.clone(),
            to,
            ports: ports.clone(),
        });
        flows.collect::<Vec<_>>()
    })
}

/// Answers for one destination after another. What is the same for several is worked out once.
pub(super) struct Listing<'a> {
    survey: Survey<'a>,
    /// What will be asked again: answers are kept from the first time to the last.
    repeats: HashMap<Likeness<'a>, Repeat>,
}

/// An answer that is needed more than once.
#[derive(Default)]
struct Repeat {
    /// How often it is still needed.
    left: usize,
    parts: Option<Arc<[Part]>>,
}

impl<'a> Listing<'a> {
    /// For destinations that will be asked about, as often as they are given here.
    pub(super) fn of(reach: &'a Reach, family: Family, destinations: impl Iterator<Item = End>) -> Self {
        let survey = Survey::of(reach, family);
        let mut repeats: HashMap<Likeness<'a>, Repeat> = HashMap::new();
        for to in destinations {
            if let Some(likeness) = Likeness::of(&survey, to) {
                repeats.entry(likeness).or_default().left += 1;
            }
        }
        repeats.retain(|_, repeat| repeat.left > 1);
        Self { survey, repeats }
    }

    /// Who reaches a destination on which ports: each source in at most one part, in the order of their first sources.
    pub(super) fn parts(&mut self, to: End) -> Arc<[Part]> {
        let Some(likeness) = Likeness::of(&self.survey, to) else {
            return Arc::default();
        };
        let survey = &self.survey;
        let ask = || {
            Destination::of(survey, to).map_or_else(Arc::default, |destination| destination.parts().into())
        };
        let Some(repeat) = self.repeats.get_mut(&likeness) else {
            return ask();
        };
        let parts = repeat.parts.get_or_insert_with(ask);
        let parts = parts.clone();
        repeat.left -= 1;
        if repeat.left == 0 {
            self.repeats.remove(&likeness);
        }
        parts
    }
}

/// What is the same for two destinations that everybody reaches alike.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Likeness<'a> {
    is_pods: bool,
    ingress: Option<usize>,
    /// The terms by which senders name it.
    terms: Vec<usize>,
    numbers: &'a Numbers,
    /// Where it lies, if that matters.
    range: Option<usize>,
}

impl<'a> Likeness<'a> {
    /// `None` of a destination without an address of the family.
    fn of(survey: &Survey<'a>, to: End) -> Option<Self> {
        let traits: &Traits = survey.reach.traits(to)?;
        let range = (*traits.ranges.get(survey.family))?;
        let terms = traits.terms.iter().copied();
        Some(Self {
            is_pods: matches!(to, End::Pods(_)),
            ingress: traits.ingress.as_ref().map(|profile| profile.number),
            terms: terms.filter(|term| survey.is_named(*term)).collect(),
            numbers: &traits.numbers,
            range: survey.blocks_matter().then_some(range),
        })
    }
}
