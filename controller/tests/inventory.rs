//! What questions are asked about: from files to an inventory.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests may fail like tests"
)]

mod common;

use std::collections::BTreeSet;
use std::net::IpAddr;

use common::Workshop;
use palisade_audit::inventory::{
    Inventory, ObjectRef, Places, Service, ServiceKey, ServiceKind, TargetPort, Workload, WorkloadKey,
    WorkloadKind,
};
use palisade_controller::inventory::Loaded;
use palisade_policy::model::{NamespaceName, Pod, PodKey, PolicyKey};

/// What is loaded from one file with this text, and what is said.
fn load(text: &str) -> (Loaded, String) {
    let workshop = Workshop::new();
    workshop.write("all.yaml", text);
    let (loaded, errors) = workshop.load(&["all.yaml"], &[]);
    (loaded.unwrap(), errors)
}

fn documents(documents: &[&str]) -> String {
    documents.join("\n---\n")
}

fn pod<'a>(inventory: &'a Inventory, key: &str) -> &'a Pod {
    let key = PodKey::parse(key).unwrap();
    inventory
        .state
        .pods()
        .values()
        .find(|pod| pod.key == key)
        .unwrap()
}

fn workload<'a>(inventory: &'a Inventory, kind: WorkloadKind, key: &str) -> &'a Workload {
    let (namespace, name) = key.split_once('/').unwrap();
    inventory
        .workloads
        .get(&WorkloadKey {
            kind,
            namespace: namespace.into(),
            name: name.into(),
        })
        .unwrap_or_else(|| panic!("{:?}", inventory.workloads.keys()))
}

fn service<'a>(inventory: &'a Inventory, key: &str) -> &'a Service {
    let (namespace, name) = key.split_once('/').unwrap();
    &inventory.services[&ServiceKey {
        namespace: namespace.into(),
        name: name.into(),
    }]
}

fn addresses(pod: &Pod) -> Vec<String> {
    pod.addresses.iter().map(ToString::to_string).collect()
}

const DEPLOYMENT: &str = "
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop, labels: {its: own}}
spec:
  replicas: 3
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      hostNetwork: false
      containers:
      - {name: web, image: nginx, ports: [{name: http, containerPort: 8080}]}
";

#[test]
fn a_template_becomes_one_pod_that_stands_for_all() {
    let (loaded, said) = load(DEPLOYMENT);
    let inventory = &loaded.inventory;
    let web = pod(inventory, "shop/web");
    assert_eq!(web.labels.get("app"), Some("web"));
    assert_eq!(web.labels.get("its"), None, "the Deployment's labels are its own");
    assert_eq!(web.ports[0].name.as_str(), "http");
    assert!(web.is_workload() && inventory.placeholders.contains(&web.uid));
    let workload = workload(inventory, WorkloadKind::Deployment, "shop/web");
    assert_eq!(workload.replicas, Some(3));
    assert!(workload.representative);
    assert_eq!(workload.pods.iter().collect::<Vec<_>>(), [&web.uid]);
    assert!(inventory.undescribed.contains(&"shop".into()));
    insta::assert_snapshot!(said, @"note: 1 pod without an address: placeholders from 10.128.0.0/9 stand for them");
}

#[test]
fn every_kind_of_workload_makes_pods() {
    let template = "template: {metadata: {labels: {a: b}}, spec: {hostNetwork: true, containers: []}}";
    let of = |kind: &str, version: &str, spec: &str| {
        format!("apiVersion: {version}\nkind: {kind}\nmetadata: {{name: a}}\nspec: {{{spec}}}")
    };
    let selector = "selector: {}";
    let texts = [
        of(
            "StatefulSet",
            "apps/v1",
            &format!("serviceName: s, {selector}, {template}"),
        ),
        of("DaemonSet", "apps/v1", &format!("{selector}, {template}")),
        of(
            "ReplicaSet",
            "apps/v1",
            &format!("replicas: 0, {selector}, {template}"),
        ),
        of("Job", "batch/v1", &format!("parallelism: 4, {template}")),
        of(
            "CronJob",
            "batch/v1",
            &format!("schedule: '* * * * *', jobTemplate: {{spec: {{{template}}}}}"),
        ),
    ];
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let (loaded, _) = load(&documents(&texts));
    for (kind, replicas) in [
        (WorkloadKind::StatefulSet, Some(1)),
        (WorkloadKind::DaemonSet, None),
        (WorkloadKind::ReplicaSet, Some(0)),
        (WorkloadKind::Job, Some(4)),
        (WorkloadKind::CronJob, Some(1)),
    ] {
        let workload = workload(&loaded.inventory, kind, "default/a");
        assert_eq!(workload.replicas, replicas, "{kind}");
        let pod = &loaded.inventory.state.pods()[workload.pods.first().unwrap()];
        assert_eq!(pod.labels.get("a"), Some("b"), "{kind}");
        assert!(pod.host_network, "{kind}");
    }
}

