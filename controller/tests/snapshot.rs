//! `palisade policy-audit snapshot`: what is in it, and what is not.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests may fail like tests"
)]

mod common;

use std::fs;
use std::os::unix::fs::{FileTypeExt, PermissionsExt, symlink};
use std::process::Command;
use std::thread;

use common::{Workshop, palisade};
use palisade_controller::cli::Exit;
use serde_json::Value;

/// A secret that people put where it should not be.
const SECRET: &str = "hunter2";

/// Everything that an inventory is made of, with secrets wherever the API lets people write.
const EVERYTHING: &str = r"
apiVersion: v1
kind: Namespace
metadata: {name: shop, labels: {team: a}, annotations: {note: hunter2}, uid: n-1}
---
apiVersion: v1
kind: Node
metadata: {name: node-1, annotations: {note: hunter2}}
spec: {podCIDRs: [10.0.0.0/24], providerID: hunter2}
status: {addresses: [{type: InternalIP, address: 192.168.0.1}, {type: Hostname, address: host}], nodeInfo: {machineID: hunter2}}
---
apiVersion: v1
kind: Pod
metadata:
  name: web-5d9f-a
  namespace: shop
  uid: u-1
  labels: {app: web, pod-template-hash: 5d9f}
  annotations: {note: hunter2}
  creationTimestamp: 2026-01-01T00:00:00Z
  managedFields: [{manager: hunter2}]
  ownerReferences: [{apiVersion: apps/v1, kind: ReplicaSet, name: web-5d9f, uid: r, controller: true}]
spec:
  nodeName: node-1
  serviceAccountName: hunter2
  volumes: [{name: v, hostPath: {path: /hunter2}}]
  initContainers:
  - {name: init, image: hunter2, ports: [{name: dns, containerPort: 53, protocol: UDP}]}
  containers:
  - name: web
    image: hunter2
    command: [hunter2]
    args: [--password=hunter2]
    env: [{name: PASSWORD, value: hunter2}]
    envFrom: [{secretRef: {name: hunter2}}]
    livenessProbe: {exec: {command: [hunter2]}}
    ports: [{name: http, containerPort: 8080, hostIP: hunter2}]
status:
  phase: Running
  message: hunter2
  podIPs: [{ip: 10.0.0.5}, {ip: 'fd00::5'}]
  containerStatuses: [{name: hunter2, image: hunter2, imageID: hunter2, ready: true, restartCount: 0}]
---
apiVersion: v1
kind: Pod
metadata: {name: pending, namespace: shop}
spec: {containers: [{name: a, env: [{name: A, value: hunter2}]}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: api, namespace: shop, annotations: {kubectl.kubernetes.io/last-applied-configuration: hunter2}}
spec:
  replicas: 3
  selector: {matchLabels: {app: api}}
  template:
    metadata: {labels: {app: api}, annotations: {note: hunter2}}
    spec: {containers: [{name: a, args: [hunter2], ports: [{name: http, containerPort: 80}]}]}
---
apiVersion: batch/v1
kind: CronJob
metadata: {name: nightly, namespace: shop}
spec:
  schedule: '0 0 * * *'
  jobTemplate: {spec: {parallelism: 2, template: {spec: {hostNetwork: true, containers: [{name: a, command: [hunter2]}]}}}}
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop, annotations: {note: hunter2}}
spec:
  type: LoadBalancer
  clusterIPs: [10.96.0.7]
  externalTrafficPolicy: Local
  externalName: hunter2
  externalIPs: [198.51.100.1]
  loadBalancerSourceRanges: [hunter2]
  selector: {app: web}
  ports: [{name: http, port: 80, targetPort: http, nodePort: 30080, appProtocol: hunter2}]
