//! Matrix, figures and scopes against asking for every pair.

use std::collections::BTreeSet;

use palisade_policy::model::Direction;
use palisade_policy::reach::{Class, End, Family, PortSet, Reach};
use palisade_policy::testing::config;
use palisade_policy::testing::strategies::history;
use proptest::prelude::*;

use super::ends::{Grain, Rows};
use super::figures::Connectivity;
use super::matrix::{Matrix, Share};
use super::names::Names;
use super::tests::{Nowhere, about, data, inventory};
use super::{Overview, policies, render};
use crate::lint::lint;

/// The ports of a pair in each family that both have.
fn of_each_family(reach: &Reach, from: End, to: End) -> Vec<PortSet> {
    let has = |end, family| match end {
        End::Pods(class) => has_family(&reach.classes()[class], family),
        End::Outside(range) => reach.outside()[range].family == family,
    };
    let families = [Family::V4, Family::V6].into_iter();
    let shared = families.filter(|family| has(from, *family) && has(to, *family));
    shared.map(|family| reach.ports(from, to, family)).collect()
}

fn has_family(class: &Class, family: Family) -> bool {
    class.members.iter().any(|member| match family {
        Family::V4 => member.v4.is_some(),
        Family::V6 => member.v6.is_some(),
    })
}

fn ends(reach: &Reach) -> Vec<End> {
    let classes = (0..reach.classes().len()).map(End::Pods);
    classes
        .chain((0..reach.outside().len()).map(End::Outside))
        .collect()
}

proptest! {
    #![proptest_config(config(48))]

    #[test]
    fn cells_say_what_reach_says(events in history(60)) {
        let inventory = inventory(events);
        let reach = Reach::of(&inventory.state);
        let rows = Rows::of(&reach, &Names::of(&inventory, &reach), Grain::Classes, usize::MAX);
        let matrix = Matrix::of(&reach, &rows);
        for from in ends(&reach) {
            let Some(row) = rows.row(from) else { continue };
            let cells: Vec<_> = matrix.row(row).collect();
            prop_assert_eq!(cells.len(), rows.all.len());
            for to in ends(&reach) {
                let Some(cell) = rows.row(to).map(|column| cells[column]) else { continue };
                let said = of_each_family(&reach, from, to);
                let alone = from == to && rows.all[row].pods == 1;
                let outside = matches!((from, to), (End::Outside(_), End::Outside(_)));
                if alone || outside || said.is_empty() {
                    prop_assert_eq!(cell.share, Share::Inapplicable);
                    continue;
                }
                let union = said.iter().fold(PortSet::none(), |union, ports| union.union(ports));
                prop_assert_eq!(&cell.ports, &union);
                let all = said.iter().all(PortSet::is_all);
                let expected = if all { Share::All } else if union.is_empty() { Share::None } else { Share::Some };
                prop_assert_eq!(cell.share, expected);
            }
        }
    }

    #[test]
    fn what_is_allowed_to_the_isolated_is_allowed_by_a_rule_that_speaks_of_it(events in history(60)) {
        let inventory = inventory(events);
        let reach = Reach::of(&inventory.state);
        let rows = Rows::of(&reach, &Names::of(&inventory, &reach), Grain::Classes, usize::MAX);
        let scopes = policies::scopes(&inventory.state, &reach).unwrap();
        let speaks = |class: &Class, other: usize, direction| {
            let isolating = match direction { Direction::Ingress => &class.ingress, Direction::Egress => &class.egress };
            let named = inventory.state.policies().keys().zip(&scopes).filter(|(key, _)| isolating.contains(*key));
            isolating.is_empty() || named.into_iter().any(|(_, scope)| {
                let rules = match direction { Direction::Ingress => &scope.ingress, Direction::Egress => &scope.egress };
                rules.iter().flatten().any(|spans| spans.iter().any(|(first, last)| (*first..=*last).contains(&other)))
            })
        };
        for from in ends(&reach) {
            for to in ends(&reach) {
                let (Some(row), Some(column)) = (rows.row(from), rows.row(to)) else { continue };
                if of_each_family(&reach, from, to).iter().all(PortSet::is_empty) { continue }
                if let End::Pods(class) = from {
                    prop_assert!(speaks(&reach.classes()[class], column, Direction::Egress));
                }
                if let End::Pods(class) = to {
                    prop_assert!(speaks(&reach.classes()[class], row, Direction::Ingress));
                }
            }
        }
    }

    #[test]
    fn pairs_are_counted_as_one_by_one(events in history(60)) {
        let inventory = inventory(events);
        let reach = Reach::of(&inventory.state);
        let names = Names::of(&inventory, &reach);
        let pods: Vec<(usize, usize)> = reach.classes().iter().enumerate()
            .flat_map(|(class, members)| (0..members.members.len()).map(move |member| (class, member)))
            .collect();
        let any = |from, to| of_each_family(&reach, from, to).iter().any(|ports| !ports.is_empty());
        let outside = || (0..reach.outside().len()).map(End::Outside);
        let connected = pods.iter()
            .flat_map(|from| pods.iter().map(move |to| (from, to)))
            .filter(|(from, to)| from != to && any(End::Pods(from.0), End::Pods(to.0)));
        let expected = Connectivity {
            pairs: (pods.len() * pods.len().saturating_sub(1)) as u64,
            connected: connected.count() as u64,
            from_outside: pods.iter().filter(|to| outside().any(|from| any(from, End::Pods(to.0)))).count() as u64,
            to_outside: pods.iter().filter(|from| outside().any(|to| any(End::Pods(from.0), to))).count() as u64,
        };
        prop_assert_eq!(Connectivity::of(&reach, &names), expected);
    }

    #[test]
    fn any_history_gives_a_page(events in history(80)) {
        let inventory = inventory(events);
        let reach = Reach::of(&inventory.state);
        let findings = lint(&inventory);
        let about = about();
        let overview = Overview::of(&inventory, &reach, &findings, &Nowhere, &about);
        let told: BTreeSet<_> = overview.subjects.keys().copied().collect();
        prop_assert!(told.iter().all(|key| inventory.state.policies().contains_key(*key)));
        let page = render(&inventory, &reach, &findings, &Nowhere, &about).unwrap();
        prop_assert_eq!(page.matches("<article").count(), inventory.state.policies().len());
        prop_assert!(data(&page).is_object());
    }
}
