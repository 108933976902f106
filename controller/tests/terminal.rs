//! What people put into labels, names and messages reaches a terminal as letters: it neither steers it nor reads as a line of ours.
#![allow(clippy::unwrap_used, reason = "helpers of tests may fail like tests")]

mod common;

use common::{Run, Workshop, palisade};
use palisade_controller::cli::Exit;

/// Objects with something that a terminal would obey wherever a text may be.
const ODD: &str = r#"
{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop", "labels": {"a\u001b[2Jb": "c\u001b]0;title\u0007"}}}
{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web", "namespace": "shop", "labels": {"app": "w\u001b[31mb\nx  enforced"}},
 "spec": {"nodeName": "n\u009b2J", "containers": [{"name": "c", "ports": [{"name": "h\u202etp", "containerPort": 80}]}]}, "status": {"podIP": "10.0.0.1"}}
{"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": {"name": "web", "namespace": "shop"},
 "spec": {"podSelector": {"matchLabels": {"app": "w\u001b[31mb\nx  enforced"}},
  "ingress": [{"from": [{"namespaceSelector": {"matchExpressions": [{"key": "k\u001b[8m", "operator": "In", "values": ["v\r\nw"]}]}}]}]}}
{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "front", "namespace": "shop"}, "status": {"podIP": "10.0.0.2"}}
{"apiVersion": "v1", "kind": "Odd\u001b[31m\nerror: nothing", "metadata": {"name": "a"}}
"#;

fn asked(words: &[&str]) -> Run {
    let workshop = Workshop::new();
    workshop.write("a\u{1b}[7m\nb.yaml", ODD);
    let file = workshop.path("a\u{1b}[7m\nb.yaml");
    let source = ["-f", file.to_str().unwrap()];
    palisade(&[&["policy-audit"], words, &source].concat())
}

/// Whether a text is lines of letters and nothing else.
fn is_harmless(text: &str) -> bool {
    let control = |letter: char| letter.is_control() && letter != '\n';
    !text.contains(control) && !text.contains(['\u{202e}', '\u{9b}'])
}

#[test]
fn no_answer_steers_a_terminal() {
    for words in [
        &["lint", "--fail-on", "never"][..],
        &["explain", "any", "shop/web"],
        &["explain", "shop/front", "shop/web"],
        &["explain", "shop/web", "10.1.2.3:80"],
        &["reach"],
        &["reach", "-o", "wide"],
        &["status", "-o", "wide"],
    ] {
        let run = asked(words);
        assert_ne!(run.exit, Exit::Failure, "{words:?}: {}", run.errors);
        assert!(is_harmless(&run.output), "{words:?}: {:?}", run.output);
        assert!(is_harmless(&run.errors), "{words:?}: {:?}", run.errors);
        for text in [&run.output, &run.errors] {
            let forged = text
                .lines()
                .any(|line| line.starts_with("x  enforced") || line.starts_with("error"));
            assert!(!forged, "{words:?}: {text}");
        }
    }
    let told = asked(&["explain", "shop/front", "shop/web"]).output;
    assert!(told.contains(r"k\u{1b}[8m") && told.contains(r"v\r\nw"), "{told}");
}

#[test]
fn a_file_with_an_odd_name_is_told_in_one_line() {
    let workshop = Workshop::new();
    workshop.write("a\u{1b}[7m\nb.yaml", "kind: [");
    let file = workshop.path("a\u{1b}[7m\nb.yaml");
    let run = palisade(&["policy-audit", "lint", "-f", file.to_str().unwrap()]);
    assert_eq!(run.errors.lines().count(), 1);
    assert!(
        run.errors.contains(r"a\u{1b}[7m\nb.yaml: document 1"),
        "{}",
        run.errors
    );
}

#[test]
fn selectors_and_labels_that_are_shown_alike_match_as_before() {
    let answer = asked(&["reach", "--to", "shop/web", "-o", "json"]);
    assert!(answer.output.contains("shop/web"), "{}", answer.output);
    let status = asked(&["status", "-o", "json"]).output;
    let status: serde_json::Value = serde_json::from_str(&status).unwrap();
    assert_eq!(status["policies"]["shop/web"]["pods"], 1);
}
