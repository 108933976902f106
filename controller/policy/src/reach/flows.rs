//! All connections at once, without asking for each pair.
//!
//! For a destination, most sources are alike: what its ingress rules allow everybody meets what the sources' egress rules allow
//! everybody. Only sources that a term or a block of its rules names, and those whose own rules name the destination, have to be
//! looked at one by one; these are *explicit*. Sources whose egress rules allow everybody the same stand in one list, made once
//! and shared by all flows that it is the answer to.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use super::numbering::Numbering;
use super::profile::{Allowance, Numbers, Profile};
use super::{End, Family, Flow, PortSet, Reach, Traits};

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
    /// What will be asked again, and how often: answers are kept from the first time to the last.
    repeats: HashMap<Likeness, (usize, Option<Arc<[Part]>>)>,
}

impl<'a> Listing<'a> {
    /// For destinations that will be asked about, as often as they are given here.
    pub(super) fn of(reach: &'a Reach, family: Family, destinations: impl Iterator<Item = End>) -> Self {
        let survey = Survey::of(reach, family);
        let mut repeats: HashMap<Likeness, (usize, Option<Arc<[Part]>>)> = HashMap::new();
        for to in destinations {
            if let Some(traits) = reach.traits(to) {
                repeats.entry(Likeness::of(&survey, to, traits)).or_default().0 += 1;
            }
        }
        repeats.retain(|_, (uses, _)| *uses > 1);
        Self { survey, repeats }
    }

    /// Who reaches a destination on which ports: each source in at most one part, in the order of their first sources.
    pub(super) fn parts(&mut self, to: End) -> Arc<[Part]> {
        let Some(traits) = self.survey.reach.traits(to) else {
            return Arc::default();
        };
        let likeness = Likeness::of(&self.survey, to, traits);
        let Some((left, known)) = self.repeats.get_mut(&likeness) else {
            return self.survey.parts(to, traits).into();
        };
        let parts = known
            .get_or_insert_with(|| self.survey.parts(to, traits).into())
            .clone();
        *left -= 1;
        if *left == 0 {
            self.repeats.remove(&likeness);
        }
        parts
    }
}

/// The sources of one family, arranged so that those that matter for a destination are found.
struct Survey<'a> {
    reach: &'a Reach,
    family: Family,
    /// The sources that each term of ingress rules selects.
    by_term: HashMap<usize, Sources>,
    /// The sources that lie in each range.
    by_range: HashMap<usize, Vec<End>>,
    /// The pods that share an egress profile.
    senders: Vec<(Arc<Profile>, Sources)>,
    /// The senders whose rules name pods of a term, and how many sources these are.
    naming_term: HashMap<usize, Naming>,
    /// The senders whose rules name a block.
    naming_block: HashMap<usize, Naming>,
    /// The senders whose rules for everybody ask for ports by name.
    naming_port: Naming,
    /// Sources by the ports that their egress rules allow everybody: of pods, and of pods and outside.
    to_outside: Vec<Part>,
    to_pods: Vec<Part>,
}

/// Senders whose rules name something.
#[derive(Default)]
struct Naming {
    senders: Vec<usize>,
    sources: usize,
}

impl Naming {
    fn add(&mut self, sender: usize, sources: usize) {
        self.senders.push(sender);
        self.sources += sources;
    }
}

