//! `palisade policy-audit` on a live cluster: what it answers, beside what packets do.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use palisade_tests::cluster::{Ended, run};
use palisade_tests::live::{PodEnd, between, until};
use palisade_tests::probe::Host;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::PORT;
use super::scene::{PATIENCE, Played, Scene, alone, beside_others};

/// One command on a live cluster of a few pods.
const CALL: Duration = Duration::from_mins(1);

/// The policy of the tests.
const POLICY: &str = "from-one-role";

/// The exit codes: nothing found, something found.
const NOTHING: i32 = 0;
const SOMETHING: i32 = 1;

/// The program that `make e2e` builds.
fn program() -> Result<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/debug/palisade");
    path.canonicalize()
        .with_context(|| format!("{} is not built", path.display()))
}

/// Runs `palisade policy-audit`. It may end in either of the two ways that are answers.
async fn ask(scene: &Scene, words: &[&str], input: &str) -> Result<(i32, Ended)> {
    let program = program()?;
    let program = program.to_str().context("a path that is no text")?;
    let mut command = scene.cluster.command(program)?;
    command.arg("policy-audit").args(words);
    let ended = run(command, input, CALL).await?;
    let code = ended.status.code().unwrap_or(-1);
    ensure!(
        matches!(code, NOTHING | SOMETHING),
        "policy-audit {words:?}: {}\n{}{}",
        ended.status,
        ended.stdout,
        ended.stderr
    );
    Ok((code, ended))
}

/// The same, and the answer has to be this one.
async fn ask_for(scene: &Scene, expected: i32, words: &[&str], input: &str) -> Result<String> {
    let (code, ended) = ask(scene, words, input).await?;
    ensure!(
        code == expected,
        "policy-audit {words:?} ended with {code}, not {expected}\n{}{}",
        ended.stdout,
        ended.stderr
    );
    Ok(ended.stdout)
}

/// A namespace with three pods, of which a policy lets one ask another.
async fn town(scene: &Scene) -> Result<(String, Vec<PodEnd>)> {
    let shop = scene.namespace("audit", &[("team", "audit")]).await?;
    let pods = [("web", 0, "web"), ("front", 1, "front"), ("other", 0, "other")];
    let pods = scene.pods(&shop, pods).await?;
    scene.policy(&shop, POLICY, web("front")).await?;
    let hosts: Vec<&Host> = pods.iter().map(|pod| &pod.host).collect();
    let probes = between(&hosts, &hosts, PORT);
    scene.converge_mixed(&probes, "one role may ask web").await?;
    Ok((shop, pods.into()))
}

/// Only pods of a role reach the web, on one port.
fn web(from: &str) -> Value {
    json!({
        "podSelector": {"matchLabels": {"role": "web"}},
        "policyTypes": ["Ingress"],
        "ingress": [{
            "from": [{"podSelector": {"matchLabels": {"role": from}}}],
            "ports": [{"protocol": "TCP", "port": PORT}],
        }],
    })
}

/// The manifest of the policy that lets another role in.
fn change(namespace: &str) -> String {
    json!({
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": POLICY, "namespace": namespace},
        "spec": web("other"),
    })
    .to_string()
}

fn text(path: &Path) -> Result<&str> {
    path.to_str().context("a path that is no text")
}

#[test]
fn explanations_are_what_packets_do() -> Played {
    beside_others(async |scene| {
        let (shop, pods) = town(scene).await?;
        for from in &pods {
            for to in pods.iter().filter(|to| to.name != from.name) {
                for protocol in ["TCP", "UDP"] {
                    let source = format!("{shop}/{}", from.name);
                    let destination = format!("{shop}/{}:{PORT}/{protocol}", to.name);
                    // The packets of `town` were what the oracle says; this is what the policy says to a reader.
                    let allowed = to.name != "web" || (from.name == "front" && protocol == "TCP");
                    let expected = if allowed { NOTHING } else { SOMETHING };
                    let told = ask_for(scene, expected, &["explain", &source, &destination], "").await?;
                    let policy = format!("{shop}/{POLICY}");
                    ensure!(told.contains(&policy) == (to.name == "web"), "{told}");
                }
            }
        }
        Ok(())
    })
}

