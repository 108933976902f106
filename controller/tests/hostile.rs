//! Files that are mistakes, or attacks: an error that names the place, in bounded time and memory, and never a panic.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests may fail like tests"
)]

mod common;

use std::fs::File;
use std::os::unix::fs::symlink;
use std::process::Command;

use common::Workshop;
use palisade_controller::inventory::{LoadError, Loaded};
use palisade_policy::testing::config;
use proptest::prelude::*;
use proptest::sample::Index;
use serde_json::{Map, Value, json};

fn load(text: impl AsRef<[u8]>) -> Result<Loaded, LoadError> {
    let workshop = Workshop::new();
    workshop.write("all.yaml", text);
    workshop.load(&["all.yaml"], &[]).0
}

/// What is wrong with a text, problem by problem.
fn refusal(text: impl AsRef<[u8]>) -> Vec<String> {
    match load(text) {
        Err(LoadError::Manifests(invalid)) => invalid.problems.iter().map(ToString::to_string).collect(),
        Err(other) => panic!("{other}"),
        Ok(loaded) => panic!("{:?}", loaded.inventory),
    }
}

/// One valid object of each kind that is read.
fn examples() -> Vec<Value> {
    let template = json!({"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [
        {"name": "a", "ports": [{"name": "http", "containerPort": 80, "protocol": "TCP"}]}]}});
    let workload = |version: &str, kind: &str, spec: Value| json!({"apiVersion": version, "kind": kind, "metadata": {"name": "web", "namespace": "shop"}, "spec": spec});
    let apps = |kind: &str| {
        workload(
            "apps/v1",
            kind,
            json!({"replicas": 2, "selector": {}, "template": template}),
        )
    };
    let peer = json!([{"podSelector": {"matchLabels": {"a": "b"}}, "namespaceSelector": {"matchExpressions":
        [{"key": "a", "operator": "In", "values": ["b"]}]}}, {"ipBlock": {"cidr": "10.0.0.0/8", "except": ["10.1.0.0/16"]}}]);
    let ports = json!([{"protocol": "TCP", "port": 1, "endPort": 2}, {"port": "http"}]);
    vec![
        json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop", "labels": {"a": "b"}}}),
        json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "node-1"}, "spec": {"podCIDRs": ["10.0.0.0/24"]},
            "status": {"addresses": [{"type": "InternalIP", "address": "192.168.0.1"}]}}),
        json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a", "namespace": "shop", "uid": "u",
            "labels": {"a": "b"}, "creationTimestamp": "2026-01-01T00:00:00Z", "ownerReferences":
            [{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web-1", "uid": "r", "controller": true}]},
            "spec": {"nodeName": "node-1", "hostNetwork": false, "containers": [{"name": "a", "ports": [
            {"name": "http", "containerPort": 80}]}]}, "status": {"phase": "Running", "podIPs": [{"ip": "10.0.0.5"}]}}),
        json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"}, "spec": {"type": "NodePort",
            "clusterIPs": ["10.96.0.1"], "selector": {"a": "b"}, "ports": [{"port": 80, "targetPort": "http"}]}}),
        json!({"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "metadata": {"name": "web-1",
            "labels": {"kubernetes.io/service-name": "web"}}, "addressType": "IPv4", "endpoints": [{"addresses": ["10.0.0.5"]}]}),
        json!({"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": {"name": "web"}, "spec": {
            "podSelector": {"matchLabels": {"a": "b"}}, "policyTypes": ["Ingress", "Egress"],
            "ingress": [{"from": peer, "ports": ports}], "egress": [{"to": peer, "ports": ports}]}}),
        apps("Deployment"),
        apps("StatefulSet"),
        apps("DaemonSet"),
        apps("ReplicaSet"),
        workload("batch/v1", "Job", json!({"parallelism": 2, "template": template})),
        workload(
            "batch/v1",
            "CronJob",
            json!({"schedule": "* * * * *", "jobTemplate": {"spec": {"template": template}}}),
        ),
        json!({"apiVersion": "palisade.dev/v1alpha1", "kind": "NodeRuleSet", "metadata": {"name": "node-1"},
            "spec": {"revision": 1, "hash": "h", "node": "node-1", "pods": [{"uid": "u", "pod": "shop/a"}]}}),
        json!({"apiVersion": "palisade.dev/v1alpha1", "kind": "PodSlice", "metadata": {"name": "n-s0"},
            "spec": {"revision": 1, "hash": "h", "node": "node-1", "slice": "s0", "pods": [{"uid": "u", "pod": "shop/a"}]}}),
        json!({"apiVersion": "palisade.dev/v1alpha1", "kind": "PolicySlice", "metadata": {"name": "shop-s"},
            "spec": {"revision": 1, "hash": "h", "namespace": "shop", "slice": "s"}}),
        json!({"apiVersion": "palisade.dev/v1alpha1", "kind": "AddressGroup", "metadata": {"name": "g-s"},
            "spec": {"revision": 1, "hash": "h", "group": "g", "slice": "s"}}),
    ]
}

