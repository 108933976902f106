//! The page against what it is made from.

use std::collections::BTreeSet;

use palisade_policy::cluster::{ClusterState, Event};
use palisade_policy::model::{Direction, Protocol, Requirement};
use palisade_policy::reach::{Class, End, Family, PortSet, Reach};
use palisade_policy::testing::builders::{
    block, labels, namespace, pod, pods, pods_in, policy, port, rule, selector,
};
use palisade_policy::testing::config;
use palisade_policy::testing::strategies::history;
use proptest::prelude::*;
use serde_json::Value;

use super::ends::{Grain, Rows};
use super::figures::Connectivity;
use super::matrix::{Matrix, Share};
use super::names::Names;
use super::{About, Overview, policies, render};
use crate::inventory::{Inventory, ObjectRef, Place, Places};
use crate::lint::lint;

/// Nothing is written anywhere.
struct Nowhere;

impl Places for Nowhere {
    fn place(&self, _object: &ObjectRef, _field: Option<&str>) -> Option<Place> {
        None
    }
}

fn about() -> About {
    About {
        source: "a test".to_owned(),
        time: "2026-11-25 16:00 UTC".to_owned(),
    }
}

fn inventory(events: impl IntoIterator<Item = Event>) -> Inventory {
    Inventory {
        state: ClusterState::from_events(events),
        ..Inventory::default()
    }
}

fn page(inventory: &Inventory) -> String {
    let reach = Reach::of(&inventory.state);
    render(inventory, &reach, &lint(inventory), &Nowhere, &about()).unwrap()
}

fn data(page: &str) -> Value {
    let (_, rest) = page
        .split_once("<script type=\"application/json\" id=\"data\">")
        .unwrap();
    serde_json::from_str(rest.split_once("</script>").unwrap().0).unwrap()
}

/// Namespaces of pods with policies between neighbours.
fn cluster(namespaces: u32, apps: u32, replicas: u32) -> Vec<Event> {
    let mut events = Vec::new();
    let mut address = 0x0a00_0001_u32;
    for space in 0..namespaces {
        let name = format!("team-{space:04}");
        events.push(Event::NamespaceApplied(namespace(&name, &[("team", &name)])));
        for app in 0..apps {
            let label = format!("app-{app}");
            for replica in 0..replicas {
                let pod = pod(&format!("{name}/{label}-{replica}")).labelled(&[("app", &label)]);
                events.push(Event::PodApplied(
                    pod.at(&std::net::Ipv4Addr::from(address).to_string()),
                ));
                address += 1;
            }
            let before = format!("app-{}", app.saturating_sub(1));
            let neighbour = format!("team-{:04}", (space + 1) % namespaces);
            let allowed = rule([
                pods(&[("app", &before)]),
                pods_in(&[("team", &neighbour)], &[("app", &label)]),
            ]);
            let policy = policy(&format!("{name}/{label}"))
                .selecting(&[("app", &label)])
                .allowing_from([allowed.on_ports([port(Protocol::Tcp, 8000 + u16::try_from(app).unwrap())])]);
            events.push(Event::PolicyApplied(policy));
        }
    }
    events
}

#[test]
fn the_same_objects_in_any_order_give_the_same_page() {
    let events = cluster(3, 3, 2);
    let mut reversed = events.clone();
    reversed.reverse();
    let first = page(&inventory(events.clone()));
    assert_eq!(first, page(&inventory(events)));
    assert_eq!(first, page(&inventory(reversed)));
}

#[test]
fn hostile_text_is_nowhere_markup() {
    let hostile = "</script><script>alert(1)</script><img src=x onerror=alert(2)>\"'";
    let mut defective = policy("shop/web").allowing_from([rule([pods(&[("app", hostile)])])]);
    defective.subject = [Requirement::equals("app", hostile)].into_iter().collect();
    defective.defects.push(palisade_policy::model::Defect {
        field: hostile.to_owned(),
        message: hostile.to_owned(),
    });
    let page = page(&inventory([
        Event::NamespaceApplied(namespace("shop", &[("team", hostile)])),
        Event::PodApplied(pod("shop/web").labelled(&[("app", hostile)]).at("10.0.0.1")),
        Event::PolicyApplied(defective),
    ]));
    assert_eq!(page.matches("<script").count(), 2, "the data and the program");
    assert_eq!(page.matches("</script").count(), 2);
    assert!(!page.contains("<img"));
    let data = data(&page);
    assert_eq!(
        data["ends"][0]["detail"],
        format!("app={hostile}"),
        "and it is all there"
    );
}

