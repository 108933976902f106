//! `palisade policy-audit reach`: every form of the answer, on one small shop.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests may fail like tests"
)]

mod common;

use std::collections::{BTreeMap, BTreeSet};

use common::{Run, Workshop, palisade};
use palisade_controller::cli::Exit;

/// A shop with a front end that anybody but the office may see, a back end for it and for the monitoring, and a database.
/// The database is asked in IPv4 only; the monitoring is open.
const SHOP: &str = r#"
apiVersion: v1
kind: Namespace
metadata: {name: shop, labels: {kubernetes.io/metadata.name: shop}}
---
apiVersion: v1
kind: Namespace
metadata: {name: watch, labels: {kubernetes.io/metadata.name: watch, team: ops}}
---
apiVersion: v1
kind: Namespace
metadata: {name: lab, labels: {kubernetes.io/metadata.name: lab}}
---
apiVersion: v1
kind: Node
metadata: {name: node-1}
status: {addresses: [{type: InternalIP, address: 192.168.0.11}]}
---
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
kind: Pod
metadata: {name: api-0, namespace: shop, labels: {app: api, slot: a}}
spec: {nodeName: node-1, containers: [{name: api, ports: [{name: rpc, containerPort: 9000}]}]}
status: {podIPs: [{ip: 10.0.0.2}, {ip: "fd00::2"}]}
---
apiVersion: v1
kind: Pod
metadata: {name: api-1, namespace: shop, labels: {app: api, slot: b}}
spec: {nodeName: node-1, containers: [{name: api, ports: [{name: rpc, containerPort: 9000}]}]}
status: {podIPs: [{ip: 10.0.0.3}, {ip: "fd00::3"}]}
---
apiVersion: v1
kind: Pod
metadata: {name: db-0, namespace: shop, labels: {app: db}}
spec: {nodeName: node-1, containers: [{name: db}]}
status: {podIPs: [{ip: 10.0.0.4}, {ip: "fd00::4"}]}
---
apiVersion: v1
kind: Pod
metadata: {name: probe-a, namespace: watch, labels: {app: probe}}
spec: {nodeName: node-1, containers: [{name: probe}]}
status: {podIPs: [{ip: 10.0.1.1}, {ip: "fd00::11"}]}
---
apiVersion: v1
kind: Pod
metadata: {name: probe-b, namespace: watch, labels: {app: probe}}
spec: {nodeName: node-1, containers: [{name: probe}]}
status: {podIPs: [{ip: 10.0.1.2}, {ip: "fd00::12"}]}
---
apiVersion: v1
kind: Pod
metadata: {name: bench, namespace: lab, labels: {app: bench}}
spec: {nodeName: node-1, containers: [{name: bench}]}
status: {podIPs: [{ip: 10.0.2.1}, {ip: "fd00::21"}]}
---
apiVersion: v1
kind: Pod
metadata: {name: agent, namespace: watch}
spec: {nodeName: node-1, hostNetwork: true, containers: [{name: agent}]}
status: {podIPs: [{ip: 192.168.0.11}]}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: web, namespace: shop}
spec:
  podSelector: {matchLabels: {app: web}}
  policyTypes: [Ingress, Egress]
  ingress:
  - from: [{ipBlock: {cidr: 0.0.0.0/0, except: [10.0.0.0/8, 198.51.100.0/24]}}]
    ports: [{port: http}]
  egress:
  - to: [{podSelector: {matchLabels: {app: api}}}]
    ports: [{port: rpc}, {protocol: UDP, port: 30000, endPort: 30100}]
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: api, namespace: shop}
spec:
  podSelector: {matchLabels: {app: api}}
  policyTypes: [Ingress]
  ingress:
  - from: [{podSelector: {matchLabels: {app: web}}}, {namespaceSelector: {matchLabels: {team: ops}}}]
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: db, namespace: shop}
spec:
  podSelector: {matchLabels: {app: db}}
  policyTypes: [Ingress, Egress]
  ingress:
  - from: [{podSelector: {matchLabels: {app: api}}}]
    ports: [{port: 5432}]
  - from: [{ipBlock: {cidr: 10.0.1.0/24}}]
    ports: [{port: 9187}]
  egress: []
"#;

fn reach(more: &[&str]) -> Run {
    let workshop = Workshop::new();
    workshop.write("shop.yaml", SHOP);
    let file = workshop.path("shop.yaml");
    let mut arguments = vec!["policy-audit", "reach", "-f", file.to_str().unwrap()];
    arguments.extend(more);
    palisade(&arguments)
}

