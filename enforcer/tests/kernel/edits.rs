//! What others do to our tables is seen, and undone.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use palisade_enforcer::nft::model::{Ruleset, TableKey};
use palisade_enforcer::nft::{CommitError, Edit, Edits, Generation, Kernel, Loaded, diff, repair};

use crate::namespace::{Namespace, assert_eq_listing, load, read};
use crate::sample::{every_form, name, triple};

/// The edits that others were seen to make. None is waited for longer than this.
async fn next(edits: &mut Edits) -> Edit {
    tokio::time::timeout(Duration::from_secs(10), edits.next())
        .await
        .expect("an edit is seen")
        .expect("events")
}

async fn edit_and_repair(script: &str, is_seen: impl Fn(&Loaded, &Ruleset) -> bool) {
    let namespace = Namespace::new();
    let kernel = namespace.kernel();
    let ruleset = every_form();
    load(&kernel, &ruleset).await;
    let listing = namespace.listing();
    let mut edits = kernel.edits().await.expect("events");
    namespace.nft(script);
    let loaded = read(&kernel).await;
    match next(&mut edits).await {
        Edit::Edited {
            generation,
            process,
            pid,
        } => {
            assert_eq!(generation, loaded.generation, "{script}");
            assert_eq!(process.as_deref(), Some("nft"), "{script}");
            assert!(pid.is_some());
        }
        other => panic!("{other:?} after {script}"),
    }
    assert!(is_seen(&loaded, &ruleset), "{script}: {:?}", loaded.foreign);
    let change = repair(&loaded, &ruleset);
    assert!(!change.is_empty(), "{script}");
    kernel.commit(&change, loaded.generation).await.expect("repaired");
    let repaired = read(&kernel).await;
    assert_eq!(repaired.ruleset, ruleset, "{script}");
    assert!(repaired.foreign.is_empty());
    assert_eq_listing(&namespace.listing(), &listing, script);
}

fn in_words(loaded: &Loaded, ruleset: &Ruleset) -> bool {
    loaded.foreign.is_empty() && loaded.ruleset != *ruleset
}

fn in_a_chain(loaded: &Loaded, _: &Ruleset) -> bool {
    loaded
        .foreign
        .values()
        .any(|foreign| !foreign.chains.is_empty() && foreign.rest.is_empty())
}

fn in_strays(loaded: &Loaded, _: &Ruleset) -> bool {
    loaded.foreign.values().any(|foreign| !foreign.strays.is_empty())
}

fn in_the_rest(loaded: &Loaded, _: &Ruleset) -> bool {
    loaded.foreign.values().any(|foreign| !foreign.rest.is_empty())
}

#[tokio::test]
async fn edits_that_the_model_can_say_are_undone_one_by_one() {
    for script in [
        "insert rule inet palisade profile accept",
        "flush chain inet palisade profile",
        "delete element inet palisade triples4 { 10.0.0.1 . tcp . 80 }",
        "add element inet palisade nets4 { 192.168.0.0/16 }",
        "delete element inet palisade nets4 { 255.0.0.0/8 }",
        "delete element inet palisade ranges4 { 10.0.0.0/24 . tcp . 1-65535 }",
        "add element inet palisade ingress6 { \"eth9\" . fd00::9 : accept }",
        "delete element inet palisade egress4 { \"cali0123456789a\" . 10.0.0.0 }",
        "add chain inet palisade more; add rule inet palisade more goto profile; add rule inet palisade forward jump more",
        "add set inet palisade extra { type ipv4_addr; comment \"mine\"; }",
        "add table bridge palisade; delete table bridge palisade",
        "flush ruleset",
    ] {
        edit_and_repair(script, in_words).await;
    }
}

#[tokio::test]
async fn a_rule_that_the_model_cannot_say_costs_its_chain() {
    for script in [
        "add rule inet palisade profile log prefix \"x\"",
        "insert rule inet palisade forward tcp sport 1 accept",
        "add rule inet palisade ending ip saddr { 10.0.0.1, 10.0.0.2 } accept",
        "add rule netdev palisade from_lo meta mark 5 accept",
        "add rule inet palisade profile accept comment \"say \\\\ it\"",
    ] {
        edit_and_repair(script, in_a_chain).await;
    }
}

#[tokio::test]
async fn an_object_that_the_model_cannot_say_is_deleted() {
    for script in [
        "add counter inet palisade c1",
        "add set inet palisade marks { type mark; }",
        "add set inet palisade timed { type ipv4_addr; timeout 5m; }",
        "add map inet palisade ports { type ipv4_addr : inet_service; }",
        "add chain inet palisade Loud { }",
        "add chain inet palisade nat1 { type nat hook postrouting priority 100; }",
        "add chain inet palisade forward { policy drop; }",
    ] {
        edit_and_repair(script, in_strays).await;
    }
}