status: {loadBalancer: {ingress: [{ip: 198.51.100.2, hostname: hunter2}]}}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: web-a, namespace: shop, labels: {kubernetes.io/service-name: web}}
addressType: IPv4
endpoints: [{addresses: [10.0.0.5], hostname: hunter2, targetRef: {kind: Pod, name: hunter2}}]
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: web, namespace: shop, annotations: {note: hunter2}}
spec: {podSelector: {matchLabels: {app: web}}, ingress: [{from: [{podSelector: {}}], ports: [{port: http}]}]}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: broken, namespace: shop}
spec: {podSelector: {matchLabels: {app: web}}, egress: [{too: []}]}
---
apiVersion: palisade.dev/v1alpha1
kind: NodeRuleSet
metadata: {name: node-1, annotations: {note: hunter2}}
spec: {revision: 7, hash: h, node: node-1}
status: {observedRevision: 7, pods: 1}
---
apiVersion: palisade.dev/v1alpha1
kind: PodSlice
metadata: {name: n-s0}
spec: {revision: 7, hash: h, node: node-1, slice: s0}
---
apiVersion: palisade.dev/v1alpha1
kind: PolicySlice
metadata: {name: shop-s}
spec: {revision: 7, hash: h, namespace: shop, slice: s}
---
apiVersion: palisade.dev/v1alpha1
kind: AddressGroup
metadata: {name: g-s}
spec: {revision: 7, hash: h, group: g, slice: s}
---
apiVersion: v1
kind: Secret
metadata: {name: s, namespace: shop}
stringData: {password: hunter2}
";

fn workshop() -> Workshop {
    let workshop = Workshop::new();
    workshop.write("all.yaml", EVERYTHING);
    workshop
}

fn snapshot(workshop: &Workshop, from: &str, to: &str) -> String {
    let (from, to) = (workshop.path(from), workshop.path(to));
    let arguments = [
        "policy-audit",
        "snapshot",
        "-f",
        from.to_str().unwrap(),
        "-o",
        to.to_str().unwrap(),
    ];
    let run = palisade(&arguments);
    assert_eq!(run.exit, Exit::Success, "{}", run.errors);
    assert_eq!(run.output, "");
    fs::read_to_string(to).unwrap()
}

#[test]
fn a_snapshot_says_all_that_the_cluster_says() {
    let workshop = workshop();
    snapshot(&workshop, "all.yaml", "snapshot.json");
    let original = workshop.load(&["all.yaml"], &[]).0.unwrap();
    let copy = workshop.load(&["snapshot.json"], &[]).0.unwrap();
    assert_eq!(copy.inventory, original.inventory);
    assert_eq!(original.inventory.state.pods().len(), 4);
    assert_eq!(
        copy.published.rule_sets[0].spec,
        original.published.rule_sets[0].spec
    );
    assert_eq!(
        copy.published.rule_sets[0].status,
        original.published.rule_sets[0].status
    );
    assert_eq!(
        copy.published.policies[0].spec,
        original.published.policies[0].spec
    );
    assert_eq!(copy.published.pods[0].spec, original.published.pods[0].spec);
    assert_eq!(copy.published.groups[0].spec, original.published.groups[0].spec);
}

#[test]
fn a_snapshot_has_no_secrets() {
    let workshop = workshop();
    let text = snapshot(&workshop, "all.yaml", "snapshot.json");
    let pieces: Vec<&str> = text.lines().filter(|line| line.contains(SECRET)).collect();
    assert!(pieces.is_empty(), "{pieces:#?}");
    for part in [
        "annotations",
        "managedFields",
        "env",
        "args",
        "command",
        "image",
        "Secret",
    ] {
        assert!(!text.contains(&format!("\"{part}\"")), "{part}");
    }
}

#[test]
fn a_snapshot_of_a_snapshot_is_the_same() {
    let workshop = workshop();
    let first = snapshot(&workshop, "all.yaml", "first.json");
    assert_eq!(snapshot(&workshop, "first.json", "second.json"), first);
    let list: Value = serde_json::from_str(&first).unwrap();
    assert_eq!(
        (list["apiVersion"].as_str(), list["kind"].as_str()),
        (Some("v1"), Some("List"))
    );
    assert_eq!(
        list["items"].as_array().unwrap().len(),
        first.lines().count() - 2,
        "one a line"
    );
}

