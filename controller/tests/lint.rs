//! `palisade policy-audit lint`: each code has an example that has it and one that nearly has it, and the well-known recipes
//! are clean.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests may fail like tests"
)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

mod common;

use common::{Run, palisade};
use palisade_audit::lint::output;
use palisade_audit::lint::{Code, Severity};
use palisade_controller::cli::Exit;
use serde_json::Value;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn lint(arguments: &[&str]) -> Run {
    palisade(&[&["policy-audit", "lint"], arguments].concat())
}

/// The codes that are found in some files, with the output for messages.
fn found(files: &[PathBuf]) -> (BTreeSet<Code>, String) {
    let mut arguments = vec!["-o", "json", "--fail-on", "never"];
    for file in files {
        arguments.extend(["-f", file.to_str().unwrap()]);
    }
    let run = lint(&arguments);
    assert_eq!(run.exit, Exit::Success, "{files:?}\n{}", run.errors);
    let report: Value = serde_json::from_str(&run.output).unwrap();
    let findings = report["findings"].as_array().unwrap();
    let codes = findings
        .iter()
        .map(|finding| Code::parse(finding["code"].as_str().unwrap()).unwrap());
    (codes.collect(), run.output)
}

fn serious(codes: &BTreeSet<Code>) -> BTreeSet<Code> {
    let codes = codes.iter().copied();
    codes.filter(|code| code.severity() > Severity::Info).collect()
}

fn example(code: Code, name: &str) -> PathBuf {
    root().join(format!("controller/audit/lint/{code}/{name}.yaml"))
}

#[test]
fn what_has_a_code_is_found_and_nothing_else_that_is_wrong() {
    let mut wrong = Vec::new();
    for code in Code::ALL.iter().copied() {
        let (codes, output) = found(&[example(code, "has")]);
        let expected = BTreeSet::from([code]);
        let others = &serious(&codes) - &expected;
        if !codes.contains(&code) || !others.is_empty() {
            wrong.push(format!("{code}: found {codes:?}\n{output}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn what_nearly_has_a_code_is_clean() {
    let mut wrong = Vec::new();
    for code in Code::ALL.iter().copied() {
        let (codes, output) = found(&[example(code, "nearly")]);
        if codes.contains(&code) || !serious(&codes).is_empty() {
            wrong.push(format!("{code}: found {codes:?}\n{output}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_folder_of_examples_is_that_of_a_code() {
    let folders = fs::read_dir(root().join("controller/audit/lint")).unwrap();
    let folders: BTreeSet<String> = folders
        .map(|folder| folder.unwrap().file_name().into_string().unwrap())
        .collect();
    let codes: BTreeSet<String> = Code::ALL.iter().map(ToString::to_string).collect();
    assert_eq!(folders, codes);
}

#[test]
fn the_page_of_the_documentation_is_what_the_table_says() {
    let page = fs::read_to_string(root().join("docs/lint.md")).unwrap_or_default();
    let run = lint(&["--list", "-o", "markdown"]);
    assert!(run.succeeded());
    assert_eq!(run.output, output::page());
    assert!(
        page == run.output,
        "docs/lint.md is not what the table says; `make docs` writes it"
    );
}
