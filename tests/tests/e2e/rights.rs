//! What each program may do, asked of the API server in its name.

use std::time::Duration;

use anyhow::{Result, bail, ensure};

use super::scene::{Played, Scene, beside_others};

const CALL: Duration = Duration::from_secs(20);

const ENFORCER: &str = "system:serviceaccount:palisade-system:palisade-enforcer";
const CONTROLLER: &str = "system:serviceaccount:palisade-system:palisade-controller";

/// What the API server puts into the token of a pod: the node that the pod runs on.
const NODE: &str = "authentication.kubernetes.io/node-name";

/// What `kubectl auth can-i` leaves when somebody may not.
const NO: &str = "exit status: 1: no\n";

/// Runs kubectl in somebody's name, with a token that names this node.
async fn kubectl(scene: &Scene, user: &str, node: Option<&str>, words: &[&str]) -> Result<String> {
    let user = format!("--as={user}");
    let extra = node.map(|node| format!("--as-user-extra={NODE}={node}"));
    let groups = [
        "--as-group=system:serviceaccounts",
        "--as-group=system:authenticated",
    ];
    let identity = groups.into_iter().chain([user.as_str()]).chain(extra.as_deref());
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

/// A write of the status that changes nothing.
fn status_of(node: &str) -> [&str; 6] {
    [
        "patch",
        "noderuleset",
        node,
        "--subresource=status",
        "--type=merge",
        "--patch={\"status\":{}}",
    ]
}

#[test]
fn an_enforcer_writes_the_status_of_its_own_node_and_nothing_else() -> Played {
    beside_others(async |scene| {
        let [own, other] = [scene.node(0)?.name(), scene.node(1)?.name()];
        let call = async |node, words: &[&str]| kubectl(scene, ENFORCER, node, words).await;
        call(Some(own), &status_of(own)).await?;
        for kind in ["noderulesets", "policyslices", "addressgroups"] {
            call(Some(own), &["get", kind]).await?;
        }
        let own_only = "an enforcer writes the status of its own node's rule set only";
        let elsewhere = call(Some(own), &status_of(other)).await;
        refused("the status of another node", elsewhere, own_only)?;
        let unbound = call(None, &status_of(own)).await;
        refused("a status by a token that names no node", unbound, own_only)?;
        let spec = "--patch={\"spec\":{\"pods\":[]}}";
        let rules = call(Some(own), &["patch", "noderuleset", own, "--type=merge", spec]).await;
        refused("the rules of its own node", rules, "cannot patch resource")?;
        for kind in ["pods", "secrets", "networkpolicies", "nodes", "namespaces"] {
            let read = call(Some(own), &["get", kind, "--all-namespaces"]).await;
            refused(&format!("reading {kind}"), read, "cannot list resource")?;
        }
        for kind in ["policyslices", "addressgroups", "noderulesets"] {
            let may = call(Some(own), &["auth", "can-i", "delete", kind]).await;
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
            kubectl(scene, CONTROLLER, None, &question).await
        };
        for kind in ["pods", "namespaces", "nodes", "networkpolicies.networking.k8s.io"] {
            can(&["watch", kind, "--all-namespaces"]).await?;
            for verb in ["create", "update", "patch", "delete"] {
                let write = can(&[verb, kind, "--all-namespaces"]).await;
                refused(&format!("to {verb} {kind}"), write, NO)?;
            }
        }
        for kind in ["noderulesets", "policyslices", "addressgroups"] {
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
