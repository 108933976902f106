//! `palisade policy-audit diff`: what edits of a small shop mean.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests may fail like tests"
)]

mod common;

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

/// A policy of the shop that selects pods by a label.
fn policy(name: &str, selector: &str, rest: &str) -> String {
    format!(
        "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {{name: {name}, namespace: shop}}\n\
         spec: {{podSelector: {{matchLabels: {{{selector}}}}}{rest}}}"
    )
}

/// A policy of the shop that isolates all pods of it.
const CLOSED: &str = "
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: closed, namespace: shop}
spec: {podSelector: {}, policyTypes: [Ingress]}
";

/// A workload of the shop.
fn workload(kind: &str, name: &str, labels: &str, more: &str) -> String {
    let (version, template) = match kind {
        "CronJob" => (
            "batch/v1",
            "schedule: '* * * * *', jobTemplate: {spec: {template: ",
        ),
        _ => ("apps/v1", "selector: {}, template: "),
    };
    let end = if kind == "CronJob" { "}}" } else { "" };
    format!(
        "apiVersion: {version}\nkind: {kind}\nmetadata: {{name: {name}, namespace: shop}}\n\
         spec: {{{more}{template}{{metadata: {{labels: {{{labels}}}}}, spec: {{containers: [{{name: c}}]}}}}{end}}}"
    )
}

/// A running pod of the shop, of a `ReplicaSet` if one is named.
fn running(name: &str, labels: &str, owner: Option<&str>, address: &str) -> String {
    let owner = owner.map_or(String::new(), |owner| {
        format!(
            ", ownerReferences: [{{apiVersion: apps/v1, kind: ReplicaSet, name: {owner}, uid: u, controller: true}}]"
        )
    });
    format!(
        "apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}, namespace: shop, labels: {{{labels}}}{owner}}}\n\
         spec: {{nodeName: node-1, containers: [{{name: c}}]}}\nstatus: {{podIPs: [{{ip: {address}}}]}}"
    )
}

fn documents<T: AsRef<str>>(documents: &[T]) -> String {
    let documents: Vec<&str> = documents.iter().map(AsRef::as_ref).collect();
    documents.join("\n---\n")
}

/// What is said of new objects over others.
fn overlay(base: &str, new: &str, more: &[&str]) -> Run {
    let workshop = Workshop::new();
    workshop.write("base.yaml", base);
    workshop.write("new.yaml", new);
    let [base, new] = ["base.yaml", "new.yaml"].map(|name| workshop.path(name).to_str().unwrap().to_owned());
    let mut arguments = vec!["policy-audit", "diff", "-f", &new, "--base", &base];
    arguments.extend(more);
    palisade(&arguments)
}

fn changed(run: &Run) -> &str {
    assert_eq!(run.exit, Exit::Negative, "{}{}", run.errors, run.output);
    &run.output
}

