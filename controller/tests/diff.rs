//! `palisade policy-audit diff`: what edits of a small shop mean.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests may fail like tests"
)]

mod common;
#[path = "diff/pods.rs"]
mod pods;

use common::{Run, Workshop, palisade};
use palisade_controller::cli::Exit;

const PODS: &str = r#"
apiVersion: v1
kind: Namespace
metadata: {name: shop, labels: {kubernetes.io/metadata.name: shop}}
---
apiVersion: v1
kind: Namespace
metadata: {name: watch, labels: {kubernetes.io/metadata.name: watch, team: ops}}
---
apiVersion: v1
kind: Pod
metadata: {name: web, namespace: shop, labels: {app: web}}
spec: {nodeName: node-1, containers: [{name: web}]}
status: {podIPs: [{ip: 10.0.0.1}, {ip: "fd00::1"}]}
---
apiVersion: v1
kind: Pod
metadata: {name: api, namespace: shop, labels: {app: api}}
spec: {nodeName: node-1, containers: [{name: api}]}
status: {podIPs: [{ip: 10.0.0.2}, {ip: "fd00::2"}]}
---
apiVersion: v1
kind: Pod
metadata: {name: db, namespace: shop, labels: {app: db}}
spec: {nodeName: node-1, containers: [{name: db}]}
status: {podIPs: [{ip: 10.0.0.3}, {ip: "fd00::3"}]}
---
apiVersion: v1
kind: Pod
metadata: {name: probe, namespace: watch, labels: {app: probe}}
spec: {nodeName: node-1, containers: [{name: probe}]}
status: {podIPs: [{ip: 10.0.1.1}, {ip: "fd00::11"}]}
"#;

const API: &str = r"
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: api, namespace: shop}
spec:
  podSelector: {matchLabels: {app: api}}
  policyTypes: [Ingress]
  ingress:
  - from: [{podSelector: {matchLabels: {app: web}}}]
    ports: [{port: 8000, endPort: 8010}]
  - from: [{namespaceSelector: {matchLabels: {team: ops}}}]
    ports: [{port: 9100}]
";

const EDGE: &str = r"
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: edge, namespace: shop}
spec:
  podSelector: {matchLabels: {app: web}}
  policyTypes: [Ingress]
  ingress:
  - from: [{ipBlock: {cidr: 0.0.0.0/0, except: [10.0.0.0/8, 198.51.100.0/24]}}]
    ports: [{port: 443}]
";

fn state() -> String {
    [PODS, API, EDGE].join("\n---\n")
}

fn run(old: &str, new: &str, more: &[&str]) -> Run {
    let workshop = Workshop::new();
    workshop.write("old.yaml", old);
    workshop.write("new.yaml", new);
    let [old, new] = ["old.yaml", "new.yaml"].map(|name| workshop.path(name).to_str().unwrap().to_owned());
    let mut arguments = vec!["policy-audit", "diff", old.as_str(), new.as_str()];
    arguments.extend(more);
    palisade(&arguments)
}

/// What is said of the shop with `from` replaced by `to`.
fn edit(from: &str, to: &str) -> String {
    let old = state();
    assert!(old.contains(from));
    let run = run(&old, &old.replace(from, to), &[]);
    assert_eq!(run.exit, Exit::Negative, "{}{}", run.errors, run.output);
    run.output
}

/// What is said of the shop with one more policy.
fn add(policy: &str, more: &[&str]) -> Run {
    run(&state(), &[state().as_str(), policy].join("\n---\n"), more)
}

const DENY: &str = r"
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: deny, namespace: shop}
spec: {podSelector: {}, policyTypes: [Ingress, Egress], egress: [{to: [{podSelector: {}}]}]}
";