#[test]
fn a_snapshot_answers_as_its_cluster_does() -> Played {
    // What others change in between would be differences.
    alone(async |scene| {
        let (shop, _pods) = town(scene).await?;
        let policy = format!("{shop}/{POLICY}");
        await_enforcement(scene, &policy).await?;
        let folder = TempDir::new()?;
        let snapshot = folder.path().join("snapshot.json");
        let snapshot = text(&snapshot)?;
        ask_for(scene, NOTHING, &["snapshot", "-o", snapshot], "").await?;
        let [web, other] = ["web", "other"].map(|name| format!("{shop}/{name}"));
        let holds = json!([
            {"name": "others stay out", "from": other, "to": web, "port": PORT, "expect": "deny"},
            {"name": "the other way is open", "from": web, "to": other, "expect": "allow"},
        ])
        .to_string();
        let fails = json!([{"from": other, "to": web, "port": PORT, "expect": "allow"}]).to_string();
        let change = change(&shop);
        let port = format!("{PORT}/TCP");
        // The words of a command, its input, how it ends, and what its answer names.
        let asked = [
            (&["explain", "any", &web][..], "", SOMETHING, policy.as_str()),
            (&["explain", &other, &web, "-o", "json"], "", SOMETHING, &policy),
            (&["reach"], "", NOTHING, &port),
            (&["reach", "--to", &web, "-o", "wide"], "", NOTHING, &port),
            (&["reach", "-o", "json"], "", NOTHING, &shop),
            (&["reach", "-o", "csv"], "", NOTHING, &shop),
            (&["test", "-"], &holds, NOTHING, "ok 2"),
            (&["test", "-"], &fails, SOMETHING, "not ok 1"),
            (&["test", "-", "-o", "junit"], &fails, SOMETHING, "<failure"),
            (&["status"], "", NOTHING, &policy),
            (&["status", "-o", "json"], "", NOTHING, &policy),
            (&["diff", "-f", "-"], &change, SOMETHING, &port),
            (&["diff", "-f", "-", "-o", "markdown"], &change, SOMETHING, &port),
        ];
        for (words, input, exit, named) in asked {
            let live = ask_for(scene, exit, words, input).await?;
            ensure!(live.contains(named), "{words:?} does not name {named}:\n{live}");
            // A change is laid over the state that it would change.
            let option = if words.contains(&"diff") { "--base" } else { "-f" };
            let words = [words, &[option, snapshot]].concat();
            let saved = ask_for(scene, exit, &words, input).await?;
            let [live, saved] = [&live, &saved].map(|answer| without_places(answer, snapshot));
            ensure!(live == saved, "{words:?}:\nlive:\n{live}\nsnapshot:\n{saved}");
        }
        Ok(())
    })
}

/// An answer as it is where nothing is written anywhere, as in a cluster.
fn without_places(answer: &str, file: &str) -> String {
    if let Ok(mut document) = serde_json::from_str::<Value>(answer) {
        forget_places(&mut document);
        return format!("{document:#}");
    }
    let place = format!(" ({file}:");
    let mut parts = answer.split(&place);
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |answer, part| {
        let rest = part.split_once(')').map_or("", |(_line, rest)| rest);
        answer + rest
    })
}