#[tokio::test]
async fn a_flag_on_a_table_costs_the_table() {
    edit_and_repair("add table inet palisade { flags dormant; }", in_the_rest).await;
}

#[tokio::test]
async fn own_commits_and_other_tables_are_no_edits() {
    let namespace = Namespace::new();
    let kernel = namespace.kernel();
    let mut edits = kernel.edits().await.expect("events");
    let ruleset = every_form();
    load(&kernel, &ruleset).await;
    namespace.nft("add table inet other; add table ip palisade; delete table ip palisade");
    let loaded = read(&kernel).await;
    let mut more = ruleset.clone();
    let set = more
        .tables
        .get_mut(&TableKey::Inet)
        .and_then(|table| table.set_mut(&name("triples4")));
    set.expect("the set").elements.insert(triple("10.0.0.77", 6, 1));
    let generation = kernel
        .commit(&diff(&ruleset, &more), loaded.generation)
        .await
        .expect("committed");
    namespace.nft("add rule inet palisade ending accept");
    // Own commits are not told of at all, and of those to other tables only that they were.
    let mut told = next(&mut edits).await;
    while matches!(told, Edit::Elsewhere { .. }) {
        told = next(&mut edits).await;
    }
    match told {
        Edit::Edited {
            generation: edited, ..
        } => assert_eq!(edited, generation.next()),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_commit_to_another_table_is_told_of_with_its_generation() {
    let namespace = Namespace::new();
    let kernel = namespace.kernel();
    load(&kernel, &every_form()).await;
    let before = read(&kernel).await.generation;
    let mut edits = kernel.edits().await.expect("events");
    namespace.nft("add table ip other");
    assert_eq!(
        next(&mut edits).await,
        Edit::Elsewhere {
            generation: before.next()
        }
    );
}

/// During a large commit of ours nobody listens: what others commit meanwhile is noticed by the generation.
#[tokio::test(flavor = "multi_thread")]
async fn whatever_others_commit_beside_large_commits_is_noticed() {
    const COMMITS: usize = 20;
    const OTHERS: usize = 12;
    let namespace = Arc::new(Namespace::new());
    let kernel = namespace.kernel();
    let mut edits = kernel.edits().await.expect("events");
    let [few, many] = [1_u32, 20_000].map(|count| {
        let mut ruleset = every_form();
        let table = ruleset.tables.get_mut(&TableKey::Inet).expect("the table");
        let set = table.set_mut(&name("triples4")).expect("the set");
        set.elements
            .extend((0..count).map(|number| triple(&Ipv4Addr::from(0x0b00_0000 + number).to_string(), 6, 1)));
        ruleset
    });
    let mut known = Some(load(&kernel, &few).await);
    let (mut unheard, mut heard, mut stale) = (0, 0, 0);
    for nth in 0..COMMITS {
        let (from, to) = if nth % 2 == 0 {
            (&few, &many)
        } else {
            (&many, &few)
        };
        let others = Arc::clone(&namespace);
        let others =
            tokio::task::spawn_blocking(move || others.nft("add table ip other; delete table ip other"));
        loop {
            while let Some(edit) = told(&mut edits).await {
                follow(&mut known, edit, &mut heard);
            }
            let loaded = match known {
                Some(generation) => generation,
                None => read(&kernel).await.generation,
            };
            match kernel.commit(&diff(from, to), loaded).await {
                Ok(generation) => known = Some(generation),
                Err(CommitError::OutcomeUnknown { .. }) => {
                    (unheard, known) = (unheard + 1, None);
                    assert_eq!(read(&kernel).await.ruleset, *to, "it was done all the same");
                }
                Err(CommitError::Stale { .. }) => {
                    (stale, known) = (stale + 1, None);
                    continue;
                }
                Err(other) => panic!("{other}"),
            }
            break;
        }
        others.await.expect("another commits");
    }
    println!(
        "of {} commits of others {heard} were heard, {stale} made ours stale, {unheard} were noticed afterwards",
        COMMITS * OTHERS
    );
    // Whatever is believed at the end is so, once everything that was told has been heard.
    let generation = read(&kernel).await.generation;
    while known.is_some_and(|known| known != generation) {
        follow(&mut known, next(&mut edits).await, &mut heard);
    }
}

/// An edit that has been told already.
async fn told(edits: &mut Edits) -> Option<Edit> {
    let waited = tokio::time::timeout(Duration::ZERO, edits.next()).await;
    waited.ok().map(|edit| edit.expect("events"))
}

/// What a node makes of a commit to another table.
fn follow(known: &mut Option<Generation>, edit: Edit, heard: &mut u32) {
    match edit {
        Edit::Elsewhere { generation } => {
            *heard += 1;
            if known.is_some_and(|known| known.next() == generation) {
                *known = Some(generation);
            }
        }
        other => panic!("{other:?}"),
    }
}
