//! Which pods are compared with which: those of templates, those of roll-outs, those that only one state has; and why, port by port.

use palisade_controller::cli::Exit;

use super::common::{Run, Workshop, palisade};
use super::run;

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
