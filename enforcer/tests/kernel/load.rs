//! What is loaded is what was meant, and nothing else changes.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Instant;

use palisade_enforcer::nft::json::{normalise, render};
use palisade_enforcer::nft::model::{
    Chain, Comment, Element, Field, KeyType, MapEntry, Part, Rule, Ruleset, Set, TableKey, Verdict,
};
use palisade_enforcer::nft::{Counts, Kernel, diff, rebuild, repair};

use crate::namespace::{Namespace, assert_eq_listing, load, read};
use crate::sample::{TRIPLE, address, every_form, in_set, interface, name, triple};

#[tokio::test]
async fn what_is_loaded_by_netlink_lists_as_the_rendered_document() {
    let namespace = Namespace::new();
    let kernel = namespace.kernel();
    let ruleset = every_form();
    load(&kernel, &ruleset).await;
    let rendered = normalise(render(&ruleset).expect("a document"));
    assert_eq_listing(
        &namespace.listing(),
        &rendered,
        &namespace.list(&["list", "ruleset"]),
    );
}

#[tokio::test]
async fn reading_gives_the_ruleset_back_and_nothing_is_left_to_do() {
    let namespace = Namespace::new();
    let kernel = namespace.kernel();
    let ruleset = every_form();
    let generation = load(&kernel, &ruleset).await;
    let loaded = read(&kernel).await;
    assert!(loaded.foreign.is_empty(), "{:?}", loaded.foreign);
    assert_eq!(loaded.ruleset, ruleset);
    let change = repair(&loaded, &ruleset);
    assert!(change.is_empty());
    assert_eq!(
        kernel.commit(&change, generation).await.expect("nothing to do"),
        generation
    );
    assert_eq!(read(&kernel).await.generation, generation, "nothing was sent");
}