impl<'a> Survey<'a> {
    fn of(reach: &'a Reach, family: Family) -> Self {
        let mut by_term: HashMap<usize, Vec<End>> = HashMap::new();
        let mut by_range: HashMap<usize, Vec<End>> = HashMap::new();
        let mut by_sender: BTreeMap<usize, (Arc<Profile>, Vec<End>)> = BTreeMap::new();
        let mut base: BTreeMap<PortSet, Vec<End>> = BTreeMap::new();
        let used: BTreeSet<usize> = reach
            .ends()
            .filter_map(|(_, traits)| traits.ingress.as_ref())
            .flat_map(|profile| profile.terms.iter().map(|(term, _)| *term))
            .collect();
        for (end, traits) in reach.ends() {
            let Some(range) = traits.ranges.get(family) else {
                continue;
            };
            by_range.entry(*range).or_default().push(end);
            for term in traits.terms.iter().filter(|term| used.contains(term)) {
                by_term.entry(*term).or_default().push(end);
            }
            let everybody = match &traits.egress {
                Some(profile) => {
                    let sender = by_sender.entry(profile.number);
                    let (_, sources) = sender.or_insert_with(|| (profile.clone(), Vec::new()));
                    sources.push(end);
                    profile.base.ports.clone()
                }
                None => PortSet::all(),
            };
            if !everybody.is_empty() {
                base.entry(everybody).or_default().push(end);
            }
        }

        let is_pods = |end: &End| matches!(end, End::Pods(_));
        let mut survey = Self {
            reach,
            family,
            by_term: by_term
                .into_iter()
                .map(|(term, sources)| (term, sources.into()))
                .collect(),
            by_range,
            senders: by_sender
                .into_values()
                .map(|(profile, sources)| (profile, sources.into()))
                .collect(),
            naming_term: HashMap::new(),
            naming_block: HashMap::new(),
            naming_port: Naming::default(),
            to_outside: Vec::new(),
            to_pods: Vec::new(),
        };
        for (ports, sources) in base {
            let pods: Sources = sources.iter().copied().filter(is_pods).collect();
            let all = if pods.len() == sources.len() {
                pods.clone()
            } else {
                sources.into()
            };
            if !pods.is_empty() {
                survey.to_outside.push((ports.clone(), pods));
            }
            survey.to_pods.push((ports, all));
        }
        for (sender, (profile, sources)) in survey.senders.iter().enumerate() {
            for (term, _) in &profile.terms {
                survey
                    .naming_term
                    .entry(*term)
                    .or_default()
                    .add(sender, sources.len());
            }
            for (block, _) in &profile.blocks {
                survey
                    .naming_block
                    .entry(*block)
                    .or_default()
                    .add(sender, sources.len());
            }
            if !profile.base.names.is_empty() {
                survey.naming_port.add(sender, sources.len());
            }
        }
        survey
    }

    /// Who reaches a destination on which ports.
    fn parts(&self, to: End, traits: &Traits) -> Vec<Part> {
        let Some(destination) = Destination::of(self, to, traits) else {
            return Vec::new();
        };
        if destination.willing() < destination.named() {
            destination.from_willing()
        } else {
            destination.from_named()
        }
    }

    /// The senders whose egress rules name a destination, each thing that they name at a time.
    fn naming<'b>(&'b self, traits: &'b Traits, range: usize) -> impl Iterator<Item = &'b Naming> {
        let by_term = traits.terms.iter().filter_map(|term| self.naming_term.get(term));
        let blocks = if self.naming_block.is_empty() {
            Vec::new()
        } else {
            self.reach.ground.blocks_around(range)
        };
        let by_block = blocks
            .into_iter()
            .filter_map(|block| self.naming_block.get(&block));
        let by_port = (!traits.numbers.is_empty()).then_some(&self.naming_port);
        by_term.chain(by_block).chain(by_port)
    }
}

/// A destination, and what its own rules say.
struct Destination<'a> {
    survey: &'a Survey<'a>,
    traits: &'a Traits,
    range: usize,
    /// What its ingress rules allow everybody.
    base: PortSet,
    /// The sources that each entry of its ingress rules names, and what it allows them.
    entries: Vec<(Vec<&'a [End]>, PortSet)>,
    /// All possible sources, by what their egress rules allow everybody.
    everybody: &'a [Part],
}

