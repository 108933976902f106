//! The relation as a graph: words are nodes, so that what holds for all is one edge.

use std::collections::{BTreeMap, BTreeSet};

use palisade_policy::reach::End;

use super::{Word, Words, destinations, family, ports};
use crate::relation::{Relation, Selection};

/// Nodes and edges in order.
pub(super) struct Graph {
    /// Namespaces with the nodes in each: number and label.
    pub(super) namespaces: BTreeMap<String, Vec<(usize, String)>>,
    /// Nodes that are in no namespace.
    pub(super) others: Vec<(usize, String)>,
    /// From, to and ports.
    pub(super) edges: BTreeSet<(usize, usize, String)>,
}

impl Graph {
    pub(super) fn of(relation: &Relation<'_>, selection: &Selection) -> Self {
        let words = Words::of(relation.ends());
        let mut nodes: BTreeSet<Word> = BTreeSet::new();
        let mut pairs: BTreeSet<(Word, Word, String)> = BTreeSet::new();
        for line in relation.lines(selection) {
            let from = if selection.has_all_sources() {
                words.sources(&line.from, &line.to, line.family)
            } else {
                words.each(&line.from, selection.sources_within())
            };
            let to = destinations(&words, selection, &line);
            nodes.extend(from.iter().chain(&to).cloned());
            let on = match family(line.family) {
                "" => ports(&line.ports),
                family => format!("{} ({family})", ports(&line.ports)),
            };
            for from in &from {
                pairs.extend(to.iter().map(|to| (from.clone(), to.clone(), on.clone())));
            }
        }
        if selection.has_all_sources() && selection.has_all_destinations() {
            nodes.extend((0..relation.reach.classes().len()).map(Word::Class));
        }
        let mut graph = Self {
            namespaces: BTreeMap::new(),
            others: Vec::new(),
            edges: BTreeSet::new(),
        };
        let numbers: BTreeMap<&Word, usize> = nodes.iter().zip(0..).collect();
        for (word, number) in &numbers {
            let node = (*number, label(relation, &words, word));
            match namespace(relation, word) {
                Some(namespace) => graph.namespaces.entry(namespace).or_default().push(node),
                None => graph.others.push(node),
            }
        }
        let edges = pairs
            .iter()
            .filter_map(|(from, to, ports)| Some((*numbers.get(from)?, *numbers.get(to)?, ports.clone())));
        graph.edges = edges.collect();
        graph
    }
}

fn namespace(relation: &Relation<'_>, word: &Word) -> Option<String> {
    match word {
        Word::Class(class) => {
            let class = relation.reach.classes().get(*class)?;
            Some(class.namespace.to_string())
        }
        Word::Namespace(namespace) => Some(namespace.to_string()),
        Word::Any | Word::AnyPod | Word::AnyOutside | Word::AnyOutsideOf(_) | Word::Addresses(_) => None,
    }
}

/// The name without the namespace that the node is drawn in, and how many pods there are.
fn label(relation: &Relation<'_>, words: &Words<'_>, word: &Word) -> String {
    let text = words.text(word, usize::MAX);
    match word {
        Word::Class(class) => {
            let name = match text.split_once('/') {
                Some((_, "*")) => "all pods",
                Some((_, name)) => name,
                None => &text,
            };
            match relation.names.pods(End::Pods(*class)) {
                Some(pods) if pods > 1 => format!("{name} ({pods} pods)"),
                Some(_) | None => name.to_owned(),
            }
        }
        Word::Namespace(_) => "all pods".to_owned(),
        Word::Any | Word::AnyPod | Word::AnyOutside | Word::AnyOutsideOf(_) | Word::Addresses(_) => text,
    }
}
