//! What a relation tells is what the reachability says: nothing is lost or added by joining families, sources and ranges.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "helpers of tests may fail like tests"
)]

use std::collections::{BTreeMap, BTreeSet};

use palisade_audit::inventory::Inventory;
use palisade_audit::question;
use palisade_audit::relation::output::{self, Form};
use palisade_audit::relation::{Addresses, Relation, Selection, Word, Words};
use palisade_audit::style::Style;
use palisade_policy::cluster::{ClusterState, Event};
use palisade_policy::reach::{End, Family, PortSet};
use palisade_policy::testing::builders::pod;
use palisade_policy::testing::{config, strategies};
use proptest::prelude::*;

fn ends(relation: &Relation<'_>) -> Vec<End> {
    let pods = (0..relation.reach.classes().len()).map(End::Pods);
    pods.chain((0..relation.reach.outside().len()).map(End::Outside))
        .collect()
}

fn has(relation: &Relation<'_>, end: End, family: Family) -> bool {
    match end {
        End::Pods(class) => relation.reach.classes()[class]
            .members
            .iter()
            .any(|member| match family {
                Family::V4 => member.v4.is_some(),
                Family::V6 => member.v6.is_some(),
            }),
        End::Outside(range) => relation.reach.outside()[range].family == family,
    }
}

/// The ends that words stand for, in connections with an end that has `families`.
fn meant(relation: &Relation<'_>, words: &[Word], families: &[Family]) -> BTreeSet<End> {
    let reach = &relation.reach;
    let possible = ends(relation)
        .into_iter()
        .filter(|end| families.iter().any(|family| has(relation, *end, *family)));
    let is_meant = |end: &End| {
        words.iter().any(|word| match (word, *end) {
            (Word::Any, _) | (Word::AnyPod, End::Pods(_)) | (Word::AnyOutside, End::Outside(_)) => true,
            (Word::Namespace(namespace), End::Pods(class)) => reach.classes()[class].namespace == *namespace,
            (Word::Class(class), End::Pods(own)) => *class == own,
            (Word::AnyOutsideOf(family), End::Outside(range)) => reach.outside()[range].family == *family,
            (Word::Addresses(part), End::Outside(range)) => {
                let range = &reach.outside()[range];
                let block = Addresses::of(range.family, [&part.cidr]);
                let except = Addresses::of(range.family, &part.except);
                let own = Addresses::of(range.family, &range.blocks).intersection(&block);
                own.blocks().iter().any(|block| !except.contains(block.addr()))
            }
            _ => false,
        })
    };
    possible.filter(is_meant).collect()
}

/// A reader that has gone.
struct Gone;

impl std::io::Write for Gone {
    fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
        Err(std::io::ErrorKind::BrokenPipe.into())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Err(std::io::ErrorKind::BrokenPipe.into())
    }
}

#[test]
fn that_the_reader_has_gone_can_be_told_from_other_errors() {
    let events = (0..20).map(|number| {
        let pod = pod(&format!("shop/p{number}")).at(&format!("10.0.0.{number}"));
        Event::PodApplied(pod.labelled(&[("app", "a")]))
    });
    let inventory = Inventory {
        state: ClusterState::from_events(events),
        ..Inventory::default()
    };
    let relation = Relation::of(&inventory);
    for form in [
        Form::Table,
        Form::Wide,
        Form::Csv,
        Form::Dot,
        Form::Mermaid,
        Form::Html,
    ] {
        let written = output::write(&relation, &Selection::default(), form, Style::PLAIN, &mut Gone);
        assert_eq!(
            written.unwrap_err().kind(),
            std::io::ErrorKind::BrokenPipe,
            "{form:?}"
        );
    }
}

proptest! {
    #![proptest_config(config(64))]

    #[test]
    fn rows_say_of_each_pair_what_the_reachability_says(history in strategies::history(80)) {
        let inventory = Inventory { state: ClusterState::from_events(history), ..Inventory::default() };
        let relation = Relation::of(&inventory);
        let mut told: BTreeMap<(End, End, Family), PortSet> = BTreeMap::new();
        for row in relation.rows(&Selection::default()) {
            for from in row.from.iter() {
                for family in Family::ALL {
                    let meet = has(&relation, *from, family) && has(&relation, row.to, family);
                    if meet && row.family.is_none_or(|own| own == family) {
                        let ports = told.entry((*from, row.to, family)).or_default();
                        prop_assert!(ports.intersection(&row.ports).is_empty(), "told twice");
                        *ports = ports.union(&row.ports);
                    }
                }
            }
        }
        for from in ends(&relation) {
            for to in ends(&relation) {
                let alone = from == to && relation.names.is_single(to);
                if alone || matches!((from, to), (End::Outside(_), End::Outside(_))) {
                    continue;
                }
                for family in Family::ALL {
                    let said = told.remove(&(from, to, family)).unwrap_or_default();
                    prop_assert_eq!(said, relation.reach.ports(from, to, family));
                }
            }
        }
    }

    #[test]
    fn words_mean_the_ends_that_they_stand_for(history in strategies::history(80)) {
        let inventory = Inventory { state: ClusterState::from_events(history), ..Inventory::default() };
        let relation = Relation::of(&inventory);
        let words = Words::of(relation.ends());
        for line in relation.lines(&Selection::default()) {
            let said = words.sources(&line.from, &line.to, line.family);
            let families: Vec<Family> = Family::ALL
                .into_iter()
                .filter(|family| line.family.is_none_or(|own| own == *family))
                .filter(|family| line.to.iter().any(|to| has(&relation, *to, *family)))
                .collect();
            // From outside to outside is nobody's matter.
            let to_pods = matches!(line.to[0], End::Pods(_));
            let meant = |words: &[Word]| -> BTreeSet<End> {
                let all = meant(&relation, words, &families).into_iter();
                all.filter(|end| to_pods || matches!(end, End::Pods(_))).collect()
            };
            let listed: BTreeSet<End> = line.from.iter().copied().collect();
            prop_assert_eq!(&meant(&said), &listed, "{:?}", said);
            let saying = words.say_sources(&line.from, &line.to, line.family);
            let told = match &saying.all {
                Some(all) => &meant(std::slice::from_ref(all)) - &meant(&saying.words),
                None => meant(&saying.words),
            };
            prop_assert_eq!(&told, &listed, "{:?}", saying);
        }
    }

    #[test]
    fn names_are_unique_and_ends_are_found_by_them(history in strategies::history(80)) {
        let inventory = Inventory { state: ClusterState::from_events(history), ..Inventory::default() };
        let relation = Relation::of(&inventory);
        let all = ends(&relation);
        let names: BTreeSet<&str> = all.iter().map(|end| relation.names.end(*end)).collect();
        prop_assert_eq!(names.len(), all.len());
        for (index, class) in relation.reach.classes().iter().enumerate() {
            let end = End::Pods(index);
            let name = relation.names.end(end);
            // `shop/web-0+4` says how many there are, and is no END.
            if name.contains('+') {
                continue;
            }
            let asked = question::End::parse(name).unwrap();
            let selection = Selection::of(&relation, &class.namespace, None, Some(&asked)).unwrap();
            let found: Vec<End> = all.iter().filter(|end| selection.has_destination(**end)).copied().collect();
            prop_assert_eq!(found, [end], "{}", name);
        }
    }
}
