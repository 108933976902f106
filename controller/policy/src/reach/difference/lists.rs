//! The lists of both states in the same terms: those of the ends that both have.

use std::collections::HashMap;
use std::sync::Arc;

use crate::reach::flows::{Listing, Sources};
use crate::reach::numbering::Numbering;
use crate::reach::{End, Family, PortSet, Reach};

/// The lists of one state in joint ends.
pub(super) struct Translation<'a> {
    listing: Listing<'a>,
    /// The joint ends that each end has become.
    joint: HashMap<End, Vec<End>>,
    /// Lists that several destinations share.
    shared: HashMap<*const End, (Sources, usize)>,
}

impl<'a> Translation<'a> {
    pub(super) fn new(
        reach: &'a Reach,
        family: Family,
        links: impl Iterator<Item = (End, End)> + Clone,
    ) -> Self {
        let mut joint: HashMap<End, Vec<End>> = HashMap::new();
        for (new, own) in links.clone() {
            joint.entry(own).or_default().push(new);
        }
        Self {
            listing: Listing::of(reach, family, links.map(|(_, own)| own)),
            joint,
            shared: HashMap::new(),
        }
    }

    /// The number of the parts of a destination.
    pub(super) fn parts(&mut self, to: End, lists: &mut Lists) -> usize {
        let parts = self.listing.parts(to);
        let mut translated = Vec::with_capacity(parts.len());
        for (ports, sources) in parts.iter() {
            let list = self.list(sources, lists);
            if !lists.list(list).is_empty() {
                translated.push((ports.clone(), list));
            }
        }
        translated.sort_unstable();
        lists.answer(translated)
    }

    fn list(&mut self, sources: &Sources, lists: &mut Lists) -> usize {
        if let Some((_, known)) = self.shared.get(&sources.as_ptr()) {
            return *known;
        }
        let joint = sources.iter().filter_map(|end| self.joint.get(end)).flatten();
        let mut joint: Vec<End> = joint.copied().collect();
        joint.sort_unstable();
        let number = lists.number(joint.into());
        // Kept as well, so that its address stays its own.
        self.shared.insert(sources.as_ptr(), (sources.clone(), number));
        number
    }
}

/// Lists of joint ends by number, and what makes up the answer for a destination.
#[derive(Default)]
pub(super) struct Lists {
    numbers: Numbering<Arc<[End]>>,
    values: Vec<Arc<[End]>>,
    answer_numbers: Numbering<Arc<[(PortSet, usize)]>>,
    answers: Vec<Arc<[(PortSet, usize)]>>,
}

impl Lists {
    fn number(&mut self, list: Arc<[End]>) -> usize {
        let number = self.numbers.number(list.clone());
        if number == self.values.len() {
            self.values.push(list);
        }
        number
    }

    fn answer(&mut self, parts: Vec<(PortSet, usize)>) -> usize {
        let parts: Arc<[(PortSet, usize)]> = parts.into();
        let number = self.answer_numbers.number(parts.clone());
        if number == self.answers.len() {
            self.answers.push(parts);
        }
        number
    }

    fn list(&self, number: usize) -> &[End] {
        self.values.get(number).map(|list| &**list).unwrap_or_default()
    }

    /// The parts of an answer: on which ports the sources of which list.
    pub(super) fn parts(&self, number: usize) -> impl Iterator<Item = (&PortSet, &[End])> {
        let parts = self.answers.get(number).into_iter();
        parts.flat_map(|parts| parts.iter().map(|(ports, list)| (ports, self.list(*list))))
    }
}