/// A running pod that `owner` made.
fn owned(name: &str, owner: (&str, &str, &str), labels: &str, address: &str) -> String {
    let (version, kind, of) = owner;
    format!(
        "apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}, namespace: shop, labels: {{{labels}}}, \
         ownerReferences: [{{apiVersion: {version}, kind: {kind}, name: {of}, uid: u, controller: true}}]}}\n\
         status: {{podIPs: [{{ip: {address}}}]}}"
    )
}

#[test]
fn pods_that_are_there_are_those_of_their_workload() {
    let set = ("apps/v1", "ReplicaSet", "web-5d9f");
    let one = owned("web-5d9f-a", set, "app: web, pod-template-hash: 5d9f", "10.0.0.1");
    let two = owned("web-5d9f-b", set, "app: web, pod-template-hash: 5d9f", "10.0.0.2");
    let (loaded, said) = load(&documents(&[DEPLOYMENT, &one, &two]));
    let web = workload(&loaded.inventory, WorkloadKind::Deployment, "shop/web");
    assert_eq!(web.pods.len(), 2);
    assert!(!web.representative);
    assert_eq!(web.replicas, Some(3), "the document says how many it wants");
    assert_eq!(
        loaded.inventory.state.pods().len(),
        2,
        "no pod was made from the template"
    );
    assert_eq!(said, "");
}

#[test]
fn owners_tell_what_a_pod_belongs_to_where_nothing_else_does() {
    let hash = "pod-template-hash: 5d9f";
    let texts = [
        owned(
            "web-5d9f-a",
            ("apps/v1", "ReplicaSet", "web-5d9f"),
            hash,
            "10.0.0.1",
        ),
        owned(
            "web-5d9f-b",
            ("apps/v1", "ReplicaSet", "web-5d9f"),
            hash,
            "10.0.0.2",
        ),
        owned("bare-x", ("apps/v1", "ReplicaSet", "bare"), hash, "10.0.0.3"),
        owned(
            "nightly-29387520-x",
            ("batch/v1", "Job", "nightly-29387520"),
            "",
            "10.0.0.4",
        ),
        owned("once-1-x", ("batch/v1", "Job", "once-1"), "", "10.0.0.5"),
        owned("db-0", ("apps/v1", "StatefulSet", "db"), "", "10.0.0.6"),
        owned("agent-x", ("apps/v1", "DaemonSet", "agent"), "", "10.0.0.7"),
        owned("own-x", ("example.org/v1", "Deployment", "own"), "", "10.0.0.8"),
    ];
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let (loaded, _) = load(&documents(&texts));
    let found: Vec<String> = loaded
        .inventory
        .workloads
        .values()
        .map(|workload| format!("{} {:?}", workload.key, workload.replicas))
        .collect();
    assert_eq!(
        found,
        [
            "Deployment shop/web Some(2)",
            "StatefulSet shop/db Some(1)",
            "DaemonSet shop/agent None",
            "ReplicaSet shop/bare Some(1)",
            "Job shop/once-1 Some(1)",
            "CronJob shop/nightly Some(1)",
        ]
    );
}

#[test]
fn what_a_workload_made_speaks_for_it_only_where_it_is_not_there() {
    let set = |name: &str, replicas: u32, version: &str| {
        format!(
            "apiVersion: apps/v1\nkind: ReplicaSet\nmetadata: {{name: {name}, namespace: shop, ownerReferences: \
             [{{apiVersion: apps/v1, kind: Deployment, name: web, uid: u, controller: true}}]}}\n\
             spec: {{replicas: {replicas}, selector: {{}}, template: {{metadata: {{labels: {{v: {version}}}}}}}}}"
        )
    };
    let (old, new) = (set("web-1", 0, "old"), set("web-2", 2, "new"));
    let (loaded, _) = load(&documents(&[&old, &new]));
    assert_eq!(pod(&loaded.inventory, "shop/web").labels.get("v"), Some("new"));
    let (loaded, _) = load(&documents(&[&old, &new, DEPLOYMENT]));
    assert_eq!(pod(&loaded.inventory, "shop/web").labels.get("app"), Some("web"));
    assert_eq!(loaded.inventory.workloads.len(), 1);
}

