//! Directories of documents: what is written reads back, and only what changes is touched.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests may fail like tests"
)]

mod common;

use std::fs;
use std::path::Path;

use palisade_crds::files::{self, ReadError, WriteError, Written, read, write};
use palisade_crds::{NodeRuleSet, PolicySlice, RuleSet};
use palisade_policy::compile::Published;
use palisade_policy::model::{NamespaceName, NodeName};
use palisade_policy::rules::{GroupId, SliceId, slices};
use tempfile::TempDir;

use common::cluster::{cluster, files_in, names_in};

fn web_node() -> NodeName {
    NodeName::from("node-1")
}

fn shop() -> NamespaceName {
    NamespaceName::from("shop")
}

fn frontends(published: &Published) -> GroupId {
    *published.groups.keys().next().unwrap()
}

/// How many objects tell nodes of their pods.
fn objects_of_nodes(published: &Published) -> usize {
    let nodes = published.nodes.values();
    nodes.map(|residents| 1 + residents.cut().1.len()).sum()
}

/// What both nodes read is what they would make of `published`.
#[track_caller]
fn assert_reads_as(directory: &Path, published: &Published) {
    assert_eq!(published.nodes.len(), 2);
    for node in published.nodes.keys() {
        let set = read(directory, node).unwrap();
        assert_eq!(Some(set.rules.as_ref()), published.rules(node).as_ref());
    }
}

fn counts(written: usize, unchanged: usize, deleted: usize) -> Written {
    Written {
        written,
        unchanged,
        deleted,
    }
}

#[test]
fn what_is_written_reads_back_whole() {
    let directory = TempDir::new().unwrap();
    let published = cluster(300, 100);
    let policies = &published.policies[&shop()];
    let (id, group) = published.groups.iter().next().unwrap();
    let groups = slices(id, group);
    assert!(policies[&SliceId::WHOLE].split && groups[&SliceId::WHOLE].split);

    let done = write(directory.path(), &published).unwrap();
    let nodes = objects_of_nodes(&published);
    assert!(nodes > 2, "the pods of a node do not fit into its rule set");
    assert_eq!(done, counts(policies.len() + groups.len() + nodes, 0, 0));
    assert_reads_as(directory.path(), &published);

    let set = read(directory.path(), &web_node()).unwrap();
    assert_eq!(set.revision, 1);
    assert_eq!(
        set.hash,
        NodeRuleSet::publish(&published.nodes[&web_node()].cut().0, 1)
            .spec
            .hash
    );
    assert_eq!(set.rules.policies().len(), 100);
    let leaves = groups.iter().filter(|(_, slice)| !slice.split);
    let leaves: Vec<_> = leaves.map(|(slice, content)| ((*id, *slice), content)).collect();
    let read = set.slices.iter().map(|(key, slice)| (*key, slice.as_ref()));
    assert_eq!(read.collect::<Vec<_>>(), leaves);
    let members: usize = leaves.iter().map(|(_, slice)| slice.members.len()).sum();
    assert_eq!(members, 300);
}

#[test]
fn a_node_reads_no_group_that_its_pods_do_not_need() {
    let directory = TempDir::new().unwrap();
    write(directory.path(), &cluster(3, 1)).unwrap();
    let set = read(directory.path(), &NodeName::from("node-2")).unwrap();
    assert_eq!(set.rules.pods.len(), 3);
    assert!(set.rules.policies().is_empty(), "{:?}", set.rules.policies());
    assert!(set.slices.is_empty(), "{:?}", set.slices);
}

#[test]
fn writing_the_same_again_touches_nothing() {
    let directory = TempDir::new().unwrap();
    let published = cluster(300, 100);
    let first = write(directory.path(), &published).unwrap();
    let before = files_in(directory.path());
    let done = write(directory.path(), &published).unwrap();
    assert_eq!(done, counts(0, first.written, 0));
    assert_eq!(files_in(directory.path()), before);
}

/// The rule sets of the node before and after a change, and what was written for it.
fn change(from: &Published, to: &Published) -> (RuleSet, RuleSet, Written) {
    let directory = TempDir::new().unwrap();
    write(directory.path(), from).unwrap();
    let before = read(directory.path(), &web_node()).unwrap();
    let done = write(directory.path(), to).unwrap();
    assert_reads_as(directory.path(), to);
    (before, read(directory.path(), &web_node()).unwrap(), done)
}

#[test]
fn a_change_of_a_node_gives_its_rule_set_the_next_revision_and_leaves_the_rest() {
    let from = cluster(3, 1);
    let mut to = from.clone();
    let mut residents = to.nodes[&web_node()].as_ref().clone();
    residents.pod_networks = vec!["10.0.0.0/24".parse().unwrap()];
    to.nodes.insert(web_node(), residents.into());
    let (before, after, done) = change(&from, &to);
    assert_eq!(done, counts(1, 3, 0));
    assert_eq!((before.revision, after.revision), (1, 2));
    assert_ne!(before.hash, after.hash);
    assert_eq!(before.policies, after.policies);
    assert_ne!(before.content, after.content);
}

