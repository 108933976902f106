//! Finds the network namespace of a pod, by what its node's CNI cache says of it.

use std::fs;
use std::net::IpAddr;

use anyhow::{Context, Result, bail};
use nlink::netlink::namespace::Netns;
use serde_json::Value;

use crate::cluster::Machine;

/// Where container runtimes keep the results of CNI calls.
const RESULTS: &str = "/var/lib/cni/results";

/// The interface of pods.
const INTERFACE: &str = "eth0";

/// The network namespace of the pod with this UID. An error if the node has not set it up yet.
pub(super) fn open(node: &Machine, uid: &str) -> Result<Netns> {
    open_with_addresses(node, uid).map(|(netns, _)| netns)
}

/// The same with the addresses that it was given.
pub(super) fn open_with_addresses(node: &Machine, uid: &str) -> Result<(Netns, Vec<IpAddr>)> {
    let document = find(node, uid)?;
    let path = sandbox(&document).context("a CNI result without a namespace")?;
    // The runtime gives the path with `/var/run`, which is a link to `/run`; links of the node lead elsewhere here.
    let path = path
        .strip_prefix("/var")
        .filter(|rest| rest.starts_with('/'))
        .unwrap_or(path);
    let netns = Netns::from_path(node.path(path)?);
    let netns = netns.with_context(|| format!("opening {path} on {}", node.name()))?;
    Ok((netns, addresses(&document)))
}

/// The result of what set up `eth0`: another is that of the loopback interface.
fn find(node: &Machine, uid: &str) -> Result<Value> {
    let directory = node.path(RESULTS)?;
    let entries = fs::read_dir(&directory).with_context(|| format!("listing {}", directory.display()))?;
    for entry in entries {
        let path = entry?.path();
        // It may be gone again, or not be whole yet: then it is none that helps.
        let Ok(text) = fs::read(&path) else { continue };
        let Ok(document) = serde_json::from_slice::<Value>(&text) else {
            continue;
        };
        if is_of(&document, uid) && document.get("ifName").and_then(Value::as_str) == Some(INTERFACE) {
            return Ok(document);
        }
    }
    bail!("no CNI result of pod {uid} on {}", node.name())
}

fn addresses(document: &Value) -> Vec<IpAddr> {
    let ips = document.pointer("/result/ips").and_then(Value::as_array);
    let addresses = ips
        .into_iter()
        .flatten()
        .filter_map(|ip| ip.get("address")?.as_str());
    let addresses = addresses.filter_map(|address| address.split('/').next()?.parse().ok());
    addresses.collect()
}

fn is_of(document: &Value, uid: &str) -> bool {
    let arguments = document.get("cniArgs").and_then(Value::as_array);
    let wanted = Value::from(vec!["K8S_POD_UID", uid]);
    arguments.is_some_and(|arguments| arguments.contains(&wanted))
}

/// The host's end of a veth has none.
fn sandbox(document: &Value) -> Option<&str> {
    let interfaces = document.pointer("/result/interfaces")?.as_array()?;
    let sandboxes = interfaces
        .iter()
        .filter_map(|interface| interface.get("sandbox")?.as_str());
    sandboxes.into_iter().find(|sandbox| !sandbox.is_empty())
}
