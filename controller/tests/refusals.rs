//! What `palisade compile` refuses, and what it says then.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests may fail like tests"
)]

mod common;

use std::fs;

use common::Workshop;
use palisade_controller::cli::Exit;

const NODE: &str = "
apiVersion: v1
kind: Node
metadata: {name: node-1}
spec: {podCIDRs: [10.0.0.0/24]}
";

const POD: &str = "
apiVersion: v1
kind: Pod
metadata: {name: web, namespace: shop, labels: {role: web}}
spec: {nodeName: node-1, containers: [{name: web, ports: [{name: http, containerPort: 8080}]}]}
status: {podIPs: [{ip: 10.0.0.5}]}
";

/// A policy `shop/NAME` with this `spec`, in YAML's flow style.
fn policy(name: &str, spec: &str) -> String {
    format!(
        "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {{name: {name}, namespace: shop}}\nspec: {spec}\n"
    )
}

fn documents(documents: &[&str]) -> String {
    documents.join("\n---\n")
}

/// What is said about a folder with a node, a pod and `broken`, of which nothing may be compiled.
fn refusal(broken: impl AsRef<[u8]>) -> String {
    let workshop = Workshop::new();
    workshop.write("manifests/cluster.yaml", documents(&[NODE, POD]));
    workshop.write("manifests/policies.yaml", broken);
    let run = workshop.compile(&["manifests"], &[]);
    assert_eq!(run.exit, Exit::Failure);
    assert_eq!(run.output, "");
    assert!(!workshop.path("out").exists(), "something was written");
    run.errors
}

fn policy_refusal(spec: &str) -> String {
    refusal(documents(&[
        &policy("good", "{podSelector: {}}"),
        &policy("bad", spec),
    ]))
}

#[test]
fn malformed_documents_are_named() {
    insta::assert_snapshot!(
        "malformed_syntax",
        refusal(documents(&[&policy("good", "{podSelector: {}}"), "a: ["]))
    );
    insta::assert_snapshot!("malformed_shape", refusal("[1, 2]"));
    insta::assert_snapshot!(
        "malformed_without_kind",
        refusal("apiVersion: v1\nmetadata: {name: a}")
    );
    insta::assert_snapshot!(
        "malformed_without_version",
        refusal("kind: Pod\nmetadata: {name: a}")
    );
    insta::assert_snapshot!(
        "malformed_without_name",
        refusal("apiVersion: v1\nkind: Pod\nmetadata: {generateName: a}")
    );
    insta::assert_snapshot!(
        "malformed_name",
        refusal("apiVersion: v1\nkind: Node\nmetadata: {name: ../node}")
    );
    insta::assert_snapshot!(
        "malformed_namespace",
        refusal("apiVersion: v1\nkind: Pod\nmetadata: {name: a, namespace: 7}")
    );
    insta::assert_snapshot!("malformed_items", refusal("apiVersion: v1\nkind: List\nitems: 7"));
}

#[test]
fn fields_of_the_wrong_type_are_named() {
    insta::assert_snapshot!(
        "type_in_policy",
        policy_refusal("{podSelector: {}, ingress: [{from: [{podSelector: 7}]}]}")
    );
    insta::assert_snapshot!(
        "type_null_rule",
        policy_refusal("{podSelector: {}, ingress: [null]}")
    );
    insta::assert_snapshot!(
        "type_in_pod",
        refusal("apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec: {hostNetwork: 7, containers: []}")
    );
}

#[test]
fn fields_that_do_not_exist_are_named() {
    insta::assert_snapshot!(
        "unknown_field",
        policy_refusal("{podSelector: {}, ingress: [{}, {form: [{podSelector: {}}]}]}")
    );
    insta::assert_snapshot!(
        "unknown_field_outside_spec",
        refusal("apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: a}\nspecs: {}")
    );
}

#[test]
fn unknown_operators_are_named() {
    insta::assert_snapshot!(
        "unknown_operator",
        policy_refusal("{podSelector: {matchExpressions: [{key: a, operator: Equals, values: [b]}]}}")
    );
}

#[test]
fn bad_cidrs_are_named() {
    insta::assert_snapshot!(
        "bad_cidr",
        policy_refusal(
            "{podSelector: {}, ingress: [{from: [{podSelector: {}}, {ipBlock: {cidr: 10.0.0.0/33}}]}]}"
        )
    );
}

#[test]
fn excepts_outside_their_cidr_are_named() {
    insta::assert_snapshot!(
        "except_outside",
        policy_refusal(
            "{podSelector: {}, egress: [{to: [{ipBlock: {cidr: 10.0.0.0/8, except: [10.1.0.0/16, 11.0.0.0/8]}}]}]}"
        )
    );
}

#[test]
fn end_ports_below_their_port_are_named() {
    insta::assert_snapshot!(
        "end_port_below",
        policy_refusal("{podSelector: {}, ingress: [{ports: [{port: 80, endPort: 79}]}]}")
    );
}