#[test]
fn services_know_their_pods_their_ports_and_their_endpoints() {
    let (loaded, _) = load(&documents(&[
        "
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop}
spec:
  type: NodePort
  clusterIP: 10.96.0.7
  clusterIPs: [10.96.0.7, fd00:96::7]
  externalTrafficPolicy: Local
  externalIPs: [198.51.100.1]
  selector: {app: web}
  ports:
  - {name: http, port: 80, targetPort: http, nodePort: 30080}
  - {name: dns, port: 53, protocol: UDP}
status:
  loadBalancer:
    ingress: [{ip: 198.51.100.2, ipMode: VIP}, {hostname: lb.example.org}, {ip: 198.51.100.3, ipMode: Proxy}, {ip: 'fd00:98::2'}]
",
        "
apiVersion: v1
kind: Service
metadata: {name: headless, namespace: shop}
spec: {clusterIP: None, clusterIPs: [None], ports: [{port: 5432, targetPort: 5433}]}
",
        "
apiVersion: v1
kind: Service
metadata: {name: elsewhere, namespace: shop}
spec: {type: ExternalName, externalName: example.org, selector: {app: web}}
",
        "
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: web-a, namespace: shop, labels: {kubernetes.io/service-name: web}}
addressType: IPv4
endpoints: [{addresses: [10.0.0.5]}, {addresses: [10.0.0.6], conditions: {ready: false}}]
ports: [{name: http, port: 8080}, {name: dns, protocol: UDP}]
",
        "
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: web-b, namespace: shop, labels: {kubernetes.io/service-name: web}}
addressType: IPv6
endpoints: [{addresses: ['fd00::5']}]
",
        "
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: orphan, namespace: shop}
addressType: FQDN
endpoints: [{addresses: [example.org]}]
",
    ]));
    let inventory = &loaded.inventory;
    let web = service(inventory, "shop/web");
    assert_eq!(web.kind, ServiceKind::NodePort);
    assert!(web.keeps_source);
    let text =
        |addresses: &mut dyn Iterator<Item = &IpAddr>| addresses.map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(text(&mut web.addresses.iter()), ["10.96.0.7", "fd00:96::7"]);
    assert_eq!(
        text(&mut web.outside.iter()),
        ["198.51.100.1", "198.51.100.2", "fd00:98::2"]
    );
    assert_eq!(web.selector.as_ref().unwrap().to_string(), "app=web");
    assert_eq!(web.ports[0].target, TargetPort::Name("http".into()));
    assert_eq!(web.ports[0].node_port, Some(30080));
    assert_eq!(web.ports[1].target, TargetPort::Number(53));
    let listed: BTreeSet<IpAddr> = web.listed().collect();
    assert_eq!(text(&mut listed.iter()), ["10.0.0.5", "10.0.0.6", "fd00::5"]);
    let port_of = |port: usize, address: &str| web.listed_port(&web.ports[port], address.parse().unwrap());
    assert_eq!(port_of(0, "10.0.0.6"), Some(8080));
    assert_eq!((port_of(1, "10.0.0.6"), port_of(0, "fd00::5")), (None, None));

    let headless = service(inventory, "shop/headless");
    assert_eq!(
        (headless.addresses.len(), &headless.selector, &headless.endpoints),
        (0, &None, &None)
    );
    assert_eq!(headless.ports[0].target, TargetPort::Number(5433));
    let elsewhere = service(inventory, "shop/elsewhere");
    assert_eq!(
        (elsewhere.kind, &elsewhere.selector),
        (ServiceKind::ExternalName, &None)
    );
}

