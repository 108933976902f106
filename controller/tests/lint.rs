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
    let count = format!("[{} findings](", Code::ALL.len());
    for page in ["README.md", "docs/policy-audit.md"] {
        let text = fs::read_to_string(root().join(page)).unwrap();
        assert!(text.contains(&count), "{page} does not have {count:?}");
    }
}

/// What of the recipes is more than worth knowing: each is so by itself, as its documentation has it or says.
const OF_RECIPES: [(&str, Code); 3] = [
    // One of its peers is a workload that the cluster of the examples does not have.
    ("13-allow-from-several-selectors.yaml", Code::PeerSelectsNothing),
    // Pods that may connect to pods of some namespaces, and to the internet, but cannot resolve a name.
    ("22-several-namespaces-by-label.yaml", Code::NoDns),
    ("25-internet-but-not-the-cluster.yaml", Code::NoDns),
];

#[test]
fn the_recipes_that_every_user_knows_are_clean() {
    let folder = root().join("config/samples/recipes");
    let mut all = BTreeSet::new();
    for file in fs::read_dir(folder.join("policies")).unwrap() {
        let path = file.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        let (codes, _) = found(&[folder.join("cluster.yaml"), path]);
        all.extend(serious(&codes).into_iter().map(|code| (name.clone(), code)));
    }
    let expected: BTreeSet<(String, Code)> = OF_RECIPES
        .iter()
        .map(|(name, code)| ((*name).to_owned(), *code))
        .collect();
    assert_eq!(all, expected);
}

/// A policy with a part that cannot be understood, a label that nobody has, and a rule that makes all of it void.
const SHOP: &str = "\
apiVersion: v1
kind: Namespace
metadata: {name: shop}
---
apiVersion: v1
kind: Pod
metadata: {name: web, namespace: shop, labels: {app: web}}
spec: {containers: [{name: web, image: nginx}]}
status: {podIPs: [{ip: 10.0.0.1}]}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: web, namespace: shop}
spec:
  podSelector: {}
  policyTypes: [Ingress, Egress]
  ingress:
    - from:
        - ipBlock: {cidr: 172.16.0.0/33}
        - podSelector:
            matchLabels: {app: wbe}
    - {}
";

fn lint_shop(arguments: &[&str]) -> Run {
    let arguments = [&["policy-audit", "lint", "-f", "-"], arguments].concat();
    common::palisade_reading(&arguments, SHOP.as_bytes())
}

#[test]
fn findings_read_well() {
    let run = lint_shop(&[]);
    assert_eq!(run.exit, Exit::Negative);
    insta::assert_snapshot!("lint_text", run.output);
    assert_eq!(
        run.errors.lines().last(),
        Some("1 policy: 1 error, 2 warnings, 2 infos")
    );
}

#[test]
fn findings_come_as_json() {
    let run = lint_shop(&["-o", "json", "--only", "peer-selects-nothing"]);
    insta::assert_snapshot!("lint_json", run.output);
}

#[test]
fn findings_come_as_commands_of_a_workflow() {
    let run = lint_shop(&["-o", "github"]);
    insta::assert_snapshot!("lint_github", run.output);
}

#[test]
fn findings_come_as_sarif() {
    let run = lint_shop(&["-o", "sarif", "--only", "PA103"]);
    let log: Value = serde_json::from_str(&run.output).unwrap();
    let results = serde_json::to_string_pretty(&log["runs"][0]["results"]).unwrap();
    insta::assert_snapshot!("lint_sarif", results);
}

/// The members of an object of SARIF 2.1.0 that we use: those that it must have, and those that it may have.
fn has_members(object: &Value, required: &[&str], optional: &[&str]) {
    let members: BTreeSet<&str> = object.as_object().unwrap().keys().map(String::as_str).collect();
    for member in required {
        assert!(members.contains(member), "{member} is missing: {object}");
    }
    for member in members {
        assert!(
            required.contains(&member) || optional.contains(&member),
            "{member}: {object}"
        );
    }
}

fn is_location(location: &Value) {
    has_members(location, &["logicalLocations"], &["physicalLocation"]);
    for logical in location["logicalLocations"].as_array().unwrap() {
        has_members(logical, &["name", "fullyQualifiedName", "kind"], &[]);
    }
    let Some(physical) = location.get("physicalLocation") else {
        return;
    };
    has_members(physical, &["artifactLocation"], &["region"]);
    let uri = physical["artifactLocation"]["uri"].as_str().unwrap();
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~/%:".contains(&byte);
    assert!(uri.bytes().all(allowed), "{uri:?} is no reference");
    if let Some(region) = physical.get("region") {
        has_members(region, &["startLine"], &[]);
        assert!(region["startLine"].as_u64().unwrap() >= 1);
    }
}

