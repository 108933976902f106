//! The page against what it is made from.

use palisade_policy::cluster::{ClusterState, Event};
use palisade_policy::model::{Peers, Protocol, Requirement, Rule};
use palisade_policy::reach::Reach;
use palisade_policy::testing::builders::{
    block, labels, namespace, pod, pods, pods_in, policy, port, rule, selector,
};
use serde_json::Value;

use super::ends::{Grain, Rows};
use super::matrix::Matrix;
use super::names::Names;
use super::{About, render};
use crate::inventory::{Inventory, ObjectRef, Place, Places};
use crate::lint::lint;

/// Nothing is written anywhere.
pub(super) struct Nowhere;

impl Places for Nowhere {
    fn place(&self, _object: &ObjectRef, _field: Option<&str>) -> Option<Place> {
        None
    }
}

pub(super) fn about() -> About {
    About {
        source: "a test".to_owned(),
        time: "2026-11-25 16:00 UTC".to_owned(),
    }
}

pub(super) fn inventory(events: impl IntoIterator<Item = Event>) -> Inventory {
    Inventory {
        state: ClusterState::from_events(events),
        ..Inventory::default()
    }
}

pub(super) fn page(inventory: &Inventory) -> String {
    let reach = Reach::of(&inventory.state);
    render(inventory, &reach, &lint(inventory), &Nowhere, &about()).unwrap()
}

pub(super) fn data(page: &str) -> Value {
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
fn a_page_of_ten_thousand_pods_has_all_of_them_and_three_megabytes_at_most() {
    let page = page(&inventory(cluster(100, 10, 10)));
    let data = data(&page);
    assert_eq!(data["grain"], "classes");
    assert_eq!(data["singles"], true);
    let ends = data["ends"].as_array().unwrap().iter();
    let singles = ends.filter_map(|end| end["singles"].as_array()).map(Vec::len);
    assert_eq!(singles.sum::<usize>(), 10_000);
    assert_eq!(page.matches("<article").count(), 1000);
    println!("{} kB", page.len() / 1000);
    assert!(page.len() < 3_000_000, "{} bytes", page.len());
}

#[test]
fn a_page_has_single_pods_with_what_people_look_for_or_none() {
    let mut inventory = inventory([
        Event::PodApplied(
            pod("shop/web-0")
                .labelled(&[("app", "web"), ("shard", "0")])
                .at("10.0.0.1"),
        ),
        Event::PodApplied(
            pod("shop/web-1")
                .labelled(&[("app", "web"), ("shard", "1")])
                .at("10.0.0.2"),
        ),
    ]);
    let mut page_data = data(&page(&inventory));
    assert_eq!(page_data["ends"][0]["detail"], "app=web");
    assert_eq!(
        page_data["ends"][0]["singles"],
        serde_json::json!([["web-0", "10.0.0.1", 0], ["web-1", "10.0.0.2", 1]])
    );
    assert_eq!(page_data["labels"], serde_json::json!(["shard=0", "shard=1"]));
    // A made-up address is nothing that somebody looks for.
    inventory.placeholders = inventory.state.pods().keys().cloned().collect();
    page_data = data(&page(&inventory));
    assert_eq!(
        page_data["ends"][0]["singles"],
        serde_json::json!([["web-0", "", 0], ["web-1", "", 1]])
    );

    let name = "x".repeat(240);
    let many = (0..5_000_u32).map(|number| {
        let address = std::net::Ipv4Addr::from(0x0a00_0001 + number);
        Event::PodApplied(pod(&format!("shop/{name}-{number:05}")).at(&address.to_string()))
    });
    let page_data = data(&page(&self::inventory(many)));
    assert_eq!(page_data["singles"], false);
    assert_eq!(page_data["ends"][0].get("singles"), None);
}

#[test]
fn a_cell_of_namespaces_says_where_it_speaks_of_a_part() {
    let inventory = inventory(cluster(2, 2, 1));
    let reach = Reach::of(&inventory.state);
    let rows = Rows::of(&reach, &Names::of(&inventory, &reach), Grain::Namespaces, 100);
    let matrix = Matrix::of(&reach, &rows);
    let cells = matrix.row(0).map(|cell| (&*cell.short, &*cell.text));
    assert_eq!(
        cells.collect::<Vec<_>>(),
        [
            ("part 8000-8001", "8000-8001/TCP, not between all of them"),
            ("part 8000-8001", "8000-8001/TCP, not between all of them"),
            ("all", "all"),
        ]
    );
}

#[test]
fn two_families_that_say_the_same_say_it_once() {
    let cells = |addresses: &[&str]| {
        let mut web = pod("shop/web").labelled(&[("app", "web")]).at("10.0.0.1");
        let mut other = pod("shop/other").at("10.0.0.2");
        for address in addresses {
            web = web.at(&format!("{address}1"));
            other = other.at(&format!("{address}2"));
        }
        let allowed = rule([]).on_ports([port(Protocol::Tcp, 443)]);
        let everybody = Rule {
            peers: Peers::All,
            ..allowed
        };
        let inventory = inventory([
            Event::PodApplied(web),
            Event::PodApplied(other),
            Event::PolicyApplied(
                policy("shop/web")
                    .selecting(&[("app", "web")])
                    .allowing_from([everybody]),
            ),
        ]);
        data(&page(&inventory))["cells"].clone()
    };
    assert_eq!(cells(&["fd00::"]), cells(&[]));
}

#[test]
fn without_pods_a_page_does_not_say_that_policies_select_none() {
    let web = policy("shop/web").selecting(&[("app", "web")]).allowing_from([]);
    let page = page(&inventory([Event::PolicyApplied(web)]));
    assert!(page.contains("Applies to pods with app=web in shop. Isolates them for ingress."));
    assert!(page.contains("no pods were read for them to select"));
    assert!(!page.contains("of which there are none"));
    assert!(self::page(&Inventory::default()).contains("every connection is allowed"));
}

#[test]
fn a_rule_of_many_peers_is_there_in_full() {
    let blocks = (0..14).map(|number| block(&format!("10.{number}.0.0/16"), &[]));
    let page = page(&inventory([
        Event::PodApplied(pod("shop/web").at("10.0.0.1")),
        Event::PolicyApplied(policy("shop/web").allowing_to([rule(blocks)])),
    ]));
    let (_, rest) = page.split_once("<li id=\"policy/shop/web/egress/1\">").unwrap();
    let (short, full) = rest
        .split_once("<details class=\"full\"><summary>In full</summary>")
        .unwrap();
    assert!(
        short.ends_with("or 2 more, on every port and protocol"),
        "{short}"
    );
    assert!(full.split_once("</details>").unwrap().0.contains("10.13.0.0/16"));
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
