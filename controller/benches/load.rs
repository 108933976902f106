//! How long it takes to load a large cluster from a snapshot and to answer a question about it: 100,000 pods and 75,000 policies.
//!
//! `cargo bench -p palisade-controller --bench load`. Times are printed, counts are asserted.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::cast_precision_loss,
    reason = "a bench prints, and may fail like a test"
)]

use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Instant;

use palisade_audit::explain::{Overall, explain};
use palisade_audit::inventory::{ObjectRef, Places};
use palisade_audit::question::{Question, resolve};
use palisade_audit::style::Style;
use palisade_controller::cli::Streams;
use palisade_controller::inventory::{self, Loaded, Sources};
use palisade_policy::model::PolicyKey;

const PODS: usize = 100_000;
const POLICIES: usize = 75_000;
const NAMESPACES: usize = 1_000;
const NODES: usize = 1_000;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("cluster.json");
    let text = cluster();
    println!("{:>8.1} MB in {}", text.len() as f64 / 1e6, path.display());
    fs::write(&path, text).unwrap();
    let loaded = timed("load", || load(&path));
    let state = &loaded.inventory.state;
    assert_eq!(state.pods().len(), PODS);
    assert_eq!(state.policies().len(), POLICIES);
    assert_eq!(loaded.inventory.workloads.len(), PODS / 10);
    let answer = timed("explain pod to pod", || {
        let question = Question::parse("ns-1/app-0-5d9f8c7b6-1", "ns-1/app-1-5d9f8c7b6-10001:http").unwrap();
        let question = resolve(&loaded.inventory, &loaded.namespace, &question).unwrap();
        explain(&loaded.inventory, &question).unwrap()
    });
    assert_eq!(answer.verdict, Overall::Allowed);
    let policy = ObjectRef::Policy(PolicyKey::new("ns-7", "allow-74007"));
    let place = timed("find a field", || {
        loaded.origins.place(&policy, Some("spec.ingress[0].from"))
    });
    assert!(place.unwrap().line.is_some());
    timed("forget it", || drop(loaded));
}

fn timed<T>(what: &str, run: impl FnOnce() -> T) -> T {
    let start = Instant::now();
    let outcome = run();
    println!("{:>8.1} ms {what}", start.elapsed().as_secs_f64() * 1e3);
    outcome
}

fn load(path: &Path) -> Loaded {
    let sources = Sources {
        filenames: vec![PathBuf::from(path)],
        ..Sources::default()
    };
    let mut streams = Streams {
        input: &mut io::empty(),
        output: &mut io::sink(),
        errors: &mut io::sink(),
        style: Style::PLAIN,
        watched: false,
    };
    inventory::load(&sources, &mut streams).unwrap()
}

/// A snapshot, as `policy-audit snapshot` writes it.
fn cluster() -> String {
    let mut items = Vec::new();
    for number in 0..NAMESPACES {
        items.push(format!(
            r#"{{"apiVersion":"v1","kind":"Namespace","metadata":{{"labels":{{"kubernetes.io/metadata.name":"ns-{number}","team":"t-{}"}},"name":"ns-{number}","uid":"{}"}}}}"#,
            number % 50,
            uid(1, number)
        ));
    }
    for number in 0..NODES {
        items.push(format!(
            r#"{{"apiVersion":"v1","kind":"Node","metadata":{{"name":"node-{number}"}},"spec":{{"podCIDRs":["10.{}.{}.0/24"]}},"status":{{"addresses":[{{"address":"192.168.{}.{}","type":"InternalIP"}}]}}}}"#,
            number / 250,
            number % 250,
            number / 250,
            number % 250 + 1
        ));
    }
    for number in 0..PODS {
        let (namespace, node) = (number % NAMESPACES, number / (PODS / NODES));
        let app = number / NAMESPACES / 10;
        items.push(format!(
            r#"{{"apiVersion":"v1","kind":"Pod","metadata":{{"creationTimestamp":"2026-01-01T00:00:00Z","labels":{{"app":"app-{app}","pod-template-hash":"5d9f8c7b6","tier":"tier-{}","version":"v{}"}},"name":"app-{app}-5d9f8c7b6-{number}","namespace":"ns-{namespace}","ownerReferences":[{{"apiVersion":"apps/v1","controller":true,"kind":"ReplicaSet","name":"app-{app}-5d9f8c7b6","uid":"{}"}}],"uid":"{}"}},"spec":{{"containers":[{{"name":"app","ports":[{{"containerPort":8080,"name":"http","protocol":"TCP"}},{{"containerPort":9090,"name":"metrics","protocol":"TCP"}}]}}],"nodeName":"node-{node}"}},"status":{{"phase":"Running","podIP":"10.{}.{}.{}","podIPs":[{{"ip":"10.{}.{}.{}"}}]}}}}"#,
            number % 3,
            number % 2,
            uid(2, number / 10),
            uid(3, number),
            node / 250,
            node % 250,
            number % 100 + 2,
            node / 250,
            node % 250,
            number % 100 + 2,
        ));
    }
    for number in 0..POLICIES {
        let namespace = number % NAMESPACES;
        items.push(format!(
            r#"{{"apiVersion":"networking.k8s.io/v1","kind":"NetworkPolicy","metadata":{{"creationTimestamp":"2026-01-01T00:00:00Z","name":"allow-{number}","namespace":"ns-{namespace}","uid":"{}"}},"spec":{{"ingress":[{{"from":[{{"podSelector":{{"matchLabels":{{"app":"app-{}"}}}}}},{{"namespaceSelector":{{"matchLabels":{{"team":"t-{}"}}}},"podSelector":{{"matchExpressions":[{{"key":"tier","operator":"In","values":["tier-0","tier-1"]}}]}}}}],"ports":[{{"port":"http","protocol":"TCP"}},{{"endPort":9100,"port":9000,"protocol":"TCP"}}]}}],"podSelector":{{"matchLabels":{{"app":"app-{}"}}}},"policyTypes":["Ingress"]}}}}"#,
            uid(4, number),
            number % 10,
            number % 50,
            number / NAMESPACES % 10
        ));
    }
    let mut text = "{\"apiVersion\":\"v1\",\"kind\":\"List\",\"items\":[\n".to_owned();
    write!(text, "{}\n]}}\n", items.join(",\n")).unwrap();
    text
}

fn uid(kind: u8, number: usize) -> String {
    format!("{kind:08x}-0000-4000-8000-{number:012x}")
}