fn output(more: &[&str]) -> String {
    let run = reach(more);
    assert_eq!(run.exit, Exit::Success, "{}", run.errors);
    run.output
}

#[test]
fn the_table_says_who_reaches_whom() {
    insta::assert_snapshot!("reach_table", output(&[]));
}

#[test]
fn the_wide_table_names_policies_and_counts_pods() {
    insta::assert_snapshot!("reach_wide", output(&["-o", "wide"]));
}

#[test]
fn what_there_is_goes_to_the_error_output() {
    insta::assert_snapshot!(reach(&[]).errors, @r"
        note: 1 pod without an address: placeholders from 10.128.0.0/9, fd00:10:128::/64 stand for them
        9 pods in 5 classes and 3 namespaces; 4 ranges of addresses outside
        isolated for ingress: 6 of 9, for egress: 4 of 9
        left out: 1 pod in the network of their node, which no policy is about
        always allowed beside that: between a pod and its own node, and from a pod to itself
        ");
}

#[test]
fn filters_show_what_was_asked_for_alone() {
    insta::assert_snapshot!(output(&["--to", "shop/db-0", "--from", "namespace/watch"]), @r"
        FROM      TO          PORTS      FAMILY
        watch/*   shop/db-0   9187/TCP   IPv4
        ");
    insta::assert_snapshot!(output(&["--to", "deployment/web", "-n", "shop", "--from", "203.0.113.9"]), @r"
        FROM          TO                    PORTS
        203.0.113.9   shop/deployment/web   8080/TCP
        ");
    insta::assert_snapshot!(output(&["--from", "shop/app=api", "--to", "10.0.2.0/24"]), @r"
        FROM           TO            PORTS
        shop/app=api   lab/bench     all
        shop/app=api   10.0.2.0/24   all
        ");
}

#[test]
fn pods_in_the_network_of_their_node_are_meant_by_namespace_and_not_by_class() {
    insta::assert_snapshot!(output(&["--to", "deployment/web", "-n", "shop", "--from", "namespace/watch"]), @r"
        FROM                         TO                    PORTS
        192.168.0.11 (node node-1)   shop/deployment/web   8080/TCP
        ");
    insta::assert_snapshot!(output(&["--to", "deployment/web", "-n", "shop", "--from", "watch/*"]), @"FROM   TO   PORTS");
}

#[test]
fn an_end_that_is_nobody_is_an_error() {
    let refusal = |end| {
        let run = reach(&["--to", end]);
        assert_eq!(run.exit, Exit::Failure);
        assert_eq!(run.output, "");
        let refusal = run.errors.lines().find(|line| line.starts_with("error"));
        refusal.unwrap().to_owned()
    };
    insta::assert_snapshot!(refusal("shop/app=wbe"), @"error: no pod is meant by shop/app=wbe");
    insta::assert_snapshot!(refusal("nowhere/*"), @"error: no pod is meant by nowhere/*");
    insta::assert_snapshot!(refusal("shop/wep"), @"error: there is no pod, workload or Service shop/wep; did you mean shop/web?");
    insta::assert_snapshot!(refusal("a/b/c/d"), @r#"error: "a/b/c/d" is no end: it should be NAMESPACE/POD, KIND/NAME, NAMESPACE/KIND/NAME, LABEL=VALUE, an address, a CIDR or any"#);
    insta::assert_snapshot!(refusal("shop/app=a,b"), @r#"error: "shop/app=a,b" should have labels: LABEL=VALUE[,LABEL=VALUE…] or NAMESPACE/LABEL=VALUE[,LABEL=VALUE…]"#);
}

#[test]
fn json_refers_to_nothing_that_is_not_there() {
    let text = output(&["-o", "json"]);
    let document: serde_json::Value = serde_json::from_str(&text).unwrap();
    let list = |field: &str| document[field].as_array().unwrap().clone();
    let name = |value: &serde_json::Value| value["name"].as_str().unwrap().to_owned();
    let ends: Vec<String> = list("classes").iter().chain(&list("outside")).map(name).collect();
    let names: BTreeSet<&String> = ends.iter().collect();
    assert_eq!(names.len(), ends.len(), "names are unique");
    let sources = list("sources");
    assert!(!list("flows").is_empty());
    for flow in list("flows") {
        assert!(names.contains(&flow["to"].as_str().unwrap().to_owned()));
        let from = usize::try_from(flow["from"].as_u64().unwrap()).unwrap();
        for source in sources[from].as_array().unwrap() {
            assert!(names.contains(&source.as_str().unwrap().to_owned()));
        }
    }
    let web = list("flows")
        .into_iter()
        .find(|flow| flow["to"] == "shop/deployment/web");
    insta::assert_snapshot!(web.unwrap(), @r#"{"family":null,"from":6,"ports":{"TCP":[[8080,8080]]},"to":"shop/deployment/web"}"#);
    insta::assert_snapshot!(list("classes")[1], @r#"{"count":2,"isolated":{"egress":[],"ingress":["shop/api"]},"labels":{"app":"api"},"name":"shop/app=api","namespace":"shop","pods":[{"addresses":["10.0.0.2","fd00::2"],"name":"api-0"},{"addresses":["10.0.0.3","fd00::3"],"name":"api-1"}]}"#);
    insta::assert_snapshot!(list("outside")[0], @r#"{"blocks":["0.0.0.0/5","8.0.0.0/7","11.0.0.0/8","12.0.0.0/6","16.0.0.0/4","32.0.0.0/3","64.0.0.0/2","128.0.0.0/2","192.0.0.0/6","196.0.0.0/7","198.0.0.0/11","198.32.0.0/12","198.48.0.0/15","198.50.0.0/16","198.51.0.0/18","198.51.64.0/19","198.51.96.0/22","198.51.101.0/24","198.51.102.0/23","198.51.104.0/21","198.51.112.0/20","198.51.128.0/17","198.52.0.0/14","198.56.0.0/13","198.64.0.0/10","198.128.0.0/9","199.0.0.0/8","200.0.0.0/5","208.0.0.0/4","224.0.0.0/3"],"family":"IPv4","name":"0.0.0.0/0 except 10.0.0.0/8 and 198.51.100.0/24","nodes":["node-1"]}"#);
}

#[test]
fn csv_has_a_line_for_each_pair() {
    insta::assert_snapshot!(output(&["-o", "csv", "--to", "shop/db-0"]), @r"
        from,from_pods,to,to_pods,family,ports
        shop/app=api,2,shop/db-0,1,,5432/TCP
        10.0.1.0/24,,shop/db-0,1,,9187/TCP
        watch/*,2,shop/db-0,1,IPv4,9187/TCP
        ");
    let text = output(&["-o", "csv"]);
    let mut counts: BTreeMap<usize, usize> = BTreeMap::new();
    for record in csv::Reader::from_reader(text.as_bytes()).records() {
        *counts.entry(record.unwrap().len()).or_default() += 1;
    }
    assert_eq!(counts.keys().collect::<Vec<_>>(), [&6]);
}

#[test]
fn dot_is_balanced_and_draws_each_namespace() {
    let text = output(&["-o", "dot"]);
    assert_eq!(text.matches('{').count(), text.matches('}').count());
    for line in text.lines() {
        assert_eq!(line.matches('"').count() % 2, 0, "{line}");
    }
    insta::assert_snapshot!("reach_dot", text);
}

#[test]
fn mermaid_draws_the_same() {
    insta::assert_snapshot!("reach_mermaid", output(&["-o", "mermaid"]));
}

#[test]
fn the_page_loads_nothing_and_has_a_row_for_each_line() {
    let page = output(&["-o", "html"]);
    assert!(!page.contains("http://") && !page.contains("https://"));
    assert!(!page.contains("src=") && !page.contains("href="));
    let rows = page.matches("<tr><td>").count() + page.matches("<tr class=\"none\"><td>").count();
    assert_eq!(rows, output(&[]).lines().count() - 1);
    assert!(
        page.contains("<td>shop/deployment/web<td>8080/TCP<td></tr>"),
        "{page}"
    );
}

#[test]
fn letters_that_no_label_may_have_are_in_no_name() {
    let shop = SHOP.replace(
        "{app: api, slot: a}",
        r#"{app: "<script>|\n\u001b[31m`", slot: a}"#,
    );
    let workshop = Workshop::new();
    workshop.write("shop.yaml", shop);
    let file = workshop.path("shop.yaml");
    for form in ["table", "wide", "csv", "dot", "mermaid", "html"] {
        let run = palisade(&["policy-audit", "reach", "-o", form, "-f", file.to_str().unwrap()]);
        assert_eq!(run.exit, Exit::Success, "{}", run.errors);
        assert!(
            !run.output.contains("<script>|") && !run.output.contains('\u{1b}'),
            "{}",
            run.output
        );
        assert!(run.output.contains("api-0"), "{}", run.output);
    }
}

#[test]
fn whose_an_address_of_a_node_is_is_said() {
    for end in ["watch/agent", "node/node-1"] {
        let run = reach(&["--from", end, "--to", "shop/deployment/web", "-o", "csv"]);
        insta::allow_duplicates! {
            insta::assert_snapshot!(run.output, @r"
        from,from_pods,to,to_pods,family,ports
        192.168.0.11 (node node-1),,shop/deployment/web,3,,8080/TCP
        ");
        }
        assert!(
            run.errors.contains(
                "note: 192.168.0.11 is the address of node node-1, and of pods in its network: watch/agent\n"
            ),
            "{}",
            run.errors
        );
    }
}

#[test]
fn an_end_has_no_port() {
    let run = reach(&["--to", "shop/db-0:8080"]);
    assert_eq!(run.exit, Exit::Failure);
    insta::assert_snapshot!(run.errors, @r#"error: "shop/db-0:8080": an END has no port here, as reach tells all ports; `explain` takes one"#);
}

#[test]
fn that_nothing_is_allowed_is_said() {
    let run = reach(&["--from", "lab/bench", "--to", "shop/db-0"]);
    assert_eq!(
        (run.exit, run.output.as_str()),
        (Exit::Success, "FROM   TO   PORTS\n")
    );
    assert!(
        run.errors
            .contains("nothing is allowed from lab/bench to shop/db-0 but what always is\n"),
        "{}",
        run.errors
    );
    let run = reach(&["--from", "shop/app=api", "--to", "shop/db-0"]);
    assert!(!run.errors.contains("nothing is allowed"), "{}", run.errors);
}

/// How many pods a template makes is for the cluster to say, so one that stands for them is never alone.
#[test]
fn replicas_of_one_workload_reach_each_other() {
    let template = "selector: {}, template: {metadata: {labels: {app: NAME}}, spec: {containers: []}}";
    let workload = |kind: &str, name: &str| {
        let template = template.replace("NAME", name);
        format!(
            "apiVersion: apps/v1\nkind: {kind}\nmetadata: {{name: {name}, namespace: shop}}\nspec: {{{template}}}"
        )
    };
    let gossip = "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: own, namespace: shop}\n\
                  spec: {podSelector: {}, ingress: [{from: [{podSelector: {}}], ports: [{port: 7946}]}]}";
    for kind in ["Deployment", "DaemonSet"] {
        let workshop = Workshop::new();
        workshop.write(
            "a.yaml",
            [workload(kind, "web"), gossip.to_owned()].join("\n---\n"),
        );
        let file = workshop.path("a.yaml");
        let arguments = ["policy-audit", "reach", "-f", file.to_str().unwrap(), "-o"];
        let name = format!("shop/{}/web", kind.to_lowercase());
        let csv = palisade(&[&arguments[..], &["csv"]].concat()).output;
        assert!(csv.contains(&format!("{name},1,{name},1,,7946/TCP\n")), "{csv}");
        let table = palisade(&[&arguments[..], &["table", "--from", "shop/app=web"]].concat()).output;
        assert!(table.contains("7946/TCP"), "{table}");
    }
}

#[test]
fn a_graph_that_is_too_large_for_mermaid_is_told() {
    let pod = |number: usize| {
        format!(
            "apiVersion: v1\nkind: Pod\nmetadata: {{name: p{number}, namespace: shop, labels: {{n: 'x{number}'}}}}\n\
             status: {{podIP: 10.0.0.{number}}}\n---\n\
             apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {{name: p{number}, namespace: shop}}\n\
             spec: {{podSelector: {{matchLabels: {{n: 'x{number}'}}}}, ingress: [{{ports: [{{port: {number}}}]}}, \
             {{from: [{{podSelector: {{matchLabels: {{n: 'x{number}'}}}}}}]}}]}}"
        )
    };
    let workshop = Workshop::new();
    let all: Vec<String> = (1..40).map(pod).collect();
    workshop.write("all.yaml", all.join("\n---\n"));
    let file = workshop.path("all.yaml");
    let run = palisade(&[
        "policy-audit",
        "reach",
        "-o",
        "mermaid",
        "-f",
        file.to_str().unwrap(),
    ]);
    let edges = run.output.matches("-->").count();
    assert_eq!(
        run.errors.contains(&format!(
            "warning: {edges} edges are more than the 500 that Mermaid draws by default"
        )),
        edges > 500,
        "{edges} {}",
        run.errors
    );
    assert!(edges > 500, "{edges}");
}
