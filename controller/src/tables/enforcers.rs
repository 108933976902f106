//! Tables from the enforcers of a cluster: each is asked in its own pod, which is where the node's network and its CNI
//! results are. Nothing is installed, nothing is changed.

use std::collections::BTreeSet;
use std::time::Duration;

use futures::{StreamExt, stream};
use k8s_openapi::api::core::v1::{Container, Pod};
use kube::api::{AttachParams, ListParams};
use kube::{Api, Client};
use palisade_audit::kernel::NodeTables;
use palisade_policy::model::NodeName;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::time::timeout;

use super::{LARGEST, Read, TablesError, parse};
use crate::inventory::{Surroundings, in_cluster};

/// The labels of an enforcer's pod (config/enforcer).
const LABELS: &str = "app.kubernetes.io/name=palisade,app.kubernetes.io/component=enforcer";

/// Its container.
const CONTAINER: &str = "enforcer";

/// Its program, in the image.
const PROGRAM: &str = "/palisade-enforcer";

/// How long one enforcer may take. Reading back 100,000 elements takes 0.2 seconds.
const PATIENCE: Duration = Duration::from_mins(1);

/// Enforcers that are asked at the same time.
const AT_ONCE: usize = 8;

/// Arguments of the running enforcer that say where the node's pods are.
const PASSED_ON: [&str; 2] = ["--cni-results", "--uplink"];

/// Which enforcers are asked.
pub(crate) struct Enforcers<'a> {
    /// The cluster.
    pub(crate) surroundings: &'a Surroundings,
    /// The namespace of their pods.
    pub(crate) namespace: &'a str,
    /// The nodes whose tables are wanted.
    pub(crate) nodes: BTreeSet<NodeName>,
}

/// Asks the enforcer of each node.
pub(crate) fn from_enforcers(enforcers: &Enforcers<'_>) -> Result<Vec<Read>, TablesError> {
    in_cluster(enforcers.surroundings, async |client| {
        ask(&client, enforcers).await
    })?
}

async fn ask(client: &Client, enforcers: &Enforcers<'_>) -> Result<Vec<Read>, TablesError> {
    let pods: Api<Pod> = Api::namespaced(client.clone(), enforcers.namespace);
    let listed = timeout(PATIENCE, pods.list(&ListParams::default().labels(LABELS))).await;
    let listed = match listed {
        Ok(listed) => listed.map_err(|source| TablesError::List {
            namespace: enforcers.namespace.to_owned(),
            source: Box::new(source),
        })?,
        Err(_) => {
            return Err(TablesError::Silent {
                pod: format!("(the list of {})", enforcers.namespace),
                seconds: PATIENCE.as_secs(),
            });
        }
    };
    let pods = &pods;
    let listed = &listed;
    let read = stream::iter(&enforcers.nodes).map(|node| async move {
        let runs_here = |pod: &&Pod| node_of(pod) == Some(node.as_str()) && is_running(pod);
        let tables = match listed.items.iter().find(runs_here) {
            Some(pod) => one(pods, pod, node).await,
            None => Err(TablesError::NoEnforcer),
        };
        Read {
            of: format!("node {node}"),
            node: Some(node.clone()),
            tables,
        }
    });
    Ok(read.buffered(AT_ONCE).collect().await)
}

fn node_of(pod: &Pod) -> Option<&str> {
    pod.spec.as_ref()?.node_name.as_deref()
}

fn is_running(pod: &Pod) -> bool {
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    phase == Some("Running") && pod.metadata.deletion_timestamp.is_none()
}

/// Runs the command in one pod.
async fn one(pods: &Api<Pod>, pod: &Pod, node: &NodeName) -> Result<NodeTables, TablesError> {
    let name = pod.metadata.name.clone().unwrap_or_default();
    let command = command(pod, node);
    let silent = || TablesError::Silent {
        pod: name.clone(),
        seconds: PATIENCE.as_secs(),
    };
    let failed = |problem: String| TablesError::Command {
        command: format!("palisade-enforcer tables in pod {name}"),
        problem,
    };
    let run = async {
        let streams = AttachParams::default()
            .container(CONTAINER)
            .stdin(false)
            .stderr(true);
        let mut process = pods
            .exec(&name, command, &streams)
            .await
            .map_err(|source| TablesError::Exec {
                pod: name.clone(),
                source: Box::new(source),
            })?;
        let (output, errors, status) = (process.stdout(), process.stderr(), process.take_status());
        let (output, errors) = tokio::join!(all(output, LARGEST + 1), all(errors, 1 << 16));
        let output = output.map_err(|error| failed(error.to_string()))?;
        let errors = errors.map_err(|error| failed(error.to_string()))?;
        let status = match status {
            Some(status) => status.await,
            None => None,
        };
        match status.and_then(|status| status.status) {
            Some(word) if word == "Success" => parse(&output),
            _ => Err(failed(String::from_utf8_lossy(&errors).trim().to_owned())),
        }
    };
    timeout(PATIENCE, run).await.map_err(|_| silent())?
}

/// Everything that a stream has, up to so many bytes.
async fn all(stream: Option<impl AsyncRead + Unpin>, limit: u64) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    if let Some(stream) = stream {
        stream.take(limit).read_to_end(&mut bytes).await?;
    }
    Ok(bytes)
}

/// The command, with what the enforcer itself was told of the node's network.
fn command(pod: &Pod, node: &NodeName) -> Vec<String> {
    let mut command = vec![PROGRAM.to_owned(), "tables".to_owned(), format!("--node={node}")];
    let containers = pod.spec.iter().flat_map(|spec| &spec.containers);
    let mut own = containers.filter(|container: &&Container| container.name == CONTAINER);
    let mut arguments = own
        .next()
        .and_then(|container| container.args.as_ref())
        .into_iter()
        .flatten();
    while let Some(argument) = arguments.next() {
        match argument.split_once('=') {
            Some((option, _)) if PASSED_ON.contains(&option) => command.push(argument.clone()),
            None if PASSED_ON.contains(&argument.as_str()) => {
                command.push(argument.clone());
                command.extend(arguments.next().cloned());
            }
            Some(_) | None => {}
        }
    }
    command
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::PodSpec;

    use super::*;

    #[test]
    fn what_the_enforcer_was_told_of_the_network_is_passed_on() {
        let arguments = [
            "run",
            "--node=$(NODE_NAME)",
            "--uplink",
            "vethwe-bridge",
            "--search=routes",
            "--cni-results=/r",
        ];
        let container = Container {
            name: CONTAINER.to_owned(),
            args: Some(arguments.map(str::to_owned).to_vec()),
            ..Container::default()
        };
        let pod = Pod {
            spec: Some(PodSpec {
                containers: vec![container],
                ..PodSpec::default()
            }),
            ..Pod::default()
        };
        let expected = [
            "/palisade-enforcer",
            "tables",
            "--node=a",
            "--uplink",
            "vethwe-bridge",
            "--cni-results=/r",
        ];
        assert_eq!(command(&pod, &"a".into()), expected);
    }
}