fn list(items: &[Value]) -> Value {
    json!({"apiVersion": "v1", "kind": "List", "items": items})
}

#[test]
fn the_examples_are_valid() {
    let loaded = load(list(&examples()).to_string()).unwrap();
    assert_eq!(
        loaded.inventory.workloads.len(),
        7,
        "six, and the owner of the pod"
    );
}

#[test]
fn a_large_file_of_nothing_is_refused_at_its_first_byte() {
    let workshop = Workshop::new();
    let file = File::create(workshop.path("sparse.yaml")).unwrap();
    file.set_len(1 << 30).unwrap();
    let (loaded, _) = workshop.load(&["sparse.yaml"], &[]);
    let said = match loaded.unwrap_err() {
        LoadError::Manifests(invalid) => invalid.problems[0].to_string(),
        other => panic!("{other}"),
    };
    assert!(said.contains("sparse.yaml: document 1: cannot be read"), "{said}");
}

#[test]
fn a_field_that_is_there_twice_is_refused_with_its_place() {
    let item = r#"{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a", "name": "b"}}"#;
    let text = format!(
        r#"{{"apiVersion": "v1", "kind": "List", "items": [{{"apiVersion": "v1", "kind": "ConfigMap"}}, {item}]}}"#
    );
    let said = refusal(text);
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(
        said[0].ends_with("all.yaml: document 1 (line 1), item 1: cannot be read: \"name\" is there twice"),
        "{}",
        said[0]
    );
}

