//! Directories of documents: what is written reads back, and only what changes is touched.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests may fail like tests"
)]

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use palisade_crds::files::{self, ReadError, WriteError, Written, read, write};
use palisade_policy::model::NodeName;
use palisade_policy::rules::{Group, GroupId, NodeRules, slices};
use tempfile::TempDir;

use common::{frontends, full_node};

/// A node that refers to a group of `count` members.
fn cluster(count: u32) -> (NodeRules, BTreeMap<GroupId, Group>) {
    let (id, group) = frontends(count);
    let mut node = full_node();
    node.groups = BTreeMap::from([(id.clone(), slices(&id, &group).into_keys().collect())]);
    (node, BTreeMap::from([(id, group)]))
}

fn files_in(directory: &Path) -> BTreeMap<PathBuf, (SystemTime, Vec<u8>)> {
    let folders = [files::GROUPS, files::RULE_SETS].map(|folder| directory.join(folder));
    let entries = folders
        .into_iter()
        .flat_map(|folder| fs::read_dir(folder).unwrap());
    let paths = entries.map(|entry| entry.unwrap().path());
    paths
        .map(|path| {
            (
                path.clone(),
                (
                    fs::metadata(&path).unwrap().modified().unwrap(),
                    fs::read(&path).unwrap(),
                ),
            )
        })
        .collect()
}

fn node_name() -> NodeName {
    NodeName::from("node-1")
}

#[test]
fn what_is_written_reads_back_whole() {
    let directory = TempDir::new().unwrap();
    let (node, groups) = cluster(300);
    let done = write(directory.path(), [&node], &groups).unwrap();
    assert!(done.written > 3, "{done:?}");
    let set = read(directory.path(), &node_name()).unwrap();
    assert_eq!(*set.rules, node);
    assert_eq!(set.revision, 1);
    assert_eq!(
        set.slices
            .values()
            .map(|slice| slice.members.len())
            .sum::<usize>(),
        300
    );
}

#[test]
fn writing_the_same_again_touches_nothing() {
    let directory = TempDir::new().unwrap();
    let (node, groups) = cluster(3);
    write(directory.path(), [&node], &groups).unwrap();
    let before = files_in(directory.path());
    let done = write(directory.path(), [&node], &groups).unwrap();
    assert_eq!(
        done,
        Written {
            written: 0,
            unchanged: 2,
            deleted: 0
        }
    );
    assert_eq!(files_in(directory.path()), before);
}

#[test]
fn a_change_of_rules_gives_the_next_revision_and_leaves_the_slices() {
    let directory = TempDir::new().unwrap();
    let (mut node, groups) = cluster(3);
    write(directory.path(), [&node], &groups).unwrap();
    node.pod_networks.clear();
    let done = write(directory.path(), [&node], &groups).unwrap();
    assert_eq!(
        done,
        Written {
            written: 1,
            unchanged: 1,
            deleted: 0
        }
    );
    assert_eq!(read(directory.path(), &node_name()).unwrap().revision, 2);
}

#[test]
fn a_change_of_members_leaves_the_rules() {
    let directory = TempDir::new().unwrap();
    let (node, groups) = cluster(3);
    write(directory.path(), [&node], &groups).unwrap();
    let (_, more) = cluster(4);
    let done = write(directory.path(), [&node], &more).unwrap();
    assert_eq!(
        done,
        Written {
            written: 1,
            unchanged: 1,
            deleted: 0
        }
    );
    assert_eq!(read(directory.path(), &node_name()).unwrap().revision, 1);
}

#[test]
fn what_nothing_calls_for_is_deleted_and_what_is_not_ours_stays() {
    let directory = TempDir::new().unwrap();
    let (node, groups) = cluster(3);
    write(directory.path(), [&node], &groups).unwrap();
    let stranger = directory.path().join(files::RULE_SETS).join("README.md");
    let torn = directory.path().join(files::RULE_SETS).join("node-9.tmp");
    fs::write(&stranger, "mine").unwrap();
    fs::write(&torn, "{").unwrap();
    let done = write(directory.path(), [], &groups).unwrap();
    assert_eq!(
        done,
        Written {
            written: 0,
            unchanged: 0,
            deleted: 3
        }
    );
    assert_eq!(
        files_in(directory.path()).into_keys().collect::<Vec<_>>(),
        [stranger]
    );
}

#[test]
fn a_damaged_file_is_replaced() {
    let directory = TempDir::new().unwrap();
    let (node, groups) = cluster(3);
    write(directory.path(), [&node], &groups).unwrap();
    let path = files::rule_set_path(directory.path(), &node_name());
    let edited = fs::read_to_string(&path)
        .unwrap()
        .replace("shop/web-0", "shop/web-1");
    fs::write(&path, edited).unwrap();
    assert_eq!(
        read(directory.path(), &node_name()).unwrap_err().reason(),
        "HashMismatch"
    );
    write(directory.path(), [&node], &groups).unwrap();
    assert_eq!(*read(directory.path(), &node_name()).unwrap().rules, node);
}

#[test]
fn a_rule_set_without_all_of_its_slices_is_none() {
    let directory = TempDir::new().unwrap();
    let (node, groups) = cluster(300);
    write(directory.path(), [&node], &groups).unwrap();
    let (group, ids) = node.groups.iter().next().unwrap();
    let path = files::slice_path(directory.path(), group, *ids.last().unwrap());
    let document = fs::read(&path).unwrap();

    fs::remove_file(&path).unwrap();
    let error = read(directory.path(), &node_name()).unwrap_err();
    assert!(
        matches!(&error, ReadError::MissingSlice { slice, .. } if slice == ids.last().unwrap()),
        "{error}"
    );

    fs::write(&path, &document[..document.len() / 2]).unwrap();
    assert_eq!(
        read(directory.path(), &node_name()).unwrap_err().reason(),
        "Undecodable"
    );

    let other = files::slice_path(directory.path(), group, *ids.first().unwrap());
    fs::copy(other, &path).unwrap();
    assert_eq!(
        read(directory.path(), &node_name()).unwrap_err().reason(),
        "WrongName"
    );
}

#[test]
fn a_node_without_a_rule_set_is_told_apart_from_one_with_a_bad_one() {
    let directory = TempDir::new().unwrap();
    assert_eq!(
        read(directory.path(), &node_name()).unwrap_err().reason(),
        "NoRuleSet"
    );
}

#[test]
fn nothing_is_written_where_a_node_cannot_be_published() {
    let directory = TempDir::new().unwrap();
    let (mut node, groups) = cluster(3);
    let error = write(directory.path(), [&node], &BTreeMap::new()).unwrap_err();
    assert!(matches!(error, WriteError::MissingGroup { .. }), "{error}");
    node.node = NodeName::from("../node");
    let error = write(directory.path(), [&node], &groups).unwrap_err();
    assert!(matches!(error, WriteError::NodeName { .. }), "{error}");
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
}
