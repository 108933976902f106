//! The recipes that every user knows, with the answers that the pages which publish them state: the documentation of
//! Kubernetes on network policies, and the well-known collection of recipes. The manifests are our own.
//!
//! Each file in `config/samples/recipes/policies` has a file of assertions of the same name in `expect`.
#![allow(clippy::unwrap_used, reason = "helpers of tests may fail like tests")]

mod common;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use common::{Run, Workshop, palisade};
use palisade_controller::cli::Exit;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../config/samples/recipes")
}

fn names(part: &str) -> BTreeSet<String> {
    let entries = fs::read_dir(folder().join(part)).unwrap();
    entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect()
}

fn path(part: &str) -> String {
    folder().join(part).to_str().unwrap().to_owned()
}

fn policy_audit(arguments: &[&str]) -> Run {
    palisade(&[&["policy-audit"], arguments].concat())
}

/// Points of a TAP document that hold, and all of its points.
fn points(tap: &str) -> (usize, usize) {
    let good = tap.lines().filter(|line| line.starts_with("ok ")).count();
    let bad = tap.lines().filter(|line| line.starts_with("not ok ")).count();
    (good, good + bad)
}

/// How many assertions a file has.
fn assertions(name: &str) -> usize {
    let text = fs::read_to_string(folder().join("expect").join(name)).unwrap();
    text.lines().filter(|line| line.starts_with("- name:")).count()
}

#[test]
fn every_recipe_gives_the_answers_that_its_documentation_states() {
    assert_eq!(names("policies"), names("expect"));
    assert!(names("policies").len() >= 25);
    for name in names("policies") {
        let [policies, expected] = ["policies", "expect"].map(|part| path(&format!("{part}/{name}")));
        let cluster = path("cluster.yaml");
        let run = policy_audit(&["test", "-f", &cluster, "-f", &policies, &expected]);
        assert_eq!(run.exit, Exit::Success, "{name}\n{}\n{}", run.output, run.errors);
        let wanted = assertions(&name);
        assert!(wanted >= 2, "{name} expects nothing");
        assert_eq!(points(&run.output), (wanted, wanted), "{name}\n{}", run.output);
    }
}

#[test]
fn a_snapshot_gives_the_answers_of_the_files_that_it_was_made_of() {
    let workshop = Workshop::new();
    let snapshot = workshop.path("snapshot.json");
    let snapshot = snapshot.to_str().unwrap();
    for name in names("policies") {
        let [policies, expected] = ["policies", "expect"].map(|part| path(&format!("{part}/{name}")));
        let cluster = path("cluster.yaml");
        let saved = policy_audit(&["snapshot", "-f", &cluster, "-f", &policies, "-o", snapshot]);
        assert_eq!(saved.exit, Exit::Success, "{name}\n{}", saved.errors);
        let run = policy_audit(&["test", "-f", snapshot, &expected]);
        assert_eq!(run.exit, Exit::Success, "{name}\n{}\n{}", run.output, run.errors);
    }
}

#[test]
fn without_its_policies_no_recipe_gives_these_answers() {
    for name in names("policies") {
        let (cluster, expected) = (path("cluster.yaml"), path(&format!("expect/{name}")));
        let run = policy_audit(&["test", "-f", &cluster, &expected]);
        let allows_all = name.contains("allow-all-");
        let wanted = if allows_all { Exit::Success } else { Exit::Negative };
        assert_eq!(run.exit, wanted, "{name}\n{}", run.output);
    }
}
