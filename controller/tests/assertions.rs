//! `palisade policy-audit test`: files of assertions, their forms and errors.

mod common;

use common::{Run, Workshop, palisade, palisade_reading};
use palisade_controller::cli::Exit;
use quick_xml::Reader;
use quick_xml::events::Event;
use serde_json::Value;

const SHOP: &str = "\
apiVersion: v1
kind: Pod
metadata: {name: web, namespace: shop, labels: {app: web, tier: front}}
spec: {containers: [{name: web}]}
status: {podIPs: [{ip: 10.0.0.1}]}
---
apiVersion: v1
kind: Pod
metadata: {name: client, namespace: shop, labels: {app: client}}
spec: {containers: [{name: client}]}
status: {podIPs: [{ip: 10.0.0.2}]}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: web, namespace: shop}
spec:
  podSelector: {matchLabels: {app: web}}
  ingress:
  - from: [{podSelector: {matchLabels: {app: client}}}]
    ports: [{port: 80}]
";

const HOLDS: &str = "\
# What we rely on.
- name: clients reach the shop
  from: shop/client
  to: shop/web
  port: 80
  expect: allow
- from: [shop/client, 203.0.113.1]
  to: shop/web
  port: [443, 53/UDP]
  expect: deny
";

const FAILS: &str = "\
assertions:
- name: the world reaches the shop
  from: 203.0.113.1
  to: shop/web:80
  expect: allow
  reason: we sell
";

/// Tests files against the shop. In the output, the folder is `DIR`.
fn test(files: &[(&str, &str)], more: &[&str]) -> Run {
    let workshop = Workshop::new();
    workshop.write("shop.yaml", SHOP);
    for (name, content) in files {
        workshop.write(name, content);
    }
    let shop = workshop.path("shop.yaml").display().to_string();
    let paths: Vec<String> = files
        .iter()
        .map(|(name, _)| workshop.path(name).display().to_string())
        .collect();
    let paths: Vec<&str> = paths.iter().map(String::as_str).collect();
    let mut run = palisade(&[&["policy-audit", "test", "-f", &shop], more, &paths].concat());
    let folder = workshop.path("").display().to_string();
    run.output = run.output.replace(&folder, "DIR/");
    run.errors = run.errors.replace(&folder, "DIR/");
    run
}