#[test]
fn placeholders_come_from_the_pods_node_or_the_pod_network() {
    let workshop = Workshop::new();
    workshop.write(
        "all.yaml",
        documents(&[
            "apiVersion: v1\nkind: Node\nmetadata: {name: node-1}\nspec: {podCIDRs: [10.7.0.0/30, 'fd00:7::/64']}\n\
             status: {addresses: [{type: InternalIP, address: 192.168.0.1}]}",
            "apiVersion: v1\nkind: Pod\nmetadata: {name: there}\nspec: {nodeName: node-1, containers: []}",
            "apiVersion: v1\nkind: Pod\nmetadata: {name: too}\nspec: {nodeName: node-1, containers: []}",
            "apiVersion: v1\nkind: Pod\nmetadata: {name: full}\nspec: {nodeName: node-1, containers: []}",
            "apiVersion: v1\nkind: Pod\nmetadata: {name: nowhere}",
            "apiVersion: v1\nkind: Pod\nmetadata: {name: host}\nspec: {nodeName: node-1, hostNetwork: true, containers: []}",
            "apiVersion: v1\nkind: Pod\nmetadata: {name: done}\nstatus: {phase: Succeeded}",
        ]),
    );
    let (loaded, said) = workshop.load(&["all.yaml"], &["--pod-network", "10.9.0.0/16"]);
    let inventory = &loaded.unwrap().inventory;
    let of_node: Vec<&str> = ["there", "too", "full"]
        .into_iter()
        .filter(|name| addresses(pod(inventory, &format!("default/{name}")))[0].starts_with("10.7.0."))
        .collect();
    assert_eq!(
        of_node,
        ["there", "full"],
        "two addresses of the node's network are for pods; by name, as they come"
    );
    for name in ["there", "too", "full", "nowhere"] {
        let addresses = addresses(pod(inventory, &format!("default/{name}")));
        assert_eq!(addresses.len(), 2, "the node has both families: {addresses:?}");
    }
    assert!(addresses(pod(inventory, "default/nowhere"))[0].starts_with("10.9."));
    assert_eq!(addresses(pod(inventory, "default/host")), ["192.168.0.1"]);
    assert!(pod(inventory, "default/done").addresses.is_empty());
    assert_eq!(
        inventory.placeholders.len(),
        4,
        "the node's address is no placeholder"
    );
    insta::assert_snapshot!(said, @"note: 4 pods without an address: placeholders from 10.7.0.0/30, 10.9.0.0/16, fd00:7::/64, fd00:10:128::/64 stand for them");
}

#[test]
fn a_pod_in_a_network_of_some_node_may_be_at_any() {
    let node = |name: &str, address: &str| {
        format!(
            "apiVersion: v1\nkind: Node\nmetadata: {{name: {name}}}\nstatus: {{addresses: [{{type: InternalIP, address: {address}}}]}}"
        )
    };
    let [a, b] = [node("a", "192.168.0.1"), node("b", "192.168.0.2")];
    let agent =
        "apiVersion: v1\nkind: Pod\nmetadata: {name: agent}\nspec: {hostNetwork: true, containers: []}";
    let (loaded, _) = load(&documents(&[&a, &b, agent]));
    let inventory = &loaded.inventory;
    assert_eq!(
        addresses(pod(inventory, "default/agent")),
        ["192.168.0.1", "192.168.0.2"]
    );
    assert!(inventory.placeholders.is_empty());
}

#[test]
fn a_placeholder_stays_when_others_come_and_is_nobody_elses() {
    let pod_of = |name: &str| format!("apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}}}");
    let (loaded, _) = load(&pod_of("a"));
    let alone = addresses(pod(&loaded.inventory, "default/a"));
    let other = pod_of("b");
    let (loaded, _) = load(&documents(&[&other, &pod_of("a")]));
    assert_eq!(addresses(pod(&loaded.inventory, "default/a")), alone);
    let taken = format!(
        "apiVersion: v1\nkind: Pod\nmetadata: {{name: c}}\nstatus: {{podIP: {}}}",
        alone[0]
    );
    let (loaded, _) = load(&documents(&[&taken, &pod_of("a")]));
    assert_ne!(addresses(pod(&loaded.inventory, "default/a")), alone);
}

#[test]
fn policies_whose_types_are_defaults_and_namespaces_that_are_only_named_are_known() {
    let policy = |name: &str, spec: &str| {
        format!(
            "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {{name: {name}, namespace: shop}}\nspec: {spec}"
        )
    };
    let texts = [
        policy("untyped", "{podSelector: {}}"),
        policy("empty", "{podSelector: {}, policyTypes: []}"),
        policy("typed", "{podSelector: {}, policyTypes: [Ingress]}"),
        policy("broken", "{podSelector: {}, ingres: []}"),
        "apiVersion: v1\nkind: Namespace\nmetadata: {name: other}".to_owned(),
    ];
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let (loaded, said) = load(&documents(&texts));
    let untyped: Vec<&str> = loaded.inventory.untyped.iter().map(|key| &*key.name).collect();
    assert_eq!(untyped, ["broken", "empty", "untyped"]);
    let undescribed: Vec<&str> = loaded
        .inventory
        .undescribed
        .iter()
        .map(NamespaceName::as_str)
        .collect();
    assert_eq!(undescribed, ["shop"]);
    assert_eq!(loaded.inventory.state.namespaces().len(), 2);
    insta::assert_snapshot!(said, @"warning: DIR/all.yaml: document 4 (line 16): NetworkPolicy shop/broken: spec.ingres: there is no such field; this allows nothing");
}