fn forget_places(document: &mut Value) {
    match document {
        Value::Object(fields) => {
            fields.remove("place");
            fields.values_mut().for_each(forget_places);
        }
        Value::Array(entries) => entries.iter_mut().for_each(forget_places),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[test]
fn a_report_and_findings_name_the_objects_of_the_cluster() -> Played {
    beside_others(async |scene| {
        let (shop, _pods) = town(scene).await?;
        scene
            .policy(
                &shop,
                "nobody",
                json!({"podSelector": {"matchLabels": {"role": "wep"}}}),
            )
            .await?;
        let told = ask_for(scene, SOMETHING, &["lint"], "").await?;
        let policy = format!("{shop}/nobody");
        ensure!(told.contains(&policy) && told.contains("role=web"), "{told}");
        let page = ask_for(scene, NOTHING, &["report", "-o", "-"], "").await?;
        ensure!(page.contains(&policy), "the report does not name {policy}");
        Ok(())
    })
}

#[test]
fn a_difference_is_told_before_it_is_applied_and_gone_afterwards() -> Played {
    // Policies of other tests would be differences too.
    alone(async |scene| {
        let (shop, _pods) = town(scene).await?;
        let change = change(&shop);
        let told = ask_for(scene, SOMETHING, &["diff", "-f", "-"], &change).await?;
        ensure!(told.contains(&format!("{PORT}/TCP")), "{told}");
        scene.policy(&shop, POLICY, web("other")).await?;
        let told = ask_for(scene, NOTHING, &["diff", "-f", "-"], &change).await?;
        ensure!(told.contains("no change in meaning"), "{told}");
        Ok(())
    })
}

/// Waits until every node has reported all that is published for it, a policy included: a second or two. For a test that is alone.
async fn await_enforcement(scene: &Scene, policy: &str) -> Result<()> {
    until(PATIENCE, "status says that the policy is enforced", async || {
        let (code, ended) = ask(scene, &["status", "-o", "json"], "").await?;
        if code != NOTHING {
            return Ok(None);
        }
        let status: Value = serde_json::from_str(&ended.stdout)?;
        let state = status
            .pointer("/policies")
            .and_then(|policies| policies.get(policy));
        let Some(state) = state else { return Ok(None) };
        let enforced = state["nodes"] == state["enforced"] && state["publication"] == "current";
        Ok((enforced && state["pods"] == 1).then_some(()))
    })
    .await
}

#[test]
fn kernels_prove_what_nodes_report() -> Played {
    alone(async |scene| {
        let (shop, pods) = town(scene).await?;
        await_enforcement(scene, &format!("{shop}/{POLICY}")).await?;
        let verified = ask_for(scene, NOTHING, &["verify", "-o", "json"], "").await?;
        let verified: Value = serde_json::from_str(&verified)?;
        let nodes = verified["nodes"].as_array().context("no nodes")?;
        ensure!(nodes.len() == 2, "{verified:#}");
        let compared: u64 = nodes
            .iter()
            .filter_map(|node| node["compared"]["pods"].as_u64())
            .sum();
        ensure!(compared == pods.len() as u64, "{verified:#}");
        // The same by files. Of a state in which the policy lets somebody else in, these tables are at fault.
        let node = scene.node(0)?.name();
        let folder = TempDir::new()?;
        let files = ["tables.json", "snapshot.json", "other.json"].map(|name| folder.path().join(name));
        let [tables, snapshot, other] = &files;
        std::fs::write(tables, enforcer_tables(scene, node).await?)?;
        ask_for(scene, NOTHING, &["snapshot", "-o", text(snapshot)?], "").await?;
        std::fs::write(other, with_change(&std::fs::read(snapshot)?, &shop)?)?;
        let words = ["verify", "--tables", text(tables)?, "-f"];
        let told = ask_for(scene, NOTHING, &[&words[..], &[text(snapshot)?]].concat(), "").await?;
        ensure!(
            told.contains(node) && told.contains("the kernel does what the API says"),
            "{told}"
        );
        let told = ask_for(scene, SOMETHING, &[&words[..], &[text(other)?]].concat(), "").await?;
        for (from, verdict) in [
            ("front", "the kernel allows, the API denies"),
            ("other", "the kernel denies, the API allows"),
        ] {
            let finding = format!("{verdict}: {shop}/{from} → {shop}/web, {PORT}/TCP");
            ensure!(told.contains(&finding), "{told}");
        }
        ensure!(told.contains("inet palisade, "), "{told}");
        Ok(())
    })
}

/// What `verify` gets from the enforcer of a node, by kubectl.
async fn enforcer_tables(scene: &Scene, node: &str) -> Result<String> {
    let of_node = format!("--field-selector=spec.nodeName={node}");
    let enforcers = "app.kubernetes.io/component=enforcer";
    let words = [
        "get",
        "pods",
        "-n",
        "palisade-system",
        "-l",
        enforcers,
        &of_node,
        "-o",
        "name",
    ];
    let pod = scene.cluster.kubectl(&words, "", CALL).await?;
    let node = format!("--node={node}");
    let command = ["/palisade-enforcer", "tables", &node];
    let words = [&["exec", "-n", "palisade-system", pod.trim(), "--"], &command[..]].concat();
    scene.cluster.kubectl(&words, "", CALL).await
}

/// A snapshot in which the policy is another one.
fn with_change(snapshot: &[u8], namespace: &str) -> Result<String> {
    let mut list: Value = serde_json::from_slice(snapshot)?;
    let items = list.get_mut("items").and_then(Value::as_array_mut);
    let is_policy = |item: &&mut Value| {
        let [kind, of] =
            ["/kind", "/metadata/namespace"].map(|path| item.pointer(path).and_then(Value::as_str));
        (kind, of) == (Some("NetworkPolicy"), Some(namespace))
    };
    let policy = items
        .context("a snapshot without items")?
        .iter_mut()
        .find(is_policy);
    let policy = policy.context("a snapshot without the policy")?;
    *policy = serde_json::from_str(&change(namespace))?;
    Ok(list.to_string())
}

/// What installs the rights of people who ask.
fn auditor() -> Result<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../config/auditor/rbac.yaml");
    Ok(path.canonicalize()?)
}

#[test]
fn who_may_ask_sees_no_secret_and_changes_nothing() -> Played {
    alone(async |scene| {
        let (shop, _pods) = town(scene).await?;
        await_enforcement(scene, &format!("{shop}/{POLICY}")).await?;
        let rights = auditor()?;
        let rights = text(&rights)?;
        let kubectl = async |words: &[&str]| scene.cluster.kubectl(words, "", CALL).await;
        kubectl(&["apply", "-f", rights]).await?;
        let asked = rights_of(scene, &shop).await;
        let unbound = kubectl(&["delete", "clusterrolebinding", &shop, "--ignore-not-found"]).await;
        let removed = kubectl(&["delete", "-f", rights]).await;
        asked.and(unbound.map(drop)).and(removed.map(drop))
    })
}

/// What somebody may do whose name is that of a namespace.
async fn rights_of(scene: &Scene, person: &str) -> Result<()> {
    let as_person = format!("--as={person}");
    let bound = format!("--user={person}");
    let web = format!("{person}/web");
    let kubectl = async |words: &[&str]| scene.cluster.kubectl(words, "", CALL).await;
    let refused = run_as(scene, &["lint", &as_person]).await?;
    ensure!(refused.contains("cannot list"), "a stranger may ask: {refused}");
    let role = "--clusterrole=palisade-auditor";
    kubectl(&["create", "clusterrolebinding", person, role, &bound]).await?;
    until(PATIENCE, "the rights are there", async || {
        let refused = run_as(scene, &["lint", &as_person]).await?;
        Ok((!refused.contains("cannot list")).then_some(()))
    })
    .await?;
    for words in [
        &["explain", &web, &web][..],
        &["reach"],
        &["status"],
        &["snapshot", "-o", "-"],
    ] {
        let (_, ended) = ask(scene, &[words, &[&as_person]].concat(), "").await?;
        ensure!(!ended.stderr.contains("warning"), "{words:?}: {}", ended.stderr);
    }
    for (verb, kind) in [
        ("get", "secrets"),
        ("list", "secrets"),
        ("list", "configmaps"),
        ("create", "pods"),
        ("patch", "networkpolicies"),
        ("patch", "noderulesets"),
        ("create", "pods/exec"),
    ] {
        let may = kubectl(&["auth", "can-i", verb, kind, "--all-namespaces", &as_person]).await;
        ensure!(may.is_err(), "an auditor may {verb} {kind}");
    }
    let refused = run_as(scene, &["verify", &as_person]).await?;
    ensure!(
        refused.contains("error: node"),
        "an auditor may run a program: {refused}"
    );
    let role = "--role=palisade-verifier";
    kubectl(&[
        "create",
        "rolebinding",
        person,
        "-n",
        "palisade-system",
        role,
        &bound,
    ])
    .await?;
    let verified = until(PATIENCE, "verify may run programs", async || {
        let refused = run_as(scene, &["verify", &as_person]).await?;
        Ok((!refused.contains("error: node")).then_some(()))
    })
    .await;
    kubectl(&["delete", "rolebinding", person, "-n", "palisade-system"]).await?;
    verified
}

/// What a command has to say on the error output, however it ends.
async fn run_as(scene: &Scene, words: &[&str]) -> Result<String> {
    let program = program()?;
    let mut command = scene.cluster.command(text(&program)?)?;
    command.arg("policy-audit").args(words);
    Ok(run(command, "", CALL).await?.stderr)
}
