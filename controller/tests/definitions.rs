//! `config/crd` holds what `palisade crds` prints.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests may fail like tests"
)]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

mod common;

fn files(directory: &Path) -> BTreeMap<String, String> {
    let entries = fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    entries
        .map(|path| {
            (
                path.file_name().unwrap().to_str().unwrap().to_owned(),
                fs::read_to_string(&path).unwrap(),
            )
        })
        .collect()
}

#[test]
fn the_committed_definitions_are_those_of_the_types() {
    let generated = tempfile::tempdir().unwrap();
    let run = common::palisade(&["crds", "--output", generated.path().to_str().unwrap()]);
    assert!(run.succeeded(), "{}", run.errors);
    let committed = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../config/crd");
    let mut committed = files(&committed);
    assert!(committed.remove("kustomization.yaml").is_some());
    assert!(
        committed == files(generated.path()),
        "config/crd is not what the types say; regenerate it with `make manifests` (palisade crds --output config/crd)"
    );
}

#[test]
fn the_definitions_print_as_documents_that_read_back() {
    let run = common::palisade(&["crds"]);
    assert!(run.succeeded(), "{}", run.errors);
    let documents: Vec<serde_json::Value> = serde_saphyr::from_multiple(&run.output).unwrap();
    let types = palisade_crds::crds();
    assert_eq!(
        documents,
        types
            .iter()
            .map(|crd| serde_json::to_value(crd).unwrap())
            .collect::<Vec<_>>()
    );
}
