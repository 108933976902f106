//! Who reaches one destination.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use super::survey::Survey;
use super::{Part, Sources};
use crate::reach::profile::{Other, Profile};
use crate::reach::{End, PortSet, Traits};

/// A destination, and what its own rules say.
pub(super) struct Destination<'a> {
    survey: &'a Survey<'a>,
    traits: &'a Traits,
    seen: Other<'a>,
    /// What its ingress rules allow everybody.
    base: Cow<'a, PortSet>,
    /// The sources that each entry of its ingress rules names, and what it allows them.
    entries: Vec<(Vec<&'a Sources>, Cow<'a, PortSet>)>,
    /// All possible sources, by what their egress rules allow everybody.
    everybody: &'a [Part],
}

impl<'a> Destination<'a> {
    /// `None` of a destination without an address of the family.
    pub(super) fn of(survey: &'a Survey<'_>, to: End) -> Option<Self> {
        let traits = survey.reach.traits(to)?;
        let mut destination = Self {
            survey,
            traits,
            seen: traits.seen(survey.family)?,
            base: Cow::Owned(PortSet::default()),
            entries: Vec::new(),
            everybody: survey.everybody(to),
        };
        match &traits.ingress {
            None => destination.base = Cow::Owned(PortSet::all()),
            Some(profile) => {
                destination.base = profile.base.on(&traits.numbers);
                destination.read(profile);
            }
        }
        Some(destination)
    }

    fn read(&mut self, profile: &'a Profile) {
        let survey = self.survey;
        let by_term = profile.terms.iter().map(|(term, allowance)| {
            let sources = survey.selected(*term).into_iter().collect::<Vec<_>>();
            (sources, allowance)
        });
        let by_block = profile
            .blocks
            .iter()
            .map(|(block, allowance)| (survey.within(*block).collect(), allowance));
        let entries = by_term
            .chain(by_block)
            .map(|(sources, allowance)| (sources, allowance.on(&self.traits.numbers)));
        self.entries = entries
            .filter(|(sources, ports)| !sources.is_empty() && !ports.is_empty())
            .collect();
    }

    /// Who reaches it on which ports: each source in at most one part, in the order of their first sources.
    pub(super) fn parts(&self) -> Vec<Part> {
        let mut parts = Parts::default();
        if self.willing() < self.named() {
            self.ask_willing(&mut parts);
        } else {
            self.ask_named(&mut parts);
        }
        parts.done(self.list())
    }

    /// How many sources its own rules name, at most.
    fn named(&self) -> usize {
        let lists = self.entries.iter().flat_map(|(lists, _)| lists);
        lists.map(|sources| sources.len()).sum()
    }

    /// How many sources have egress rules that allow it anything, at most.
    fn willing(&self) -> usize {
        let everybody: usize = self.everybody.iter().map(|(_, sources)| sources.len()).sum();
        let naming = self.survey.naming(self.traits, self.seen.range);
        everybody + naming.map(|naming| naming.sources).sum::<usize>()
    }

    /// The pods whose egress rules name it.
    fn named_by(&self) -> impl Iterator<Item = End> {
        let naming = self.survey.naming(self.traits, self.seen.range);
        let senders: BTreeSet<usize> = naming.flat_map(|naming| naming.senders.iter().copied()).collect();
        senders
            .into_iter()
            .flat_map(|sender| self.survey.sources(sender).iter().copied())
    }