#[test]
fn the_policy_of_the_page_allows_exactly_its_style_and_program() {
    let page = page(&Inventory::default());
    let (_, rest) = page.split_once("Content-Security-Policy\" content=\"").unwrap();
    let (policy, _) = rest.split_once('"').unwrap();
    assert!(
        policy.starts_with("default-src 'none'; style-src 'sha256-"),
        "{policy}"
    );
    assert!(!policy.contains("unsafe"), "{policy}");
    for attribute in [
        " style=",
        " onclick=",
        " onload=",
        " src=",
        "href=\"http",
        "@import",
        "url(",
    ] {
        assert!(!page.contains(attribute), "{attribute}");
    }
}

#[test]
fn no_slot_of_the_document_is_left() {
    let page = page(&inventory(cluster(2, 2, 1)));
    assert!(!page.contains("{{") && !page.contains("}}"));
}

#[test]
fn each_row_of_the_data_says_something_of_each_column() {
    let data = data(&page(&inventory(cluster(4, 5, 2))));
    let ends = data["ends"].as_array().unwrap().len();
    let cells = data["cells"].as_array().unwrap().len();
    assert_eq!(data["rows"].as_array().unwrap().len(), ends);
    for run in data["runs"].as_array().unwrap() {
        let run: Vec<usize> = run
            .as_array()
            .unwrap()
            .iter()
            .map(|it| usize::try_from(it.as_u64().unwrap()).unwrap())
            .collect();
        assert_eq!(run.chunks(2).map(|pair| pair[1]).sum::<usize>(), ends);
        assert!(run.chunks(2).all(|pair| pair[0] < cells && pair[1] > 0));
    }
}

#[test]
fn a_page_of_ten_thousand_pods_has_five_megabytes_at_most() {
    let page = page(&inventory(cluster(100, 10, 10)));
    let data = data(&page);
    assert_eq!(data["grain"], "classes");
    assert_eq!(page.matches("<article").count(), 1000);
    println!("{} kB", page.len() / 1000);
    assert!(page.len() < 5_000_000, "{} bytes", page.len());
}

#[test]
fn beyond_what_a_page_can_hold_rows_are_namespaces_and_the_rest_is_counted() {
    let page = page(&inventory(cluster(1_300, 2, 1)));
    let data = data(&page);
    assert_eq!(data["grain"], "namespaces");
    assert_eq!(data["ends"].as_array().unwrap().len(), 1_200);
    assert_eq!(data["whole"], 1_301);
    assert!(page.contains("1500 of 2600 policies are told"));
    println!("{} kB", page.len() / 1000);
    assert!(page.len() < 10_000_000, "{} bytes", page.len());
}

#[test]
fn a_name_is_of_the_range_that_people_mean() {
    let inventory = inventory([
        Event::PodApplied(pod("shop/web").at("10.0.0.1")),
        Event::PolicyApplied(policy("shop/web").allowing_to([rule([block("203.0.113.0/24", &[])])])),
    ]);
    let reach = Reach::of(&inventory.state);
    let rows = Rows::of(&reach, &Names::of(&inventory, &reach), Grain::Classes, 100);
    let names: Vec<String> = rows.all.iter().map(super::ends::Row::full_name).collect();
    assert_eq!(
        names,
        ["shop/web", "other IPv4 addresses", "203.0.113.0/24"],
        "no pod has an IPv6 address"
    );
}

#[test]
fn words_of_a_page_are_those_of_the_policy() {
    let web = policy("shop/web")
        .selecting(&[("app", "web")])
        .allowing_from([rule([pods(&[("app", "client")])]).on_ports([port(Protocol::Tcp, 80)])]);
    assert!(web.subject.matches(&labels(&[("app", "web")])) && web.subject == selector(&[("app", "web")]));
    let page = page(&inventory([
        Event::PodApplied(pod("shop/web").labelled(&[("app", "web")]).at("10.0.0.1")),
        Event::PolicyApplied(web),
    ]));
    assert!(page.contains("Applies to 1 pod with app=web in shop. Isolates it for ingress."));
    assert!(
        page.contains(
            "<li id=\"policy/shop/web/ingress/1\">from pods with app=client in shop, on TCP 80</li>"
        )
    );
}

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
