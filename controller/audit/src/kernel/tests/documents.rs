//! What a document says besides rules, and documents that nobody's kernel wrote.

use super::*;
use crate::kernel::{InvalidDocument, Unreadable};

#[test]
fn addresses_that_only_the_node_knows_are_judged() {
    let second = |document: &mut Document| {
        document.places[0] = place("u-web", "veth1", None, &["10.0.0.1", "10.0.0.77"]);
        for words in ["ip saddr", "arp saddr ip"] {
            document
                .objects
                .push(in_chain("netdev", "veth1", &[is(words, "10.0.0.77"), accept()]));
        }
    };
    let mut open = Document::new();
    second(&mut open);
    let mut closed = Document::new();
    second(&mut closed);
    closed.rules.extend([
        vec![is("ip saddr", "10.0.0.77"), is("ip daddr", "10.0.0.77"), accept()],
        vec![
            is("ip saddr", "10.0.0.2"),
            is("ip daddr", "10.0.0.77"),
            is("tcp dport", 80),
            accept(),
        ],
        vec![is("ip daddr", "10.0.0.77"), drop()],
    ]);
    let noted = closed.report().notes;
    check([
        (
            "open",
            open,
            &[
                "the kernel allows, the API denies",
                "10.0.0.77",
                "that its node knows and the API does not",
            ][..],
        ),
        ("closed", closed, &[]),
    ]);
    assert!(
        noted.iter().any(|note| note.contains("10.0.0.77 (shop/web)")),
        "{noted:?}"
    );
}

#[test]
fn a_pod_counts_as_compared_where_it_was() {
    let mut state = state();
    let mut late = pod("shop/late").on("a");
    late.uid = "u-late".into();
    late.labels = labels(&[("app", "web")]);
    state.apply(Event::PodApplied(late));
    let found = report(&state, &Document::new().json());
    assert_eq!(
        (found.agrees(), found.compared.pods),
        (true, 2),
        "{}",
        text(&[found])
    );

    let mut placed = Document::new();
    placed.places.push(place("u-late", "veth3", None, &["10.0.0.3"]));
    let found = report(&state, &placed.json());
    let told = text(std::slice::from_ref(&found));
    assert_eq!((found.agrees(), found.compared.pods), (false, 3), "{told}");
    assert!(told.contains("shop/front → 10.0.0.3, all but 80/TCP"), "{told}");
}

#[test]
fn a_pod_that_the_node_does_not_know_is_closed_or_said_to_be_open() {
    let lacking = || {
        let mut document = Document::new();
        document.places.remove(0);
        document
    };
    let mut open = lacking();
    open.rules.clear();
    let mut closed = lacking();
    closed.rules = vec![
        established(accept()),
        vec![is("ip daddr", "10.0.0.1"), drop()],
        vec![is("ip saddr", "10.0.0.1"), drop()],
    ];
    let mut bare = lacking();
    bare.objects.clear();
    bare.rules.clear();
    check([
        (
            "an empty chain",
            open,
            &[
                "the node does not know where: and it may be open",
                "10.0.0.1 1/TCP may pass",
            ][..],
        ),
        ("nothing", bare, &["and it may be open"]),
        ("closed", closed, &["the node does not know where: it is closed"]),
    ]);
}

#[test]
fn nodes_with_pods_of_which_nothing_was_read_are_named() {
    let mut state = state();
    state.apply(Event::PodApplied(pod("shop/far").on("b").at("10.0.1.1")));
    let found = report(&state, &Document::new().json());
    let told = text(&[found]);
    assert!(told.starts_with("node a: the kernel does"), "{told}");
    assert!(
        told.ends_with("not compared, although the API has pods there: b\n"),
        "{told}"
    );
}