#[test]
fn replicas_of_one_workload_are_told_beside_each_other() {
    let base = documents(&[
        workload("Deployment", "web", "app: web", "replicas: 3, ").as_str(),
        &workload("DaemonSet", "mesh", "app: mesh", ""),
        CLOSED,
    ]);
    let gossip = |app: &str| {
        let from = format!("from: [{{podSelector: {{matchLabels: {{app: {app}}}}}}}]");
        policy(
            &format!("{app}-gossip"),
            &format!("app: {app}"),
            &format!(", ingress: [{{{from}, ports: [{{port: 7946}}]}}]"),
        )
    };
    let new = documents(&[gossip("web"), gossip("mesh")]);
    insta::assert_snapshot!(changed(&overlay(&base, &new, &[])), @r"
        allowed: 7 pairs of pods; denied: none

        becomes allowed
          + shop/daemonset/mesh → shop/daemonset/mesh: 7946/TCP
              ingress: was isolated by shop/closed, and no rule allowed it; now allowed by shop/mesh-gossip ingress[0] (added)
          + shop/deployment/web → shop/deployment/web: 7946/TCP
              ingress: was isolated by shop/closed, and no rule allowed it; now allowed by shop/web-gossip ingress[0] (added)

        edited
          NetworkPolicy shop/mesh-gossip added
          NetworkPolicy shop/web-gossip added
        ");
    let both = documents(&[base.as_str(), new.as_str()]);
    insta::assert_snapshot!(changed(&run(&both, &base, &[])), @r"
        allowed: none; denied: 7 pairs of pods

        becomes denied
          - shop/daemonset/mesh → shop/daemonset/mesh: 7946/TCP
              ingress: was allowed by shop/mesh-gossip ingress[0] (removed); now isolated by shop/closed, and no rule allows it
          - shop/deployment/web → shop/deployment/web: 7946/TCP
              ingress: was allowed by shop/web-gossip ingress[0] (removed); now isolated by shop/closed, and no rule allows it

        edited
          NetworkPolicy shop/mesh-gossip removed
          NetworkPolicy shop/web-gossip removed
        ");
}

#[test]
fn one_pod_that_is_there_is_nobody_to_itself() {
    let base = documents(&[running("web", "app: web", None, "10.0.0.1").as_str(), CLOSED]);
    let own = policy(
        "own",
        "app: web",
        ", ingress: [{from: [{podSelector: {matchLabels: {app: web}}}]}]",
    );
    let run = overlay(&base, &own, &[]);
    assert_eq!(run.exit, Exit::Success);
    insta::assert_snapshot!(run.output, @r"
        no change in meaning; 1 policy edited without effect

        edited
          NetworkPolicy shop/own added: no change in meaning
        ");
}

#[test]
fn workloads_of_one_name_are_told_apart_by_their_kinds() {
    let base = documents(&[
        workload("Deployment", "api", "app: api", "replicas: 2, ").as_str(),
        &workload("CronJob", "api", "job: api", ""),
        CLOSED,
    ]);
    let same = run(&base, &base, &[]);
    assert_eq!(same.exit, Exit::Success);
    assert_eq!(same.output, "no change in meaning\n");
    let open = policy("open", "job: api", ", ingress: [{}]");
    insta::assert_snapshot!(changed(&overlay(&base, &open, &[])), @r"
        allowed: 3 pairs of pods, and with addresses outside; denied: none

        becomes allowed
          + any → shop/cronjob/api: all
              ingress: was isolated by shop/closed, and no rule allowed it; now allowed by shop/open ingress[0] (added)

        edited
          NetworkPolicy shop/open added
        ");
    let alone = documents(&[
        workload("Deployment", "api", "app: api", "replicas: 2, ").as_str(),
        CLOSED,
    ]);
    let gone = run(&base, &alone, &["-o", "json"]);
    let document: serde_json::Value = serde_json::from_str(&gone.output).unwrap();
    insta::assert_snapshot!(document["gone"], @r#"["shop/cronjob/api"]"#);
}

#[test]
fn pods_are_followed_through_a_roll_out() {
    let web = |set: &str, address: &str| running(&format!("{set}-x"), "app: web", Some(set), address);
    let db = running("db-0", "app: db", None, "10.0.0.9");
    let before = documents(&[web("web-1", "10.0.0.1").as_str(), &db, CLOSED]);
    let open = policy("open", "app: web", ", ingress: [{}]");
    let after = documents(&[web("web-2", "10.0.0.2").as_str(), &db, CLOSED, &open]);
    insta::assert_snapshot!(changed(&run(&before, &after, &[])), @r"
        allowed: 1 pair of pods, and with addresses outside; denied: none

        becomes allowed
          + any → shop/replicaset/web-2: all
              ingress: was isolated by shop/closed, and no rule allowed it; now allowed by shop/open ingress[0] (added)

        edited
          NetworkPolicy shop/open added

        pods with another name
          shop/web-2-x (was shop/web-1-x)
        ");
    let after = documents(&[web("web-2", "10.0.0.2"), db]);
    insta::assert_snapshot!(changed(&run(&before, &after, &[])), @r"
        allowed: 2 pairs of pods, and with addresses outside; denied: none; 2 pods become open

        becomes allowed
          + any → any pod: all
              ingress: was isolated by shop/closed (removed), and no rule allowed it; now not isolated

        isolation
          any pod: open for ingress, was isolated by shop/closed (removed)

        edited
          NetworkPolicy shop/closed removed

        pods with another name
          shop/web-2-x (was shop/web-1-x)
        ");
}

#[test]
fn pods_that_are_there_are_those_of_their_template() {
    let deployment = workload("Deployment", "web", "app: web", "replicas: 2, ");
    let set = "apiVersion: apps/v1\nkind: ReplicaSet\nmetadata: {name: web-1, namespace: shop, ownerReferences: \
               [{apiVersion: apps/v1, kind: Deployment, name: web, uid: d, controller: true}]}\n\
               spec: {replicas: 2, selector: {}, template: {metadata: {labels: {app: web}}}}";
    let pods =
        ["a", "b"].map(|name| running(&format!("web-1-{name}"), "app: web", Some("web-1"), "10.0.0.1"));
    let pods = [pods[0].clone(), pods[1].replace("10.0.0.1", "10.0.0.2")];
    let live = documents(&[deployment.as_str(), set, &pods[0], &pods[1], CLOSED]);
    insta::assert_snapshot!(changed(&run(&live, &deployment, &[])), @r"
        allowed: 2 pairs of pods, and with addresses outside; denied: none; 2 pods become open

        becomes allowed
          + any → any pod: all
              ingress: was isolated by shop/closed (removed), and no rule allowed it; now not isolated

        isolation
          any pod: open for ingress, was isolated by shop/closed (removed)

        edited
          NetworkPolicy shop/closed removed

        pods with another name
          shop/deployment/web (was shop/web-1-a and shop/web-1-b)
        ");
    insta::assert_snapshot!(changed(&run(&deployment, &live, &[])), @r"
        allowed: none; denied: 2 pairs of pods, and with addresses outside; 2 pods become isolated

        becomes denied
          - any → any pod: all
              ingress: was not isolated; now isolated by shop/closed (added), and no rule allows it

        isolation
          any pod: isolated for ingress by shop/closed (added)

        edited
          NetworkPolicy shop/closed added

        pods with another name
          shop/web-1-a (was shop/deployment/web), shop/web-1-b (was shop/deployment/web)
        ");
}

#[test]
fn a_new_template_makes_new_pods() {
    let owner = Some("web-1");
    let base = documents(&[
        workload("Deployment", "web", "app: web", "replicas: 2, ").as_str(),
        "apiVersion: apps/v1\nkind: ReplicaSet\nmetadata: {name: web-1, namespace: shop, ownerReferences: \
         [{apiVersion: apps/v1, kind: Deployment, name: web, uid: d, controller: true}]}\n\
         spec: {replicas: 2, selector: {}, template: {metadata: {labels: {app: web}}}}",
        &running("web-1-a", "app: web, injected: x", owner, "10.0.0.1"),
        &running("web-1-b", "app: web, injected: x", owner, "10.0.0.2"),
        &policy("public", "role: public", ", ingress: [{}]"),
        CLOSED,
    ]);
    let same = overlay(
        &base,
        &workload("Deployment", "web", "app: web", "replicas: 2, "),
        &[],
    );
    assert_eq!((same.exit, same.errors.as_str()), (Exit::Success, ""));
    let new = workload("Deployment", "web", "app: web, role: public", "replicas: 2, ");
    let run = overlay(&base, &new, &[]);
    insta::assert_snapshot!(run.errors, @r"
        note: the template of Deployment shop/web has changed: one pod made from it stands for 2 new pods
        note: 1 pod without an address: placeholders from 10.128.0.0/9 stand for them
        ");
    insta::assert_snapshot!(changed(&run), @r"
        allowed: 2 pairs of pods, and with addresses outside; denied: none

        becomes allowed
          + any → any pod: all
              ingress: was isolated by shop/closed, and no rule allowed it; now allowed by shop/public ingress[0]

        edited
          Pod shop/deployment/web labelled role=public

        pods with another name
          shop/deployment/web (was shop/web-1-a and shop/web-1-b)
        ");
}

#[test]
fn policies_for_new_pods_alone_are_not_without_meaning() {
    let base = documents(&[running("web", "app: web", None, "10.0.0.1").as_str(), CLOSED]);
    let new = documents(&[
        workload("Deployment", "api", "app: api", "replicas: 2, ").as_str(),
        &policy("api-open", "app: api", ", ingress: [{}]"),
        &policy("api-closed", "app: api", ", policyTypes: [Egress]"),
        &policy("nobody", "app: none", ", ingress: [{}]"),
    ]);
    insta::assert_snapshot!(changed(&overlay(&base, &new, &[])), @r"
        no change between pods that both states have; 2 policies edited for pods that are new or gone; 1 policy edited without effect; not compared: shop/deployment/api (new)

        edited
          NetworkPolicy shop/api-closed added: only for pods that are new or gone
          NetworkPolicy shop/api-open added: only for pods that are new or gone
          NetworkPolicy shop/nobody added: no change in meaning

        new pods
          shop/deployment/api (isolated for ingress and egress)
        ");
    let gone = documents(&[base.as_str(), new.as_str()]);
    insta::assert_snapshot!(changed(&run(&gone, &base, &[])), @r"
        no change between pods that both states have; 2 policies edited for pods that are new or gone; 1 policy edited without effect; not compared: shop/deployment/api (gone)

        edited
          NetworkPolicy shop/api-closed removed: only for pods that are new or gone
          NetworkPolicy shop/api-open removed: only for pods that are new or gone
          NetworkPolicy shop/nobody removed: no change in meaning

        pods that are gone
          shop/deployment/api
        ");
}

#[test]
fn each_port_has_its_own_cause() {
    let pods = [
        running("a", "app: a", None, "10.0.0.1"),
        running("b", "app: b", None, "10.0.0.2"),
    ];
    let out = |rules: &str| {
        policy(
            "out",
            "app: a",
            &format!(", policyTypes: [Egress], egress: [{rules}]"),
        )
    };
    let inward = |port: u16| {
        policy(
            &format!("in-{port}"),
            "app: b",
            &format!(", ingress: [{{ports: [{{port: {port}}}]}}]"),
        )
    };
    let before = documents(&[
        pods[0].as_str(),
        &pods[1],
        &out("{ports: [{port: 80}, {port: 443}]}"),
        &inward(80),
        &inward(443),
    ]);
    let after = documents(&[pods[0].as_str(), &pods[1], &out(""), &inward(80)]);
    insta::assert_snapshot!(changed(&run(&before, &after, &[])), @r"
        allowed: none; denied: 2 pairs of pods, and with addresses outside

        becomes denied
          - shop/a → shop/b: 80/TCP
              egress: was allowed by shop/out egress[0]; now isolated by shop/out (changed), and no rule allows it
          - shop/a → shop/b: 443/TCP
              egress: was allowed by shop/out egress[0]; now isolated by shop/out (changed), and no rule allows it
              ingress: was allowed by shop/in-443 ingress[0] (removed); now isolated by shop/in-80, and no rule allows it
          - shop/b, any address outside → shop/b: 443/TCP
              ingress: was allowed by shop/in-443 ingress[0] (removed); now isolated by shop/in-80, and no rule allows it
          - shop/a → any address outside: 80,443/TCP
              egress: was allowed by shop/out egress[0]; now isolated by shop/out (changed), and no rule allows it

        edited
          NetworkPolicy shop/in-443 removed
          NetworkPolicy shop/out changed
        ");
}

#[test]
fn no_port_of_a_long_list_is_left_out() {
    let base = documents(&[running("b", "app: b", None, "10.0.0.2").as_str(), CLOSED]);
    let ports: Vec<String> = (0..100)
        .map(|number| format!("{{port: {}}}", 9000 + 10 * number))
        .collect();
    let new = documents(&[
        policy(
            "agents",
            "app: b",
            &format!(", ingress: [{{ports: [{}]}}]", ports.join(", ")),
        ),
        policy(
            "dns",
            "app: b",
            ", ingress: [{ports: [{port: 53, protocol: UDP}]}]",
        ),
    ]);
    let run = overlay(&base, &new, &[]);
    assert!(
        changed(&run).contains("53/UDP\n      ingress: was isolated by shop/closed, and no rule allowed it; now allowed by shop/dns"),
        "{}",
        run.output
    );
    assert!(
        run.output
            .ends_with("edited\n  NetworkPolicy shop/agents added\n  NetworkPolicy shop/dns added\n")
    );
}

#[test]
fn a_pod_with_another_port_or_address_was_edited() {
    let old = "
apiVersion: v1
kind: Pod
metadata: {name: b, namespace: shop, labels: {app: b}}
spec: {nodeName: node-1, containers: [{name: c, ports: [{name: http, containerPort: 8080}, {name: old, containerPort: 1}]}]}
status: {podIPs: [{ip: 10.0.0.6}]}
";
    let new = old
        .replace("8080", "9090")
        .replace(", {name: old, containerPort: 1}", "")
        .replace("10.0.0.6", "10.9.0.6");
    let http = policy("http", "app: b", ", ingress: [{ports: [{port: http}]}]");
    let [old, new] = [old, new.as_str()].map(|pod| documents(&[pod, http.as_str()]));
    insta::assert_snapshot!(changed(&run(&old, &new, &[])), @r"
        allowed: with addresses outside; denied: with addresses outside

        becomes allowed
          + any → any pod: 9090/TCP
              ingress: was isolated by shop/http, and no rule allowed it; now allowed by shop/http ingress[0]

        becomes denied
          - any → any pod: 8080/TCP
              ingress: was allowed by shop/http ingress[0]; now isolated by shop/http, and no rule allows it

        edited
          Pod shop/b with port http 9090/TCP, old-, at 10.9.0.6
        ");
}

#[test]
fn a_policy_that_says_the_same_in_both_states_is_not_effective() {
    let pod = running("web", "app: web", None, "10.0.0.1");
    let open = policy("open", "app: web", ", ingress: [{}]");
    let idle = CLOSED.replace(
        "[Ingress]",
        "[Ingress], ingress: [{from: [{podSelector: {matchLabels: {no: such}}}]}]",
    );
    let [before, after] = [
        documents(&[pod.as_str(), CLOSED, &open]),
        documents(&[pod.as_str(), &idle]),
    ];
    insta::assert_snapshot!(changed(&run(&before, &after, &[])), @r"
        allowed: none; denied: with addresses outside; 1 policy edited without effect

        becomes denied
          - any → any pod: all
              ingress: was allowed by shop/open ingress[0] (removed); now isolated by shop/closed (changed), and no rule allows it

        edited
          NetworkPolicy shop/closed changed: no change in meaning
          NetworkPolicy shop/open removed
        ");
}

#[test]
fn objects_without_a_namespace_are_where_they_are_applied() {
    let base = running("web", "app: web", None, "10.0.0.1");
    let deny = "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: deny}\nspec: {podSelector: {}}";
    assert_eq!(overlay(&base, deny, &[]).exit, Exit::Success);
    let run = overlay(&base, deny, &["-n", "shop"]);
    assert!(
        changed(&run).contains("isolated for ingress by shop/deny (added)"),
        "{}",
        run.output
    );
}

#[test]
fn a_whole_state_tells_what_was_deleted_and_an_overlay_does_not() {
    let pod = running("web", "app: web", None, "10.0.0.1");
    let base = documents(&[pod.as_str(), CLOSED]);
    assert_eq!(overlay(&base, &pod, &[]).exit, Exit::Success);
    assert!(changed(&run(&base, &pod, &[])).contains("NetworkPolicy shop/closed removed"));
}

#[test]
fn a_witness_outside_has_an_address_that_is_nobodys() {
    let base = running("web", "app: web", None, "10.0.0.1");
    let run = overlay(&base, CLOSED, &["-o", "json"]);
    let document: serde_json::Value = serde_json::from_str(changed(&run)).unwrap();
    assert_eq!(document["changes"][0]["witness"]["source"], "192.0.2.1");
}

#[test]
fn markdown_names_all_policies_that_isolate() {
    let long = "p".repeat(60);
    let base = running("web", "app: web", None, "10.0.0.1");
    let policies: Vec<String> = (0..6)
        .map(|number| {
            policy(
                &format!("{long}-{number}"),
                "app: web",
                ", policyTypes: [Ingress]",
            )
        })
        .collect();
    let run = overlay(&base, &documents(&policies), &["-o", "markdown"]);
    let isolation = changed(&run)
        .lines()
        .find(|line| line.contains("isolated for ingress by"));
    for number in 0..6 {
        assert!(
            isolation.unwrap().contains(&format!("{long}-{number}")),
            "{}",
            run.output
        );
    }
}
