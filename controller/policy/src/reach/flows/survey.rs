//! The sources of one family, arranged so that those that matter for a destination are found.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use super::{Part, Sources};
use crate::reach::profile::Profile;
use crate::reach::{End, Family, PortSet, Reach, Traits};

/// All sources of a family.
pub(super) struct Survey<'a> {
    pub(super) reach: &'a Reach,
    pub(super) family: Family,
    /// The pods that each term of ingress rules selects.
    by_term: HashMap<usize, Sources>,
    /// The sources that lie in each range.
    by_range: HashMap<usize, Sources>,
    /// The pods that share an egress profile.
    senders: Vec<Sources>,
    /// The senders whose rules name pods of a term.
    naming_term: HashMap<usize, Naming>,
    /// The senders whose rules name a block.
    naming_block: HashMap<usize, Naming>,
    /// The senders whose rules for everybody ask for ports by name.
    naming_port: Naming,
    /// Pods by the ports that their egress rules allow everybody.
    pods: Vec<Part>,
    /// The same with what is outside.
    everybody: Vec<Part>,
}

/// Senders whose rules name something.
#[derive(Default)]
pub(super) struct Naming {
    pub(super) senders: Vec<usize>,
    /// How many sources these are.
    pub(super) sources: usize,
}

impl Naming {
    fn add(&mut self, sender: usize, sources: &[End]) {
        self.senders.push(sender);
        self.sources += sources.len();
    }
}

impl<'a> Survey<'a> {
    pub(super) fn of(reach: &'a Reach, family: Family) -> Self {
        let own = || {
            reach
                .ends()
                .filter(|(_, traits)| traits.ranges.get(family).is_some())
        };
        let mut survey = Self {
            reach,
            family,
            by_term: by_term(reach, own()),
            by_range: by_range(own(), family),
            senders: Vec::new(),
            naming_term: HashMap::new(),
            naming_block: HashMap::new(),
            naming_port: Naming::default(),
            pods: Vec::new(),
            everybody: Vec::new(),
        };
        survey.add_senders(own());
        survey.add_everybody(own());
        survey
    }

    fn add_senders<'b>(&mut self, ends: impl Iterator<Item = (End, &'b Traits)>) {
        let mut senders: BTreeMap<usize, (&Arc<Profile>, Vec<End>)> = BTreeMap::new();
        for (end, traits) in ends {
            if let Some(profile) = &traits.egress {
                let (_, sources) = senders.entry(profile.number).or_insert((profile, Vec::new()));
                sources.push(end);
            }
        }
        for (number, (profile, sources)) in senders.into_values().enumerate() {
            for (term, _) in &profile.terms {
                self.naming_term.entry(*term).or_default().add(number, &sources);
            }
            for (block, _) in &profile.blocks {
                self.naming_block.entry(*block).or_default().add(number, &sources);
            }
            if !profile.base.names.is_empty() {
                self.naming_port.add(number, &sources);
            }
            self.senders.push(sources.into());
        }
    }

    fn add_everybody<'b>(&mut self, ends: impl Iterator<Item = (End, &'b Traits)>) {
        let mut by_ports: BTreeMap<PortSet, Vec<End>> = BTreeMap::new();
        let all = PortSet::all();
        for (end, traits) in ends {
            let ports = traits.egress.as_ref().map_or(&all, |profile| &profile.base.ports);
            match by_ports.get_mut(ports) {
                Some(sources) => sources.push(end),
                None if ports.is_empty() => {}
                None => {
                    by_ports.insert(ports.clone(), vec![end]);
                }
            }
        }
        for (ports, sources) in by_ports {
            // Pods come first.
            let outside = sources.partition_point(|end| matches!(end, End::Pods(_)));
            let pods: Sources = sources.iter().take(outside).copied().collect();
            let everybody = if pods.len() == sources.len() {
                pods.clone()
            } else {
                sources.into()
            };
            if !pods.is_empty() {
                self.pods.push((ports.clone(), pods));
            }
            self.everybody.push((ports, everybody));
        }
    }

    /// The sources that a term of ingress rules selects.
    pub(super) fn selected(&self, term: usize) -> Option<&Sources> {
        self.by_term.get(&term)
    }

    /// The sources that lie in a block.
    pub(super) fn within(&self, block: usize) -> impl Iterator<Item = &Sources> {
        let ranges = self.reach.ground.ranges_within(block);
        ranges.into_iter().filter_map(|range| self.by_range.get(&range))
    }

    /// The sources whose egress rules allow everybody the same; those whose rules allow everybody nothing are in none.
    pub(super) fn everybody(&self, to: End) -> &[Part] {
        match to {
            End::Pods(_) => &self.everybody,
            End::Outside(_) => &self.pods,
        }
    }

    /// The senders whose egress rules name a destination, for each thing that they name.
    pub(super) fn naming<'b>(&'b self, to: &'b Traits, range: usize) -> impl Iterator<Item = &'b Naming> {
        let by_term = to.terms.iter().filter_map(|term| self.naming_term.get(term));
        let blocks = if self.blocks_matter() {
            self.reach.ground.blocks_around(range)
        } else {
            Vec::new()
        };
        let by_block = blocks
            .into_iter()
            .filter_map(|block| self.naming_block.get(&block));
        let by_port = (!to.numbers.is_empty()).then_some(&self.naming_port);
        by_term.chain(by_block).chain(by_port)
    }

    /// The pods of a sender.
    pub(super) fn sources(&self, sender: usize) -> &[End] {
        self.senders
            .get(sender)
            .map(|sources| &**sources)
            .unwrap_or_default()
    }

    /// Whether egress rules name a term.
    pub(super) fn is_named(&self, term: usize) -> bool {
        self.naming_term.contains_key(&term)
    }

    /// Whether egress rules name blocks.
    pub(super) fn blocks_matter(&self) -> bool {
        !self.naming_block.is_empty()
    }
}

fn by_term<'b>(reach: &Reach, ends: impl Iterator<Item = (End, &'b Traits)>) -> HashMap<usize, Sources> {
    let profiles = reach.traits.iter().filter_map(|traits| traits.ingress.as_ref());
    let used: HashSet<usize> = profiles
        .flat_map(|profile| profile.terms.iter().map(|(term, _)| *term))
        .collect();
    let mut by_term: HashMap<usize, Vec<End>> = HashMap::new();
    for (end, traits) in ends {
        for term in traits.terms.iter().filter(|term| used.contains(term)) {
            by_term.entry(*term).or_default().push(end);
        }
    }
    shared(by_term)
}

fn by_range<'b>(ends: impl Iterator<Item = (End, &'b Traits)>, family: Family) -> HashMap<usize, Sources> {
    let mut by_range: HashMap<usize, Vec<End>> = HashMap::new();
    for (end, traits) in ends {
        if let Some(range) = traits.ranges.get(family) {
            by_range.entry(*range).or_default().push(end);
        }
    }
    shared(by_range)
}

fn shared(lists: HashMap<usize, Vec<End>>) -> HashMap<usize, Sources> {
    lists
        .into_iter()
        .map(|(key, sources)| (key, sources.into()))
        .collect()
}