#[test]
fn one_chain_on_nobody_knows_what_does_not_hide_the_others() {
    let mut document = Document::new();
    document.objects.retain(|object| {
        let rule = &object["rule"];
        rule["family"] != "netdev" || rule["chain"] != "veth1"
    });
    document.objects.iter_mut().for_each(|object| {
        if object["chain"]["name"] == "veth1" {
            object["chain"]["policy"] = json!("accept");
        }
    });
    let nameless = base("netdev", "z", "ingress", &json!({}));
    check([
        (
            "alone",
            Document::new().with([nameless.clone()]),
            &["chain z: it is not told which interfaces"][..],
        ),
        (
            "beside a check that is gone",
            document.with([nameless]),
            &[
                "chain z: it is not told which interfaces",
                "shop/web can send from addresses that are not its own by veth1",
            ],
        ),
    ]);
}

#[test]
fn a_table_that_may_be_dormant_is_told() {
    let mut document = Document::new();
    document.objects[0]["table"]["flags"] = json!(["dormant"]);
    check([("dormant", document, &["the table has flags"][..])]);
}

fn goto(target: &str) -> Vec<Value> {
    vec![json!({ "goto": { "target": target } })]
}

fn jump(target: &str) -> Vec<Value> {
    vec![json!({ "jump": { "target": target } })]
}

#[test]
fn chains_lead_no_further_than_in_a_kernel() {
    for count in [16, 17, 5_000] {
        let name = |number: usize| format!("c{number}");
        let chains = (0..count).map(|number| chain(&name(number)));
        let rules = (1..count).map(|number| in_chain("inet", &name(number - 1), &goto(&name(number))));
        let document = Document::new().first(jump("c0")).with(chains.chain(rules));
        let read = NodeTables::parse(document.json().to_string().as_bytes());
        let is_deep = matches!(read, Err(InvalidDocument::Tables(Unreadable::Deep { .. })));
        assert_eq!((is_deep, count), (count > 16, count));
    }
}

#[test]
fn chains_that_fork_and_join_are_asked_once() {
    // Each leads to the next by four ways: four to the fifteenth ways in all.
    let (mut jumps, mut gotos) = (
        Document::new().first(jump("c0")),
        Document::new().first(jump("c0")),
    );
    for document in [&mut jumps, &mut gotos] {
        document
            .objects
            .extend((0..16).map(|number| chain(&format!("c{number}"))));
    }
    for level in 0..15_usize {
        let (own, next) = (format!("c{level}"), format!("c{}", level + 1));
        for way in 0..4 {
            let source = is("ip saddr", format!("10.9.{level}.{way}"));
            jumps.objects.push(in_chain("inet", &own, &jump(&next)));
            let mut rule = vec![source];
            rule.extend(goto(&next));
            gotos.objects.push(in_chain("inet", &own, &rule));
        }
    }
    check([("jumps", jumps, &[][..]), ("gotos", gotos, &[])]);
}

#[test]
fn what_is_listed_twice_is_refused() {
    for object in [
        base("inet", "f", "forward", &json!({ "policy": "drop" })),
        chain("f"),
    ] {
        let document = Document::new().with([object]).json();
        let read = NodeTables::parse(document.to_string().as_bytes());
        assert!(matches!(
            read,
            Err(InvalidDocument::Tables(Unreadable::Twice { .. }))
        ));
    }
}

#[test]
fn comments_and_names_cannot_forge_lines() {
    let forged = "x\nnode b: the kernel does what the API says, for 9 pods\u{1b}[2J";
    let mut document = Document::new();
    document.rules.insert(0, jump(forged));
    document.objects.push(chain(forged));
    let mut rule = in_chain("inet", forged, &[is("tcp dport", 81), accept()]);
    rule["rule"]["comment"] = json!(forged);
    document.objects.push(rule);
    let told = text(&[document.report()]);
    assert!(told.contains("x\\nnode b"), "{told}");
    assert!(
        !told.contains('\u{1b}') && !told.lines().any(|line| line.trim_start().starts_with("node b")),
        "{told}"
    );
}