    /// Its only list of named sources, if nobody else comes into question.
    fn list(&self) -> Option<&'a Sources> {
        match self.entries.as_slice() {
            [(lists, _)] if self.base.is_empty() && lists.len() == 1 => lists.first().copied(),
            _ => None,
        }
    }

    /// Asks only the sources whose egress rules allow it anything: where it names more than these.
    fn ask_willing(&self, parts: &mut Parts) {
        let everybody = self
            .everybody
            .iter()
            .flat_map(|(_, sources)| sources.iter().copied());
        let willing: BTreeSet<End> = everybody.chain(self.named_by()).collect();
        let reach = self.survey.reach;
        for end in willing {
            let Some(traits) = reach.traits(end) else { continue };
            if let Some(seen) = traits.seen(self.survey.family) {
                parts.add(reach.between((traits, seen), (self.traits, self.seen)), [end]);
            }
        }
    }

    /// Asks the sources that are named on either side, and takes all others by what both sides allow everybody.
    fn ask_named(&self, parts: &mut Parts) {
        let named = self.named_on_either_side();
        self.ask_each(&named, parts);
        if self.base.is_empty() {
            return;
        }
        for (ports, sources) in self.everybody {
            let allowed = ports.intersection(&self.base);
            if allowed.is_empty() {
                continue;
            }
            if named.is_empty() {
                parts.share(allowed, sources);
            } else {
                let is_rest = |end: &End| named.binary_search_by_key(end, |(end, _)| *end).is_err();
                parts.add(allowed, sources.iter().copied().filter(is_rest));
            }
        }
    }

    /// The named sources in order, once for each entry that names them, and once if their own rules name the destination. Where
    /// its rules allow everybody nothing, it does not matter who else would like to reach it.
    fn named_on_either_side(&self) -> Vec<(End, Option<usize>)> {
        let mut named = Vec::with_capacity(self.named());
        for (entry, (lists, _)) in self.entries.iter().enumerate() {
            let ends = lists.iter().flat_map(|sources| sources.iter());
            named.extend(ends.map(|end| (*end, Some(entry))));
        }
        if !self.base.is_empty() {
            named.extend(self.named_by().map(|end| (end, None)));
        }
        if self.list().is_none() {
            named.sort_unstable();
        }
        named
    }

    fn ask_each(&self, named: &[(End, Option<usize>)], parts: &mut Parts) {
        let all = PortSet::all();
        let mut outgoing: HashMap<usize, Cow<'_, PortSet>> = HashMap::new();
        for same in named.chunk_by(|(one, _), (other, _)| one == other) {
            let Some((end, _)) = same.first() else { continue };
            let entries = same.iter().filter_map(|(_, entry)| self.entries.get((*entry)?));
            let allowed = entries.fold(Cow::Borrowed(&*self.base), |ports, (_, more)| join(ports, more));
            let egress = self
                .survey
                .reach
                .traits(*end)
                .and_then(|traits| traits.egress.as_ref());
            let wanted = match egress {
                None => &all,
                Some(profile) => &**outgoing
                    .entry(profile.number)
                    .or_insert_with(|| self.wanted_by(profile)),
            };
            parts.add(wanted.intersection(&allowed), [*end]);
        }
    }

    /// What an egress profile allows to it.
    fn wanted_by<'b>(&self, profile: &'b Arc<Profile>) -> Cow<'b, PortSet> {
        profile.towards(self.seen, &self.traits.numbers, &self.survey.reach.ground)
    }
}

/// What is in either, without a copy where one is all of it.
fn join<'a>(ports: Cow<'a, PortSet>, more: &'a PortSet) -> Cow<'a, PortSet> {
    if ports.is_empty() {
        Cow::Borrowed(more)
    } else if more.is_empty() || *ports == *more {
        ports
    } else {
        Cow::Owned(ports.union(more))
    }
}

/// Sources by ports, while they are gathered.
#[derive(Default)]
struct Parts(BTreeMap<PortSet, (Vec<Sources>, Vec<End>)>);

impl Parts {
    /// Adds single sources.
    fn add(&mut self, ports: PortSet, ends: impl IntoIterator<Item = End>) {
        if !ports.is_empty() {
            self.0.entry(ports).or_default().1.extend(ends);
        }
    }

    /// Adds a whole list.
    fn share(&mut self, ports: PortSet, sources: &Sources) {
        self.0.entry(ports).or_default().0.push(sources.clone());
    }

    /// What was gathered. `list` is all that single sources can be of, if there is such a list: it is shared rather than copied.
    fn done(self, list: Option<&Sources>) -> Vec<Part> {
        let gathered = self.0.into_iter().map(|(ports, (mut lists, mut ends))| {
            if ends.is_empty() && lists.len() == 1 {
                return (ports, lists.pop().unwrap_or_default());
            }
            if let Some(list) = list.filter(|list| list.len() == ends.len()) {
                return (ports, list.clone());
            }
            ends.extend(lists.iter().flat_map(|sources| sources.iter().copied()));
            ends.sort_unstable();
            (ports, ends.into())
        });
        let mut parts: Vec<Part> = gathered.filter(|(_, sources)| !sources.is_empty()).collect();
        parts.sort_unstable_by(|(_, one), (_, other)| one.first().cmp(&other.first()));
        parts
    }
}