#[test]
fn what_is_skipped_is_told() {
    let (_, said) = load(&documents(&[
        "apiVersion: v1\nkind: Namespace\nmetadata: {name: a}",
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}",
        "apiVersion: networking.k8s.io/v1beta1\nkind: NetworkPolicy\nmetadata: {name: a}",
        "apiVersion: apps/v1beta1\nkind: Deployment\nmetadata: {name: a}",
    ]));
    insta::assert_snapshot!(said, @"skipped 1 ConfigMap, 1 Deployment (apps/v1beta1), 1 NetworkPolicy (networking.k8s.io/v1beta1)");
}

#[test]
fn what_palisade_published_is_kept() {
    let text = r#"{"apiVersion": "palisade.dev/v1alpha1", "kind": "NodeRuleSetList", "items": [
        {"metadata": {"name": "node-1"}, "spec": {"revision": 7, "hash": "h", "node": "node-1"}, "status": {"pods": 3}}]}"#;
    let (loaded, _) = load(text);
    let set = &loaded.published.rule_sets[0];
    assert_eq!(
        (set.spec.revision, set.status.as_ref().unwrap().pods),
        (7, Some(3))
    );
}

#[test]
fn names_without_a_namespace_are_looked_up_where_one_wants() {
    let workshop = Workshop::new();
    workshop.write("all.yaml", DEPLOYMENT);
    assert_eq!(
        workshop.load(&["all.yaml"], &[]).0.unwrap().namespace.as_str(),
        "default"
    );
    assert_eq!(
        workshop
            .load(&["all.yaml"], &["-n", "shop"])
            .0
            .unwrap()
            .namespace
            .as_str(),
        "shop"
    );
}

#[test]
fn objects_without_a_namespace_are_where_one_wants() {
    let workshop = Workshop::new();
    let policy = |name: &str, namespace: &str| {
        format!(
            "{{\"apiVersion\": \"networking.k8s.io/v1\", \"kind\": \"NetworkPolicy\", \
             \"metadata\": {{\"name\": \"{name}\"{namespace}}}, \"spec\": {{\"podSelector\": {{}}}}}}"
        )
    };
    workshop.write("a.json", policy("a", ""));
    workshop.write("b.yaml", policy("b", ", \"namespace\": \"\""));
    workshop.write("c.json", policy("c", ", \"namespace\": \"lab\""));
    workshop.write("d.yaml", DEPLOYMENT.replace("namespace: shop, ", ""));
    workshop.write(
        "e.yaml",
        "apiVersion: v1\nkind: Namespace\nmetadata: {name: other}",
    );
    let found = |more: &[&str]| {
        let (loaded, _) = workshop.load(&["."], more);
        let inventory = loaded.unwrap().inventory;
        let policies = inventory.state.policies().keys().map(ToString::to_string);
        let workloads = inventory.workloads.keys().map(ToString::to_string);
        policies.chain(workloads).collect::<Vec<_>>()
    };
    assert_eq!(
        found(&[]),
        ["default/a", "default/b", "lab/c", "Deployment default/web"]
    );
    assert_eq!(
        found(&["-n", "nn"]),
        ["lab/c", "nn/a", "nn/b", "Deployment nn/web"]
    );
    let (old, _) = workshop.load(&["e.yaml"], &["-n", "nn"]);
    let new = workshop.overlay(&old.unwrap(), &["a.json"]).unwrap();
    assert!(
        new.inventory
            .state
            .policies()
            .contains_key(&PolicyKey::new("nn", "a"))
    );
}

