//! `palisade compile`: what it reads, what it writes, what it leaves alone.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests may fail like tests"
)]

mod common;

use common::{Workshop, palisade};
use palisade_controller::cli::Exit;
use palisade_crds::files;
use palisade_policy::model::NodeName;

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

#[test]
fn going_on_lets_a_bad_policy_isolate_and_allow_nothing() {
    let workshop = Workshop::new();
    let bad = policy("bad", "{podSelector: {}, ingress: [{from: [{}]}]}");
    let broken = policy(
        "broken",
        "{podSelector: {matchLabels: {role: web}}, policyTypes: [Egress], egress: [{too: []}]}",
    );
    workshop.write("all.yaml", documents(&[NODE, POD, &bad, &broken]));
    let run = workshop.compile(&["all.yaml"], &["--keep-going"]);
    assert!(run.succeeded(), "{}", run.errors);
    insta::assert_snapshot!("keep_going", run.errors);

    let set = files::read(&workshop.path("out"), &NodeName::from("node-1")).unwrap();
    let pod = set.rules.pods.values().next().unwrap();
    assert!(
        pod.ingress.is_some() && pod.egress.is_some(),
        "isolated in both directions"
    );
    let policies = set.rules.policies();
    assert!(policies.values().all(|policy| !policy.rules.defects.is_empty()));
    let rules = policies.values().map(|policy| &policy.rules);
    for rule in rules.flat_map(|rules| rules.ingress.iter().chain(&rules.egress).flatten()) {
        assert_eq!(format!("{:?}", rule.peers), "AnyOf { groups: {}, blocks: {} }");
    }
}

#[test]
fn going_on_does_not_forgive_what_is_no_policy() {
    let workshop = Workshop::new();
    workshop.write(
        "all.yaml",
        documents(&[NODE, POD, "apiVersion: v1\nkind: Pod\nmetadata: {name: A}"]),
    );
    let run = workshop.compile(&["all.yaml"], &["--keep-going"]);
    assert_eq!(run.exit, Exit::Failure);
    assert!(!workshop.path("out").exists());
}

#[test]
fn manifests_come_as_files_folders_lists_json_and_standard_input_in_any_order() {
    let policy = policy("web", "{podSelector: {}, ingress: [{from: [{podSelector: {}}]}]}");
    let json = r#"{"apiVersion": "v1", "kind": "Pod",
		"metadata": {"name": "web", "namespace": "shop", "labels": {"role": "web"}, "annotations": {"a": "\ud83d\ude00\/"}},
		"spec": {"nodeName": "node-1", "containers": [{"name": "web", "ports": [{"name": "http", "containerPort": 8080}]}]},
		"status": {"podIPs": [{"ip": "10.0.0.5"}]}}"#;
    let list = |items: &[&str]| {
        let items: Vec<String> = items
            .iter()
            .map(|item| format!("- {}\n", item.trim().replace('\n', "\n  ")))
            .collect();
        let items = items.concat();
        format!("apiVersion: v1\nkind: List\nitems:\n{items}")
    };
    let compiled = |arrange: &dyn Fn(&Workshop), names: &[&str], input: &str| {
        let workshop = Workshop::new();
        arrange(&workshop);
        let run = workshop.compile_reading(names, &[], input.as_bytes());
        assert!(run.succeeded(), "{}", run.errors);
        files::read(&workshop.path("out"), &NodeName::from("node-1")).unwrap()
    };
    let one_file = compiled(
        &|workshop| workshop.write("a", documents(&[NODE, POD, &policy])),
        &["a"],
        "",
    );
    assert_eq!(one_file.rules.pods.len(), 1);
    assert_eq!(one_file.slices.iter().count(), 1);

    let reversed = compiled(
        &|workshop| workshop.write("a", documents(&["", &policy, "# nothing", POD, NODE])),
        &["a"],
        "",
    );
    assert_eq!(reversed, one_file);

    let folder = |workshop: &Workshop| {
        workshop.write("in/z.yml", &policy);
        workshop.write("in/deep/er/pod.json", json);
        workshop.write("in/node.yaml", NODE);
        workshop.write("in/README.md", "no: [manifest");
    };
    assert_eq!(compiled(&folder, &["in"], ""), one_file);

    let from_stdin = compiled(
        &|workshop| workshop.write("node", NODE),
        &["-", "node"],
        &documents(&[&policy, json]),
    );
    assert_eq!(from_stdin, one_file);

    assert_eq!(
        compiled(
            &|workshop| workshop.write("list", list(&[&policy, NODE, POD])),
            &["list"],
            ""
        ),
        one_file
    );

    let pods = format!("{{\"apiVersion\": \"v1\", \"kind\": \"PodList\", \"items\": [{json}]}}");
    let pods = pods.replace(r#""apiVersion": "v1", "kind": "Pod","#, "");
    assert_eq!(
        compiled(
            &|workshop| workshop.write("rest", documents(&[&policy, NODE])),
            &["rest", "-"],
            &pods
        ),
        one_file
    );
}