#[test]
fn what_is_written_otherwise_may_mean_the_same() {
    let old = state();
    let new = old
        .replace(
            "[{port: 8000, endPort: 8010}]",
            "[{port: 8005, endPort: 8010}, {port: 8000, endPort: 8004}, {protocol: TCP, port: 8001}]",
        )
        .replace(
            "except: [10.0.0.0/8, 198.51.100.0/24]",
            "except: [10.0.0.0/9, 198.51.100.0/24, 10.128.0.0/9]",
        );
    let run = run(&old, &new, &[]);
    assert_eq!(run.exit, Exit::Success, "{}", run.output);
    insta::assert_snapshot!(run.output, @r"
        no change in meaning; 2 policies edited without effect

        edited
          NetworkPolicy shop/api changed: no change in meaning
          NetworkPolicy shop/edge changed: no change in meaning
        ");
}

#[test]
fn nothing_edited_is_no_change() {
    let run = run(&state(), &state(), &[]);
    assert_eq!(run.exit, Exit::Success);
    assert_eq!(run.output, "no change in meaning\n");
}

#[test]
fn a_wider_end_port_allows_more() {
    insta::assert_snapshot!(edit("endPort: 8010", "endPort: 8020"), @r"
        allowed: 1 pair of pods; denied: none

        becomes allowed
          + shop/web → shop/api: 8011-8020/TCP
              ingress: was isolated by shop/api, and no rule allowed it; now allowed by shop/api ingress[0] (changed)

        edited
          NetworkPolicy shop/api changed
        ");
}

#[test]
fn an_except_that_goes_lets_its_addresses_in() {
    insta::assert_snapshot!(edit("10.0.0.0/8, 198.51.100.0/24", "10.0.0.0/8"), @r"
        allowed: with addresses outside; denied: none

        becomes allowed
          + 198.51.100.0/24 → shop/web: 443/TCP
              ingress: was isolated by shop/edge, and no rule allowed it; now allowed by shop/edge ingress[0] (changed)

        edited
          NetworkPolicy shop/edge changed
        ");
}

#[test]
fn a_namespace_that_loses_its_label_loses_what_it_gave() {
    insta::assert_snapshot!(edit("watch, team: ops", "watch, team: dev"), @r"
        allowed: none; denied: 1 pair of pods

        becomes denied
          - watch/probe → shop/api: 9100/TCP
              ingress: was allowed by shop/api ingress[1]; now isolated by shop/api, and no rule allows it

        edited
          Namespace watch labelled team=dev
        ");
}

#[test]
fn a_pod_with_another_label_leaves_its_policies() {
    insta::assert_snapshot!(edit("name: db, namespace: shop, labels: {app: db}", "name: db, namespace: shop, labels: {app: api}"), @r"
        allowed: none; denied: 3 pairs of pods, and with addresses outside; 1 pod becomes isolated

        becomes denied
          - shop/api, shop/db, any address outside → shop/db: all
              ingress: was not isolated; now isolated by shop/api, and no rule allows it
          - shop/web → shop/db: all except 8000-8010/TCP
              ingress: was not isolated; now isolated by shop/api, and no rule allows it
          - watch/probe → shop/db: all except 9100/TCP
              ingress: was not isolated; now isolated by shop/api, and no rule allows it

        isolation
          shop/db: isolated for ingress by shop/api

        edited
          Pod shop/db labelled app=api
        ");
}

#[test]
fn a_new_isolation_names_who_is_cut_off() {
    insta::assert_snapshot!("diff_deny", add(DENY, &[]).output);
}

#[test]
fn a_policy_that_says_what_others_say_has_no_effect() {
    let run = add(
        &API.replace("name: api,", "name: api-again,")
            .replace("endPort: 8010", "endPort: 8005"),
        &[],
    );
    assert_eq!(run.exit, Exit::Success);
    insta::assert_snapshot!(run.output, @r"
        no change in meaning; 1 policy edited without effect

        edited
          NetworkPolicy shop/api-again added: no change in meaning
        ");
}

#[test]
fn markdown_fits_a_pull_request() {
    let run = add(DENY, &["-o", "markdown"]);
    assert_eq!(run.exit, Exit::Negative);
    insta::assert_snapshot!("diff_markdown", run.output);
}

#[test]
fn json_has_it_all() {
    let old = state();
    let run = run(
        &old,
        &old.replace("endPort: 8010", "endPort: 8020"),
        &["-o", "json"],
    );
    let document: serde_json::Value = serde_json::from_str(&run.output).unwrap();
    assert_eq!(document["changed"], true);
    insta::assert_snapshot!(document["changes"][0], @r#"{"effect":"allowed","egress":null,"family":null,"from":["shop/web"],"ingress":{"grants":[{"policy":"shop/api","rule":0}],"isolating":["shop/api"]},"outsidePairs":0,"perhapsOthers":false,"podPairs":1,"ports":{"TCP":[[8011,8020]]},"to":["shop/api"],"witness":{"destination":"10.0.0.2","source":"10.0.0.1","transport":"8011/TCP"}}"#);
    insta::assert_snapshot!(document["policies"], @r#"[{"edit":"changed","effective":true,"meaning":"changes","name":"shop/api"}]"#);
}

#[test]
fn new_objects_are_laid_over_a_base() {
    let workshop = Workshop::new();
    workshop.write("base.yaml", state());
    let pod = "
apiVersion: v1
kind: Pod
metadata: {name: cache, namespace: shop, labels: {app: api}}
spec: {nodeName: node-1, containers: [{name: cache}]}
status: {podIPs: [{ip: 10.0.0.9}]}
";
    workshop.write("new.yaml", [pod, &API.replace("8010", "8000")].join("\n---\n"));
    let [base, new] = ["base.yaml", "new.yaml"].map(|name| workshop.path(name).to_str().unwrap().to_owned());
    let run = palisade(&["policy-audit", "diff", "-f", &new, "--base", &base]);
    assert_eq!(run.exit, Exit::Negative, "{}", run.errors);
    insta::assert_snapshot!(run.output, @r"
        allowed: none; denied: 1 pair of pods; not compared: shop/cache (new)

        becomes denied
          - shop/web → shop/api: 8001-8010/TCP
              ingress: was allowed by shop/api ingress[0]; now isolated by shop/api (changed), and no rule allows it

        edited
          NetworkPolicy shop/api changed

        new pods
          shop/cache (isolated for ingress)
        ");
}

#[test]
fn what_cannot_be_compared_is_said() {
    assert_eq!(palisade(&["policy-audit", "diff"]).exit, Exit::Failure);
    assert_eq!(palisade(&["policy-audit", "diff", "one"]).exit, Exit::Failure);
    assert_eq!(
        palisade(&["policy-audit", "diff", "one", "two", "-f", "three"]).exit,
        Exit::Failure
    );
    let run = palisade(&["policy-audit", "diff", "/nowhere/old.yaml", "/nowhere/new.yaml"]);
    assert_eq!(run.exit, Exit::Failure);
    assert!(run.errors.contains("/nowhere/old.yaml"), "{}", run.errors);
}

#[test]
fn letters_that_no_label_may_have_are_escaped() {
    let old = state();
    let new = old.replace("labels: {app: probe}", r#"labels: {app: "<b>|\n\u001b[31m`"}"#);
    let text = run(&old, &new, &[]);
    assert_eq!(text.exit, Exit::Success);
    assert!(
        text.output
            .contains(r#"Pod watch/probe labelled app="<b>|\\n\\u{1b}[31m`""#),
        "{}",
        text.output
    );
    let markdown = run(&old, &new, &["-o", "markdown"]).output;
    assert!(
        !markdown.contains("<b>") && markdown.contains("\\<b\\>\\|"),
        "{markdown}"
    );
}
