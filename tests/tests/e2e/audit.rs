//! `palisade policy-audit` on a live cluster: what it answers, beside what packets do.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use palisade_policy::model::Verdict;
use palisade_tests::cluster::{Ended, run};
use palisade_tests::live::{PodEnd, between, until};
use palisade_tests::probe::{Host, Probe};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::PORT;
use super::scene::{PATIENCE, Played, Scene, alone, beside_others};

/// One command on a live cluster of a few pods.
const CALL: Duration = Duration::from_mins(1);

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

/// A namespace with three pods, two of which a policy lets through to the third.
async fn town(scene: &Scene) -> Result<(String, Vec<PodEnd>)> {
    let shop = scene.namespace("audit", &[("team", "audit")]).await?;
    let pods = [("web", 0, "web"), ("front", 1, "front"), ("other", 0, "other")];
    let pods = scene.pods(&shop, pods).await?;
    scene.policy(&shop, "web", web("front")).await?;
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

fn probes(pods: &[PodEnd]) -> Vec<Probe> {
    let hosts: Vec<&Host> = pods.iter().map(|pod| &pod.host).collect();
    between(&hosts, &hosts, PORT)
}

/// How a pod of the namespace is named in a question.
fn end(namespace: &str, pod: &str) -> String {
    format!("{namespace}/{pod}")
}

#[test]
fn explanations_are_what_packets_do_on_the_cluster_and_on_its_snapshot() -> Played {
    beside_others(async |scene| {
        let (shop, pods) = town(scene).await?;
        scene.converge_mixed(&probes(&pods), "front may ask web").await?;
        let folder = TempDir::new()?;
        let snapshot = folder.path().join("snapshot.json");
        let snapshot = snapshot.to_str().context("a path that is no text")?;
        ask_for(scene, NOTHING, &["snapshot", "-o", snapshot], "").await?;
        for from in &pods {
            for to in pods.iter().filter(|to| to.name != from.name) {
                for protocol in ["TCP", "UDP"] {
                    let destination = format!("{}:{PORT}/{protocol}", end(&shop, &to.name));
                    let source = end(&shop, &from.name);
                    let allowed = to.name != "web" || (from.name == "front" && protocol == "TCP");
                    let expected = if allowed { NOTHING } else { SOMETHING };
                    let words = ["explain", &source, &destination];
                    let live = ask_for(scene, expected, &words, "").await?;
                    let words = ["explain", "-f", snapshot, &source, &destination];
                    let saved = ask_for(scene, expected, &words, "").await?;
                    ensure!(live == saved, "live:\n{live}\nsnapshot:\n{saved}");
                    let policy = format!("{shop}/web");
                    ensure!(live.contains(&policy) == (to.name == "web"), "{live}");
                }
            }
        }
        Ok(())
    })
}

#[test]
fn assertions_reports_and_relations_come_from_a_live_cluster() -> Played {
    beside_others(async |scene| {
        let (shop, _pods) = town(scene).await?;
        let [web, front, other] = ["web", "front", "other"].map(|name| end(&shop, name));
        let holds = json!([
            {"name": "front asks web", "from": front, "to": web, "port": PORT, "expect": "allow"},
            {"name": "nobody else does", "from": other, "to": web, "port": PORT, "expect": "deny"},
        ]);
        let tap = ask_for(scene, NOTHING, &["test", "-"], &holds.to_string()).await?;
        ensure!(
            tap.lines().filter(|line| line.starts_with("ok ")).count() == 2,
            "{tap}"
        );
        let fails = json!([{"from": other, "to": web, "port": PORT, "expect": "allow"}]);
        let tap = ask_for(scene, SOMETHING, &["test", "-"], &fails.to_string()).await?;
        ensure!(tap.contains("not ok 1"), "{tap}");

        let relation = ask_for(scene, NOTHING, &["reach", "--to", &web, "-o", "json"], "").await?;
        let relation: Value = serde_json::from_str(&relation)?;
        ensure!(relation.is_object(), "{relation}");
        let table = ask_for(scene, NOTHING, &["reach", "--to", &web], "").await?;
        ensure!(table.contains(&format!("{PORT}/TCP")), "{table}");

        let folder = TempDir::new()?;
        let page = folder.path().join("report.html");
        let page_path = page.to_str().context("a path that is no text")?;
        ask_for(scene, NOTHING, &["report", "-o", page_path], "").await?;
        let page = std::fs::read_to_string(&page)?;
        ensure!(
            page.contains(&format!("{shop}/web")),
            "the report does not name the policy"
        );

        // Whether other tests leave something to find is theirs to say: an answer it is in any case.
        let (_, findings) = ask(scene, &["lint", "-o", "json"], "").await?;
        serde_json::from_str::<Value>(&findings.stdout)?;
        Ok(())
    })
}

#[test]
fn a_difference_is_told_before_it_is_applied_and_gone_afterwards() -> Played {
    // Policies of other tests would be differences too.
    alone(async |scene| {
        let (shop, pods) = town(scene).await?;
        let manifest = json!({
            "apiVersion": "networking.k8s.io/v1",
            "kind": "NetworkPolicy",
            "metadata": {"name": "web", "namespace": shop},
            "spec": web("other"),
        })
        .to_string();
        let told = ask_for(scene, SOMETHING, &["diff", "-f", "-"], &manifest).await?;
        ensure!(told.contains(&format!("{PORT}/TCP")), "{told}");
        scene.policy(&shop, "web", web("other")).await?;
        ask_for(scene, NOTHING, &["diff", "-f", "-"], &manifest).await?;
        let probes = probes(&pods);
        scene.converge_mixed(&probes, "other may ask web").await?;
        Ok(())
    })
}

#[test]
fn nodes_enforce_what_the_api_says_and_their_kernels_prove_it() -> Played {
    alone(async |scene| {
        let (shop, pods) = town(scene).await?;
        let probes = probes(&pods);
        scene.converge_mixed(&probes, "front may ask web").await?;
        let policy = format!("{shop}/web");
        // Nodes report within a second or two.
        until(PATIENCE, "status says that the policy is enforced", async || {
            let (_, ended) = ask(scene, &["status", "-o", "json"], "").await?;
            let status: Value = serde_json::from_str(&ended.stdout)?;
            let state = &status["policies"][&policy];
            let enforced = state["nodes"] == state["enforced"] && state["publication"] == "current";
            Ok((enforced && state["pods"] == 1).then_some(()))
        })
        .await?;
        let verified = ask_for(scene, NOTHING, &["verify", "-o", "json"], "").await?;
        let verified: Value = serde_json::from_str(&verified)?;
        ensure!(verified.is_object(), "{verified}");
        // Nothing was found because something was looked at.
        let expected = scene.city.expected(&probes).await?;
        ensure!(expected.contains(&Verdict::Deny));
        Ok(())
    })
}