impl<'a> Destination<'a> {
    fn of(survey: &'a Survey<'a>, to: End, traits: &'a Traits) -> Option<Self> {
        let everybody = match to {
            End::Pods(_) => &survey.to_pods,
            End::Outside(_) => &survey.to_outside,
        };
        let mut destination = Self {
            survey,
            traits,
            range: (*traits.ranges.get(survey.family))?,
            base: PortSet::all(),
            entries: Vec::new(),
            everybody,
        };
        if let Some(profile) = &traits.ingress {
            destination.base = profile.base.on(&traits.numbers);
            let by_term = profile.terms.iter().map(|(term, allowance)| {
                let sources = survey.by_term.get(term).map(|sources| &**sources);
                (sources.into_iter().collect(), allowance)
            });
            let by_block = profile.blocks.iter().map(|(block, allowance)| {
                let ranges = survey.reach.ground.ranges_within(*block);
                let sources = ranges.iter().filter_map(|range| survey.by_range.get(range));
                (sources.map(Vec::as_slice).collect(), allowance)
            });
            let entries = by_term
                .chain(by_block)
                .map(|(sources, allowance): (Vec<_>, &Arc<Allowance>)| {
                    (sources, allowance.on(&traits.numbers))
                });
            destination.entries = entries.filter(|(_, ports)| !ports.is_empty()).collect();
        }
        Some(destination)
    }

    /// How many sources its own rules name, at most.
    fn named(&self) -> usize {
        let lists = self.entries.iter().flat_map(|(lists, _)| lists);
        lists.map(|sources| sources.len()).sum()
    }

    /// How many sources have egress rules that allow it anything, at most.
    fn willing(&self) -> usize {
        let everybody: usize = self.everybody.iter().map(|(_, sources)| sources.len()).sum();
        let naming = self.survey.naming(self.traits, self.range);
        everybody + naming.map(|naming| naming.sources).sum::<usize>()
    }