#[test]
fn other_bad_parts_of_a_policy_are_named_all_together() {
    insta::assert_snapshot!(
        "many_defects",
        policy_refusal(
            "{podSelector: {}, policyTypes: [ingress], ingress: [{from: [{}], ports: [{protocol: icmp}, {port: 0}, {port: HTTP}]}]}"
        )
    );
}

#[test]
fn objects_that_are_there_twice_are_named_with_both_places() {
    insta::assert_snapshot!(
        "duplicate",
        refusal(documents(&[&policy("a", "{}"), POD, &policy("a", "{}")]))
    );
    let pod = |name: &str| format!("apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}, uid: u-1}}\n");
    insta::assert_snapshot!("duplicate_uid", refusal(documents(&[&pod("a"), &pod("b")])));
}

#[test]
fn bad_pods_and_nodes_are_named() {
    insta::assert_snapshot!(
        "bad_pod_and_node",
        refusal(documents(&[
            "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nstatus: {podIPs: [{ip: 10.0.0.5}, {ip: fd00::g}]}",
            "apiVersion: v1\nkind: Node\nmetadata: {name: b}\nspec: {podCIDRs: [10.0.0.0]}",
        ]))
    );
}

#[test]
fn problems_of_list_items_are_named_with_the_item() {
    insta::assert_snapshot!(
        "list_item",
        refusal(
            "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicyList\nitems:\n- metadata: {name: a}\n- metadata: {name: b}\n  spec: {ingress: [{from: [{}]}]}"
        )
    );
}

#[test]
fn files_that_cannot_be_read_are_named() {
    let workshop = Workshop::new();
    fs::create_dir(workshop.path("empty")).unwrap();
    let run = workshop.compile(&["absent.yaml", "empty"], &[]);
    assert_eq!(run.exit, Exit::Failure);
    insta::assert_snapshot!("absent_file", run.errors);
    let run = workshop.compile(&["empty"], &[]);
    assert_eq!(run.exit, Exit::Failure);
    insta::assert_snapshot!("no_objects", run.errors);
}

#[test]
fn hostile_texts_are_errors_and_nothing_worse() {
    let bomb = {
        let level = |number: usize| {
            format!(
                "l{}: &l{} [{}]\n",
                number,
                number,
                format!("*l{},", number - 1).repeat(10)
            )
        };
        let levels: Vec<String> = (1..10).map(level).collect();
        format!("l0: &l0 [{}]\n{}", "lol,".repeat(10), levels.concat())
    };
    let flow = "[".repeat(100_000);
    let block: Vec<String> = (0..2_000)
        .map(|depth| format!("{}a:\n", " ".repeat(depth)))
        .collect();
    let json = format!("{}{}", "{\"a\":".repeat(10_000), "}".repeat(10_000));
    let binary: Vec<u8> = (0..4096_u32)
        .map(|number| (number * 7 % 256).to_le_bytes()[0])
        .collect();
    let texts: Vec<Vec<u8>> = vec![
        bomb.into(),
        flow.into(),
        block.concat().into(),
        json.into(),
        binary,
        b"\xff\xfe\x00".to_vec(),
        b"kind: \x00".to_vec(),
        b"a: &a [*a]".to_vec(),
        b"a: 1\na: 2".to_vec(),
        b"? [a]\n: b".to_vec(),
        b"!!binary x".to_vec(),
        b"%YAML 9\n---\n".to_vec(),
        b"*nobody".to_vec(),
        b"a: .nan".to_vec(),
    ];
    for text in texts {
        let said = refusal(&text);
        let first = said.lines().next().unwrap();
        assert!(
            first.starts_with("error: DIR/manifests/policies.yaml: document 1"),
            "{first}"
        );
        assert!(first.len() < 300, "{first}");
    }
}

#[test]
fn long_texts_are_not_repeated_whole() {
    let long = "x".repeat(100_000);
    for text in [
        policy("bad", &format!("{{podSelector: {long}}}")),
        policy("bad", &format!("{{{long}: 1}}")).replace("{podSelector", "{"),
        policy(
            "bad",
            &format!("{{ingress: [{{from: [{{ipBlock: {{cidr: {long}}}}}]}}]}}"),
        ),
        format!("apiVersion: v1\nkind: Pod\nmetadata: {{name: a, namespace: {long}}}"),
        format!("apiVersion: v1\nkind: Pod\nmetadata: {{name: [{long}]}}"),
        format!("apiVersion: v1\nkind: Pod\nmetadata: {{name: {long}}}"),
    ] {
        let said = refusal(&text);
        assert!(said.len() < 700, "{said}");
    }
}

#[test]
fn one_bad_document_does_not_hide_the_problems_of_the_next() {
    let said = refusal(documents(&[
        "a: 1\na: 2",
        &policy("bad", "{ingress: [{from: [{}]}]}"),
    ]));
    assert!(said.contains("document 1: cannot be read"), "{said}");
    assert!(
        said.contains("document 2 (line 4): NetworkPolicy shop/bad: spec.ingress[0].from[0]"),
        "{said}"
    );
    assert!(said.ends_with("2 errors; nothing was written\n"), "{said}");
}
