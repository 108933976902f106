//! `palisade policy-audit report`: a page in a file, or on the standard output.
//!
//! What is on the page is tested where it is made; that it works in a browser, by `make check-report`.
#![allow(clippy::unwrap_used, reason = "helpers of tests may fail like tests")]

mod common;

use std::path::Path;

use common::{Run, Workshop, palisade};
use palisade_controller::cli::Exit;

fn shop() -> String {
    let shop = Path::new(env!("CARGO_MANIFEST_DIR")).join("../config/samples/shop");
    shop.to_str().unwrap().to_owned()
}

fn report(output: &str) -> Run {
    let files = shop();
    palisade(&[
        "policy-audit",
        "report",
        "-f",
        &files,
        "-o",
        output,
        "--title",
        "the sample shop",
        "--time",
        "2026-11-25T16:00:00Z",
    ])
}

#[test]
fn a_report_is_a_whole_page_in_a_file_that_only_its_owner_reads() {
    use std::os::unix::fs::PermissionsExt;
    let workshop = Workshop::new();
    let file = workshop.path("report.html");
    let run = report(file.to_str().unwrap());
    assert_eq!(run.exit, Exit::Success, "{}", run.errors);
    assert_eq!(run.output, "");
    assert!(run.errors.contains("13 policies in "), "{}", run.errors);
    let page = std::fs::read_to_string(&file).unwrap();
    assert!(page.starts_with("<!DOCTYPE html>") && page.trim_end().ends_with("</html>"));
    let mode = std::fs::metadata(&file).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn the_same_files_and_time_give_the_same_page_on_the_standard_output() {
    let (one, other) = (report("-"), report("-"));
    assert_eq!(one.exit, Exit::Success, "{}", one.errors);
    assert_eq!(one.output, other.output);
    for part in [
        "the sample shop",
        "2026-11-25 16:00 UTC",
        "policies.yaml:214",
        "was app=settlement meant?",
    ] {
        assert!(one.output.contains(part), "{part}");
    }
}

#[test]
fn the_sample_shop_has_the_findings_that_it_was_made_for() {
    let files = shop();
    let run = palisade(&["policy-audit", "lint", "-f", &files]);
    for code in ["PA101", "PA106", "PA302", "PA503"] {
        assert!(run.output.contains(code), "{code}\n{}", run.output);
    }
    assert!(!run.output.contains("error"), "{}", run.output);
}

#[test]
fn a_place_that_cannot_be_written_is_named() {
    let run = report("/nowhere/at/all.html");
    assert_eq!(run.exit, Exit::Failure);
    assert!(
        run.errors.contains("cannot write /nowhere/at/all.html"),
        "{}",
        run.errors
    );
}
