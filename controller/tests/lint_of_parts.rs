//! `palisade policy-audit lint` on files that are a part of a cluster: what is not among them is not missing, and what they do
//! show is told all the same.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests may fail like tests"
)]

mod common;

use common::palisade_reading;
use serde_json::Value;

/// A finding as `PA103 spec.ingress[0].from[0].podSelector`.
fn found_with(options: &[&str], manifests: &[String]) -> Vec<String> {
    let run = [&["policy-audit", "lint", "-f", "-", "-o", "json"], options].concat();
    let run = palisade_reading(&run, manifests.join("\n---\n").as_bytes());
    let report: Value = serde_json::from_str(&run.output).unwrap_or_else(|_| panic!("{}", run.errors));
    let findings = report["findings"].as_array().unwrap().iter();
    let findings = findings.map(|finding| {
        let field = finding["field"].as_str().unwrap_or("-");
        format!("{} {field}", finding["code"].as_str().unwrap())
    });
    findings.collect()
}

/// All but the namespaces without a default, which most of these have.
fn found(manifests: &[String]) -> Vec<String> {
    found_with(&["--ignore", "PA501", "--ignore", "PA502"], manifests)
}

/// The messages of one code.
fn messages(code: &str, manifests: &[String]) -> Vec<String> {
    let run = ["policy-audit", "lint", "-f", "-", "-o", "json", "--only", code];
    let run = palisade_reading(&run, manifests.join("\n---\n").as_bytes());
    let report: Value = serde_json::from_str(&run.output).unwrap_or_else(|_| panic!("{}", run.errors));
    let findings = report["findings"].as_array().unwrap().iter();
    let told = |finding: &Value| {
        let object = finding["object"]["name"].as_str().unwrap().to_owned();
        format!("{object}: {}", finding["message"].as_str().unwrap())
    };
    findings.map(told).collect()
}

fn nothing() -> Vec<String> {
    Vec::new()
}

fn namespace(name: &str, labels: &str) -> String {
    format!("apiVersion: v1\nkind: Namespace\nmetadata: {{name: {name}, labels: {{{labels}}}}}")
}

fn pod(namespace: &str, name: &str, labels: &str, addresses: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}, namespace: {namespace}, labels: {{{labels}}}}}\n\
         spec: {{containers: [{{name: c, image: i, ports: [{{name: http, containerPort: 8080}}, {{name: metrics, \
         containerPort: 9100}}]}}]}}\nstatus: {{podIPs: [{addresses}]}}"
    )
}

fn workload(kind: &str, namespace: &str, name: &str, labels: &str) -> String {
    let version = if kind == "Job" { "batch/v1" } else { "apps/v1" };
    format!(
        "apiVersion: {version}\nkind: {kind}\nmetadata: {{name: {name}, namespace: {namespace}}}\n\
         spec: {{selector: {{matchLabels: {{{labels}}}}}, template: {{metadata: {{labels: {{{labels}}}}}, \
         spec: {{containers: [{{name: c, image: i}}]}}}}}}"
    )
}

fn service(kind: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Service\nmetadata: {{name: web, namespace: shop}}\nspec: {{type: {kind}, selector: {{app: web}}, \
         ports: [{{name: http, port: 80, targetPort: 8080}}, {{name: metrics, port: 9100, targetPort: 9100}}]}}"
    )
}

fn node(name: &str, addresses: &str) -> String {
    format!("apiVersion: v1\nkind: Node\nmetadata: {{name: {name}}}\nstatus: {{addresses: [{addresses}]}}")
}

/// A policy, of which `rules` is the rest of `spec`.
fn policy(namespace: &str, name: &str, subject: &str, rules: &str) -> String {
    format!(
        "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {{name: {name}, namespace: {namespace}}}\n\
         spec: {{podSelector: {subject}, {rules}}}"
    )
}

const WEB: &str = "{matchLabels: {app: web}}";