#[test]
fn json_objects_one_after_another_are_documents() {
    let workshop = Workshop::new();
    let object =
        |name: &str| format!(r#"{{"apiVersion": "v1", "kind": "Node", "metadata": {{"name": {name:?}}}}}"#);
    let stream = format!(
        "{}\n{}{}\n\n{}\n",
        object("a"),
        object("b"),
        object("c"),
        object("D")
    );
    let run = workshop.compile_reading(&["-"], &[], stream.as_bytes());
    assert_eq!(run.exit, Exit::Failure);
    assert!(
        run.errors
            .starts_with("error: <stdin>: document 4 (line 4): Node: "),
        "{}",
        run.errors
    );
    let run = workshop.compile_reading(&["-"], &[], stream.replace('D', "d").as_bytes());
    assert!(run.errors.starts_with("4 documents: 4 written"), "{}", run.errors);
}

#[test]
fn other_kinds_are_skipped_with_a_count() {
    let workshop = Workshop::new();
    let service = |name: &str| format!("apiVersion: v1\nkind: Service\nmetadata: {{name: {name}}}\n");
    let foreign = "apiVersion: projectcalico.org/v3\nkind: NetworkPolicy\nmetadata: {name: a}\n";
    workshop.write(
        "all.yaml",
        documents(&[NODE, &service("a"), foreign, &service("b")]),
    );
    let run = workshop.compile(&["all.yaml"], &[]);
    assert!(run.succeeded());
    assert_eq!(run.output, "");
    insta::assert_snapshot!("skipped", run.errors);
}

#[test]
fn namespaces_that_are_not_described_have_the_label_of_their_name() {
    let workshop = Workshop::new();
    let selector = "{matchLabels: {kubernetes.io/metadata.name: office}}";
    let policy = policy(
        "web",
        &format!("{{podSelector: {{}}, ingress: [{{from: [{{namespaceSelector: {selector}}}]}}]}}"),
    );
    let other = POD.replace("shop", "office").replace("10.0.0.5", "10.0.0.6");
    workshop.write("all.yaml", documents(&[NODE, POD, &other, &policy]));
    assert!(workshop.compile(&["all.yaml"], &[]).succeeded());
    let set = files::read(&workshop.path("out"), &NodeName::from("node-1")).unwrap();
    let members: Vec<String> = set
        .slices
        .values()
        .flat_map(|slice| &slice.members)
        .map(|member| member.pod.to_string())
        .collect();
    assert_eq!(members, ["office/web"]);
}

#[test]
fn the_output_holds_what_was_compiled_and_nothing_else() {
    let workshop = Workshop::new();
    let policy = policy("web", "{podSelector: {}, ingress: [{from: [{podSelector: {}}]}]}");
    let second = (
        NODE.replace("node-1", "node-2"),
        POD.replace("node-1", "node-2")
            .replace("name: web, n", "name: web2, n"),
    );
    let second = documents(&[&second.0, &second.1.replace("10.0.0.5", "10.0.0.6")]);
    workshop.write("all.yaml", documents(&[NODE, POD, &policy, &second]));

    assert!(
        workshop
            .compile(&["all.yaml"], &[])
            .errors
            .ends_with("4 documents: 4 written, 0 unchanged; 0 deleted\n")
    );
    let all = workshop.written();
    assert_eq!(all.len(), 4);
    assert!(
        workshop
            .compile(&["all.yaml"], &[])
            .errors
            .ends_with("4 documents: 0 written, 4 unchanged; 0 deleted\n")
    );

    let run = workshop.compile(&["all.yaml"], &["--node", "node-2"]);
    assert!(
        run.errors
            .ends_with("3 documents: 0 written, 3 unchanged; 1 deleted\n"),
        "{}",
        run.errors
    );
    assert_eq!(
        workshop.written(),
        [
            all[0].as_str(),
            "noderulesets/node-2.json",
            "policyslices/shop-s.json"
        ]
    );

    workshop.write("all.yaml", documents(&[NODE, POD]));
    let run = workshop.compile(&["all.yaml"], &[]);
    assert!(
        run.errors
            .ends_with("1 document: 1 written, 0 unchanged; 3 deleted\n"),
        "{}",
        run.errors
    );
}

#[test]
fn a_node_that_is_not_there_is_an_error() {
    let workshop = Workshop::new();
    workshop.write("all.yaml", documents(&[NODE, POD]));
    let run = workshop.compile(&["all.yaml"], &["--node", "node-9"]);
    assert_eq!(run.exit, Exit::Failure);
    assert_eq!(
        run.errors,
        "error: there is no node node-9 in the manifests, only: node-1\n"
    );
    assert!(!workshop.path("out").exists());
}

#[test]
fn an_output_that_cannot_be_written_is_an_error_with_its_path() {
    let workshop = Workshop::new();
    workshop.write("all.yaml", documents(&[NODE, POD]));
    workshop.write("out", "a file");
    let run = workshop.compile(&["all.yaml"], &[]);
    assert_eq!(run.exit, Exit::Failure);
    assert!(
        run.errors
            .starts_with("error: cannot create DIR/out/addressgroups: "),
        "{}",
        run.errors
    );
}

#[test]
fn help_goes_to_the_output_and_misuse_to_the_errors() {
    let help = palisade(&["compile", "--help"]);
    assert!(help.succeeded() && help.errors.is_empty());
    assert!(help.output.contains("--keep-going"));
    let misuse = palisade(&["compile", "-f"]);
    assert_eq!(misuse.exit, Exit::Failure);
    assert!(
        misuse.output.is_empty() && misuse.errors.starts_with("error: "),
        "{}",
        misuse.errors
    );
}