    /// The pods whose egress rules name it.
    fn named_by(&self) -> Vec<&'a Sources> {
        let naming = self.survey.naming(self.traits, self.range);
        let senders: BTreeSet<usize> = naming.flat_map(|naming| naming.senders.iter().copied()).collect();
        let sources = senders
            .into_iter()
            .filter_map(|sender| self.survey.senders.get(sender));
        sources.map(|(_, sources)| sources).collect()
    }

    /// Asks only the sources whose egress rules allow it anything: where it names more than these.
    fn from_willing(&self) -> Vec<Part> {
        let everybody = self.everybody.iter().map(|(_, sources)| sources);
        let named_by = self.named_by();
        let willing: BTreeSet<End> = everybody
            .chain(named_by)
            .flat_map(|sources| sources.iter().copied())
            .collect();
        let mut parts = Parts::default();
        let reach = self.survey.reach;
        for end in willing {
            let sides = reach.traits(end).and_then(|traits| {
                let source = (traits, traits.seen(self.survey.family)?);
                let destination = (self.traits, self.traits.seen(self.survey.family)?);
                Some((source, destination))
            });
            if let Some((source, destination)) = sides {
                parts.add(reach.between(source, destination), [end]);
            }
        }
        parts.done()
    }

    /// Asks the sources that are explicit on either side, and takes all others by what both sides allow everybody.
    fn from_named(&self) -> Vec<Part> {
        let mut parts = Parts::default();
        let explicit = self.explicit();
        self.sort(&explicit, &mut parts);
        if self.base.is_empty() {
            return parts.done();
        }
        for (ports, sources) in self.everybody {
            let ports = ports.intersection(&self.base);
            if ports.is_empty() {
                continue;
            }
            if explicit.is_empty() {
                parts.share(ports, sources);
            } else {
                let is_rest = |end: &End| explicit.binary_search_by_key(end, |(end, _)| *end).is_err();
                parts.add(ports, sources.iter().copied().filter(is_rest));
            }
        }
        parts.done()
    }

    /// The explicit sources in order, each with the entries that name it. Where nothing is allowed to everybody, it does not
    /// matter who else would like to reach the destination.
    fn explicit(&self) -> Vec<(End, Vec<usize>)> {
        let mut named: Vec<(End, Option<usize>)> = Vec::new();
        for (entry, (lists, _)) in self.entries.iter().enumerate() {
            let ends = lists.iter().flat_map(|sources| sources.iter().copied());
            named.extend(ends.map(|end| (end, Some(entry))));
        }
        if !self.base.is_empty() {
            let ends = self
                .named_by()
                .into_iter()
                .flat_map(|sources| sources.iter().copied());
            named.extend(ends.map(|end| (end, None)));
        }
        named.sort_unstable();
        let same = named.chunk_by(|(one, _), (other, _)| one == other);
        let explicit = same.filter_map(|same| {
            let (end, _) = same.first()?;
            Some((*end, same.iter().filter_map(|(_, entry)| *entry).collect()))
        });
        explicit.collect()
    }

    /// Sorts explicit sources by what both sides allow. Sources that the same entries name and that have one egress profile
    /// are alike.
    fn sort(&self, explicit: &[(End, Vec<usize>)], parts: &mut Parts) {
        let mut alike = Numbering::default();
        let mut groups: Vec<Vec<End>> = Vec::new();
        for (end, entries) in explicit {
            let egress = self
                .survey
                .reach
                .traits(*end)
                .and_then(|traits| traits.egress.as_ref());
            let group = alike.number((entries.as_slice(), egress.map(|profile| profile.number)));
            match groups.get_mut(group) {
                Some(ends) => ends.push(*end),
                None => groups.push(vec![*end]),
            }
        }
        let mut outgoing: HashMap<Option<usize>, PortSet> = HashMap::new();
        for ((entries, sender), ends) in alike.into_values().into_iter().zip(groups) {
            let egress = ends
                .first()
                .and_then(|end| self.survey.reach.traits(*end)?.egress.as_ref());
            let outgoing = outgoing.entry(sender).or_insert_with(|| self.outgoing(egress));
            let allowed = entries.iter().filter_map(|entry| self.entries.get(*entry));
            let incoming = allowed.fold(self.base.clone(), |all, (_, ports)| all.union(ports));
            parts.add(outgoing.intersection(&incoming), ends);
        }
    }

    /// What an egress profile allows to it.
    fn outgoing(&self, egress: Option<&Arc<Profile>>) -> PortSet {
        match (egress, self.traits.seen(self.survey.family)) {
            (None, _) => PortSet::all(),
            (Some(profile), Some(seen)) => {
                profile.towards(seen, &self.traits.numbers, &self.survey.reach.ground)
            }
            (Some(_), None) => PortSet::none(),
        }
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

    /// What was gathered, in the order of the first source.
    fn done(self) -> Vec<Part> {
        let gathered = self.0.into_iter().map(|(ports, (mut lists, mut ends))| {
            if ends.is_empty() && lists.len() == 1 {
                return (ports, lists.pop().unwrap_or_default());
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

/// What is the same for two destinations that everybody reaches alike.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Likeness {
    is_pods: bool,
    ingress: Option<usize>,
    /// The terms by which senders name it.
    terms: Vec<usize>,
    numbers: Numbers,
    /// Where it lies, if that matters.
    range: Option<usize>,
    has_address: bool,
}

impl Likeness {
    fn of(survey: &Survey<'_>, to: End, traits: &Traits) -> Self {
        let terms = traits.terms.iter();
        Self {
            is_pods: matches!(to, End::Pods(_)),
            ingress: traits.ingress.as_ref().map(|profile| profile.number),
            terms: terms
                .filter(|term| survey.naming_term.contains_key(term))
                .copied()
                .collect(),
            numbers: traits.numbers.clone(),
            range: (*traits.ranges.get(survey.family)).filter(|_| !survey.naming_block.is_empty()),
            has_address: traits.ranges.get(survey.family).is_some(),
        }
    }
}
