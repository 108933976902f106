//! The shape of the project, where a compiler does not see it.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that cannot look must fail"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

/// The workspace's root.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// What each member of the workspace depends on, tests aside.
fn dependencies() -> BTreeMap<String, BTreeSet<String>> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--no-deps", "--offline"])
        .current_dir(root())
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let packages = metadata["packages"].as_array().unwrap();
    packages
        .iter()
        .map(|package| {
            let dependencies = package["dependencies"].as_array().unwrap().iter();
            let normal = dependencies.filter(|dependency| dependency["kind"].is_null());
            let names = normal.map(|dependency| dependency["name"].as_str().unwrap().to_owned());
            (package["name"].as_str().unwrap().to_owned(), names.collect())
        })
        .collect()
}

#[test]
fn dependencies_point_from_the_shell_to_the_core() {
    let layers = [
        ("palisade-policy", vec![]),
        ("palisade-crds", vec!["palisade-policy"]),
        ("palisade-audit", vec!["palisade-policy"]),
        ("palisade-health", vec![]),
        (
            "palisade-controller",
            vec![
                "palisade-policy",
                "palisade-audit",
                "palisade-crds",
                "palisade-health",
            ],
        ),
        (
            "palisade-enforcer",
            vec!["palisade-policy", "palisade-crds", "palisade-health"],
        ),
        (
            "palisade-tests",
            vec![
                "palisade-policy",
                "palisade-audit",
                "palisade-crds",
                "palisade-controller",
                "palisade-enforcer",
            ],
        ),
        (
            "palisade-bench",
            vec![
                "palisade-policy",
                "palisade-crds",
                "palisade-controller",
                "palisade-enforcer",
                "palisade-tests",
            ],
        ),
    ];
    let dependencies = dependencies();
    assert_eq!(
        dependencies.len(),
        layers.len(),
        "a member that this test does not know"
    );
    for (member, allowed) in layers {
        let own = dependencies[member]
            .iter()
            .filter(|name| name.starts_with("palisade-"));
        let own: Vec<&str> = own
            .map(String::as_str)
            .filter(|name| !allowed.contains(name))
            .collect();
        assert_eq!(own, Vec::<&str>::new(), "{member} must not depend on these");
    }
}

/// What would tie values to a machine or a moment.
const IMPURE: [&str; 9] = [
    "std::fs",
    "std::env",
    "std::time",
    "std::thread",
    "std::process",
    "std::net::Tcp",
    "std::net::Udp",
    "println!",
    "SystemTime",
];

/// The source files below a folder. Those for tests only may take their seeds from the environment and print.
fn sources(folder: &str) -> Vec<(PathBuf, String)> {
    let mut files = Vec::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.ends_with("testing") || path.ends_with("tests.rs") {
                continue;
            }
            if path.is_dir() {
                folders.push(path);
            } else {
                let text = std::fs::read_to_string(&path).unwrap();
                files.push((path, text));
            }
        }
    }
    files
}

fn assert_pure(member: &str, folder: &str, dependencies_allowed: &[&str], words: &[&str]) {
    let allowed: BTreeSet<String> = dependencies_allowed
        .iter()
        .map(|name| (*name).to_owned())
        .collect();
    let extra: Vec<String> = dependencies()[member].difference(&allowed).cloned().collect();
    assert_eq!(extra, Vec::<String>::new(), "{member} needs no more than values");
    let files = sources(folder);
    assert!(files.len() > 15, "found only {} files of {member}", files.len());
    for (path, text) in files {
        for word in words {
            assert!(!text.contains(word), "{} uses {word}", path.display());
        }
    }
}

#[test]
fn the_core_is_pure() {
    let words = [&IMPURE[..], &["std::io"]].concat();
    // Values and functions of them: addresses, hashes, errors.
    let allowed = ["ahash", "ipnet", "proptest", "sha2", "thiserror"];
    assert_pure("palisade-policy", "controller/policy/src", &allowed, &words);
}

#[test]
fn answers_are_functions_of_an_inventory() {
    // Forms of output, and nothing that speaks to a cluster or a kernel.
    let allowed = [
        "anstyle",
        "base64",
        "comfy-table",
        "csv",
        "ipnet",
        "palisade-policy",
        "quick-xml",
        "serde",
        "serde_json",
        "sha2",
        "strsim",
        "thiserror",
    ];
    assert_pure("palisade-audit", "controller/audit/src", &allowed, &IMPURE);
}

#[test]
fn every_member_takes_the_workspace_lints() {
    for manifest in [
        "controller",
        "controller/audit",
        "controller/health",
        "controller/policy",
        "crds",
        "enforcer",
        "tests",
    ] {
        let text = std::fs::read_to_string(root().join(manifest).join("Cargo.toml")).unwrap();
        assert!(text.contains("[lints]\nworkspace = true"), "{manifest}");
    }
}

#[test]
fn the_architecture_page_names_every_folder() {
    let page = std::fs::read_to_string(root().join("docs/architecture.md")).unwrap();
    let output = Command::new("git")
        .args(["ls-files", "*.rs", "*.yaml"])
        .current_dir(root())
        .output()
        .unwrap();
    let listing = String::from_utf8(output.stdout).unwrap();
    let folders: BTreeSet<&Path> = listing
        .lines()
        .filter_map(|file| Path::new(file).parent())
        .collect();
    assert!(folders.len() > 10, "git lists only {} folders", folders.len());
    // A folder is named by its last part, in the tree that the page draws. Examples are named by their kind.
    let is_example = |folder: &Path| {
        folder
            .parent()
            .is_some_and(|parent| parent.ends_with("audit/lint"))
    };
    let missing: Vec<_> = folders
        .into_iter()
        .filter(|folder| !is_example(folder))
        .filter(|folder| {
            !page.contains(&format!(
                "{}/",
                folder.file_name().unwrap_or_default().to_string_lossy()
            ))
        })
        .collect();
    assert_eq!(missing, Vec::<&Path>::new());
}