fn from(peer: &str) -> String {
    policy(
        "shop",
        "web",
        WEB,
        &format!("policyTypes: [Ingress], ingress: [{{from: [{peer}]}}]"),
    )
}

fn web() -> String {
    pod("shop", "web", "app: web", "{ip: 10.244.0.5}")
}

fn system_pod() -> String {
    pod("kube-system", "proxy", "k8s-app: kube-proxy", "")
}

fn named(name: &str) -> String {
    format!("{{namespaceSelector: {{matchLabels: {{kubernetes.io/metadata.name: {name}}}}}}}")
}

const DNS_ANYWHERE: &str = "{namespaceSelector: {}, podSelector: {matchLabels: {k8s-app: kube-dns}}}";

#[test]
fn pods_of_namespaces_that_were_not_read_are_not_missing() {
    let not_in_dev = "{namespaceSelector: {matchExpressions: [{key: env, operator: NotIn, values: [dev]}]}, \
                      podSelector: {matchLabels: {k8s-app: kube-dns}}}";
    for peer in [DNS_ANYWHERE, not_in_dev] {
        let expected = ["PA105 spec.ingress[0].from[0].podSelector"];
        assert_eq!(found(&[web(), from(peer)]), expected, "{peer}");
    }
    // All namespaces of a whole cluster are known.
    let whole = [
        namespace("kube-system", ""),
        namespace("shop", ""),
        system_pod(),
        web(),
        from(DNS_ANYWHERE),
    ];
    assert_eq!(found(&whole), ["PA103 spec.ingress[0].from[0].podSelector"]);
    // So is the only one that a selector names.
    let shop = "{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: shop}}, podSelector: {matchLabels: {app: db}}}";
    assert_eq!(
        found(&[web(), from(shop)]),
        ["PA103 spec.ingress[0].from[0].podSelector"]
    );
}