#[test]
fn places_are_files_and_lines() {
    let workshop = Workshop::new();
    workshop.write(
        "a.yaml",
        "# First.\nkind: Namespace\napiVersion: v1\nmetadata:\n  name: shop\n---\n\napiVersion: v1\nkind: List\nitems:\n\
         - apiVersion: networking.k8s.io/v1\n  kind: NetworkPolicy\n  metadata: {name: a, namespace: shop}\n  spec:\n    \
         podSelector: {}\n    ingress:\n    - from:\n      - podSelector: {}\n",
    );
    let pretty = serde_json::json!({"apiVersion": "v1", "kind": "List", "items": [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "other"}},
        {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": {"name": "b", "namespace": "shop"},
         "spec": {"podSelector": {}, "egress": [{}]}},
    ]});
    workshop.write("b.json", serde_json::to_string_pretty(&pretty).unwrap());
    workshop.write("c.yaml", DEPLOYMENT);
    let (loaded, _) = workshop.load(&["."], &[]);
    let loaded = loaded.unwrap();
    let line = |object: ObjectRef, field: Option<&str>| {
        let place = loaded.origins.place(&object, field).unwrap();
        format!(
            "{}:{}",
            place.file.rsplit('/').next().unwrap(),
            place.line.unwrap()
        )
    };
    let policy = |name: &str| ObjectRef::Policy(PolicyKey::new("shop", name));
    assert_eq!(line(ObjectRef::Namespace("shop".into()), None), "a.yaml:2");
    assert_eq!(
        line(ObjectRef::Namespace("shop".into()), Some("metadata.name")),
        "a.yaml:5"
    );
    assert_eq!(line(policy("a"), None), "a.yaml:11");
    assert_eq!(
        line(policy("a"), Some("spec.ingress[0].from[0].podSelector")),
        "a.yaml:18"
    );
    assert_eq!(line(policy("a"), Some("spec.ingress[0].ports")), "a.yaml:17");
    assert_eq!(line(policy("b"), None), "b.json:11");
    let json = serde_json::to_string_pretty(&pretty).unwrap();
    let egress = json.lines().position(|line| line.contains("egress")).unwrap() + 1;
    assert_eq!(line(policy("b"), Some("spec.egress")), format!("b.json:{egress}"));
    assert_eq!(
        line(policy("b"), Some("spec.egress[0].to")),
        format!("b.json:{}", egress + 1)
    );
    let web = ObjectRef::Pod(PodKey::new("shop", "web"));
    assert_eq!(
        line(web.clone(), Some("metadata.labels")),
        "c.yaml:9",
        "in the template"
    );
    assert_eq!(loaded.origins.place(&policy("none"), None), None);
}

#[test]
fn files_over_others_replace_what_is_called_the_same() {
    let workshop = Workshop::new();
    let policy = |name: &str, spec: &str| {
        format!(
            "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {{name: {name}, namespace: shop}}\nspec: {spec}"
        )
    };
    let pod_at = |name: &str, address: &str| {
        format!(
            "apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}, namespace: shop, uid: 'u-{address}'}}\nstatus: {{podIP: {address}}}"
        )
    };
    workshop.write(
        "old.yaml",
        documents(&[
            DEPLOYMENT,
            &policy("a", "{podSelector: {}}"),
            &policy("b", "{podSelector: {}}"),
            &pod_at("p", "10.0.0.1"),
        ]),
    );
    let labelled = DEPLOYMENT.replace("{app: web}}\n    spec", "{app: new}}\n    spec");
    workshop.write(
        "new.yaml",
        documents(&[
            &labelled,
            &policy("a", "{podSelector: {}, policyTypes: [Egress]}"),
            &policy("c", "{podSelector: {}}"),
            &pod_at("p", "10.0.0.2"),
        ]),
    );
    let (old, _) = workshop.load(&["old.yaml"], &[]);
    let old = old.unwrap();
    let new = workshop.overlay(&old, &["new.yaml"]).unwrap();
    let inventory = &new.inventory;
    let policies: Vec<&str> = inventory.state.policies().keys().map(|key| &*key.name).collect();
    assert_eq!(policies, ["a", "b", "c"]);
    assert!(
        inventory.state.policies()[&PolicyKey::new("shop", "a")]
            .ingress
            .is_none()
    );
    assert!(!inventory.untyped.contains(&PolicyKey::new("shop", "a")));
    assert_eq!(addresses(pod(inventory, "shop/p")), ["10.0.0.2"]);
    assert_eq!(inventory.state.pods().len(), 2);
    let web = pod(inventory, "shop/web");
    assert_eq!(web.labels.get("app"), Some("new"));
    assert_eq!(
        web.addresses,
        pod(&old.inventory, "shop/web").addresses,
        "placeholders stay"
    );
    let place = new
        .origins
        .place(&ObjectRef::Policy(PolicyKey::new("shop", "a")), None)
        .unwrap();
    assert!(place.file.ends_with("new.yaml"), "{place:?}");
    let place = new
        .origins
        .place(&ObjectRef::Policy(PolicyKey::new("shop", "b")), None)
        .unwrap();
    assert!(place.file.ends_with("old.yaml"), "{place:?}");
}
