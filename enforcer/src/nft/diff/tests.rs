use super::*;
use crate::nft::model::{Field, Hook, KeyType, Part};

fn name(text: &str) -> Name {
    Name::new(text).expect("a name")
}

fn key(last: u8) -> Element {
    Element::new(&[Part::address([10, 0, 0, last])])
}

/// A base chain that looks into a set and a map, whose entries go to a profile.
fn sample() -> Ruleset {
    let condition = Match::InSet {
        key: vec![Field::SourceV4],
        set: name("peers"),
        negated: false,
    };
    let lookup = Verdict::Map {
        key: vec![Field::DestinationV4],
        map: name("pods"),
    };
    let mut peers = Set::hash([KeyType::Ipv4Address]);
    peers.elements = (1..=9).map(key).collect();
    let mut pods = VerdictMap::new([KeyType::Ipv4Address]);
    let entry = MapEntry {
        verdict: Verdict::Goto(name("profile")),
        comment: None,
    };
    pods.elements = (1..=9).map(|last| (key(last), entry.clone())).collect();
    let base = Chain {
        hook: Some(Hook::Forward { priority: 0 }),
        comment: None,
        rules: vec![Rule::new([], lookup), Rule::new([], Verdict::Drop)],
    };
    let profile = Chain {
        hook: None,
        comment: None,
        rules: vec![Rule::new([condition], Verdict::Accept)],
    };
    let table = Table {
        comment: None,
        chains: [(name("base"), base), (name("profile"), profile)].into(),
        sets: [(name("peers"), peers.into())].into(),
        maps: [(name("pods"), pods)].into(),
    };
    let ruleset = Ruleset {
        tables: [(TableKey::Inet, table)].into(),
    };
    ruleset.check().expect("a consistent ruleset");
    ruleset
}

fn changed(change: impl FnOnce(&mut Table)) -> (Ruleset, Ruleset) {
    let before = sample();
    let mut after = before.clone();
    change(after.tables.get_mut(&TableKey::Inet).expect("the table"));
    (before, after)
}

fn counts(change: impl FnOnce(&mut Table)) -> Counts {
    let (before, after) = changed(change);
    diff(&before, &after).counts()
}

#[test]
fn equal_rulesets_need_no_operation() {
    assert!(diff(&sample(), &sample()).is_empty());
    assert!(diff(&Ruleset::default(), &Ruleset::default()).is_empty());
}

#[test]
fn an_element_more_or_less_is_one_element() {
    let more = counts(|table| {
        table
            .set_mut(&name("peers"))
            .expect("the set")
            .elements
            .insert(key(77));
    });
    assert_eq!(
        more,
        Counts {
            elements_added: 1,
            ..Counts::default()
        }
    );
    let less = counts(|table| {
        table
            .set_mut(&name("peers"))
            .expect("the set")
            .elements
            .remove(&key(3));
    });
    assert_eq!(
        less,
        Counts {
            elements_removed: 1,
            ..Counts::default()
        }
    );
}

#[test]
fn a_new_profile_costs_its_chain_and_the_entries_that_go_there() {
    let counts = counts(|table| {
        table.chains.insert(
            name("other"),
            Chain {
                rules: vec![Rule::new([], Verdict::Drop)],
                ..Chain::default()
            },
        );
        let entry = MapEntry {
            verdict: Verdict::Goto(name("other")),
            comment: None,
        };
        table
            .maps
            .get_mut(&name("pods"))
            .expect("the map")
            .elements
            .insert(key(1), entry);
    });
    let expected = Counts {
        chains_created: 1,
        rules_added: 1,
        entries_added: 1,
        entries_removed: 1,
        ..Counts::default()
    };
    assert_eq!(counts, expected);
}

#[test]
fn a_chain_with_another_comment_is_made_anew_with_the_entries_that_go_there() {
    let counts = counts(|table| {
        let chain = table.chains.get_mut(&name("profile")).expect("the chain");
        chain.comment = Some(crate::nft::model::Comment::fit("shop/web"));
    });
    let expected = Counts {
        chains_flushed: 1,
        chains_deleted: 1,
        chains_created: 1,
        rules_added: 1,
        entries_added: 9,
        entries_removed: 9,
        ..Counts::default()
    };
    assert_eq!(counts, expected);
}

#[test]
fn a_set_with_another_key_is_made_anew_and_the_rules_that_look_there_are_written_again() {
    let counts = counts(|table| {
        table.set_mut(&name("peers")).expect("the set").interval = true;
    });
    let expected = Counts {
        chains_flushed: 1,
        rules_added: 1,
        sets_deleted: 1,
        sets_created: 1,
        elements_added: 9,
        ..Counts::default()
    };
    assert_eq!(counts, expected);
}

#[test]
fn a_name_may_be_a_set_before_and_a_map_after() {
    let (before, after) = changed(|table| {
        let set = table.sets.remove(&name("peers")).expect("the set");
        table.chains.get_mut(&name("profile")).expect("the chain").rules = vec![Rule::new(
            [],
            Verdict::Map {
                key: vec![Field::SourceV4],
                map: name("peers"),
            },
        )];
        table.maps.insert(name("peers"), VerdictMap::new(set.key.clone()));
    });
    after.check().expect("a consistent ruleset");
    let change = diff(&before, &after);
    let place = |wanted: fn(&Operation<'_>) -> bool| change.operations().iter().position(wanted);
    let deleted = place(|operation| matches!(operation, Operation::DeleteSet { .. }));
    let created = place(|operation| matches!(operation, Operation::CreateMap { .. }));
    assert!(deleted.is_some() && deleted < created, "{change:?}");
}

#[test]
fn a_foreign_rule_costs_its_chain_and_a_foreign_object_itself() {
    let ruleset = sample();
    let mut loaded = Loaded {
        ruleset: ruleset.clone(),
        ..Loaded::default()
    };
    let foreign = Foreign {
        chains: [name("profile")].into(),
        ..Foreign::default()
    };
    loaded.foreign.insert(TableKey::Inet, foreign);
    let expected = Counts {
        chains_flushed: 1,
        rules_added: 1,
        ..Counts::default()
    };
    assert_eq!(repair(&loaded, &ruleset).counts(), expected);

    let stray = |stray| Foreign {
        strays: [stray].into(),
        ..Foreign::default()
    };
    loaded
        .foreign
        .insert(TableKey::Inet, stray(Stray::Set("marks".into())));
    let expected = Counts {
        strays_deleted: 1,
        ..Counts::default()
    };
    assert_eq!(repair(&loaded, &ruleset).counts(), expected);
}

#[test]
fn what_is_in_the_way_or_cannot_be_deleted_costs_the_table() {
    let ruleset = sample();
    let stray = Foreign {
        strays: [Stray::Chain("base".into())].into(),
        ..Foreign::default()
    };
    let flags = Foreign {
        rest: vec!["flags".into()],
        ..Foreign::default()
    };
    for foreign in [stray, flags] {
        let loaded = Loaded {
            ruleset: ruleset.clone(),
            foreign: [(TableKey::Inet, foreign)].into(),
            ..Loaded::default()
        };
        assert_eq!(repair(&loaded, &ruleset), rebuild(&ruleset, &ruleset));
    }
}