#[test]
fn a_change_of_policies_writes_their_slice_and_no_rule_set() {
    let (before, after, done) = change(&cluster(3, 1), &cluster(3, 2));
    assert_eq!(done, counts(1, 3, 0));
    assert_eq!((before.revision, &before.hash), (after.revision, &after.hash));
    assert_ne!(before.policies, after.policies);
    assert_ne!(before.content, after.content);
}

#[test]
fn a_change_of_members_leaves_the_policies_and_the_other_nodes() {
    let (before, after, done) = change(&cluster(3, 1), &cluster(4, 1));
    // The slice of the group, and the node where the new member runs.
    assert_eq!(done, counts(2, 2, 0));
    assert_eq!((before.revision, &before.hash), (after.revision, &after.hash));
    assert_eq!(before.policies, after.policies);
    assert_ne!(before.content, after.content);
}

#[test]
fn halves_come_with_a_split_and_go_with_it() {
    let directory = TempDir::new().unwrap();
    let (small, large) = (cluster(3, 1), cluster(300, 100));
    let group = slices(&frontends(&large), &large.groups[&frontends(&large)]);
    let trees = large.policies[&shop()].len() + group.len() + objects_of_nodes(&large);
    let first = |directory: &Path| -> PolicySlice {
        let path = files::policies_path(directory, &shop(), SliceId::WHOLE);
        serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
    };
    write(directory.path(), &small).unwrap();
    assert_eq!(first(directory.path()).spec.revision, 1);

    let done = write(directory.path(), &large).unwrap();
    assert_eq!(done, counts(trees - 1, 1, 0));
    assert!(first(directory.path()).spec.split);
    assert_eq!(first(directory.path()).spec.revision, 2);
    assert_reads_as(directory.path(), &large);

    let done = write(directory.path(), &small).unwrap();
    assert_eq!(done, counts(3, 1, trees - 4));
    assert!(!first(directory.path()).spec.split);
    assert_eq!(first(directory.path()).spec.revision, 3);
    assert_reads_as(directory.path(), &small);
}

#[test]
fn what_nothing_calls_for_is_deleted_and_what_is_not_ours_stays() {
    let directory = TempDir::new().unwrap();
    let mut published = cluster(3, 1);
    write(directory.path(), &published).unwrap();
    let stranger = directory.path().join(files::RULE_SETS).join("README.md");
    let torn = directory.path().join(files::RULE_SETS).join("node-9.tmp");
    fs::write(&stranger, "mine").unwrap();
    fs::write(&torn, "{").unwrap();

    published.nodes.clear();
    let done = write(directory.path(), &published).unwrap();
    assert_eq!(done, counts(0, 2, 3));
    published.policies.clear();
    let done = write(directory.path(), &published).unwrap();
    assert_eq!(done, counts(0, 1, 1));
    published.groups.clear();
    let done = write(directory.path(), &published).unwrap();
    assert_eq!(done, counts(0, 0, 1));
    assert_eq!(names_in(directory.path()), ["noderulesets/README.md"]);
}

#[test]
fn a_damaged_file_is_refused_and_replaced() {
    let directory = TempDir::new().unwrap();
    let published = cluster(3, 1);
    write(directory.path(), &published).unwrap();
    for (path, from, to) in [
        (
            files::rule_set_path(directory.path(), &web_node()),
            "shop/web-0",
            "shop/web-1",
        ),
        (
            files::policies_path(directory.path(), &shop(), SliceId::WHOLE),
            "\"port\": 8080",
            "\"port\": 8081",
        ),
        (
            files::slice_path(directory.path(), &frontends(&published), SliceId::WHOLE),
            "10.1.0.0",
            "10.1.9.9",
        ),
    ] {
        let text = fs::read_to_string(&path).unwrap();
        let edited = text.replace(from, to);
        assert_ne!(edited, text);
        fs::write(&path, edited).unwrap();
        let error = read(directory.path(), &web_node()).unwrap_err();
        assert_eq!(error.reason(), "HashMismatch", "{error}");
        assert_eq!(write(directory.path(), &published).unwrap(), counts(1, 3, 0));
        assert_reads_as(directory.path(), &published);
    }
}