#[test]
fn sarif_is_as_its_specification_has_it() {
    for code in [Code::DuplicatePolicy, Code::SourceLost, Code::ExceptOutside] {
        let file = example(code, "has");
        let file = file.to_str().unwrap();
        let run = lint(&["-o", "sarif", "-f", file]);
        let log: Value = serde_json::from_str(&run.output).unwrap();
        has_members(&log, &["version", "runs"], &["$schema"]);
        assert_eq!(log["version"], "2.1.0");
        let [run] = log["runs"].as_array().unwrap().as_slice() else {
            panic!("one run: {log}");
        };
        has_members(run, &["tool", "results"], &["columnKind"]);
        let driver = &run["tool"]["driver"];
        has_members(driver, &["name", "version", "rules"], &[]);
        let rules = driver["rules"].as_array().unwrap();
        assert_eq!(rules.len(), Code::ALL.len());
        for rule in rules {
            has_members(
                rule,
                &[
                    "id",
                    "name",
                    "shortDescription",
                    "fullDescription",
                    "help",
                    "defaultConfiguration",
                ],
                &[],
            );
            has_members(&rule["help"], &["text", "markdown"], &[]);
        }
        let results = run["results"].as_array().unwrap();
        assert!(!results.is_empty(), "{file}");
        for result in results {
            has_members(
                result,
                &[
                    "ruleId",
                    "ruleIndex",
                    "level",
                    "message",
                    "locations",
                    "partialFingerprints",
                ],
                &["relatedLocations"],
            );
            has_members(&result["message"], &["text"], &[]);
            let index = usize::try_from(result["ruleIndex"].as_u64().unwrap()).unwrap();
            assert_eq!(rules[index]["id"], result["ruleId"]);
            assert_eq!(rules[index]["defaultConfiguration"]["level"], result["level"]);
            assert!(["error", "warning", "note"].contains(&result["level"].as_str().unwrap()));
            let related = result.get("relatedLocations").and_then(Value::as_array);
            for location in result["locations"]
                .as_array()
                .unwrap()
                .iter()
                .chain(related.into_iter().flatten())
            {
                is_location(location);
            }
        }
    }
}

#[test]
fn files_below_the_working_directory_are_named_from_there() {
    let uris = |arguments: &[&str]| {
        let run = lint(&[&["-o", "sarif", "--only", "PA101", "--only", "PA501"], arguments].concat());
        let log: Value = serde_json::from_str(&run.output).unwrap();
        let results = log["runs"][0]["results"].as_array().unwrap().clone();
        let uri = |result: &Value| {
            let uri = &result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"];
            uri.as_str().unwrap().to_owned()
        };
        results.iter().map(uri).collect::<BTreeSet<String>>()
    };
    let here = BTreeSet::from(["audit/lint/PA101/has.yaml".to_owned()]);
    let full = Path::new(env!("CARGO_MANIFEST_DIR")).join("audit/lint/PA101/has.yaml");
    let full = full.to_str().unwrap();
    for file in ["audit/lint/PA101/has.yaml", "./audit/lint/PA101/has.yaml", full] {
        assert_eq!(uris(&["-f", file]), here, "{file}");
    }
    let run = lint(&["-o", "github", "--only", "PA101", "-f", full]);
    assert!(
        run.output
            .starts_with("::warning file=audit/lint/PA101/has.yaml,line="),
        "{}",
        run.output
    );
    // A namespace that no file describes is shown at what is in it.
    let undescribed = SHOP.replace(
        "kind: Namespace\nmetadata: {name: shop}",
        "kind: Namespace\nmetadata: {name: other}",
    );
    let arguments = ["policy-audit", "lint", "-f", "-", "-o", "sarif"];
    let run = common::palisade_reading(&arguments, undescribed.as_bytes());
    let log: Value = serde_json::from_str(&run.output).unwrap();
    for result in log["runs"][0]["results"].as_array().unwrap() {
        for location in result["locations"].as_array().unwrap() {
            assert!(location.get("physicalLocation").is_some(), "{result}");
        }
    }
}

#[test]
fn the_least_severity_that_fails_can_be_chosen() {
    let exit = |arguments: &[&str]| lint_shop(arguments).exit;
    assert_eq!(exit(&["--fail-on", "error"]), Exit::Negative);
    assert_eq!(exit(&["--fail-on", "error", "--ignore", "pa001"]), Exit::Success);
    assert_eq!(exit(&["--only", "allows-everything"]), Exit::Success);
    assert_eq!(
        exit(&["--only", "allows-everything", "--fail-on", "info"]),
        Exit::Negative
    );
    assert_eq!(exit(&["--fail-on", "never"]), Exit::Success);
    assert_eq!(exit(&["--ignore", "PA999"]), Exit::Failure);
    assert_eq!(exit(&["-o", "markdown"]), Exit::Failure);
}

#[test]
fn codes_are_listed_and_explained() {
    let run = lint(&["--list"]);
    assert_eq!(run.output.lines().count(), Code::ALL.len());
    let run = lint(&["--explain", "pa401"]);
    insta::assert_snapshot!("lint_explain", run.output);
}
