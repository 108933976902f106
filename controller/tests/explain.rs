//! `palisade policy-audit explain`: files in, verdict and exit code out.

mod common;

use common::{Run, Workshop, palisade, palisade_reading};
use palisade_controller::cli::Exit;
use serde_json::Value;

const SHOP: &str = "\
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop}
spec:
  replicas: 3
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: web, ports: [{name: http, containerPort: 8080}]}]}
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop}
spec:
  selector: {app: web}
  clusterIP: 10.96.0.10
  ports: [{name: http, port: 80, targetPort: http}]
---
apiVersion: v1
kind: Pod
metadata: {name: client, namespace: shop, labels: {app: client}}
spec: {containers: [{name: client}]}
status: {podIPs: [{ip: 10.0.0.9}]}
---
apiVersion: v1
kind: Pod
metadata: {name: probe, namespace: lab, labels: {app: probe}}
spec: {containers: [{name: probe}]}
status: {podIPs: [{ip: 10.0.0.8}]}
";

const POLICY: &str = "\
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  name: web
  namespace: shop
spec:
  podSelector:
    matchLabels: {app: web}
  ingress:
  - from:
    - podSelector:
        matchLabels:
          app: client
    ports:
    - port: http
";

/// Explains on the files of the shop, or on others. In the output, the folder is `DIR`.
fn explain(workshop: &Workshop, arguments: &[&str]) -> Run {
    workshop.write("shop.yaml", SHOP);
    workshop.write("policy.yaml", POLICY);
    let [shop, policy] = ["shop.yaml", "policy.yaml"].map(|name| workshop.path(name).display().to_string());
    let files = [
        "policy-audit",
        "explain",
        "-f",
        &shop,
        "-f",
        &policy,
        "--pod-network",
        "10.9.0.0/24",
    ];
    let mut run = palisade(&[&files, arguments].concat());
    let folder = workshop.path("").display().to_string();
    run.output = run.output.replace(&folder, "DIR/");
    run.errors = run.errors.replace(&folder, "DIR/");
    run
}