#[test]
fn what_is_deep_or_wrong_in_an_item_of_json_is_refused_with_its_place() {
    let deep = format!("{}{}", "[".repeat(5_000), "]".repeat(5_000));
    for (item, expected) in [
        (deep.as_str(), "cannot be read: "),
        ("7", "is no Kubernetes object"),
        ("null", "is no Kubernetes object"),
        ("{}", "apiVersion: is missing"),
        (r#"{"apiVersion": 7}"#, "apiVersion: 7 is no text"),
        (r#"{"apiVersion": "v1", "kind": ""}"#, "kind: is empty"),
        (
            r#"{"apiVersion": "v1", "kind": "Pod", "metadata": []}"#,
            "Pod: metadata.name: is missing",
        ),
        (
            r#"{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}, "spec": {"hostNetwork": "no"}}"#,
            "Pod default/a: spec.hostNetwork: invalid type",
        ),
        (
            r#"{"apiVersion": "v1", "kind": "Service", "metadata": {"name": "a"}, "spec": {"ports": [{"port": 70000}]}}"#,
            "Service default/a: spec.ports[0].port: 70000 is no port",
        ),
        (
            r#"{"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "metadata": {"name": "a"}, "addressType": "IPv4", "endpoints": [{"addresses": ["x"]}]}"#,
            "EndpointSlice default/a: endpoints[0].addresses[0]: \"x\" is no IP address",
        ),
        (
            r#"{"apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": "a"}, "spec": {"schedule": "", "jobTemplate": {"spec": {"template": {"spec": {"containers": [{"name": "a", "ports": [{"name": "b", "containerPort": 0}]}]}}}}}}"#,
            "CronJob default/a: spec.jobTemplate.spec.template.spec.containers[0].ports[0].containerPort: 0 is no port",
        ),
        (
            r#"{"apiVersion": "palisade.dev/v1alpha1", "kind": "NodeRuleSet", "metadata": {"name": "a"}, "spec": 7}"#,
            "NodeRuleSet a: spec: invalid type",
        ),
    ] {
        let text = format!(
            "{{\"apiVersion\": \"v1\", \"kind\": \"List\", \"items\": [{{\"apiVersion\": \"v1\", \"kind\": \"Namespace\", \"metadata\": {{\"name\": \"n\"}}}}, {item}]}}"
        );
        let said = refusal(text);
        assert_eq!(said.len(), 1, "{said:?}");
        assert!(said[0].contains("document 1 (line 1), item 1: "), "{}", said[0]);
        assert!(said[0].contains(expected), "{}", said[0]);
        assert!(said[0].len() < 500, "{}", said[0]);
    }
}

#[test]
fn objects_that_contradict_each_other_are_refused_with_both_places() {
    let examples = examples();
    let twice: Vec<Value> = examples.iter().chain(&examples).cloned().collect();
    let said = refusal(list(&twice).to_string());
    assert_eq!(said.len(), examples.len());
    for problem in said {
        assert!(problem.contains(": is there twice, first in "), "{problem}");
    }
}

#[test]
fn a_pod_that_says_too_much_of_itself_is_refused() {
    let labelled = |count: usize| {
        let labels = (0..count).map(|number| (format!("label-{number:04}"), json!("x".repeat(60))));
        let labels: Map<String, Value> = labels.collect();
        json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a", "namespace": "shop", "labels": labels}})
    };
    let loaded = load(list(&[labelled(200)]).to_string()).unwrap();
    assert_eq!(loaded.inventory.state.pods().len(), 1);
    let said = refusal(list(&[labelled(300)]).to_string());
    assert_eq!(said.len(), 1, "{said:?}");
    let expected = "metadata.labels: with the names of ports are 22800 bytes, of which a pod may have no more than 16384";
    assert!(said[0].ends_with(expected), "{}", said[0]);

    let port = |number: usize| json!({"name": format!("p-{number}"), "containerPort": number});
    let ports: Vec<Value> = (1..400).map(port).collect();
    let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a", "namespace": "shop"},
        "spec": {"containers": [{"name": "c", "ports": ports}]}});
    assert_eq!(refusal(list(&[pod]).to_string()).len(), 1);
}