/// The permissions of a file.
fn mode(workshop: &Workshop, name: &str) -> u32 {
    fs::metadata(workshop.path(name)).unwrap().permissions().mode() & 0o777
}

#[test]
fn only_its_owner_may_read_a_new_snapshot() {
    let workshop = workshop();
    snapshot(&workshop, "all.yaml", "snapshot.json");
    assert_eq!(mode(&workshop, "snapshot.json"), 0o600);
}

#[test]
fn a_file_that_is_there_keeps_its_permissions_and_a_link_leads_where_it_led() {
    let workshop = workshop();
    workshop.write("old/snapshot.json", "what was there before");
    let shared = fs::Permissions::from_mode(0o640);
    fs::set_permissions(workshop.path("old/snapshot.json"), shared).unwrap();
    symlink("old/snapshot.json", workshop.path("link")).unwrap();
    symlink("link", workshop.path("link-to-link")).unwrap();
    let text = snapshot(&workshop, "all.yaml", "link-to-link");
    assert!(text.starts_with("{\"apiVersion\":\"v1\""), "{text}");
    assert_eq!(mode(&workshop, "old/snapshot.json"), 0o640);
    assert!(workshop.path("link").is_symlink() && workshop.path("link-to-link").is_symlink());
    let files = fs::read_dir(workshop.path("old")).unwrap().count();
    assert_eq!(files, 1, "something is left beside it");
}

#[test]
fn a_link_that_leads_nowhere_leads_to_the_new_file() {
    let workshop = workshop();
    symlink("snapshot.json", workshop.path("link")).unwrap();
    snapshot(&workshop, "all.yaml", "link");
    assert!(workshop.path("link").is_symlink());
    assert_eq!(mode(&workshop, "snapshot.json"), 0o600);
}

#[test]
fn a_pipe_is_written_to_and_stays_one() {
    let workshop = workshop();
    let pipe = workshop.path("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let reader = thread::spawn({
        let pipe = pipe.clone();
        move || fs::read_to_string(pipe).unwrap()
    });
    let (from, to) = (workshop.path("all.yaml"), pipe.to_str().unwrap());
    let run = palisade(&["policy-audit", "report", "-f", from.to_str().unwrap(), "-o", to]);
    assert_eq!(run.exit, Exit::Success, "{}", run.errors);
    assert!(reader.join().unwrap().starts_with("<!DOCTYPE html>"));
    assert!(fs::metadata(&pipe).unwrap().file_type().is_fifo());
}

#[test]
fn a_snapshot_that_cannot_be_written_is_an_error_with_its_path() {
    let workshop = workshop();
    let (from, to) = (workshop.path("all.yaml"), workshop.path("absent/snapshot.json"));
    let run = palisade(&[
        "policy-audit",
        "snapshot",
        "-f",
        from.to_str().unwrap(),
        "-o",
        to.to_str().unwrap(),
    ]);
    assert_eq!(run.exit, Exit::Failure);
    let last = run.errors.lines().last().unwrap();
    assert!(
        last.starts_with("error: cannot write ") && last.contains("absent/snapshot.json"),
        "{last}"
    );
}

#[test]
fn a_snapshot_goes_to_the_standard_output_too() {
    let workshop = workshop();
    let from = workshop.path("all.yaml");
    let run = palisade(&[
        "policy-audit",
        "snapshot",
        "-f",
        from.to_str().unwrap(),
        "-o",
        "-",
    ]);
    assert_eq!(run.exit, Exit::Success);
    assert_eq!(run.output, snapshot(&workshop, "all.yaml", "snapshot.json"));
}
