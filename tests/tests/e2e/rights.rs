//! What each program may do, asked of the API server in its name.

use std::time::Duration;

use anyhow::{Result, bail, ensure};
use kube::api::{Patch, PatchParams};
use kube::core::Request;
use serde_json::json;

use super::scene::{Played, Scene, beside_others};

const CALL: Duration = Duration::from_secs(20);

const ENFORCER: &str = "system:serviceaccount:palisade-system:palisade-enforcer";
const CONTROLLER: &str = "system:serviceaccount:palisade-system:palisade-controller";

/// What the API server puts into the token of a pod: the node that the pod runs on. As a header of impersonation.
const NODE: &str = "impersonate-extra-authentication.kubernetes.io%2fnode-name";

/// What `kubectl auth can-i` leaves when somebody may not.
const NO: &str = "exit status: 1: no\n";

/// Runs kubectl in somebody's name.
async fn kubectl(scene: &Scene, user: &str, words: &[&str]) -> Result<String> {
    let user = format!("--as={user}");
    let groups = [
        "--as-group=system:serviceaccounts",
        "--as-group=system:authenticated",
    ];
    let identity = groups.into_iter().chain([user.as_str()]);
    let words: Vec<&str> = words.iter().copied().chain(identity).collect();
    scene.cluster.kubectl(&words, "", CALL).await
}

fn refused(what: &str, outcome: Result<String>, why: &str) -> Result<()> {
    let Err(error) = outcome else {
        bail!("{what} was allowed");
    };
    let error = format!("{error:#}");
    ensure!(
        error.contains(why),
        "{what} was refused, but not because of {why:?}: {error}"
    );
    Ok(())
}

/// Writes the status of a node's rule set, without changing it, in the name of an enforcer whose token names this node.
async fn write_status(scene: &Scene, of: &str, token: Option<&str>) -> Result<String> {
    let nothing = Patch::Merge(json!({"status": {}}));
    let path = "/apis/palisade.dev/v1alpha1/noderulesets";
    let parameters = PatchParams::default();
    let mut request = Request::new(path).patch_subresource("status", of, &parameters, &nothing)?;
    let headers = request.headers_mut();
    headers.insert("impersonate-user", ENFORCER.parse()?);
    headers.insert("impersonate-group", "system:authenticated".parse()?);
    if let Some(node) = token {
        headers.insert(NODE, node.parse()?);
    }
    Ok(scene.objects().client().request_text(request).await?)
}

#[test]
fn an_enforcer_writes_the_status_of_its_own_node_and_nothing_else() -> Played {
    beside_others(async |scene| {
        let [own, other] = [scene.node(0)?.name(), scene.node(1)?.name()];
        let call = async |words: &[&str]| kubectl(scene, ENFORCER, words).await;
        write_status(scene, own, Some(own)).await?;
        for kind in ["noderulesets", "podslices", "policyslices", "addressgroups"] {
            call(&["get", kind]).await?;
        }
        let own_only = "an enforcer writes the status of its own node's rule set only";
        let elsewhere = write_status(scene, other, Some(own)).await;
        refused("the status of another node", elsewhere, own_only)?;
        let unbound = write_status(scene, own, None).await;
        refused("a status by a token that names no node", unbound, own_only)?;
        let spec = "--patch={\"spec\":{\"pods\":[]}}";
        let rules = call(&["patch", "noderuleset", own, "--type=merge", spec]).await;
        refused("the rules of its own node", rules, "cannot patch resource")?;
        for kind in ["pods", "secrets", "networkpolicies", "nodes", "namespaces"] {
            let read = call(&["get", kind, "--all-namespaces"]).await;
            refused(&format!("reading {kind}"), read, "cannot list resource")?;
        }
        for kind in ["policyslices", "addressgroups", "podslices", "noderulesets"] {
            let may = call(&["auth", "can-i", "delete", kind]).await;
            refused(&format!("deleting {kind}"), may, NO)?;
        }
        Ok(())
    })
}

#[test]
fn the_controller_reads_what_it_compiles_and_writes_its_own_objects() -> Played {
    beside_others(async |scene| {
        let can = async |words: &[&str]| {
            let question = [&["auth", "can-i"], words].concat();
            kubectl(scene, CONTROLLER, &question).await
        };
        for kind in ["pods", "namespaces", "nodes", "networkpolicies.networking.k8s.io"] {
            can(&["watch", kind, "--all-namespaces"]).await?;
            for verb in ["create", "update", "patch", "delete"] {
                let write = can(&[verb, kind, "--all-namespaces"]).await;
                refused(&format!("to {verb} {kind}"), write, NO)?;
            }
        }
        for kind in ["noderulesets", "podslices", "policyslices", "addressgroups"] {
            for verb in ["watch", "create", "update", "patch", "delete"] {
                can(&[verb, kind]).await?;
            }
        }
        for kind in ["secrets", "configmaps", "services"] {
            let read = can(&["get", kind, "--all-namespaces"]).await;
            refused(&format!("reading {kind}"), read, NO)?;
        }
        let lease = [
            "update",
            "lease/palisade-controller",
            "--namespace=palisade-system",
        ];
        can(&lease).await?;
        let other = can(&["update", "lease/another", "--namespace=palisade-system"]).await;
        refused("the lease of another", other, NO)
    })
}