#[test]
fn workloads_that_own_each_other_are_no_riddle() {
    let owned = |name: &str, by: &str| {
        json!({"apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": {"name": name, "ownerReferences": [
            {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": by, "uid": "u", "controller": true}]},
            "spec": {"selector": {}}})
    };
    let loaded = load(list(&[owned("a", "b"), owned("b", "a"), owned("c", "c")]).to_string()).unwrap();
    assert_eq!(loaded.inventory.workloads.len(), 3);
}

#[test]
fn a_million_items_take_no_harm() {
    let text = |count: usize| format!("{{\"kind\": \"List\", \"items\": [{}7]}}", "7,".repeat(count - 1));
    let said = refusal(text(1_000_000));
    assert_eq!(said.len(), 1001);
    let last = "all.yaml: document 1 (line 1), item 999: there are more than 1000 problems up to here; the rest is not read";
    assert!(said[1000].ends_with(last), "{}", said[1000]);
    let said = refusal(text(1_000_001));
    assert_eq!(said.len(), 1);
    let last = "all.yaml: document 1 (line 1): with this one, there are more than 1000000 objects";
    assert!(said[0].ends_with(last), "{}", said[0]);
}

#[test]
fn what_follows_too_much_is_not_read() {
    for text in ["{}".repeat(1_000_002), "---\n[\n".repeat(10_000)] {
        let said = refusal(text);
        assert!(said.len() <= 1001, "{}", said.len());
    }
}

#[test]
fn a_file_that_says_that_it_is_too_large_is_not_read() {
    let workshop = Workshop::new();
    workshop.write("all.yaml", "# ".repeat(1 << 20));
    let file = File::options()
        .write(true)
        .open(workshop.path("all.yaml"))
        .unwrap();
    file.set_len(1 << 30).unwrap();
    let (loaded, _) = workshop.load(&["all.yaml"], &[]);
    let said = match loaded.unwrap_err() {
        LoadError::Manifests(invalid) => invalid.problems[0].to_string(),
        other => panic!("{other}"),
    };
    assert!(said.ends_with("all.yaml: is larger than 512 MiB"), "{said}");
}

#[test]
fn an_object_that_no_cluster_has_is_refused() {
    let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a", "annotations": {"a": "x".repeat(17 << 20)}}});
    let said = refusal(list(&[pod]).to_string());
    assert_eq!(said.len(), 1);
    let expected = "item 0: is larger than 16 MiB, as no object of a cluster is";
    assert!(said[0].ends_with(expected), "{}", said[0]);
}

#[test]
fn bytes_that_are_no_text_are_told_with_their_line() {
    let said = refusal(b"kind: Namespace\nmetadata: {name: a\xffb}\n");
    assert_eq!(said.len(), 1);
    let expected = "all.yaml: line 2: cannot be read: the byte 0xff is no UTF-8";
    assert!(said[0].ends_with(expected), "{}", said[0]);
}

#[test]
fn a_field_of_yaml_that_is_there_twice_is_told_in_our_words() {
    let said = refusal("kind: Namespace\nkind: Pod\n");
    assert_eq!(said.len(), 1);
    let expected = "all.yaml: document 1: cannot be read: \"kind\" is there twice at line 2, column 1";
    assert!(said[0].ends_with(expected), "{}", said[0]);
}

#[test]
fn a_folder_is_searched_for_files_only() {
    let workshop = Workshop::new();
    workshop.write("in/a.yaml", list(&examples()).to_string());
    workshop.write(
        "elsewhere/b.yaml",
        "apiVersion: v1\nkind: Namespace\nmetadata: {name: linked}\n",
    );
    symlink("../elsewhere/b.yaml", workshop.path("in/b.yaml")).unwrap();
    symlink("../elsewhere", workshop.path("in/c.yaml")).unwrap();
    let pipe = workshop.path("in/pipe.yaml");
    assert!(Command::new("mkfifo").arg(pipe).status().unwrap().success());
    let (loaded, _) = workshop.load(&["in"], &[]);
    let state = loaded.unwrap().inventory.state;
    assert!(state.namespaces().contains_key(&"linked".into()));
    symlink("nowhere", workshop.path("in/d.yaml")).unwrap();
    assert!(
        workshop.load(&["in"], &[]).0.is_err(),
        "a link that leads nowhere"
    );
}

#[test]
fn many_deep_items_take_no_harm_on_any_thread() {
    let deep = format!("{}1{}", "{\"a\":[".repeat(55), "]}".repeat(55));
    let items: Vec<String> = (0..3_000)
        .map(|number| {
            format!(
                "{{\"apiVersion\":\"networking.k8s.io/v1\",\"kind\":\"NetworkPolicy\",\"metadata\":{{\"name\":\"p-{number}\"}},\"spec\":{{\"podSelector\":{{}},\"deep\":{deep}}}}}"
            )
        })
        .collect();
    let loaded = load(format!("{{\"kind\":\"List\",\"items\":[{}]}}", items.join(","))).unwrap();
    let policies = loaded.inventory.state.policies();
    assert_eq!(policies.len(), 3_000);
    assert!(policies.values().all(|policy| policy.defects.len() == 1));
}

/// One thing that can be done to a document.
#[derive(Clone, Debug)]
enum Edit {
    Drop,
    Replace(Value),
    Nest(usize),
    Rename(String),
    Repeat(usize),
}

fn edit() -> impl Strategy<Value = Edit> {
    let values = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>()
            .prop_map(|number| serde_json::Number::from_f64(number).map_or(Value::Null, Value::Number)),
        ".{0,20}".prop_map(Value::from),
        Just(Value::from("x".repeat(100_000))),
        Just(json!([])),
        Just(json!({})),
        Just(json!([[[{"a": null}]]])),
    ];
    prop_oneof![
        Just(Edit::Drop),
        values.prop_map(Edit::Replace),
        (1_usize..200).prop_map(Edit::Nest),
        "[a-zA-Z.\\[\\]]{0,8}".prop_map(Edit::Rename),
        (2_usize..50).prop_map(Edit::Repeat),
    ]
}

/// The places in a value, each by its path.
fn places(value: &Value, path: &str, found: &mut Vec<String>) {
    found.push(path.to_owned());
    match value {
        Value::Object(fields) => {
            for (name, field) in fields {
                let name = name.replace('~', "~0").replace('/', "~1");
                places(field, &format!("{path}/{name}"), found);
            }
        }
        Value::Array(entries) => {
            for (index, entry) in entries.iter().enumerate() {
                places(entry, &format!("{path}/{index}"), found);
            }
        }
        _ => {}
    }
}

fn apply(edit: Edit, place: Index, document: &mut Value) {
    let mut found = Vec::new();
    places(document, "", &mut found);
    let path = place.get(&found);
    let target = document.pointer_mut(path).unwrap();
    match edit {
        Edit::Replace(value) => *target = value,
        Edit::Nest(depth) => {
            for level in 0..depth {
                let inner = target.take();
                *target = if level % 2 == 0 {
                    json!([inner])
                } else {
                    json!({"a": inner})
                };
            }
        }
        Edit::Repeat(count) => *target = Value::Array(vec![target.clone(); count]),
        Edit::Drop | Edit::Rename(_) => {
            let Some((parent, name)) = path.rsplit_once('/') else {
                return;
            };
            let parent = document.pointer_mut(parent).unwrap();
            let name = name.replace("~1", "/").replace("~0", "~");
            if let Some(fields) = parent.as_object_mut() {
                let value = fields.remove(&name).unwrap_or_default();
                if let Edit::Rename(new) = edit {
                    fields.insert(new, value);
                }
            }
        }
    }
}

fn depth(value: &Value) -> usize {
    match value {
        Value::Object(fields) => 1 + fields.values().map(depth).max().unwrap_or(0),
        Value::Array(entries) => 1 + entries.iter().map(depth).max().unwrap_or(0),
        _ => 0,
    }
}

/// A document in one of the forms that files have.
fn written(document: &Value, yaml: bool) -> String {
    if yaml {
        palisade_controller::cli::to_yaml(document).unwrap()
    } else {
        document.to_string()
    }
}

proptest! {
    #![proptest_config(config(256))]

    #[test]
    fn a_spoilt_document_is_read_or_refused_with_its_place(
        example in any::<Index>(),
        edits in prop::collection::vec((edit(), any::<Index>()), 1..4),
        yaml: bool,
    ) {
        let mut document = example.get(&examples()).clone();
        for (edit, place) in edits {
            apply(edit, place, &mut document);
        }
        match load(written(&document, yaml)) {
            Ok(_) => {}
            Err(LoadError::Manifests(invalid)) => {
                prop_assert!(!invalid.problems.is_empty());
                for problem in invalid.problems {
                    let problem = problem.to_string();
                    prop_assert!(problem.contains("all.yaml: "), "{problem}");
                    prop_assert!(problem.len() < 1500, "{problem}");
                }
            }
            Err(other) => prop_assert!(false, "{other}"),
        }
    }

    #[test]
    fn yaml_and_json_mean_the_same(
        example in any::<Index>(),
        edits in prop::collection::vec((edit(), any::<Index>()), 0..3),
    ) {
        let mut document = example.get(&examples()).clone();
        for (edit, place) in edits {
            apply(edit, place, &mut document);
        }
        prop_assume!(depth(&document) < 60, "each reader has its own limit");
        let outcome = |yaml| match load(written(&document, yaml)) {
            Ok(loaded) => Ok(loaded.inventory),
            Err(LoadError::Manifests(invalid)) => Err(
                invalid.problems.into_iter().map(|problem| (problem.object, problem.field)).collect::<Vec<_>>(),
            ),
            Err(other) => panic!("{other}"),
        };
        prop_assert_eq!(outcome(true), outcome(false));
    }
}

/// An object of the metadata only, to see that nothing but a name is needed.
#[test]
fn an_object_needs_nothing_but_its_name() {
    for mut example in examples() {
        let fields = example.as_object_mut().unwrap();
        let version = fields["apiVersion"].as_str().unwrap().to_owned();
        fields.retain(|name, _| matches!(name.as_str(), "apiVersion" | "kind" | "metadata"));
        let metadata: Map<String, Value> = [("name".to_owned(), fields["metadata"]["name"].clone())]
            .into_iter()
            .collect();
        fields.insert("metadata".to_owned(), metadata.into());
        let outcome = load(example.to_string());
        // Palisade writes its own documents, and whole.
        assert_eq!(
            outcome.is_ok(),
            !version.starts_with("palisade.dev"),
            "{example}: {outcome:?}"
        );
    }
}