#[test]
fn allowed_is_success_and_tells_the_rule_with_its_place() {
    let run = explain(&Workshop::new(), &["shop/client", "shop/service/web:80"]);
    assert_eq!(run.exit, Exit::Success, "{}", run.errors);
    insta::assert_snapshot!(run.output, @r"
        allowed: Pod shop/client → Service shop/web, 80/TCP

          allowed: shop/client → shop/web, 8080/TCP (IPv4), through port 80/TCP of Service shop/web (targetPort http)
            10.0.0.9 → 10.9.0.5 8080/TCP: allowed
              egress of shop/client: allowed, no policy isolates it
              ingress of shop/web: allowed, isolated by shop/web (DIR/policy.yaml:1)
                shop/web spec.ingress[0] (DIR/policy.yaml:10) allows it
                  from[0]: pods with app=client in shop
                  ports[0]: http/TCP

        note: Pod shop/web has an address that is not known: a placeholder stands for it, and ipBlocks may treat the true one otherwise
        note: this is about who opens the connection; what answers it passes
        ");
}

#[test]
fn denied_is_no_and_tells_what_was_missed() {
    let run = explain(&Workshop::new(), &["lab/probe", "10.96.0.10:http"]);
    assert_eq!(run.exit, Exit::Negative, "{}", run.errors);
    insta::assert_snapshot!(run.output, @r"
        denied: Pod lab/probe → Service shop/web, http

          denied: lab/probe → shop/web, 8080/TCP (IPv4), through port 80/TCP of Service shop/web (targetPort http)
            10.0.0.8 → 10.9.0.5 8080/TCP: denied
              egress of lab/probe: allowed, no policy isolates it
              ingress of shop/web: denied, isolated by shop/web (DIR/policy.yaml:1)
                shop/web spec.ingress[0] (DIR/policy.yaml:10) matches the port, not the peer
                  from[0]: the peer selects pods of namespace shop, and lab/probe is in another
                would pass: shop/web with one more entry in spec.ingress[0].from: namespaceSelector kubernetes.io/metadata.name=lab and podSelector app=probe
                would pass: shop/web with one more rule in spec.ingress: from namespaceSelector kubernetes.io/metadata.name=lab and podSelector app=probe, port 8080/TCP

        note: Pod shop/web has an address that is not known: a placeholder stands for it, and ipBlocks may treat the true one otherwise
        note: 10.96.0.10 is the address of Service shop/web: its pods are asked about
        note: this is about who opens the connection; what answers it passes
        note: Palisade ends connections that are open when a policy comes to deny them; other enforcers may let them go on
        ");
}

#[test]
fn a_part_that_is_denied_is_no_too() {
    let run = explain(&Workshop::new(), &["any", "deployment/web:8080", "-n", "shop"]);
    assert_eq!(run.exit, Exit::Negative, "{}", run.errors);
    assert!(
        run.output
            .starts_with("partly allowed: everybody → Deployment shop/web, 8080/TCP\n")
    );
    let out = explain(&Workshop::new(), &["shop/web", "0.0.0.0/0"]);
    assert_eq!(
        out.exit,
        Exit::Negative,
        "another replica is denied: {}",
        out.output
    );
    let out = explain(&Workshop::new(), &["shop/web", "203.0.113.0/24"]);
    assert_eq!(out.exit, Exit::Success, "{}", out.output);
}

#[test]
fn pods_are_asked_about_by_their_labels() {
    let run = explain(&Workshop::new(), &["app=web", "shop/*:8080"]);
    assert_eq!(run.exit, Exit::Negative, "{}", run.errors);
    insta::assert_snapshot!(run.output, @r"
        partly allowed: app=web → shop/*, 8080/TCP

          denied: shop/web → 1 of 2 pods (shop/web), 8080/TCP (IPv4)
            10.9.0.5 → 10.9.0.6 8080/TCP: denied
              egress of shop/web: allowed, no policy isolates it
              ingress of shop/web: denied, isolated by shop/web (DIR/policy.yaml:1)
                shop/web spec.ingress[0] (DIR/policy.yaml:10) matches the port, not the peer
                  from[0]: the peer wants a pod with app=client, and shop/web has app=web
                would pass: Pod shop/web with the label app=client
                would pass: shop/web with one more entry in spec.ingress[0].from: podSelector app=web
                would pass: shop/web with one more rule in spec.ingress: from podSelector app=web, port 8080/TCP

          allowed: shop/web → 1 of 2 pods (shop/client), 8080/TCP (IPv4)
            10.9.0.5 → 10.0.0.9 8080/TCP: allowed
              egress of shop/web: allowed, no policy isolates it
              ingress of shop/client: allowed, no policy isolates it

        note: Pod shop/web has an address that is not known: a placeholder stands for it, and ipBlocks may treat the true one otherwise
        note: a pod always reaches itself, whatever is said of others
        note: 10.9.0.6 is nobody's: it stands for another pod like shop/web
        note: this is about who opens the connection; what answers it passes
        note: Palisade ends connections that are open when a policy comes to deny them; other enforcers may let them go on
        ");
    let nobody = explain(&Workshop::new(), &["shop/app=probe", "shop/*:80"]);
    assert_eq!(nobody.exit, Exit::Failure);
    assert!(
        nobody
            .errors
            .ends_with("error: no pod is meant by shop/app=probe\n"),
        "{}",
        nobody.errors
    );
}

#[test]
fn json_is_one_document_that_says_the_same() {
    let run = explain(&Workshop::new(), &["lab/probe", "shop/web:8080", "-o", "json"]);
    assert_eq!(run.exit, Exit::Negative, "{}", run.errors);
    let answer: Value = serde_json::from_str(&run.output).unwrap();
    assert_eq!(answer["verdict"], "denied");
    let sides = answer["cases"][0]["witnesses"][0]["sides"].as_array().unwrap();
    assert_eq!(sides.len(), 2);
    assert_eq!(sides[1]["isolatedBy"][0], "shop/web");
    assert_eq!(sides[1]["nearest"][0]["place"]["file"], "DIR/policy.yaml");
    assert_eq!(sides[1]["nearest"][0]["place"]["line"], 10);
}

#[test]
fn what_cannot_be_answered_is_a_failure_with_a_hint() {
    let workshop = Workshop::new();
    for (arguments, error) in [
        (
            ["shop/client", "shop/wbe"],
            "error: there is no pod, workload or Service shop/wbe; did you mean shop/web?\n",
        ),
        (
            ["shop/client", "shop/web:0"],
            "error: \"0\" is no port: it should be a number from 1 to 65535, a range, a name of a port, or icmp\n",
        ),
        (
            ["shop/client", "service/web"],
            "error: there is no Service default/web; did you mean shop/service/web?\n",
        ),
        (
            ["shop/client:80", "shop/web"],
            "error: \"shop/client:80\": a source has no port; only the destination has\n",
        ),
    ] {
        let run = explain(&workshop, &arguments);
        assert_eq!(run.exit, Exit::Failure, "{arguments:?}");
        assert_eq!(run.output, "");
        assert!(run.errors.ends_with(error), "{arguments:?}: {}", run.errors);
    }
}

#[test]
fn colours_come_when_they_are_asked_for() {
    let workshop = Workshop::new();
    let plain = explain(&workshop, &["lab/probe", "shop/web:8080"]);
    assert!(!plain.output.contains('\u{1b}'));
    let coloured = explain(&workshop, &["lab/probe", "shop/web:8080", "--color", "always"]);
    assert!(coloured.output.starts_with("\u{1b}[31mdenied"));
}

#[test]
fn objects_may_come_from_the_standard_input() {
    let both = format!("{SHOP}---\n{POLICY}");
    let run = palisade_reading(
        &[
            "policy-audit",
            "explain",
            "shop/client",
            "shop/web:8080",
            "-f",
            "-",
        ],
        both.as_bytes(),
    );
    assert_eq!(run.exit, Exit::Success, "{}", run.errors);
    assert!(
        run.output
            .contains("shop/web spec.ingress[0] (<stdin>:40) allows it"),
        "{}",
        run.output
    );
}