#[test]
fn all_that_hold_are_success_in_tap() {
    let run = test(&[("holds.yaml", HOLDS)], &[]);
    assert_eq!(run.exit, Exit::Success, "{}", run.errors);
    insta::assert_snapshot!(run.output, @r"
        TAP version 14
        1..2
        ok 1 - clients reach the shop
        ok 2 - deny shop/client, 203.0.113.1 → shop/web, port 443, 53/UDP
        ");
    assert_eq!(run.errors, "2 assertions, 0 failed\n");
}

#[test]
fn ends_may_be_labels() {
    let labels = "\
- from: app=client
  to: shop/app=web
  port: 80
  expect: allow
- from: [app=client, shop/client]
  to: [shop/app=web:53/UDP, \"app=web,tier=front:443\"]
  expect: deny
- from: app=probe
  to: shop/*
  expect: deny
";
    let run = test(&[("labels.yaml", labels)], &["-o", "text"]);
    assert_eq!(run.exit, Exit::Negative, "{}", run.errors);
    insta::assert_snapshot!(run.output, @r"
        holds  allow app=client → shop/app=web, port 80
        holds  deny app=client, shop/client → shop/app=web:53/UDP, app=web,tier=front:443
        fails  deny app=probe → shop/*
          DIR/labels.yaml:8: expected deny: no pod is meant by app=probe
            no pod is meant by app=probe
        ");
}

#[test]
fn one_that_does_not_hold_is_no_with_its_explanation() {
    let run = test(&[("holds.yaml", HOLDS), ("fails.yaml", FAILS)], &[]);
    assert_eq!(run.exit, Exit::Negative, "{}", run.errors);
    insta::assert_snapshot!(run.output, @r#"
        TAP version 14
        1..3
        ok 1 - clients reach the shop
        ok 2 - deny shop/client, 203.0.113.1 → shop/web, port 443, 53/UDP
        not ok 3 - the world reaches the shop
          ---
          message: "expected allow: 203.0.113.1 → Pod shop/web, 80/TCP: denied"
          reason: "we sell"
          at:
            file: "DIR/fails.yaml"
            line: 2
          explanation: |
            denied: 203.0.113.1 → Pod shop/web, 80/TCP

              203.0.113.1 → 10.0.0.1 80/TCP: denied
                ingress of shop/web: denied, isolated by shop/web (DIR/shop.yaml:13)
                  shop/web spec.ingress[0] (DIR/shop.yaml:19) matches the port, not the peer
                    from[0]: the peer selects pods, and 203.0.113.1 is no pod's address
                  would pass: shop/web with one more entry in spec.ingress[0].from: ipBlock 203.0.113.1/32
                  would pass: shop/web with one more rule in spec.ingress: from ipBlock 203.0.113.1/32, port 80/TCP

            note: this is about who opens the connection; what answers it passes
            note: Palisade ends connections that are open when a policy comes to deny them; other enforcers may let them go on
          ...
        "#);
    assert_eq!(run.errors, "3 assertions, 1 failed\n");
}

#[test]
fn the_yaml_in_tap_is_yaml() {
    let run = test(&[("fails.yaml", FAILS)], &[]);
    let block = run
        .output
        .split("  ---\n")
        .nth(1)
        .unwrap()
        .split("  ...\n")
        .next()
        .unwrap();
    let block: Value = serde_saphyr::from_str(block).unwrap();
    assert_eq!(block["reason"], "we sell");
    assert_eq!(block["at"]["line"], 2);
    let explanation = block["explanation"].as_str().unwrap();
    assert!(
        explanation.starts_with("denied: 203.0.113.1 → Pod shop/web, 80/TCP\n\n  203.0.113.1"),
        "{explanation}"
    );
}

#[test]
fn junit_has_a_suite_for_each_file_and_parses() {
    let run = test(&[("fails.yaml", FAILS), ("holds.yaml", HOLDS)], &["-o", "junit"]);
    assert_eq!(run.exit, Exit::Negative, "{}", run.errors);
    let mut reader = Reader::from_str(&run.output);
    let mut names = Vec::new();
    loop {
        match reader.read_event().unwrap() {
            Event::Start(element) | Event::Empty(element) => names.push(element.name().as_ref().to_owned()),
            Event::Eof => break,
            Event::End(_)
            | Event::Text(_)
            | Event::CData(_)
            | Event::Comment(_)
            | Event::Decl(_)
            | Event::PI(_)
            | Event::DocType(_)
            | Event::GeneralRef(_) => {}
        }
    }
    let expected = [
        "testsuites",
        "testsuite",
        "testcase",
        "failure",
        "testsuite",
        "testcase",
        "testcase",
    ];
    assert_eq!(names, expected.map(ToOwned::to_owned));
}

#[test]
fn json_and_text_say_the_same() {
    let run = test(&[("fails.yaml", FAILS)], &["-o", "json"]);
    let outcome: Value = serde_json::from_str(&run.output).unwrap();
    assert_eq!(
        (&outcome["total"], &outcome["failed"]),
        (&Value::from(1), &Value::from(1))
    );
    assert_eq!(
        outcome["assertions"][0]["failures"][0]["answer"]["verdict"],
        "denied"
    );
    let run = test(&[("fails.yaml", FAILS)], &["-o", "text"]);
    assert!(
        run.output
            .starts_with("fails  the world reaches the shop\n  DIR/fails.yaml:2: expected allow")
    );
}

#[test]
fn files_that_make_no_sense_are_a_failure_with_file_and_line() {
    let run = test(
        &[
            ("empty.yaml", "# nothing\n"),
            ("field.yaml", "- from: a\n  to: b\n  expect: allow\n  prot: TCP\n"),
            ("list.yaml", "tests: []\n"),
            (
                "port.yaml",
                "- from: a\n  to: b\n  expect: allow\n- {from: a, to: 'b:0', expect: deny}\n",
            ),
            ("text.yaml", "hello\n"),
            ("yaml.yaml", "- from: [\n"),
        ],
        &[],
    );
    assert_eq!(run.exit, Exit::Failure);
    assert_eq!(run.output, "");
    insta::assert_snapshot!(run.errors, @r#"
        error: DIR/empty.yaml: no assertions in it
        error: DIR/field.yaml: cannot be read: unknown field `prot`, expected one of name, from, to, port, ports, protocol, expect, family, reason at line 4, column 3
        error: DIR/list.yaml: cannot be read: unknown field `tests`, expected one of assertions at line 1, column 1
        error: DIR/port.yaml:4: assertion "deny a → b:0": "0" is no port: it should be a number from 1 to 65535, a range, a name of a port, or icmp
        error: DIR/text.yaml: cannot be read: invalid type: string "hello", expected a list of assertions
        error: DIR/yaml.yaml: cannot be read: unclosed bracket '[' at line 1, column 9
        "#);
}

#[test]
fn assertions_may_be_json_and_come_from_the_standard_input() {
    let workshop = Workshop::new();
    workshop.write("shop.yaml", SHOP);
    let shop = workshop.path("shop.yaml").display().to_string();
    let json =
        r#"{"assertions": [{"from": "shop/client", "to": "shop/web", "port": 80, "expect": "allow"}]}"#;
    let run = palisade_reading(&["policy-audit", "test", "-f", &shop, "-"], json.as_bytes());
    assert_eq!(run.exit, Exit::Success, "{}{}", run.output, run.errors);
    assert_eq!(
        run.output,
        "TAP version 14\n1..1\nok 1 - allow shop/client → shop/web, port 80\n"
    );
}

#[test]
fn hostile_files_are_errors() {
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let lines = "abcdefghi".chars().zip("bcdefghij".chars()).map(|(from, to)| {
        let aliases = vec![format!("*{from}"); 10].join(", ");
        format!("{to}: &{to} [{aliases}]\n")
    });
    let bomb = "a: &a [x, x, x, x, x, x, x, x, x, x]\n".to_owned() + &lines.collect::<String>();
    for text in [deep.as_str(), &bomb, "\0\0\0", "\u{feff}- 7\n"] {
        let run = test(&[("bad.yaml", text)], &[]);
        assert_eq!(run.exit, Exit::Failure);
        assert!(run.errors.starts_with("error: DIR/bad.yaml: "), "{}", run.errors);
    }
}
