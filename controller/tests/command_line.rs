//! The frame of the command line: help, completions, manual pages, streams that end.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests may fail like tests"
)]

mod common;

use std::ffi::OsString;
use std::fs;
use std::io::{self, Read, Write};

use common::{Workshop, palisade, palisade_reading};
use palisade_audit::style::Style;
use palisade_controller::cli::{self, Exit, Streams};

/// A pipe that nobody reads from any more.
struct Closed;

impl Write for Closed {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        Err(io::ErrorKind::BrokenPipe.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Err(io::ErrorKind::BrokenPipe.into())
    }
}

fn run_into_closed(arguments: &[&str]) -> io::Result<Exit> {
    let mut input: &mut dyn Read = &mut io::empty();
    cli::run(
        arguments.iter().map(OsString::from),
        &mut Streams {
            input: &mut input,
            output: &mut Closed,
            errors: &mut io::sink(),
            style: Style::PLAIN,
            watched: false,
        },
    )
}

#[test]
fn whoever_reads_no_further_makes_no_error() {
    let workshop = Workshop::new();
    workshop.write("a.yaml", "apiVersion: v1\nkind: Namespace\nmetadata: {name: a}");
    let path = workshop.path("a.yaml");
    let path = path.to_str().unwrap();
    for arguments in [
        &["palisade", "--help"][..],
        &["palisade", "crds"],
        &["palisade", "completions", "bash"],
        &["palisade", "man"],
        &["palisade", "policy-audit", "snapshot", "-f", path, "-o", "-"],
    ] {
        assert_eq!(
            run_into_closed(arguments).unwrap(),
            Exit::Success,
            "{arguments:?}"
        );
    }
}

#[test]
fn the_plugin_is_called_by_the_name_that_its_users_type() {
    let help = |program: &str| {
        let mut output = Vec::new();
        let arguments = [program, "policy-audit", "snapshot", "--help"];
        let mut streams = Streams {
            input: &mut io::empty(),
            output: &mut output,
            errors: &mut io::sink(),
            style: Style::PLAIN,
            watched: false,
        };
        assert_eq!(
            cli::run(arguments.map(OsString::from), &mut streams).unwrap(),
            Exit::Success
        );
        String::from_utf8(output).unwrap()
    };
    assert!(help("/usr/bin/palisade").contains("Usage: palisade policy-audit snapshot"));
    assert!(help("/usr/bin/kubectl-palisade").contains("Usage: kubectl palisade policy-audit snapshot"));
}

#[test]
fn options_about_sources_stand_together() {
    let help = palisade(&["policy-audit", "snapshot", "--help"]).output;
    let sources = help.split("Where the objects are:").nth(1).unwrap();
    for option in [
        "--filename",
        "--context",
        "--kubeconfig",
        "--cluster",
        "--user",
        "--as",
        "--as-group",
        "--namespace",
        "--pod-network",
    ] {
        assert!(sources.contains(option), "{option}");
    }
    assert!(
        !sources.contains("--color") && !sources.contains("--output"),
        "{help}"
    );
}

#[test]
fn files_and_a_cluster_at_once_are_refused() {
    for option in ["--kubeconfig", "--context", "--cluster", "--user", "--as"] {
        let lint = ["policy-audit", "lint", "-f", "a.yaml", option, "c"];
        let diff = [
            "policy-audit",
            "diff",
            "-f",
            "a.yaml",
            "--base",
            "b.yaml",
            option,
            "c",
        ];
        for words in [&lint[..], &diff[..]] {
            let run = palisade(words);
            assert_eq!(run.exit, Exit::Failure);
            assert!(run.errors.contains("cannot be used with"), "{}", run.errors);
        }
    }
}

#[test]
fn a_kubeconfig_that_is_not_there_is_an_error_with_its_path() {
    let run = palisade(&[
        "policy-audit",
        "snapshot",
        "--kubeconfig",
        "/absent/kubeconfig",
        "-o",
        "-",
    ]);
    assert_eq!(run.exit, Exit::Failure);
    assert!(
        run.errors.starts_with("error: ") && run.errors.contains("/absent/kubeconfig"),
        "{}",
        run.errors
    );
}

#[test]
fn a_cluster_that_cannot_be_reached_is_an_error_with_its_address() {
    let workshop = Workshop::new();
    let config = "apiVersion: v1\nkind: Config\ncurrent-context: c\n\
                  clusters: [{name: c, cluster: {server: 'http://127.0.0.1:1'}}]\n\
                  users: [{name: u, user: {token: hunter2}}]\n\
                  contexts: [{name: c, context: {cluster: c, user: u}}]\n";
    workshop.write("config", config);
    let path = workshop.path("config");
    let run = palisade(&[
        "policy-audit",
        "snapshot",
        "--kubeconfig",
        path.to_str().unwrap(),
        "-o",
        "-",
    ]);
    assert_eq!(run.exit, Exit::Failure);
    assert!(run.errors.starts_with("error: cannot list "), "{}", run.errors);
    assert!(run.errors.contains("http://127.0.0.1:1"), "{}", run.errors);
    assert!(!run.errors.contains("hunter2"), "{}", run.errors);
    assert_eq!(run.errors.lines().count(), 1);
}

#[test]
fn objects_come_from_the_standard_input_too() {
    let run = palisade_reading(
        &["policy-audit", "snapshot", "-f", "-", "-o", "-"],
        b"{\"apiVersion\": \"v1\", \"kind\": \"Namespace\", \"metadata\": {\"name\": \"a\"}}",
    );
    assert_eq!(run.exit, Exit::Success, "{}", run.errors);
    assert!(run.output.contains("\"name\":\"a\""));
}

#[test]
fn each_shell_has_its_completions() {
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let run = palisade(&["completions", shell]);
        assert!(run.succeeded() && run.output.contains("policy-audit"), "{shell}");
    }
}

#[test]
fn each_command_has_its_manual_page() {
    let workshop = Workshop::new();
    let path = workshop.path("man");
    assert!(palisade(&["man", "-o", path.to_str().unwrap()]).succeeded());
    let page = |name: &str| fs::read_to_string(path.join(name)).unwrap();
    assert!(page("palisade.1").contains("palisade\\-policy\\-audit(1)"));
    assert!(page("palisade-policy-audit-snapshot.1").contains("WHERE THE OBJECTS ARE"));
}
