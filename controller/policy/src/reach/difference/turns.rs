//! What becomes of each source's connections to a destination.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::lists::{Lists, Translation};
use super::{Change, Difference, Families, Link};
use crate::reach::{End, Family, PortSet};

/// What one source may do before and after.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Turn {
    from: End,
    before: PortSet,
    after: PortSet,
}

pub(super) fn changes(difference: &Difference, links: &[Link]) -> Vec<Change> {
    let mut v4 = Comparison::new(difference, links, Family::V4);
    let mut v6 = Comparison::new(difference, links, Family::V6);
    let mut merged: HashMap<(usize, usize), Vec<Merged>> = HashMap::new();
    let mut changes = Vec::new();
    for link in links {
        let of_family = |comparison: &mut Comparison<'_>| comparison.turns(*link);
        let (on_v4, on_v6) = (of_family(&mut v4), of_family(&mut v6));
        let merged = merged
            .entry((on_v4, on_v6))
            .or_insert_with(|| merge(v4.known(on_v4), v6.known(on_v6)));
        changes.extend(merged.iter().map(|part| Change {
            from: part.from.clone(),
            to: link.joint,
            families: part.families,
            before: part.before.clone(),
            after: part.after.clone(),
        }));
    }
    changes
}

/// A change without its destination.
struct Merged {
    from: Arc<[End]>,
    families: Families,
    before: PortSet,
    after: PortSet,
}

/// Puts together the sources that change alike, in both families where it is the same in both.
fn merge(v4: &[Turn], v6: &[Turn]) -> Vec<Merged> {
    let mut by_source: BTreeMap<End, [Option<&Turn>; 2]> = BTreeMap::new();
    for turn in v4 {
        by_source.entry(turn.from).or_default()[0] = Some(turn);
    }
    for turn in v6 {
        by_source.entry(turn.from).or_default()[1] = Some(turn);
    }
    let mut alike: BTreeMap<(Families, &PortSet, &PortSet), Vec<End>> = BTreeMap::new();
    for turns in by_source.into_values() {
        let (families, turns) = match turns {
            [Some(v4), Some(v6)] if v4 == v6 => ([Families::Both; 2], [Some(v4), None]),
            turns => (Family::ALL.map(Families::One), turns),
        };
        for (families, turn) in families.into_iter().zip(turns) {
            if let Some(turn) = turn {
                let same = alike.entry((families, &turn.before, &turn.after)).or_default();
                same.push(turn.from);
            }
        }
    }
    let merged = alike.into_iter().map(|((families, before, after), from)| Merged {
        from: from.into(),
        families,
        before: before.clone(),
        after: after.clone(),
    });
    let mut merged: Vec<Merged> = merged.collect();
    merged.sort_by(|one, other| one.from.first().cmp(&other.from.first()));
    merged
}

/// Compares the lists of both states, in one family.
struct Comparison<'a> {
    difference: &'a Difference,
    family: Family,
    before: Translation<'a>,
    after: Translation<'a>,
    lists: Lists,
    /// What turns out for lists before and after, by the numbers of these.
    compared: HashMap<(usize, usize), usize>,
    /// What turns out. The first is nothing.
    turns: Vec<Vec<Turn>>,
}

impl<'a> Comparison<'a> {
    fn new(difference: &'a Difference, links: &[Link], family: Family) -> Self {
        let links = || {
            let links = links.iter().copied();
            links.filter(move |link| difference.has_address(link.joint, family))
        };
        let before = Translation::new(
            &difference.before,
            family,
            links().map(|link| (link.joint, link.before)),
        );
        let after = Translation::new(
            &difference.after,
            family,
            links().map(|link| (link.joint, link.after)),
        );
        Self {
            difference,
            family,
            before,
            after,
            lists: Lists::default(),
            compared: HashMap::new(),
            turns: vec![Vec::new()],
        }
    }

    /// The number of what turns out for a destination.
    fn turns(&mut self, link: Link) -> usize {
        if !self.difference.has_address(link.joint, self.family) {
            return 0;
        }
        let before = self.before.parts(link.before, &mut self.lists);
        let after = self.after.parts(link.after, &mut self.lists);
        if before == after {
            return 0;
        }
        if let Some(known) = self.compared.get(&(before, after)) {
            return *known;
        }
        let turns = compare(&self.lists, before, after);
        let number = if turns.is_empty() { 0 } else { self.turns.len() };
        if number > 0 {
            self.turns.push(turns);
        }
        self.compared.insert((before, after), number);
        number
    }

    fn known(&self, number: usize) -> &[Turn] {
        self.turns.get(number).map(Vec::as_slice).unwrap_or_default()
    }
}

/// The sources that reach a destination on other ports after than before, in order.
fn compare(lists: &Lists, before: usize, after: usize) -> Vec<Turn> {
    let mut sources: BTreeMap<End, (Option<&PortSet>, Option<&PortSet>)> = BTreeMap::new();
    // Most parts are often the same.
    let only = |number, other| {
        lists
            .parts(number)
            .filter(move |part| !lists.parts(other).any(|other| other == *part))
    };
    for (ports, list) in only(before, after) {
        for end in list {
            sources.entry(*end).or_default().0 = Some(ports);
        }
    }
    for (ports, list) in only(after, before) {
        for end in list {
            sources.entry(*end).or_default().1 = Some(ports);
        }
    }
    let turns = sources.into_iter().filter(|(_, (before, after))| before != after);
    let turns = turns.map(|(from, (before, after))| Turn {
        from,
        before: before.cloned().unwrap_or_default(),
        after: after.cloned().unwrap_or_default(),
    });
    turns.collect()
}
