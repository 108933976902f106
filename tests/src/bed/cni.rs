//! Results of CNI calls as libcni keeps them under `/var/lib/cni/results`, one file for each pod interface.
//!
//! The enforcer learns from them which interface and which addresses a pod has. The format is that of
//! `containernetworking/cni`, `libcni/api.go`: kind `cniCacheV1`, the file named `NETWORK-CONTAINER-INTERFACE`.

use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, Write};
use std::os::fd::{AsFd, AsRawFd};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use palisade_policy::model::{PodKey, PodUid};
use serde_json::{Value, json};

use super::slot::{INSIDE, Slot};

/// The network's name in the CNI configuration.
const NETWORK: &str = "palisade-bed";
/// Version of the result, as the plugins of the last years write it.
const VERSION: &str = "1.0.0";

/// Writes the result of the ADD call that gave `slot` to a pod; a reader sees all of the file or none.
pub(super) fn write(results: &Path, slot: &Slot, pod: &PodKey, uid: &PodUid) -> Result<PathBuf> {
    let container = container_id(slot, uid);
    let path = results.join(format!("{NETWORK}-{container}-{INSIDE}"));
    let document = cached(slot, pod, uid, &container);
    let staging = results.parent().unwrap_or(results);
    let mut file = tempfile::NamedTempFile::new_in(staging).context("making a CNI result")?;
    file.write_all(document.to_string().as_bytes())
        .context("writing a CNI result")?;
    file.persist(&path)
        .with_context(|| format!("placing {}", path.display()))?;
    Ok(path)
}

/// Removes a result, as the DEL call does. That it is gone already is fine.
pub(super) fn remove(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("removing {}", path.display()))
        }
        _ => Ok(()),
    }
}

fn cached(slot: &Slot, pod: &PodKey, uid: &PodUid, container: &str) -> Value {
    let sandbox = format!(
        "/proc/{}/fd/{}",
        std::process::id(),
        slot.netns.as_fd().as_raw_fd()
    );
    json!({
        "kind": "cniCacheV1",
        "containerId": container,
        "config": "",
        "ifName": INSIDE,
        "networkName": NETWORK,
        "netns": sandbox,
        "cniArgs": [
            ["IgnoreUnknown", "1"],
            ["K8S_POD_NAMESPACE", pod.namespace.as_str()],
            ["K8S_POD_NAME", &*pod.name],
            ["K8S_POD_INFRA_CONTAINER_ID", container],
            ["K8S_POD_UID", uid.as_str()],
        ],
        "result": result(slot, &sandbox),
    })
}

/// What the bridge plugin returns where there is a bridge, and the ptp plugin where there is none.
fn result(slot: &Slot, sandbox: &str) -> Value {
    let mut interfaces = Vec::new();
    if let Some(bridge) = slot.bridge() {
        interfaces.push(json!({ "name": bridge }));
    }
    interfaces.push(json!({ "name": slot.host_interface() }));
    interfaces.push(json!({ "name": INSIDE, "mac": slot.mac(), "sandbox": sandbox }));
    let inside = interfaces.len() - 1;
    let ips = slot
        .networks
        .map(|network| json!({ "interface": inside, "address": network.to_string() }));
    let routes = json!([{ "dst": "0.0.0.0/0" }, { "dst": "::/0" }]);
    json!({ "cniVersion": VERSION, "interfaces": interfaces, "ips": ips, "routes": routes, "dns": {} })
}

/// Sixty-four hexadecimal digits, as container runtimes name sandboxes; another one for each pod.
fn container_id(slot: &Slot, uid: &PodUid) -> String {
    let mut hasher = DefaultHasher::new();
    (slot.name(), uid).hash(&mut hasher);
    format!("{:016x}", hasher.finish()).repeat(4)
}