#[test]
fn namespaces_are_misspelt_or_of_others() {
    let payments = [namespace("payments", "team: team-a, env: prod"), web()];
    let of = |labels: &str| {
        let peer = format!("{{namespaceSelector: {{matchLabels: {{{labels}}}}}}}");
        let all = [&payments[..], &[from(&peer)]].concat();
        let code = found(&all)
            .join(", ")
            .replace(" spec.ingress[0].from[0].namespaceSelector", "");
        let messages = messages(&code, &all).join(", ");
        format!("{code}: {messages}")
    };
    insta::assert_snapshot!(of("team: team-b"), @"PA105: web: no namespace that was read has team=team-b (there is team=team-a)");
    insta::assert_snapshot!(of("env: preprod"), @"PA105: web: no namespace that was read has env=preprod (there is env=prod)");
    insta::assert_snapshot!(of("evn: prod"), @r#"PA104: web: no namespace that was read has a label "evn"; was env=prod meant?"#);
    insta::assert_snapshot!(of("kubernetes.io/metadata.name: paymnets"), @"PA104: web: no namespace that was read has kubernetes.io/metadata.name=paymnets; was kubernetes.io/metadata.name=payments meant?");
    insta::assert_snapshot!(of("kubernetes.io/metadata.name: monitoring"), @"PA105: web: no namespace that was read has kubernetes.io/metadata.name=monitoring");
    insta::assert_snapshot!(of("name: payments"), @r#"PA104: web: no namespace that was read has a label "name"; was kubernetes.io/metadata.name=payments meant?"#);
    insta::assert_snapshot!(of("name: shop"), @r#"PA105: web: no namespace that was read has a label "name"; was kubernetes.io/metadata.name=shop meant?"#);
}

#[test]
fn a_workload_for_the_system_makes_no_whole_cluster() {
    let metrics = workload(
        "Deployment",
        "kube-system",
        "metrics-server",
        "k8s-app: metrics-server",
    );
    let dns = named("kube-system").replace("}}}", "}}, podSelector: {matchLabels: {k8s-app: kube-dns}}}");
    let all = [namespace("kube-system", ""), metrics, web(), from(&dns)];
    assert_eq!(found(&all), ["PA112 spec.ingress[0].from[0].podSelector"]);
    let monitoring = from(&named("monitoring"));
    let all = [&all[..3], &[monitoring]].concat();
    assert_eq!(found(&all), ["PA105 spec.ingress[0].from[0].namespaceSelector"]);
}

#[test]
fn a_label_for_the_system_makes_no_whole_cluster() {
    let monitoring = from(&named("monitoring"));
    let expected = ["PA105 spec.ingress[0].from[0].namespaceSelector"];
    assert_eq!(
        found(&[namespace("kube-system", "a: b"), web(), monitoring.clone()]),
        expected
    );
    let whole = [namespace("kube-system", "a: b"), system_pod(), web(), monitoring];
    assert_eq!(found(&whole), ["PA104 spec.ingress[0].from[0].namespaceSelector"]);
}

#[test]
fn who_is_not_known_is_somebody() {
    let rules = |peer: &str| {
        format!(
            "policyTypes: [Ingress], ingress: [{{from: [{{podSelector: {WEB}}}], ports: [{{port: 8080}}]}}, \
             {{from: [{peer}], ports: [{{port: 9100}}]}}]"
        )
    };
    let all = |peer: &str| {
        vec![
            web(),
            service("ClusterIP"),
            policy("shop", "web", WEB, &rules(peer)),
        ]
    };
    let closed = "PA602 spec.ports[1]".to_owned();
    assert!(
        !found(&all(&named("monitoring"))).contains(&closed),
        "a namespace that was not read"
    );
    let monitoring = namespace("monitoring", "");
    let with = |peer: &str| [all(peer), vec![monitoring.clone(), namespace("kube-system", "")]].concat();
    assert!(
        !found(&with(&named("monitoring"))).contains(&closed),
        "a namespace without pods"
    );
    assert!(
        found(&all("{podSelector: {matchLabels: {app: db}}}")).contains(&closed),
        "nobody"
    );
    let whole = [with(&named("monitoring")), vec![system_pod()]].concat();
    assert!(found(&whole).contains(&closed), "a namespace that has no pods");
    let alone = [web(), service("ClusterIP"), from(&named("monitoring"))];
    assert_eq!(found(&alone), ["PA105 spec.ingress[0].from[0].namespaceSelector"]);
}

/// What is told of DNS where `web` may connect to `api`, and what else `to` says.
fn of_dns(to: &str) -> Vec<String> {
    let api = "{to: [{podSelector: {matchLabels: {app: api}}}], ports: [{port: 8080}]}";
    let rules = format!("policyTypes: [Egress], egress: [{api}, {to}]");
    let api = pod("shop", "api", "app: api", "");
    let mut found = found(&[web(), api, policy("shop", "web", WEB, &rules)]);
    found.retain(|finding| finding.starts_with("PA50"));
    found
}

#[test]
fn servers_that_were_not_read_are_asked_in_many_ways() {
    let servers = "{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: kube-system}}, \
                   podSelector: {matchLabels: {k8s-app: kube-dns}}}";
    let openshift = named("openshift-dns");
    for to in [
        format!("{{to: [{servers}], ports: [{{port: 53, protocol: UDP}}, {{port: 53}}]}}"),
        format!("{{to: [{servers}], ports: [{{port: dns, protocol: UDP}}, {{port: dns-tcp}}]}}"),
        format!("{{to: [{servers}]}}"),
        format!("{{to: [{DNS_ANYWHERE}]}}"),
        format!("{{to: [{openshift}], ports: [{{port: 5353, protocol: UDP}}, {{port: 5353}}]}}"),
        "{to: [{ipBlock: {cidr: 169.254.20.10/32}}]}".to_owned(),
        "{to: [{ipBlock: {cidr: 0.0.0.0/0, except: [169.254.169.254/32]}}]}".to_owned(),
    ] {
        assert_eq!(of_dns(&to), nothing(), "{to}");
    }
    for to in [
        format!("{{to: [{}]}}", named("monitoring")),
        format!(
            "{{to: [{}], ports: [{{port: 5353, protocol: UDP}}, {{port: 5353}}]}}",
            named("monitoring")
        ),
        format!("{{to: [{servers}], ports: [{{port: metrics}}]}}"),
        "{to: [{ipBlock: {cidr: 198.51.100.7/32}}]}".to_owned(),
        "{to: [{ipBlock: {cidr: 0.0.0.0/0, except: [10.0.0.0/8, 172.16.0.0/12, 192.168.0.0/16]}}]}"
            .to_owned(),
        "{to: [{ipBlock: {cidr: 10.0.0.0/8}}], ports: [{port: 443}]}".to_owned(),
    ] {
        assert_eq!(of_dns(&to), ["PA503 spec.egress"], "{to}");
    }
}

#[test]
fn dns_is_told_once_and_at_the_policy_that_forgets_it() {
    let app = |name: &str, other: &str| {
        let rules = format!(
            "policyTypes: [Egress], egress: [{{to: [{{podSelector: {{matchLabels: {{app: {other}}}}}}}]}}]"
        );
        let subject = format!("{{matchLabels: {{app: {name}}}}}");
        vec![
            pod("shop", name, &format!("app: {name}"), ""),
            policy("shop", name, &subject, &rules),
        ]
    };
    let tracing =
        "policyTypes: [Egress], egress: [{to: [{ipBlock: {cidr: 198.51.100.0/24}}], ports: [{port: 4317}]}]";
    let apps = [app("a", "b"), app("b", "c"), app("c", "a")].concat();
    let with = |rules| [apps.clone(), vec![policy("shop", "allow", "{}", rules)]].concat();
    insta::assert_snapshot!(messages("PA503", &with(tracing)).join("\n"), @"
    a: 1 pod may connect to others, but not to DNS on port 53: shop/a
    b: 1 pod may connect to others, but not to DNS on port 53: shop/b
    c: 1 pod may connect to others, but not to DNS on port 53: shop/c
    ");
    // One for all pods is at fault for all of them.
    let metrics = "policyTypes: [Egress], egress: [{to: [{podSelector: {}}], ports: [{port: 9100}]}]";
    insta::assert_snapshot!(messages("PA503", &with(metrics)).join("\n"), @"allow: 3 pods may connect to others, but not to DNS on port 53: shop/a, shop/b, shop/c");
}

#[test]
fn policies_without_pods_are_judged_by_the_pods_that_they_are_for() {
    let to_db = "policyTypes: [Egress], egress: [{to: [{podSelector: {matchLabels: {app: db}}}], ports: [{port: 5432}]}]";
    let dns = "policyTypes: [Egress], egress: [{ports: [{port: 53, protocol: UDP}, {port: 53}]}]";
    let lonely = policy("shop", "lonely", WEB, to_db);
    let deny = policy("shop", "deny", "{}", "policyTypes: [Ingress, Egress]");
    let run = |manifests: &[String]| {
        let run = ["policy-audit", "lint", "-f", "-"];
        palisade_reading(&run, manifests.join("\n---\n").as_bytes())
    };
    assert_eq!(found(&[lonely.clone(), deny.clone()]), ["PA503 spec.egress"]);
    insta::assert_snapshot!(messages("PA503", &[lonely.clone(), deny]).join("\n"), @"lonely: pods with app=web may connect to others, but not to DNS on port 53");
    insta::assert_snapshot!(run(std::slice::from_ref(&lonely)).errors, @"
    note: no pods and no Namespaces were read: whom selectors select, ports by name, Services and defaults of namespaces were not checked
    1 policy: 1 warning
    ");
    // Another policy lets these pods ask, or may be for some of them.
    for subject in ["{}", WEB, "{matchLabels: {dns: allowed}}"] {
        let all = [lonely.clone(), policy("shop", "dns", subject, dns)];
        assert_eq!(found(&all), nothing(), "{subject}");
    }
    let of_others = policy("shop", "dns", "{matchLabels: {app: api}}", dns);
    assert_eq!(found(&[lonely.clone(), of_others]), ["PA503 spec.egress"]);
    assert_eq!(
        found(&[lonely, policy("other", "dns", "{}", dns)]),
        ["PA503 spec.egress"]
    );
}

#[test]
fn labels_that_controllers_add_are_not_missing() {
    let peers = "{podSelector: {matchLabels: {job-name: migrate}}}, \
                 {podSelector: {matchLabels: {batch.kubernetes.io/job-name: migrate}}}";
    let primary = |peers: &str| {
        policy(
            "db",
            "primary",
            "{matchLabels: {statefulset.kubernetes.io/pod-name: pg-0}}",
            &format!("policyTypes: [Ingress], ingress: [{{from: [{peers}]}}]"),
        )
    };
    let pg = workload("StatefulSet", "db", "pg", "app: pg");
    let job = workload("Job", "db", "migrate", "app: migrate");
    assert_eq!(found(&[pg, job, primary(peers)]), nothing());
    // A Deployment's pods get no such label, and those that are there have what they have.
    let expected = [
        "PA103 spec.ingress[0].from[0].podSelector",
        "PA103 spec.ingress[0].from[1].podSelector",
        "PA101 spec.podSelector",
    ];
    assert_eq!(
        found(&[workload("Deployment", "db", "pg", "app: pg"), primary(peers)]),
        expected
    );
    assert_eq!(found(&[pod("db", "pg", "app: pg", ""), primary(peers)]), expected);
}

#[test]
fn pods_that_something_unknown_makes_are_not_missing() {
    let rollout =
        "apiVersion: argoproj.io/v1alpha1\nkind: Rollout\nmetadata: {name: web, namespace: shop}".to_owned();
    let api = workload("Deployment", "shop", "api", "app: api");
    let of = |other: String, subject: &str| {
        let subject = format!("{{matchLabels: {{app: {subject}}}}}");
        found(&[
            other,
            api.clone(),
            policy("shop", "p", &subject, "policyTypes: [Ingress]"),
        ])
    };
    assert_eq!(of(rollout.clone(), "web"), ["PA112 spec.podSelector"]);
    // A near miss is one, whatever else there is.
    assert_eq!(of(rollout.clone(), "apis"), ["PA101 spec.podSelector"]);
    // Nor is it a peer of another namespace, or two, because such pods are there too.
    let elsewhere = pod("ops", "web", "app: web", "");
    let peers = [
        "{podSelector: {matchLabels: {app: web}}}",
        "{namespaceSelector: {matchLabels: {team: ops}}}",
    ];
    let to = policy(
        "shop",
        "p",
        "{}",
        &format!(
            "policyTypes: [Ingress], ingress: [{{from: [{}]}}]",
            peers.join(", ")
        ),
    );
    let all = |other: &[String]| {
        let ops = namespace("ops", "team: ops");
        found(&[&[ops, elsewhere.clone(), api.clone(), to.clone()], other].concat())
    };
    assert_eq!(
        all(std::slice::from_ref(&rollout)),
        ["PA112 spec.ingress[0].from[0].podSelector"]
    );
    assert_eq!(all(&[]), ["PA106 spec.ingress[0].from[1]"]);
    // It makes pods in its own namespace, and other things make none.
    assert_eq!(
        of(rollout.replace("shop", "other"), "web"),
        ["PA101 spec.podSelector"]
    );
    for kind in [
        "monitoring.coreos.com/v1\nkind: ServiceMonitor",
        "v1\nkind: ConfigMap",
    ] {
        let other = format!("apiVersion: {kind}\nmetadata: {{name: web, namespace: shop}}");
        assert_eq!(of(other, "web"), ["PA101 spec.podSelector"], "{kind}");
    }
}

#[test]
fn nodes_that_are_let_in_by_any_rule_need_no_source() {
    const OFFICE: &str = "{ipBlock: {cidr: 198.51.100.0/24}}";
    const NODES: &str = "{ipBlock: {cidr: 10.10.0.0/16}}";
    let nodes = [
        node(
            "n1",
            "{type: InternalIP, address: 10.10.0.1}, {type: ExternalIP, address: 203.0.113.7}",
        ),
        node(
            "n2",
            "{type: InternalIP, address: 10.10.0.2}, {type: ExternalIP, address: 203.0.113.8}",
        ),
    ];
    let lost = |nodes: &[String], ingress: &str| {
        let rules = format!("policyTypes: [Ingress], ingress: [{ingress}]");
        let all = [
            nodes,
            &[web(), service("LoadBalancer"), policy("shop", "web", WEB, &rules)],
        ]
        .concat();
        !found_with(&["--only", "PA601"], &all).is_empty()
    };
    let on = |peers: &str, port: u16| format!("{{from: [{peers}], ports: [{{port: {port}}}]}}");
    let each = "{ipBlock: {cidr: 10.10.0.1/32}}, {ipBlock: {cidr: 10.10.0.2/32}}";
    for ingress in [
        on(&format!("{OFFICE}, {NODES}"), 8080),
        on(&format!("{OFFICE}, {each}"), 8080),
        format!("{}, {}", on(OFFICE, 8080), on(NODES, 8080)),
        format!("{}, {{ports: [{{port: 8080}}]}}", on(OFFICE, 8080)),
    ] {
        assert!(!lost(&nodes, &ingress), "{ingress}");
        assert!(
            !lost(&[], &ingress) || ingress.contains("198.51.100.0/24}}]}"),
            "{ingress}"
        );
    }
    for ingress in [
        on(OFFICE, 8080),
        on(&format!("{OFFICE}, {{ipBlock: {{cidr: 10.10.0.1/32}}}}"), 8080),
        format!("{}, {}", on(OFFICE, 8080), on(NODES, 9100)),
    ] {
        assert!(lost(&nodes, &ingress), "{ingress}");
    }
    // Of nodes that are not known, a second block may be theirs.
    assert!(!lost(&[], &on(&format!("{OFFICE}, {NODES}"), 8080)));
    assert!(lost(&[], &on(OFFICE, 8080)));
    assert!(lost(
        &[],
        &on(&format!("{OFFICE}, {{ipBlock: {{cidr: 203.0.113.0/24}}}}"), 8080)
    ));
}

#[test]
fn remedies_mend() {
    let to = |except: &str| {
        let egress = format!("{{to: [{{ipBlock: {{cidr: '::/0', except: [{except}]}}}}]}}");
        let rules = format!("policyTypes: [Egress], egress: [{egress}]");
        [web(), policy("shop", "web", WEB, &rules)].join("\n---\n")
    };
    let run = |manifests: &str| {
        let run = [
            "policy-audit",
            "lint",
            "-f",
            "-",
            "-o",
            "json",
            "--only",
            "PA208",
            "--only",
            "PA201",
        ];
        let run = palisade_reading(&run, manifests.as_bytes());
        serde_json::from_str::<Value>(&run.output).unwrap()["findings"].clone()
    };
    assert_eq!(run(&to(""))[0]["fix"], "Add except: [fd00:ec2::254/128].");
    assert_eq!(run(&to("'fd00:ec2::254/128'")), Value::Array(Vec::new()));
    // One value that is nearly right is a misspelling, and no two peers in one.
    let gateway = pod("partner", "gateway", "app: api-gateway", "");
    let api = pod("shop", "api", "app: api", "");
    let joined =
        from("{namespaceSelector: {matchLabels: {team: partner}}, podSelector: {matchLabels: {app: api}}}");
    let all = [namespace("partner", "team: partner"), gateway, api, web(), joined];
    assert_eq!(found(&all), ["PA103 spec.ingress[0].from[0].podSelector"]);
    insta::assert_snapshot!(messages("PA103", &all).join("\n"), @"web: no pod that was read in a namespace with team=partner has app=api; was app=api-gateway meant?");
}

#[test]
fn a_default_denies() {
    let allow = policy(
        "shop",
        "allow-all",
        "{}",
        "policyTypes: [Ingress, Egress], ingress: [{}], egress: [{}]",
    );
    insta::assert_snapshot!(messages("PA501", &[web(), allow.clone()]).join("\n"), @"shop: shop/allow-all allows all ingress of all its pods");
    let deny = policy("shop", "deny", "{}", "policyTypes: [Ingress]");
    assert_eq!(messages("PA501", &[web(), deny.clone()]), nothing());
    // What one policy allows no other denies.
    assert_eq!(messages("PA501", &[web(), allow, deny]).len(), 1);
}

#[test]
fn an_empty_section_denies_only_what_policy_types_names() {
    let of = |types: &str| {
        found(&[
            web(),
            policy("shop", "p", "{}", &format!("policyTypes: [{types}], egress: []")),
        ])
    };
    assert_eq!(of("Ingress"), ["PA004 spec.egress"]);
    assert_eq!(of("Ingress, Egress"), nothing());
}

#[test]
fn pod_networks_that_are_given_are_looked_for_in_blocks() {
    let of = |cidr: &str| {
        let all = [
            workload("Deployment", "shop", "web", "app: web"),
            from(&format!("{{ipBlock: {{cidr: {cidr}}}}}")),
        ];
        let options = [
            "--pod-network",
            "10.244.0.0/16",
            "--only",
            "PA203",
            "--only",
            "PA204",
        ];
        found_with(&options, &all)
    };
    assert_eq!(of("10.0.0.0/8"), ["PA203 spec.ingress[0].from[0].ipBlock"]);
    assert_eq!(of("0.0.0.0/0"), ["PA204 spec.ingress[0].from[0].ipBlock"]);
    assert_eq!(of("172.16.0.0/12"), nothing());
}

#[test]
fn the_other_family_may_stand_elsewhere() {
    let web = || pod("shop", "web", "app: web", "{ip: 10.0.0.1}, {ip: 'fd00::1'}");
    let world =
        |cidr: &str, ports: &str| format!("{{from: [{{ipBlock: {{cidr: '{cidr}'}}}}], ports: [{ports}]}}");
    let of = |rules: &str| {
        policy(
            "shop",
            "p",
            WEB,
            &format!("policyTypes: [Ingress], ingress: [{rules}]"),
        )
    };
    let one = |policies: &[String]| found_with(&["--only", "PA206"], &[&[web()], policies].concat()).len();
    let both = "{port: 80}, {port: 443}";
    let rules = [world("0.0.0.0/0", both), world("::/0", "{port: 443}, {port: 80}")];
    assert_eq!(one(&[of(&rules.join(", "))]), 0);
    let [v4, v6] = rules;
    let sibling = |rules: &str| of(rules).replace("{name: p,", "{name: q,");
    assert_eq!(one(&[of(&v4), sibling(&v6)]), 0);
    assert_eq!(one(&[of(&v4), sibling(&world("::/0", "{port: 80}"))]), 1);
    assert_eq!(one(&[of(&v4), sibling(&v6).replace("app: web", "app: api")]), 1);
}

#[test]
fn a_pod_reaches_itself() {
    let rules = "policyTypes: [Ingress, Egress], egress: [{to: [{podSelector: {}}]}]";
    let of = |replicas: u32, other: &[String]| {
        let set = workload("StatefulSet", "shop", "es", "app: es");
        let set = set.replace(
            "spec: {selector",
            &format!("spec: {{replicas: {replicas}, selector"),
        );
        let all = [&[set, policy("shop", "p", "{}", rules)], other].concat();
        found_with(&["--only", "PA406"], &all).len()
    };
    assert_eq!(of(1, &[]), 0);
    assert_eq!(of(2, &[]), 1);
    assert_eq!(of(1, &[web()]), 1);
}