#[tokio::test]
async fn the_rendered_document_is_one_that_nft_takes() {
    let namespace = Namespace::new();
    let document = render(&every_form()).expect("a document").to_string();
    let output = namespace.nft_with(&["--check", "-j", "-f", "-"], &document);
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

#[tokio::test]
async fn what_nft_loads_from_the_document_reads_back_as_the_same_ruleset() {
    let namespace = Namespace::new();
    let mut ruleset = every_form();
    let output = namespace.nft_with(
        &["-j", "-f", "-"],
        &render(&ruleset).expect("a document").to_string(),
    );
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    // nft 1.0.6 neither reads these from JSON nor writes every rule with the same expressions.
    for table in ruleset.tables.values_mut() {
        table
            .sets
            .values_mut()
            .for_each(|set| Arc::make_mut(set).comment = None);
        table.maps.values_mut().for_each(|map| map.comment = None);
    }
    let loaded = read(&namespace.kernel()).await;
    assert!(
        loaded
            .foreign
            .values()
            .all(|foreign| foreign.strays.is_empty() && foreign.rest.is_empty()),
        "{:?}",
        loaded.foreign
    );
    for (key, table) in &ruleset.tables {
        let found = &loaded.ruleset.tables[key];
        assert_eq!(found.sets, table.sets);
        assert_eq!(found.maps, table.maps);
    }
}

#[tokio::test]
async fn one_element_more_is_one_element_sent() {
    let namespace = Namespace::new();
    let kernel = namespace.kernel();
    let before = every_form();
    let generation = load(&kernel, &before).await;
    let mut after = before.clone();
    let set = after
        .tables
        .get_mut(&TableKey::Inet)
        .and_then(|table| table.set_mut(&name("triples4")));
    set.expect("the set").elements.insert(triple("10.0.0.9", 6, 8080));
    let change = diff(&before, &after);
    assert_eq!(
        change.counts(),
        Counts {
            elements_added: 1,
            ..Counts::default()
        }
    );
    assert_eq!(
        kernel.commit(&change, generation).await.expect("added"),
        generation.next()
    );
    assert_eq!(read(&kernel).await.ruleset, after);
    let back = diff(&after, &before);
    assert_eq!(
        back.counts(),
        Counts {
            elements_removed: 1,
            ..Counts::default()
        }
    );
    kernel.commit(&back, generation.next()).await.expect("removed");
    assert_eq!(read(&kernel).await.ruleset, before);
}

#[tokio::test]
async fn a_changed_verdict_is_one_entry_and_its_other_keys_stay() {
    let namespace = Namespace::new();
    let kernel = namespace.kernel();
    let before = every_form();
    let generation = load(&kernel, &before).await;
    let mut after = before.clone();
    let map = after
        .tables
        .get_mut(&TableKey::Inet)
        .and_then(|table| table.maps.get_mut(&name("egress4")));
    let key = Element::new(&[
        Part::interface(&interface("cali0123456789a")),
        address("10.0.0.1"),
    ]);
    let entry = MapEntry {
        verdict: Verdict::Goto(name("profile")),
        comment: None,
    };
    assert!(map.expect("the map").elements.insert(key, entry).is_some());
    let change = diff(&before, &after);
    assert_eq!(
        change.counts(),
        Counts {
            entries_added: 1,
            entries_removed: 1,
            ..Counts::default()
        }
    );
    kernel.commit(&change, generation).await.expect("changed");
    assert_eq!(read(&kernel).await.ruleset, after);
}

#[tokio::test]
async fn other_rules_of_a_chain_replace_the_old_ones_in_the_same_commit() {
    let namespace = Namespace::new();
    let kernel = namespace.kernel();
    let before = every_form();
    let generation = load(&kernel, &before).await;
    let mut after = before.clone();
    let chain = after
        .tables
        .get_mut(&TableKey::Inet)
        .and_then(|table| table.chains.get_mut(&name("profile")));
    chain.expect("the chain").rules = vec![Rule::new([], Verdict::Drop)];
    let change = diff(&before, &after);
    assert_eq!(
        change.counts(),
        Counts {
            chains_flushed: 1,
            rules_added: 1,
            ..Counts::default()
        }
    );
    assert_eq!(
        kernel.commit(&change, generation).await.expect("replaced"),
        generation.next()
    );
    assert_eq!(read(&kernel).await.ruleset, after);
}

#[tokio::test]
async fn an_object_that_cannot_change_in_place_is_made_anew_with_all_that_refers_to_it() {
    let namespace = Namespace::new();
    let kernel = namespace.kernel();
    let before = every_form();
    let generation = load(&kernel, &before).await;
    let mut after = before.clone();
    let table = after.tables.get_mut(&TableKey::Inet).expect("the table");
    table.chains.get_mut(&name("profile")).expect("the chain").comment = None;
    let set = table.set_mut(&name("triples4")).expect("the set");
    set.interval = true;
    table.maps.get_mut(&name("egress4")).expect("the map").comment = None;
    let netdev = after.tables.get_mut(&TableKey::Netdev).expect("the table");
    netdev.comment = Some(Comment::fit("another"));
    after.tables.remove(&TableKey::Bridge);
    after.check().expect("a consistent ruleset");
    let change = diff(&before, &after);
    kernel.commit(&change, generation).await.expect("made anew");
    assert_eq!(read(&kernel).await.ruleset, after);
    let again = rebuild(&after, &before);
    kernel.commit(&again, generation.next()).await.expect("rebuilt");
    assert_eq!(read(&kernel).await.ruleset, before);
}

#[tokio::test]
async fn tables_of_others_stay_word_for_word_and_cleanup_takes_only_ours() {
    let namespace = Namespace::new();
    namespace.nft(
        "add table inet filter
         add set inet filter s { type ipv4_addr; elements = { 10.0.0.1 }; }
         add chain inet filter palisade { type filter hook forward priority 0; }
         add rule inet filter palisade ip saddr @s counter accept
         add table ip palisade
         add chain ip palisade c
         add rule ip palisade c counter drop
         add table ip6 other
         add map ip6 other m { type inet_service : verdict; elements = { 80 : accept }; }",
    );
    let others = || {
        ["inet filter", "ip palisade", "ip6 other"].map(|table| {
            namespace.list(
                &[
                    &["-a", "list", "table"][..],
                    &table.split(' ').collect::<Vec<_>>(),
                ]
                .concat(),
            )
        })
    };
    let before = others();
    let kernel = namespace.kernel();
    let ruleset = every_form();
    load(&kernel, &ruleset).await;
    assert_eq!(others(), before);
    load(
        &kernel,
        &Ruleset {
            tables: ruleset.tables.into_iter().take(1).collect(),
        },
    )
    .await;
    assert_eq!(others(), before);
    assert_eq!(kernel.delete_tables().await.expect("deleted"), [TableKey::Inet]);
    assert_eq!(others(), before);
    let generation = read(&kernel).await.generation;
    assert_eq!(kernel.delete_tables().await.expect("nothing there"), []);
    assert_eq!(read(&kernel).await.generation, generation, "nothing was sent");
}

#[tokio::test]
async fn counters_are_told_rule_by_rule() {
    let namespace = Namespace::new();
    let kernel = namespace.kernel();
    load(&kernel, &every_form()).await;
    let counters = kernel.counters().await.expect("the kernel is read");
    let forward = &counters[&TableKey::Inet]["forward"];
    assert_eq!(
        forward.iter().map(Option::is_some).collect::<Vec<_>>(),
        [true, false, false, true, false, true, false, false, false]
    );
    assert!(counters[&TableKey::Inet]["ending"].is_empty());
}

#[tokio::test]
async fn fifty_thousand_elements_go_in_one_transaction_and_one_more_alone() {
    let namespace = Namespace::new();
    let kernel = namespace.kernel();
    let mut before = Ruleset::default();
    let table = before.tables.entry(TableKey::Inet).or_default();
    let element = |index: u32| {
        let address = Part::address(Ipv4Addr::from_bits(0x0a00_0000 + index));
        Element::new(&[address, Part::protocol(6), Part::port(80)])
    };
    let elements = (0..50_000).map(element).collect();
    table.sets.insert(
        name("large"),
        Arc::new(Set {
            elements,
            ..Set::hash(TRIPLE)
        }),
    );
    let empty = read(&kernel).await.generation;
    let generation = timed("50,000 elements loaded", load(&kernel, &before)).await;
    let loaded = timed("read back", read(&kernel)).await;
    assert_eq!(loaded.generation, generation);
    assert_eq!(generation, empty.next(), "one transaction");

    let mut after = before.clone();
    let set = after
        .tables
        .get_mut(&TableKey::Inet)
        .and_then(|table| table.set_mut(&name("large")));
    set.expect("the set").elements.insert(element(50_000));
    let start = Instant::now();
    let change = repair(&loaded, &after);
    println!("compared in {:?}", start.elapsed());
    assert_eq!(
        change.counts(),
        Counts {
            elements_added: 1,
            ..Counts::default()
        }
    );
    let committed = timed("one more committed", kernel.commit(&change, generation)).await;
    assert_eq!(committed.expect("committed"), generation.next());
}

/// The kernel makes room in a set after it has filled it, while the next one reads.
#[tokio::test]
async fn a_set_that_still_grows_reads_back_whole() {
    let namespace = Namespace::new();
    let kernel = namespace.kernel();
    for round in 0..10 {
        let mut wanted = Ruleset::default();
        let table = wanted.tables.entry(TableKey::Inet).or_default();
        let elements = (0..50_000).map(|index| {
            let address = Ipv4Addr::from_bits(0x0a00_0000 + (round << 16) + index);
            Element::new(&[Part::address(address), Part::protocol(6), Part::port(80)])
        });
        let set = Set {
            elements: elements.collect(),
            ..Set::hash(TRIPLE)
        };
        table
            .sets
            .insert(name(&format!("growing_{round}")), Arc::new(set));
        let loaded = read(&kernel).await;
        let change = repair(&loaded, &wanted);
        kernel
            .commit(&change, loaded.generation)
            .await
            .expect("committed");
        assert!(read(&kernel).await.ruleset == wanted, "round {round}");
    }
}

#[tokio::test]
async fn a_table_of_two_thousand_sets_and_twenty_thousand_rules_reads_back_whole() {
    let namespace = Namespace::new();
    let kernel = namespace.kernel();
    let mut ruleset = Ruleset::default();
    let table = ruleset.tables.entry(TableKey::Inet).or_default();
    for index in 0..2_000_u32 {
        let set = format!("set_{index}");
        let member = |last: u32| Element::new(&[Part::address(Ipv4Addr::from_bits(index << 8 | last))]);
        let elements = (0..100).map(member).collect();
        table.sets.insert(
            name(&set),
            Arc::new(Set {
                elements,
                ..Set::hash([KeyType::Ipv4Address])
            }),
        );
        let rule = || Rule::new([in_set(&[Field::SourceV4], &set)], Verdict::Accept).counted();
        let rules = (0..10).map(|_| rule()).collect();
        table.chains.insert(
            name(&format!("chain_{index}")),
            Chain {
                rules,
                ..Chain::default()
            },
        );
    }
    timed(
        "2,000 sets of 100 and 20,000 rules loaded",
        load(&kernel, &ruleset),
    )
    .await;
    let loaded = timed("read back", read(&kernel)).await;
    assert!(loaded.ruleset == ruleset && loaded.foreign.is_empty());
    assert!(repair(&loaded, &ruleset).is_empty());
}

/// Waits, and prints how long it took. A loaded machine makes no failure of it.
#[expect(clippy::print_stdout, reason = "figures are for people")]
async fn timed<T>(what: &str, work: impl Future<Output = T>) -> T {
    let start = Instant::now();
    let outcome = work.await;
    println!("{what} in {:?}", start.elapsed());
    outcome
}