#[test]
fn a_rule_set_without_all_of_its_slices_is_none() {
    let directory = TempDir::new().unwrap();
    let published = cluster(300, 100);
    write(directory.path(), &published).unwrap();
    let policies = &published.policies[&shop()];
    let group = frontends(&published);
    let of_policies = policies
        .keys()
        .map(|id| files::policies_path(directory.path(), &shop(), *id));
    let groups = slices(&group, &published.groups[&group]);
    let of_group = groups
        .keys()
        .map(|id| files::slice_path(directory.path(), &group, *id));
    for paths in [of_policies.collect::<Vec<_>>(), of_group.collect::<Vec<_>>()] {
        let [first, .., last] = paths.as_slice() else {
            panic!("a tree that is not split: {paths:?}");
        };
        for missing in &paths {
            let document = fs::read(missing).unwrap();
            fs::remove_file(missing).unwrap();
            let error = read(directory.path(), &web_node()).unwrap_err();
            assert!(
                matches!(&error, ReadError::MissingSlice { path } if path == missing),
                "{error}"
            );
            fs::write(missing, &document).unwrap();
        }
        let document = fs::read(last).unwrap();
        fs::write(last, &document[..document.len() / 2]).unwrap();
        let error = read(directory.path(), &web_node()).unwrap_err();
        assert_eq!(error.reason(), "Undecodable");

        fs::copy(first, last).unwrap();
        let error = read(directory.path(), &web_node()).unwrap_err();
        assert_eq!(error.reason(), "WrongName");

        fs::write(last, &document).unwrap();
        assert_reads_as(directory.path(), &published);
    }
}

#[test]
fn a_rule_set_of_another_node_is_refused() {
    let directory = TempDir::new().unwrap();
    write(directory.path(), &cluster(3, 1)).unwrap();
    let [one, other] =
        ["node-1", "node-2"].map(|node| files::rule_set_path(directory.path(), &NodeName::from(node)));
    fs::copy(other, one).unwrap();
    let error = read(directory.path(), &web_node()).unwrap_err();
    assert_eq!(error.reason(), "WrongName");
}

#[test]
fn a_node_without_a_rule_set_is_told_apart_from_one_with_a_bad_one() {
    let directory = TempDir::new().unwrap();
    let error = read(directory.path(), &web_node()).unwrap_err();
    assert_eq!(error.reason(), "NoRuleSet");
}

#[test]
fn a_write_that_stops_anywhere_leaves_rules_that_are_whole() {
    let (small, large) = (cluster(3, 1), cluster(300, 100));
    let every = TempDir::new().unwrap();
    write(every.path(), &large).unwrap();
    let names = names_in(every.path());
    assert!(names.len() > 10, "{names:?}");
    for name in names.iter().filter(|name| !name.ends_with("node-1.json")) {
        let directory = TempDir::new().unwrap();
        write(directory.path(), &small).unwrap();
        let obstacle = directory.path().join(name).with_extension("tmp");
        fs::create_dir(&obstacle).unwrap();
        let error = write(directory.path(), &large).unwrap_err();
        assert!(
            matches!(&error, WriteError::Io { path, .. } if *path == obstacle),
            "{error}"
        );
        let set = read(directory.path(), &web_node()).unwrap();
        assert!([1, 100].contains(&set.rules.policies().len()));
        let members: usize = set.slices.values().map(|slice| slice.members.len()).sum();
        assert!([3, 300].contains(&members), "{members} members without {name}");

        fs::remove_dir(&obstacle).unwrap();
        write(directory.path(), &large).unwrap();
        assert_reads_as(directory.path(), &large);
    }
}

#[test]
fn a_deletion_that_stops_leaves_what_is_referred_to() {
    let (small, large) = (cluster(3, 1), cluster(300, 100));
    let directory = TempDir::new().unwrap();
    write(directory.path(), &large).unwrap();
    let obstacle = directory.path().join(files::RULE_SETS).join("a.json");
    fs::create_dir(&obstacle).unwrap();
    let error = write(directory.path(), &Published::default()).unwrap_err();
    assert!(
        matches!(&error, WriteError::Io { path, .. } if *path == obstacle),
        "{error}"
    );
    assert_reads_as(directory.path(), &large);
    fs::remove_dir(&obstacle).unwrap();

    let obstacle = directory.path().join(files::POLICIES).join("a.json");
    fs::create_dir(&obstacle).unwrap();
    write(directory.path(), &small).unwrap_err();
    assert_reads_as(directory.path(), &small);
}

#[test]
fn nothing_is_written_where_a_name_cannot_be_published() {
    let directory = TempDir::new().unwrap();
    for name in ["", "../node", "Node", "a..b", "-a"] {
        let mut published = cluster(3, 1);
        let residents = published.nodes[&web_node()].clone();
        published.nodes.insert(NodeName::from(name), residents);
        let error = write(directory.path(), &published).unwrap_err();
        assert!(matches!(error, WriteError::NodeName { .. }), "{error}");
    }
    for name in ["", "../shop", "Shop", "a.b", "a/b"] {
        let mut published = cluster(3, 1);
        let slices = published.policies[&shop()].clone();
        published.policies.insert(NamespaceName::from(name), slices);
        let error = write(directory.path(), &published).unwrap_err();
        assert!(matches!(error, WriteError::NamespaceName { .. }), "{error}");
    }
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
}
