//! What goes wrong changes nothing and says what it was.

use palisade_enforcer::nft::model::{Chain, Match, Rule, TableKey, Verdict};
use palisade_enforcer::nft::{CommitError, Generation, Kernel, diff};

use crate::namespace::{Namespace, load, read};
use crate::sample::{every_form, in_set, name, triple};
use palisade_enforcer::nft::model::Field;

#[tokio::test]
async fn a_refused_operation_in_the_middle_leaves_everything_as_it_was_and_is_named() {
    let namespace = Namespace::new();
    let kernel = namespace.kernel();
    let before = every_form();
    let generation = load(&kernel, &before).await;
    let mut after = before.clone();
    let table = after.tables.get_mut(&TableKey::Inet).expect("the table");
    table
        .set_mut(&name("triples4"))
        .expect("the set")
        .elements
        .insert(triple("10.0.0.9", 6, 8080));
    let lost = in_set(&[Field::SourceV4], "not_there");
    let rules = vec![Rule::new([lost], Verdict::Accept)];
    table.chains.insert(
        name("broken"),
        Chain {
            rules,
            ..Chain::default()
        },
    );
    assert!(after.check().is_err(), "the check would have said so");
    let listing = namespace.listing();
    match kernel.commit(&diff(&before, &after), generation).await {
        Err(error @ CommitError::Refused { .. }) => {
            assert_eq!(error.reason(), "Refused");
            let CommitError::Refused { operation, errno, .. } = error else {
                unreachable!()
            };
            assert_eq!(operation, "add rule inet palisade/broken");
            assert_eq!(errno, rustix::io::Errno::NOENT.raw_os_error());
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(namespace.listing(), listing);
    let loaded = read(&kernel).await;
    assert_eq!((loaded.generation, loaded.ruleset), (generation, before));
}

#[tokio::test]
async fn an_element_that_is_there_already_is_refused_by_name() {
    let namespace = Namespace::new();
    let kernel = namespace.kernel();
    let ruleset = every_form();
    let generation = load(&kernel, &ruleset).await;
    let mut mirror = ruleset.clone();
    let table = mirror.tables.get_mut(&TableKey::Inet).expect("the table");
    table
        .set_mut(&name("triples4"))
        .expect("the set")
        .elements
        .clear();
    match kernel.commit(&diff(&mirror, &ruleset), generation).await {
        Err(CommitError::Refused { operation, errno, .. }) => {
            assert_eq!(operation, "add set elements in inet palisade/triples4");
            assert_eq!(errno, rustix::io::Errno::EXIST.raw_os_error());
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn many_refused_operations_are_told_in_a_few_words() {
    let namespace = Namespace::new();
    let kernel = namespace.kernel();
    let mut mirror = every_form();
    let generation = load(&kernel, &mirror).await;
    let table = mirror.tables.get_mut(&TableKey::Inet).expect("the table");
    for index in 0..5_000 {
        let rules = vec![Rule::new([Match::Protocol(6)], Verdict::Accept)];
        table.chains.insert(
            name(&format!("phantom_{index}")),
            Chain {
                rules,
                ..Chain::default()
            },
        );
    }
    match kernel.commit(&diff(&mirror, &every_form()), generation).await {
        Err(error) => assert!(error.to_string().len() < 1_000, "{error}"),
        Ok(_) => panic!("phantoms were deleted"),
    }
    assert_eq!(read(&kernel).await.ruleset, every_form(), "and nothing was done");
}

#[tokio::test]
async fn a_change_planned_against_an_older_generation_is_refused() {
    let namespace = Namespace::new();
    let kernel = namespace.kernel();
    let ruleset = every_form();
    let generation = load(&kernel, &ruleset).await;
    namespace.nft("add table ip other");
    let after = every_form();
    let mut before = after.clone();
    before.tables.remove(&TableKey::Bridge);
    match kernel.commit(&diff(&ruleset, &before), generation).await {
        Err(error @ CommitError::Stale { expected }) => {
            assert_eq!((error.reason(), expected), ("Stale", generation));
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(read(&kernel).await.ruleset, ruleset);
}

#[test]
fn the_generation_after_the_last_is_one() {
    assert_eq!(Generation(7).next(), Generation(8));
    assert_eq!(Generation(u32::MAX).next(), Generation(1));
}
